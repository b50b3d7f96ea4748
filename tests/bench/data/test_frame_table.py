"""The store's frames as flat arrays: landmarks where some recordings have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data.frame_table import frame_table
from tests.helpers.fake_recordings import Toy, changed, store_of, toy


def marked(folder: Path, points: dict[int, int]) -> Toy:
    """A dataset of three recordings of four frames; those in `points` have so many landmarks."""
    dataset = toy(folder)
    for index, count in points.items():
        marks = np.full((4, count, 2), 3.0 + index, dtype=np.float32)
        dataset = changed(dataset, index, landmarks=marks)
    return dataset


def test_one_recording_without_landmarks_takes_them_from_no_other(tmp_path: Path) -> None:
    table = frame_table(store_of(marked(tmp_path, {0: 68, 2: 68}), tmp_path))
    assert table.landmarks is not None
    assert table.landmarks.shape == (12, 68, 2)
    known = np.isfinite(table.landmarks).all(axis=(1, 2))
    assert known.tolist() == [True] * 4 + [False] * 4 + [True] * 4


@pytest.mark.parametrize("points", [{}, {0: 68, 1: 49}])
def test_no_landmarks_and_two_markups_are_none(tmp_path: Path, points: dict[int, int]) -> None:
    assert frame_table(store_of(marked(tmp_path, points), tmp_path)).landmarks is None
