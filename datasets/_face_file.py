"""Face files: boxes and landmarks from any detector, as CSV, one row a frame.

Ours has columns `subject,task,frame` (frame as in the image's name; no task where a subject has one
recording), then `x0,y0,x1,y1` and/or `p0_x,p0_y,...` with 49, 66 or 68 points. OpenFace's output
(`frame,...,confidence,success,x_0,...,y_67`) is read as it is. A folder holds a file a recording,
named by it (`F001_T1.csv`, `F001/T1.csv`), which then needs neither subject nor task. Pixels of the
stored image, origin at its top left corner; what it all means: docs/faces.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._base import DatasetCorrupt
from ._landmarks import MARKUPS, to_49

BOX = ["x0", "y0", "x1", "y1"]
OPENFACE = [f"{axis}_{k}" for k in range(68) for axis in "xy"]
DOUBT = ["success", "confidence"]
"""OpenFace's columns: was a face found (0 or 1), and how sure is the tracker of it (0 to 1)."""
CONFIDENCE = 0.5
"""Below it a face counts as not found."""
EXPECTED = (
    "a face file has subject,task,frame, then x0,y0,x1,y1 and/or p0_x,p0_y,...,p48_y (or p65_y, or "
    "p67_y), or is OpenFace's"
)

Index = dict[str, tuple[NDArray[np.int64], NDArray[np.intp]]]


@dataclass(frozen=True, eq=False)
class FaceFile:
    """The rows of a face file, found by recording and frame."""

    index: Mapping[str, tuple[NDArray[np.int64], NDArray[np.intp]]]
    """Recording (`F001_T1`, or `F001` alone) -> its frames with a face, and the row of each."""
    boxes: NDArray[np.float32] | None
    """(rows, 4): x0, y0, x1, y1; None if the file has no boxes."""
    points: NDArray[np.float32] | None
    """(rows, 49 or 68, 2): x, y; None if the file has no landmarks."""
    repeated: int
    """Rows left out because an earlier row shows a face on the same frame."""

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


def read_face_files(path: Path) -> FaceFile:
    """Read a face file, or a folder of them; DatasetCorrupt for what is unreadable or foreign."""
    if not path.is_dir():
        return read_face_file(path)
    files = sorted(path.rglob("*.csv"))
    if not files:
        raise DatasetCorrupt(path, None, "there is no face file (.csv) in this folder")
    parts = [read_face_file(file, _recording(path, file)) for file in files]
    for file, part in zip(files, parts, strict=True):
        if _kinds(part) != _kinds(parts[0]):
            what = f"it has not the same kinds of columns as {files[0].name} beside it"
            raise DatasetCorrupt(file, 1, what)
    return _joined(parts)


def read_face_file(file: Path, recording: str | None = None) -> FaceFile:
    """Read a face file; one without a column `subject` is about the `recording`, if that is known.

    Raises DatasetCorrupt for one that is unreadable or lacks columns.
    """
    table, boxes, points = _read(file, recording)
    box = _boxes(_numbers(file, table, boxes)) if boxes else None
    mark = _points(_numbers(file, table, points)) if points else None
    seen = np.zeros(len(table), bool)
    for known in (known for known in (box, mark) if known is not None):
        seen |= np.isfinite(known).reshape(len(table), -1).any(axis=1)
    seen &= _trusted(file, table)
    names = _names(table, recording)
    index, repeated = _index(names[seen], _frames(file, table)[seen])
    return FaceFile(index, box, mark, repeated)


def _read(file: Path, recording: str | None) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the table, its box columns and its landmark columns."""
    layout: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True}
    try:
        header = set(pd.read_csv(file, nrows=0, **layout).columns)
        boxes, points = _columns(file, header, recording)
        extra = [name for name in ("subject", "task", *DOUBT) if name in header]
        table = pd.read_csv(
            file,
            usecols=["frame", *extra, *boxes, *points],
            dtype={"subject": str, "task": str},
            index_col=False,
            skip_blank_lines=False,
            low_memory=False,
            **layout,
        )
    except OSError as error:
        raise DatasetCorrupt(file, None, f"it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DatasetCorrupt(file, None, f"this is no face file ({error})") from error
    return table, boxes, points


def _columns(file: Path, header: set[str], recording: str | None) -> tuple[list[str], list[str]]:
    """Return the box and the landmark columns that the file has, whole or not at all."""
    boxes = BOX if header.intersection(BOX) else []
    points = point_columns(header)
    key = ["frame"] if recording else ["subject", "frame"]
    missing = [column for column in (*key, *boxes, *points) if column not in header]
    if missing:
        hint = ""
        if missing == ["subject"]:
            hint = "; put it, named by its recording (F001_T1.csv), into a folder and name that"
        raise DatasetCorrupt(file, 1, f"there is no column {missing[0]}; {EXPECTED}{hint}")
    if not boxes and not points:
        raise DatasetCorrupt(file, 1, f"there are neither boxes nor landmarks; {EXPECTED}")
    return boxes, points


def point_columns(header: Collection[str]) -> list[str]:
    """Name the landmark columns a file should have, judged by the last one it has: x, y, x, ..."""
    if "x_0" in header and "y_0" in header:
        return OPENFACE
    numbers = [int(name[1:-2]) for name in header if re.fullmatch(r"p[0-9]{1,3}_[xy]", name)]
    if not numbers:
        return []
    count = next((count for count in MARKUPS if max(numbers) < count), MARKUPS[-1])
    return [f"p{k}_{axis}" for k in range(count) for axis in "xy"]


def _names(table: pd.DataFrame, recording: str | None) -> pd.Series:
    """Name each row's recording; missing where a cell of the name is empty."""
    if "subject" not in table:
        return pd.Series(recording, index=table.index, dtype=str)
    return table["subject"] + "_" + table["task"] if "task" in table else table["subject"]


