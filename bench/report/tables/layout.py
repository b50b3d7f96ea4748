"""Layout: tables that are too wide are turned, or broken into parts that a page holds.

Used by `render.py`. Widths are in characters of a fixed pitch for what people read in a
terminal, and in points of 8 point type for LaTeX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bench.errors import closest
from bench.report.model import ReportError, Row, Table

WIDTHS: Mapping[str, tuple[int | None, int | None]] = {
    "column": (80, 237),
    "page": (120, 496),
    "full": (None, None),
}
"""`--width` -> characters of a terminal, and points of LaTeX: one and two columns of a paper."""

POINTS = 4.3
"""Width of a character in 8 point type: a digit of Computer Modern has 4.25."""

COLUMN_POINTS = 6.0
"""What lies between two columns: twice `\\tabcolsep` as the tables set it."""


def limits(width: str) -> tuple[int | None, int | None]:
    """Return the characters and points of a width; raises ReportError for an unknown one."""
    if width not in WIDTHS:
        known = ", ".join(WIDTHS)
        raise ReportError(f"no table width {width!r}: {closest(width, WIDTHS)}known: {known}")
    return WIDTHS[width]


def fit(table: Table, measure: Callable[[Table], list[float]], limit: float | None) -> list[Table]:
    """Return a table as it is, turned, or in parts, each at most `limit` wide where it can be.

    `measure` gives the width of each column of a table, its row names first. A table is turned (its
    columns become rows) if it may be and then needs no more parts.
    """
    parts = _parts(table, measure(table), limit)
    if len(parts) > 1 and table.turned:
        other = turn(table)
        others = _parts(other, measure(other), limit)
        if len(others) <= len(parts):
            return others
    return parts


def turn(table: Table) -> Table:
    """Make rows of the columns: one for each, headed as it was."""
    rows = [
        Row(label=heading, entries=tuple(replace(e, source=r.source) for e, r in pairs))
        for place, heading in enumerate(table.headings)
        for pairs in [[(row.entries[place], row) for row in table.rows]]
    ]
    return replace(
        table,
        corner=table.turned or table.corner,
        turned=table.corner,
        columns=tuple(row.heading for row in table.rows),
        rows=tuple(rows),
        column_context=(),
        remarks=(),
    )


def _parts(table: Table, widths: Sequence[float], limit: float | None) -> list[Table]:
    """Break a table between columns; each part repeats the names of the rows."""
    if limit is None or sum(widths) <= limit:
        return [table]
    groups: list[list[int]] = [[]]
    used = widths[0]
    for place, width in enumerate(widths[1:]):
        if groups[-1] and used + width > limit:
            groups.append([])
            used = widths[0]
        groups[-1].append(place)
        used += width
    return [_only(table, group) for group in groups]


def _only(table: Table, places: Sequence[int]) -> Table:
    def chosen(values: Sequence) -> tuple:
        return tuple(values[place] for place in places) if values else ()

    rows = tuple(replace(row, entries=chosen(row.entries)) for row in table.rows)
    return replace(
        table,
        columns=chosen(table.columns),
        rows=rows,
        column_context=chosen(table.column_context),
        remarks=chosen(table.remarks),
    )
