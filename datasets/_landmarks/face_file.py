"""Face files: boxes and landmarks from any detector, as CSV, one row a frame.

Ours has columns `subject,task,frame` (frame as in the image's name; no task where a subject has one
recording), then `x0,y0,x1,y1` and/or `p0_x,p0_y,...` with 49, 66 or 68 points. OpenFace's output
(`frame,...,confidence,success,x_0,...,y_67`) is read as it is. A folder holds a file a recording,
named by it (`F001_T1.csv`, `F001/T1.csv`), which then needs neither subject nor task. Pixels of the
stored image, origin at its top left corner; what it all means: docs/faces.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt
from datasets._files.folders import files_below
from datasets._files.tables import Table, read_table

from .markup import FARTHEST, MARKUPS, to_49

BOX = ["x0", "y0", "x1", "y1"]
OPENFACE = [f"{axis}_{k}" for k in range(68) for axis in "xy"]

TASK = ("task", "sequence")
"""The column that, with the subject, names the recording; the first that is there."""

DOUBT = {"success": 1.0, "confidence": 0.5}
"""OpenFace's columns (was a face found; how sure is the tracker), and the least for a face."""

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
    confidence: NDArray[np.float32] | None = None
    """(rows,) how sure the detector was, NaN where it does not say; None if it never does."""

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


def read_face_files(path: Path, recording: str | None = None) -> FaceFile:
    """Read a face file, or a folder of them; DatasetCorrupt for what is unreadable or foreign.

    A single file without a column `subject` is about the `recording`, if that is known.
    """
    if not path.is_dir():
        return read_face_file(path, recording)
    files = files_below(path, r".*\.(?i:csv)")
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
    kind, texts = "face file", ("subject", *TASK)
    table = read_table(file, kind, lambda header: _columns(file, header, recording), texts)
    boxes, points = face_positions(table)
    seen = _trusted(table) & (_known(boxes, len(table.data)) | _known(points, len(table.data)))
    frames = table.whole("frame", "frame number")
    index, repeated = _index(_names(table, recording)[seen], frames[seen], np.flatnonzero(seen))
    sure = table.numbers(["confidence"])[:, 0] if "confidence" in table.data else None
    confidence = None if sure is None else sure.astype(np.float32)
    return FaceFile(index, boxes, points, repeated, confidence)


def face_columns(header: Collection[str]) -> tuple[list[str], list[str]]:
    """Return the box and the landmark columns (x, y, x, ...) that a table has, or should have."""
    boxes = BOX if any(name in header for name in BOX) else []
    if "x_0" in header and "y_0" in header:
        return boxes, OPENFACE
    numbers = [int(name[1:-2]) for name in header if re.fullmatch(r"p[0-9]{1,3}_[xy]", name)]
    if not numbers:
        return boxes, []
    # Judged by the last point there is, so that a file that is cut short is told from a small one.
    count = next((count for count in MARKUPS if max(numbers) < count), MARKUPS[-1])
    return boxes, [f"p{k}_{axis}" for k in range(count) for axis in "xy"]