def _frames(file: Path, table: pd.DataFrame) -> NDArray[np.float64]:
    frames = _numbers(file, table, ["frame"])[:, 0]
    strange = np.flatnonzero((frames % 1 > 0) | (np.abs(frames) >= 1e9))
    if len(strange):
        what = f"{frames[strange[0]]:g} is no frame number"
        raise DatasetCorrupt(file, int(strange[0]) + 2, what)
    return frames


def _trusted(file: Path, table: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which rows (rows,) the detector itself does not doubt; an empty cell is no doubt."""
    trusted = np.ones(len(table), bool)
    for name, least in zip(DOUBT, (1.0, CONFIDENCE), strict=True):
        if name in table:
            trusted &= ~(_numbers(file, table, [name])[:, 0] < least)
    return trusted


def _index(names: pd.Series, frames: NDArray[np.float64]) -> tuple[Index, int]:
    """Return each recording's frames and rows, and how many rows repeat an earlier frame."""
    keys = pd.DataFrame({"name": names, "frame": frames}).dropna().astype({"frame": np.int64})
    again = keys.duplicated()
    index = {
        str(name): (group["frame"].to_numpy(np.int64), group.index.to_numpy(np.intp))
        for name, group in keys[~again].groupby("name")
    }
    return index, int(again.sum())


def _recording(folder: Path, file: Path) -> str:
    """Name the recording that a folder's file is about: F001_T1.csv, F001/T1.csv."""
    inside, stem = file.parent.relative_to(folder).name, file.stem
    return stem if not inside or stem.startswith(f"{inside}_") else f"{inside}_{stem}"


def _kinds(part: FaceFile) -> list[tuple[int, ...] | None]:
    return [None if table is None else table.shape[1:] for table in (part.boxes, part.points)]


def _joined(parts: list[FaceFile]) -> FaceFile:
    """Put files with the same kinds of columns one after the other."""
    tables = [[part.boxes for part in parts], [part.points for part in parts]]
    boxes, points = (
        None if each[0] is None else np.concatenate([t for t in each if t is not None])
        for each in tables
    )
    lengths = [len(next(t for t in (p.boxes, p.points) if t is not None)) for p in parts]
    index: Index = {}
    for part, start in zip(parts, accumulate(lengths, initial=0), strict=False):
        for name, (frames, rows) in part.index.items():
            known = index.get(name, (np.empty(0, np.int64), np.empty(0, np.intp)))
            index[name] = (np.r_[known[0], frames], np.r_[known[1], rows + start])
    return FaceFile(index, boxes, points, sum(part.repeated for part in parts))


def _boxes(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Take a box without area as unknown: detectors write zeros where they find no face."""
    boxes = numbers.astype(np.float32)
    boxes[(boxes[:, :2] >= boxes[:, 2:]).any(axis=1)] = np.nan
    return boxes


def _points(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """Take landmarks that all lie on one spot as unknown, for the same reason; 66 become 49."""
    points = numbers.astype(np.float32).reshape(len(numbers), -1, 2)
    points[np.ptp(points, axis=1).max(axis=1) == 0] = np.nan
    return to_49(points) if points.shape[1] == 66 else points


def _numbers(file: Path, table: pd.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    """Return columns as numbers (rows, columns), NaN where empty or infinite."""
    cells = table[columns]
    for column in cells.select_dtypes(exclude="number"):
        numbers = pd.to_numeric(cells[column], errors="coerce")
        bad = numbers.isna() & cells[column].notna()
        if bad.any():
            row = int(np.argmax(bad.to_numpy()))
            what = f"{column} is {str(cells[column].iloc[row])!r}, not a number"
            raise DatasetCorrupt(file, row + 2, what)
        cells = cells.assign(**{str(column): numbers})
    values = cells.to_numpy(np.float64, copy=True)
    values[~np.isfinite(values)] = np.nan
    return values
