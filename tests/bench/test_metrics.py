"""Scores against scikit-learn, hand counts and definitions spelt out pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as oracle

from bench import metrics
from bench.results.records import CELL_FIELDS, Record, from_json, to_json


def random_fold(
    seed: int, frames: int = 300, aus: int = 5, uncoded: float = 0.2
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Labels with gaps, probabilities rounded so that ties and exact halves occur."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((frames, aus)) < rng.uniform(0.05, 0.6, aus)).astype(np.int8)
    labels[rng.random(labels.shape) < uncoded] = -1
    return labels, np.round(rng.random((frames, aus)), 1)


@pytest.mark.parametrize("seed", range(5))
def test_f1_auc_and_accuracy_agree_with_scikit_learn_on_the_coded_frames(seed: int) -> None:
    labels, probabilities = random_fold(seed)
    for au in range(labels.shape[1]):
        coded = labels[:, au] >= 0
        truth, share = labels[coded, au], probabilities[coded, au]
        assert metrics.f1_per_au(labels, probabilities)[au] == pytest.approx(
            oracle.f1_score(truth, share >= 0.5), abs=1e-12
        )
        assert metrics.auc_per_au(labels, probabilities)[au] == pytest.approx(
            oracle.roc_auc_score(truth, share), abs=1e-12
        )
        assert metrics.accuracy_per_au(labels, probabilities)[au] == pytest.approx(
            oracle.accuracy_score(truth, share >= 0.5), abs=1e-12
        )


def test_counts_by_hand_at_the_threshold_and_without_uncoded_frames() -> None:
    labels = [[1], [1], [0], [0], [-1], [1]]
    probabilities = [[0.5], [0.49], [0.5], [0.1], [0.9], [0.9]]
    assert metrics.counts_per_au(labels, probabilities).tolist() == [[2], [1], [1], [1]]
    assert metrics.f1_per_au(labels, probabilities)[0] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert metrics.f1_per_au(labels, probabilities, threshold=0.6)[0] == pytest.approx(2 / 4)


def test_what_an_uncoded_label_stands_for_changes_nothing() -> None:
    labels, probabilities = random_fold(3)
    other = np.where(labels == -1, 1 - probabilities, probabilities)
    assert metrics.score_fold(labels, probabilities, ["a"] * 300, 1) == metrics.score_fold(
        labels, other, ["a"] * 300, 1
    )


def test_an_au_absent_and_never_predicted_scores_zero() -> None:
    labels = np.zeros((4, 2), dtype=int)
    probabilities = np.array([[0.1, 0.1], [0.1, 0.9], [0.1, 0.1], [0.1, 0.1]])
    assert metrics.f1_per_au(labels, probabilities).tolist() == [0.0, 0.0]


def test_an_au_that_nobody_coded_has_no_score_of_any_kind() -> None:
    labels = np.array([[1, -1], [0, -1], [1, -1]])
    probabilities = np.array([[0.7, 0.7], [0.7, 0.2], [0.1, 0.9]])
    for score in (metrics.f1_per_au, metrics.accuracy_per_au, metrics.auc_per_au):
        found = score(labels, probabilities)
        assert np.isnan(found).tolist() == [False, True], score.__name__
    for baseline in (
        metrics.positive_rates(labels),
        metrics.always_positive_f1(labels),
        metrics.training_prior_f1(labels, [0.3, 0.3]),
    ):
        assert np.isnan(baseline).tolist() == [False, True]


def test_the_mean_f1_is_over_the_aus_that_are_coded() -> None:
    labels = np.array([[1, -1, 0], [0, -1, 0], [1, -1, 0]])
    scores = metrics.score_fold(labels, np.full((3, 3), 0.7), ["a", "b", "b"], 1)
    assert scores.f1 == [pytest.approx(0.8), None, 0.0]
    assert scores.accuracy == [pytest.approx(2 / 3), None, 0.0]
    assert scores.auc == [0.5, None, None]
    assert scores.mean_f1 == pytest.approx(0.4)
    assert scores.uncoded == (1,)


def test_auc_of_ties_is_the_share_of_pairs_in_order_a_tie_counting_half() -> None:
    labels, probabilities = random_fold(7, frames=60, aus=1, uncoded=0.0)
    positives, negatives = probabilities[labels == 1], probabilities[labels == 0]
    order = np.sign(positives[:, None] - negatives[None, :])
    assert metrics.auc_per_au(labels, probabilities)[0] == pytest.approx(((order + 1) / 2).mean())
    assert metrics.auc_per_au(labels, np.full_like(probabilities, 0.3))[0] == 0.5


def test_always_positive_is_what_scoring_ones_gives() -> None:
    labels, _ = random_fold(1)
    np.testing.assert_allclose(
        metrics.always_positive_f1(labels), metrics.f1_per_au(labels, np.ones(labels.shape))
    )
    assert metrics.always_positive_f1([[0], [0]]).tolist() == [0.0]


def test_the_training_prior_is_what_a_blind_coin_scores_on_many_frames() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((200_000, 2)) < (0.1, 0.4)).astype(np.int8)
    rates = np.array([0.3, 0.2])
    coin = (rng.random(labels.shape) < rates).astype(float)
    np.testing.assert_allclose(
        metrics.training_prior_f1(labels, rates), metrics.f1_per_au(labels, coin), atol=0.01
    )


def test_the_training_prior_of_an_au_never_seen_is_zero() -> None:
    assert metrics.training_prior_f1([[0, 1], [0, 0]], [0.0, 0.5]).tolist() == [0.0, 0.5]


def test_training_rates_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="2 shares"):
        metrics.training_prior_f1([[0, 1]], [0.5, 1.5])
    with pytest.raises(ValueError, match="2 shares"):
        metrics.training_prior_f1([[0, 1]], [0.5])


def test_positive_rates_count_coded_frames_only() -> None:
    rates = metrics.positive_rates([[1, -1], [0, -1], [-1, -1], [0, 0]])
    assert rates.tolist() == [1 / 3, 0.0]


def test_counts_per_subject_add_up_to_the_fold() -> None:
    labels, probabilities = random_fold(2)
    subjects = np.random.default_rng(9).choice(["F001", "M002", "F003"], 300)
    result = metrics.score_fold(labels, probabilities, list(subjects), step=12)
    total = sum(np.array(table) for table in result.counts.values())
    assert result.step == 12
    assert list(result.counts) == ["F001", "F003", "M002"]
    np.testing.assert_array_equal(total, metrics.counts_per_au(labels, probabilities))
    assert result.mean_f1 == pytest.approx(metrics.f1_per_au(labels, probabilities).mean())
    mine = subjects == "M002"
    assert result.counts["M002"] == (
        metrics.counts_per_au(labels[mine], probabilities[mine]).tolist()
    )


def test_scores_survive_the_way_through_a_record_even_without_an_auc() -> None:
    labels, probabilities = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.2], [0.3, 0.1]])
    result = metrics.score_fold(labels, probabilities, ["F001", "F002"], step=3)
    assert result.auc == [1.0, None]
    place = dict.fromkeys(CELL_FIELDS, "")
    record = Record(id="a", status="done", cell=place, scores={"last": result})
    assert from_json(to_json(record)).scores["last"] == result


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_probability_that_is_not_finite_is_one_clear_error(bad: float) -> None:
    probabilities = np.full((4, 2), 0.5)
    probabilities[2, 1] = bad
    with pytest.raises(ValueError, match=r"frame 2, AU column 1 is (nan|inf)"):
        metrics.score_fold(np.zeros((4, 2), dtype=int), probabilities, ["a"] * 4, 0)


@pytest.mark.parametrize(
    ("labels", "probabilities", "words"),
    [
        ([[1, 0]], [[0.5]], "differ in shape"),
        ([[2]], [[0.5]], "1, 0 or -1"),
        ([[0.5]], [[0.5]], "1, 0 or -1"),
        ([[1]], [[3.2]], "sigmoid"),
        ([1, 0], [0.1, 0.2], r"\(frames, AUs\)"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    labels: ArrayLike, probabilities: ArrayLike, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        metrics.f1_per_au(labels, probabilities)


def test_subjects_must_be_as_many_as_frames() -> None:
    with pytest.raises(ValueError, match="2 frames need as many subjects"):
        metrics.score_fold([[1], [0]], [[0.1], [0.2]], ["a"], 0)
