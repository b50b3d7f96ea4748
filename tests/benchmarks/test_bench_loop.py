"""Frames a second of the loop next to the bare loop of `bench speed`, on the same trunk."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from bench.runner.speed import bare_loop
from methods.fixmatch import FixMatch
from methods.supervised import Supervised
from tests.helpers.timed_trainings import make_trainer


@pytest.mark.parametrize("cls", [Supervised, FixMatch])
@pytest.mark.parametrize("kind", ["loop", "bare"])
def test_a_training_step(benchmark, cls, kind):
    torch.set_num_threads(1)
    trainer = make_trainer(cls)
    step = trainer._one_step if kind == "loop" else bare_loop(trainer, 1)
    benchmark.group = f"training step, {cls.__name__}"
    benchmark.extra_info["frames"] = trainer.loader.sampler.frames_per_step()
    benchmark.pedantic(step, rounds=20, warmup_rounds=3)


@pytest.mark.parametrize("cls", [Supervised, FixMatch])
def test_the_loop_s_share_of_a_bare_loop(benchmark, cls):
    """Steps in turn, by processor time, so that neighbours on the machine fall out of the ratio."""
    torch.set_num_threads(1)
    trainer = make_trainer(cls)
    bare, seconds = bare_loop(trainer, 1), {"loop": [], "bare": []}

    def pair():
        for kind, step in (("loop", trainer._one_step), ("bare", bare)):
            began = time.process_time()
            step()
            seconds[kind].append(time.process_time() - began)

    benchmark.pedantic(pair, rounds=30, warmup_rounds=3)
    medians = {kind: float(np.median(values)) for kind, values in seconds.items()}
    benchmark.extra_info["ratio"] = medians["bare"] / medians["loop"]
    assert medians["loop"] > 0
