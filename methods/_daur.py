"""Parts of DAUR alone: the restricted Boltzmann machine over AU vectors, and the squared hinge.

Shapes: N rows, A action units (visible units), H hidden units. Weights W (H, A), biases b (A,) of
the visible and c (H,) of the hidden units: E(v, h) = -b'v - c'h - h'Wv.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_BATCH = 64
"""Vectors of a CD-1 update."""

_DECAY = 1e-4
"""Weight decay of CD-1, on W alone (Hinton, A practical guide to training RBMs, section 10)."""


class RBMWeights(NamedTuple):
    """The parameters of a restricted Boltzmann machine, or a step for each of them."""

    weight: Tensor
    """W (H, A)."""
    visible: Tensor
    """b (A,)."""
    hidden: Tensor
    """c (H,)."""


def free_energy(vectors: Tensor, rbm: RBMWeights) -> Tensor:
    """Return F(v) = -b'v - sum_h softplus(c_h + W_h v) of vectors (N, A) in [0, 1] -> (N,).

    exp(-F(v)) is proportional to the probability of a binary v; probabilities stand in for v where
    a gradient is wanted.
    """
    return -(vectors @ rbm.visible) - F.softplus(F.linear(vectors, rbm.weight, rbm.hidden)).sum(-1)


def cd1_step(
    vectors: Tensor, rbm: RBMWeights, hidden_draw: Tensor, visible_draw: Tensor
) -> RBMWeights:
    """Return the direction that one step of contrastive divergence climbs, for vectors (N, A).

    <p(h|v) v'> - <p(h|v') v''> and likewise for the biases, v' one Gibbs step from v: h ~ p(h|v),
    v' ~ p(v|h). `hidden_draw` (N, H) and `visible_draw` (N, A) are its uniform numbers. (Hinton,
    Neural Computation 2002.)
    """
    probable = torch.sigmoid(F.linear(vectors, rbm.weight, rbm.hidden))
    sampled = (hidden_draw < probable).to(vectors.dtype)
    reconstructed = torch.sigmoid(F.linear(sampled, rbm.weight.T, rbm.visible))
    again = (visible_draw < reconstructed).to(vectors.dtype)
    of_again = torch.sigmoid(F.linear(again, rbm.weight, rbm.hidden))
    return RBMWeights(
        weight=(probable.T @ vectors - of_again.T @ again) / len(vectors),
        visible=(vectors - again).mean(0),
        hidden=(probable - of_again).mean(0),
    )


@torch.no_grad()
def fit_rbm(vectors: Tensor, hidden: int, steps: int, rate: float) -> RBMWeights:
    """Learn an RBM of label vectors (M, A) by `steps` of CD-1, drawn from torch's generator.

    It begins with the AUs independent of each other, at their own rates. The step falls linearly
    to 0, so that the last updates' noise averages out.
    """
    count, aus = vectors.shape
    rates = vectors.mean(0).clamp(1 / (count + 1), 1 - 1 / (count + 1))
    rbm = RBMWeights(
        weight=0.01 * torch.randn(hidden, aus, dtype=vectors.dtype),
        visible=rates.logit(),
        hidden=torch.zeros(hidden, dtype=vectors.dtype),
    )
    for step in range(steps):
        batch = vectors[torch.randint(count, (_BATCH,))]
        draws = (torch.rand(_BATCH, size, dtype=vectors.dtype) for size in (hidden, aus))
        climb = cd1_step(batch, rbm, *draws)
        now = rate * (1 - step / steps)
        rbm.weight.mul_(1 - now * _DECAY)
        for value, towards in zip(rbm, climb, strict=True):
            value.add_(towards, alpha=now)
    return rbm


class Prior(nn.Module):
    """A learnt RBM, frozen: how unlikely label vectors are by what the labelled frames showed."""

    weight: Tensor
    visible: Tensor
    hidden: Tensor

    def __init__(self, rbm: RBMWeights):
        super().__init__()
        for name, value in rbm._asdict().items():
            # only training asks it, and its labels make it again: no part of a state
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the mean free energy of predicted vectors (N, A); 0 for N = 0."""
        energy = free_energy(probabilities, RBMWeights(self.weight, self.visible, self.hidden))
        return energy.sum() / max(1, len(energy))


def squared_hinge(
    logits: Tensor, targets: Tensor, weights: Tensor | None, pos_weight: Tensor | None = None
) -> Tensor:
    """Return the mean of w_j p_ij max(0, 1 - t z)^2 over coded elements of logits (N, A).

    t = 1 for a target of 1 and -1 for 0; a target of -1 (not coded) leaves the sum and the count. p
    is `pos_weight` (A,) where the target is 1. 1 stands for weights that are None.
    """
    coded, positive = targets >= 0, targets > 0
    losses = F.relu(1 - torch.where(positive, logits, -logits)).square()
    if weights is not None:
        losses = losses * weights
    if pos_weight is not None:
        losses = losses * torch.where(positive, pos_weight, 1.0)
    return (losses * coded).sum() / coded.sum().clamp(min=1)
