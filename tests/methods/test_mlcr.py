"""MLCR: its losses and its graph against numpy in float64, and its behaviour where data lack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from methods._mlcr import ClassifierGraph, co_regularisation, multi_view_loss, normalised_adjacency
from methods.mlcr import MLCR
from tests.helpers.fake_tasks import make_batch, make_progress, make_task, predict, train

RNG = np.random.default_rng(3)
LABELS = torch.from_numpy((RNG.random((40, 4)) < 0.4).astype(np.int8))


def build(**knobs: Any) -> MLCR:
    torch.manual_seed(0)
    return MLCR(MLCR.Config(**knobs), make_task(labels=LABELS))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_the_multi_view_loss_is_the_mean_absolute_cosine() -> None:
    one, two = RNG.normal(size=(5, 9)), RNG.normal(size=(5, 9))
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    expected = np.abs((one * two).sum(1) / norms).mean()
    found = multi_view_loss(torch.from_numpy(one), torch.from_numpy(two))
    assert found.item() == pytest.approx(expected, rel=1e-12)
    assert multi_view_loss(torch.eye(3), -torch.eye(3)) == 1
    assert multi_view_loss(torch.eye(3), torch.eye(3).roll(1, 1)) == 0


def test_co_regularisation_is_the_mean_jensen_shannon_divergence() -> None:
    logits = 2 * RNG.normal(size=(2, 30, 4))
    p, q = sigmoid(logits[0]), sigmoid(logits[1])
    pairs = [np.stack([x, 1 - x]) for x in (p, q)]
    middle = (pairs[0] + pairs[1]) / 2
    # by its other definition: half of either's divergence from the middle
    expected = sum(0.5 * (x * np.log(x / middle)).sum(0) for x in pairs).mean()
    found = co_regularisation(*torch.from_numpy(logits))
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_co_regularisation_stays_finite_where_views_are_certain() -> None:
    one = torch.tensor([[900.0, -900.0, 900.0]], requires_grad=True)
    two = torch.tensor([[900.0, 900.0, 0.0]], requires_grad=True)
    loss = co_regularisation(one, two)
    loss.backward()
    apart = np.log(2) - (0.999 * -np.log(0.999) + 0.001 * -np.log(0.001))
    assert loss.item() == pytest.approx((apart + half_apart()) / 3, rel=1e-5)
    assert torch.isfinite(one.grad).all()
    assert torch.isfinite(two.grad).all()
    half = co_regularisation(one.bfloat16(), two.bfloat16())
    assert half.item() == pytest.approx(loss.item(), rel=1e-5)


def half_apart() -> float:
    """JS of certainty (clamped) and a half: H(.75) - (H(.999) + H(.5)) / 2."""

    def entropy(p: float) -> float:
        return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)))

    return entropy(0.75) - (entropy(0.999) + entropy(0.5)) / 2


def test_nothing_to_agree_on_is_no_disagreement() -> None:
    assert co_regularisation(torch.zeros(0, 4), torch.zeros(0, 4)) == 0


def test_the_graph_mixes_classifiers_as_two_graph_convolutions() -> None:
    labels = (RNG.random((50, 4)) < 0.5).astype(float)
    relations = np.corrcoef(labels.T)
    adjacency = np.abs(relations)
    root = np.diag(adjacency.sum(1) ** -0.5)
    g = root @ adjacency @ root
    graph = ClassifierGraph(torch.from_numpy(relations), 7).double()
    graph.adjacency = normalised_adjacency(torch.from_numpy(relations))
    np.testing.assert_allclose(graph.adjacency.numpy(), g, rtol=1e-12)
    first, second = (w.detach().numpy() for w in (graph.first, graph.second))
    classifier = RNG.normal(size=(4, 7))
    hidden = g @ classifier @ first
    expected = g @ np.where(hidden > 0, hidden, 0.2 * hidden) @ second
    found = graph(torch.from_numpy(classifier)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_whole_loss_is_that_of_the_parts() -> None:
    method = build().double().train()
    batch = make_batch(MLCR.needs)
    losses = method.losses(in_double(batch), make_progress())
    frames = torch.cat([batch.key, batch.unlabelled["weak"]]).double()
    with torch.no_grad():
        features = [view.encode(frames).numpy() for view in (method.view1, method.view2)]
        raw = [
            np.concatenate([v.fc.weight.numpy(), v.fc.bias.numpy()[:, None]], 1)
            for v in (method.view1, method.view2)
        ]
        mixed = [method.relations(torch.from_numpy(w)).numpy() for w in raw]
    logits = [f @ w[:, :-1].T + w[:, -1] for f, w in zip(features, mixed, strict=True)]
    weights, labels = method.au_loss.weights.numpy(), batch.labels.numpy()
    bce = [
        -(weights * np.where(labels > 0, np.log(sigmoid(z[:4])), np.log(sigmoid(-z[:4])))).mean()
        for z in logits
    ]
    assert losses["au"].item() == pytest.approx(np.mean(bce), rel=1e-9)
    crossed = (raw[0] * raw[1]).sum(1) / np.prod([np.linalg.norm(w, axis=1) for w in raw], axis=0)
    assert losses["multi_view"].item() == pytest.approx(100 * np.abs(crossed).mean(), rel=1e-9)
    apart = co_regularisation(*(torch.from_numpy(z) for z in logits)).item()
    assert losses["co_regularisation"].item() == pytest.approx(25 * apart, rel=1e-9)


def in_double(batch: Any) -> Any:
    return replace(
        batch,
        key=batch.key.double(),
        labels=batch.labels.double(),
        unlabelled={view: frames.double() for view, frames in batch.unlabelled.items()},
    )


def test_the_mean_of_the_views_probabilities_predicts() -> None:
    method = build()
    clips = torch.randn(3, 5, 3, 32, 32)
    logits = predict(method, clips)
    with torch.no_grad():
        features = method.encode(clips[:, 2])[:, None]
        parts = method.members(features)
    assert set(parts) == {"view1", "view2"}
    expected = (parts["view1"].sigmoid() + parts["view2"].sigmoid()) / 2
    torch.testing.assert_close(logits.sigmoid(), expected)


def test_gradients_reach_both_views_and_the_graph() -> None:
    method = build().train()
    sum(method.losses(make_batch(MLCR.needs), make_progress()).values()).backward()
    for view in (method.view1, method.view2):
        assert view.trunk.body.conv1.weight.grad.abs().sum() > 0
        assert view.fc.weight.grad.abs().sum() > 0
    assert method.relations.first.grad.abs().sum() > 0
    assert method.relations.second.grad.abs().sum() > 0


def test_unlabelled_frames_teach_only_by_co_regularisation() -> None:
    task = make_task(labels=LABELS)
    with_pool = train(MLCR, task, steps=3, lambda_cr=0.0)
    without = train(MLCR, task, steps=3, lambda_cr=0.0, pool=False)
    assert with_pool.totals == without.totals
    assert train(MLCR, task, steps=3).totals != train(MLCR, task, steps=3, pool=False).totals


def test_with_every_frame_labelled_the_views_agree_on_labelled_frames() -> None:
    trained = train(MLCR, make_task(unlabelled_frames=0, labels=LABELS), pool=False, steps=2)
    assert trained.losses[0]["co_regularisation"] > 0


def test_too_few_labelled_frames_leave_each_au_alone_in_the_graph() -> None:
    method = MLCR(MLCR.Config(), make_task(labels=LABELS[:4]))
    assert torch.equal(method.relations.adjacency, torch.eye(4))
    assert method.warnings == [
        "mlcr: 4 labelled frames are too few for a graph of 4 AUs (more frames than AUs are asked "
        "for): each AU stands alone in it"
    ]


def test_an_au_without_positives_stands_alone_and_is_named() -> None:
    labels = LABELS.clone()
    labels[:, 1] = 0
    method = MLCR(MLCR.Config(), make_task(labels=labels))
    assert method.relations.adjacency[1].tolist() == [0, 1, 0, 0]
    assert method.warnings == ["mlcr: no labelled frame shows AU 2: what goes with it is not known"]


@pytest.mark.parametrize("variant", MLCR.variants)
def test_every_variant_trains(variant: str) -> None:
    trained = train(MLCR, make_task(labels=LABELS), steps=3, **MLCR.variants[variant])
    assert all(np.isfinite(trained.totals))
