"""Folds, splits and label masks in one place: who is tested, and which labels may be learnt from.

`load_folds` and `make_split` divide subjects; `label_mask` chooses key frames among the coded
frames of training sequences. None of it depends on a method, a network or a device.
"""

from __future__ import annotations

from .folds import Split, SplitError, draw_folds, fold_list, load_folds, make_split
from .masks import RULES, LabelMask, label_mask

__all__ = [
    "RULES",
    "LabelMask",
    "Split",
    "SplitError",
    "draw_folds",
    "fold_list",
    "label_mask",
    "load_folds",
    "make_split",
]
