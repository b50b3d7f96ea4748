"""Landmark tracks of BP4D (`2DFeatures/F001_T1.mat`, MATLAB 7.3) and of BP4D+ (MATLAB 5).

Both hold a struct array `fit`, an entry a video frame: 49 points in `pred` or `pts_2d`, empty where
the tracker lost the face, and in BP4D+ the entry's 1-based `frame`.

Shapes: T frames that are asked for, E entries of a track.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt, DatasetError
from datasets._files.folders import format_ranges
from datasets._files.images import DAMAGE, reason
from datasets._files.matlab import read_mat5

from .markup import mask_implausible, to_49

POINTS = 49
FIELDS = ("pred", "pts_2d")

MOST = 1000
"""Numbers in an entry, beyond which it is not worth reading."""

_DAMAGE = (*DAMAGE, lzma.LZMAError, RuntimeError, AttributeError, MemoryError)
"""What h5py and scipy let out, depending on which byte is wrong."""


def read_track(file: Path, frames: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the points (T, 49, 2) of video frames (T,), counted from 1; NaN where unknown.

    Raises DatasetCorrupt for a file that is no such track or has other shapes, and DatasetError if
    the package that reads it is not installed.
    """
    points = np.full((len(frames), POINTS, 2), np.nan, np.float32)
    row_of = {int(frame): row for row, frame in enumerate(frames)}
    try:
        for frame, entry in _entries(file, row_of):
            if entry.size:
                points[row_of[frame]] = _shaped(file, frame, entry)
    except _DAMAGE as error:
        what = f"it is no landmark track that can be read ({reason(error)})"
        raise DatasetCorrupt(file, None, what) from error
    return points


def _entries(file: Path, wanted: dict[int, int]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (frame, points) of the wanted frames that the track has an entry for."""
    with file.open("rb") as stream:
        head = stream.read(10)
    if head == b"MATLAB 7.3":
        return _entries_of_hdf5(file, wanted)
    if head == b"MATLAB 5.0":
        return _entries_of_mat5(file, wanted)
    raise ValueError("it does not begin as a MATLAB file does" if head else "it is empty")


def _entries_of_hdf5(file: Path, wanted: dict[int, int]) -> Iterator[tuple[int, NDArray[Any]]]:
    try:
        import h5py
    except ImportError as error:
        raise DatasetError(_advice(file, "h5py")) from error
    whole = (h5py.h5s.ALL, h5py.h5s.ALL)
    with h5py.File(file, "r") as opened:
        fit = opened["fit"]

        def matrix(reference: Any) -> NDArray[Any]:
            # h5py's own objects take a millisecond each, and there are a hundred thousand of them.
            cell = h5py.h5r.dereference(reference, opened.id)
            # An empty matrix is stored as its two dimensions.
            found = np.empty((0, 0) if cell.shape == (2,) else cell.shape, np.float64)
            if 0 < found.size <= MOST:
                cell.read(*whole, found)
            return found.T

        entries = fit[_field(fit.keys())][()].ravel()
        numbers = (
            (_number(matrix(cell)) for cell in fit["frame"][()].ravel())
            if "frame" in fit
            else count(1)
        )
        for number, entry in zip(numbers, entries, strict=False):
            if number in wanted:
                yield number, matrix(entry)


def _entries_of_mat5(file: Path, wanted: dict[int, int]) -> Iterator[tuple[int, NDArray[Any]]]:
    try:
        fit: NDArray[Any] = read_mat5(file, "fit").ravel()
    except ImportError as error:
        raise DatasetError(_advice(file, "scipy")) from error
    names = fit.dtype.names or ()
    field = _field(names)
    for position, entry in enumerate(fit, start=1):
        frame = _number(entry["frame"]) if "frame" in names else position
        if frame in wanted:
            yield frame, np.asarray(entry[field])


def _number(cell: NDArray[Any]) -> int:
    """Return a frame number; cells differ in type, and a lost frame's may be empty (then 0)."""
    return int(cell.ravel()[0]) if cell.size else 0


def _field(names: Any) -> str:
    for field in FIELDS:
        if field in names:
            return field
    raise ValueError(f"`fit` has neither {' nor '.join(FIELDS)}")


def _shaped(file: Path, frame: int, entry: NDArray[Any]) -> NDArray[np.float32]:
    """Bring an entry to (49, 2), whichever way round it was stored."""
    if entry.shape == (2, POINTS):
        entry = entry.T
    if entry.shape != (POINTS, 2):
        shape = " x ".join(map(str, entry.shape))
        what = f"the landmarks of frame {frame} are {shape} numbers, not {POINTS} x 2"
        raise DatasetCorrupt(file, None, what)
    return mask_implausible(entry)


def _advice(file: Path, package: str) -> str:
    return (
        f"{file}: reading it needs {package}: install it (pip install {package}), or go on without "
        "these landmarks (option features=none)"
    )


_POINT_DAMAGE = (*DAMAGE, RuntimeError, AttributeError, MemoryError)
"""What scipy lets out beside the rest, depending on which byte is wrong."""


def read_points(
    name: str,
    frames: NDArray[np.int64],
    files: Mapping[int, Path],
    read: Callable[[Path], NDArray[np.float64]],
    problems: list[str],
) -> NDArray[np.float32]:
    """Return points (T, 49, 2) of frames (T,), NaN where the frame has no file or no good one.

    `files` maps frames to files, `read` gives a file's points (49, 66 or 68, 2) or raises what a
    damaged one raises; `problems` gets sentences about the recording `name`.
    """
    points = np.full((len(frames), 49, 2), np.nan, np.float32)
    damaged: list[str] = []
    for row, file in enumerate(map(files.get, frames.tolist())):
        if file is None:
            continue
        try:
            points[row] = mask_implausible(to_49(read(file)))
        except _POINT_DAMAGE as error:
            damaged.append(f"{file}: {reason(error)}")
    if missing := [frame for frame in frames.tolist() if frame not in files]:
        problems.append(f"{name}: no landmark file for frames {format_ranges(missing)}")
    if damaged:
        more = f"; {len(damaged) - 1} more such files" if len(damaged) > 1 else ""
        problems.append(f"{damaged[0]}; its landmarks are not used{more}")
    return points


def shaped(points: NDArray[np.float64], count: int, what: str) -> NDArray[np.float64]:
    """Return `count` points (count, 2) as they are; ValueError for another shape."""
    if points.shape != (count, 2):
        shape = " x ".join(map(str, points.shape))
        raise ValueError(f"{what} is {shape}, not {count} x 2")
    return points
