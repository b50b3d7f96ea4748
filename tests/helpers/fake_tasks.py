"""What the tests of methods share: tiny tasks, batches, and a training loop of a few lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.parsing import override_fields
from bench.config.registry import default_needs
from bench.errors import UsageError
from bench.training.optimiser import phase_at, phase_steps
from methods._base import Batch, Method, Needs, Progress, Task, Trunk

AUS = (1, 2, 4, 6)
SIZE = 32
POOL = 400
"""Unlabelled frames of the tiny task; a batch's ids are some of them."""
NARROW = Trunk(width=0.125)


def make_task(**changes: Any) -> Task:
    """A four-AU task of 32 px images on a ResNet-18 of an eighth of the width.

    Its label matrix is noise at the positive rates.
    """
    task = Task(
        aus=AUS,
        image_size=SIZE,
        trunk=NARROW,
        positive_rates=(0.2, 0.1, 0.4, 0.5),
        labelled_frames=100,
        unlabelled_frames=POOL,
        clip_len=5,
    )
    task = replace(task, **changes)
    return task if "labels" in changes else replace(task, labels=make_labels(task))


def make_labels(task: Task, seed: int = 0) -> Tensor:
    """Labels (N, A) int8 of a task's labelled frames, drawn one by one at its positive rates."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.rand(task.labelled_frames, len(task.aus), generator=rng)
    rates = torch.tensor(task.positive_rates)
    return torch.where(rates.isnan(), -1, (drawn < rates).to(torch.int8)).to(torch.int8)


def make_batch(
    needs: Needs,
    *,
    clips: int = 4,
    seed: int = 0,
    aus: int = len(AUS),
    pool: bool = True,
    size: int = SIZE,
) -> Batch:
    """A batch of noise with what `needs` asks for; the stream is the test's own."""
    rng = torch.Generator().manual_seed(seed)

    def images(*shape: int) -> Tensor:
        return torch.randn(*shape, 3, size, size, generator=rng)

    unlabelled = needs.unlabelled_ratio * clips if pool else 0
    key = images(clips)
    labels = torch.randint(0, 2, (clips, aus), generator=rng).float()
    return Batch(
        key=key,
        labels=labels,
        slot=seed % needs.clip_len if needs.key == "cyclic" else needs.clip_len // 2,
        clips={view: images(clips, needs.clip_len) for view in needs.views} if needs.clips else {},
        known=torch.full((clips, needs.clip_len, aus), -1.0) if needs.known_labels else None,
        unlabelled={view: images(unlabelled) for view in needs.views} if unlabelled else {},
        ids=torch.randperm(POOL, generator=rng)[:unlabelled],
    )


def make_progress(
    step: int = 0, total: int = 10, method: Method | None = None, **changes: Any
) -> Progress:
    """Progress at a step of `total`, in the phase that `method` is in then."""
    if method is not None:
        phases = phase_steps(method.phases(method.config), total)
        changes = {"phase": phase_at(phases, step).phase.name, **changes}
    return Progress(
        step=step, total_steps=total, epoch=50 * step / total, total_epochs=50, **changes
    )


@dataclass
class Trained:
    method: Method
    losses: list[dict[str, Tensor]]

    @property
    def totals(self) -> list[float]:
        return [float(sum(step.values())) for step in self.losses]


def train(
    kind: type[Method],
    task: Task,
    *,
    steps: int = 10,
    pool: bool = True,
    spoil: Callable[[Batch], Batch] = lambda batch: batch,
    **knobs: Any,
) -> Trained:
    """Build a method under seed 0 and take AdamW steps on batches that only the step decides."""
    torch.manual_seed(0)
    method = kind(kind.Config(**knobs), task)
    optimiser = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=1e-3)
    history = []
    needs = method.data_needs
    method.train()
    for step in range(steps):
        batch = spoil(make_batch(needs, seed=step, aus=len(task.aus), pool=pool))
        losses = method.losses(batch, make_progress(step, steps, method))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
        method.after_step(make_progress(step, steps, method))
        history.append({name: loss.detach() for name, loss in losses.items()})
    return Trained(method.eval(), history)


def batch_of(kind: type[Method], **how: Any) -> Batch:
    """A batch of noise of what a method asks for with its knobs at their defaults."""
    return make_batch(default_needs(kind), **how)


def predict(method: Method, clips: Tensor) -> Tensor:
    with torch.no_grad():
        return method.eval().predict(clips)


def refusal(kind: type[Method], **knobs: Any) -> str:
    """Plan a method with these knobs; return the sentence that refuses them."""
    with pytest.raises(UsageError) as caught:
        override_fields(kind.Config(), knobs, "knob")
    return str(caught.value)
