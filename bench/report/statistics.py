"""Statistics of a comparison: intervals of mean F1 over subjects, paired differences, Holm's rule.

The subject is the unit: frames of one face are far from independent. What is resampled are the test
subjects of each fold, with their counts (TP, FP, FN, TN); the trained networks stay as they are, so
that these intervals speak of other faces, and the spread over seeds speaks of other trainings.

Shapes: D draws, S test subjects of a fold, A action units. F1 values are shares of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.config.names import GridPoint
from bench.results.records import Record
from bench.system.seeds import generator

from .grouping import check_masks, point_of, scores_of
from .model import ReportError

DRAWS = 2000
ALPHA = 0.05

RESOLUTION = 0.001
"""A tenth of a point of F1, the last digit that tables print: less is not called a difference."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Paired difference a - b of mean F1 over the runs that both have."""

    mean: float
    interval: tuple[float, float]
    """95 %, from resampled subjects."""
    p: float
    """Two-sided, from swapping subjects between a and b."""
    pairs: int


@dataclass(frozen=True)
class FoldCounts:
    """One run's test counts: `parts` (2 A, S) in the order of `subjects`.

    Of each AU, 2 TP and 2 TP + FP + FN: F1 is the one by the other, and both add up over subjects.
    """

    subjects: tuple[str, ...]
    parts: NDArray[np.float64]

    @classmethod
    def of(cls, counts: Mapping[str, Sequence[Sequence[int]]]) -> FoldCounts:
        """Read a record's counts: subject -> [tp, fp, fn, tn], each per AU."""
        subjects = tuple(sorted(counts))
        table = np.array([counts[name] for name in subjects], dtype=np.float64)
        tp, fp, fn = table[:, 0], table[:, 1], table[:, 2]
        return cls(subjects, np.hstack([2 * tp, 2 * tp + fp + fn]).T.copy())

    @property
    def pooled(self) -> NDArray[np.float64]:
        """Parts of all subjects together, (2 A, 1)."""
        return np.asarray(self.parts.sum(axis=1, keepdims=True))


class ScoredRuns:
    """The finished runs of one method, by point of the grid; what was resampled of them is kept."""

    def __init__(self, records: Iterable[Record], select: str = "last") -> None:
        """Read the runs' counts; raises ReportError for a run told twice, or without counts."""
        self.folds = _folds(records, select)
        self._resampled: dict[tuple[object, ...], NDArray[np.float64]] = {}

    def resampled(
        self, points: tuple[GridPoint, ...], draws: int, seed: int
    ) -> NDArray[np.float64]:
        """Return the mean F1 over `points`, (D,), each fold's subjects resampled as for others."""
        key = (points, draws, seed)
        if key not in self._resampled:
            folds = [self.folds[point] for point in points]
            drawn = (_mean_f1(f.parts @ _resample(f.subjects, draws, seed)) for f in folds)
            self._resampled[key] = _average(points, drawn)
        return self._resampled[key]


