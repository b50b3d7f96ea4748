"""Relations between AUs in labelled frames: what occurs with what; for `mlcr`, `bgcs`, `daur`.

All of it comes from `Task.labels`, so from labels that the budget paid for. Shapes: N labelled
frames, A action units.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ._base import Task


def labelled_vectors(task: Task) -> Tensor:
    """Return the labelled frames' vectors (N, A) float64 in {1, 0, -1 = not coded}."""
    if task.labels is None:
        return torch.empty(0, len(task.aus), dtype=torch.float64)
    return task.labels.double()


def complete_vectors(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows (M, A) of labels (N, A) that lack nothing, and a bool (A,) of AUs ever coded.

    An AU that no frame codes does not make a row incomplete; its column is 0.
    """
    coded = (labels >= 0).any(0)
    whole = (labels[:, coded] >= 0).all(1) & coded.any()
    return labels[whole] * coded, coded


def co_occurrence(labels: Tensor) -> Tensor:
    """Return P(j | i) (A, A) at [i, j]: how often AU j is present where AU i is, both coded.

    0 where AU i is never present beside a coded j; 1 on the diagonal of an AU that ever is.
    """
    present, coded = (labels > 0).double(), (labels >= 0).double()
    together, asked = present.T @ present, present.T @ coded
    return together / asked.clamp(min=1)


def correlations(labels: Tensor) -> Tensor:
    """Return Pearson's correlation (A, A) of AUs, each pair over the frames that code both.

    0 where it is undefined (an AU that is always or never present there); the diagonal is 1.
    """
    coded = (labels >= 0).double()
    values = labels.double().clamp(min=0)
    count = (coded.T @ coded).clamp(min=1)
    mean = values.T @ coded / count  # of AU i over the frames that code i and j, at [i, j]
    # labels are their own squares
    variance = mean - mean.square()
    covariance = values.T @ values / count - mean * mean.T
    scale = (variance * variance.T).clamp(min=0).sqrt()
    # a variance of less than a frame's share is rounding, not variance
    defined = scale > 1e-12
    found = torch.where(defined, covariance / torch.where(defined, scale, 1.0), 0.0)
    return found.clamp(-1, 1).fill_diagonal_(1.0)


def are_enough(labels: Tensor) -> bool:
    """Tell whether label vectors can say anything of relations: there are more of them than AUs.

    As many or fewer lie on a plane, whatever the AUs have to do with each other.
    """
    return int((labels >= 0).any(1).sum()) > labels.shape[1]


def gaps(method: str, task: Task, labels: Tensor) -> Iterator[str]:
    """Yield a sentence about each AU that no labelled frame shows, for a method's warnings."""
    for au, column in zip(task.aus, labels.T, strict=True):
        if not bool((column > 0).any()):
            yield f"{method}: no labelled frame shows AU {au}: what goes with it is not known"
