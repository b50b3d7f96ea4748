"""Ranks of methods over the runs that all have, and the paired differences between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.config.names import CEILING, GridPoint, MethodName
from bench.report.aggregate import RunMatrix
from bench.report.entries import entry_of_runs, mean_of_runs
from bench.report.grouping import point_of, ratio_of
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import MISSING, Entry, NothingToShow, ReportError, Row, Table, text_entry
from bench.report.rank_statistics import rank_summary, ranks_of
from bench.report.statistics import Estimate, scored_runs
from bench.results.records import Record

from .differences import difference, difference_entries, power_notes
from .entry_text import MARKS, verdict

RANK = (
    "mean rank ± standard deviation: over the (ratio, fold, seed) that all rows have (how many); "
    "1 = best, equal ones share"
)

PAIRS = (
    "differences: over the (ratio, fold, seed) that both have; p-values Holm-corrected over all "
    "differences of this table"
)


SIGNS = (
    "+: the row is better than the method of the column's number, told apart; -: it is worse; "
    "≈: tied, ◦: untested; p-values Holm-corrected over all pairs"
)


def ranks_table(
    records: Iterable[Record],
    *,
    ratio: float | None = None,
    against: str | None = None,
    select: str | Scoring = "last",
    intervals: bool = False,
    signs: bool = False,
) -> Table:
    """Mean rank of the methods over the runs that all of them have, and paired differences.

    The differences are of all pairs, or of each method to the one named in `against`: they are the
    family that p-values are Holm-corrected over. Rank 1 is the best mean score; equal ones share
    their average. With `signs`, a triangle of pairs says who is better, and not by how much.
    """
    matrix = RunMatrix.of((r for r in records if ratio is None or ratio_of(r) == ratio), select)
    ranked = [line for line in matrix.lines if not line.is_ceiling]
    scores = ranked_scores(matrix)
    lines = [line for line in ranked if line.label in scores]
    columns = range(len(lines)) if against is None else [named_line(lines, against)]
    runs = sum(map(len, matrix.expected.values()))
    pairs = _pairs(lines, columns, matrix.scoring)
    table = _two_sided(pairs, len(lines), columns, runs)
    notes = [RANK, SIGNS if signs else PAIRS, *power_notes(list(pairs.values()))]
    notes += [*_best(scores, table), *_critical(scores)] if against is None else []
    labels = list(scores)
    headings = [f"over {labels[place]}" for place in columns]
    body = [[e if intervals else replace(e, interval=None) for e in row] for row in table]
    if signs:
        body = _triangle(table, lower_is_better=matrix.metric.lower_is_better)
        headings = [str(number) for number in range(1, len(lines))]
        labels = [f"{number} {label}" for number, label in enumerate(labels, 1)]
    ranks = _ranks(list(scores.values()), runs)
    parts = zip(labels, ranks, body, strict=True)
    rows = [Row(label=label, entries=(rank, *row)) for label, rank, row in parts]
    rows += _without_result([line for line in ranked if line not in lines], len(headings))
    what = _title(matrix, signs=signs)
    headings = ["mean rank", *headings]
    return matrix.table("ranks", what, headings, rows, notes=notes, ratio=ratio)


def _title(matrix: RunMatrix, *, signs: bool) -> str:
    """Say what the differences are of, and at which ratio if it is one."""
    metric = matrix.metric.heading
    at = f" at {matrix.heading(matrix.ratios[0])} labels" if len(matrix.ratios) == 1 else ""
    if signs:
        return f"Mean rank, and who is better by mean {metric}{at}"
    points = metric.replace("(%)", "(points)")
    return f"Mean rank, and differences of mean {points}{at}, row minus column"


def ranked_scores(matrix: RunMatrix) -> dict[str, dict[GridPoint, float]]:
    """Return the mean score of every run of each method that has any, higher being better.

    The ceiling is no method. Raises NothingToShow for fewer than two methods.
    """
    means = {line.label: _means(matrix, line) for line in matrix.lines if not line.is_ceiling}
    scores = {label: found for label, found in means.items() if found}
    if len(scores) < 2:
        raise NothingToShow("ranks need finished runs of at least two methods")
    return scores


def _means(matrix: RunMatrix, line: MethodRuns) -> dict[GridPoint, float]:
    """Return the mean score of every run that has one, higher being better."""
    sign = -1 if matrix.metric.lower_is_better else 1
    known = ((record, matrix.scoring.mean(record)) for record in line.records)
    return {point_of(record): sign * value for record, value in known if value is not None}


def named_line(lines: Sequence[MethodRuns], name: str) -> int:
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


def _pairs(
    lines: Sequence[MethodRuns], columns: Sequence[int], scoring: Scoring
) -> dict[tuple[int, int], Estimate | None]:
    """Return the paired differences, row minus column, each pair once."""
    every = [scored_runs(line.records, scoring) for line in lines]
    return {
        (row, column): difference(every[row], every[column], scoring.metric.span)
        for row in range(len(lines))
        for column in columns
        if row != column and (row < column or row not in columns)
    }


def _two_sided(
    pairs: Mapping[tuple[int, int], Estimate | None],
    lines: int,
    columns: Sequence[int],
    runs: int,
) -> list[list[Entry]]:
    """Write each pair on both sides where both have a column; a line over itself is empty."""
    table = [[text_entry("") for _ in columns] for _ in range(lines)]
    entries = difference_entries(list(pairs.values()), runs)
    for (one, two), entry in zip(pairs, entries, strict=True):
        table[one][columns.index(two)] = entry
        if one in columns:
            table[two][columns.index(one)] = _negative(entry)
    return table


def _triangle(table: Sequence[Sequence[Entry]], *, lower_is_better: bool) -> list[list[Entry]]:
    """Keep of a square of differences who is better, below its diagonal."""
    better = {True: "+", False: "-"}

    def sign(entry: Entry) -> Entry:
        if entry.value is None:
            return entry
        mark = verdict(entry) or better[(entry.value > 0) != lower_is_better]
        return text_entry(mark + MARKS.get(entry.state, ""))

    blank = text_entry("")
    return [
        [sign(entry) if column < row else blank for column, entry in enumerate(entries[:-1])]
        for row, entries in enumerate(table)
    ]


def _best(
    scores: Mapping[str, Mapping[GridPoint, float]], table: Sequence[Sequence[Entry]]
) -> Iterator[str]:
    """Name the method of the highest mean over the runs that all have, and those tied with it."""
    shared = set.intersection(*(set(item) for item in scores.values()))
    if not shared:
        return
    means = {name: mean_of_runs({p: item[p] for p in shared}) for name, item in scores.items()}
    best = max(means, key=lambda name: means[name])
    column = list(scores).index(best)
    others = {name: row[column] for name, row in zip(scores, table, strict=True) if name != best}
    tied = [name for name, entry in others.items() if entry.tied]
    unknown = [name for name, entry in others.items() if entry.untested]
    with_it = [f"tied with it: {', '.join(tied)}"] if tied else []
    with_it += [f"untested against it: {', '.join(unknown)}"] if unknown else []
    yield f"highest mean: {best}; {'; '.join(with_it) or 'no other is tied with it'}"


def _critical(scores: Mapping[str, Mapping[GridPoint, float]]) -> Iterator[str]:
    """Say which mean ranks differ by more than Nemenyi's critical difference."""
    found = rank_summary(scores)
    if found is None:
        return
    groups = "; ".join(", ".join(group) for group in found.groups) or "none"
    yield (
        f"ranks over {found.blocks} blocks (ratio and fold, seeds averaged): "
        f"Friedman's p = {found.p:.2g}; "
        f"critical difference {found.critical_difference:.2f} (Nemenyi, 5 %); not told apart by "
        f"ranks: {groups}"
    )


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
    ranks = ranks_of(np.array([[item[place] for place in shared] for item in scores]))
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


def _without_result(lines: Iterable[MethodRuns], columns: int) -> Iterator[Row]:
    """Keep methods in sight that have runs and no result."""
    for line in lines:
        if line.records:
            rank = entry_of_runs({point_of(r): r for r in line.records}, (), lambda _: None)
            yield Row(label=line.label, entries=(rank, *[text_entry("")] * columns))
