"""Intervals and tests of differences against brute force, scipy and enumerations."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from bench.report.model import ReportError
from bench.report.statistics import (
    Estimate,
    holm,
    mean_interval,
    paired_difference,
    smallest_difference,
    tied,
    untested,
)
from bench.results.records import Record, Scores
from tests.helpers.fake_records import counted, record, sampled, unfinished

Table = list[list[int]]
"""One subject's [tp, fp, fn, tn], each per AU."""


def population(
    seed: int,
    skill: tuple[float, float],
    fold: int = 0,
    people: int = 12,
    frames: int = 40,
    training: int = 0,
) -> tuple[Record, Record]:
    """Two methods on the same faces; how well a face can be read differs from face to face.

    Trainings but the first are a little better or worse than the methods' skill.
    """
    rng = np.random.default_rng([seed, fold])
    subjects = [f"F{fold}{person:02d}" for person in range(people) for _ in range(frames)]
    labels = (rng.random((people * frames, 2)) < 0.4).astype(np.int8)
    ease = np.repeat(rng.normal(0, 0.08, people), frames)[:, None]
    chance = np.random.default_rng([seed, fold, training]) if training else rng
    lucky = chance.normal(0, 0.02, 2) if training else np.zeros(2)
    one, two = (
        sampled(
            labels,
            chance.random(labels.shape) < share + ease + luck,
            subjects,
            method=name,
            fold=fold,
            seed=training,
        )
        for name, share, luck in zip(("a", "b"), skill, lucky, strict=True)
    )
    return one, two


