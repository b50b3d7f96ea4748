"""SoftMatch: every pseudo label counts, by how confident it is for now (Chen et al., ICLR 2023).

FixMatch with a weight in the place of a threshold: a Gaussian of the confidence, whose mean and
variance follow those of the unlabelled frames. Documentation: docs/methods/softmatch.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn

from ._base import Batch, Method, Needs, Progress, Share, Task, Variants
from ._consistency import (
    ConsistencyConfig,
    average_of,
    masked_consistency,
    named_losses,
    pair_needs,
    predictor,
    probabilities,
    report,
    view_logits,
)
from ._losses import AuLoss, clamped_rates, pseudo_labels
from ._nets import ImageClassifier

_LEAST = 1e-6
"""Least probability, from either end, of a mean that is divided by."""


class SoftWeight(nn.Module):
    """Truncated Gaussian weights of confidences, AU by AU (Chen 2023).

    w = exp(-min(c - mu, 0)^2 n^2 / (2 var)), c = max(s, 1 - s); `mu` and `var` (A,) follow the mean
    and the (unbiased) variance of c over batches, and begin at 1/2 and 1.
    """

    mu: Tensor
    var: Tensor

    def __init__(self, aus: int, momentum: float, n_sigma: float):
        super().__init__()
        self.momentum, self.n_sigma = momentum, n_sigma
        self.register_buffer("mu", torch.full((aus,), 0.5, dtype=torch.float64))
        self.register_buffer("var", torch.ones(aus, dtype=torch.float64))

    @torch.no_grad()
    def weight(self, logits: Tensor) -> Tensor:
        """Return the weights (N, A) in 0..1 of logits (N, A).

        The state takes these logits in first; a single row has no variance, and leaves `var`.
        """
        positive = probabilities(logits)
        confidence = torch.maximum(positive, 1 - positive)
        if len(logits):
            self.mu.lerp_(confidence.mean(0).to(self.mu.dtype), 1 - self.momentum)
        if len(logits) > 1:
            self.var.lerp_(confidence.var(0).to(self.var.dtype), 1 - self.momentum)
        below = (confidence - self.mu).clamp(max=0)
        # the floor only keeps 0 / 0 out, where all confidences have been one and the same
        spread = (2 * self.var / self.n_sigma**2).clamp(min=1e-12)
        return torch.exp(-below.square() / spread).to(confidence.dtype)


class Alignment(nn.Module):
    """Moves logits so that their mean answer is the labelled frames' positive rate, AU by AU.

    p' is proportional to p r / m for "present" and to (1 - p) (1 - r) / (1 - m) for "absent", with
    m the running mean of p, which begins at r (Chen's uniform alignment, whose r is 1/2).
    """

    rates: Tensor
    mean: Tensor

    def __init__(self, task: Task, momentum: float):
        super().__init__()
        self.momentum = momentum
        rates = torch.tensor(task.positive_rates, dtype=torch.float64)
        rates = clamped_rates(rates, task.labelled_frames).clamp(_LEAST, 1 - _LEAST)
        self.register_buffer("rates", rates, persistent=False)
        self.register_buffer("mean", rates.clone())

    @torch.no_grad()
    def align(self, logits: Tensor) -> Tensor:
        """Return the moved logits (N, A); the running mean takes these in first."""
        if len(logits):
            self.mean.lerp_(probabilities(logits).mean(0).to(self.mean.dtype), 1 - self.momentum)
        shift = torch.logit(self.rates) - torch.logit(self.mean, eps=_LEAST)
        return logits.detach() + shift


class SoftMatch(Method):
    """FixMatch with weights in the place of a threshold."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ConsistencyConfig):
        """Knobs of SoftMatch."""

        momentum: Share = 0.999
        """Share of the running means that stays at each step, 0..1."""
        n_sigma: Annotated[float, Gt(0)] = 2.0
        """Divisor of the Gaussian's standard deviation, above 0: the higher, the fewer count."""
        align: Literal["none", "labelled"] = "none"
        """Whether weights are of answers aligned to the labelled positive rates."""

    variants: ClassVar[Variants] = {
        "aligned": {"align": "labelled"},
        "fast": {"momentum": 0.99},
        "no_ema": {"inference": "last"},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)
        self.average = average_of(self.net, config, task)
        pool, aligned = task.unlabelled_frames > 0, config.align == "labelled"
        aus = len(task.aus)
        self.soft = SoftWeight(aus, config.momentum, config.n_sigma) if pool else None
        self.alignment = Alignment(task, config.momentum) if pool and aligned else None

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the neighbours of key frames, each in a weak and a strong view."""
        return pair_needs(config.unlabelled_ratio)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `softmatch`.

        Metrics: `weight`, the mean weight of a pseudo label; `confidence`, the mean of `mu`.
        """
        logits = view_logits(self.net, batch)
        au = self.au_loss(logits.labelled, batch.labels)
        if self.soft is None:
            return named_losses(self.task, au)
        aligned = logits.weak if self.alignment is None else self.alignment.align(logits.weak)
        weights = self.soft.weight(aligned)
        targets, _ = pseudo_labels(logits.weak, None)
        report(progress, targets, torch.ones_like(targets, dtype=torch.bool))
        self.metrics = {"confidence": self.soft.mu.mean()}
        if len(weights):
            self.metrics["weight"] = weights.mean()
        consistency = masked_consistency(logits.strong, targets, weights)
        return named_losses(self.task, au, softmatch=self.config.lambda_u * consistency)

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
