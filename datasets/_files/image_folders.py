"""Recordings as folders of numbered images, with labels for some of the numbers.

Shapes: T images of a recording, A action units.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets._base import UNCODED, DatasetCorrupt, Sequence

from .folders import format_ranges, match_names
from .images import ImageFiles

NUMBER = r"([0-9]{1,9})\.(?i:jpg|jpeg|png)"


def numbered(folder: Path, pattern: str = NUMBER) -> dict[int, Path]:
    """Map numbers, as the pattern's group 1 captures them, to files, by number.

    Raises DatasetCorrupt if two files have one number (7.jpg and 007.jpg).
    """
    found: dict[int, Path] = {}
    wanted = re.compile(pattern)
    for name in match_names(folder, pattern):
        match = wanted.fullmatch(name)
        assert match is not None, "listing lets only matches through"
        number = int(match[1])
        if number in found:
            what = f"{found[number].name} has the same number: keep one of them"
            raise DatasetCorrupt(folder / name, None, what)
        found[number] = folder / name
    return dict(sorted(found.items()))


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """A recording's labels: `frames` (L,) increasing, `labels` and `intensities` (L, A)."""

    frames: NDArray[np.int64]
    labels: NDArray[np.int8]
    intensities: NDArray[np.float32] | None = None


def put_together(
    root: Path, subject: str, task: str, images: Mapping[int, Path], labelled: LabelledImages
) -> tuple[Sequence | None, list[int]]:
    """Make a sequence of all images, unlabelled where there is no label.

    Returns it, or None if no label meets an image, and the labelled frames without an image.
    """
    numbers = np.fromiter(images, np.int64, len(images))
    here = np.isin(labelled.frames, numbers)
    missing = labelled.frames[~here].tolist()
    if not here.any():
        return None, missing
    rows = np.searchsorted(numbers, labelled.frames[here])
    labels = np.full((len(numbers), labelled.labels.shape[1]), UNCODED, np.int8)
    labels[rows] = labelled.labels[here]
    levels = None
    if labelled.intensities is not None:
        levels = np.full(labels.shape, np.nan, np.float32)
        levels[rows] = labelled.intensities[here]
    names = tuple(file.relative_to(root).as_posix() for file in images.values())
    sequence = Sequence(
        subject=subject,
        task=task,
        frames=numbers,
        labels=labels,
        source=ImageFiles(root, names),
        intensities=levels,
    )
    return sequence, missing


def unpictured(name: str, missing: list[int], sequence: Sequence | None) -> list[str]:
    """Say which labelled frames of a recording have no image, if any."""
    if sequence is None:
        return [f"{name}: no labelled frame has an image, left out"]
    if missing:
        return [f"{name}: labels without an image left out: {format_ranges(missing)}"]
    return []
