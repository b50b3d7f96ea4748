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
    NonNegative,
    Progress,
    Range,
    SearchSpace,
    Share,
    Task,
    Variants,
)
from ._losses import AuLoss, Threshold, Weighting, fixmatch_loss, pseudo_labels
from ._nets import EMA, ImageClassifier


class FixMatch(Method):
    """The supervised control's network, consistent between a weak and a strong view."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        """Knobs of FixMatch."""

        weighting: Weighting = "au"
        """Class balance of the labelled term: `au`, `none` or `pos_weight`."""
        dropout: Share = 0.0
        """Share of pooled features dropped before the linear layer, 0..1."""
        tau: Confidence = 0.95
        """Least confidence max(s, 1 - s) of a pseudo label, 0.5..1."""
        tau_positive: Confidence | None = None
        """Another one for labels that say "present"; None = tau. Rare AUs seldom reach tau."""
        lambda_u: NonNegative = 1.0
        """Weight of the unlabelled term."""
        mask: Literal["element", "frame"] = "element"
        """What is accepted: each (frame, AU), or a frame only when all its AUs are confident."""
        mean_over: Literal["all", "accepted"] = "all"
        """What the unlabelled term is divided by: all elements (published), or the accepted."""
        weight_unlabelled: bool = False
        """Whether the weights of `weighting: au` also multiply the unlabelled term."""
        weak_forward: Literal["joint", "no_grad"] = "joint"
        """`joint`: labelled, weak and strong images in one forward, BatchNorm shared (published);
        `no_grad`: the weak view by itself without gradient, cheaper, with its own statistics."""
        inference: Literal["ema", "last"] = "ema"
        """Weights that predict: their moving average, or those of the last step."""
        ema_decay: Share = 0.999
        """Decay of the moving average a step, 0..1; min(decay, (1 + t)/(10 + t)) at step t."""

    needs = Needs(clip_len=5, key="cyclic", views=("weak", "strong"), unlabelled_ratio=4)
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
        # With nothing unlabelled this is the supervised control, which has no average.
        averaged = config.inference == "ema" and task.unlabelled_frames > 0
        self.average = EMA(self.net, config.ema_decay) if averaged else None

    @property
    def threshold(self) -> Threshold:
        """Least confidence of a (positive, negative) pseudo label."""
        positive, tau = self.config.tau_positive, self.config.tau
        return (tau if positive is None else positive, tau)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `fixmatch` (Sohn eq. 4).

        Metric `accepted`: the share of pseudo labels used.
        """
        weak, strong = batch.unlabelled.get("weak"), batch.unlabelled.get("strong")
        if weak is None or strong is None or len(weak) == 0:
            au = self.au_loss(self.net(batch.key), batch.labels)
            pool = self.task.unlabelled_frames > 0
            return {"au": au, "fixmatch": torch.zeros_like(au)} if pool else {"au": au}
        labelled_logits, weak_logits, strong_logits = self._forward(batch.key, weak, strong)
        targets, used = pseudo_labels(weak_logits, self.threshold, self.config.mask)
        if progress.audit is not None:
            progress.audit(targets, used)
        self.metrics = {"accepted": used.float().mean()}
        consistency = fixmatch_loss(
            weak_logits,
            strong_logits,
            self.threshold,
            self.au_loss.weights if self.config.weight_unlabelled else None,
            scope=self.config.mask,
            mean_over=self.config.mean_over,
        )
        au = self.au_loss(labelled_logits, batch.labels)
        return {"au": au, "fixmatch": self.config.lambda_u * consistency}

    def _forward(self, key: Tensor, weak: Tensor, strong: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sizes = [len(key), len(weak), len(strong)]
        if self.config.weak_forward == "joint":
            labelled, of_weak, of_strong = self.net(torch.cat([key, weak, strong])).split(sizes)
            return labelled, of_weak, of_strong
        with torch.no_grad():
            of_weak = self.net(weak)
        labelled, of_strong = self.net(torch.cat([key, strong])).split([sizes[0], sizes[2]])
        return labelled, of_weak, of_strong

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F), by the averaged weights where there are any."""
        return self._predictor.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self._predictor.head(features)

    @property
    def _predictor(self) -> ImageClassifier:
        network = self.net if self.average is None else self.average.network
        assert isinstance(network, ImageClassifier)
        return network

    def after_step(self, progress: Progress) -> None:
        """Move the averaged weights."""
        if self.average is not None:
            self.average.update(self.net, progress.step)
