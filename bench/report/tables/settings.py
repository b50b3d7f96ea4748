"""`table settings`: one method in several settings, and each one's paired change from the first.

What a reading, a rate or first weights are worth is asked of one method at a time: knobs differ,
method, folds and seeds are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.report.aggregate import RunMatrix
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import NothingToShow, ReportError, Row, Table, text_entry
from bench.report.notes import RUNS, config_differences
from bench.results.records import Record

from .differences import changes_from, power_notes

CHANGE = (
    "change: a setting minus the first, over the runs that both have; p-values Holm-corrected over "
    "each column"
)


def settings_tables(
    records: Iterable[Record] | RunMatrix,
    *,
    against: str | None = None,
    select: str | Scoring = "last",
    intervals: bool = False,
) -> list[Table]:
    """Return a table for each method that finished in more than one setting.

    `against` is a part of the name of the setting that the others are compared with; by default it
    is the first. Raises NothingToShow if no method has two, and ReportError if `against` fits none
    or several.
    """
    matrix = RunMatrix.of(records, select)
    by_method: dict[str, list[MethodRuns]] = defaultdict(list)
    for line in matrix.lines:
        if any(record.status == "done" for record in line.records):
            by_method[line.method].append(line)
    several = {name: lines for name, lines in by_method.items() if len(lines) > 1}
    if not several:
        raise NothingToShow(
            "no method was run in two settings: run one again with another --set, in the same "
            "results folder"
        )
    shown = several.values()
    return [_table(lines, against, matrix.scoring, intervals=intervals) for lines in shown]


def _table(
    lines: Sequence[MethodRuns], against: str | None, scoring: Scoring, *, intervals: bool
) -> Table:
    matrix = RunMatrix.of([record for line in lines for record in line.records], scoring)
    known = [line for line in matrix.lines if line.records]
    base = _base(known, against)
    others = [line for line in known if line is not base]
    changes = {ratio: changes_from(base, others, matrix, ratio) for ratio in matrix.ratios}
    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=tuple(
                entry
                for ratio in matrix.ratios
                for entry in (
                    matrix.score(line, ratio, intervals=intervals),
                    [text_entry(""), *changes[ratio][1]][place],
                )
            ),
        )
        for place, line in enumerate([base, *others])
    ]
    estimates = [estimate for found, _ in changes.values() for estimate in found]
    table = matrix.table(
        "settings",
        f"{base.method} in {len(known)} settings, mean {matrix.metric.heading}",
        [text for r in matrix.ratios for text in (matrix.heading(r), "change")],
        rows,
        notes=[RUNS, CHANGE, *power_notes(estimates)],
    )
    named = set(config_differences(matrix.lines))  # by the rows
    notes = tuple(note for note in table.notes if note not in named)
    return replace(table, notes=notes)


def _base(lines: Sequence[MethodRuns], against: str | None) -> MethodRuns:
    """Return the line whose name holds `against`; a name tells the knobs that differ."""
    if against is None:
        return lines[0]
    found = [line for line in lines if against in line.label]
    if len(found) != 1:
        names = "; ".join(line.label for line in lines)
        fits = "fits several" if found else "is in none"
        raise ReportError(
            f"--against {against!r} {fits} of the settings of {lines[0].method}: {names}"
        )
    return found[0]
