"""FlexMatch: thresholds that follow how well each class is learnt (Zhang et al., NeurIPS 2021).

FixMatch with a threshold for each answer, "present" or "absent" of each AU: the fewer unlabelled
frames are confidently given it, the lower. Documentation: docs/methods/flexmatch.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ._base import Batch, Confidence, Method, Needs, Progress, Task, Variants, check_choice
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

Mapping = Literal["convex", "linear", "concave", "low_limit"]
"""M(a) of the threshold cutoff M(a): a / (2 - a), a, ln(1 + a) / ln 2, or 1 / (2 - a)."""


class FlexThreshold(nn.Module):
    """Per-AU thresholds from the confident answers on all unlabelled frames (Zhang 2021).

    It remembers, for each unlabelled frame and AU, the last answer whose confidence reached
    `cutoff`. An answer c of AU j with n_jc frames has the share a_jc = n_jc / max_c n_jc (with
    `warmup`, frames without a confident answer count as a further c in that maximum), and the
    threshold cutoff M(a_jc).
    """

    last: Tensor
    """(P, A) int8: the last confident answer, 0 or 1; -1 = none yet."""

    def __init__(
        self,
        aus: int,
        unlabelled: int,
        cutoff: float,
        *,
        mapping: Mapping = "convex",
        warmup: bool = True,
    ):
        super().__init__()
        check_choice("mapping", mapping, Mapping)
        self.cutoff, self.mapping, self.warmup = cutoff, mapping, warmup
        self.register_buffer("last", torch.full((unlabelled, aus), -1, dtype=torch.int8))

    def thresholds(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the least confidence (2, A) of the answers "absent" and "present"."""
        counts = torch.stack([(self.last == answer).sum(0) for answer in (0, 1)]).to(dtype)
        most = counts.amax(0)
        if self.warmup:
            most = torch.maximum(most, len(self.last) - counts.sum(0))
        share = counts / most.clamp(min=1)
        if self.mapping == "convex":
            share = share / (2 - share)
        elif self.mapping == "concave":
            share = torch.log1p(share) / math.log(2)
        elif self.mapping == "low_limit":
            share = 1 / (2 - share)
        return self.cutoff * share

    @torch.no_grad()
    def mask(self, logits: Tensor, ids: Tensor) -> Tensor:
        """Return which answers (N, A) of logits (N, A) reach their thresholds, and remember them.

        The thresholds are those of the state before this call. `ids` (N,) number the frames,
        0..P-1; rows of -1 are not remembered. Where a frame comes twice, its later row is.
        """
        positive = probabilities(logits)
        answers = (positive >= 0.5).to(self.last.dtype)
        confidence = torch.maximum(positive, 1 - positive)
        absent, present = self.thresholds(confidence.dtype)
        used = confidence >= torch.where(answers > 0, present, absent)
        remembered = (confidence >= self.cutoff) & (ids >= 0)[:, None]
        self._remember(answers, remembered, ids.clamp(min=0))
        return used

    def _remember(self, answers: Tensor, confident: Tensor, ids: Tensor) -> None:
        # Row numbers instead of an indexed assignment: its outcome is left open where a frame comes
        # twice, and a selection of rows would have to wait for the device.
        rows = torch.arange(len(ids), device=ids.device)[:, None].where(confident, -1)
        latest = torch.full(self.last.shape, -1, dtype=rows.dtype, device=rows.device)
        latest = latest.scatter_reduce(0, ids[:, None].expand_as(rows), rows, "amax")
        if len(ids):
            self.last = torch.where(latest >= 0, answers.gather(0, latest.clamp(min=0)), self.last)


class FlexMatch(Method):
    """FixMatch with a threshold for each answer of each AU."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ConsistencyConfig):
        """Knobs of FlexMatch."""

        cutoff: Confidence = 0.95
        """Confidence from which an answer is remembered, and the highest threshold, 0.5..1."""
        mapping: Mapping = "convex"
        """From an answer's share to its part of the cutoff: `convex` (published), `linear`,
        `concave`, or `low_limit`, which never goes below half of it."""
        warmup: bool = True
        """Whether frames without a confident answer hold all thresholds down (published)."""

    variants: ClassVar[Variants] = {
        "linear": {"mapping": "linear"},
        "concave": {"mapping": "concave"},
        "low_limit": {"mapping": "low_limit"},
        "no_warmup": {"warmup": False},
        "no_ema": {"inference": "last"},
    }

    def __init__(self, config: Config, task: Task):
        super().__init__(config, task)
        self.net = ImageClassifier(task, config.dropout)
        self.au_loss = AuLoss(task, config.weighting)
        self.average = average_of(self.net, config, task)
        self.threshold = (
            FlexThreshold(
                len(task.aus),
                task.unlabelled_frames,
                config.cutoff,
                mapping=config.mapping,
                warmup=config.warmup,
            )
            if task.unlabelled_frames
            else None
        )

    @classmethod
    def needs_for(cls, config: Config) -> Needs:
        """Return the neighbours of key frames, each in a weak and a strong view."""
        return pair_needs(config.unlabelled_ratio)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `flexmatch`.

        Metrics: `accepted`, the share of pseudo labels used; `threshold`, the mean of all.
        """
        logits = view_logits(self.net, batch)
        au = self.au_loss(logits.labelled, batch.labels)
        if self.threshold is None or batch.ids is None:
            return named_losses(self.task, au, flexmatch=torch.zeros_like(au))
        mean_threshold = self.threshold.thresholds().mean()
        targets, _ = pseudo_labels(logits.weak, None)
        used = self.threshold.mask(logits.weak, batch.ids)
        self.metrics = report(progress, targets, used) | {"threshold": mean_threshold}
        consistency = masked_consistency(logits.strong, targets, used)
        return named_losses(self.task, au, flexmatch=self.config.lambda_u * consistency)

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
