"""Frames a second of the loop next to a bare loop of the same trunk on the same tensors."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from bench.config.names import GridPoint
from bench.config.presets import PRESETS
from bench.config.settings import AugmentConfig
from bench.data.frame_table import FrameTable
from bench.training.loader import Loader
from bench.training.optimiser import make_optimiser
from bench.training.pixels import Pixels
from bench.training.sampler import Sampler, StreamKey
from bench.training.trainer import Trainer
from methods._base import Task
from methods.fixmatch import FixMatch
from methods.supervised import Supervised

QUICK = PRESETS["quick"].settings
CPU = torch.device("cpu")
AUS = 12


def video(frames: int = 2000) -> tuple[FrameTable, Pixels]:
    rng = np.random.default_rng(0)
    side = QUICK.data.size
    labels = rng.integers(0, 2, (frames, AUS)).astype(np.int8)
    first, last = np.zeros(frames, np.int64), np.full(frames, frames - 1)
    images = rng.integers(0, 256, (frames, side, side, 3), dtype=np.uint8)
    return FrameTable(labels, first, last, None), Pixels(images, CPU)


def make_trainer(cls) -> Trainer:
    table, pixels = video()
    keys = np.arange(0, 2000, 20)
    key = StreamKey("bench", GridPoint(ratio=0.05, fold=0, seed=0))
    sampler = Sampler(
        table,
        keys,
        np.arange(2000),
        needs=cls.needs,
        data=QUICK.data,
        batch_size=QUICK.train.batch_size,
        key=key,
    )
    task = Task(
        aus=tuple(range(1, AUS + 1)),
        image_size=QUICK.data.size,
        trunk=QUICK.trunk,
        positive_rates=(0.5,) * AUS,
        labelled_frames=len(keys),
        unlabelled_frames=len(sampler.unlabelled_rows),
        clip_len=cls.needs.clip_len,
    )
    method = cls(cls.Config(), task).to(memory_format=torch.channels_last)
    return Trainer(method, Loader(sampler, pixels, AugmentConfig()), QUICK.train, CPU)


class Bare:
    """Forward, loss, backward, step on one constant batch of as many frames: nothing else."""

    def __init__(self, trainer: Trainer):
        self.net = trainer.method.net
        self.optimiser = make_optimiser(trainer.method, QUICK.train)
        batch, _ = trainer.loader.batch(0)
        parts = [batch.key, *batch.unlabelled.values()]
        self.frames = torch.cat(parts).contiguous(memory_format=torch.channels_last)
        self.labels = batch.labels.repeat(-(-len(self.frames) // len(batch.labels)), 1)
        self.labels = self.labels[: len(self.frames)]

    def step(self) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            self.net(self.frames), self.labels
        )
        loss.backward()
        self.optimiser.step()


@pytest.mark.parametrize("cls", [Supervised, FixMatch])
@pytest.mark.parametrize("kind", ["loop", "bare"])
def test_a_training_step(benchmark, cls, kind):
    torch.set_num_threads(1)
    trainer = make_trainer(cls)
    step = trainer._one_step if kind == "loop" else Bare(trainer).step
    benchmark.group = f"training step, {cls.__name__}"
    benchmark.extra_info["frames"] = trainer.loader.sampler.frames_per_step()
    benchmark.pedantic(step, rounds=20, warmup_rounds=3)


@pytest.mark.parametrize("cls", [Supervised, FixMatch])
def test_the_loop_s_share_of_a_bare_loop(benchmark, cls):
    """Steps in turn, by processor time, so that neighbours on the machine fall out of the ratio."""
    torch.set_num_threads(1)
    trainer = make_trainer(cls)
    bare, seconds = Bare(trainer), {"loop": [], "bare": []}

    def pair():
        for kind, step in (("loop", trainer._one_step), ("bare", bare.step)):
            began = time.process_time()
            step()
            seconds[kind].append(time.process_time() - began)

    benchmark.pedantic(pair, rounds=30, warmup_rounds=3)
    medians = {kind: float(np.median(values)) for kind, values in seconds.items()}
    benchmark.extra_info["ratio"] = medians["bare"] / medians["loop"]
    assert medians["loop"] > 0
