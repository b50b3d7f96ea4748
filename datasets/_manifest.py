"""A manifest's rows: who, which recording, which frame, which labels, all checked by line.

Column names and what cells may hold: docs/datasets/manifest.md.

Shapes: R rows, A action units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets._files.folders import PathEscape, SafeFolder
from datasets._files.images import ImageFiles
from datasets._files.tables import Table, Texts, read_table
from datasets._files.video import VideoFrames
from datasets._landmarks.face_file import face_columns

from ._base import DatasetCorrupt, FrameSource
from ._manifest_labels import (
    EXPECTED,
    chosen_columns,
    label_columns,
    read_labels,
    read_levels,
    side_by_side,
)

KEY = ("subject", "sequence", "frame")
PICTURES = ("path", "video")
PEOPLE = ("sex", "fold")

SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}


@dataclass(frozen=True, eq=False)
class Rows:
    """A manifest's rows in its own order."""

    table: Table
    names: Texts
    """(R,) `SUBJECT_SEQUENCE`."""
    subjects: Texts
    sequences: Texts
    frames: NDArray[np.int64]
    aus: tuple[int, ...]
    labels: NDArray[np.int8]
    """(R, A)"""
    intensities: NDArray[np.float32] | None
    """(R, A) 0 to 5, NaN where unknown; None if no AU has a column of them."""

    def recordings(self) -> Iterator[tuple[str, NDArray[np.intp]]]:
        """Yield every recording's name and rows in the order of frames, by subject and sequence."""
        keys = sorted({*zip(self.subjects, self.sequences, self.names, strict=True)})
        place = {name: at for at, (_, _, name) in enumerate(keys)}
        of = np.array([place[name] for name in self.names])
        order = np.lexsort((self.frames, of))
        ends = np.searchsorted(of[order], np.arange(1, len(keys)))
        for (_, _, name), rows in zip(keys, np.split(order, ends), strict=True):
            yield name, rows


def read_rows(file: Path, aus: tuple[int, ...], threshold: float) -> Rows:
    """Read a manifest; `aus` () means all it has labels for.

    An intensity counts as present from `threshold` on. Raises DatasetCorrupt.
    """
    texts = (*KEY[:2], *PICTURES)
    table = read_table(file, "manifest", lambda header: _columns(file, header), texts)
    if table.data.empty:
        raise DatasetCorrupt(file, None, "no row follows the header")
    subjects, sequences = _filled(table, "subject"), _filled(table, "sequence")
    frames = table.whole("frame", "frame number")
    table.refuse(np.isnan(frames), lambda _: "there is no frame number")
    columns = chosen_columns(file, list(table.data.columns), aus)
    levels = [read_levels(table, each.intensity) for each in columns.values()]
    labels = [
        read_labels(table, each.label, column, threshold)
        for each, column in zip(columns.values(), levels, strict=True)
    ]
    names = subjects + "_" + sequences
    whole = frames.astype(np.int64)
    _no_doubles(table, names, subjects, whole)
    return Rows(
        table,
        names,
        subjects,
        sequences,
        whole,
        tuple(columns),
        np.stack(labels, axis=1),
        side_by_side(levels),
    )


def read_people(file: Path) -> tuple[dict[str, str], dict[str, int] | None]:
    """Return every subject's sex ("F", "M" or "") and, if there is a column fold, its fold.

    Raises DatasetCorrupt, also for a subject of two sexes or in two folds.
    """
    table = read_table(file, "manifest", lambda header: _people_columns(file, header), ("subject",))
    subjects = _filled(table, "subject")
    return _sexes(table, subjects), _folds(table, subjects)


def _columns(file: Path, header: list[str]) -> list[str]:
    boxes, points = face_columns(header)
    missing = [name for name in (*KEY, *boxes, *points) if name not in header]
    if missing:
        raise DatasetCorrupt(file, 1, f"there is no column {missing[0]}; {EXPECTED}")
    pictures = [name for name in PICTURES if name in header]
    if not pictures:
        raise DatasetCorrupt(file, 1, f"there is no column path and no column video; {EXPECTED}")
    labels = [name for each in label_columns(file, header).values() for name in each.names]
    return [*KEY, *pictures, *labels, *boxes, *points]


def _people_columns(file: Path, header: list[str]) -> list[str]:
    if "subject" not in header:
        raise DatasetCorrupt(file, 1, f"there is no column subject; {EXPECTED}")
    return ["subject", *(name for name in PEOPLE if name in header)]


def _filled(table: Table, column: str) -> Texts:
    texts = table.texts(column)
    table.refuse(texts == "", lambda _: f"there is no {column}")
    return texts


