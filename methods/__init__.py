"""Semi-supervised methods, one file each: its name is the method's name; `_` = shared parts.

Nothing here imports `bench`, and no method imports another. Start with `_base.py`, the contract.
"""
