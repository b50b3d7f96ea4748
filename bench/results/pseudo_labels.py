"""Stored pseudo labels (`pseudo_labels.npz`): written by the runner, drawn by `plot timeline`.

Of every frame of the training subjects: what the method said of each AU when a step last held the
frame, and what is true. Only cells whose method made pseudo labels have the file.

Shapes: N frames of the training subjects, A action units in the record's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .array_files import read_arrays, save_arrays

NAME = "pseudo_labels.npz"

NEVER, ABSENT, PRESENT, DISCARDED = -1, 0, 1, 2
"""Codes of a frame and AU: in no step yet, told so and used, or told and not used."""


@dataclass(frozen=True, kw_only=True)
class StoredPseudoLabels:
    """The last pseudo labels of one run, frame by frame."""

    codes: NDArray[np.int8]
    """(N, A): `PRESENT`, `ABSENT`, `DISCARDED` or `NEVER`."""
    steps: NDArray[np.int32]
    """(N,) the step that they are of, counted from 0; `NEVER` without one."""
    subject: NDArray[np.str_]
    task: NDArray[np.str_]
    frame: NDArray[np.int64]
    """(N,) the dataset's own frame numbers."""
    aus: NDArray[np.int64]
    labels: NDArray[np.int8]
    """(N, A): 1, 0 or -1 (not coded). The method saw those of `labelled` frames alone."""
    labelled: NDArray[np.bool_]
    """(N,) whether the label budget paid for the frame."""

    def save(self, stream: IO[Any]) -> None:
        """Write them, compressed."""
        save_arrays(self, stream)


def read_pseudo_labels(path: Path) -> StoredPseudoLabels | None:
    """Read a cell's file; None if there is none. Raises RecordError if it is not a whole one."""
    return read_arrays(path, StoredPseudoLabels, _check, "pseudo labels")


def _check(found: StoredPseudoLabels) -> None:
    shape = len(found.frame), len(found.aus)
    if found.codes.shape != shape or found.labels.shape != shape:
        raise ValueError(f"codes of shape {found.codes.shape}, labels of {found.labels.shape}")
    lengths = {len(a) for a in (found.steps, found.subject, found.task, found.labelled)}
    if lengths != {shape[0]}:
        raise ValueError("not every frame has its step, subject and task")