def subject_bootstrap(
    records: Iterable[Record], select: str = "last", draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of mean F1 over one method's runs, as shares of one.

    In each draw every fold's subjects are resampled with replacement, the same for all seeds; the
    draw's value is averaged over folds and seeds as the table's is. Raises ReportError where no run
    has scores.
    """
    runs = ScoredRuns(records, select)
    if not runs.folds:
        raise ReportError(f"no finished record holds scores selected by {select!r}")
    return _interval(runs.resampled(tuple(runs.folds), draws, seed))


def paired_difference(
    records_a: Iterable[Record],
    records_b: Iterable[Record],
    select: str = "last",
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Compare two methods over the (ratio, fold, seed) that both finished, on the same subjects.

    The interval resamples subjects, the same ones for a and b. The p-value is a permutation test:
    were the methods alike, each subject's counts could be swapped between them. Raises ReportError
    if there is no pair, or if a pair's label masks or test subjects differ.
    """
    a, b = list(records_a), list(records_b)
    check_masks([*a, *b])
    return difference(ScoredRuns(a, select), ScoredRuns(b, select), draws, seed)


def difference(a: ScoredRuns, b: ScoredRuns, draws: int = DRAWS, seed: int = 0) -> Difference:
    """Compare as `paired_difference` does, runs whose label masks are known to agree."""
    points = tuple(point for point in a.folds if point in b.folds)
    if not points:
        raise ReportError("the two methods share no finished ratio, fold and seed to compare")
    pairs = [(a.folds[point], b.folds[point]) for point in points]
    for point, (one, two) in zip(points, pairs, strict=True):
        if one.subjects != two.subjects:
            raise ReportError(f"fold {point.fold} was scored on different subjects: run one again")
    gaps = (_mean_f1(one.pooled)[0] - _mean_f1(two.pooled)[0] for one, two in pairs)
    observed = float(_average(points, gaps))
    resampled = a.resampled(points, draws, seed) - b.resampled(points, draws, seed)
    swapped = _average(points, (_swapped(one, two, draws, seed) for one, two in pairs))
    extreme = int((np.abs(swapped) >= abs(observed) - 1e-12).sum())
    return Difference(
        mean=observed,
        interval=_interval(resampled),
        p=(1 + extreme) / (1 + draws),
        pairs=len(pairs),
    )


def holm(pvalues: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values for their number by Holm's step-down rule (1979), in the order given."""
    values = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted


def tied(difference: Difference, p: float | None = None, resolution: float = RESOLUTION) -> bool:
    """Tell whether a difference cannot be told from none.

    It cannot if the interval holds 0, if it is smaller than the resolution, or if its p-value (the
    corrected one, where given) is not below ALPHA.
    """
    low, high = difference.interval
    chance = difference.p if p is None else p
    return low <= 0 <= high or abs(difference.mean) < resolution or chance >= ALPHA


def _folds(records: Iterable[Record], select: str) -> dict[GridPoint, FoldCounts]:
    folds: dict[GridPoint, FoldCounts] = {}
    for record in records:
        scores = scores_of(record, select)
        if scores is None:
            continue
        point = point_of(record)
        if point in folds:
            raise ReportError(
                f"{record.id} repeats a ratio, fold and seed of its method: remove one"
            )
        if not scores.counts:
            raise ReportError(f"{record.id} holds no counts per subject: run it again")
        folds[point] = FoldCounts.of(scores.counts)
    return folds


def _average(points: Sequence[GridPoint], values: Iterable[ArrayLike]) -> NDArray[np.float64]:
    """Average over the folds of each (ratio, seed), over seeds, over ratios; keeps a draws axis."""
    keys = [(point.ratio, point.seed) for point in points]
    folds = Counter(keys)
    seeds = Counter(ratio for ratio, _ in folds)
    total = np.zeros(())
    for (ratio, seed), value in zip(keys, values, strict=True):
        weight = 1 / (len(seeds) * seeds[ratio] * folds[ratio, seed])
        total = total + weight * np.asarray(value)
    return total


@lru_cache(maxsize=128)
def _resample(subjects: tuple[str, ...], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw how often each subject stands in each resample, (S, D), whatever the method."""
    stream = generator("subject-bootstrap", seed, *subjects)
    count = len(subjects)
    often = stream.multinomial(count, np.full(count, 1 / count), size=draws)
    return often.T.astype(np.float64, order="C")


@lru_cache(maxsize=128)
def _coins(subjects: tuple[str, ...], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw whether each subject is swapped, (S, D) of 0 and 1, whatever the methods."""
    stream = generator("subject-swap", seed, *subjects)
    return stream.integers(0, 2, size=(draws, len(subjects))).T.astype(np.float64, order="C")


def _swapped(one: FoldCounts, two: FoldCounts, draws: int, seed: int) -> NDArray[np.float64]:
    """Return differences, (D,), with each subject's counts swapped or not, by a fair coin."""
    moved = (two.parts - one.parts) @ _coins(one.subjects, draws, seed)
    first = _mean_f1(one.pooled + moved)
    return first - _mean_f1(np.subtract(two.pooled, moved, out=moved))


def _mean_f1(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn pooled parts (2 A, D), which it overwrites, into mean F1 (D,).

    An AU absent and never predicted scores 0. In place, since large tables make tens of thousands
    of calls, and fresh memory would take longer than the arithmetic.
    """
    aus = len(parts) // 2
    hits, of = parts[:aus], parts[aus:]
    # counts are whole numbers: where there is nothing to divide by, there are no hits either
    np.divide(hits, np.maximum(of, 1, out=of), out=hits)
    return np.full(aus, 1 / aus) @ hits


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)
