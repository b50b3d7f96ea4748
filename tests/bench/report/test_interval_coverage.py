"""Intervals hold the truth as often as they say: a short form of the study interval-coverage."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bench.config.names import GridPoint
from bench.report.fold_counts import FoldCounts
from bench.report.statistics import estimate_difference, estimate_mean
from tests.helpers.scripts import load_script

STUDY = Path(__file__).parents[3] / "results" / "studies" / "interval-coverage"
REPEATS = 300
WITHIN = (0.93, 0.97)


@pytest.fixture(scope="module")
def study() -> ModuleType:
    """The study's own populations."""
    return load_script(STUDY / "populations.py")


def runs_of(counts: np.ndarray, fold: int = 0) -> dict[GridPoint, FoldCounts]:
    """One method's runs of one fold, from counts (trainings, subjects, 4, AUs)."""
    subjects = tuple(f"{fold}-{number}" for number in range(counts.shape[1]))
    return {
        GridPoint(ratio=0.05, fold=fold, seed=seed): FoldCounts.make(subjects, table)
        for seed, table in enumerate(counts)
    }


def percentile(fold: FoldCounts, stream: np.random.Generator) -> tuple[float, float]:
    """The form that was here before: the middle 95 % of 500 redraws of the subjects."""
    count = len(fold.subjects)
    often = stream.multinomial(count, np.full(count, 1 / count), 500).T
    f1 = (fold.parts[0] @ often) / np.maximum(fold.parts[1] @ often, 1)
    low, high = np.quantile(f1.mean(axis=0), [0.025, 0.975])
    return float(low), float(high)


def test_nine_subjects_cover_the_truth_where_percentiles_do_not(study: ModuleType) -> None:
    population = study.Population("as recorded", people=50_000)
    truth, other = population.truth
    stream = np.random.default_rng(0)
    held: dict[str, list[bool]] = {"mean": [], "difference": [], "percentile": []}
    for _ in range(REPEATS):
        one, two = (runs_of(counts) for counts in population.draw(stream, 9))
        intervals = {
            "mean": (estimate_mean(one).interval, truth),
            "difference": (estimate_difference(one, two).interval, truth - other),
            "percentile": (percentile(next(iter(one.values())), stream), truth),
        }
        for name, (interval, wanted) in intervals.items():
            held[name].append(interval is not None and interval[0] <= wanted <= interval[1])
    assert WITHIN[0] <= np.mean(held["mean"]) <= WITHIN[1]
    assert WITHIN[0] <= np.mean(held["difference"]) <= WITHIN[1]
    assert np.mean(held["percentile"]) < 0.9


def test_three_seeds_cover_the_truth_where_subjects_alone_do_not(study: ModuleType) -> None:
    """Two methods that differ by the luck of their trainings alone: the truth is no difference."""
    population = study.Population("as recorded", people=1000)
    population.recall[1], population.alarm[1] = population.recall[0], population.alarm[0]
    population.tau = 0.6  # about two points of F1
    stream = np.random.default_rng(0)
    held: dict[str, list[bool]] = {"crossed": [], "subjects alone": []}
    for _ in range(REPEATS):
        one, two = (runs_of(counts) for counts in population.draw(stream, 30, 3))
        first = min(one)
        crossed = estimate_difference(one, two)
        single = estimate_difference({first: one[first]}, {first: two[first]})
        assert (crossed.trainings, single.trainings) == (True, False)
        for name, interval in (("crossed", crossed.interval), ("subjects alone", single.interval)):
            held[name].append(interval is not None and interval[0] <= 0 <= interval[1])
    assert WITHIN[0] <= np.mean(held["crossed"]) <= WITHIN[1]
    assert np.mean(held["subjects alone"]) < 0.8
