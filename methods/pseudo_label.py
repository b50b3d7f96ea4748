"""Pseudo-label: the network's own hard labels on unlabelled frames (Lee, ICML workshop 2013).

L = wBCE(labelled) + a(t) wBCE(z, 1[sigma(z) >= .5]), z the logits of the unlabelled frames, their
labels made anew at every step and without gradient. Documentation: docs/methods/pseudo_label.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ._base import (
    Batch,
    Confidence,
    Method,
    MethodError,
    Needs,
    NonNegative,
    Progress,
    Range,
    SearchSpace,
    Share,
    Task,
    Variants,
)
from ._losses import AuLoss, Weighting, pseudo_labels
from ._nets import ImageClassifier, frozen_bn_stats


class PseudoLabel(Method):
    """The supervised control's network, taught by itself on the neighbours of key frames."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of Pseudo-label."""

        weighting: Weighting = "au"
        """Class balance of both terms: `au`, `none` or `pos_weight`."""
        dropout: Share = 0.0
        """Share of pooled features dropped before the linear layer, 0..1."""
        a_f: NonNegative = 1.0
        """Final weight of the pseudo-label term (Lee's alpha_f; Lee takes 3)."""
        t1: Share = 0.1
        """Share of the training before the term sets in, 0..1 (Lee's T1)."""
        t2: Share = 0.5
        """Share of the training at which it has its full weight, t1..1 (Lee's T2)."""
        threshold: Confidence | None = None
        """Least confidence max(s, 1 - s) of a pseudo label, 0.5..1; None = all are used."""
        batch_norm: Literal["joint", "separate"] = "joint"
        """`joint`: one forward over labelled and unlabelled frames; `separate`: the unlabelled
        ones by themselves, without moving BatchNorm's running statistics."""

        def __post_init__(self) -> None:
            if self.t1 > self.t2:
                raise MethodError(f"t1={self.t1} lies after t2={self.t2}: the ramp must end later")

    needs = Needs(clip_len=5, key="cyclic", unlabelled_ratio=4)
    search_space: ClassVar[SearchSpace] = {
        "a_f": Range(0.1, 3.0, log=True),
        "threshold": (None, 0.7, 0.8, 0.9, 0.95),
    }
    variants: ClassVar[Variants] = {
        "lee_weight": {"a_f": 3.0},
        "threshold": {"threshold": 0.95, "t1": 0.0, "t2": 0.4, "batch_norm": "separate"},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `pseudo` (0 until the ramp starts).

        Unlabelled frames pass the network only while they weigh something: up to `t1`, and
        wherever nothing is unlabelled, this is the supervised control bit for bit.
        """
        unlabelled, weight = batch.unlabelled.get("weak"), self.ramp(progress.fraction)
        if unlabelled is None or len(unlabelled) == 0 or weight == 0:
            au = self.au_loss(self.net(batch.key), batch.labels)
            pool = self.task.unlabelled_frames > 0
            return {"au": au, "pseudo": torch.zeros_like(au)} if pool else {"au": au}
        labelled_logits, unlabelled_logits = self._forward(batch.key, unlabelled)
        targets, used = pseudo_labels(unlabelled_logits, self.config.threshold)
        if progress.audit is not None:
            progress.audit(targets, used)
        pseudo = self.au_loss(unlabelled_logits, targets, reduction="none")
        au = self.au_loss(labelled_logits, batch.labels)
        return {"au": au, "pseudo": weight * (pseudo * used).mean()}

    def ramp(self, fraction: float) -> float:
        """Return a(t), t in shares of training: 0 to t1, linear to t2, then a_f (Lee eq. 16)."""
        t1, t2, a_f = self.config.t1, self.config.t2, self.config.a_f
        if fraction >= t2:
            return float(a_f)
        return float(a_f * (fraction - t1) / (t2 - t1)) if fraction > t1 else 0.0

    def _forward(self, key: Tensor, unlabelled: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.batch_norm == "joint":
            logits = self.net(torch.cat([key, unlabelled]))
            return logits[: len(key)], logits[len(key) :]
        labelled = self.net(key)
        with frozen_bn_stats(self.net):
            return labelled, self.net(unlabelled)

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F)."""
        return self.net.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self.net.head(features)
