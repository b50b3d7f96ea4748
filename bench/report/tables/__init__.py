"""Tables: a module for each kind, and how they are laid out and written as text, LaTeX and HTML.

`kinds.py` lists them for `python -m bench table`. May import the rest of `report`, but for `plots`
and `page`.
"""
