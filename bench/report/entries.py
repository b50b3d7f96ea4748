"""Entries of a table from the values of runs, and values of predictors that look at no image.

Used by `report/aggregate.py`, and by tables that make entries of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.config.names import GridPoint
from bench.metrics import with_gaps
from bench.results.records import Record, Status

from .grouping import point_of
from .metric import Metric
from .model import Entry
from .statistics import Estimate

Value = Callable[[Record], float | None]
"""What a table shows of one run, in the table's unit; None if the run does not have it."""


def mean_of_runs(values: Mapping[GridPoint, float]) -> float:
    """Average over the folds of each seed, then over the seeds (methods.md 0.10)."""
    seeds: dict[int, list[float]] = defaultdict(list)
    for point, value in values.items():
        seeds[point.seed].append(value)
    return fmean(fmean(folds) for folds in seeds.values())


def entry_of_runs(
    runs: Mapping[GridPoint, Record], expected: Iterable[GridPoint], value: Value
) -> Entry:
    """Make an entry from each run's value; with fewer runs than `expected` it is partial."""
    values = {run: number for run, record in runs.items() if (number := value(record)) is not None}
    if not values:
        states = {record.status for record in runs.values()}
        return Entry(state=_emptiness(states))
    numbers = list(values.values())
    return Entry(
        state="done" if set(values) >= set(expected) else "partial",
        value=mean_of_runs(values),
        spread=float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None,
        n=len(numbers),
    )


def entry_of_estimate(known: Estimate, runs: int) -> Entry:
    """Make an entry of an estimate, in percent; over fewer than `runs` runs it is partial."""
    return Entry(
        state="done" if known.runs >= runs else "partial",
        value=100 * known.mean,
        n=known.runs,
        interval=known.interval and (100 * known.interval[0], 100 * known.interval[1]),
        trainings=known.trainings,
        remark=known.reason,
    )


def _emptiness(states: set[Status]) -> Literal["failed", "skipped", "missing"]:
    if "failed" in states:
        return "failed"
    return "skipped" if "skipped" in states else "missing"


def trivial_values(record: Record, name: str, metric: Metric) -> Sequence[float | None]:
    """Return a trivial predictor's value on each AU, a share of one.

    It is `chance`, computed from the AUs' test rates, or one whose F1 is in the record.
    """
    if name != "chance" or metric.by_chance is None:
        return record.baselines.get(name, [])
    rates = test_rates(record)
    return with_gaps(np.where(np.isnan(rates), np.nan, metric.by_chance(rates)))


def percent_of(share: float | None) -> float | None:
    """Turn a share of one into percent; what is not defined stays so."""
    return None if share is None or np.isnan(share) else 100 * share


def test_rates(record: Record) -> NDArray[np.float64]:
    """Return how often each AU is present on a finished run's coded test frames, (A,)."""
    scores = next(iter(record.scores.values()))
    tp, fp, fn, tn = np.sum(list(scores.counts.values()), axis=0, dtype=float)
    frames = tp + fp + fn + tn
    return np.asarray(np.divide(tp + fn, frames, out=np.full(len(tp), np.nan), where=frames > 0))


def uncoded_aus(records: Iterable[Record]) -> dict[int, frozenset[int]]:
    """Map folds to the AUs (their places) that no test frame is coded for: the same for all runs.

    Folds that nothing finished on are left out.
    """
    done = (record for record in records if record.status == "done" and record.scores)
    return {
        point_of(record).fold: frozenset(next(iter(record.scores.values())).uncoded)
        for record in done
    }
