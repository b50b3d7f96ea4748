"""Uncertainty of mean scores: intervals, tests of paired differences, power, Holm's correction.

Used by the tables and figures. What an interval is about: other test subjects, and, where every
ratio and fold has three seeds or more, other trainings too. How often such intervals hold the truth
was simulated for F1: `results/studies/interval-coverage`. Values are shares of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.config.names import GridPoint
from bench.results.records import Record

from .fold_counts import FoldScore
from .grouping import check_masks, point_of
from .metric import Scoring
from .model import ReportError
from .variance import (
    ALPHA,
    NothingToCompare,
    Replicates,
    run_weights,
    standard_error,
    student_t,
    subject_components,
    training_components,
)

RESOLUTION = 0.001
"""A tenth of a point, the last digit that tables print: less is not called a difference."""

Runs = Mapping[GridPoint, FoldScore]
"""The finished runs of one method."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over runs (or over paired differences of runs), and how well it is known."""

    mean: float
    interval: tuple[float, float] | None
    """95 %; None where nothing tells how far the mean may be off."""
    p: float | None
    """Two-sided, of the hypothesis that the truth is 0; from the same error as the interval."""
    runs: int
    trainings: bool = False
    """Whether interval and p hold the randomness of trainings, beside that of subjects."""
    reason: str = ""
    """Why there is no interval."""
    error: float | None = None
    """Standard error of the mean."""
    df: float | None = None
    """Degrees of freedom of that error; None where it is 0."""


def mean_interval(records: Iterable[Record], select: str | Scoring = "last") -> Estimate:
    """Estimate one method's mean score over its runs, averaged as tables average.

    Raises ReportError where no run has scores.
    """
    scoring = Scoring.of(select)
    runs = scored_runs(records, scoring)
    if not runs:
        raise ReportError(f"no finished record holds scores selected by {scoring.select!r}")
    return estimate_mean(runs, scoring.metric.bounds)


def paired_difference(
    records_a: Iterable[Record], records_b: Iterable[Record], select: str | Scoring = "last"
) -> Estimate:
    """Compare two methods over the (ratio, fold, seed) that both finished, on the same subjects.

    Raises ReportError if there is no pair, or if a pair's label masks or test subjects differ.
    """
    a, b = list(records_a), list(records_b)
    check_masks([*a, *b])
    scoring = Scoring.of(select)
    return estimate_difference(
        scored_runs(a, scoring), scored_runs(b, scoring), scoring.metric.span
    )


def estimate_mean(
    runs: Runs,
    bounds: tuple[float, float] = (0.0, 1.0),
    ratios: Mapping[float, float] | None = None,
) -> Estimate:
    """Estimate the mean score of runs on many people, of whom the test subjects are a sample.

    `bounds` are those of the metric, `ratios` the weights of label ratios (all alike, if none).
    F1 of few subjects is off on average (it is a ratio of sums). The interval is around the
    corrected mean and has that mean's own jackknife error (each subject left out of it in turn). A
    mean that is not known without pairs of subjects is not corrected.
    """
    parts = {
        point: Replicates(
            fold.subjects,
            fold.comparable,
            fold.mean,
            fold.without_one,
            fold.without_two if len(fold.subjects) > 2 else None,
            fold.reason,
        )
        for point, fold in runs.items()
    }
    return estimate(parts, bounds, ratios)


def estimate_difference(
    a: Runs, b: Runs, span: float = 1.0, ratios: Mapping[float, float] | None = None
) -> Estimate:
    """Estimate the mean of a - b, which is at most `span`, over the points that both have.

    What few subjects do to a score, they do to both: the difference needs no correction.
    Raises ReportError if there is no such point, or if two runs of one differ in their subjects.
    """
    points = [point for point in a if point in b]
    if not points:
        raise ReportError("the two methods share no finished ratio, fold and seed to compare")
    return estimate({point: _gap(point, a, b) for point in points}, (-span, span), ratios)


def _gap(point: GridPoint, a: Runs, b: Runs) -> Replicates:
    """Return a - b at a point; raises ReportError if their subjects differ."""
    one, two = a[point], b[point]
    if one.subjects != two.subjects:
        raise ReportError(f"fold {point.fold} was scored on different subjects: run one again")
    gap, gaps = one.mean - two.mean, one.without_one - two.without_one
    reason = one.reason or two.reason
    return Replicates(one.subjects, one.comparable, gap, gaps, reason=reason)


