"""FreeMatch: thresholds from the model's own mean confidence (Wang et al., ICLR 2023).

FixMatch with a threshold for each answer of each AU that begins at 1/2 and follows a running mean,
so that nothing is left to be set. Documentation: docs/methods/freematch.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ._base import Batch, Method, Needs, NonNegative, Progress, Share, Task, Variants
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
from ._losses import AuLoss, pseudo_labels
from ._nets import ImageClassifier


class FreeThreshold(nn.Module):
    """Self-adaptive thresholds of the answers "absent" and "present" of each AU (Wang 2023).

    Running means over batches, all begun at 1/2: `confidence` of max(s, 1 - s), `positive` of s,
    `answers` of 1[s >= 1/2]. The threshold of answer c is confidence p_c / max(p_0, p_1), with
    p = (1 - positive, positive).
    """

    confidence: Tensor
    """(A,) the global threshold of each AU."""
    positive: Tensor
    """(A,) mean probability of "present"."""
    answers: Tensor
    """(A,) share of the answer "present"."""

    def __init__(self, aus: int, momentum: float):
        super().__init__()
        self.momentum = momentum
        for name in ("confidence", "positive", "answers"):
            self.register_buffer(name, torch.full((aus,), 0.5, dtype=torch.float64))

    def thresholds(self) -> Tensor:
        """Return the least confidence (2, A) of the answers "absent" and "present"."""
        shares = torch.stack([1 - self.positive, self.positive])
        return self.confidence * shares / shares.amax(0)

    @torch.no_grad()
    def mask(self, logits: Tensor) -> Tensor:
        """Return which answers (N, A) of logits (N, A) reach their thresholds.

        The state takes these logits in first; none leave it as it is.
        """
        positive = probabilities(logits)
        confidence = torch.maximum(positive, 1 - positive)
        if len(logits):
            self._follow(self.confidence, confidence)
            self._follow(self.positive, positive)
            self._follow(self.answers, positive >= 0.5)
        absent, present = self.thresholds()
        return confidence >= torch.where(positive >= 0.5, present, absent)

    def _follow(self, mean: Tensor, values: Tensor) -> None:
        mean.lerp_(values.to(mean.dtype).mean(0), 1 - self.momentum)


def fairness_loss(strong: Tensor, used: Tensor, positive: Tensor, answers: Tensor) -> Tensor:
    """Return FreeMatch's self-adaptive fairness of strong logits (N, A), those of `used` elements.

    L = mean_j sum_c p_jc log q_jc over AUs j and answers c, with p proportional to the running mean
    probability over the running share of answers (`positive`, `answers`, (A,)), and q the same of
    the used strong views of the batch, each summing to 1: minus the cross-entropy of the two, as in
    the paper's "self-adaptive fairness" and the released code. An AU of which nothing is used
    counts 0; no gradient through p.
    """
    strong = strong.to(torch.promote_types(strong.dtype, torch.float32))
    used = used.to(strong.dtype)
    accepted = used.sum(0)
    s = torch.sigmoid(strong)
    mean = (s * used).sum(0) / accepted.clamp(min=1)
    share = ((s.detach() >= 0.5) * used).sum(0) / accepted.clamp(min=1)
    p = _normalised(positive.to(strong.dtype), answers.to(strong.dtype)).detach()
    q = _normalised(mean, share)
    return ((accepted > 0) * (p * torch.log(q + 1e-12)).sum(0)).mean()


def _normalised(mean: Tensor, share: Tensor) -> Tensor:
    """Return mean over share of both answers, (2, A), with sum 1; where a share is 0, so is it."""
    means, shares = torch.stack([1 - mean, mean]), torch.stack([1 - share, share])
    ratios = torch.where(shares > 0, means / shares.clamp(min=1e-12), 0.0)
    return ratios / ratios.sum(0).clamp(min=1e-12)


class FreeMatch(Method):
    """FixMatch with thresholds that need no setting."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ConsistencyConfig):
        """Knobs of FreeMatch."""

        momentum: Share = 0.999
        """Share of the running means that stays at each step, 0..1."""
        fairness: NonNegative = 0.0
        """Weight of the fairness term (published: 0.001 to 0.01)."""

    variants: ClassVar[Variants] = {
        "fair": {"fairness": 0.01},
        "fast": {"momentum": 0.99},
        "no_ema": {"inference": "last"},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)
        self.average = average_of(self.net, config, task)
        pool = task.unlabelled_frames > 0
        self.threshold = FreeThreshold(len(task.aus), config.momentum) if pool else None

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the neighbours of key frames, each in a weak and a strong view."""
        return pair_needs(config.unlabelled_ratio)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `freematch`, and `fairness` if asked.

        Metrics: `accepted`, the share of pseudo labels used; `threshold`, the mean of all.
        """
        logits = view_logits(self.net, batch)
        au = self.au_loss(logits.labelled, batch.labels)
        if self.threshold is None:
            return named_losses(self.task, au)
        used = self.threshold.mask(logits.weak)
        targets, _ = pseudo_labels(logits.weak, None)
        self.metrics = {"threshold": self.threshold.thresholds().mean()}
        self.metrics |= report(progress, targets, used)
        terms = {
            "freematch": self.config.lambda_u * masked_consistency(logits.strong, targets, used)
        }
        if self.config.fairness:
            state = self.threshold
            fairness = fairness_loss(logits.strong, used, state.positive, state.answers)
            terms["fairness"] = self.config.fairness * fairness
        return named_losses(self.task, au, **terms)

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
