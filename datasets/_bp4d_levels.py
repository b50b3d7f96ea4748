"""Intensity files of BP4D and its relatives, and occurrence made of them on request.

Five AUs (6, 10, 12, 14, 17) have intensity: a headerless file a recording and AU, `frame,level`,
levels 0 to 5 (FACS' A to E) and 9 for unknown.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._base import UNCODED
from ._bp4d_tree import Key, find_files
from ._intensity import read_intensities
from ._tree import listing, spans

LINE = re.compile(r"\s*([0-9]{1,9})\s*,\s*([0-59])\s*")
LOOKS = "a line is frame,intensity: 0 to 5, or 9 for unknown"
UNKNOWN = 9


def find_level_files(root: Path, places: Iterable[str]) -> dict[Key, dict[int, Path]]:
    """Map subject and task to AU -> intensity file, in folders `AU06` of any of `places`."""
    folders: dict[int, list[str]] = defaultdict(list)
    for place in places:
        for name in listing(root / place, r"(?i:au)[0-9]{1,2}"):
            folders[int(name[2:])].append(f"{place}/{name}")
    found: dict[Key, dict[int, Path]] = defaultdict(dict)
    for au, homes in sorted(folders.items()):
        for key, file in find_files(root, homes, rf"(?:_(?i:au)0?{au})?\.(?i:csv)").items():
            found[key][au] = file
    return found


def labels_by_level(
    files: Mapping[int, Path],
    coded: NDArray[np.int64],
    labels: NDArray[np.int8],
    aus: tuple[int, ...],
    level: int,
) -> tuple[NDArray[np.int8], str]:
    """Replace labels (T, A) of AUs that have a file: present from intensity `level` on.

    `coded` (T,) are the frames. Where a file says nothing the label is `UNCODED`; the sentence
    returned says where, and is empty if nowhere. Raises DatasetCorrupt.
    """
    ours = tuple(au for au in aus if au in files)
    if not ours:
        return labels, ""
    table = read_intensities(files, ours, LINE, LOOKS)
    table.values[table.values == UNKNOWN] = UNCODED
    present = table.labels(level)
    labels = labels.copy()
    _, here, there = np.intersect1d(coded, table.frames, return_indices=True)
    for column, au in enumerate(ours):
        fresh = np.full(len(coded), UNCODED, np.int8)
        fresh[here] = present[there, column]
        labels[:, aus.index(au)] = fresh
    silent = np.setdiff1d(coded, table.frames).tolist()
    parts = [f"coded frames {spans(silent)} have no intensity"] if silent else []
    return labels, "; ".join([*parts, *table.gaps])