def _no_doubles(table: Table, names: Texts, subjects: Texts, frames: NDArray[np.int64]) -> None:
    """Refuse a frame that is there twice, and two recordings that would have one name."""
    rows = pd.DataFrame({"name": names, "subject": subjects, "frame": frames})
    table.refuse(
        rows.duplicated(["name", "frame"]).to_numpy(bool),
        lambda row: f"frame {frames[row]} of {names[row]} is there already",
    )
    whose = rows.groupby("name")["subject"].transform("first").to_numpy(object)
    table.refuse(
        whose != subjects,
        lambda row: f"{whose[row]} and {subjects[row]} both have a {names[row]}: rename one",
    )


def _sexes(table: Table, subjects: Texts) -> dict[str, str]:
    if "sex" not in table.data:
        return dict.fromkeys(subjects, "")
    given = np.array([SEXES.get(text.lower(), text) for text in table.texts("sex")], np.object_)
    wrong = ~np.isin(given.astype(str), ("", *SEXES.values()))
    table.refuse(wrong, lambda row: f"sex is {given[row]!r}; it may be F, M or empty")
    return _one_each(table, "sex", subjects, given)


def _folds(table: Table, subjects: Texts) -> dict[str, int] | None:
    if "fold" not in table.data:
        return None
    folds = table.whole("fold", "fold")
    wrong = ~((folds >= 0) & (folds < len(subjects)))
    table.refuse(wrong, lambda _: "fold must be a whole number, counted from 0, on every row")
    each = _one_each(table, "fold", subjects, folds.astype(np.int64).astype(str).astype(object))
    return {who: int(fold) for who, fold in each.items()}


def _one_each(table: Table, column: str, subjects: Texts, values: Texts) -> dict[str, str]:
    """Map each subject to its one value; DatasetCorrupt for a subject with two."""
    rows = pd.DataFrame({"subject": subjects, "value": values})
    first = rows.groupby("subject")["value"].transform("first").to_numpy(object)
    table.refuse(
        first != values,
        lambda row: f"{column} of {subjects[row]} is {values[row]!r}, and was {first[row]!r}",
    )
    return dict(zip(subjects, values, strict=True))


@dataclass(frozen=True, eq=False)
class Pictures:
    """Where each row's picture is: in a file of its own, or in a video."""

    images: Texts
    """(R,) relative to `root`; empty where it is in a video."""
    videos: Texts
    there: NDArray[np.bool_]
    """(R,) whether the file is."""
    root: SafeFolder

    def source(self, rows: NDArray[np.intp], frames: NDArray[np.int64]) -> FrameSource:
        """Return the pixels of one recording's rows; a video's frames count from 1."""
        if video := self.videos[rows[0]]:
            return VideoFrames(self.root.path, video, tuple((frames - 1).tolist()))
        return ImageFiles(self.root.path, tuple(self.images[rows]))

    def lost(self, rows: NDArray[np.intp]) -> str:
        """Say which file, the first of some rows' that are not there, was looked for."""
        name = self.images[rows[0]] or self.videos[rows[0]]
        if other := self.root.alike(name):
            return f"{name}; {other} is there: names must agree in case and in the form of accents"
        return str(name)


def find_pictures(rows: Rows, folder: SafeFolder) -> Pictures:
    """Look every file up, once.

    Raises DatasetCorrupt for a name that leads out of the folder, a row without picture or with
    two, and a recording in two videos.
    """
    images, videos = (_names(rows.table, kind, folder) for kind in PICTURES)
    wrong = (images == "") == (videos == "")
    rows.table.refuse(wrong, lambda _: "a row names either a path or a video")
    _check_videos(rows, videos)
    names = images + videos
    holds = {name: folder.holds(name) for name in dict.fromkeys(names)}
    there = np.array([holds[name] for name in names], np.bool_)
    return Pictures(images, videos, there, folder)


def _names(table: Table, kind: str, folder: SafeFolder) -> Texts:
    """Return a column of paths (R,) as names in the folder, empty where it is empty."""
    if kind not in table.data:
        return np.full(len(table.data), "", np.object_)
    known: dict[str, str] = {"": ""}
    given = table.texts(kind, " \t")
    for row, text in enumerate(given):
        if text not in known:
            try:
                known[text] = folder.name(text)
            except PathEscape as error:
                raise table.bad(row, f"{kind} {error}") from None
    return np.array([known[text] for text in given], np.object_)


def _check_videos(rows: Rows, videos: Texts) -> None:
    video_of: dict[str, str] = {}
    first = [video_of.setdefault(n, v) for n, v in zip(rows.names, videos, strict=True)]
    before = np.array(first, np.object_)
    rows.table.refuse(
        before != videos,
        lambda row: (
            f"{rows.names[row]} is in {videos[row] or 'pictures'} here, "
            f"and in {before[row] or 'pictures'} before"
        ),
    )
    early = (videos != "") & (rows.frames < 1)
    rows.table.refuse(early, lambda _: "the frames of a video count from 1")
