"""Tables that the report page takes over from `bench table`, and the paper's numbers for it.

Used by `page.py` and `page_conditions.py`. A taken-over table is its title, columns and notes, and
of each entry the text and the number behind it, so that the page sorts what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import CONTROL
from bench.report.model import Entry, NothingToShow, ReportError, Row, Table
from bench.report.published import Published
from bench.report.tables.entry_text import format_entry
from bench.report.tables.kinds import tables
from bench.report.tables.scores import beside_paper
from bench.results.records import Record

TAKEN_OVER = {
    "ranks": "Paired comparisons",
    "ablation": "Ablations",
    "complexity": "Size and speed",
}
"""Tables that the page takes over."""


def taken_over(records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """Yield a heading and its tables, or why they cannot be made; nothing where they are empty."""
    has_control = any(record.cell["method"] == CONTROL for record in records)
    for kind, heading in TAKEN_OVER.items():
        against = CONTROL if kind == "ranks" and has_control else None
        try:
            found = tables(kind, records, against=against)
        except NothingToShow:
            continue
        except ReportError as error:
            yield {"heading": heading, "tables": [], "why": f"bench table {kind}: {error}."}
        else:
            yield {"heading": heading, "tables": [_table(table) for table in found], "why": ""}


def _table(table: Table) -> dict[str, Any]:
    """Write a table; `ratio` is the one it is of, empty if it is of several."""
    return {
        "title": table.title,
        "corner": table.corner,
        "columns": list(table.headings),
        "ratio": table.context.get("ratio", ""),
        "rows": [_row(row) for row in table.rows],
        "notes": list(table.notes),
    }


def _row(row: Row) -> dict[str, Any]:
    entries = [[format_entry(entry), _number(entry.value)] for entry in row.entries]
    return {"label": row.label, "heading": row.heading, "source": row.source, "entries": entries}


def paper_data(matrix: RunMatrix) -> dict[str, Any]:
    """Make the paper's F1 by ratio and by AU, and how far the measured ones are from it.

    `note` says why there is none, where these are not the paper's data.
    """
    paper, notes = matrix.paper(wanted=True)
    if paper is None:
        return {"note": notes[0]}
    figures = paper.ssl()
    gaps = [
        [
            _gap(matrix.score(line, ratio), figures.get(line.method, {}).get(ratio))
            for ratio in matrix.ratios
        ]
        for line in matrix.lines
    ]
    shown = {
        label: [_entry(known.get(ratio)) for ratio in matrix.ratios]
        for label, known in figures.items()
        if known.keys() & set(matrix.ratios)
    }
    return {"rows": shown, "gaps": gaps, "aus": [_per_au(matrix, paper, r) for r in matrix.ratios]}


def _per_au(matrix: RunMatrix, paper: Published, ratio: float) -> dict[str, list[list[Any]]]:
    """Return the paper's rows of table 3 at a ratio: each AU, then their mean."""
    rows = paper.per_au(ratio, matrix.aus)
    return {row.label: [_entry(entry) for entry in row.entries] for row in rows}


def _gap(measured: Entry, printed: Entry | None) -> float | None:
    return _number(beside_paper(measured, printed).gap)


def _entry(entry: Entry | None) -> list[Any]:
    return [None, "missing"] if entry is None else [_number(entry.value), entry.state]


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
