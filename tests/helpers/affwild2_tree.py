"""Builds a small copy of Aff-Wild2's AU release."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.helpers.dataset_trees import jpeg

HEADER = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"


VIDEOS = {
    "10-60-1280x720": "Train_Set",
    "video5_left": "Train_Set",
    "4-30-1920x1080": "Validation_Set",
}


ROWS = 6


def make_tree(
    root: Path, labels: str = "annotations/AU_Set", images: str = "cropped_aligned"
) -> None:
    """Write a small copy; rows are random, 1, 0 or -1."""
    rng = np.random.default_rng(0)
    for video, folder in VIDEOS.items():
        (root / images / video).mkdir(parents=True)
        for number in range(1, ROWS + 1):
            picture = jpeg((number * 20, 90, 160))
            (root / images / video / f"{number:05}.jpg").write_bytes(picture)
        file = root / labels / folder / f"{video}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [",".join(map(str, row)) for row in rng.choice([0, 1, -1], (ROWS, 12))]
        file.write_text("\n".join([HEADER, *rows]))
