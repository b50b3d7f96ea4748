"""A frame table, pixels and a tiny method, to run the loop on without a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.config.names import GridPoint
from bench.config.settings import AugmentConfig, DataConfig, TrainConfig
from bench.data.frame_table import FrameTable
from bench.training.loader import HiddenLabels, Loader
from bench.training.pixels import Pixels
from bench.training.sampler import Sampler, StreamKey
from bench.training.trainer import Trainer
from methods._base import Batch, Method, Needs, Progress, Task, Trunk

SIDE, AUS = 16, 3
LENGTHS = (20, 9, 30)
KEYS = np.array([0, 10, 20, 29, 39, 49])
STREAM_KEY = StreamKey("toy", GridPoint(ratio=0.1, fold=0, seed=0))
CPU = torch.device("cpu")
TASK = Task(
    aus=(1, 2, 4),
    image_size=SIDE,
    trunk=Trunk(),
    positive_rates=(0.5, 0.2, 0.4),
    labelled_frames=len(KEYS),
    unlabelled_frames=40,
    clip_len=5,
)


def hidden(labels: np.ndarray) -> HiddenLabels:
    """True labels (N, A) of the first N rows."""
    return HiddenLabels(labels, np.arange(len(labels)))


class Toy(Method):
    """One linear layer on the mean colour, with dropout, so that a random stream is in play."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """No knobs."""

    needs = Needs(clip_len=5, key="cyclic", views=("weak", "strong"), unlabelled_ratio=4)

    def __init__(self, config: Any, task: Task, explode_at: int | None = None):
        super().__init__(config, task)
        self.norm, self.fc = nn.BatchNorm1d(3), nn.Linear(3, len(task.aus))
        self.dropout = nn.Dropout(0.3)
        self.explode_at = explode_at
        self.steps_seen: list[int] = []

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        logits = self._logits(torch.cat([batch.key, batch.unlabelled["weak"]]))
        targets = (logits[len(batch.key) :] > 0).float()
        if progress.audit:
            progress.audit(targets, torch.ones_like(targets, dtype=torch.bool))
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits[: len(batch.key)], batch.labels.clamp(min=0)
        )
        if self.explode_at == progress.step:
            loss = loss * float("nan")
        self.metrics = {"mean_logit": logits.mean()}
        return {"au": loss, "extra": 0.01 * logits.square().mean()}

    def _logits(self, frames: Tensor) -> Tensor:
        return self.fc(self.dropout(self.norm(frames.mean(dim=(2, 3)))))

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:
        return frames.mean(dim=(2, 3))

    def head(self, features: Tensor) -> Tensor:
        return self.fc(self.norm(features[:, features.shape[1] // 2]))

    def after_step(self, progress: Progress) -> None:
        self.steps_seen.append(progress.step)


def table(seed: int = 0) -> FrameTable:
    starts = np.cumsum([0, *LENGTHS[:-1]])
    first = np.repeat(starts, LENGTHS)
    last = np.repeat(starts + np.array(LENGTHS) - 1, LENGTHS)
    labels = np.random.default_rng(seed).integers(0, 2, (sum(LENGTHS), AUS)).astype(np.int8)
    return FrameTable(labels, first, last, None)


def pixels(seed: int = 0) -> Pixels:
    rng = np.random.default_rng(seed)
    return Pixels(rng.integers(0, 256, (sum(LENGTHS), SIDE, SIDE, 3), dtype=np.uint8), CPU)


def loader(frames: FrameTable | None = None, needs: Needs = Toy.needs, batch: int = 4) -> Loader:
    frames = frames or table()
    sampler = Sampler(
        frames,
        KEYS,
        np.arange(len(frames.labels)),
        needs=needs,
        data=DataConfig(size=SIDE),
        batch_size=batch,
        key=STREAM_KEY,
    )
    return Loader(sampler, pixels(), AugmentConfig())


def trainer(
    method: Method | None = None, frames: FrameTable | None = None, **knobs: Any
) -> Trainer:
    torch.manual_seed(1)
    method = method or Toy(Toy.Config(), TASK)
    torch.manual_seed(2)
    config = TrainConfig(**{"optimiser": "adamw", "lr": 0.01, "steps": 30, **knobs})
    return Trainer(method, loader(frames), config, CPU)
