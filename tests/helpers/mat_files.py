"""Builders of MATLAB landmark tracks as BP4D (7.3) and BP4D+ (5) have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def track(frames: int, seed: int = 0) -> NDArray[np.float64]:
    """Draw a track (frames, 49, 2); the first point of frame n (from 1) is (n, 2 n)."""
    points = np.random.default_rng(seed).uniform(0, 1000, (frames, 49, 2)).round(2)
    points[:, 0] = np.outer(np.arange(1, frames + 1), (1, 2))
    return points


def write_mat73(file: Path, entries: list[NDArray[Any] | None], field: str = "pred") -> Path:
    """Write `fit.pred`, a 49 x 2 matrix an entry, None being empty: as MATLAB does, by HDF5.

    MATLAB stores columns first, so that HDF5 sees a matrix transposed.
    """
    import h5py

    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w", userblock_size=512) as opened:
        references = opened.create_dataset(f"fit/{field}", (len(entries), 1), h5py.ref_dtype)
        for index, entry in enumerate(entries):
            empty = entry is None
            data = np.zeros(2, np.uint64) if empty else np.asarray(entry).T
            cell = opened.create_dataset(f"#refs#/{index}", data=data)
            if empty:
                cell.attrs["MATLAB_empty"] = np.uint8(1)
            references[index, 0] = cell.ref
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with file.open("r+b") as stream:
        stream.write(text)
    return file


def write_mat5(
    file: Path, entries: list[NDArray[Any] | None], frames: list[int] | None = None
) -> Path:
    """Write a struct array `fit` of frame, pts_2d and headPose; None is a lost face, all empty."""
    from scipy.io import savemat

    file.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(1, len(entries) + 1) if frames is None else frames
    fit = np.zeros((1, len(entries)), [(n, object) for n in ("frame", "pts_2d", "headPose")])
    for index, (number, entry) in enumerate(zip(numbers, entries, strict=True)):
        kind = (np.uint8, np.uint16, np.float64)[index % 3] if number < 256 else np.uint16
        lost = entry is None
        fit[0, index]["frame"] = np.array([[number]], kind)
        fit[0, index]["pts_2d"] = np.empty((0, 0)) if lost else entry
        fit[0, index]["headPose"] = np.empty((0, 0)) if lost else np.zeros((1, 3))
    savemat(file, {"fit": fit})
    return file