def f1(counts: Sequence[Table]) -> float:
    """Mean F1 of pooled subjects, spelt out; AUs that nobody coded do not count."""
    values = []
    for au in range(len(counts[0][0])):
        tp, fp, fn, tn = (sum(subject[kind][au] for subject in counts) for kind in range(4))
        if tp + fp + fn + tn:
            values.append(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
    return sum(values) / len(values)


def last(item: Record) -> Scores:
    return item.scores["last"]


def tables(item: Record) -> list[Table]:
    return [last(item).counts[name] for name in sorted(last(item).counts)]


def without(items: Sequence, place: int) -> list:
    return [item for index, item in enumerate(items) if index != place]


def jackknife(value: Callable[[Sequence], float], people: Sequence) -> float:
    """Variance of a value of people, each left out once."""
    left = [value(without(people, place)) for place in range(len(people))]
    return (len(people) - 1) ** 2 / len(people) * float(np.var(left, ddof=1))


def corrected(value: Callable[[Sequence], float], people: Sequence) -> float:
    """A value less its jackknife bias."""
    left = [value(without(people, place)) for place in range(len(people))]
    return len(people) * value(people) - (len(people) - 1) * float(np.mean(left))


def around(centre: float, variances: Sequence[float], dfs: Sequence[int]) -> tuple[float, float]:
    """Student's interval of a sum of variances, with Satterthwaite's degrees of freedom."""
    df = sum(variances) ** 2 / sum(v**2 / n for v, n in zip(variances, dfs, strict=True))
    low, high = stats.t.interval(0.95, df, centre, math.sqrt(sum(variances)))
    return float(low), float(high)


# Intervals of a mean ---------------------------------------------------------------------------


def test_the_interval_is_students_around_the_jackknifed_mean() -> None:
    one, _ = population(3, (0.75, 0.75), people=6)
    people = tables(one)
    variance = jackknife(lambda some: corrected(f1, some), people)
    expected = around(corrected(f1, people), [variance], [5])
    found = mean_interval([one])
    assert found.mean == pytest.approx(last(one).mean_f1)
    assert found.interval == pytest.approx(expected)
    assert not found.trainings


def test_folds_add_up_with_satterthwaites_degrees_of_freedom() -> None:
    runs = [population(8, (0.7, 0.7), fold=fold, people=5 + fold)[0] for fold in range(3)]
    variances = [jackknife(lambda some: corrected(f1, some), tables(run)) / 9 for run in runs]
    centre = float(np.mean([corrected(f1, tables(run)) for run in runs]))
    assert mean_interval(runs).interval == pytest.approx(around(centre, variances, [4, 5, 6]))


def test_subjects_who_are_all_alike_leave_no_doubt() -> None:
    runs = [record(fold=0, f1=0.4), record(fold=1, f1=0.6)]
    assert mean_interval(runs).interval == pytest.approx((0.5, 0.5))


def test_the_interval_is_around_the_mean_that_tables_print() -> None:
    runs = [
        record(fold=0, seed=0, f1=0.2),
        record(fold=1, seed=0, f1=0.4),
        record(fold=0, seed=1, f1=0.9),
    ]
    assert mean_interval(runs).interval == pytest.approx((0.6, 0.6))


def test_an_interval_of_f1_ends_at_0_and_1() -> None:
    one, _ = population(0, (0.97, 0.97), people=2)
    two, _ = population(1, (0.2, 0.2), people=2, frames=8)
    upper, lower = (mean_interval([run]).interval or (math.nan, math.nan) for run in (one, two))
    assert upper[1] == 1
    assert lower[0] == 0


def test_two_subjects_give_an_interval_and_many_one_in_pieces(monkeypatch) -> None:
    two, _ = population(3, (0.75, 0.75), people=2)
    expected = around(f1(tables(two)), [jackknife(f1, tables(two))], [1])
    assert mean_interval([two]).interval == pytest.approx(
        (max(expected[0], 0), min(expected[1], 1))
    )
    many, _ = population(3, (0.75, 0.75), people=30, frames=5)
    whole = mean_interval([many]).interval
    monkeypatch.setattr("bench.report.fold_counts.BLOCK", 1)
    assert mean_interval([many]).interval == pytest.approx(whole)


# AUs that are not coded ------------------------------------------------------------------------


def partly_coded(coded: Sequence[tuple[int, ...]], method: str = "a", seed: int = 0) -> Record:
    """One subject a tuple: the places of the AUs, of three, that its frames are coded for."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (30 * len(coded), 3)).astype(np.int8)
    for person, places in enumerate(coded):
        for place in {0, 1, 2} - set(places):
            labels[30 * person : 30 * person + 30, place] = -1
    subjects = [f"F{person:02d}" for person in range(len(coded)) for _ in range(30)]
    luck = np.random.default_rng([seed, len(method), ord(method[0])])
    return sampled(labels, luck.random(labels.shape) < 0.75, subjects, method=method)


def test_an_au_that_nobody_coded_is_in_no_interval_and_no_difference() -> None:
    a, b = (partly_coded([(0, 1)] * 5, method) for method in "ab")
    two_aus = [
        dataclasses.replace(
            item,
            aus=item.aus[:2],
            scores={
                "last": dataclasses.replace(
                    last(item),
                    f1=last(item).f1[:2],
                    counts={n: [row[:2] for row in t] for n, t in last(item).counts.items()},
                )
            },
        )
        for item in (a, b)
    ]
    assert mean_interval([a]) == mean_interval([two_aus[0]])
    assert paired_difference([a], [b]) == paired_difference([two_aus[0]], [two_aus[1]])


def test_an_au_of_one_subject_keeps_its_f1_when_that_one_is_left_out() -> None:
    a, b = (partly_coded([(0, 1), (0, 1), (0, 1), (0, 1, 2)], method) for method in "ab")

    def gap(people: Sequence[tuple[Table, Table]]) -> float:
        """F1 of AU 3 is that of all subjects throughout."""
        values = []
        for side, item in enumerate((a, b)):
            first = [[row[:2] for row in pair[side]] for pair in people]
            values.append((2 * f1(first) + float(last(item).f1[2] or 0)) / 3)
        return values[0] - values[1]

    pairs = list(zip(tables(a), tables(b), strict=True))
    expected = around(gap(pairs), [jackknife(gap, pairs)], [3])
    assert paired_difference([a], [b]).interval == pytest.approx(expected)


def test_subjects_without_an_au_in_common_have_no_interval() -> None:
    found = mean_interval([partly_coded([(0,), (1,), (2,)])])
    assert found.interval is None
    assert found.reason == "no two test subjects of fold 0 are coded for the same AU"


# One test subject a fold -----------------------------------------------------------------------


def alone(method: int, folds: int) -> list[Record]:
    return [population(1, (0.8, 0.7), fold=fold, people=1)[method] for fold in range(folds)]


def test_folds_of_one_subject_are_compared_with_each_other() -> None:
    a, b = alone(0, 5), alone(1, 5)
    f1s = np.array([[last(run).mean_f1 for run in runs] for runs in (a, b)])
    for found, values in (
        (mean_interval(a), f1s[0]),
        (paired_difference(a, b), f1s[0] - f1s[1]),
    ):
        expected = stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
        assert found.interval == pytest.approx(expected)
        assert found.trainings  # each fold has a training of its own
    assert paired_difference(a, b).p == pytest.approx(stats.ttest_rel(*f1s).pvalue)


@pytest.mark.parametrize("others", [0, 2])
def test_a_single_fold_of_one_subject_leaves_no_interval(others: int) -> None:
    runs = [population(1, (0.8, 0.7), fold=fold)[0] for fold in range(1, 1 + others)]
    found = mean_interval([*alone(0, 1), *runs])
    assert (found.interval, found.p) == (None, None)
    assert found.reason == "fold 0 has one test subject"
    difference = paired_difference(alone(0, 1), alone(1, 1))
    assert (difference.interval, difference.p) == (None, None)
    assert untested(difference)
    assert not tied(difference)


# Trainings -------------------------------------------------------------------------------------


def trained(seeds: int, folds: int = 2, people: int = 6) -> tuple[list[Record], list[Record]]:
    pairs = [
        population(2, (0.75, 0.7), fold=fold, people=people, training=seed)
        for fold in range(folds)
        for seed in range(seeds)
    ]
    return [one for one, _ in pairs], [two for _, two in pairs]


def test_three_seeds_bring_trainings_into_interval_and_p() -> None:
    a, b = trained(3)
    gaps = np.array(
        [last(one).mean_f1 - last(two).mean_f1 for one, two in zip(a, b, strict=True)]
    ).reshape(2, 3)
    variances, dfs = [], []
    for fold in range(2):
        runs = [(tables(a[3 * fold + k]), tables(b[3 * fold + k])) for k in range(3)]

        def gap(places: Sequence[int], runs: list = runs) -> float:
            """Mean over the trainings, of the subjects at these places."""
            pairs = [[[t[i] for i in places] for t in pair] for pair in runs]
            return float(np.mean([f1(one) - f1(two) for one, two in pairs]))

        variances.append(jackknife(gap, range(6)) / 4)
        dfs.append(5)
    for fold in range(2):
        variances.append(float(np.var(gaps[fold], ddof=1)) / 3 / 4)
        dfs.append(2)
    found = paired_difference(a, b)
    assert found.trainings
    assert found.interval == pytest.approx(around(gaps.mean(), variances, dfs))
    df = sum(variances) ** 2 / sum(v**2 / n for v, n in zip(variances, dfs, strict=True))
    chance = 2 * stats.t.sf(abs(gaps.mean()) / math.sqrt(sum(variances)), df)
    assert found.p == pytest.approx(chance)


def test_two_seeds_are_too_few_to_tell_and_it_is_said() -> None:
    a, b = trained(2)
    assert not mean_interval(a).trainings
    assert not paired_difference(a, b).trainings
    more, _ = trained(3)
    assert mean_interval(more).trainings
    assert not mean_interval(more[:-1]).trainings  # fold 1 has two seeds left


# Paired differences ----------------------------------------------------------------------------


def test_the_same_records_give_the_same_interval() -> None:
    one, _ = population(0, (0.7, 0.7))
    assert mean_interval([one]) == mean_interval([one])


def test_identical_methods_differ_by_exactly_nothing() -> None:
    one, _ = population(1, (0.7, 0.7))
    twin = dataclasses.replace(one, id="twin", cell={**one.cell, "method": "b"})
    difference = paired_difference([one], [twin])
    assert difference == Estimate(mean=0.0, interval=(0.0, 0.0), p=1.0, runs=1, error=0.0)
    assert tied(difference)


def test_a_paired_difference_changes_sign_with_its_order() -> None:
    one, two = population(2, (0.8, 0.7))
    there, back = paired_difference([one], [two]), paired_difference([two], [one])
    assert there.mean == pytest.approx(last(one).mean_f1 - last(two).mean_f1)
    assert there.mean == pytest.approx(-back.mean)
    assert there.interval is not None
    assert back.interval is not None
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.p == pytest.approx(back.p)


def test_the_interval_of_a_difference_is_students_with_jackknife_error() -> None:
    one, two = population(5, (0.76, 0.72), people=7)
    pairs = list(zip(tables(one), tables(two), strict=True))

    def gap(some: Sequence[tuple[Table, Table]]) -> float:
        return f1([a for a, _ in some]) - f1([b for _, b in some])

    variance, found = jackknife(gap, pairs), paired_difference([one], [two])
    assert found.interval == pytest.approx(around(gap(pairs), [variance], [6]))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(gap(pairs)) / math.sqrt(variance), 6))


def test_the_p_value_is_near_the_share_of_all_swaps_at_least_as_extreme() -> None:
    one, two = population(5, (0.76, 0.72), people=7)
    a, b = tables(one), tables(two)
    observed = abs(f1(a) - f1(b))
    swaps = []
    for coins in itertools.product((0, 1), repeat=7):
        pairs = [(y, x) if coin else (x, y) for coin, x, y in zip(coins, a, b, strict=True)]
        swaps.append(abs(f1([x for x, _ in pairs]) - f1([y for _, y in pairs])))
    exact = np.mean([swap >= observed - 1e-12 for swap in swaps])
    assert 0.05 < exact < 0.9
    assert paired_difference([one], [two]).p == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("seed", range(12))
def test_an_interval_without_zero_is_a_p_value_below_one_in_twenty(seed: int) -> None:
    found = paired_difference(*[[run] for run in population(seed, (0.74, 0.70), people=9)])
    assert found.interval is not None
    assert found.p is not None
    assert (found.interval[0] <= 0 <= found.interval[1]) == (found.p >= 0.05)


def test_p_values_are_as_small_as_a_large_family_needs() -> None:
    pairs = [population(4, (0.9, 0.6), fold=fold) for fold in range(3)]
    found = paired_difference([one for one, _ in pairs], [two for _, two in pairs])
    methods = 100
    assert found.p is not None
    assert 0 < found.p * math.comb(methods, 2) < 0.001


def test_alike_methods_are_seldom_told_apart_and_unlike_ones_always() -> None:
    chances = []
    for seed in range(80):
        one, two = population(seed, (0.7, 0.7))
        chances.append(paired_difference([one], [two]).p)
    assert np.mean(np.array(chances) < 0.05) <= 0.1
    good, bad = population(4, (0.85, 0.65))
    unlike = paired_difference([good], [bad])
    assert unlike.p is not None
    assert unlike.interval is not None
    assert unlike.p < 0.01
    assert unlike.interval[0] > 0
    assert not tied(unlike)


def test_only_runs_that_both_have_are_compared() -> None:
    a = [record("a", fold=0, f1=0.6), record("a", fold=1, f1=0.9)]
    b = [record("b", fold=0, f1=0.5), unfinished("failed", "the loss", method="b", fold=1)]
    difference = paired_difference(a, b)
    assert difference.runs == 1
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


def test_a_run_without_counts_has_no_interval() -> None:
    bare = dataclasses.replace(counted([0.5, 0.5]), counts={})
    with pytest.raises(ReportError, match="no counts per subject"):
        mean_interval([record(scores={"last": bare})])


def test_no_finished_run_has_no_interval() -> None:
    with pytest.raises(ReportError, match="selected by 'val'"):
        mean_interval([record()], select="val")


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
    assert tied(Estimate(mean=mean, interval=interval, p=p, runs=3)) is verdict


def test_the_corrected_p_value_decides_where_it_is_given() -> None:
    difference = Estimate(mean=0.02, interval=(0.01, 0.03), p=0.02, runs=3)
    assert not tied(difference)
    assert tied(difference, p=0.06)


@pytest.mark.parametrize(("df", "family"), [(4.0, 1), (12.0, 1), (12.0, 15)])
def test_the_smallest_difference_is_found_four_times_in_five(df: float, family: int) -> None:
    known = Estimate(mean=0.0, interval=(-1, 1), p=0.5, runs=3, error=0.02, df=df)
    true = smallest_difference(known, family)
    rng = np.random.default_rng(5)
    errors = 0.02 * np.sqrt(rng.chisquare(df, 200_000) / df)
    found = true + rng.normal(0, 0.02, 200_000)
    p = 2 * stats.t.sf(np.abs(found) / errors, df)
    assert (p < 0.05 / family).mean() == pytest.approx(0.8, abs=0.005)
