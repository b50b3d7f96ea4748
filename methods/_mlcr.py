"""Parts of MLCR alone: its two losses between views, and the graph convolution on classifiers.

Shapes: N rows (labelled and unlabelled frames), A action units, F features of a view's trunk.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

CLAMP = 1e-3
"""How near to 0 and 1 a probability may come in an entropy; the release leaves those beyond out."""


def multi_view_loss(weights1: Tensor, weights2: Tensor) -> Tensor:
    """Return the mean over AUs of |cos(w_j1, w_j2)| of two classifiers (A, F + 1), bias included.

    0 where the views judge each AU by features that have nothing to do with each other (MLCR's
    L_mv).
    """
    return F.cosine_similarity(weights1, weights2, dim=1).abs().mean()


def binary_entropy(probabilities: Tensor) -> Tensor:
    """Return H(p) in nats, elementwise, with p clamped to [CLAMP, 1 - CLAMP]."""
    p = probabilities.clamp(CLAMP, 1 - CLAMP)
    return -(p * p.log() + (1 - p) * (1 - p).log())


def co_regularisation(logits1: Tensor, logits2: Tensor) -> Tensor:
    """Return the mean Jensen-Shannon divergence of two views' answers, from logits (N, A).

    mean |H((p1 + p2)/2) - (H(p1) + H(p2))/2|, p = sigma(logits): MLCR's L_cr, each AU a two-class
    problem of its own; 0 for N = 0.
    """
    # in half precision 1 - CLAMP would be 1
    dtype = torch.promote_types(logits1.dtype, torch.float32)
    p1, p2 = logits1.to(dtype).sigmoid(), logits2.to(dtype).sigmoid()
    apart = binary_entropy((p1 + p2) / 2) - (binary_entropy(p1) + binary_entropy(p2)) / 2
    return apart.abs().sum() / max(1, apart.numel())


def normalised_adjacency(relations: Tensor) -> Tensor:
    """Return D^-1/2 |R| D^-1/2 of relations (A, A), D the row sums of |R|."""
    adjacency = relations.abs()
    scale = adjacency.sum(1).rsqrt()
    return scale[:, None] * adjacency * scale


class ClassifierGraph(nn.Module):
    """Two graph convolutions on the rows of a classifier (A, W): G leaky(G C M1) M2.

    G is the AUs' fixed normalised adjacency; each AU's weights are mixed with those of its
    relatives. Both views share M1 and M2 (W, W).
    """

    adjacency: Tensor

    def __init__(self, relations: Tensor, width: int):
        super().__init__()
        self.register_buffer("adjacency", normalised_adjacency(relations).float())
        bound = 1 / math.sqrt(width)
        self.first = nn.Parameter(torch.empty(width, width).uniform_(-bound, bound))
        self.second = nn.Parameter(torch.empty(width, width).uniform_(-bound, bound))

    def forward(self, classifier: Tensor) -> Tensor:
        """Return the classifier (A, W) that each AU's relatives have had their say in."""
        hidden = F.leaky_relu(self.adjacency @ (classifier @ self.first), 0.2)
        return self.adjacency @ (hidden @ self.second)
