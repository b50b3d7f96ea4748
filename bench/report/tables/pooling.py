"""`table pooling`: scores of all folds' outcomes together, beside the mean of the folds' scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from bench.report.aggregate import RunMatrix
from bench.report.fold_counts import Floats
from bench.report.grouping import percent
from bench.report.method_runs import MethodRuns
from bench.report.metric import Scoring
from bench.report.model import Entry, NothingToShow, Row, Table
from bench.results.records import Record

POOLED = (
    "pooled: outcomes of all folds added up, then scored, averaged over AUs and seeds; after the "
    "stroke: the mean of the folds' scores, as the other tables show it. Papers do either; where "
    "positives are rare in some fold the two differ most"
)


def pooling_table(records: Iterable[Record], *, select: str | Scoring = "last") -> Table:
    """Mean score by label ratio, pooled over folds, beside the mean of folds.

    Raises NothingToShow if the metric is not made of counts of outcomes.
    """
    matrix = RunMatrix.of(records, select)
    rows = [
        Row(
            label=line.label,
            source=line.source,
            entries=tuple(_entry(matrix, line, ratio) for ratio in matrix.ratios),
        )
        for line in matrix.lines
    ]
    if not any(entry.beside is not None for row in rows for entry in row.entries):
        raise NothingToShow(f"{matrix.metric.name} is no metric of counts, which folds could pool")
    what = f"Mean {matrix.metric.heading}, pooled over folds / mean of folds"
    columns = [percent(ratio) for ratio in matrix.ratios]
    return matrix.table("pooling", what, columns, rows, notes=[POOLED], by_ratio=True)


def _entry(matrix: RunMatrix, line: MethodRuns, ratio: float) -> Entry:
    by_fold = matrix.score(line, ratio)
    measure = matrix.metric.of_outcomes
    seeds: dict[int, Floats] = defaultdict(lambda: np.zeros(()))
    for point, record in line.at(ratio).items():
        counts = matrix.scoring.outcomes(record)
        if counts is not None:
            seeds[point.seed] = seeds[point.seed] + counts
    if not seeds or measure is None or by_fold.value is None:
        return by_fold
    means = []
    for counts in seeds.values():
        values = np.where(counts.sum(axis=0) > 0, measure(counts), np.nan)
        means.append(float(np.nanmean(values)))
    return Entry(
        state=by_fold.state, value=100 * float(np.mean(means)), n=by_fold.n, beside=by_fold.value
    )
