"""Paired tables: ablations against the full method, and ranks of all methods over shared runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.config.names import CEILING, GridPoint, MethodName
from bench.results.records import Record

from .aggregate import RunMatrix
from .entries import entry_of_runs
from .grouping import cell_field, percent, point_of, ratio_of
from .method_runs import MethodRuns
from .metric import Scoring
from .model import MISSING, Entry, NothingToShow, ReportError, Row, Table, text_entry
from .notes import RUNS
from .published import ABLATED, ABLATION_RATIO, Published
from .statistics import Estimate, Runs, estimate_difference, holm, scored_runs, tied


def ablation_table(
    records: Iterable[Record] | RunMatrix,
    *,
    base: str | None = None,
    ratio: float | None = None,
    select: str | Scoring = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean score of a method and its variants at one ratio, and each one's paired change.

    `base` is the full method, `ratio` the label ratio; each may be left out if there is only one
    that has variants. The paper's changes stand beside at 50 % labels, where it made them.
    """
    matrix = RunMatrix.of(records, select)
    full, variants = _family(matrix, base)
    ratio = matrix.one_ratio(_only_ratio(variants) if ratio is None else ratio)
    scoring = matrix.scoring
    whole = scored_runs(full.at(ratio).values(), scoring)
    differences = [
        _difference(scored_runs(v.at(ratio).values(), scoring), whole, matrix.metric.span)
        for v in variants
    ]
    changes = _entries(differences, runs=len(matrix.expected[ratio]))
    rows = [
        Row(
            label=full.label,
            entries=(matrix.score(full, ratio, intervals=intervals), text_entry("")),
        )
    ]
    for line, change in zip(variants, changes, strict=True):
        f1 = matrix.score(line, ratio, intervals=intervals)
        rows.append(Row(label=line.label, entries=(f1, change)))
    paper, notes = _paper(matrix, full, ratio) if published else (None, [])
    heading = matrix.metric.heading
    columns = [f"mean {heading.partition(' (')[0]}", "change"]
    if paper:
        rows, columns = _beside(paper, variants, rows), [*columns, "change in the paper"]
    what = f"Ablation of {full.label} at {matrix.heading(ratio)} labels, mean {heading}"
    return matrix.table("ablation", what, columns, rows, notes=[RUNS, CHANGE, *notes], ratio=ratio)


def ranks_table(
    records: Iterable[Record],
    *,
    ratio: float | None = None,
    against: str | None = None,
    select: str | Scoring = "last",
    intervals: bool = False,
) -> Table:
    """Mean rank of the methods over the runs that all of them have, and paired differences.

    The differences are of all pairs, or of each method to the one that is named in `against`: they
    are the family that p-values are Holm-corrected over. Rank 1 is the best mean score; equal ones
    share their average. A difference that is not told apart from none is marked as tied.
    """
    matrix = RunMatrix.of((r for r in records if ratio is None or ratio_of(r) == ratio), select)
    ranked = [line for line in matrix.lines if not line.is_ceiling]
    means = {line.label: _means(matrix, line) for line in ranked}
    lines = [line for line in ranked if means[line.label]]
    if len(lines) < 2:
        raise NothingToShow("ranks need finished runs of at least two methods")
    columns = range(len(lines)) if against is None else [_named(lines, against)]
    runs = sum(map(len, matrix.expected.values()))
    ranks = _ranks([means[line.label] for line in lines], runs)
    differences = _all_differences(lines, columns, matrix.scoring, runs, intervals=intervals)
    rows = [
        Row(label=line.label, entries=(rank, *row))
        for line, rank, row in zip(lines, ranks, differences, strict=True)
    ]
    for line in ranked:
        if line.records and line not in lines:
            entries = (_nothing(line), *(text_entry("") for _ in columns))
            rows.append(Row(label=line.label, entries=entries))
    headings = ["mean rank", *(f"over {lines[place].label}" for place in columns)]
    what = f"Mean rank, and differences of mean {_points(matrix)}, row minus column"
    return matrix.table("ranks", what, headings, rows, notes=[RANK, PAIRS], ratio=ratio)