def estimate_share(method: Runs, control: Runs, ceiling: Runs) -> Estimate | None:
    """Estimate (method - control) / (ceiling - control): the share of the headroom that was won.

    A ratio of the two mean differences over the points that all three have. Its interval is
    Fieller's (1954): every share s for which the mean of (method - control) - s (ceiling - control)
    is not told from 0; its p-value is that of a share of 0. None where they share no point, or
    nothing lies between ceiling and control.
    """
    points = [point for point in method if point in control and point in ceiling]
    won = {point: _gap(point, method, control) for point in points}
    whole = {point: _gap(point, ceiling, control) for point in points}
    weights = run_weights(points)
    parts = [sum(weights[p] * gaps[p].value for p in points) for gaps in (won, whole)]
    if not points or not parts[1]:
        return None

    def left(share: float) -> Estimate:
        return estimate({p: _minus(won[p], whole[p], share) for p in points}, _ANY)

    share, none = parts[0] / parts[1], left(0.0)
    ends = [] if none.p is None else [_end(left, share, side) for side in (-1, 1)]
    known = [end for end in ends if end is not None]
    return replace(
        none,
        mean=share,
        interval=(known[0], known[1]) if len(known) == 2 else None,
        reason=none.reason or ("" if len(known) == 2 else UNBOUNDED),
    )


UNBOUNDED = "the headroom is not told from none, so that a share of it may be anything"

_ANY = (-math.inf, math.inf)

_FARTHEST = 1000.0
"""Shares beyond which an end of an interval is not looked for."""


def _minus(one: Replicates, other: Replicates, share: float) -> Replicates:
    value, gaps = one.value - share * other.value, one.without_one - share * other.without_one
    return Replicates(one.subjects, one.comparable, value, gaps)


def _end(left: Callable[[float], Estimate], share: float, side: int) -> float | None:
    """Return where p falls below ALPHA on one side of a share; None if nowhere near."""

    def inside(at: float) -> bool:
        p = left(at).p
        return p is not None and p >= ALPHA

    near, step = share, 0.01
    while inside(share + side * step):
        near, step = share + side * step, 2 * step
        if step > _FARTHEST:
            return None
    far = share + side * step
    while abs(far - near) > _FINE:
        middle = (near + far) / 2
        near, far = (middle, far) if inside(middle) else (near, middle)
    return near


_FINE = 1e-5
"""How closely the end of an interval of a share is found."""


def scored_runs(records: Iterable[Record], select: str | Scoring) -> dict[GridPoint, FoldScore]:
    """Read the finished runs' scores; raises ReportError for a run told twice, or without counts.

    Runs that do not hold what the metric is made of are left out.
    """
    scoring = Scoring.of(select)
    runs: dict[GridPoint, FoldScore] = {}
    for record in records:
        fold = scoring.fold(record)
        if fold is None:
            continue
        point = point_of(record)
        if point in runs:
            raise ReportError(
                f"{record.id} repeats a ratio, fold and seed of its method: remove one"
            )
        runs[point] = fold
    return runs


def holm(pvalues: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number by Holm's step-down rule (1979), in the order given."""
    values = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def smallest_difference(known: Estimate, family: int = 1, power: float = 0.8) -> float:
    """Return the true difference that is told from none with a chance of `power`.

    With this study's error and degrees of freedom, a difference by its error follows the
    noncentral t; `power` of it must lie beyond the critical value at ALPHA by `family`
    (Bonferroni's, the first step of Holm's). The estimate must have an error.
    """
    from scipy.special import nctdtrinc, stdtrit

    assert known.error is not None
    assert known.df is not None
    critical = stdtrit(known.df, 1 - ALPHA / (2 * family))
    return float(nctdtrinc(known.df, 1 - power, critical)) * known.error


def untested(difference: Estimate) -> bool:
    """Tell whether the records do not hold what a test of a difference is made of."""
    return difference.interval is None or difference.p is None


def tied(difference: Estimate, p: float | None = None, resolution: float = RESOLUTION) -> bool:
    """Tell whether a difference cannot be told from none.

    It cannot if its interval holds 0, if it is smaller than the resolution, or if its p-value (the
    corrected one, where given) is not below ALPHA. One that is untested is not tied: nothing is
    known of it.
    """
    chance = difference.p if p is None else p
    if difference.interval is None or chance is None:
        return False
    low, high = difference.interval
    return low <= 0 <= high or abs(difference.mean) < resolution or chance >= ALPHA


def estimate(
    parts: Mapping[GridPoint, Replicates],
    bounds: tuple[float, float] = (-1.0, 1.0),
    ratios: Mapping[float, float] | None = None,
) -> Estimate:
    """Estimate a mean over runs of which each tells its value with and without its subjects.

    `bounds` are the least and the most that it may be, `ratios` the weights of label ratios.
    """
    weights = run_weights(list(parts), ratios)
    mean = sum(weights[point] * part.value for point, part in parts.items())
    try:
        subjects = subject_components(parts, weights)
    except NothingToCompare as error:
        return Estimate(mean=mean, interval=None, p=None, runs=len(parts), reason=str(error))
    trainings = training_components(parts, weights)
    components = [*subjects, *(trainings or ())]
    interval, p = student_t(mean, components, bounds)
    deviation, df = standard_error(components)
    return Estimate(
        mean=mean,
        interval=interval,
        p=p,
        runs=len(parts),
        trainings=trainings is not None,
        error=deviation,
        df=df,
    )
