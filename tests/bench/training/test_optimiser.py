"""The optimiser: how long a run is, its learning rate at every step, and who decays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.config.settings import TrainConfig
from bench.errors import UsageError
from bench.training.optimiser import (
    learning_rate,
    make_optimiser,
    phase_at,
    phase_steps,
    rate_at,
    rate_shares,
    total_steps,
)
from methods._base import WHOLE, Phase
from tests.helpers import fakes as toys

HALVES = (Phase(name="first", share=0.5), Phase(name="second", share=0.5, lr_factor=0.1))


def test_a_run_is_as_long_as_its_steps_or_epochs_say() -> None:
    assert total_steps(TrainConfig(steps=7, epochs=3), 10) == 7
    assert total_steps(TrainConfig(epochs=3), 10.4) == 31
    assert total_steps(TrainConfig(epochs=0.001), 1) == 1


def test_the_rate_follows_the_schedule() -> None:
    constant = TrainConfig(lr=0.1)
    cosine = TrainConfig(lr=0.1, schedule="cosine")
    cycle = TrainConfig(lr=0.1, schedule="one-cycle")
    assert learning_rate(constant, 0.7) == 0.1
    assert [learning_rate(cosine, f) for f in (0.0, 0.5)] == pytest.approx([0.1, 0.05])
    assert learning_rate(cycle, 0.3) == pytest.approx(0.1)
    assert learning_rate(cycle, 0.0) == pytest.approx(0.004)
    assert learning_rate(cycle, 1.0) == pytest.approx(0.0)
    rising = [learning_rate(cycle, f / 100) for f in range(31)]
    assert rising == sorted(rising)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_rises_in_a_line_and_meets_the_schedule(schedule: str) -> None:
    config = TrainConfig(lr=0.1, schedule=schedule, warmup=0.2)
    rates = [learning_rate(config, f) for f in (0.0, 0.05, 0.1, 0.2)]
    assert rates == pytest.approx([0.001, 0.025, 0.05, 0.1])
    expected = 0.1 if schedule == "constant" else 0.05 * (1 + np.cos(np.pi * 0.5))
    assert learning_rate(config, 0.6) == pytest.approx(expected)


def test_each_phase_begins_the_schedule_anew_at_its_own_rate() -> None:
    config, phases = TrainConfig(lr=0.1, schedule="cosine"), phase_steps(HALVES, 10)
    rates = [rate_at(config, phases, step) for step in range(10)]
    half = [0.05 * (1 + np.cos(np.pi * k / 5)) for k in range(5)]
    assert rates == pytest.approx([*half, *(rate / 10 for rate in half)])
    names = [phase_at(phases, step).phase.name for step in range(11)]
    assert names == ["first"] * 5 + ["second"] * 6


@pytest.mark.parametrize("total", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("shares", [(0.0, 1.0), (0.3, 0.3), (1 / 3, 1 / 3, 1 / 3), (1.0,)])
def test_phases_cover_the_run_without_gap(total: int, shares: tuple[float, ...]) -> None:
    phases = phase_steps([Phase(name=str(i), share=s) for i, s in enumerate(shares)], total)
    assert [p.start for p in phases] == [0, *(p.stop for p in phases[:-1])]
    assert phases[-1].stop == total
    for step in range(total):
        share_before = sum(shares[: int(phase_at(phases, step).phase.name)])
        assert step / total >= share_before - 1e-9


class Grouped(toys.Toy):
    """A method with a table of embeddings, which does not decay, and a group of its own."""

    no_decay = ("table",)

    def __init__(self, config: toys.Toy.Config, task: toys.Task):
        super().__init__(config, task)
        self.table = nn.Parameter(torch.zeros(4, 3))

    def group_of(self, parameter: str) -> str:
        return "tables" if parameter == "table" else ""


def decay_of(optimiser: torch.optim.Optimizer, parameter: Tensor) -> tuple[float, float]:
    """Weight decay and rate factor of a parameter's group."""
    (group,) = [g for g in optimiser.param_groups if any(p is parameter for p in g["params"])]
    return group["weight_decay"], group["factor"]


def test_matrices_decay_and_neither_vectors_nor_named_tables_do() -> None:
    method = Grouped(toys.Toy.Config(), toys.TASK)
    optimiser = make_optimiser(method, TrainConfig(weight_decay=0.1))
    grouped = [p for group in optimiser.param_groups for p in group["params"]]
    assert len(grouped) == len(list(method.parameters()))
    assert decay_of(optimiser, method.fc.weight) == (0.1, 1.0)
    assert decay_of(optimiser, method.fc.bias) == (0.0, 1.0)
    assert decay_of(optimiser, method.table) == (0.0, 1.0)


def test_a_group_learns_at_its_own_rate() -> None:
    method = Grouped(toys.Toy.Config(), toys.TASK)
    optimiser = make_optimiser(method, TrainConfig(group_lr=("tables=0.1", "head=2")))
    assert decay_of(optimiser, method.table)[1] == 0.1
    assert decay_of(optimiser, method.fc.weight)[1] == 2
    with pytest.raises(UsageError, match=r"train.group_lr 'tabels': did you mean tables"):
        make_optimiser(method, TrainConfig(group_lr=("tabels=0.1",)))


def test_the_optimisers_are_those_that_are_named() -> None:
    method = toys.Toy(toys.Toy.Config(), toys.TASK)
    made = {
        name: make_optimiser(method, TrainConfig(optimiser=name))
        for name in ("sgd", "nesterov", "adamw")
    }
    assert isinstance(made["adamw"], torch.optim.AdamW)
    assert [made[n].param_groups[0]["nesterov"] for n in ("sgd", "nesterov")] == [False, True]


def test_a_run_without_phases_is_one() -> None:
    assert phase_at(phase_steps(WHOLE, 5), 4).phase.name == "train"


def test_shares_of_the_training_are_shares_of_the_summed_rate() -> None:
    phases = phase_steps(WHOLE, 100)
    constant = rate_shares(TrainConfig(lr=0.1), phases, 100)
    assert constant == pytest.approx([step / 100 for step in range(101)])
    cycle = TrainConfig(lr=0.1, schedule="one-cycle")
    shares = rate_shares(cycle, phases, 100)
    rates = [rate_at(cycle, phases, step) for step in range(100)]
    assert shares[4] == pytest.approx(sum(rates[:4]) / sum(rates))
    assert shares[4] < 0.005
    assert (shares[0], shares[-1]) == (0.0, pytest.approx(1.0))


def test_without_any_rate_shares_are_those_of_the_steps() -> None:
    assert rate_shares(TrainConfig(lr=0.0), phase_steps(WHOLE, 4), 4) == [0, 0.25, 0.5, 0.75, 1]
    assert rate_shares(TrainConfig(), phase_steps((Phase(name="fit", share=0),), 0), 0) == [0.0]