def _points(matrix: RunMatrix) -> str:
    """Name the metric in the unit of its differences."""
    return matrix.metric.heading.replace("(%)", "(points)")


def _means(matrix: RunMatrix, line: MethodRuns) -> dict[GridPoint, float]:
    """Return the mean score of every run that has one, higher being better."""
    sign = -1 if matrix.metric.lower_is_better else 1
    known = ((record, matrix.scoring.mean(record)) for record in line.records)
    return {point_of(record): sign * value for record, value in known if value is not None}


def _named(lines: Sequence[MethodRuns], name: str) -> int:
    """Find the line to compare with, by its label or, where that is one line, by its method."""
    if MethodName.parse(name).base == CEILING:
        raise NothingToShow(
            "the ceiling sees hidden labels and is never ranked: `table headroom` shows how much "
            "of its distance to the control each method won"
        )
    labels = [line.label for line in lines]
    places = [i for i, line in enumerate(lines) if line.method == name]
    if name in labels:
        return labels.index(name)
    if not places:
        known = ", ".join(labels)
        raise NothingToShow(f"no finished run of {name!r} to compare with; there are {known}")
    if len(places) > 1:
        versions = "; ".join(repr(labels[place]) for place in places)
        raise ReportError(
            f"{name} was run in more than one version: compare with one of {versions}"
        )
    return places[0]


CHANGE = (
    "change: variant minus full method, over the runs that both have; p-values Holm-corrected over "
    "this column"
)

RANK = (
    "mean rank ± standard deviation: over the (ratio, fold, seed) that all rows have (how many); "
    "1 = best, equal ones share"
)

PAIRS = (
    "differences: over the (ratio, fold, seed) that both have; p-values Holm-corrected over all "
    "differences of this table"
)


def ablations(records: Iterable[Record]) -> list[tuple[str, float]]:
    """Return every (full method, ratio) that variants were run of, sorted."""
    names = [(MethodName.parse(str(cell_field(r, "method"))), ratio_of(r)) for r in records]
    return sorted({(name.base, ratio) for name, ratio in names if name.variant is not None})


def _family(matrix: RunMatrix, base: str | None) -> tuple[MethodRuns, list[MethodRuns]]:
    """Return the line of the full method and those of its variants."""
    methods = [MethodName.parse(line.method) for line in matrix.lines]
    bases = sorted({name.base for name in methods if name.variant is not None})
    if base is None and len(bases) == 1:
        base = bases[0]
    if base not in bases:
        known = ", ".join(bases) or "none: run some, e.g. --methods ks,ks:no_skd"
        raise NothingToShow(f"name the method whose variants to show; with variants are {known}")
    full = [line for line in matrix.lines if line.method == base]
    if len(full) > 1:
        names = ", ".join(line.label for line in full)
        raise ReportError(f"{base} was run in more than one version: table {names} apart")
    variants = [line for line in matrix.lines if line.method.startswith(f"{base}:")]
    return full[0] if full else MethodRuns(str(base), str(base), ()), variants


def _only_ratio(lines: Iterable[MethodRuns]) -> float | None:
    ratios = {ratio_of(record) for line in lines for record in line.records}
    return ratios.pop() if len(ratios) == 1 else None


def _difference(one: Runs, two: Runs, span: float) -> Estimate | None:
    """Take the paired difference; None where they share no run."""
    return estimate_difference(one, two, span) if one.keys() & two.keys() else None


def _entries(differences: Sequence[Estimate | None], runs: int) -> list[Entry]:
    """Turn differences into entries in points, their p-values corrected for their number."""
    family = [item.p for item in differences if item and item.p is not None]
    adjusted = iter(holm(family).tolist())
    return [
        _change(item, None if item.p is None else next(adjusted), runs) if item else MISSING
        for item in differences
    ]


