"""Tables that people bring, CSV or parquet: chosen columns, and bad cells named by their line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt, DatasetError

from .text import read_text, separator_hint

Texts = NDArray[np.object_]
"""(rows,) str: numpy's own texts are all as long as the longest."""

_CSV: dict[str, Any] = {"encoding": "utf-8-sig", "skipinitialspace": True}

_UNKNOWN = (
    *("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null", "None"),
)
"""What stands for an unknown number; in a column of names only an empty cell does."""

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

    def texts(self, column: str, blanks: str | None = None) -> Texts:
        """Return a column as texts (rows,) without blanks around them, empty where unknown.

        `blanks` are the characters that count as such; None: all that Unicode knows.
        """
        cells = self.data[column]
        if pd.api.types.is_float_dtype(cells) and (cells.dropna() % 1 == 0).all():
            cells = cells.astype("Int64")  # whole numbers with gaps, which parquet has as floats
        texts = cells.astype(object).where(cells.notna(), "")
        return np.array([_text(text).strip(blanks) for text in texts], np.object_)

    def numbers(self, columns: list[str]) -> NDArray[np.float64]:
        """Return columns as numbers (rows, columns), NaN where empty; they may be infinite.

        Raises DatasetCorrupt for a cell that is no number.
        """
        cells = self.data[columns]
        # Times count as numbers to pandas, and become nanoseconds.
        plain = [pd.api.types.is_numeric_dtype(kind) for kind in cells.dtypes]
        for column in cells.columns[~np.array(plain, np.bool_)]:
            given = cells[column].astype(object).where(cells[column].notna(), None)
            times = pd.api.types.infer_dtype(given).startswith(("date", "time"))
            values = pd.to_numeric(given if not times else given.isna(), errors="coerce")
            wrong = (times | values.isna().to_numpy(bool)) & cells[column].notna().to_numpy(bool)
            self.refuse(wrong, partial(_no_number, str(column), given.to_list()))
            cells = cells.assign(**{str(column): values})
        return cells.to_numpy(np.float64, na_value=np.nan).copy()

    def whole(self, column: str, what: str) -> NDArray[np.float64]:
        """Return a column of whole numbers (rows,), NaN where empty; DatasetCorrupt for others."""
        numbers = self.numbers([column])[:, 0]
        large = np.abs(numbers) >= _LARGEST
        strange = large | (np.where(large, 0, numbers) % 1 > 0)
        self.refuse(strange, lambda row: f"{numbers[row]:g} is no {what}")
        return numbers


def _text(cell: object) -> str:
    """Write a cell out; older programs keep texts as bytes in parquet."""
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


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
    line, header = _header(file)
    if len(header) == 1 and (hint := separator_hint(header[0])):
        raise DatasetCorrupt(file, line, hint.removeprefix("; "))
    columns = choose(list(dict.fromkeys(header)))
    _check_cells(file, columns)
    unknown = {name: [""] if name in texts else list(_UNKNOWN) for name in columns}
    data = pd.read_csv(
        file,
        skiprows=line - 1,
        usecols=columns,
        dtype=dict.fromkeys(texts, str),
        na_values=unknown,
        keep_default_na=False,
        index_col=False,
        skip_blank_lines=False,
        low_memory=False,
        **_CSV,
    )
    return Table(file, data.dropna(how="all"), line + 1)


def _header(file: Path) -> tuple[int, list[str]]:
    """Return the line and the cells of the first row that is not empty."""
    rows = _rows(file)
    line, header = next(((line, row) for line, row in rows if any(row)), (1, []))
    if not header:
        raise ValueError("it is empty")
    return line, header


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line that a row ends on, its cells); DatasetCorrupt where it is not UTF-8."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.reader(stream, skipinitialspace=True)
            for row in rows:
                yield rows.line_num, row
    except UnicodeDecodeError:
        read_text(file)  # which says where, and what it is
        raise


def _check_cells(file: Path, columns: list[str]) -> None:
    """Refuse rows that are too long or short: pandas would fill or cut them, and labels move.

    Empty cells at the end, and empty rows, do no harm.
    """
    rows = ((line, row) for line, row in _rows(file) if any(row))
    line, header = next(rows, (1, []))
    for name in columns:
        if header.count(name) > 1:
            raise DatasetCorrupt(file, line, f"there are two columns {name}")
    width = len(header)
    for line, row in rows:
        if len(row) != width and (len(row) < width or any(row[width:])):
            what = f"{len(row)} cells, but the header has {width}"
            raise DatasetCorrupt(file, line, what)


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
        # What pandas has put aside as an index is a column of the file as any other.
        data = table.to_pandas(ignore_metadata=True)
        return Table(file, data.dropna(how="all").reset_index(drop=True), 1)
    except ArrowException as error:
        raise ValueError(str(error)) from error
