"""Figures: a module for each kind, in one style; `kinds.py` lists them for `python -m bench plot`.

May import the rest of `report`, but for `page`.
"""
