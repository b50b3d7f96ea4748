"""Trainings for benchmarks: a method at the quick preset's size on noise instead of video."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from bench.config.names import GridPoint
from bench.config.presets import PRESETS
from bench.config.settings import AugmentConfig, TrainConfig
from bench.data.frame_table import FrameTable
from bench.training.loader import Loader
from bench.training.pixels import Pixels
from bench.training.sampler import Sampler, StreamKey
from bench.training.trainer import Trainer
from methods._base import Method, Task

QUICK = PRESETS["quick"].settings
CPU = torch.device("cpu")
AUS = 12


@dataclass(frozen=True)
class Video:
    """A recording of noise, every 20th frame a key frame."""

    images: np.ndarray
    """(N, S, S, 3) uint8."""
    labels: np.ndarray
    """(N, A) int8."""

    @property
    def keys(self) -> np.ndarray:
        return np.arange(0, len(self.images), 20)


def make_video(frames: int = 2000) -> Video:
    rng = np.random.default_rng(0)
    side = QUICK.data.size
    labels = rng.integers(0, 2, (frames, AUS)).astype(np.int8)
    return Video(rng.integers(0, 256, (frames, side, side, 3), dtype=np.uint8), labels)


def make_trainer(
    cls: type[Method], config: Method.Config | None = None, train: TrainConfig = QUICK.train
) -> Trainer:
    """A training of a method on the processor, ready for its first step."""
    video, config = make_video(), config or cls.Config()
    count = len(video.images)
    table = FrameTable(video.labels, np.zeros(count, np.int64), np.full(count, count - 1), None)
    sampler = Sampler(
        table,
        video.keys,
        np.arange(count),
        needs=cls.needs_for(config),
        data=QUICK.data,
        batch_size=train.batch_size,
        key=StreamKey("bench", GridPoint(ratio=0.05, fold=0, seed=0)),
    )
    task = Task(
        aus=tuple(range(1, AUS + 1)),
        image_size=QUICK.data.size,
        trunk=QUICK.trunk,
        positive_rates=(0.5,) * AUS,
        labelled_frames=len(video.keys),
        unlabelled_frames=len(sampler.unlabelled_rows),
        clip_len=sampler.needs.clip_len,
    )
    torch.manual_seed(0)
    method = cls(config, task).to(memory_format=torch.channels_last)
    loader = Loader(sampler, Pixels(video.images, CPU), AugmentConfig())
    return Trainer(method, loader, replace(train, amp="off"), CPU)
