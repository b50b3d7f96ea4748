"""Losses that methods share, as pure functions of tensors in any float type, with equations.

What one method alone needs lies beside it (`_ks.py`, `_tcl.py`, `_eac.py`), so that a change of it
changes no other method's identity.

Shapes: N rows (key frames, unlabelled frames or clips), A action units. Unless an argument says
otherwise a loss is the mean over rows and AUs; a target of -1 (not coded) leaves both the sum and
the count, and where nothing is coded the loss is a zero that still carries a (zero) gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 (the name that the whole field writes)
from torch import Tensor, nn

from ._base import Task, check_choice

Weighting = Literal["au", "none", "pos_weight"]
"""Class balance: w_j on both terms of an AU's BCE; nothing; or (1-r_j)/r_j on the positive term."""

Reduction = Literal["mean", "au_sum", "none"]
"""Mean over rows and AUs; mean over rows of the sum over AUs; or elementwise (N, A)."""

Scope = Literal["element", "frame"]
"""What is trusted or not: each (frame, AU), or a frame whole."""

Pool = Literal["all", "accepted"]
"""What FixMatch's sum is divided by: all elements, or those it accepts."""

Threshold = float | tuple[float, float]
"""Least confidence of a pseudo label; as a pair: of a positive one, of a negative one."""


def au_weights(labels: Tensor) -> Tensor:
    """Return class weights (A,) of labels (N, A) in {1, 0, -1}; they sum to A.

    w_j = A (1/r_j) / sum_i (1/r_i), r_j = positives of AU j / frames that code it, not under 1/N
    (JAA-Net's weights, over labelled frames only).
    """
    coded = (labels >= 0).sum(0)
    positives = (labels > 0).sum(0)
    dtype = labels.dtype if labels.is_floating_point() else torch.get_default_dtype()
    return weights_from_rates(positives.to(dtype) / coded, len(labels))


def weights_from_rates(rates: Tensor, labelled: int) -> Tensor:
    """Return the weights of `au_weights` from positive rates (A,) over `labelled` frames.

    A rate of nan marks an AU that no frame codes: it counts with the mean rate of the others, so
    that it moves their weights as little as it can.
    """
    inverse = 1 / clamped_rates(rates, labelled)
    return inverse / inverse.mean()


def clamped_rates(rates: Tensor, labelled: int) -> Tensor:
    """Return rates (A,) with nan replaced by the mean of the others and none below 1/labelled."""
    known = torch.nan_to_num(rates.nanmean(), nan=0.5)
    filled = torch.where(rates.isnan(), known, rates)
    return filled.clamp(min=1 / max(1, labelled))


def weighted_bce(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    mask: Tensor | None = None,
    *,
    pos_weight: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Return the binary cross-entropy of logits (N, A) against targets (N, A) in [0, 1] or -1.

    L = -1/|V| sum_{(i,j) in V} w_j [p_j y_ij log s_ij + (1 - y_ij) log(1 - s_ij)], s = sigma(z),
    with V the elements coded (y_ij >= 0) and, given a `mask` that broadcasts to (N, A), allowed by
    it; w = `weights` (A,), p = `pos_weight` (A,), each 1 where None. "au_sum" is A times the mean;
    "none" is elementwise, zero outside V. (KS eq. 3, with its minus sign restored.) Raises
    MethodError for another reduction.
    """
    check_choice("reduction", reduction, Reduction)
    valid = targets >= 0
    if mask is not None:
        valid = valid & mask.bool()
    losses = valid * F.binary_cross_entropy_with_logits(
        logits, targets.clamp(min=0), weight=weights, pos_weight=pos_weight, reduction="none"
    )
    if reduction == "none":
        return losses
    mean = losses.sum() / valid.sum().clamp(min=1)
    return mean * logits.shape[1] if reduction == "au_sum" else mean


def pseudo_labels(
    logits: Tensor, threshold: Threshold | None, scope: Scope = "element"
) -> tuple[Tensor, Tensor]:
    """Turn logits (N, A) into hard targets (N, A) in {0, 1} and a bool (N, A) of those to trust.

    t = 1[s >= .5], trusted where max(s, 1 - s) >= threshold, s = sigma(z) without gradient; with a
    pair of thresholds the first asks of positives and the second of negatives. Scope "frame" trusts
    a frame's labels only if it trusts all of them. Raises MethodError for another scope.
    """
    check_choice("scope", scope, Scope)
    logits = logits.detach()
    positive = torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))
    targets = positive >= 0.5
    if threshold is None:
        return targets.to(positive.dtype), torch.ones_like(targets)
    of_positive, of_negative = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    used = torch.where(targets, positive >= of_positive, 1 - positive >= of_negative)
    if scope == "frame":
        used = used.all(1, keepdim=True).expand_as(used)
    return targets.to(positive.dtype), used


def fixmatch_loss(
    weak: Tensor,
    strong: Tensor,
    threshold: Threshold,
    weights: Tensor | None = None,
    *,
    scope: Scope = "element",
    mean_over: Pool = "all",
) -> Tensor:
    """Return FixMatch's consistency loss between logits (N, A) of a weak and a strong view.

    L = 1/(N A) sum_ij m_ij w_j BCE(strong_ij, 1[s_ij >= .5]), m_ij = 1[max(s, 1-s) >= threshold],
    s = sigma(weak) without gradient: the published loss (Sohn 2020, eq. 4) on N A two-class
    problems.
    `mean_over` "accepted" divides by sum_ij m_ij instead of N A. Raises MethodError for another
    scope or `mean_over`.
    """
    check_choice("mean_over", mean_over, Pool)
    targets, used = pseudo_labels(weak, threshold, scope)
    if mean_over == "accepted":
        return weighted_bce(strong, targets, weights, used)
    return weighted_bce(strong, targets, weights, used, reduction="none").sum() / max(
        1, used.numel()
    )


class AuLoss(nn.Module):
    """`weighted_bce` with the class balance of one task, taken from its labelled frames only."""

    weights: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, task: Task, weighting: Weighting):
        super().__init__()
        rates = torch.tensor(task.positive_rates, dtype=torch.float64)
        weights = weights_from_rates(rates, task.labelled_frames).float()
        rates = clamped_rates(rates, task.labelled_frames)
        pos_weight = ((1 - rates) / rates).float()
        # Not persistent: they follow from the task, and a checkpoint must not bring back others.
        self.register_buffer("weights", weights if weighting == "au" else None, persistent=False)
        self.register_buffer(
            "pos_weight", pos_weight if weighting == "pos_weight" else None, persistent=False
        )

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Return the loss of logits (N, A) against targets (N, A), as `weighted_bce` defines it."""
        return weighted_bce(
            logits, targets, self.weights, mask, pos_weight=self.pos_weight, reduction=reduction
        )
