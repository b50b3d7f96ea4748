"""Builds a small copy of DISFA+."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.helpers.dataset_trees import jpeg

AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)


PEOPLE = ["SN001", "SN003"]


TRIALS = ["A1_AU1_TrailNo_1", "Y_Happy_TrailNo_2"]


def make_tree(
    root: Path, frames: int = 5, images: str = "Images"
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Write a small copy; return each trial's intensities (frames, 12). Red is the frame x 8."""
    rng = np.random.default_rng(0)
    truth = {}
    for person in PEOPLE:
        for trial in TRIALS:
            folder = root / images / person / trial
            folder.mkdir(parents=True)
            for frame in range(frames):
                (folder / f"{frame:03}.jpg").write_bytes(jpeg((frame * 8, 90, 160)))
            values = rng.integers(0, 6, (frames, 12))
            labels = root / "Labels" / person / trial
            labels.mkdir(parents=True)
            for au, column in zip(AUS, values.T, strict=True):
                rows = "".join(f"{f:03}.jpg {v}\n" for f, v in enumerate(column))
                (labels / f"AU{au}.txt").write_text(f"# AU{au} of {trial}\n{rows}")
            truth[person, trial] = values
    return truth
