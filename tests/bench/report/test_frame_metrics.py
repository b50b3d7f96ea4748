"""Metrics of frames against scikit-learn and against counting by hand."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from sklearn import metrics as sklearn

from bench.report import frame_metrics as ours
from tests.helpers.fake_records import drawn

PREDICTIONS = drawn(5, people=5)
LABELS = PREDICTIONS.labels
SHARES = PREDICTIONS.probabilities.astype(np.float64)
OWNERS = np.unique(PREDICTIONS.subject, return_inverse=True)[1]
PLACES = range(3)


def coded(place, keep=slice(None)):
    """Truth and probabilities of the frames that one AU is coded on."""
    truth, share = LABELS[keep, place], SHARES[keep, place]
    return truth[truth != -1], share[truth != -1]


def pooled_counts():
    return ours.counts_by_subject(LABELS, SHARES >= 0.5, OWNERS).sum(axis=0)


def test_counts_by_subject_are_each_subjects_confusion_matrix() -> None:
    counts = ours.counts_by_subject(LABELS, SHARES >= 0.5, OWNERS)
    for subject, place in np.ndindex(5, 3):
        truth, share = coded(place, subject == OWNERS)
        tn, fp, fn, tp = sklearn.confusion_matrix(truth, share >= 0.5).ravel()
        assert counts[subject, :, place].tolist() == [tp, fp, fn, tn]


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (ours.f1_of_counts, sklearn.f1_score),
        (ours.balanced_accuracy, sklearn.balanced_accuracy_score),
        (ours.kappa, sklearn.cohen_kappa_score),
    ],
)
def test_metrics_of_counts_are_scikit_learns(metric, reference) -> None:
    found = metric(pooled_counts())
    for place in PLACES:
        truth, share = coded(place)
        assert found[place] == pytest.approx(reference(truth, share >= 0.5))


def test_one_class_alone_has_no_balanced_accuracy_and_a_constant_no_kappa() -> None:
    absent = np.array([[0.0], [2], [0], [7]])
    assert np.isnan(ours.balanced_accuracy(absent))
    assert ours.kappa(absent) == 0
    assert np.isnan(ours.kappa(np.array([[0.0], [0], [0], [7]])))
    assert ours.f1_of_counts(absent) == 0


def test_predicted_to_true_counts_both_sides() -> None:
    found = ours.predicted_to_true(pooled_counts())
    for place in PLACES:
        truth, share = coded(place)
        assert found[place] == pytest.approx((share >= 0.5).sum() / truth.sum())
    assert np.isnan(ours.predicted_to_true(np.array([0.0, 2, 0, 7])))


def test_the_brier_score_is_scikit_learns() -> None:
    parts = ours.brier_parts(LABELS, SHARES, OWNERS)
    found = ours.brier(parts.sum(axis=0))
    for place in PLACES:
        assert found[place] == pytest.approx(sklearn.brier_score_loss(*coded(place)))


def anova_icc(ratings):
    """ICC(3,1) of (n targets, k raters) by a two-way analysis of variance, in Shrout's words."""
    n, k = ratings.shape
    grand, targets, raters = ratings.mean(), ratings.mean(axis=1), ratings.mean(axis=0)
    residuals = ratings - targets[:, None] - raters[None] + grand
    bms = k * np.square(targets - grand).sum() / (n - 1)
    ems = np.square(residuals).sum() / ((n - 1) * (k - 1))
    return (bms - ems) / (bms + (k - 1) * ems)


def test_icc_is_that_of_a_two_way_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    levels = rng.integers(0, 6, LABELS.shape).astype(np.float32)
    levels[:, 1] = np.clip(5 * SHARES[:, 1] + rng.normal(0, 1, len(SHARES)), 0, 5)
    levels[rng.random(levels.shape) < 0.2] = np.nan
    parts = ours.agreement_parts(LABELS, SHARES, levels, OWNERS)
    found = ours.icc(parts.sum(axis=0))
    alone = ours.icc(parts[2])
    for place in PLACES:
        known = np.isfinite(levels[:, place]) & (LABELS[:, place] != -1)
        ratings = np.stack([5 * SHARES[:, place], levels[:, place]], axis=1).astype(np.float64)
        assert found[place] == pytest.approx(anova_icc(ratings[known]), rel=1e-9)
        assert alone[place] == pytest.approx(anova_icc(ratings[known & (OWNERS == 2)]), rel=1e-9)
    assert found[1] > 0.5 > abs(found[0])


def test_icc_of_two_of_shrouts_and_fleisss_judges() -> None:
    rows = ["9258", "6132", "8468", "7126", "a569", "6247"]  # their table 2; a is 10
    judges = np.array([[int(digit, 16) for digit in row] for row in rows], np.float64)
    assert anova_icc(judges) == pytest.approx(0.71, abs=0.005), "the reference is theirs"
    labels, owners = np.ones((6, 1), np.int8), np.zeros(6, int)
    levels = (judges[:, 1:2] / 2).astype(np.float32)
    parts = ours.agreement_parts(labels, judges[:, :1] / 10, levels, owners)
    assert ours.icc(parts[0]) == pytest.approx(anova_icc(judges[:, :2]))
    opposed = ours.agreement_parts(labels, 1 - levels / 5.0, levels, owners)
    assert ours.icc(opposed[0]) == pytest.approx(-1)
    equal = ours.agreement_parts(labels, levels / 5.0, levels, owners)
    assert ours.icc(equal[0]) == pytest.approx(1)


