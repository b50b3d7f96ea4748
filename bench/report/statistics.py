"""Uncertainty of mean F1: bootstrap over subjects, paired differences, Holm's correction.

The subject is the unit: frames of one face are far from independent. What is resampled are the test
subjects of each fold, with their counts (TP, FP, FN, TN); the trained networks stay as they are, so
that these intervals speak of other faces, and the spread over seeds speaks of other trainings.

Shapes: D draws, S test subjects of a fold, A action units. F1 values are shares of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.metrics import f1_from_counts
from bench.records import Record
from bench.seeds import generator

from .grid import Place, check_masks, place_of, scores_of
from .table import ReportError

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
class _Fold:
    """One run's test counts: `counts` (S, 4, A) in the order of `subjects`."""

    subjects: tuple[str, ...]
    counts: NDArray[np.int64]

    def f1(self) -> float:
        return float(f1_from_counts(self.counts.sum(axis=0)).mean())

    def weighted_f1(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean F1, (D,), with each subject counted `weights` (D, S) times."""
        flat = self.counts.reshape(len(self.subjects), -1).astype(np.float64)
        pooled = (weights @ flat).reshape(-1, *self.counts.shape[1:])
        return np.asarray(f1_from_counts(pooled).mean(axis=-1))


def subject_bootstrap(
    records: Iterable[Record], select: str = "last", draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % percentile interval of mean F1 over one method's runs, as shares of one.

    In each draw every fold's subjects are resampled with replacement, the same for all seeds; the
    draw's value is averaged over folds and seeds as the table's is. Raises ReportError where no run
    has scores.
    """
    folds = _folds(records, select)
    if not folds:
        raise ReportError(f"no finished record holds scores selected by {select!r}")
    return _interval(
        _average(
            folds,
            [fold.weighted_f1(_resample(fold.subjects, draws, seed)) for fold in folds.values()],
        )
    )


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
    first, second = _folds(a, select), _folds(b, select)
    places = [place for place in first if place in second]
    if not places:
        raise ReportError("the two methods share no finished ratio, fold and seed to compare")
    for place in places:
        if first[place].subjects != second[place].subjects:
            raise ReportError(f"fold {place[1][0]} was scored on different subjects: run one again")
    pairs = {place: (first[place], second[place]) for place in places}
    observed = float(_average(pairs, [one.f1() - two.f1() for one, two in pairs.values()]))
    resampled = _average(pairs, [_resampled(pair, draws, seed) for pair in pairs.values()])
    swapped = _average(pairs, [_swapped(pair, draws, seed) for pair in pairs.values()])
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


def _folds(records: Iterable[Record], select: str) -> dict[Place, _Fold]:
    folds: dict[Place, _Fold] = {}
    for record in records:
        scores = scores_of(record, select)
        if scores is None:
            continue
        place = place_of(record)
        if place in folds:
            raise ReportError(
                f"{record.id} repeats a ratio, fold and seed of its method: remove one"
            )
        subjects = tuple(sorted(scores.counts))
        if not subjects:
            raise ReportError(f"{record.id} holds no counts per subject: run it again")
        folds[place] = _Fold(subjects, np.array([scores.counts[name] for name in subjects]))
    return folds


def _average(places: Iterable[Place], values: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Average over the folds of each (ratio, seed), over seeds, over ratios; keeps a draws axis."""
    keys = [(ratio, seed) for ratio, (_, seed) in places]
    folds = Counter(keys)
    seeds = Counter(ratio for ratio, _ in folds)
    weights = [1 / (len(seeds) * seeds[ratio] * folds[ratio, seed]) for ratio, seed in keys]
    return np.tensordot(weights, np.asarray(values, dtype=np.float64), axes=1)


@lru_cache(maxsize=128)
def _resample(subjects: tuple[str, ...], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw how often each subject stands in each resample, (D, S), whatever the method."""
    stream = generator("subject-bootstrap", seed, *subjects)
    count = len(subjects)
    return stream.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


@lru_cache(maxsize=128)
def _coins(subjects: tuple[str, ...], draws: int, seed: int) -> NDArray[np.float64]:
    """Draw whether each subject is swapped, (D, S) of 0 and 1, whatever the methods."""
    stream = generator("subject-swap", seed, *subjects)
    return stream.integers(0, 2, size=(draws, len(subjects))).astype(np.float64)


def _resampled(pair: tuple[_Fold, _Fold], draws: int, seed: int) -> NDArray[np.float64]:
    """Return differences, (D,), on resampled subjects, the same for both methods."""
    one, two = pair
    weights = _resample(one.subjects, draws, seed)
    return one.weighted_f1(weights) - two.weighted_f1(weights)


def _swapped(pair: tuple[_Fold, _Fold], draws: int, seed: int) -> NDArray[np.float64]:
    """Return differences, (D,), with each subject's counts swapped or not, by a fair coin."""
    one, two = pair
    swap = _coins(one.subjects, draws, seed)
    both = _Fold(one.subjects * 2, np.concatenate([one.counts, two.counts]))
    kept, changed = np.hstack([1 - swap, swap]), np.hstack([swap, 1 - swap])
    return both.weighted_f1(kept) - both.weighted_f1(changed)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)
