"""Intervals and tests of differences against enumerations, hand values and simulated truth."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest

from bench.report.model import ReportError
from bench.report.statistics import Difference, holm, paired_difference, subject_bootstrap, tied
from bench.results.records import Record, Scores
from tests.helpers.fake_records import counted, record, sampled, unfinished


def population(
    seed: int, skill: tuple[float, float], fold: int = 0, people: int = 12, frames: int = 40
) -> tuple[Record, Record]:
    """Two methods on the same faces; how well a face can be read differs from face to face."""
    rng = np.random.default_rng([seed, fold])
    subjects = [f"F{fold}{person:02d}" for person in range(people) for _ in range(frames)]
    labels = (rng.random((people * frames, 2)) < 0.4).astype(np.int8)
    ease = np.repeat(rng.normal(0, 0.08, people), frames)[:, None]
    one, two = (
        sampled(labels, rng.random(labels.shape) < share + ease, subjects, method=name, fold=fold)
        for name, share in zip(("a", "b"), skill, strict=True)
    )
    return one, two


def f1(counts: list[list[list[int]]]) -> float:
    """Mean F1 of pooled subjects, spelt out."""
    values = []
    for au in range(len(counts[0][0])):
        tp, fp, fn = (sum(subject[kind][au] for subject in counts) for kind in range(3))
        values.append(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
    return sum(values) / len(values)


def last(item: Record) -> Scores:
    return item.scores["last"]


def test_the_interval_agrees_with_a_bootstrap_spelt_out() -> None:
    one, _ = population(3, (0.75, 0.75))
    tables, draw = list(last(one).counts.values()), random.Random(1)
    values = sorted(f1(draw.choices(tables, k=len(tables))) for _ in range(4000))
    low, high = subject_bootstrap([one], draws=4000)
    assert low == pytest.approx(values[100], abs=0.005)
    assert high == pytest.approx(values[3899], abs=0.005)
    assert low < last(one).mean_f1 < high


def test_subjects_who_are_all_alike_leave_no_doubt() -> None:
    runs = [record(fold=0, f1=0.4), record(fold=1, f1=0.6)]
    assert subject_bootstrap(runs) == pytest.approx((0.5, 0.5))


def test_the_interval_is_around_the_mean_that_tables_print() -> None:
    runs = [
        record(fold=0, seed=0, f1=0.2),
        record(fold=1, seed=0, f1=0.4),
        record(fold=0, seed=1, f1=0.9),
    ]
    assert subject_bootstrap(runs) == pytest.approx((0.6, 0.6))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = np.mean([last(population(900 + i, (0.75, 0.75))[0]).mean_f1 for i in range(60)])
    covered = []
    for trial in range(60):
        runs = [population(trial, (0.75, 0.75), fold=fold)[0] for fold in range(3)]
        low, high = subject_bootstrap(runs, draws=200)
        covered.append(low <= truth <= high)
    assert 0.85 <= np.mean(covered) <= 0.99


def test_the_same_records_give_the_same_interval_and_another_seed_another() -> None:
    one, _ = population(0, (0.7, 0.7))
    assert subject_bootstrap([one]) == subject_bootstrap([one])
    assert subject_bootstrap([one], seed=1) != subject_bootstrap([one])


def test_identical_methods_differ_by_exactly_nothing() -> None:
    one, _ = population(1, (0.7, 0.7))
    twin = dataclasses.replace(one, id="twin", cell={**one.cell, "method": "b"})
    difference = paired_difference([one], [twin])
    assert difference == Difference(mean=0.0, interval=(0.0, 0.0), p=1.0, pairs=1)
    assert tied(difference)


def test_a_paired_difference_changes_sign_with_its_order() -> None:
    one, two = population(2, (0.8, 0.7))
    there, back = paired_difference([one], [two]), paired_difference([two], [one])
    assert there.mean == pytest.approx(last(one).mean_f1 - last(two).mean_f1)
    assert there.mean == pytest.approx(-back.mean)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.p == back.p


def test_the_p_value_is_the_share_of_all_swaps_at_least_as_extreme() -> None:
    one, two = population(5, (0.76, 0.72), people=7)
    a, b = (list(last(item).counts.values()) for item in (one, two))
    observed = abs(f1(a) - f1(b))
    swaps = []
    for coins in itertools.product((0, 1), repeat=7):
        pairs = [(y, x) if coin else (x, y) for coin, x, y in zip(coins, a, b, strict=True)]
        swaps.append(abs(f1([x for x, _ in pairs]) - f1([y for _, y in pairs])))
    exact = np.mean([swap >= observed - 1e-12 for swap in swaps])
    assert 0.05 < exact < 0.9
    assert paired_difference([one], [two], draws=4000).p == pytest.approx(exact, abs=0.03)


def test_alike_methods_are_seldom_told_apart_and_unlike_ones_always() -> None:
    chances = []
    for seed in range(80):
        one, two = population(seed, (0.7, 0.7))
        chances.append(paired_difference([one], [two], draws=200).p)
    assert np.mean(np.array(chances) < 0.05) <= 0.1
    good, bad = population(4, (0.85, 0.65))
    unlike = paired_difference([good], [bad])
    assert unlike.p < 0.01
    assert unlike.interval[0] > 0
    assert not tied(unlike)


def test_only_runs_that_both_have_are_compared() -> None:
    a = [record("a", fold=0, f1=0.6), record("a", fold=1, f1=0.9)]
    b = [record("b", fold=0, f1=0.5), unfinished("failed", "the loss", method="b", fold=1)]
    difference = paired_difference(a, b)
    assert difference.pairs == 1
    assert difference.mean == pytest.approx(0.1)


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(ReportError, match="share no finished"):
        paired_difference([record("a", fold=0)], [record("b", fold=1)])


def test_pairs_trained_on_different_masks_are_refused_by_name() -> None:
    one, two = record("a"), record("b", hashes={"mask": "another"})
    with pytest.raises(ReportError, match=f"{one.id} and {two.id}.*label masks"):
        paired_difference([one], [two])


def test_pairs_scored_on_different_subjects_are_refused() -> None:
    one, two = record("a"), record("b", scores={"last": counted([0.5, 0.5], fold=7)})
    with pytest.raises(ReportError, match="different subjects"):
        paired_difference([one], [two])


def test_a_run_without_counts_cannot_be_resampled() -> None:
    bare = dataclasses.replace(counted([0.5, 0.5]), counts={})
    with pytest.raises(ReportError, match="no counts per subject"):
        subject_bootstrap([record(scores={"last": bare})])


def test_no_finished_run_has_no_interval() -> None:
    with pytest.raises(ReportError, match="selected by 'val'"):
        subject_bootstrap([record()], select="val")


def test_holm_by_hand_keeps_the_order_and_never_decreases() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1.0, 1.0])
    assert holm([]).size == 0


@pytest.mark.parametrize(
    ("mean", "interval", "p", "verdict"),
    [
        (0.02, (0.01, 0.03), 0.001, False),
        (0.02, (-0.01, 0.05), 0.001, True),
        (0.02, (0.01, 0.03), 0.05, True),
        (0.0009, (0.0008, 0.001), 0.001, True),
    ],
)
def test_a_tie_is_an_interval_with_zero_a_large_p_or_a_tiny_gap(
    mean: float, interval: tuple[float, float], p: float, verdict: bool
) -> None:
    assert tied(Difference(mean=mean, interval=interval, p=p, pairs=3)) is verdict


def test_the_corrected_p_value_decides_where_it_is_given() -> None:
    difference = Difference(mean=0.02, interval=(0.01, 0.03), p=0.02, pairs=3)
    assert not tied(difference)
    assert tied(difference, p=0.06)
