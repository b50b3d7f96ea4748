"""Where cells run: workers on this machine, on Ray, on SLURM. What a cell is, they do not know.

May import runner and all wings to its left.
"""
