"""Test frames of a method's runs, pooled: labels and probabilities, as `predictions.npz` hold them.

Used by the figures of calibration and co-occurrence.

Shapes: N test frames of all runs, A action units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.results.predictions import NAME, read_predictions
from bench.system.files import RecordError

from .aggregate import RunMatrix
from .method_runs import MethodRuns
from .model import NothingToShow

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PooledFrames:
    """Labels (N, A) and probabilities (N, A) of the runs of one method at one ratio."""

    labels: NDArray[np.int8]
    probabilities: Floats


def pooled_frames(matrix: RunMatrix, ratio: float) -> dict[str, PooledFrames]:
    """Return label of the line -> its test frames; lines without stored labels are left out.

    Raises NothingToShow if no run at this ratio has them.
    """
    found = {line.label: _pooled(matrix, line, ratio) for line in matrix.lines}
    known = {label: frames for label, frames in found.items() if frames is not None}
    if not known:
        raise NothingToShow(
            f"no run at ratio {ratio:g} has a {NAME} that holds labels: run it again"
        )
    return known


def _pooled(matrix: RunMatrix, line: MethodRuns, ratio: float) -> PooledFrames | None:
    results = matrix.scoring.results
    labels, probabilities = [], []
    for record in line.at(ratio).values():
        if results is None or record.status != "done":
            continue
        try:
            stored = read_predictions(results / "runs" / record.id / NAME)
        except RecordError:
            continue
        if stored is not None and stored.labels is not None:
            labels.append(stored.labels)
            probabilities.append(stored.probabilities.astype(np.float64))
    if not labels:
        return None
    return PooledFrames(np.concatenate(labels), np.concatenate(probabilities))
