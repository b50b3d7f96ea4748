"""FixMatch: confident labels from a weak view teach a strong view (Sohn et al., NeurIPS 2020).

Read for many labels at once: every (frame, AU) is a two-class problem of its own, so that confident
AUs of a frame are used whether or not its others are. Documentation: docs/methods/fixmatch.md
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
    Needs,
    Progress,
    Range,
    SearchSpace,
    Task,
    Variants,
)
from ._consistency import (
    ConsistencyConfig,
    ViewLogits,
    average_of,
    has_unlabelled,
    named_losses,
    pair_needs,
    predictor,
    report,
    view_logits,
)
from ._losses import AuLoss, Threshold, fixmatch_loss, pseudo_labels
from ._nets import ImageClassifier


class FixMatch(Method):
    """The supervised control's network, consistent between a weak and a strong view."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ConsistencyConfig):
        """Knobs of FixMatch."""

        tau: Confidence = 0.95
        """Least confidence max(s, 1 - s) of a pseudo label, 0.5..1."""
        tau_positive: Confidence | None = None
        """Another one for labels that say "present"; None = tau. Rare AUs seldom reach tau."""
        mask: Literal["element", "frame"] = "element"
        """What is accepted: each (frame, AU), or a frame only when all its AUs are confident."""
        mean_over: Literal["all", "accepted"] = "all"
        """What the unlabelled term is divided by: all elements (published), or the accepted."""
        weight_unlabelled: bool = False
        """Whether the weights of `weighting: au` also multiply the unlabelled term."""
        weak_forward: Literal["joint", "no_grad"] = "joint"
        """`joint`: labelled, weak and strong images in one forward, BatchNorm shared (published);
        `no_grad`: the weak view by itself without gradient, cheaper, with its own statistics."""

    search_space: ClassVar[SearchSpace] = {
        "tau": Range(0.7, 0.99),
        "lambda_u": Range(0.1, 10.0, log=True),
    }
    variants: ClassVar[Variants] = {
        "no_ema": {"inference": "last"},
        "two_sided": {"tau_positive": 0.8},
        "frame_mask": {"mask": "frame"},
        "masked_mean": {"mean_over": "accepted"},
        "imagenet_scale": {"tau": 0.7, "lambda_u": 10.0},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)
        self.average = average_of(self.net, config, task)

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the neighbours of key frames, each in a weak and a strong view."""
        return pair_needs(config.unlabelled_ratio)

    @property
    def threshold(self) -> Threshold:
        """Least confidence of a (positive, negative) pseudo label."""
        positive, tau = self.config.tau_positive, self.config.tau
        return (tau if positive is None else positive, tau)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `fixmatch` (Sohn eq. 4).

        Metric `accepted`: the share of pseudo labels used.
        """
        logits = self._forward(batch)
        targets, used = pseudo_labels(logits.weak, self.threshold, self.config.mask)
        self.metrics = report(progress, targets, used)
        consistency = fixmatch_loss(
            logits.weak,
            logits.strong,
            self.threshold,
            self.au_loss.weights if self.config.weight_unlabelled else None,
            scope=self.config.mask,
            mean_over=self.config.mean_over,
        )
        au = self.au_loss(logits.labelled, batch.labels)
        return named_losses(self.task, au, fixmatch=self.config.lambda_u * consistency)

    def _forward(self, batch: Batch) -> ViewLogits:
        if self.config.weak_forward == "joint" or not has_unlabelled(batch):
            return view_logits(self.net, batch)
        weak, strong = batch.unlabelled["weak"], batch.unlabelled["strong"]
        with torch.no_grad():
            of_weak = self.net(weak)
        both = self.net(torch.cat([batch.key, strong]))
        labelled, of_strong = both.split([len(batch.key), len(strong)])
        return ViewLogits(labelled, of_weak, of_strong)

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F), by the averaged weights where there are any."""
        return predictor(self.net, self.average).encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return predictor(self.net, self.average).head(features)

    def after_step(self, progress: Progress) -> None:
        """Move the averaged weights."""
        if self.average is not None:
            self.average.update(self.net, progress.step)
