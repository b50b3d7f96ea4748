"""Paired tables: ablations against the full method, and ranks of all methods over shared runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from bench.results.records import Record

from .aggregate import RUNS, RunMatrix, entry_of_runs
from .grouping import MethodRuns, Place, cell_field, mean_f1s, percent, ratio_of, run_of
from .model import MISSING, Entry, NothingToShow, ReportError, Row, Table, text_entry
from .published import ABLATED, ABLATION_RATIO, Published
from .statistics import Difference, ScoredRuns, difference, holm, tied


def ablation_table(
    records: Iterable[Record] | RunMatrix,
    *,
    base: str | None = None,
    ratio: float | None = None,
    select: str = "last",
    published: bool = False,
    intervals: bool = False,
) -> Table:
    """Mean F1 of a method and its variants at one ratio, and each one's paired change.

    `base` is the full method, `ratio` the label ratio; each may be left out if there is only one
    that has variants. The paper's changes stand beside at 50 % labels, where it made them.
    """
    grid = RunMatrix.of(records, select)
    full, variants = _family(grid, base)
    ratio = grid.one_ratio(_only_ratio(variants) if ratio is None else ratio)
    whole = ScoredRuns(full.at(ratio).values(), select)
    differences = [_difference(ScoredRuns(v.at(ratio).values(), select), whole) for v in variants]
    changes = _entries(differences, runs=len(grid.expected[ratio]))
    rows = [
        Row(label=full.label, cells=(grid.f1(full, ratio, intervals=intervals), text_entry("")))
    ]
    for line, change in zip(variants, changes, strict=True):
        f1 = grid.f1(line, ratio, intervals=intervals)
        rows.append(Row(label=line.label, cells=(f1, change)))
    paper, notes = _paper(grid, full, ratio) if published else (None, [])
    columns = ["mean F1", "change"]
    if paper:
        rows, columns = _beside(paper, variants, rows), [*columns, "change in the paper"]
    what = f"Ablation of {full.label} at {percent(ratio)} labels, mean F1 (%)"
    return grid.table("ablation", what, columns, rows, notes=[RUNS, CHANGE, *notes], ratio=ratio)


def ranks_table(
    records: Iterable[Record],
    *,
    ratio: float | None = None,
    select: str = "last",
    intervals: bool = False,
) -> Table:
    """Mean rank of the methods over the runs that all of them have, and all paired differences.

    Rank 1 is the best mean F1; equal ones share their average. p-values are Holm-corrected over all
    pairs, and a difference that is not told apart from none is marked as tied.
    """
    grid = RunMatrix.of((r for r in records if ratio is None or ratio_of(r) == ratio), select)
    lines = [line for line in grid.lines if mean_f1s(line.records, select)]
    if len(lines) < 2:
        raise NothingToShow("ranks need finished runs of at least two methods")
    runs = sum(map(len, grid.expected.values()))
    ranks = _ranks([mean_f1s(line.records, select) for line in lines], runs)
    matrix = _matrix(lines, select, runs, intervals=intervals)
    rows = [
        Row(label=line.label, cells=(rank, *differences))
        for line, rank, differences in zip(lines, ranks, matrix, strict=True)
    ]
    for line in grid.lines:
        if line.records and line not in lines:
            cells = (_nothing(line), *(text_entry("") for _ in lines))
            rows.append(Row(label=line.label, cells=cells))
    columns = ["mean rank", *(f"over {line.label}" for line in lines)]
    what = "Mean rank, and differences of mean F1 (points), row minus column"
    return grid.table("ranks", what, columns, rows, notes=[RANK, PAIRS], ratio=ratio)


CHANGE = "change: variant minus full method, over the runs that both have; p-values Holm-corrected"

RANK = (
    "mean rank ± standard deviation: over the (ratio, fold, seed) that all rows have (how many); "
    "1 = best, equal ones share"
)

PAIRS = "differences: over the (ratio, fold, seed) that both have; p-values Holm-corrected"


def ablations(records: Iterable[Record]) -> list[tuple[str, float]]:
    """Return every (full method, ratio) that variants were run of, sorted."""
    places = (
        (str(cell_field(record, "method")).partition(":"), ratio_of(record)) for record in records
    )
    return sorted({(base, ratio) for (base, colon, _), ratio in places if colon})


def _family(grid: RunMatrix, base: str | None) -> tuple[MethodRuns, list[MethodRuns]]:
    """Return the line of the full method and those of its variants."""
    bases = sorted({line.method.partition(":")[0] for line in grid.lines if ":" in line.method})
    if base is None and len(bases) == 1:
        base = bases[0]
    if base not in bases:
        known = ", ".join(bases) or "none: run some, e.g. --methods ks,ks:no_skd"
        raise NothingToShow(f"name the method whose variants to show; with variants are {known}")
    full = [line for line in grid.lines if line.method == base]
    if len(full) > 1:
        names = ", ".join(line.label for line in full)
        raise ReportError(f"{base} was run in more than one version: table {names} apart")
    variants = [line for line in grid.lines if line.method.startswith(f"{base}:")]
    return full[0] if full else MethodRuns(str(base), str(base), ()), variants


def _only_ratio(lines: Iterable[MethodRuns]) -> float | None:
    ratios = {ratio_of(record) for line in lines for record in line.records}
    return ratios.pop() if len(ratios) == 1 else None


def _difference(one: ScoredRuns, two: ScoredRuns) -> Difference | None:
    """Take the paired difference; None where they share no run."""
    return difference(one, two) if one.folds.keys() & two.folds.keys() else None


def _entries(differences: Sequence[Difference | None], runs: int) -> list[Entry]:
    """Turn differences into cells in points of F1, their p-values corrected for their number."""
    adjusted = iter(holm([item.p for item in differences if item]))
    return [_change(item, float(next(adjusted)), runs) if item else MISSING for item in differences]


def _change(item: Difference, p: float, runs: int) -> Entry:
    return Entry(
        state="done" if item.pairs >= runs else "partial",
        value=100 * item.mean,
        n=item.pairs,
        interval=(100 * item.interval[0], 100 * item.interval[1]),
        p=p,
        tied=tied(item, p),
        signed=True,
    )


def _matrix(
    lines: Sequence[MethodRuns], select: str, runs: int, *, intervals: bool
) -> list[list[Entry]]:
    """Return every paired difference, row minus column; the diagonal is empty."""
    matrix = [[text_entry("") for _ in lines] for _ in lines]
    places = list(combinations(range(len(lines)), 2))
    every = [ScoredRuns(line.records, select) for line in lines]
    found = [_difference(every[one], every[two]) for one, two in places]
    for (one, two), cell in zip(places, _entries(found, runs), strict=True):
        shown = cell if intervals else replace(cell, interval=None)
        matrix[one][two], matrix[two][one] = shown, _negative(shown)
    return matrix


def _negative(cell: Entry) -> Entry:
    if cell.value is None:
        return cell
    interval = cell.interval and (-cell.interval[1], -cell.interval[0])
    return replace(cell, value=-cell.value, interval=interval)


def _ranks(scores: Sequence[Mapping[Place, float]], runs: int) -> list[Entry]:
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
    return entry_of_runs({run_of(r): r for r in line.records}, (), lambda _: None)


def _paper(grid: RunMatrix, full: MethodRuns, ratio: float) -> tuple[Published | None, list[str]]:
    if ratio != ABLATION_RATIO or full.method != ABLATED:
        only = f"the paper's are of {ABLATED} at {percent(ABLATION_RATIO)} labels"
        return None, [f"published changes left out: {only}"]
    return grid.paper(wanted=True)


def _beside(paper: Published, variants: Sequence[MethodRuns], rows: Sequence[Row]) -> list[Row]:
    """Add the paper's column, and those of its variants that were not run."""
    printed = {key: (label, cell) for label, key, cell in paper.ablation() if key}
    table = [replace(rows[0], cells=(*rows[0].cells, text_entry("")))]
    run = set()
    for line, row in zip(variants, rows[1:], strict=True):
        key = line.method.partition(":")[2]
        run.add(key)
        _, cell = printed.get(key, ("", MISSING))
        table.append(replace(row, cells=(*row.cells, cell)))
    rest = [
        Row(label=label, source="paper", cells=(MISSING, MISSING, cell))
        for key, (label, cell) in printed.items()
        if key not in run
    ]
    return [*table, *rest]
