"""Every loss against numpy in float64, written from the equation and element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from methods._base import MethodError
from methods._eac_attention import eac_loss
from methods._ks import bernoulli_ensemble_kl
from methods._losses import (
    AuLoss,
    au_weights,
    fixmatch_loss,
    pseudo_labels,
    weighted_bce,
    weights_from_rates,
)
from methods._tcl import class_vectors, group_contrast, nt_xent
from tests.helpers.fake_tasks import make_task

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 3, (7, 5))
LABELS = RNG.integers(-1, 2, (7, 5)).astype(float)
WEIGHTS = RNG.uniform(0.2, 2, 5)


def t(array: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def bce(logit: float, target: float) -> float:
    """-log of the probability that a coin with log-odds `logit` shows `target`, the long way."""
    p = 1 / (1 + math.exp(-logit))
    return -(target * math.log(p) + (1 - target) * math.log(1 - p))


def test_weights_are_inverse_rates_over_coded_frames_and_sum_to_the_aus() -> None:
    labels = np.array([[1, 0, 1], [0, 0, -1], [1, 1, -1], [0, 0, 0]])
    expected = np.array([1 / (2 / 4), 1 / (1 / 4), 1 / (1 / 2)])
    expected *= 3 / expected.sum()
    assert au_weights(t(labels)).numpy() == pytest.approx(expected)
    assert au_weights(torch.as_tensor(labels)).numpy() == pytest.approx(expected, rel=1e-6)


def test_an_au_without_a_positive_counts_as_one_in_n() -> None:
    labels = np.zeros((10, 2))
    labels[:5, 0] = 1
    assert au_weights(t(labels)).numpy() == pytest.approx([2 * 2 / 12, 2 * 10 / 12])


def test_an_au_that_nobody_coded_gets_a_middling_weight_and_no_nan() -> None:
    rates = t([0.5, 0.1, math.nan])
    inverse = np.array([2, 10, 1 / 0.3])
    assert weights_from_rates(rates, 100).numpy() == pytest.approx(3 * inverse / inverse.sum())
    assert torch.isfinite(au_weights(t(-np.ones((4, 3))))).all()


def test_weighted_bce_is_the_mean_over_coded_elements() -> None:
    terms = [
        WEIGHTS[j] * bce(LOGITS[i, j], LABELS[i, j])
        for i in range(7)
        for j in range(5)
        if LABELS[i, j] >= 0
    ]
    loss = weighted_bce(t(LOGITS), t(LABELS), t(WEIGHTS))
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-12)
    as_sum = weighted_bce(t(LOGITS), t(LABELS), t(WEIGHTS), reduction="au_sum")
    assert as_sum.item() == pytest.approx(5 * np.mean(terms), rel=1e-12)


def test_a_mask_takes_elements_out_of_sum_and_count() -> None:
    mask = RNG.integers(0, 2, (7, 5)).astype(bool)
    keep = mask & (LABELS >= 0)
    terms = [WEIGHTS[j] * bce(LOGITS[i, j], LABELS[i, j]) for i, j in np.argwhere(keep)]
    loss = weighted_bce(t(LOGITS), t(LABELS), t(WEIGHTS), torch.as_tensor(mask))
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_a_row_mask_broadcasts_and_elements_come_back_on_request() -> None:
    rows = torch.tensor([[1], [0], [1], [1], [0], [1], [1]])
    elements = weighted_bce(t(LOGITS), t(LABELS), None, rows, reduction="none").numpy()
    for i in range(7):
        for j in range(5):
            counted = rows[i, 0] == 1 and LABELS[i, j] >= 0
            expected = bce(LOGITS[i, j], LABELS[i, j]) if counted else 0.0
            assert elements[i, j] == pytest.approx(expected, rel=1e-12)


def test_pos_weight_multiplies_the_positive_term_only() -> None:
    terms = [
        (WEIGHTS[j] if LABELS[i, j] == 1 else 1.0) * bce(LOGITS[i, j], LABELS[i, j])
        for i in range(7)
        for j in range(5)
        if LABELS[i, j] >= 0
    ]
    loss = weighted_bce(t(LOGITS), t(LABELS), None, pos_weight=t(WEIGHTS))
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_an_uncoded_labels_value_changes_no_loss_and_no_gradient() -> None:
    def grad_and_loss(logits: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        leaf = t(logits).requires_grad_()
        loss = weighted_bce(leaf, t(LABELS), t(WEIGHTS))
        loss.backward()
        assert leaf.grad is not None
        return loss.detach(), leaf.grad

    spoilt = np.where(LABELS < 0, LOGITS + 50, LOGITS)
    (loss, grad), (other, other_grad) = grad_and_loss(LOGITS), grad_and_loss(spoilt)
    assert torch.equal(loss, other)
    assert torch.equal(grad, other_grad)
    assert (grad[torch.as_tensor(LABELS < 0)] == 0).all()


def test_nothing_coded_gives_zero_and_a_zero_gradient() -> None:
    leaf = t(LOGITS).requires_grad_()
    loss = weighted_bce(leaf, -torch.ones(7, 5, dtype=torch.float64), t(WEIGHTS))
    loss.backward()
    assert loss.item() == 0
    assert leaf.grad is not None
    assert (leaf.grad == 0).all()


def test_confident_logits_stay_finite() -> None:
    leaf = torch.tensor([[500.0, -500.0]], requires_grad=True)
    loss = weighted_bce(leaf, torch.tensor([[0.0, 1.0]]), None)
    loss.backward()
    assert loss.item() == pytest.approx(500)
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()


def two_class_fixmatch(weak: np.ndarray, strong: np.ndarray, tau: float) -> float:
    """The published loss on softmax classifiers: rows of two logits, arg-max labels, max >= tau."""
    total = 0.0
    for z_weak, z_strong in zip(weak.ravel(), strong.ravel(), strict=True):
        q = np.exp([0.0, z_weak]) / np.exp([0.0, z_weak]).sum()
        p = np.exp([0.0, z_strong]) / np.exp([0.0, z_strong]).sum()
        total += float(q.max() >= tau) * -math.log(p[q.argmax()])
    return total / weak.size


@pytest.mark.parametrize("tau", [0.5, 0.7, 0.95])
def test_fixmatch_is_the_published_loss_on_two_class_problems(tau: float) -> None:
    strong = RNG.normal(0, 2, LOGITS.shape)
    loss = fixmatch_loss(t(LOGITS), t(strong), tau)
    expected = two_class_fixmatch(LOGITS, strong, tau)
    assert expected > 0
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_fixmatch_sends_no_gradient_through_the_weak_view() -> None:
    weak, strong = t(LOGITS).requires_grad_(), t(-LOGITS).requires_grad_()
    fixmatch_loss(weak, strong, 0.8).backward()
    assert weak.grad is None
    assert strong.grad is not None
    assert strong.grad.abs().sum() > 0


def test_fixmatch_over_accepted_elements_divides_by_their_number() -> None:
    strong = RNG.normal(0, 2, LOGITS.shape)
    s = 1 / (1 + np.exp(-LOGITS))
    used = np.maximum(s, 1 - s) >= 0.9
    terms = [WEIGHTS[j] * bce(strong[i, j], float(s[i, j] >= 0.5)) for i, j in np.argwhere(used)]
    loss = fixmatch_loss(t(LOGITS), t(strong), 0.9, t(WEIGHTS), mean_over="accepted")
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_nothing_confident_means_no_loss() -> None:
    weak = torch.zeros(3, 2, dtype=torch.float64)
    for mean_over in ("all", "accepted"):
        assert fixmatch_loss(weak, weak + 1, 0.95, mean_over=mean_over) == 0


def test_a_pair_of_thresholds_asks_less_of_positives() -> None:
    probabilities = np.array([[0.85, 0.15, 0.04, 0.97, 0.5]])
    logits = t(np.log(probabilities / (1 - probabilities)))
    targets, used = pseudo_labels(logits, (0.8, 0.95))
    assert targets.tolist() == [[1, 0, 0, 1, 1]]
    assert used.tolist() == [[True, False, True, True, False]]


def test_a_frame_is_trusted_whole_or_not_at_all() -> None:
    logits = t([[9.0, -9.0], [9.0, 0.1]])
    _, used = pseudo_labels(logits, 0.95, "frame")
    assert used.tolist() == [[True, True], [False, False]]


def test_half_a_probability_is_a_positive_as_it_is_for_the_metric() -> None:
    targets, used = pseudo_labels(torch.tensor([[0.0, -0.01]]), None)
    assert targets.tolist() == [[1, 0]]
    assert used.all()


def test_thresholds_are_compared_in_full_precision() -> None:
    logit = torch.tensor([[2.9375]])  # sigma = .9497: rounds up to .9492 + 2^-9 in bfloat16
    assert not pseudo_labels(logit.bfloat16(), 0.9496)[1].any() or logit.sigmoid() >= 0.9496
    assert pseudo_labels(logit.bfloat16(), 0.949)[1].all()
    assert pseudo_labels(logit.bfloat16(), 0.95)[0].dtype == torch.float32


def test_the_criterion_takes_its_balance_from_the_task() -> None:
    task = make_task(positive_rates=(0.2, 0.1, 0.0, 0.5), labelled_frames=50)
    inverse = np.array([5, 10, 50, 2])
    logits, labels = torch.randn(3, 4), torch.randint(0, 2, (3, 4)).float()
    by_hand = weighted_bce(logits, labels, torch.tensor(4 * inverse / inverse.sum()).float())
    assert AuLoss(task, "au")(logits, labels).item() == pytest.approx(by_hand.item())
    balance = torch.tensor([4.0, 9.0, 49.0, 1.0])
    by_hand = weighted_bce(logits, labels, None, pos_weight=balance)
    assert AuLoss(task, "pos_weight")(logits, labels).item() == pytest.approx(by_hand.item())
    by_hand = weighted_bce(logits, labels, None)
    assert AuLoss(task, "none")(logits, labels).item() == pytest.approx(by_hand.item())


def test_class_weights_stay_out_of_a_checkpoint() -> None:
    assert AuLoss(make_task(), "au").state_dict() == {}


def test_an_empty_batch_costs_nothing() -> None:
    """No frame is left unlabelled at 100 %: a mean of nothing would be nan there."""
    none = torch.zeros(0, 4, requires_grad=True)
    costs = [
        fixmatch_loss(none, none, 0.95),
        bernoulli_ensemble_kl(none, none),
        nt_xent(none, none, 0.5),
        group_contrast(none, none, 0.5),
        weighted_bce(none, none, None),
        eac_loss(none, none),
    ]
    assert [cost.item() for cost in costs] == [0] * 6


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda z, no: weighted_bce(z, z, None, reduction=no), "reduction='no' is not a choice"),
        (lambda z, no: fixmatch_loss(z, z, 0.9, scope=no), "scope='no' is not a choice"),
        (lambda z, no: fixmatch_loss(z, z, 0.9, mean_over=no), "mean_over='no' is not a choice"),
        (lambda z, no: group_contrast(z, z, 0.5, groups=no), "groups='no' is not a choice"),
        (lambda z, no: class_vectors(z, no), "representation='no' is not a choice"),
    ],
)
def test_an_unknown_choice_is_named_instead_of_taken_for_another(
    call: Callable[[torch.Tensor, Any], torch.Tensor], sentence: str
) -> None:
    with pytest.raises(MethodError, match=sentence):
        call(torch.zeros(2, 3), "no")
