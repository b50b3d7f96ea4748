"""Variance of a mean over runs, split by source; used by `report/statistics.py` alone.

Subjects: every test subject of a fold is left out once (jackknife). Trainings: the runs of one
ratio and fold that differ in their seed alone. All trainings of a fold are scored on the same
subjects, so the sources are crossed, and their variances are added up. What both do together is in
each of the two, so that the sum is rather too large than too small.

Shapes: S test subjects of a fold. Values are shares of one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.config.names import GridPoint

from .fold_counts import Floats

ALPHA = 0.05

TRAININGS = 3
"""Seeds of every ratio and fold from which on trainings are a source."""


@dataclass(frozen=True)
class Component:
    """A part of a mean's variance, and the degrees of freedom that it was estimated with."""

    variance: float
    df: int
    bias: float = 0.0
    """Of the mean, for there are only so many subjects."""


@dataclass(frozen=True)
class Replicates:
    """One run's contribution to a mean: its value, and that without some of its subjects."""

    subjects: tuple[str, ...]
    comparable: bool
    """Whether two of them have an AU in common."""
    value: float
    without_one: Floats
    """(S,)."""
    without_two: Floats | None = None
    """(S,), where the bias is to be corrected."""
    reason: str = ""
    """Why `without_one` is not known, if so."""
    groups: tuple[str, ...] = ()
    """(S,) of each subject, where the value compares samples of two people or more; else empty."""


class NothingToCompare(Exception):
    """No variance can be estimated: a few words that say why."""


def run_weights(
    points: Sequence[GridPoint], ratios: Mapping[float, float] | None = None
) -> dict[GridPoint, float]:
    """Average over the folds of each (ratio, seed), over seeds, over ratios (weighted, if given).

    The weights of ratios are scaled to those that there are.
    """
    folds = Counter((point.ratio, point.seed) for point in points)
    seeds = Counter(ratio for ratio, _ in folds)
    of = {ratio: 1.0 if ratios is None else ratios[ratio] for ratio in seeds}
    whole = sum(of.values())
    return {p: of[p.ratio] / (whole * seeds[p.ratio] * folds[p.ratio, p.seed]) for p in points}


def subject_components(
    parts: Mapping[GridPoint, Replicates], weights: Mapping[GridPoint, float]
) -> list[Component]:
    """Return what other subjects might change: a component for each fold.

    Folds with one subject each are taken together: their values tell how much people differ.
    """
    for part in parts.values():
        if part.reason:
            raise NothingToCompare(part.reason)
    groups: dict[tuple[str, ...], list[GridPoint]] = defaultdict(list)
    for point, part in parts.items():
        groups[part.subjects].append(point)
    alone = [points for subjects, points in groups.items() if len(subjects) == 1]
    if len(alone) == 1:
        raise NothingToCompare(f"fold {alone[0][0].fold} has one test subject")
    several = [points for subjects, points in groups.items() if len(subjects) > 1]
    for points in several:
        if not all(parts[p].comparable for p in points):
            raise NothingToCompare(
                f"no two test subjects of fold {points[0].fold} are coded for the same AU"
            )
    found = [
        component
        for points in several
        for component in _jackknife([(weights[p], parts[p]) for p in points])
    ]
    if alone:
        sums = [[(weights[p], weights[p] * parts[p].value) for p in points] for points in alone]
        found.append(_between([tuple(map(sum, zip(*pairs, strict=True))) for pairs in sums]))
    return found


def _jackknife(runs: Sequence[tuple[float, Replicates]]) -> list[Component]:
    """Leave every subject of one fold out of all its runs, given with their weights.

    Groups of subjects are samples of their own: a component each.
    """
    count = len(runs[0][1].subjects)
    value = sum(weight * run.value for weight, run in runs)
    one = np.sum([weight * run.without_one for weight, run in runs], axis=0)
    if runs[0][1].groups:
        groups = np.array(runs[0][1].groups)
        apart = [one[groups == name] for name in np.unique(groups)]
        return [Component(_jackknife_variance(own), len(own) - 1) for own in apart]
    if any(run.without_two is None for _, run in runs):
        return [Component(_jackknife_variance(one), count - 1)]
    bias = (count - 1) * (float(one.mean()) - value)
    two = np.sum([weight * np.asarray(run.without_two) for weight, run in runs], axis=0)
    corrected = (count - 1) * one - (count - 2) * two
    return [Component(_jackknife_variance(corrected), count - 1, bias)]


def _jackknife_variance(values: Floats) -> float:
    count = len(values)
    return float((count - 1) / count * np.square(values - values.mean()).sum())


def _between(folds: Sequence[tuple[float, ...]]) -> Component:
    """Compare folds, given as (weight, weighted value), with their common mean."""
    count, mean = len(folds), sum(value for _, value in folds) / sum(w for w, _ in folds)
    squares = sum((value - weight * mean) ** 2 for weight, value in folds)
    return Component(count / (count - 1) * squares, count - 1)


def training_components(
    parts: Mapping[GridPoint, Replicates], weights: Mapping[GridPoint, float]
) -> list[Component] | None:
    """Return what other trainings might change: a component for each ratio and fold.

    None if any has too few seeds to tell. Folds of one subject need none: they were compared with
    each other, and each has trainings of its own.
    """
    seeds: dict[tuple[float, int], list[GridPoint]] = defaultdict(list)
    for point, part in parts.items():
        if len(part.subjects) > 1:
            seeds[point.ratio, point.fold].append(point)
    if any(len(points) < TRAININGS for points in seeds.values()):
        return None
    return [
        Component(
            sum(weights[p] ** 2 for p in points)
            * float(np.var([parts[p].value for p in points], ddof=1)),
            len(points) - 1,
        )
        for points in seeds.values()
    ]


def standard_error(components: Sequence[Component]) -> tuple[float, float | None]:
    """Return the standard error of the mean, and its degrees of freedom by Satterthwaite (1946).

    An error that is none but for rounding is 0 and has no degrees of freedom.
    """
    variance = sum(part.variance for part in components)
    if variance < _NOTHING**2:
        return 0.0, None
    return math.sqrt(variance), variance**2 / sum(p.variance**2 / p.df for p in components)


def student_t(
    mean: float, components: Sequence[Component], bounds: tuple[float, float]
) -> tuple[tuple[float, float], float]:
    """Return the 95 % interval and the p-value of 0, by Student's t."""
    from scipy.special import stdtr, stdtrit

    error, df = standard_error(components)
    centre = mean - sum(part.bias for part in components)
    if df is None:
        return (centre, centre), float(abs(mean) < _NOTHING)
    half = float(stdtrit(df, 1 - ALPHA / 2)) * error
    low, high = (min(max(end, bounds[0]), bounds[1]) for end in (centre - half, centre + half))
    return (low, high), float(2 * stdtr(df, -abs(centre) / error))


_NOTHING = 1e-12
"""A difference that comes from rounding."""
