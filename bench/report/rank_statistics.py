"""Ranks of methods over blocks: mean ranks, Friedman's test, Nemenyi's critical difference.

Used by `report/tables/ranks.py` and by figures. As in Demsar (JMLR 2006). A block is a (ratio,
fold): its seeds are averaged first, for they are scored on the same people.

Shapes: K methods, N blocks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.config.names import GridPoint

Floats = NDArray[np.float64]

LEVEL = 0.05


@dataclass(frozen=True)
class RankSummary:
    """How methods rank over the blocks that all of them have; rank 1 is the best."""

    names: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    blocks: int
    p: float
    """Friedman's, of the hypothesis that all methods rank alike (chi-square with K - 1 degrees)."""
    critical_difference: float
    """Mean ranks that differ by less are not told apart, at 5 %."""

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Return the largest sets of methods none of whose mean ranks differ by more, best first.

        These are the bars of a critical-difference diagram; single methods have none.
        """
        order = sorted(range(len(self.names)), key=lambda place: self.mean_ranks[place])
        found: list[list[int]] = []
        for start, first in enumerate(order):
            reach = self.mean_ranks[first] + self.critical_difference
            group = [place for place in order[start:] if self.mean_ranks[place] < reach]
            if len(group) > 1 and not any(set(group) <= set(other) for other in found):
                found.append(group)
        return [tuple(self.names[place] for place in group) for group in found]


def rank_summary(scores: Mapping[str, Mapping[GridPoint, float]]) -> RankSummary | None:
    """Rank methods by their scores, higher being better; None under two methods or two blocks."""
    names = tuple(scores)
    table = _blocks(list(scores.values()))
    if len(names) < 2 or table.shape[1] < 2:
        return None
    ranks = ranks_of(table)
    return RankSummary(
        names,
        tuple(map(float, ranks.mean(axis=1))),
        table.shape[1],
        friedman(ranks),
        critical_difference(len(names), table.shape[1]),
    )


def _blocks(scores: Sequence[Mapping[GridPoint, float]]) -> Floats:
    """Average over seeds the scores of the runs that all methods have: (K, N)."""
    shared = sorted(set.intersection(*(set(item) for item in scores))) if scores else []
    places: dict[tuple[float, int], list[GridPoint]] = defaultdict(list)
    for point in shared:
        places[point.ratio, point.fold].append(point)
    rows = [[np.mean([item[p] for p in points]) for points in places.values()] for item in scores]
    return np.array(rows, dtype=np.float64).reshape(len(scores), len(places))


def ranks_of(scores: Floats) -> Floats:
    """Rank methods (K, N) within each block; 1 is the highest score, equal ones share a mean rank.

    Scores computed twice may differ in their last bits, and are equal then.
    """
    table = np.round(scores, 12)
    better = (table[None] > table[:, None]).sum(axis=1)
    equal = (table[None] == table[:, None]).sum(axis=1)
    return np.asarray(better + (equal + 1) / 2)


def friedman(ranks: Floats) -> float:
    """Return the p-value of Friedman's test (1937), corrected for ties."""
    from scipy.special import gammaincc

    methods, blocks = ranks.shape
    middle = (methods + 1) / 2
    spread = float(np.square(ranks - middle).sum())
    if spread == 0:
        return 1.0
    between = blocks**2 * float(np.square(ranks.mean(axis=1) - middle).sum())
    statistic = (methods - 1) * between / spread
    return float(gammaincc((methods - 1) / 2, statistic / 2))


def critical_difference(methods: int, blocks: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at 5 %: q sqrt(K (K + 1) / (6 N)).

    q is the 95 % quantile of the studentised range of K, divided by the square root of 2.
    """
    return _quantile(methods) * math.sqrt(methods * (methods + 1) / (6 * blocks))


@lru_cache
def _quantile(methods: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, methods, np.inf)) / math.sqrt(2)