def test_a_constant_agrees_by_chance_and_two_constants_have_no_icc() -> None:
    labels, owners = np.ones((4, 1), np.int8), np.zeros(4, int)
    told = np.array([[0.0], [1], [2], [3]], np.float32)
    flat = np.full((4, 1), 0.3)
    assert ours.icc(ours.agreement_parts(labels, flat, told, owners)[0]) == pytest.approx(0)
    same = np.full((4, 1), 3, np.float32)
    assert np.isnan(ours.icc(ours.agreement_parts(labels, flat, same, owners)[0]))
    none = np.full((4, 1), np.nan, np.float32)
    assert np.isnan(ours.icc(ours.agreement_parts(labels, flat, none, owners)[0]))


@pytest.mark.parametrize(
    ("metric", "reference"),
    [
        (ours.aucs, sklearn.roc_auc_score),
        (ours.average_precisions, sklearn.average_precision_score),
    ],
)
def test_rankings_are_scikit_learns_with_and_without_each_subject(metric, reference) -> None:
    for place in PLACES:
        found = metric(LABELS[:, place], SHARES[:, place], OWNERS)
        keeps = [np.ones(len(OWNERS), bool), *(subject != OWNERS for subject in range(5))]
        expected = [reference(*coded(place, keep)) for keep in keeps]
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", [ours.aucs, ours.average_precisions])
def test_one_class_has_no_ranking(metric) -> None:
    shares = np.array([0.1, 0.5, 0.9, 0.2])
    for label in (0, 1):
        truth = np.array([label, label, -1, label], dtype=np.int8)
        assert np.isnan(metric(truth, shares, np.zeros(4, dtype=int))[0])
    # without the one subject who shows it, there is one class
    found = metric(np.array([1, 0, 0, 0], dtype=np.int8), shares, np.array([0, 0, 1, 1]))
    assert not np.isnan(found[0])
    assert np.isnan(found[1])


def test_thresholds_are_those_of_the_best_f1() -> None:
    found = ours.best_thresholds(LABELS, SHARES)
    for place in PLACES:
        truth, share = coded(place)
        tried = {at: sklearn.f1_score(truth, share >= at) for at in np.unique(share)}
        assert tried[found[place]] == pytest.approx(max(tried.values()))
        equal = [at for at, f1 in tried.items() if np.isclose(f1, max(tried.values()), atol=1e-12)]
        assert abs(found[place] - 0.5) == pytest.approx(min(abs(at - 0.5) for at in equal))


def test_an_au_that_no_validation_frame_shows_keeps_the_half() -> None:
    labels = np.array([[0], [0], [-1]], dtype=np.int8)
    assert ours.best_thresholds(labels, np.array([[0.1], [0.9], [0.3]])).tolist() == [0.5]
    nothing = np.empty((0, 1))
    assert ours.best_thresholds(nothing.astype(np.int8), nothing).tolist() == [0.5]


# Events ----------------------------------------------------------------------------------------


def listed(present, starts):
    """Events as sets of frames, by walking along."""
    stretch = np.isin(np.arange(len(present)), starts).cumsum()
    keyed = groupby(range(len(present)), key=lambda n: (stretch[n], bool(present[n])))
    return [set(frames) for (_, there), frames in keyed if there]


def test_events_are_counted_as_by_hand() -> None:
    starts = np.arange(0, len(LABELS), 30)
    predicted = SHARES >= 0.4
    found = ours.event_counts(LABELS, predicted, starts, OWNERS)
    for subject, place in np.ndindex(5, 3):
        mine = np.flatnonzero(subject == OWNERS)
        truth, told = LABELS[mine, place], predicted[mine, place]
        begin = starts[np.isin(starts, mine)] - mine[0]
        true, said = listed(truth == 1, begin), listed(told & (truth != -1), begin)
        hits = sum(any(2 * len(t & s) > len(t | s) for s in said) for t in true)
        expected = [hits, len(said) - hits, len(true) - hits, 0]
        assert found[subject, :, place].tolist() == expected
    assert found[:, 0].sum() > 0


def test_half_of_the_frames_in_common_is_not_one_event() -> None:
    truth = np.array([[1], [1], [0], [0], [1], [1], [1], [0]], dtype=np.int8)
    told = np.array([[1], [0], [0], [0], [1], [1], [0], [0]], dtype=bool)
    owners = np.zeros(8, dtype=int)
    whole = ours.event_counts(truth, told, np.array([0]), owners)
    assert whole[0, :, 0].tolist() == [1, 1, 1, 0]
    # a new recording between its frames makes two events of one
    cut = ours.event_counts(truth, told, np.array([0, 5]), owners)
    assert cut[0, :, 0].tolist() == [1, 2, 2, 0]


def test_nothing_predicted_is_no_event() -> None:
    truth = np.array([[1], [0]], dtype=np.int8)
    told = np.zeros((2, 1), dtype=bool)
    found = ours.event_counts(truth, told, np.array([0]), np.zeros(2, dtype=int))
    assert found[0, :, 0].tolist() == [0, 0, 1, 0]
