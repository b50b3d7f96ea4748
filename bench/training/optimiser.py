"""Optimiser and learning rate: parameter groups, schedules, phases of a run; for the trainer.

The rate is a function of the step alone, so that a resumed run needs no state of a schedule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import nn

from bench.config.settings import TrainConfig
from bench.errors import unknown_name
from methods._base import Method, Phase
from methods._trunks import ImageTrunk

FLOOR = 0.01
"""Share of the peak rate that a warm-up begins with: a first step of nothing would be lost."""


def total_steps(config: TrainConfig, steps_per_epoch: float) -> int:
    """Return the run's length: `steps` if given, else `epochs` passes over the key frames."""
    return config.steps or max(1, round(config.epochs * steps_per_epoch))


def learning_rate(config: TrainConfig, fraction: float) -> float:
    """Return the learning rate at `fraction` of a phase, in [0, 1)."""
    if config.schedule == "one-cycle":
        warm = 0.3
        if fraction < warm:
            return config.lr * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * fraction / warm)))
        return config.lr * 0.5 * (1 + math.cos(math.pi * (fraction - warm) / (1 - warm)))
    if fraction < config.warmup:
        return config.lr * max(FLOOR, fraction / config.warmup)
    if config.schedule == "cosine":
        after = (fraction - config.warmup) / (1 - config.warmup)
        return config.lr * 0.5 * (1 + math.cos(math.pi * after))
    return config.lr


@dataclass(frozen=True)
class PhaseSteps:
    """A phase of a run, and the steps that it takes: start .. stop - 1."""

    phase: Phase
    start: int
    stop: int


def phase_steps(phases: Sequence[Phase], total: int) -> tuple[PhaseSteps, ...]:
    """Lay phases out over `total` steps.

    The last one takes what the others leave, unless it is alone and its share is 0.
    """
    shares = [phase.share for phase in phases]
    if shares == [0]:
        return (PhaseSteps(phases[0], 0, 0),)
    # the first step of a phase is the first whose share of the run reaches the phase's beginning
    starts = [math.ceil(total * share - 1e-9) for share in accumulate(shares[:-1], initial=0.0)]
    stops = [*starts[1:], total]
    return tuple(map(PhaseSteps, phases, starts, stops))


def rate_at(config: TrainConfig, phases: Sequence[PhaseSteps], step: int) -> float:
    """Return the learning rate of `step`: the schedule begins anew in each phase."""
    now = phase_at(phases, step)
    fraction = (step - now.start) / max(1, now.stop - now.start)
    return learning_rate(config, fraction) * now.phase.lr_factor


def rate_shares(config: TrainConfig, phases: Sequence[PhaseSteps], total: int) -> list[float]:
    """Return, for each of `total` steps and for the end, the share of the summed rate before it."""
    rates = [rate_at(config, phases, step) for step in range(total)]
    if len(set(rates)) <= 1:  # one rate, or none at all: exactly the shares of the steps
        return [step / max(1, total) for step in range(total + 1)]
    whole = math.fsum(rates)
    return [share / whole for share in accumulate(rates, initial=0.0)]


def phase_at(phases: Sequence[PhaseSteps], step: int) -> PhaseSteps:
    """Return the phase that `step` is in; the last one, if none (a run that is over)."""
    return next((one for one in phases if one.start <= step < one.stop), phases[-1])


def make_optimiser(method: Method, config: TrainConfig) -> torch.optim.Optimizer:
    """Build the optimiser. Vectors (biases, norms) and what `Method.no_decay` names do not decay.

    Every group carries `factor`, by which the schedule's rate is multiplied. Raises UsageError for
    a `train.group_lr` that names no group.
    """
    groups = list(_groups(method, config))
    # fused: all of a step in one pass over the weights, a third of the time on a CPU too
    fused = {p.device.type for p in method.parameters()} <= {"cpu", "cuda"}
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, fused=fused)
    nesterov = config.optimiser == "nesterov"
    return torch.optim.SGD(
        groups, lr=config.lr, momentum=config.momentum, nesterov=nesterov, fused=fused
    )


def _groups(method: Method, config: TrainConfig) -> Iterator[dict[str, object]]:
    named = [(name, p) for name, p in method.named_parameters() if p.requires_grad]
    names = _group_names(method)
    factors = dict(config.group_factors())
    for name in factors:
        if name not in set(names.values()):
            raise unknown_name("group of train.group_lr", name, set(names.values()))
    for group in dict.fromkeys(names.values()):
        for decayed in (True, False):
            members = [
                p for n, p in named if names[n] == group and _decays(method, n, p) == decayed
            ]
            if members:
                yield {
                    "params": members,
                    "weight_decay": config.weight_decay if decayed else 0.0,
                    "factor": factors.get(group, 1.0),
                }


def _decays(method: Method, name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and not name.endswith(method.no_decay)


def _group_names(method: Method) -> dict[str, str]:
    """Map each parameter to its group: what the method calls it, else `trunk` or `head`."""
    trunks = tuple(f"{n}." for n, m in method.named_modules() if isinstance(m, ImageTrunk))
    return {
        name: method.group_of(name) or ("trunk" if name.startswith(trunks) else "head")
        for name, _ in method.named_parameters()
    }