def _change(item: Estimate, p: float | None, runs: int) -> Entry:
    interval = item.interval and (100 * item.interval[0], 100 * item.interval[1])
    return Entry(
        state="done" if item.runs >= runs else "partial",
        value=100 * item.mean,
        n=item.runs,
        interval=interval,
        trainings=item.trainings,
        remark=item.reason,
        p=p,
        tied=tied(item, p),
        signed=True,
    )


def _all_differences(
    lines: Sequence[MethodRuns],
    columns: Sequence[int],
    scoring: Scoring,
    runs: int,
    *,
    intervals: bool,
) -> list[list[Entry]]:
    """Return the paired differences, row minus column; that of a line to itself is empty."""
    table = [[text_entry("") for _ in columns] for _ in lines]
    places = [
        (row, column)
        for row in range(len(lines))
        for column in columns
        if row != column and (row < column or row not in columns)
    ]
    every = [scored_runs(line.records, scoring) for line in lines]
    span = scoring.metric.span
    found = [_difference(every[one], every[two], span) for one, two in places]
    for (one, two), entry in zip(places, _entries(found, runs), strict=True):
        shown = entry if intervals else replace(entry, interval=None)
        table[one][columns.index(two)] = shown
        if one in columns:
            table[two][columns.index(one)] = _negative(shown)
    return table


def _negative(entry: Entry) -> Entry:
    if entry.value is None:
        return entry
    interval = entry.interval and (-entry.interval[1], -entry.interval[0])
    return replace(entry, value=-entry.value, interval=interval)


def _ranks(scores: Sequence[Mapping[GridPoint, float]], runs: int) -> list[Entry]:
    """Return each method's mean rank over the runs that all have."""
    shared = sorted(set.intersection(*(set(item) for item in scores)))
    if not shared:
        return [MISSING] * len(scores)
    # equal F1 computed twice may differ in the last bits
    table = np.round([[item[place] for place in shared] for item in scores], 12)
    better = (table[None] > table[:, None]).sum(axis=1)
    equal = (table[None] == table[:, None]).sum(axis=1)
    ranks = better + (equal + 1) / 2
    return [
        Entry(
            state="done" if len(shared) >= runs else "partial",
            value=float(row.mean()),
            spread=float(row.std(ddof=1)) if len(shared) > 1 else None,
            n=len(shared),
            digits=2,
        )
        for row in ranks
    ]


def _nothing(line: MethodRuns) -> Entry:
    """Make the rank of a line without any result."""
    return entry_of_runs({point_of(r): r for r in line.records}, (), lambda _: None)


def _paper(matrix: RunMatrix, full: MethodRuns, ratio: float) -> tuple[Published | None, list[str]]:
    if ratio != ABLATION_RATIO or full.method != ABLATED:
        only = f"the paper's are of {ABLATED} at {percent(ABLATION_RATIO)} labels"
        return None, [f"published changes left out: {only}"]
    return matrix.paper(wanted=True)


def _beside(paper: Published, variants: Sequence[MethodRuns], rows: Sequence[Row]) -> list[Row]:
    """Add the paper's column, and those of its variants that were not run."""
    printed = {key: (label, entry) for label, key, entry in paper.ablation() if key}
    table = [replace(rows[0], entries=(*rows[0].entries, text_entry("")))]
    run = set()
    for line, row in zip(variants, rows[1:], strict=True):
        key = MethodName.parse(line.method).variant or ""
        run.add(key)
        _, entry = printed.get(key, ("", MISSING))
        table.append(replace(row, entries=(*row.entries, entry)))
    rest = [
        Row(label=label, source="paper", entries=(MISSING, MISSING, entry))
        for key, (label, entry) in printed.items()
        if key not in run
    ]
    return [*table, *rest]
