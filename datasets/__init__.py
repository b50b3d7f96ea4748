"""Face-video datasets with action-unit labels, one file each: its name is the dataset's name.

Nothing here imports torch, `methods` or `bench`. Start with `_base.py`, the contract.
"""
