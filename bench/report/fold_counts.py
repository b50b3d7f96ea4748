"""Test counts of one run per subject, and its mean F1 without some of them.

What `report/statistics.py` makes intervals of. The subject is the unit that is left out: frames of
one face are far from independent.

Shapes: S test subjects of the fold, A action units that any of its frames is coded for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 1_000_000
"""Numbers held at once while pairs of subjects are left out."""


@dataclass(frozen=True)
class FoldCounts:
    """Counts (A, S) of one run: `hits` = 2 TP, `of` = 2 TP + FP + FN, `coded` = frames coded.

    F1 is hits by of, and both add up over subjects. An AU that all the coded frames of one subject
    are needed for keeps its F1 where that subject is left out: how it differs between people is
    not known.
    """

    subjects: tuple[str, ...]
    hits: Floats
    of: Floats
    coded: Floats

    @classmethod
    def read(cls, counts: Mapping[str, Sequence[Sequence[int]]]) -> FoldCounts:
        """Read a record's counts: subject -> [tp, fp, fn, tn], each per AU."""
        subjects = tuple(sorted(counts))
        return cls.make(subjects, np.array([counts[name] for name in subjects], dtype=np.float64))

    @classmethod
    def make(cls, subjects: tuple[str, ...], counts: Floats) -> FoldCounts:
        """Take counts (S, 4, all AUs) of tp, fp, fn, tn; AUs without a coded frame are left out."""
        table = counts.transpose(1, 2, 0)
        tp, fp, fn, tn = table[:, table.sum(axis=(0, 2)) > 0]
        hits = 2 * tp
        return cls(subjects, hits, hits + fp + fn, tp + fp + fn + tn)

    @cached_property
    def mean_f1(self) -> float:
        """Mean F1 over the AUs, a share of one."""
        return float(self._per_au.mean())

    @cached_property
    def without_one(self) -> Floats:
        """Mean F1 with each subject left out, (S,)."""
        hits, of = (part.sum(axis=1, keepdims=True) - part for part in (self.hits, self.of))
        left = self._coded_by[:, None] - (self.coded > 0)
        return self._mean(hits, of, left)

    @cached_property
    def without_two(self) -> Floats:
        """Mean F1 with each subject left out and one more, averaged over the other one, (S,)."""
        rows = max(1, BLOCK // max(1, self.hits.size))
        starts = range(0, len(self.subjects), rows)
        return np.concatenate([self._pairs_left_out(slice(at, at + rows)) for at in starts])

    @property
    def comparable(self) -> bool:
        """Whether any AU is coded for two subjects, so that people can be held side by side."""
        return bool((self._coded_by > 1).any())

    @cached_property
    def _per_au(self) -> Floats:
        return _f1(self.hits.sum(axis=1), self.of.sum(axis=1))

    @cached_property
    def _coded_by(self) -> NDArray[np.int64]:
        """How many subjects each AU is coded for, (A,)."""
        return np.asarray(np.count_nonzero(self.coded, axis=1))

    def _pairs_left_out(self, first: slice) -> Floats:
        one = [part[:, first, None] for part in (self.hits, self.of, self.coded > 0)]
        two = [part[:, None, :] for part in (self.hits, self.of, self.coded > 0)]
        hits, of = (
            part.sum(axis=1)[:, None, None] - a - b
            for part, a, b in zip((self.hits, self.of), one[:2], two[:2], strict=True)
        )
        left = self._coded_by[:, None, None] - one[2].astype(int) - two[2]
        means = self._mean(hits, of, left)
        itself = np.arange(len(means)), np.arange(len(self.subjects))[first]
        means[itself] = 0  # nobody is left out twice
        return np.asarray(means.sum(axis=1) / (len(self.subjects) - 1))

    def _mean(self, hits: Floats, of: Floats, left: NDArray[np.int64]) -> Floats:
        """Average F1 over the AUs (axis 0); `left` counts the subjects left that are coded."""
        f1 = _f1(hits, of)
        if (left < 1).any():
            whole = self._per_au.reshape(-1, *[1] * (f1.ndim - 1))
            f1 = np.where(left < 1, whole, f1)
        return np.asarray(f1.mean(axis=0))


def _f1(hits: Floats, of: Floats) -> Floats:
    """Divide; counts are whole numbers, so where there is nothing to divide by, F1 is 0."""
    return np.asarray(hits / np.maximum(of, 1))
