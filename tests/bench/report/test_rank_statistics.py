"""Ranks, Friedman's test and critical differences against scipy and the published table."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.config.names import GridPoint
from bench.report.rank_statistics import critical_difference, friedman, rank_summary, ranks_of


def test_ranks_and_friedmans_test_are_scipys() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (4, 9)).astype(float)
    ranks = ranks_of(scores)
    for block in range(9):
        assert ranks[:, block].tolist() == stats.rankdata(-scores[:, block]).tolist()
    assert friedman(ranks) == pytest.approx(stats.friedmanchisquare(*scores).pvalue)


def test_methods_that_are_always_equal_rank_alike() -> None:
    assert friedman(ranks_of(np.ones((3, 4)))) == 1.0


def test_the_critical_difference_is_that_of_demsars_table() -> None:
    quantiles = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]
    for methods, quantile in enumerate(quantiles, 2):
        expected = quantile * math.sqrt(methods * (methods + 1) / (6 * 14))
        assert critical_difference(methods, 14) == pytest.approx(expected, rel=1e-3)


def test_seeds_of_a_fold_are_one_block() -> None:
    points = [GridPoint(ratio=r, fold=f, seed=s) for r in (0.1, 1) for f in (0, 1) for s in (0, 1)]
    scores = {
        "a": {p: 0.5 + 0.1 * p.seed for p in points},
        "b": dict.fromkeys(points, 0.52),
        "c": dict.fromkeys(points[:-1], 0.1),
    }
    found = rank_summary(scores)
    assert found is not None
    # the last fold and ratio is left with one seed, in which b has more than a
    assert found.blocks == 4
    assert found.mean_ranks == (1.25, 1.75, 3.0)


def test_groups_are_the_largest_sets_within_the_critical_difference() -> None:
    order = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}
    points = [GridPoint(ratio=0.1, fold=fold, seed=0) for fold in range(12)]
    found = rank_summary({name: dict.fromkeys(points, score) for name, score in order.items()})
    assert found is not None
    assert 1 < found.critical_difference < 2
    assert found.groups == [("a", "b"), ("b", "c"), ("c", "d")]


def test_one_method_or_one_block_has_no_ranks() -> None:
    point = GridPoint(ratio=0.1, fold=0, seed=0)
    assert rank_summary({}) is None
    assert rank_summary({"a": {point: 0.5}, "b": {point: 0.4}}) is None
