"""`bench check`: nineteen checks of a method's contract, each with a sentence for its author.

May import runner and all wings to its left; not the executors.
"""
