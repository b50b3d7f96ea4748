"""Networks that methods share: the image classifier, and the running average of a network.

Shapes: N images, F features of the trunk, A action units, T frames of a clip.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ._base import Task
from ._trunks import ImageTrunk, build_trunk

__all__ = [
    "EMA",
    "ImageClassifier",
    "ImageTrunk",
    "WeightAverage",
    "build_trunk",
    "fixed_statistics",
    "frozen_bn_stats",
]


class ImageClassifier(nn.Module):
    """Trunk, global average pooling, Linear(F, A): one image -> logits of every AU.

    Methods that compare at 100 % labels share it whole, so that they draw the same weights.
    """

    def __init__(self, task: Task, dropout: float = 0.0):
        super().__init__()
        self.trunk = build_trunk(task.trunk, task.image_size)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.trunk.num_features, len(task.aus))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode images (N, 3, H, W) -> (N, F)."""
        features: Tensor = self.trunk(frames)
        return features

    def head(self, features: Tensor) -> Tensor:
        """Classify features of clips (B, T, F) by their middle frame -> logits (B, A)."""
        logits: Tensor = self.fc(self.dropout(features[:, features.shape[1] // 2]))
        return logits

    def forward(self, frames: Tensor) -> Tensor:
        """Classify images (N, 3, H, W) -> logits (N, A)."""
        return self.head(self.encode(frames).unsqueeze(1))


class EMA(nn.Module):
    """A network whose weights are the exponential moving average of another's; always in eval mode.

    v <- d v + (1 - d) w after step t, d = min(decay, (1 + t)/(10 + t)): a plain mean at first, so
    that a short training is not judged by its random start. Buffers (BatchNorm statistics) are
    copied, as in the published FixMatch.
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False)
        self._pairs: tuple[tuple[Tensor, ...], ...] | None = None
        self.train()

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._pairs = None  # a move to a device makes other tensors of buffers
        return super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> EMA:  # noqa: ARG002, FBT001, FBT002 (nn.Module's)
        """Stay in eval mode: an average is looked at, never trained."""
        return super().train(mode=False)

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Move towards `source` after optimiser step `step` (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        if self._pairs is None:  # to walk through all modules takes as long as the arithmetic
            networks = self.network, source
            self._pairs = (
                *(tuple(network.parameters()) for network in networks),
                *(tuple(network.buffers()) for network in networks),
            )
        ours, theirs, our_buffers, their_buffers = self._pairs
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        if our_buffers:
            torch._foreach_copy_(our_buffers, their_buffers)


@contextmanager
def frozen_bn_stats(network: nn.Module) -> Iterator[None]:
    """Leave BatchNorm's running statistics alone inside; batches still normalise by their own."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


# What plugins written before these had their usual names import.
WeightAverage = EMA
fixed_statistics = frozen_bn_stats