def face_positions(
    table: Table,
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """Return a table's boxes (rows, 4) and landmarks (rows, 49 or 68, 2), None where it has none.

    A box in part, one without area, and landmarks all on one spot are unknown: detectors write
    zeros where they find no face.
    """
    columns = face_columns(list(table.data.columns))
    boxes, points = (_pixels(table, names) if names else None for names in columns)
    if boxes is not None:
        boxes[~(boxes[:, :2] < boxes[:, 2:]).all(axis=1)] = np.nan
    if points is not None:
        points = points.reshape(len(points), len(columns[1]) // 2, 2)
        points[np.ptp(points, axis=1).max(axis=1) == 0] = np.nan
        points = to_49(points) if points.shape[1] == 66 else points
    return boxes, points


def _pixels(table: Table, columns: list[str]) -> NDArray[np.float32]:
    """Return columns of coordinates (rows, columns), NaN where no picture reaches."""
    numbers = table.numbers(columns)
    numbers[np.abs(numbers) > FARTHEST] = np.nan
    return numbers.astype(np.float32)


def _columns(file: Path, header: list[str], recording: str | None) -> list[str]:
    """Return the columns to read; DatasetCorrupt if some that belong together are missing."""
    boxes, points = face_columns(header)
    needed = [*(("frame",) if recording else ("subject", "frame")), *boxes, *points]
    missing = [name for name in needed if name not in header]
    if missing:
        what = f"there is no column {missing[0]}; {EXPECTED}{_hint(header, missing)}"
        raise DatasetCorrupt(file, 1, what)
    if not boxes and not points:
        raise DatasetCorrupt(file, 1, f"there are neither boxes nor landmarks; {EXPECTED}")
    return [*needed, *(n for n in ("subject", *TASK, *DOUBT) if n in header and n not in needed)]


def _hint(header: list[str], missing: list[str]) -> str:
    """Say what to do about a table whose kind is known although columns are missing."""
    if missing == ["subject"]:
        return "; put it, named by its recording (F001_T1.csv), into a folder and name that"
    if "frame" in missing and "face" in header and "x_0" in header:
        return (
            "; this is the output of OpenFace's FaceLandmarkImg, a file a picture: run its "
            "FeatureExtraction on the folder of each recording (-fdir), which writes frames"
        )
    if missing[:2] == ["p0_x", "p0_y"] and f"p{max(MARKUPS)}_x" in header:
        return "; its points count from 1 (p1 to p68): name them p0 to p67"
    return ""


def _names(table: Table, recording: str | None) -> NDArray[np.object_]:
    """Name each row's recording; empty where a part of the name is."""
    if "subject" not in table.data:
        return np.full(len(table.data), recording, object)
    subjects = table.texts("subject")
    tasks = next((table.texts(name) for name in TASK if name in table.data), None)
    if tasks is None:
        return subjects
    pairs = zip(subjects, tasks, strict=True)
    return np.array([f"{s}_{t}" if s and t else "" for s, t in pairs], object)


def _trusted(table: Table) -> NDArray[np.bool_]:
    """Tell which rows (rows,) the detector itself does not doubt; an empty cell is no doubt."""
    trusted = np.ones(len(table.data), bool)
    for name, least in DOUBT.items():
        if name in table.data:
            trusted &= ~(table.numbers([name])[:, 0] < least)
    return trusted


def _known(part: NDArray[np.float32] | None, rows: int) -> NDArray[np.bool_]:
    """Tell which rows (rows,) of boxes or landmarks hold anything."""
    if part is None:
        return np.zeros(rows, bool)
    flat = part.reshape(rows, math.prod(part.shape[1:]))
    known: NDArray[np.bool_] = np.logical_or.reduce(np.isfinite(flat), axis=1)
    return known


def _index(
    names: NDArray[np.object_], frames: NDArray[np.float64], rows: NDArray[np.intp]
) -> tuple[Index, int]:
    """Return each recording's frames and rows, and how many rows repeat an earlier frame."""
    keys = pd.DataFrame({"name": names, "frame": frames, "row": rows})
    keys = keys[(keys["name"] != "") & keys["frame"].notna()].astype({"frame": np.int64})
    again = keys.duplicated(["name", "frame"])
    index = {
        str(name): (group["frame"].to_numpy(np.int64), group["row"].to_numpy(np.intp))
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
    """Put files with the same kinds of columns one after the other; of a frame the first counts."""
    tables = [[part.boxes for part in parts], [part.points for part in parts]]
    boxes, points = (
        None if each[0] is None else np.concatenate([t for t in each if t is not None])
        for each in tables
    )
    lengths = [len(next(t for t in (p.boxes, p.points) if t is not None)) for p in parts]
    index: Index = {}
    repeated = sum(part.repeated for part in parts)
    for part, start in zip(parts, accumulate(lengths, initial=0), strict=False):
        for name, (frames, rows) in part.index.items():
            known = index.get(name, (np.empty(0, np.int64), np.empty(0, np.intp)))
            new = ~np.isin(frames, known[0])
            repeated += int((~new).sum())
            index[name] = (np.r_[known[0], frames[new]], np.r_[known[1], rows[new] + start])
    return FaceFile(index, boxes, points, repeated)
