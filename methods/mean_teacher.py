"""Mean Teacher: a student agrees with the running average of itself (Tarvainen & Valpola 2017).

L = wBCE(labelled) + w(t) mean (sigma(student) - sigma(teacher))^2 over unlabelled frames and AUs,
student and teacher each seeing a weak view of its own. Documentation: docs/methods/mean_teacher.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ._base import (
    Batch,
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
from ._consistency import (
    ConsistencyConfig,
    has_unlabelled,
    named_losses,
    pair_needs,
    predictor,
    report,
)
from ._losses import AuLoss, pseudo_labels
from ._nets import EMA, ImageClassifier, frozen_bn_stats


def mean_teacher_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of the probabilities of logits (N, A).

    L = 1/(N A) sum (sigma(student) - sigma(teacher))^2, the teacher without gradient: the published
    squared error between softmax vectors, averaged over classes, on N A two-class problems
    (Tarvainen & Valpola 2017, section 2). Nothing costs nothing: 0 where N is 0.
    """
    difference = torch.sigmoid(student) - torch.sigmoid(teacher.detach())
    return difference.square().sum() / max(1, difference.numel())


class MeanTeacher(Method):
    """The supervised control's network as a student, and its average as teacher and predictor."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ConsistencyConfig):
        """Knobs of Mean Teacher."""

        lambda_u: NonNegative = 50.0
        """Final weight of the unlabelled term."""
        ramp: Share = 0.4
        """Share of the training over which that weight grows from 0, 0..1."""
        ramp_form: Literal["linear", "sigmoid"] = "linear"
        """How it grows, x in 0..1: x, or the paper's exp(-5 (1 - x)^2)."""

    search_space: ClassVar[SearchSpace] = {"lambda_u": Range(5.0, 200.0, log=True)}
    variants: ClassVar[Variants] = {
        "sigmoid_ramp": {"ramp_form": "sigmoid"},
        "student": {"inference": "last"},
        "no_consistency": {"lambda_u": 0.0},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)
        # With nothing unlabelled there is nothing to teach: this is the supervised control.
        self.teacher = EMA(self.net, config.ema_decay) if task.unlabelled_frames else None

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the neighbours of key frames in two independent weak views."""
        return pair_needs(config.unlabelled_ratio, ("weak", "weak2"))

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `consistency`."""
        au = self.au_loss(self.net(batch.key), batch.labels)
        if self.teacher is None or not has_unlabelled(batch):
            return named_losses(self.task, au, consistency=torch.zeros_like(au))
        with torch.no_grad():
            believed = self.teacher.network(batch.unlabelled["weak"])
        with frozen_bn_stats(self.net):
            said = self.net(batch.unlabelled["weak2"])
        report(progress, *pseudo_labels(believed, None))
        weight = self.config.lambda_u * self.ramp(progress.fraction)
        return named_losses(self.task, au, consistency=weight * mean_teacher_loss(said, believed))

    def ramp(self, fraction: float) -> float:
        """Return the share of the final weight at `fraction` of the training, 0..1."""
        done = min(1.0, fraction / self.config.ramp) if self.config.ramp else 1.0
        return done if self.config.ramp_form == "linear" else math.exp(-5 * (1 - done) ** 2)

    def encode(self, frames: Tensor, landmarks: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Encode frames (N, 3, H, W) -> (N, F), by the teacher unless `inference` is `last`."""
        return self._predictor.encode(frames)

    def head(self, features: Tensor) -> Tensor:
        """Classify the middle frame of clips (B, T, F) -> logits (B, A)."""
        return self._predictor.head(features)

    @property
    def _predictor(self) -> ImageClassifier:
        return predictor(self.net, self.teacher if self.config.inference == "ema" else None)

    def after_step(self, progress: Progress) -> None:
        """Move the teacher."""
        if self.teacher is not None:
            self.teacher.update(self.net, progress.step)
