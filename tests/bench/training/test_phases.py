"""Phases of a training: what is fitted at their ends, on which labels, and stopped in between."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.training.trainer import Trainer
from methods._base import Batch, Phase, Progress, Task
from tests.helpers import fakes as toys

TWO = (
    Phase(name="teacher", share=0.4, labelled_only=True, fit=True),
    Phase(name="student", share=0.6, lr_factor=0.5, fit=True),
)


class Fitting(toys.Toy):
    """Keeps what it is given to fit: the mean feature of each kind, and how often it was asked."""

    parts: tuple[Phase, ...] = TWO

    def __init__(self, config: Any, task: Task):
        super().__init__(config, task)
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))
        self.register_buffer("means", torch.zeros(2, 3))
        self.seen: list[tuple[str, int]] = []
        self.given: list[tuple[Tensor, Tensor, bool]] = []

    @classmethod
    def phases(cls, config: Any) -> tuple[Phase, ...]:
        return cls.parts

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        self.seen.append((progress.phase, len(batch.unlabelled["weak"])))
        return super().losses(batch, progress)

    def fit(self, features: Tensor, labels: Tensor) -> None:
        count = self.task.labelled_frames
        self.given.append((features, labels, self.training or torch.is_grad_enabled()))
        self.fits += 1
        self.means += torch.stack([features[:count].mean(0), features[count:].mean(0)])


class Unmoved(Fitting):
    """A method without gradient steps."""

    parts = (Phase(name="fit", share=0.0, fit=True),)


def build(kind: type[Fitting] = Fitting, **knobs: Any) -> Trainer:
    torch.manual_seed(1)
    return toys.trainer(kind(kind.Config(), toys.TASK), steps=20, **knobs)


def test_a_method_fits_at_the_end_of_each_phase_that_says_so() -> None:
    trainer = build()
    trainer.run(trainer.total)
    method = trainer.method
    assert [name for name, _ in method.seen] == ["teacher"] * 8 + ["student"] * 12
    assert [count for _, count in method.seen[:8]] == [0] * 8
    assert min(count for _, count in method.seen[8:]) > 0
    assert int(method.fits) == 2


def test_what_is_fitted_are_plain_features_and_labels_that_are_paid_for() -> None:
    trainer = build()
    trainer.run(trainer.total)
    sampler, pixels = trainer.loader.sampler, trainer.loader.pixels
    (features, labels, training), _ = trainer.method.given
    keys, pool = sampler.keys, sampler.unlabelled_rows
    assert not training
    assert labels[: len(keys)].tolist() == sampler.table.labels[keys].tolist()
    assert (labels[len(keys) :] == -1).all()
    assert len(features) == len(keys) + len(pool)
    mean_colour = pixels.gather(pool).float().mean(dim=(1, 2)) / 255
    shown = features[len(keys) :] * torch.tensor([0.229, 0.224, 0.225])
    shown = shown + torch.tensor([0.485, 0.456, 0.406])
    torch.testing.assert_close(shown, mean_colour, atol=1e-5, rtol=0)


def test_a_method_calibrates_on_validation_frames_after_each_fit() -> None:
    trainer = build()
    table = trainer.loader.sampler.table
    trainer.validation_keys = np.array([1, 7])
    calibrated: list[tuple[Tensor, Tensor, int, bool]] = []

    def calibrate(features: Tensor, labels: Tensor) -> None:
        fits = int(trainer.method.fits)
        calibrated.append((features, labels, fits, trainer.method.training))

    trainer.method.calibrate = calibrate
    trainer.run(trainer.total)
    assert [fits for _, _, fits, _ in calibrated] == [1, 2]
    features, labels, _, training = calibrated[0]
    assert not training
    assert labels.tolist() == table.labels[[1, 7]].tolist()
    assert features.shape == (2, 3)


def test_without_validation_subjects_nothing_is_calibrated() -> None:
    trainer = build()
    trainer.method.calibrate = None
    trainer.run(trainer.total)


def test_frames_a_second_count_what_a_phase_loads() -> None:
    trainer = build()
    batch = trainer.loader.sampler.batch_size
    per_step = trainer.loader.sampler.frames_per_step()
    assert per_step > batch
    assert trainer.frames_until(8) == 8 * batch
    assert trainer.frames_until(11) == 8 * batch + 3 * per_step


def test_the_schedule_of_a_phase_is_its_own() -> None:
    trainer = build(schedule="cosine", lr=0.1)
    rates = []
    trainer.run(trainer.total, lambda t: rates.append(t.optimiser.param_groups[0]["lr"]))
    assert rates[0] == pytest.approx(0.1)
    assert rates[7] < 0.01
    assert rates[8] == pytest.approx(0.05)


@pytest.mark.parametrize("stop", [1, 7, 8, 9, 20])
def test_stopped_anywhere_a_phase_is_fitted_once(stop: int) -> None:
    whole = build()
    whole.run(20)
    first = build()
    first.run(stop)
    stream = io.BytesIO()
    torch.save(first.state_dict(), stream)
    stream.seek(0)
    second = build()
    second.load_state_dict(torch.load(stream, weights_only=True))
    second.run(20)
    ours, theirs = whole.method.state_dict(), second.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert int(theirs["fits"]) == 2


def test_a_method_without_gradient_steps_is_fitted_and_nothing_moves() -> None:
    trainer = build(Unmoved)
    before = trainer.method.fc.weight.clone()
    assert trainer.total == 0
    trainer.run(trainer.total)
    assert int(trainer.method.fits) == 1
    assert torch.equal(trainer.method.fc.weight, before)
    assert trainer.history == []
