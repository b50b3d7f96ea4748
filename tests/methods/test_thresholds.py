"""UDA, FlexMatch, FreeMatch and SoftMatch: what they accept, in float64 and by the long way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from methods._base import MethodError
from methods.flexmatch import FlexThreshold
from methods.freematch import FreeThreshold, fairness_loss
from methods.softmatch import Alignment, SoftWeight
from methods.uda import tsa_ceiling, uda_loss
from tests.helpers.fake_tasks import make_task

RNG = np.random.default_rng(5)
ROWS, AUS = 9, 4


def batch(scale: float = 3) -> np.ndarray:
    return RNG.normal(0, scale, (ROWS, AUS))


def t(array: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


def two_classes(logit: float) -> np.ndarray:
    """Softmax over the logits of "absent", 0, and "present"."""
    return np.exp([0.0, logit]) / np.exp([0.0, logit]).sum()


# UDA


@pytest.mark.parametrize(("threshold", "temperature"), [(0.8, 0.4), (0.5, 1.0), (0.95, 2.0)])
def test_uda_is_the_published_loss_on_two_class_problems(
    threshold: float, temperature: float
) -> None:
    weak, strong = batch(), batch()
    total = 0.0
    for z_weak, z_strong in zip(weak.ravel(), strong.ravel(), strict=True):
        if two_classes(z_weak).max() >= threshold:
            target = two_classes(z_weak / temperature)
            total -= float((target * np.log(two_classes(z_strong))).sum())
    loss = uda_loss(t(weak), t(strong), threshold, temperature)
    assert total > 0
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(total / weak.size, rel=1e-12)


def test_udas_defaults_are_the_published_ones() -> None:
    weak, strong = t(batch()), t(batch())
    assert torch.equal(uda_loss(weak, strong), uda_loss(weak, strong, 0.8, 0.4))


def test_uda_teaches_the_strong_view_alone() -> None:
    weak, strong = t(batch()).requires_grad_(), t(batch()).requires_grad_()
    uda_loss(weak, strong).backward()
    assert weak.grad is None
    assert strong.grad is not None
    assert strong.grad.abs().sum() > 0


def test_no_rows_cost_uda_nothing() -> None:
    assert uda_loss(torch.zeros(0, 3), torch.zeros(0, 3)) == 0


def test_the_ceiling_of_known_labels_rises_from_a_half_to_one() -> None:
    assert tsa_ceiling("linear", 0.25) == 0.625
    assert tsa_ceiling("exp", 0.8) == pytest.approx(0.5 + 0.5 * math.exp(-1))
    assert tsa_ceiling("log", 0.2) == pytest.approx(1 - 0.5 * math.exp(-1))
    assert tsa_ceiling("none", 0) == 1
    with pytest.raises(MethodError, match="tsa='square' is not a choice"):
        tsa_ceiling("square", 0.5)  # type: ignore[arg-type]


# FlexMatch


class SlowFlex:
    """FlexMatch's rule with dictionaries and loops, for each AU by itself."""

    def __init__(
        self, frames: int, cutoff: float, mapping: Callable[[float], float], *, warm: bool
    ):
        self.frames, self.cutoff, self.mapping, self.warm = frames, cutoff, mapping, warm
        self.answers: list[dict[int, int]] = [{} for _ in range(AUS)]

    def mask(self, logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
        used = np.zeros(logits.shape, bool)
        for au in range(AUS):
            known = [*self.answers[au].values()]
            counts = [known.count(0), known.count(1)]
            most = max(*counts, self.frames - len(known) if self.warm else 0)
            for row, frame in enumerate(ids):
                probabilities = two_classes(logits[row, au])
                answer = int(probabilities[1] >= 0.5)
                share = counts[answer] / most if most else 0.0
                used[row, au] = probabilities.max() >= self.cutoff * self.mapping(share)
                if probabilities.max() >= self.cutoff:
                    self.answers[au][int(frame)] = answer
        return used


MAPPINGS = {
    "convex": lambda a: a / (2 - a),
    "linear": lambda a: a,
    "concave": lambda a: math.log(1 + a) / math.log(2),
    "low_limit": lambda a: 1 / (2 - a),
}


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_flexmatch_masks_by_the_state_before_the_step(mapping: str, warm: bool) -> None:
    frames = 12
    slow = SlowFlex(frames, 0.9, MAPPINGS[mapping], warm=warm)
    fast = FlexThreshold(AUS, frames, 0.9, mapping=mapping, warmup=warm)  # type: ignore[arg-type]
    refused = 0
    for _ in range(15):
        # some frames come twice in a batch, and their last row is what stays
        logits, ids = batch() - [0, 2, 4, 0], RNG.integers(0, frames, ROWS)
        mask = fast.mask(t(logits), torch.as_tensor(ids))
        assert np.array_equal(mask.numpy(), slow.mask(logits, ids))
        refused += int((~mask).sum())
    assert refused > 0


@pytest.mark.parametrize(("rarer", "refused"), [(0, 0), (40, 0), (42, 1)])
def test_flexmatch_refuses_nothing_until_the_rarer_answer_is_common(
    rarer: int, refused: int
) -> None:
    """The likelier of two answers has at least 1/2; .95 a / (2 - a) is below that up to a = .69."""
    flex = FlexThreshold(1, 100, 0.95)
    flex.last[:] = 0
    flex.last[:rarer] = 1
    doubtful = t([[0.01]])  # "present" with a confidence of .5025
    assert int((~flex.mask(doubtful, torch.tensor([99]))).sum()) == refused


def test_flexmatch_forgets_nothing_and_ignores_frames_without_a_number() -> None:
    flex = FlexThreshold(1, 3, 0.9)
    flex.mask(t([[9.0], [-9.0]]), torch.tensor([2, -1]))
    assert flex.last.flatten().tolist() == [-1, -1, 1]
    flex.mask(t([[0.1], [-9.0]]), torch.tensor([2, 0]))
    assert flex.last.flatten().tolist() == [0, -1, 1]
    assert "last" in flex.state_dict()


def test_an_unknown_mapping_is_named() -> None:
    with pytest.raises(MethodError, match="mapping='square' is not a choice"):
        FlexThreshold(1, 1, 0.95, mapping="square")  # type: ignore[arg-type]


# FreeMatch


def test_freematch_follows_its_means_and_then_masks() -> None:
    free, momentum = FreeThreshold(AUS, 0.9), 0.9
    mean, classes = np.full(AUS, 0.5), np.full((AUS, 2), 0.5)
    answers, refused = np.full((AUS, 2), 0.5), 0
    for _ in range(12):
        logits = batch() - [0, 2, 4, 0]
        mask = free.mask(t(logits))
        p = np.array([[two_classes(z) for z in row] for row in logits])
        mean = momentum * mean + (1 - momentum) * p.max(2).mean(0)
        classes = momentum * classes + (1 - momentum) * p.mean(0)
        chosen = np.eye(2)[p.argmax(2)]
        answers = momentum * answers + (1 - momentum) * chosen.mean(0)
        threshold = mean[:, None] * classes / classes.max(1, keepdims=True)
        for i, j in np.ndindex(mask.shape):
            assert bool(mask[i, j]) == (p[i, j].max() >= threshold[j, p[i, j].argmax()])
        refused += int((~mask).sum())
    assert refused > 0
    assert free.thresholds().T.numpy() == pytest.approx(threshold, rel=1e-12)
    assert free.answers.numpy() == pytest.approx(answers[:, 1], rel=1e-12)


def test_an_empty_batch_leaves_the_running_means() -> None:
    free, soft = FreeThreshold(2, 0.9), SoftWeight(2, 0.9, 2)
    nothing = torch.zeros(0, 2)
    assert free.mask(nothing).shape == soft.weight(nothing).shape == (0, 2)
    assert free.confidence.tolist() == soft.mu.tolist() == [0.5, 0.5]


def test_fairness_is_the_published_term_on_two_class_problems() -> None:
    strong, used = batch(), RNG.random((ROWS, AUS)) < 0.6
    used[:, 3] = False
    positive, answers = RNG.uniform(0.1, 0.9, AUS), RNG.uniform(0.1, 0.9, AUS)
    total = 0.0
    for au in range(AUS - 1):
        rows = np.array([two_classes(z) for z in strong[used[:, au], au]])
        share = np.eye(2)[rows.argmax(1)].mean(0)
        ratio = np.divide(rows.mean(0), share, out=np.zeros(2), where=share > 0)
        p = np.array([1 - positive[au], positive[au]]) / [1 - answers[au], answers[au]]
        total += float((p / p.sum() * np.log(ratio / ratio.sum() + 1e-12)).sum())
    loss = fairness_loss(t(strong), torch.as_tensor(used), t(positive), t(answers))
    assert loss.item() == pytest.approx(total / AUS, rel=1e-9)


# SoftMatch


def test_softmatch_weighs_by_a_truncated_gaussian_of_confidence() -> None:
    soft, momentum, n_sigma = SoftWeight(AUS, 0.8, 2.0), 0.8, 2.0
    mu, var = np.full(AUS, 0.5), np.ones(AUS)
    for _ in range(10):
        logits = batch(1)
        weights = soft.weight(t(logits))
        c = np.array([[two_classes(z).max() for z in row] for row in logits])
        mu = momentum * mu + (1 - momentum) * c.mean(0)
        var = momentum * var + (1 - momentum) * c.var(0, ddof=1)
        for i, j in np.ndindex(c.shape):
            below = min(c[i, j] - mu[j], 0)
            expected = math.exp(-(below**2) / (2 * var[j] / n_sigma**2))
            assert weights[i, j].item() == pytest.approx(expected, rel=1e-9)
    assert weights.dtype == torch.float64
    assert weights.min() < 0.9
    assert weights.max() == 1


def test_a_single_row_moves_the_mean_and_not_the_variance() -> None:
    soft = SoftWeight(1, 0.5, 2)
    weight = soft.weight(t([[9.0]]))
    assert torch.isfinite(weight).all()
    assert soft.mu.item() > 0.5
    assert soft.var.item() == 1


def test_answers_that_are_all_alike_all_count() -> None:
    soft = SoftWeight(1, 0.0, 2)
    assert (soft.weight(torch.full((4, 1), 1.5)) == 1).all()


def test_alignment_gives_answers_the_labelled_rates_on_average() -> None:
    task = make_task(positive_rates=(0.2, 0.1, math.nan, 0.5))
    align, rates = Alignment(task, 0.0), np.array([0.2, 0.1, 0.8 / 3, 0.5])
    logits = batch(1)
    moved = align.align(t(logits)).sigmoid().numpy()
    for j in range(AUS):
        p = np.array([two_classes(z)[1] for z in logits[:, j]])
        up = p * rates[j] / p.mean()
        down = (1 - p) * (1 - rates[j]) / (1 - p.mean())
        assert moved[:, j] == pytest.approx(up / (up + down), rel=1e-9)
    assert torch.equal(Alignment(task, 0.9).mean, torch.as_tensor(rates))
