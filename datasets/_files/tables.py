"""Tables that people bring, CSV or parquet: chosen columns, and bad cells named by their line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt, DatasetError

Texts = NDArray[np.object_]
"""(rows,) str: numpy's own texts are all as long as the longest."""

_CSV: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True}

_LARGEST = 1e9
"""No frame number, and no other count, is as large."""


@dataclass(frozen=True, eq=False)
class Table:
    """Some columns of a file, row by row."""

    file: Path
    data: pd.DataFrame
    """Rows with anything in them, by their number in the file."""
    first: int
    """Line of row 0: 2 under a CSV file's header, 1 in parquet, which has no lines."""

    def line(self, row: int) -> int:
        """Return the line that a row (counted from 0) stands on."""
        return self.first + int(self.data.index[row])

    def bad(self, row: int, what: str) -> DatasetCorrupt:
        """Build the error about a row."""
        return DatasetCorrupt(self.file, self.line(row), what)

    def refuse(self, wrong: NDArray[np.bool_], what: Callable[[int], str]) -> None:
        """Raise DatasetCorrupt about the first row that is wrong (rows,), if one is."""
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.bad(row, what(row))

    def texts(self, column: str) -> Texts:
        """Return a column as texts (rows,) without blanks around them, empty where unknown."""
        cells = self.data[column]
        if pd.api.types.is_float_dtype(cells) and (cells.dropna() % 1 == 0).all():
            cells = cells.astype("Int64")  # whole numbers with gaps, which parquet has as floats
        texts = cells.astype(object).where(cells.notna(), "")
        return np.array([str(text).strip() for text in texts], np.object_)

    def numbers(self, columns: list[str]) -> NDArray[np.float64]:
        """Return columns as numbers (rows, columns), NaN where empty or infinite.

        Raises DatasetCorrupt for a cell that is no number.
        """
        cells = self.data[columns]
        for column in cells.select_dtypes(exclude="number"):
            values = pd.to_numeric(cells[column], errors="coerce")
            wrong = (values.isna() & cells[column].notna()).to_numpy(bool)
            given = cells[column].to_list()
            self.refuse(wrong, partial(_no_number, str(column), given))
            cells = cells.assign(**{str(column): values})
        numbers = cells.to_numpy(np.float64, na_value=np.nan).copy()
        numbers[~np.isfinite(numbers)] = np.nan
        return numbers

    def whole(self, column: str, what: str) -> NDArray[np.float64]:
        """Return a column of whole numbers (rows,), NaN where empty; DatasetCorrupt for others."""
        numbers = self.numbers([column])[:, 0]
        strange = (numbers % 1 > 0) | (np.abs(numbers) >= _LARGEST)
        self.refuse(strange, lambda row: f"{numbers[row]:g} is no {what}")
        return numbers


def _no_number(column: str, given: list[object], row: int) -> str:
    return f"{column} is {str(given[row])!r}, not a number"


def read_table(
    file: Path, kind: str, choose: Callable[[list[str]], list[str]], texts: Collection[str]
) -> Table:
    """Read those columns that `choose` picks from the header; `texts` are never made numbers.

    Raises DatasetCorrupt, saying that it is no `kind`, for a file that cannot be read.
    """
    read = _read_parquet if file.suffix.lower() == ".parquet" else _read_csv
    try:
        return read(file, choose, texts)
    except OSError as error:
        why = error.strerror or "it is damaged"
        raise DatasetCorrupt(file, None, f"it cannot be read: {why}") from error
    except (ValueError, OverflowError, csv.Error) as error:
        why = " ".join(str(error).split())
        raise DatasetCorrupt(file, None, f"this is no {kind} ({why})") from error


def _read_csv(
    file: Path, choose: Callable[[list[str]], list[str]], texts: Collection[str]
) -> Table:
    header = [str(name) for name in pd.read_csv(file, nrows=0, **_CSV).columns]
    columns = choose(header)
    _check_cells(file, columns)
    data = pd.read_csv(
        file,
        usecols=columns,
        dtype=dict.fromkeys(texts, str),
        index_col=False,
        skip_blank_lines=False,
        low_memory=False,
        **_CSV,
    )
    return Table(file, data.dropna(how="all"), 2)


def _check_cells(file: Path, columns: list[str]) -> None:
    """Refuse rows that are too long or short: pandas would fill or cut them, and labels move.

    Empty cells at the end, and empty rows, do no harm.
    """
    with file.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.reader(stream, skipinitialspace=True)
        header = next((row for row in rows if any(row)), [])
        for name in columns:
            if header.count(name) > 1:
                raise DatasetCorrupt(file, rows.line_num, f"there are two columns {name}")
        width = len(header)
        for row in rows:
            if len(row) != width and any(row) and (len(row) < width or any(row[width:])):
                what = f"{len(row)} cells, but the header has {width}"
                raise DatasetCorrupt(file, rows.line_num, what)


def _read_parquet(
    file: Path,
    choose: Callable[[list[str]], list[str]],
    texts: Collection[str],  # noqa: ARG001  parquet knows what its columns are
) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise DatasetError(
            f"{file}: reading parquet takes pyarrow (pip install pyarrow); or save it as CSV"
        ) from error
    try:
        columns = choose(list(parquet.read_schema(file).names))
        table = parquet.read_table(file, columns=columns)
        table.validate(full=True)  # texts that are none would only show when a cell is read
        data = table.to_pandas()
        return Table(file, data.dropna(how="all").reset_index(drop=True), 1)
    except ArrowException as error:
        raise ValueError(str(error)) from error
