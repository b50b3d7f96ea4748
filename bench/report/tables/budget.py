"""`table budget`: one number a method over all label ratios, the area under its curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench.report.aggregate import RunMatrix
from bench.report.entries import entry_of_estimate
from bench.report.grouping import percent
from bench.report.method_runs import CONTROL, MethodRuns
from bench.report.metric import Scoring
from bench.report.model import MISSING, Entry, NothingToShow, Row, Table, text_entry
from bench.report.statistics import (
    Estimate,
    Runs,
    estimate_difference,
    estimate_mean,
    scored_runs,
)
from bench.results.records import Record

from .differences import difference_entries, power_notes

AREA = (
    "area: the mean score over the logarithm of the label ratio, from {} to {}, by trapezoids; the "
    "same trainings as in `table ssl`, weighted by how far apart their ratios are"
)


def budget_table(records: Iterable[Record], *, select: str | Scoring = "last") -> Table:
    """Area under the curve of label budgets, and each method's paired difference to the control.

    It is over the ratios at which every method with a result at two ratios or more has one. Raises
    NothingToShow where these are fewer than two.
    """
    matrix = RunMatrix.of(records, select)
    runs = {
        line.label: scored_runs(line.records, matrix.scoring)
        for line in matrix.lines
        if not line.is_ceiling
    }
    curves = {label: found for label, found in runs.items() if len(ratios_of(found)) > 1}
    shared = sorted(set.intersection(*map(ratios_of, curves.values()))) if curves else []
    if len(shared) < 2:
        raise NothingToShow("an area needs two label ratios that every method was run at")
    weights = log_weights(shared)
    kept = {label: {p: f for p, f in r.items() if p.ratio in weights} for label, r in runs.items()}
    wanted = sum(len(matrix.expected[ratio]) for ratio in shared)
    rows = _rows(matrix, kept, curves, weights, wanted)
    notes = [AREA.format(percent(shared[0]), percent(shared[-1])), *rows[1]]
    what = f"Area under the label-budget curve, mean {matrix.metric.heading}"
    return matrix.table("budget", what, ["area", f"over {CONTROL}"], rows[0], notes=notes)


def ratios_of(runs: Runs) -> set[float]:
    """Return the label ratios of some runs."""
    return {point.ratio for point in runs}


def log_weights(ratios: Sequence[float]) -> dict[float, float]:
    """Return each ratio's weight in a mean over the logarithm of the ratio, by trapezoids.

    The ratios are rising; the weights add up to one.
    """
    places = np.log(np.asarray(ratios))
    halves = np.diff(places) / 2
    sums = np.append(halves, 0) + np.insert(halves, 0, 0)
    return dict(zip(ratios, (sums / sums.sum()).tolist(), strict=True))


def _rows(
    matrix: RunMatrix,
    kept: Mapping[str, Runs],
    curves: Mapping[str, Runs],
    weights: Mapping[float, float],
    wanted: int,
) -> tuple[list[Row], list[str]]:
    """Make a row a method, and the notes on what the differences could have shown."""
    lines = [line for line in matrix.lines if line.label in kept]
    control = _control(lines, curves)
    others = [line for line in lines if line.label in curves and line.label != control]
    span = matrix.metric.span
    estimates = [
        _change(kept[line.label], kept[control], span, weights) if control else None
        for line in others
    ]
    entries = difference_entries(estimates, wanted)
    changes = dict(zip([line.label for line in others], entries, strict=True))
    rows = []
    for line in lines:
        area, change = MISSING, MISSING
        if line.label in curves:
            area = _area(matrix, kept[line.label], weights, wanted)
            change = changes.get(line.label, text_entry(""))
        rows.append(Row(label=line.label, entries=(area, change)))
    return rows, list(power_notes(estimates))


def _change(
    runs: Runs, control: Runs, span: float, weights: Mapping[float, float]
) -> Estimate | None:
    """Take the difference of two areas; None unless the runs that both have span every ratio."""
    if {point.ratio for point in runs.keys() & control.keys()} != weights.keys():
        return None
    return estimate_difference(runs, control, span, weights)


def _control(lines: Sequence[MethodRuns], curves: Mapping[str, Runs]) -> str | None:
    """Return the label of the control, if it has a curve and is one."""
    found = [line.label for line in lines if line.method == CONTROL and line.label in curves]
    return found[0] if len(found) == 1 else None


def _area(matrix: RunMatrix, runs: Runs, weights: Mapping[float, float], wanted: int) -> Entry:
    known = estimate_mean(runs, matrix.metric.bounds, weights)
    return entry_of_estimate(known, wanted)
