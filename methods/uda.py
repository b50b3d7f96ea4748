"""UDA: soft, sharpened answers on a weak view teach a strong view (Xie et al., NeurIPS 2020).

L = TSA-masked wBCE(labelled) + lambda_u mean m CE(strong, sigma(weak / T)), m = 1 where the weak
view's own confidence reaches a threshold. Documentation: docs/methods/uda.md
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from ._base import (
    Batch,
    Confidence,
    Method,
    MethodError,
    Needs,
    Progress,
    Task,
    Temperature,
    Variants,
)
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

Annealing = Literal["none", "linear", "exp", "log"]
"""How the ceiling of training signal annealing rises; `none`: there is no ceiling."""


def uda_loss(
    weak: Tensor, strong: Tensor, threshold: float = 0.8, temperature: float = 0.4
) -> Tensor:
    """Return UDA's consistency loss between logits (N, A) of a weak and a strong view.

    L = 1/(N A) sum_ij m_ij BCE(strong_ij, sigma(weak_ij / T)), m_ij = 1[max(s, 1 - s) >= threshold]
    with s = sigma(weak) as it is, not sharpened; no gradient through the weak view. The published
    loss (Xie 2020) on N A two-class problems, its KL divergence as a
    cross-entropy, which has the same gradient. 0 where N is 0.
    """
    _, used = pseudo_labels(weak, threshold)
    return masked_consistency(strong, probabilities(weak / temperature), used)


def tsa_ceiling(annealing: Annealing, fraction: float) -> float:
    """Return the probability of the right answer above which a label is left out, 1/2..1.

    eta = 1/2 + a/2 for two classes; a = x, exp(5 (x - 1)) or 1 - exp(-5 x) at the fraction x of the
    training (Xie 2020, training signal annealing). Raises MethodError for another annealing.
    """
    if annealing == "none":
        return 1.0
    rise = {
        "linear": fraction,
        "exp": math.exp(5 * (fraction - 1)),
        "log": 1 - math.exp(-5 * fraction),
    }
    if annealing not in rise:
        known = ", ".join(get_args(Annealing))
        raise MethodError(f"tsa={annealing!r} is not a choice: it takes {known}")
    return 0.5 + 0.5 * rise[annealing]


class UDA(Method):
    """The supervised control's network, its strong view taught by a sharpened weak view."""

    @dataclass(frozen=True, kw_only=True)
    class Config(ConsistencyConfig):
        """Knobs of UDA."""

        threshold: Confidence = 0.8
        """Least confidence max(s, 1 - s) of an answer that teaches, 0.5..1."""
        temperature: Temperature = 0.4
        """Divisor of the weak view's logits: below 1 its answers become sharper."""
        tsa: Annealing = "none"
        """Training signal annealing: labels that are known already are left out, fewer and fewer of
        them as the training goes on; `none`: all labels count always."""

    variants: ClassVar[Variants] = {
        "tsa_linear": {"tsa": "linear"},
        "tsa_exp": {"tsa": "exp"},
        "tsa_log": {"tsa": "log"},
        "no_ema": {"inference": "last"},
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

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return `au` and, while there is an unlabelled pool, `uda` (`uda_loss`).

        Metric `accepted`: the share of answers that teach.
        """
        threshold, temperature = self.config.threshold, self.config.temperature
        logits = view_logits(self.net, batch)
        au = self.au_loss(
            logits.labelled,
            batch.labels,
            self._still_learnt(logits.labelled, batch.labels, progress),
        )
        self.metrics = report(progress, *pseudo_labels(logits.weak, threshold))
        consistency = uda_loss(logits.weak, logits.strong, threshold, temperature)
        return named_losses(self.task, au, uda=self.config.lambda_u * consistency)

    def _still_learnt(self, labelled: Tensor, labels: Tensor, progress: Progress) -> Tensor | None:
        """Return which labels (B, A) are not answered better than the ceiling; None = all count."""
        if self.config.tsa == "none":
            return None
        of_right = probabilities(torch.where(labels > 0, labelled, -labelled))
        return of_right <= tsa_ceiling(self.config.tsa, progress.fraction)

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
