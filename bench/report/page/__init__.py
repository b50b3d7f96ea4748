"""The page of `python -m bench report`: one HTML file of a results folder; `build.py` makes it.

May import the rest of `report`; nothing of it imports this.
"""
