"""AU occurrence files as BP4D and its relatives write them: one CSV a recording, a row a frame.

Two dialects are in circulation: columns `0,1,2,...,99`, and a later release's `1,1,2,4,5,...` whose
first cell merely heads the frame column. AU columns are therefore found by name after the first
cell, never by position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._base import UNCODED, DatasetCorrupt

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
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetCorrupt(file, None, "this is not plain text (UTF-8)") from error
    except OSError as error:
        raise DatasetCorrupt(file, None, f"it cannot be read: {error.strerror}") from error
    for line, row in enumerate(text.translate(IGNORED).split("\n"), start=1):
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
