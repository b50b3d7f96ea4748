"""Encoders of tokens and banks of small networks, each bank one batched product.

Shapes: N rows, G members of a bank (AUs or slots), L tokens, D features of a token.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Mixer = Literal["transformer", "mlp"]
"""Whether tokens look at each other (`transformer`) or each goes by itself (`mlp`)."""


class ParallelLinear(nn.Module):
    """G linear maps side by side: (N, in) or (N, G, in) -> (N, G, out).

    A loop over G small layers costs G launches and far more time than their arithmetic.
    """

    def __init__(self, members: int, inputs: int, outputs: int):
        super().__init__()
        bound = inputs**-0.5  # nn.Linear's own initialisation
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        # A vector, so that optimisers that spare biases from weight decay know it for one.
        self.bias = nn.Parameter(torch.empty(members * outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Apply member g to row (n, g), or every member to row n."""
        equation = "ni,gio->ngo" if x.dim() == 2 else "ngi,gio->ngo"
        return torch.einsum(equation, x, self.weight) + self.bias.view(self.weight.shape[0], -1)


def parallel_mlp(
    members: int, inputs: int, width: int, layers: int, *, last: bool
) -> nn.Sequential:
    """Build a bank of MLPs with `layers` linear maps; GELU between, and at the end if `last`."""
    modules: list[nn.Module] = []
    for layer in range(layers):
        modules += [ParallelLinear(members, width if layer else inputs, width), nn.GELU()]
    return nn.Sequential(*(modules if last else modules[:-1]))


class TokenMlp(nn.Module):
    """A pre-norm encoder block without attention: x + MLP(LN(x)), token by token."""

    def __init__(self, width: int, hidden: int, dropout: float):
        super().__init__()
        self.block = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, L, D) -> (N, L, D)."""
        mixed: Tensor = tokens + self.block(tokens)
        return mixed


def token_encoder(
    mixer: Mixer, *, width: int, layers: int, heads: int, hidden: int, dropout: float
) -> nn.Sequential:
    """Build pre-norm encoder layers (N, L, D) -> (N, L, D) with GELU, each with its own start."""
    if mixer == "mlp":
        return nn.Sequential(*(TokenMlp(width, hidden, dropout) for _ in range(layers)))
    return nn.Sequential(
        *(
            nn.TransformerEncoderLayer(
                width, heads, hidden, dropout, "gelu", batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
    )
