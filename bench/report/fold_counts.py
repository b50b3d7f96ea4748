"""What one run's test subjects add up to, and its mean score without some of them.

What `report/statistics.py` makes intervals of. The subject is the unit that is left out: frames of
one face are far from independent.

Shapes: S test subjects of the fold, A action units that any of its frames is coded for, K sums that
a metric is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Measure = Callable[[Floats], Floats]
"""Sums (K, ...) over subjects -> values (...); NaN where the metric is not defined."""

BLOCK = 1_000_000
"""Numbers held at once while pairs of subjects are left out."""


class FoldScore(Protocol):
    """One run's mean score over the AUs, and what becomes of it without some subjects."""

    @property
    def subjects(self) -> tuple[str, ...]:
        """The test subjects, sorted."""
        ...

    @property
    def comparable(self) -> bool:
        """Whether any AU is coded for two subjects, so that people can be held side by side."""
        ...

    @property
    def mean(self) -> float:
        """Mean over the AUs, a share of one."""
        ...

    @property
    def without_one(self) -> Floats:
        """The mean with each subject left out, (S,)."""
        ...

    @property
    def without_two(self) -> Floats | None:
        """With each left out and one more, averaged over the other one, (S,), where it is known."""
        ...

    @property
    def reason(self) -> str:
        """Why nothing is known of the mean without subjects, if so."""
        ...


def f1_of_sums(parts: Floats) -> Floats:
    """Return F1 of `hits` = 2 TP and `of` = 2 TP + FP + FN; 0 where there is nothing to divide by.

    Counts are whole numbers, so `of` is 0 or at least 1.
    """
    return np.asarray(parts[0] / np.maximum(parts[1], 1))


@dataclass(frozen=True)
class FoldCounts:
    """Sums of one run by subject; the metric is made of what they add up to.

    An AU that all the coded frames of one subject are needed for keeps its value where that subject
    is left out, and so does one whose metric is not defined without it: how it differs between
    people is not known.
    """

    subjects: tuple[str, ...]
    parts: Floats
    """(K, A, S)."""
    coded: Floats
    """Frames coded, (A, S)."""
    measure: Measure = f1_of_sums
    reason: str = ""

    @classmethod
    def read(cls, counts: Mapping[str, Sequence[Sequence[int]]]) -> FoldCounts:
        """Read a record's counts, for F1: subject -> [tp, fp, fn, tn], each per AU."""
        subjects = tuple(sorted(counts))
        return cls.make(subjects, np.array([counts[name] for name in subjects], dtype=np.float64))

    @classmethod
    def make(cls, subjects: tuple[str, ...], counts: Floats) -> FoldCounts:
        """Take counts (S, 4, all AUs) of tp, fp, fn, tn, for F1."""
        table = counts.transpose(1, 2, 0)
        tp, fp, fn = table[:3]
        return cls.of(subjects, np.stack([2 * tp, 2 * tp + fp + fn]), table.sum(axis=0), f1_of_sums)

    @classmethod
    def of(
        cls, subjects: tuple[str, ...], parts: Floats, coded: Floats, measure: Measure
    ) -> FoldCounts:
        """Take sums (K, all AUs, S); AUs without a coded frame or a defined value are left out."""
        whole = measure(parts.sum(axis=-1))
        known = (coded.sum(axis=-1) > 0) & ~np.isnan(whole)
        return cls(subjects, parts[:, known], coded[known], measure)

    @cached_property
    def mean(self) -> float:
        """Mean over the AUs, a share of one."""
        return float(self._per_au.mean())

    @cached_property
    def without_one(self) -> Floats:
        """The mean with each subject left out, (S,)."""
        left = self._coded_by[:, None] - (self.coded > 0)
        return self._mean(self.parts.sum(axis=2, keepdims=True) - self.parts, left)

    @cached_property
    def without_two(self) -> Floats:
        """The mean with each subject left out and one more, averaged over the other one, (S,)."""
        rows = max(1, BLOCK // max(1, self.coded.size))
        starts = range(0, len(self.subjects), rows)
        return np.concatenate([self._pairs_left_out(slice(at, at + rows)) for at in starts])

    @property
    def comparable(self) -> bool:
        """Whether any AU is coded for two subjects, so that people can be held side by side."""
        return bool((self._coded_by > 1).any())

    @cached_property
    def _per_au(self) -> Floats:
        return self.measure(self.parts.sum(axis=2))

    @cached_property
    def _coded_by(self) -> NDArray[np.int64]:
        """How many subjects each AU is coded for, (A,)."""
        return np.asarray(np.count_nonzero(self.coded, axis=1))

    def _pairs_left_out(self, first: slice) -> Floats:
        parts, coded = self.parts, (self.coded > 0).astype(int)
        whole = parts.sum(axis=2)[..., None, None]
        sums = whole - parts[:, :, first, None] - parts[:, :, None, :]
        left = self._coded_by[:, None, None] - coded[:, first, None] - coded[:, None, :]
        means = self._mean(sums, left)
        itself = np.arange(len(means)), np.arange(len(self.subjects))[first]
        means[itself] = 0  # nobody is left out twice
        return np.asarray(means.sum(axis=1) / (len(self.subjects) - 1))

    def _mean(self, sums: Floats, left: NDArray[np.int64]) -> Floats:
        """Average over the AUs (axis 0); `left` counts the subjects left that are coded."""
        values = self.measure(sums)
        gone = (left < 1) | np.isnan(values)
        if gone.any():
            values = np.where(gone, self._per_au.reshape(-1, *[1] * (values.ndim - 1)), values)
        return np.asarray(values.mean(axis=0))


@dataclass(frozen=True)
class FoldRanking:
    """One run's mean of a metric that does not add up over subjects (AUC, average precision)."""

    subjects: tuple[str, ...]
    comparable: bool
    mean: float
    without_one: Floats
    without_two: Floats | None = None
    reason: str = ""
    """Why `without_one` is not known, if so."""

    @classmethod
    def of(cls, subjects: tuple[str, ...], values: Floats, *, comparable: bool) -> FoldRanking:
        """Take values (A, 1 + S): an AU's, then without each subject; NaN where not defined.

        An AU keeps its value where it is not defined without a subject.
        """
        known = values[~np.isnan(values[:, 0])]
        filled = np.where(np.isnan(known), known[:, :1], known)
        means = filled.mean(axis=0)
        return cls(subjects, comparable, float(means[0]), means[1:])
