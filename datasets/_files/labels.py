"""Label files, a row a frame: intensities (a file an AU) and occurrence (a file a recording).

DISFA, DISFA+ and BP4D write intensities 0 to 5; BP4D's AU_OCC files hold a column an AU. Read by
the readers of those datasets.

Shapes: T frames, A action units.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets._base import UNCODED, DatasetCorrupt

from .folders import format_ranges
from .text import read_lines, read_text


@dataclass(frozen=True, eq=False)
class Intensities:
    """What a recording's files say, put together."""

    frames: NDArray[np.int64]
    """(T,) every frame that any file is about, increasing."""
    values: NDArray[np.int8]
    """(T, A) 0 to 5, or `UNCODED` where an AU's file has no line for the frame."""
    gaps: tuple[str, ...]
    """Sentences about AUs that some frames have and others lack."""

    def labels(self, threshold: int) -> NDArray[np.int8]:
        """Return (T, A): 1 from intensity `threshold` on, 0 below, `UNCODED` where unknown."""
        present = (self.values >= threshold).astype(np.int8)
        return np.where(self.values == UNCODED, np.int8(UNCODED), present)

    @property
    def levels(self) -> NDArray[np.float32]:
        """Return (T, A): 0 to 5, NaN where unknown."""
        return np.where(self.values == UNCODED, np.nan, self.values).astype(np.float32)


def read_intensities(
    files: Mapping[int, Path], aus: Iterable[int], line: re.Pattern[str], looks: str
) -> Intensities:
    """Read the files of a recording, AU -> file, an AU without a file being uncoded throughout.

    `line` matches a whole line and captures frame and intensity; `looks` tells people how one
    looks. Raises DatasetCorrupt(file, line, what) for anything that is not such a file.
    """
    tables = {au: _table(files[au], line, looks) for au in aus if au in files}
    none = np.empty(0, np.int64)
    frames = np.unique(np.concatenate([none, *(table[0] for table in tables.values())]))
    columns, gaps = [], []
    for au in aus:
        column = np.full(len(frames), UNCODED, np.int8)
        if au not in tables:
            gaps.append(f"there is no label file of AU {au}: it counts as not coded")
        else:
            column[np.searchsorted(frames, tables[au][0])] = tables[au][1]
            missing = frames[column == UNCODED].tolist()
            if missing:
                gaps.append(
                    f"AU {au} has no label on frames {format_ranges(missing)} (other AUs have)"
                )
        columns.append(column)
    return Intensities(frames, np.stack(columns, axis=1), tuple(gaps))


def _table(
    file: Path, line: re.Pattern[str], looks: str
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Return one file's frames (T,), strictly increasing, and intensities (T,)."""
    frames: list[int] = []
    values: list[int] = []
    last = -1
    for number, text in enumerate(read_lines(file), start=1):
        found = line.fullmatch(text)
        if found is None:
            if not text.strip() or text.startswith("#"):
                continue
            raise DatasetCorrupt(file, number, f"found {text.strip()[:40]!r}; {looks}")
        frame = int(found[1])
        if frame <= last:
            what = f"frame {frame} follows frame {last}: they must increase"
            raise DatasetCorrupt(file, number, what)
        frames.append(frame)
        values.append(int(found[2]))
        last = frame
    if not frames:
        raise DatasetCorrupt(file, None, f"there is no label in it; {looks}")
    return np.array(frames, np.int64), np.array(values, np.int8)


CODES = {"0": 0, "1": 1, "9": UNCODED}
"""Absent, present, not coded (occluded, say, or an AU the coders did not look for)."""

IGNORED = str.maketrans("", "", ' "')


def read_occurrence(file: Path, aus: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Return frame numbers (T,), strictly increasing, and labels (T, A): 1, 0 or `UNCODED`.

    Raises DatasetCorrupt(file, line, what) for anything that is not such a file.
    """
    rows = _rows(file)
    line, header = next(rows, (1, []))
    columns = _columns(file, line, header, aus)
    frames: list[int] = []
    labels: list[list[int]] = []
    for line, cells in rows:
        if len(cells) != len(header):
            what = f"{len(cells)} cells, but the header has {len(header)}"
            raise DatasetCorrupt(file, line, what)
        frames.append(_frame(file, line, cells[0], frames[-1] if frames else -1))
        try:
            labels.append([CODES[cells[column]] for column in columns])
        except KeyError as error:
            au = next(au for au, c in zip(aus, columns, strict=True) if cells[c] not in CODES)
            what = f"column {au} holds {error.args[0]!r}; an occurrence code is 0, 1 or 9"
            raise DatasetCorrupt(file, line, what) from None
    if not frames:
        raise DatasetCorrupt(file, line, "no coded frame follows the header")
    return np.array(frames, np.int64), np.array(labels, np.int8)


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (1-based line, cells without blanks and quotes) of every line that is not empty."""
    for line, row in enumerate(read_text(file).translate(IGNORED).split("\n"), start=1):
        if row:
            yield line, row.split(",")


def _columns(file: Path, line: int, header: list[str], aus: Sequence[int]) -> list[int]:
    names = header[1:]
    for au in aus:
        if names.count(str(au)) != 1:
            found = "no column" if str(au) not in names else "more than one column"
            what = f"the header names {found} {au}; it should read 0,1,2,...,99 or 1,1,2,4,..."
            raise DatasetCorrupt(file, line, what)
    return [1 + names.index(str(au)) for au in aus]


def _frame(file: Path, line: int, cell: str, last: int) -> int:
    if not re.fullmatch("[0-9]{1,9}", cell):
        raise DatasetCorrupt(file, line, f"the frame number is {cell!r}, not a whole number")
    if int(cell) <= last:
        raise DatasetCorrupt(file, line, f"frame {cell} follows frame {last}: they must increase")
    return int(cell)
