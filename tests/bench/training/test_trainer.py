"""The loop: exact stop and go, schedules, what is decayed, what ends a run."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch

from bench.training.trainer import (
    NonFiniteLoss,
)
from tests.helpers import fakes as toys


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def saved(trainer):
    stream = io.BytesIO()
    torch.save(trainer.state_dict(), stream)
    stream.seek(0)
    return torch.load(stream, weights_only=True)


@pytest.mark.parametrize("stop", [1, 7, 20, 29])
def test_stopped_and_continued_gives_the_bits_of_never_stopped(stop):
    whole = toys.trainer()
    whole.run(30)
    first = toys.trainer()
    first.run(stop)
    state = saved(first)
    torch.manual_seed(99)  # whatever the new process drew
    second = toys.trainer()
    second.load_state_dict(state)
    second.run(30)
    assert same(whole.method.state_dict(), second.method.state_dict())
    assert whole.history == second.history
    assert whole.audit.summary() == second.audit.summary()


def test_the_state_is_all_there_is_to_continue_from():
    state = saved(toys.trainer())
    assert set(state) == {
        "step",
        "phases_over",
        "seconds",
        "amp",
        "method",
        "optimiser",
        "history",
        "pending",
        "audit",
        "random",
    }


def test_scrambled_hidden_labels_change_no_bit_of_the_training():
    plain = toys.trainer()
    plain.run(30)
    scrambled_table = toys.table(seed=5)
    scrambled_table.labels[toys.KEYS] = toys.table().labels[toys.KEYS]
    scrambled = toys.trainer(frames=scrambled_table)
    scrambled.run(30)
    assert same(plain.method.state_dict(), scrambled.method.state_dict())
    assert plain.history == scrambled.history
    assert plain.audit.summary() != scrambled.audit.summary()


def test_every_loss_and_metric_is_in_the_history_as_a_mean_of_its_steps():
    trainer = toys.trainer(steps=25)
    trainer.run(25)
    assert [row["step"] for row in trainer.history] == [20, 25]
    assert set(trainer.history[0]) == {"step", "epoch", "lr", "au", "extra", "mean_logit"}
    assert all(math.isfinite(value) for row in trainer.history for value in row.values())
    assert trainer.last_loss == pytest.approx(
        trainer.history[-1]["au"] + trainer.history[-1]["extra"]
    )


def test_a_metric_counts_in_the_steps_that_have_it_alone(monkeypatch):
    trainer = toys.trainer(steps=20)
    losses = trainer.method.losses

    def losses_and_a_metric(batch, progress):
        """As of a method that says something in two steps, and nothing in the others."""
        said = trainer.method.metrics
        found = losses(batch, progress)
        trainer.method.metrics = said
        if progress.step in {3, 4}:
            said["rare"] = torch.tensor(float(progress.step))
        return found

    monkeypatch.setattr(trainer.method, "losses", losses_and_a_metric)
    trainer.run(20)
    assert trainer.history[0]["rare"] == 3.5


def test_the_loss_goes_down_on_labels_that_the_colour_tells():
    frames, method = toys.table(), toys.Toy(toys.Toy.Config(), toys.TASK)
    bright = np.random.default_rng(0).random(len(frames.labels)) > 0.5
    frames.labels[:] = bright[:, None]
    trainer = toys.trainer(method, frames, steps=120, lr=0.05)
    images = np.where(bright, 200, 50)[:, None, None, None]
    trainer.loader.pixels.images = np.broadcast_to(images, (59, 16, 16, 3)).astype(np.uint8)
    trainer.run(120)
    assert trainer.history[-1]["au"] < 0.25 < math.log(2)


def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_step():
    trainer = toys.trainer(toys.Toy(toys.Toy.Config(), toys.TASK, explode_at=3))
    with pytest.raises(NonFiniteLoss, match=r"not finite at step 3 \(au nan, extra"):
        trainer.run(30)


def test_after_step_comes_once_a_step():
    trainer = toys.trainer()
    trainer.run(12)
    assert trainer.method.steps_seen == list(range(12))


def test_progress_in_steps_counts_as_fifty_nominal_epochs():
    trainer = toys.trainer(steps=200)
    trainer.step = 20
    progress = trainer.progress()
    assert (progress.epoch, progress.total_epochs, progress.fraction) == (5.0, 50.0, 0.1)


def test_progress_in_epochs_counts_passes_over_the_key_frames():
    trainer = toys.trainer(steps=0, epochs=10)
    trainer.step = 3
    assert trainer.total == 15  # 6 key frames, 4 a step
    assert trainer.progress().epoch == 2.0
    assert trainer.progress().total_epochs == 10


def test_gradients_are_clipped_when_asked():
    trainer = toys.trainer(clip_norm=1e-3)
    trainer.run(1)
    norm = torch.cat([p.grad.flatten() for p in trainer.method.parameters()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_mixed_precision_trains_on_the_cpu_too():
    trainer = toys.trainer(amp="on", steps=5)
    trainer.run(5)
    assert math.isfinite(trainer.history[-1]["au"])
