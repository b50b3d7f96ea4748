"""DAUR: its RBM against counting all states in float64, its losses, and where it is the control."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from methods._base import Method, MethodError
from methods._daur import Prior, RBMWeights, cd1_step, fit_rbm, free_energy, squared_hinge
from methods.daur import DAUR
from methods.supervised import Supervised
from tests.helpers.fake_tasks import make_batch, make_progress, make_task, predict, refusal, train

RNG = np.random.default_rng(5)
STATES = torch.tensor(list(product([0.0, 1.0], repeat=4)), dtype=torch.float64)


def random_rbm(hidden: int = 3, aus: int = 4) -> RBMWeights:
    shapes = ((hidden, aus), (aus,), (hidden,))
    return RBMWeights(*(torch.from_numpy(RNG.normal(size=shape)) for shape in shapes))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_free_energy_sums_over_all_hidden_states() -> None:
    rbm = random_rbm()
    weight, visible, hidden = (value.numpy() for value in rbm)
    for vector, found in zip(STATES.numpy(), free_energy(STATES, rbm).numpy(), strict=True):
        terms = [
            np.exp(visible @ vector + hidden @ h + h @ weight @ vector)
            for h in map(np.array, product([0, 1], repeat=3))
        ]
        assert found == pytest.approx(-np.log(np.sum(terms)), rel=1e-12)


def test_the_free_energy_of_probabilities_has_the_gradient_of_its_formula() -> None:
    rbm = random_rbm()
    logits = torch.from_numpy(RNG.normal(size=(5, 4))).requires_grad_()
    free_energy(logits.sigmoid(), rbm).sum().backward()
    weight, visible, hidden = (value.numpy() for value in rbm)
    y = sigmoid(logits.detach().numpy())
    of_y = -visible - sigmoid(hidden + y @ weight.T) @ weight
    np.testing.assert_allclose(logits.grad.numpy(), of_y * y * (1 - y), rtol=1e-10)


def test_a_step_of_contrastive_divergence_is_hintons() -> None:
    rbm = random_rbm()
    vectors = (RNG.random((6, 4)) < 0.5).astype(float)
    draws = RNG.random((6, 3)), RNG.random((6, 4))
    found = cd1_step(torch.from_numpy(vectors), rbm, *map(torch.from_numpy, draws))
    weight, visible, hidden = (value.numpy() for value in rbm)
    expected = np.zeros((3, 4)), np.zeros(4), np.zeros(3)
    for v, draw_h, draw_v in zip(vectors, *draws, strict=True):
        p_h = sigmoid(hidden + weight @ v)
        h = (draw_h < p_h).astype(float)
        v2 = (draw_v < sigmoid(visible + weight.T @ h)).astype(float)
        p_h2 = sigmoid(hidden + weight @ v2)
        for total, change in zip(
            expected, (np.outer(p_h, v) - np.outer(p_h2, v2), v - v2, p_h - p_h2), strict=True
        ):
            total += change / 6
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-12, atol=1e-15)


def likelihood(vectors: torch.Tensor, rbm: RBMWeights) -> float:
    """Mean log-likelihood, the partition function summed over every state."""
    log_partition = torch.logsumexp(-free_energy(STATES, rbm), 0)
    return float((-free_energy(vectors, rbm) - log_partition).mean())


def test_a_learnt_rbm_knows_what_occurs_together() -> None:
    first = RNG.random((300, 1)) < 0.4
    other = RNG.random((300, 1)) < 0.3
    vectors = torch.from_numpy(np.hstack([first, first, other, other]).astype(float))
    torch.manual_seed(0)
    rbm = fit_rbm(vectors, hidden=30, steps=1000, rate=0.5)
    rates = vectors.mean(0)
    apart = float((vectors * rates.log() + (1 - vectors) * (1 - rates).log()).sum(1).mean())
    # the best there is: the frequencies of the vectors themselves
    _, counts = vectors.unique(dim=0, return_counts=True)
    shares = counts / len(vectors)
    best = float((shares * shares.log()).sum())
    assert apart < -2.4
    assert best > -1.35
    assert likelihood(vectors, rbm) > best - 0.15
    likely, unlikely = torch.tensor([[1.0, 1, 0, 0], [1, 0, 1, 0]], dtype=torch.float64)
    assert free_energy(likely[None], rbm) < free_energy(unlikely[None], rbm) - 2


def test_one_seed_gives_one_rbm() -> None:
    vectors = torch.from_numpy((RNG.random((50, 4)) < 0.5).astype(float))
    torch.manual_seed(1)
    one = fit_rbm(vectors, 4, 20, 0.1)
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(one, fit_rbm(vectors, 4, 20, 0.1), strict=True))


def test_the_squared_hinge_skips_what_is_not_coded() -> None:
    logits, weights = RNG.normal(size=(6, 3)) * 2, np.array([0.5, 1, 1.5])
    targets = RNG.integers(-1, 2, size=(6, 3)).astype(float)
    pos_weight = np.array([2.0, 3, 4])
    terms = [
        weights[j] * (pos_weight[j] if y else 1) * max(0, 1 - (1 if y else -1) * z) ** 2
        for z_row, y_row in zip(logits, targets, strict=True)
        for j, (z, y) in enumerate(zip(z_row, y_row, strict=True))
        if y >= 0
    ]
    assert 0 < len(terms) < 18
    found = squared_hinge(*map(torch.from_numpy, (logits, targets, weights, pos_weight)))
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-12)
    assert squared_hinge(torch.ones(2, 2), -torch.ones(2, 2), None) == 0


def test_the_whole_loss_is_the_labelled_one_and_the_mean_free_energy() -> None:
    torch.manual_seed(0)
    method = DAUR(DAUR.Config(**END_TO_END, prior=0.3), make_task()).double().train()
    batch = make_batch(DAUR.needs)
    batch = replace(
        batch,
        key=batch.key.double(),
        labels=batch.labels.double(),
        unlabelled={"weak": batch.unlabelled["weak"].double()},
    )
    losses = method.losses(batch, progress_of(method, 9))
    with torch.no_grad():
        z = method.net(torch.cat([batch.key, batch.unlabelled["weak"]])).numpy()
    prior = method.prior
    weight, visible, hidden = (v.numpy() for v in (prior.weight, prior.visible, prior.hidden))
    y = sigmoid(z)
    energy = -y @ visible - np.log1p(np.exp(hidden + y @ weight.T)).sum(1)
    assert losses["prior"].item() == pytest.approx(0.3 * energy.mean(), rel=1e-9)
    rates, labels = method.au_loss.weights.numpy(), batch.labels.numpy()
    bce = -np.log(np.where(labels > 0, sigmoid(z[:4]), sigmoid(-z[:4]))) * rates
    assert losses["au"].item() == pytest.approx(bce.mean(), rel=1e-9)


END_TO_END: dict[str, Any] = {"features": "end_to_end", "prior_from": 0.0}


def progress_of(method: Method, step: int) -> Any:
    return make_progress(step, 10, method)


def same_bits(one: Any, other: Any) -> bool:
    mine, its = one.method.net.state_dict(), other.method.net.state_dict()
    return one.totals == other.totals and all(torch.equal(mine[name], its[name]) for name in mine)


@pytest.mark.parametrize("knobs", [{"prior": 0.0, **END_TO_END}, {"prior_from": 1.0}])
def test_without_a_prior_it_is_the_control_bit_for_bit(knobs: dict[str, Any]) -> None:
    control, trained = train(Supervised, make_task()), train(DAUR, make_task(), **knobs)
    assert same_bits(trained, control)
    clips = torch.randn(3, 5, 3, 32, 32)
    assert torch.equal(predict(trained.method, clips), predict(control.method, clips))


def test_at_full_labels_the_prior_is_left() -> None:
    task = make_task(unlabelled_frames=0)
    trained = train(DAUR, task, pool=False, **END_TO_END)
    assert all(set(step) == {"au", "prior"} for step in trained.losses)


def test_fixed_features_stay_as_they_are_in_the_priors_phase() -> None:
    torch.manual_seed(0)
    method = DAUR(DAUR.Config(), make_task()).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    losses = method.losses(make_batch(DAUR.needs), progress_of(method, 9))
    sum(losses.values()).backward()
    after = method.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in method.net.trunk.parameters())
    assert method.net.fc.weight.grad.abs().sum() > 0


def test_the_prior_pulls_predictions_towards_vectors_that_occur() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.int8).repeat(30, 1)
    method = DAUR(DAUR.Config(), make_task(labels=labels))
    logits = torch.tensor([[2.0, 0.0, -2.0, -2.0]], requires_grad=True)
    method.prior(logits.sigmoid()).backward()
    assert logits.grad[0, 1] < 0  # the second AU goes with the first: its logit is to rise


def test_too_few_labelled_frames_leave_the_prior_out() -> None:
    task = make_task(labels=torch.ones(4, 4, dtype=torch.int8))
    trained = train(DAUR, task, steps=4, **END_TO_END)
    control = train(Supervised, task, steps=4)
    assert same_bits(trained, control)
    assert trained.method.warnings == [
        "daur: 4 labelled frames with every AU coded are too few for an RBM of 4 AUs (more frames "
        "than AUs are asked for): trained without it"
    ]


def test_an_au_without_positives_is_expected_absent_and_is_named() -> None:
    labels = make_task().labels.clone()
    labels[:, 1] = 0
    method = DAUR(DAUR.Config(), make_task(labels=labels))
    assert method.warnings == ["daur: no labelled frame shows AU 2: what goes with it is not known"]
    absent, present = torch.tensor([[0.0, 0, 0, 0], [0, 1, 0, 0]])
    assert method.prior(absent[None]) < method.prior(present[None]) - 3


def test_an_au_that_nobody_coded_has_no_say() -> None:
    labels = make_task().labels.clone()
    labels[:, 1] = -1
    prior = DAUR(DAUR.Config(), make_task(labels=labels)).prior
    assert isinstance(prior, Prior)
    assert torch.equal(prior(torch.zeros(1, 4)), prior(torch.eye(4)[1:2]))


def test_features_of_a_trunk_that_never_learnt_are_refused() -> None:
    with pytest.raises(MethodError, match=r"fixes the features of a trunk that never learnt"):
        DAUR(DAUR.Config(prior_from=0.0), make_task())
    assert "it takes 0 to 1" in refusal(DAUR, prior_from=1.2)


@pytest.mark.parametrize("variant", DAUR.variants)
def test_every_variant_trains(variant: str) -> None:
    trained = train(DAUR, make_task(), steps=5, **DAUR.variants[variant])
    assert all(np.isfinite(trained.totals))
