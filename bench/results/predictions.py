"""Stored predictions (`predictions.npz`): written by the runner, read by tables and figures.

A file holds a probability per test frame and AU of the last step, which frames they are, and what a
score needs beside: the labels, the intensities where the dataset gives any, the positive rates of
the labelled training frames, and the validation subjects' labelled frames where there are any.
Earlier versions wrote no labels.

Shapes: N coded test frames, V labelled validation frames, A action units in the record's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .array_files import read_arrays, save_arrays

NAME = "predictions.npz"


@dataclass(frozen=True, kw_only=True)
class StoredPredictions:
    """Probabilities of one run at its last step, and what they are scored against."""

    probabilities: NDArray[np.float32]
    """(N, A)."""
    subject: NDArray[np.str_]
    task: NDArray[np.str_]
    frame: NDArray[np.int64]
    """(N,) the dataset's own frame numbers."""
    aus: NDArray[np.int64]
    labels: NDArray[np.int8] | None = None
    """(N, A): 1, 0 or -1 (not coded); None in a file of an earlier version."""
    rates: NDArray[np.float64] | None = None
    """(A,) positive rates of the labelled training frames; NaN where none is coded."""
    validation_probabilities: NDArray[np.float32] | None = None
    """(V, A), where validation subjects were held out."""
    validation_labels: NDArray[np.int8] | None = None
    intensities: NDArray[np.float32] | None = None
    """(N, A) 0 to 5, NaN where unknown; None where the dataset has none."""

    def save(self, stream: IO[Any]) -> None:
        """Write them, compressed; what is None is left out."""
        save_arrays(self, stream)


def read_predictions(path: Path) -> StoredPredictions | None:
    """Read a cell's file; None if there is none. Raises RecordError if it is not a whole one."""
    return read_arrays(path, StoredPredictions, _check, "predictions")


def _check(found: StoredPredictions) -> None:
    shape = found.probabilities.shape
    whole = (len(found.frame), len(found.aus))
    if shape != whole or (found.labels is not None and found.labels.shape != shape):
        raise ValueError(f"probabilities of shape {shape} for {whole[0]} frames and {whole[1]} AUs")
    if found.intensities is not None and found.intensities.shape != shape:
        raise ValueError(f"intensities of shape {found.intensities.shape}, labels of {shape}")
    if len(found.subject) != whole[0] or len(found.task) != whole[0]:
        raise ValueError("not every frame has a subject and a task")
