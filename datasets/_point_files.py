"""Landmarks that lie a file a frame: those that are missing or damaged are named, the rest is used.

Shapes: T frames of a recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._landmarks import believed, to_49
from ._sources import DAMAGE, reason
from ._tree import spans

_DAMAGE = (*DAMAGE, RuntimeError, AttributeError, MemoryError)
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
            points[row] = believed(to_49(read(file)))
        except _DAMAGE as error:
            damaged.append(f"{file}: {reason(error)}")
    if missing := [frame for frame in frames.tolist() if frame not in files]:
        problems.append(f"{name}: no landmark file for frames {spans(missing)}")
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
