"""An AU's columns in a manifest: occurrence, intensities, or both; used by `_manifest.py`.

Shapes: R rows, A action units.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets._files.tables import Table

from ._base import UNCODED, DatasetCorrupt, DatasetError

NOT_CODED = (-1, -9, 9, 999)
"""What other tables write for it, besides nothing."""

HIGHEST = 5
"""The highest intensity there is (E)."""

EXPECTED = (
    "a manifest has columns subject, sequence, frame, path or video, and AU1, AU2, ... "
    "or AU1_intensity, ..."
)

Levels = NDArray[np.float64]
_AU = re.compile(r"au[ _]?0*([1-9][0-9]?)([ _]?int(?:ensity)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class AuColumns:
    """The names of an AU's columns; at least one of them is there."""

    label: str | None
    intensity: str | None

    @property
    def names(self) -> list[str]:
        """Those that are there."""
        return [name for name in (self.label, self.intensity) if name is not None]


def label_columns(file: Path, header: Collection[str]) -> dict[int, AuColumns]:
    """Map each AU to its columns."""
    found: dict[tuple[int, bool], str] = {}
    for column in header:
        match = _AU.fullmatch(column.strip(" '\""))
        if match is None:
            continue
        key = int(match[1]), match[2] is not None
        if key in found:
            what = f"columns {found[key]} and {column} are about the same action unit"
            raise DatasetCorrupt(file, 1, what)
        found[key] = column
    if not found:
        raise DatasetCorrupt(file, 1, f"there is no column of an action unit; {EXPECTED}")
    aus = sorted({au for au, _ in found})
    return {au: AuColumns(found.get((au, False)), found.get((au, True))) for au in aus}


def chosen_columns(file: Path, header: list[str], aus: tuple[int, ...]) -> dict[int, AuColumns]:
    columns = label_columns(file, header)
    for au in aus:
        if au not in columns:
            known = ", ".join(map(str, columns))
            raise DatasetError(f"aus names AU {au}, but {file.name} has labels for {known} only")
    return {au: columns[au] for au in aus or columns}


def read_levels(table: Table, column: str | None) -> Levels | None:
    """Return one AU's intensities (R,), NaN where unknown; None without a column of them."""
    if column is None:
        return None
    return _values(
        table,
        column,
        lambda given: (given >= 0) & (given <= HIGHEST),
        f"an intensity is 0 to {HIGHEST}",
    )


def read_labels(
    table: Table, column: str | None, levels: Levels | None, threshold: float
) -> NDArray[np.int8]:
    """Return one AU's labels (R,): 1, 0 or `UNCODED`; of its intensities without a column."""
    least: float = 1
    if column is not None:
        levels = _values(table, column, lambda given: np.isin(given, (0, 1)), "a label is 1 or 0")
    else:
        least = threshold
    assert levels is not None, "an AU has one column at least"
    return np.where(np.isnan(levels), UNCODED, levels >= least).astype(np.int8)


def _values(
    table: Table, column: str, is_good: Callable[[Levels], NDArray[np.bool_]], may: str
) -> Levels:
    """Return a column's numbers (R,), NaN where not coded; DatasetCorrupt for other values."""
    values = table.numbers([column])[:, 0]
    unknown = np.isnan(values) | np.isin(values, NOT_CODED)
    table.refuse(
        ~(unknown | is_good(values)),
        lambda row: f"{column} is {values[row]:g}; {may}, and empty (or -1, 9) if not coded",
    )
    return np.where(unknown, np.nan, values)


def side_by_side(columns: list[Levels | None]) -> NDArray[np.float32] | None:
    """Put the AUs' intensities side by side, (R, A)."""
    rows = next((len(column) for column in columns if column is not None), None)
    if rows is None:
        return None
    nothing = np.full(rows, np.nan)
    filled = [nothing if column is None else column for column in columns]
    return np.stack(filled, axis=1).astype(np.float32)
