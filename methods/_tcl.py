"""Contrasts of TCL: between two views of clips, and between groups of clips.

Shapes: N clips, A action units, D features.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ._base import check_choice

Representation = Literal["bern", "sigma", "signed", "softmax"]
"""Class vector of many labels: [s, 1 - s], s, 2 s - 1 (s = sigma(z)), or a softmax over AUs."""

Grouping = Literal["au", "pattern", "argmax"]
"""Who forms a group: clips with an AU present, with equal AU patterns, or with the same top AU."""


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which matrix products keep the type of what is multiplied."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def class_vectors(logits: Tensor, representation: Representation = "bern") -> Tensor:
    """Turn logits (N, A) into the vectors that are contrasted, (N, 2A) or (N, A).

    "bern" holds every AU's two-class softmax, so that a face at rest has a direction too. A softmax
    over AUs forces them to exclude each other; it is here to be compared with. Raises MethodError
    for another representation.
    """
    check_choice("representation", representation, Representation)
    if representation == "softmax":
        return logits.softmax(1)
    present = logits.sigmoid()
    if representation == "sigma":
        return present
    if representation == "signed":
        return 2 * present - 1
    return torch.cat([present, 1 - present], dim=1)


def nt_xent(
    fast: Tensor, slow: Tensor, temperature: float, present: Tensor | None = None
) -> Tensor:
    """Return the normalised-temperature cross-entropy between rows of fast and slow (N, D).

    L = -1/2N sum_i log exp(c(i, i') / T) / sum_{k != i} exp(c(i, k) / T) over all 2N rows, c the
    cosine and i' the other pathway's row (Chen et al., ICML 2020, eq. 1). `present` (N,) bool takes
    pairs out of sums, denominators and count; no pair at all gives 0. Detach what must not learn.
    """
    count = len(fast)
    rows = F.normalize(torch.cat([fast, slow]), dim=1)
    similarity = rows @ rows.T / temperature
    # Half the most negative number: it cannot overflow, and an absent row stays free of nan.
    never = torch.finfo(similarity.dtype).min / 2
    hidden = torch.eye(2 * count, dtype=torch.bool, device=rows.device)
    if present is not None:
        present = torch.cat([present, present])
        hidden = hidden | ~present
    index = torch.arange(2 * count, device=rows.device)
    losses = F.cross_entropy(
        similarity.masked_fill(hidden, never), (index + count) % (2 * count), reduction="none"
    )
    if present is None:
        return losses.mean() if count else losses.sum()
    return torch.where(present, losses, 0.0).sum() / present.sum().clamp(min=1)


def group_contrast(
    fast_logits: Tensor,
    slow_logits: Tensor,
    temperature: float,
    *,
    representation: Representation = "bern",
    groups: Grouping = "au",
) -> Tensor:
    """Return the contrast between mean class vectors of groups of clips (TCL eq. 5), at least 0.

    By default group j of a pathway holds the clips that this pathway predicts AU j present in; a
    clip may be in many. `nt_xent` runs over the groups that exist in both pathways, 0 if none.
    Raises MethodError for another grouping.
    """
    check_choice("groups", groups, Grouping)
    fast_members, slow_members = _memberships(fast_logits.detach(), slow_logits.detach(), groups)
    counts = fast_members.sum(1), slow_members.sum(1)
    centres = [
        members @ class_vectors(logits, representation) / count.clamp(min=1)[:, None]
        for members, logits, count in (
            (fast_members, fast_logits, counts[0]),
            (slow_members, slow_logits, counts[1]),
        )
    ]
    present = (counts[0] > 0) & (counts[1] > 0)
    return nt_xent(centres[0], centres[1], temperature, present).clamp(min=0)


def _memberships(fast: Tensor, slow: Tensor, groups: Grouping) -> tuple[Tensor, Tensor]:
    """Return who belongs to which group, 1 or 0, as (G, N) of the fast and of the slow pathway."""
    if groups == "argmax":
        both = [F.one_hot(z.argmax(1), z.shape[1]).T for z in (fast, slow)]
        return both[0].to(fast), both[1].to(slow)
    bits = [(z.sigmoid() >= 0.5).to(z) for z in (fast, slow)]
    if groups == "au":
        return bits[0].T, bits[1].T
    # One group for each fast clip whose pattern no earlier clip has.
    same = [(bits[0][:, None] == other[None]).all(2) for other in bits]
    first = ~same[0].tril(-1).any(1, keepdim=True)
    return (same[0] & first).to(fast), (same[1] & first).to(slow)
