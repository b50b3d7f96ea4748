"""Several tables of one kind as one: data below each other, label ratios as columns.

Used by `table --together`, and for the paper's table 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.report.model import MISSING, Table

_KEYS = ("dataset", "rule", "preset", "data", "folds")


def joined(tables: Sequence[Table]) -> list[Table]:
    """Put tables with ratios as columns below each other, each row named by its data too.

    Columns are those of all tables, by rising ratio; what a table lacks is a gap. Headings do not
    say what label masks hold, for that differs between data. One table stays as it is.
    """
    if len(tables) < 2:
        return list(tables)
    names = _names(tables)
    headings = {column for table in tables for column in table.columns}
    columns = sorted(headings, key=lambda text: float(text.partition(" ")[0]))
    rows = []
    for name, table in zip(names, tables, strict=True):
        for row in table.rows:
            known = dict(zip(table.columns, row.entries, strict=True))
            entries = tuple(known.get(column, MISSING) for column in columns)
            rows.append(replace(row, label=f"{name}, {row.label}", entries=entries))
    what = tables[0].title.partition(": ")[0]
    selection = f", selected by {s}" if (s := tables[0].context.get("select")) else ""
    whole = replace(
        tables[0],
        title=f"{what}: {'; '.join(names)}{selection}",
        corner=f"data, {tables[0].corner}",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(note for table in tables for note in table.notes)),
        column_context=(),
        remarks=(),
    )
    return [whole]


def _names(tables: Sequence[Table]) -> list[str]:
    """Name tables by their dataset, and by what else tells them apart."""
    contexts = [table.context for table in tables]
    differ = [key for key in _KEYS[1:] if len({c.get(key, "") for c in contexts}) > 1]
    if len({c["dataset"] for c in contexts}) == len(tables):
        differ = []
    return [" ".join([c["dataset"], *(c.get(key, "") for key in differ)]) for c in contexts]
