"""What holds for each method alike: no waiting for the device, mixed precision, checkpoints."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from bench.config.registry import Registry, default_needs
from bench.frame_store.crop import canonical_face
from methods._base import Batch, Method
from tests.helpers.fake_tasks import batch_of, make_progress, make_task, predict

METHODS = [
    Registry().method(name)
    for name, found in Registry().methods().items()
    if found.module.startswith("methods.")
]
VARIANTS = [(kind, name) for kind in METHODS for name in (None, *kind.variants)]
STEPS = (0, 50, 95)
"""Steps of a hundred, one in each phase of every method."""


def build(kind: type[Method], variant: str | None = None) -> Method:
    torch.manual_seed(0)
    knobs = dict(kind.variants[variant]) if variant else {}
    if kind.__name__ == "KnowledgeSpreader":
        knobs |= {"width": 16, "hidden": 16, "heads": 2}
    return kind(kind.Config(**knobs), make_task()).train()


def full_batch(kind: type[Method], seed: int = 0) -> Batch:
    batch = batch_of(kind, seed=seed)
    face = torch.from_numpy(canonical_face()).expand(len(batch.key), -1, -1) * 32
    return replace(batch, landmarks=face.clone()) if default_needs(kind).landmarks else batch


def on_meta(batch: Batch) -> Batch:
    return replace(
        batch,
        key=batch.key.to("meta"),
        labels=batch.labels.to("meta"),
        clips={view: frames.to("meta") for view, frames in batch.clips.items()},
        unlabelled={view: frames.to("meta") for view, frames in batch.unlabelled.items()},
        ids=batch.ids.to("meta") if batch.ids is not None else None,
        known=batch.known.to("meta") if batch.known is not None else None,
        landmarks=batch.landmarks.to("meta") if batch.landmarks is not None else None,
    )


@pytest.mark.parametrize(("kind", "variant"), VARIANTS)
def test_a_step_never_asks_the_device_for_a_value(kind: type[Method], variant: str | None) -> None:
    """Meta tensors have no values: reading one, or a shape that depends on one, is an error."""
    method = build(kind, variant).to("meta")
    batch = on_meta(full_batch(kind))
    for step in STEPS:
        audit = lambda targets, used: targets & used if targets.dtype == torch.bool else None  # noqa: E731
        losses = method.losses(batch, make_progress(step, 100, method, audit=audit))
        if variant is None:  # autograd is not the variants' own, and takes half of the time
            torch.stack(list(losses.values())).sum().backward()
        method.after_step(make_progress(step, 100, method))


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("step", STEPS)
def test_mixed_precision_gives_finite_losses_close_to_full(kind: type[Method], step: int) -> None:
    whole, method = build(kind), build(kind)
    torch.manual_seed(1)  # noise of the network's own is the same in both
    full = whole.losses(full_batch(kind), make_progress(step, 100, whole))
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = method.losses(full_batch(kind), make_progress(step, 100, method))
    torch.stack(list(half.values())).sum().backward()
    assert list(half) == list(full)
    assert half[next(iter(half))].item() == pytest.approx(full[next(iter(full))].item(), rel=0.2)
    for name, weight in method.named_parameters():
        assert weight.grad is None or torch.isfinite(weight.grad).all(), name


@pytest.mark.parametrize("kind", METHODS)
def test_a_method_restored_from_its_state_goes_on_with_the_same_bits(kind: type[Method]) -> None:
    def go(method: Method, optimiser: torch.optim.Optimizer, steps: range) -> list[torch.Tensor]:
        totals = []
        for step in steps:
            losses = method.losses(full_batch(kind, step), make_progress(step, 8, method))
            optimiser.zero_grad()
            total = torch.stack(list(losses.values())).sum()
            total.backward()
            optimiser.step()
            method.after_step(make_progress(step, 8, method))
            totals.append(total.detach())
        return totals

    def optimiser_of(method: Method) -> torch.optim.Optimizer:
        return torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.01)

    method = build(kind)
    optimiser = optimiser_of(method)
    go(method, optimiser, range(6))
    state = copy.deepcopy(method.state_dict())
    random = torch.get_rng_state()
    expected = go(method, optimiser, range(6, 8))
    restored = build(kind)
    restored.load_state_dict(state)
    torch.set_rng_state(random)
    assert go(restored, optimiser_of(restored), range(6, 8)) == expected
    clips = torch.randn(2, default_needs(kind).clip_len, 3, 32, 32)
    assert torch.equal(predict(restored, clips), predict(method, clips))


@pytest.mark.parametrize("kind", METHODS)
def test_predicting_between_steps_changes_nothing(kind: type[Method]) -> None:
    """Evaluation in the midst of training draws no random number and moves no statistic."""
    method = build(kind)
    method.losses(full_batch(kind), make_progress(95, 100, method))
    before = copy.deepcopy(method.state_dict())
    random = torch.get_rng_state()
    predict(method, torch.ones(2, default_needs(kind).clip_len, 3, 32, 32))
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in method.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, msg=name)
