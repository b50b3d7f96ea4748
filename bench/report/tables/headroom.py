"""`table headroom`: control, ceiling, what lies between, and each method's share of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bench.report.aggregate import RunMatrix
from bench.report.grouping import percent
from bench.report.headroom import Headroom, Setting, headroom, settings_of
from bench.report.method_runs import MethodRuns
from bench.report.model import MISSING, Entry, NothingToShow, Row, Table, text_entry
from bench.report.notes import RUNS
from bench.report.statistics import estimate_share, scored_runs
from bench.results.records import Record

from .differences import difference_entries

SHARE = (
    "% won: (method - control) / (ceiling - control), mean F1 over the runs that all three have; "
    "0 = the control, 100 = as if every pseudo label had been right; its 95 % interval is "
    "Fieller's, its p-value (of 0) Holm-corrected over the methods at a ratio"
)
NONE = "nothing to win"
NONE_NOTE = (
    f"{NONE}: the ceiling is not told apart from the control, so a share of it means nothing"
)


def headroom_tables(records: Iterable[Record] | RunMatrix, *, select: str = "last") -> list[Table]:
    """Return a table for each setting of one condition that control and ceiling were run in.

    Raises NothingToShow if there is none, and ReportError for several versions of either.
    """
    matrix = RunMatrix.of(records, select)
    settings = [s for s in settings_of(matrix.lines) if any(x.is_ceiling for x in s.lines)]
    if not settings:
        raise NothingToShow("headroom needs the ceiling: run with --methods supervised,ceiling,...")
    return [_table(setting, select) for setting in settings]


def _table(setting: Setting, select: str) -> Table:
    matrix = RunMatrix.of((r for line in setting.lines for r in line.records), select)
    (alone,) = settings_of(matrix.lines)  # its lines are named by what differs within it
    alone = replace(alone, name=setting.name)
    control, ceiling = alone.control(), alone.ceiling()
    found = {r: headroom(control, ceiling, r, select) for r in matrix.ratios}
    rows = [
        Row(
            label=f"{line.label}, F1",
            source=line.source,
            entries=tuple(matrix.score(line, r, intervals=True) for r in matrix.ratios),
        )
        for line in (control, ceiling)
    ]
    gaps = tuple(_gap(found[r], len(matrix.expected[r])) for r in matrix.ratios)
    rows.append(Row(label="headroom, points", entries=gaps))
    shares = {r: _shares(matrix, alone.methods, (control, ceiling), found[r], r) for r in found}
    for place, line in enumerate(alone.methods):
        entries = tuple(shares[r][place] for r in matrix.ratios)
        rows.append(Row(label=f"{line.label}, % won", entries=entries))
    where = f" with {setting.name}" if setting.name else ""
    return matrix.table(
        "headroom",
        f"Headroom{where}: mean F1 (%) of control and ceiling, and the share that methods won",
        [percent(r) for r in matrix.ratios],
        rows,
        notes=[RUNS, SHARE, *_none(rows)],
        by_ratio=True,
    )


def _none(rows: Iterable[Row]) -> Iterator[str]:
    if any(entry.text == NONE for row in rows for entry in row.entries):
        yield NONE_NOTE


def _gap(found: Headroom | None, runs: int) -> Entry:
    if found is None:
        return MISSING
    (entry,) = difference_entries([found.gap], runs)
    return entry


def _shares(
    matrix: RunMatrix,
    methods: Sequence[MethodRuns],
    both: tuple[MethodRuns, MethodRuns],
    found: Headroom | None,
    ratio: float,
) -> list[Entry]:
    """Make the entries of all methods' shares of the headroom at a ratio, %, one family of tests.

    `both` are control and ceiling.
    """
    bounds = [scored_runs(line.at(ratio).values(), matrix.select) for line in both]
    runs = [scored_runs(line.at(ratio).values(), matrix.select) for line in methods]
    there = found is not None and found.there
    shares = [estimate_share(own, *bounds) if there and own else None for own in runs]
    entries = difference_entries(shares, len(matrix.expected[ratio]))
    for place, (line, own, share) in enumerate(zip(methods, runs, shares, strict=True)):
        if share is not None:
            entries[place] = replace(entries[place], digits=0, signed=False)
        elif found is None or not own:
            entries[place] = matrix.entry(line, ratio, lambda _: None)
        elif not there:
            entries[place] = text_entry(NONE)
    return entries
