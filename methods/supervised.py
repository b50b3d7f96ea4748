"""Supervised control: a trunk and a linear layer, trained on the labelled frames alone.

The control that every ratio of every comparison stands on (methods.md 0.11): the network and the
loss of the image-level methods, and nothing else. Documentation: docs/methods/supervised.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ._base import Batch, Method, Needs, Progress, Range, SearchSpace, Share, Task, Variants
from ._losses import AuLoss, Weighting
from ._nets import ImageClassifier


class Supervised(Method):
    """One frame at a time: trunk -> global average pooling -> Linear(F, A), weighted BCE."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of the supervised control."""

        weighting: Weighting = "au"
        """Class balance: `au` (inverse positive rate, both terms), `none`, or `pos_weight`."""
        dropout: Share = 0.0
        """Share of pooled features dropped before the linear layer, 0..1."""

    needs = Needs(clip_len=1)
    search_space: ClassVar[SearchSpace] = {"dropout": Range(0.0, 0.5)}
    variants: ClassVar[Variants] = {
        "unweighted": {"weighting": "none"},
        "pos_weight": {"weighting": "pos_weight"},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:  # noqa: ARG002
        """Return `au`: the weighted BCE of the key frames (KS eq. 3)."""
        return {"au": self.au_loss(self.net(batch.key), batch.labels)}

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F)."""
        return self.net.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self.net.head(features)
