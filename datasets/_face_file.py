"""The face file: boxes and landmarks that any detector can write, one CSV row a frame.

Columns `subject,task,frame` (frame as in the image's name), then `x0,y0,x1,y1` and/or
`p0_x,p0_y,...` with 49 points (without jaw line and inner mouth corners) or all 68. Further columns
are ignored, empty cells are unknown. Pixels, origin at the top left corner of the stored image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._base import DatasetCorrupt

KEY = ["subject", "task", "frame"]
BOX = ["x0", "y0", "x1", "y1"]
EXPECTED = (
    "a face file has subject,task,frame, then x0,y0,x1,y1 and/or p0_x,p0_y,...,p48_y or ...,p67_y"
)


@dataclass(frozen=True, eq=False)
class FaceFile:
    """The rows of a face file, found by recording and frame."""

    index: Mapping[str, tuple[NDArray[np.int64], NDArray[np.intp]]]
    """Recording (`F001_T1`) -> its frames as in image names, and the row of each."""
    boxes: NDArray[np.float32] | None
    """(rows, 4): x0, y0, x1, y1; None if the file has no boxes."""
    points: NDArray[np.float32] | None
    """(rows, 49 or 68, 2): x, y; None if the file has no landmarks."""
    repeated: int
    """Rows left out because an earlier row was about the same frame."""

    def rows_of(self, name: str, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the row of each of a recording's images, shape (T,), or -1 where there is none."""
        rows = np.full(len(numbers), -1, np.intp)
        if name in self.index:
            known, row_of = self.index[name]
            _, here, there = np.intersect1d(numbers, known, return_indices=True)
            rows[here] = row_of[there]
        return rows


def pick_rows(
    table: NDArray[np.float32] | None, rows: NDArray[np.intp]
) -> NDArray[np.float32] | None:
    """Return those rows of a table, NaN for row -1; None stays None."""
    if table is None:
        return None
    picked = np.full((len(rows), *table.shape[1:]), np.nan, np.float32)
    picked[rows >= 0] = table[rows[rows >= 0]]
    return picked


def read_face_file(file: Path) -> FaceFile:
    """Read a face file. Raises DatasetCorrupt for one that is unreadable or lacks columns."""
    try:
        header = pd.read_csv(file, nrows=0, encoding="utf-8-sig").columns
        boxes, points = _columns(file, set(header))
        table = pd.read_csv(
            file,
            usecols=[*KEY, *boxes, *points],
            dtype={"subject": str, "task": str},
            index_col=False,
            skip_blank_lines=False,
            low_memory=False,
            encoding="utf-8-sig",
        )
    except OSError as error:
        raise DatasetCorrupt(file, None, f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DatasetCorrupt(file, None, f"this is no face file ({error})") from error
    index, repeated = _index(file, table)
    return FaceFile(
        index=index,
        boxes=_boxes(_numbers(file, table, boxes)) if boxes else None,
        points=_points(_numbers(file, table, points)) if points else None,
        repeated=repeated,
    )


def _columns(file: Path, header: set[str]) -> tuple[list[str], list[str]]:
    """Return the box and the landmark columns that the file has, whole or not at all."""
    boxes = BOX if header.intersection(BOX) else []
    points = _point_columns(header)
    missing = [column for column in (*KEY, *boxes, *points) if column not in header]
    if missing:
        raise DatasetCorrupt(file, 1, f"there is no column {missing[0]}; {EXPECTED}")
    if not boxes and not points:
        raise DatasetCorrupt(file, 1, f"there are neither boxes nor landmarks; {EXPECTED}")
    return boxes, points


def _index(
    file: Path, table: pd.DataFrame
) -> tuple[dict[str, tuple[NDArray[np.int64], NDArray[np.intp]]], int]:
    """Return each recording's frames and rows, and how many rows repeat an earlier frame."""
    frames = _numbers(file, table, ["frame"])[:, 0]
    strange = np.flatnonzero((frames % 1 > 0) | (np.abs(frames) >= 1e9))
    if len(strange):
        what = f"{frames[strange[0]]:g} is no frame number"
        raise DatasetCorrupt(file, int(strange[0]) + 2, what)
    names = table["subject"] + "_" + table["task"]
    keys = pd.DataFrame({"name": names, "frame": frames}).dropna().astype({"frame": np.int64})
    again = keys.duplicated()
    index = {
        str(name): (group["frame"].to_numpy(np.int64), group.index.to_numpy(np.intp))
        for name, group in keys[~again].groupby("name")
    }
    return index, int(again.sum())


def _point_columns(header: set[str]) -> list[str]:
    """Name the landmark columns a file should have, judged by the last one it has."""
    if not any(re.fullmatch(r"p\d+_[xy]", column) for column in header):
        return []
    names = [f"p{k}_{axis}" for k in range(68) for axis in "xy"]
    return names if header.intersection(names[2 * 49 :]) else names[: 2 * 49]


def _boxes(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Take a box without area as unknown: detectors write zeros where they find no face."""
    boxes = numbers.astype(np.float32)
    boxes[(boxes[:, :2] >= boxes[:, 2:]).any(axis=1)] = np.nan
    return boxes


def _points(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Take landmarks that all lie on one spot as unknown, for the same reason."""
    points = numbers.astype(np.float32).reshape(len(numbers), -1, 2)
    points[np.ptp(points, axis=1).max(axis=1) == 0] = np.nan
    return points


def _numbers(file: Path, table: pd.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    """Return columns as numbers (rows, columns), NaN where empty or infinite."""
    for column in table[columns].select_dtypes(exclude="number"):
        cells = table[column]
        bad = pd.to_numeric(cells, errors="coerce").isna() & cells.notna()
        if bad.any():
            row = int(np.argmax(bad.to_numpy()))
            what = f"{column} is {str(cells.iloc[row])!r}, not a number"
            raise DatasetCorrupt(file, row + 2, what)
    values = table[columns].to_numpy(np.float64)
    return np.where(np.isfinite(values), values, np.nan)
