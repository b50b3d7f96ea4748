"""Test frames of a method's runs, pooled: labels and probabilities, as `predictions.npz` hold them.

Used by the figures of calibration and co-occurrence; the timeline reads its files by the same
function, and says by the same sentences which of them it lacks.

Shapes: N test frames of all runs, A action units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.results.predictions import NAME, StoredPredictions, read_predictions
from bench.system.files import RecordError

from .aggregate import RunMatrix
from .method_runs import MethodRuns
from .model import NothingToShow

Floats = NDArray[np.float64]

_NAMED = 3
"""Files that a sentence names; of more it tells the number."""


@dataclass(frozen=True)
class PooledFrames:
    """Labels (N, A) and probabilities (N, A) of the runs of one method at one ratio."""

    labels: NDArray[np.int8]
    probabilities: Floats


def pooled_frames(
    matrix: RunMatrix, ratio: float, notes: list[str] | None = None
) -> dict[str, PooledFrames]:
    """Return label of the line -> its test frames; lines without stored labels are left out.

    `notes` takes a sentence on the runs that are left out. Raises NothingToShow if no run at this
    ratio has stored labels.
    """
    flaws: list[str] = []
    found = {line.label: _pooled(matrix, line, ratio, flaws) for line in matrix.lines}
    known = {label: frames for label, frames in found.items() if frames is not None}
    if not known:
        raise NothingToShow(
            f"no run at ratio {ratio:g} has a {NAME} that holds labels: run it again (--fresh)"
            f"{listed(flaws)}"
        )
    if flaws and notes is not None:
        notes.append(drawn_without(matrix, ratio, flaws))
    return known


def read_labelled(path: Path) -> tuple[StoredPredictions, NDArray[np.int8]]:
    """Read a cell's predictions and its labels (N, A).

    Raises RecordError, naming the file, if it is missing, damaged or without labels.
    """
    stored = read_predictions(path)
    if stored is None:
        raise RecordError(f"{path} is missing")
    if stored.labels is None:
        raise RecordError(f"{path} holds no labels")
    return stored, stored.labels


def drawn_without(matrix: RunMatrix, ratio: float, flaws: Sequence[str]) -> str:
    """Say that runs are not in a figure, and what is wrong with the file of each."""
    where = f"{', '.join(matrix.condition.name)} at ratio {ratio:g}"
    runs = f"{len(flaws)} run{'s' if len(flaws) > 1 else ''}"
    return f"{where}: drawn without {runs}, to be run again{listed(flaws)}"


def listed(flaws: Sequence[str]) -> str:
    """Name in brackets what is wrong with the first few files, and how many more there are."""
    more = [f"and {len(flaws) - _NAMED} more"] if len(flaws) > _NAMED else []
    return f" ({'; '.join([*flaws[:_NAMED], *more])})" if flaws else ""


def _pooled(
    matrix: RunMatrix, line: MethodRuns, ratio: float, flaws: list[str]
) -> PooledFrames | None:
    """Read the runs of a line; `flaws` takes what is wrong with the files that cannot be used."""
    results = matrix.scoring.results
    labels, probabilities = [], []
    for record in line.at(ratio).values():
        if results is None or record.status != "done":
            continue
        try:
            stored, truth = read_labelled(results / "runs" / record.id / NAME)
        except RecordError as error:
            flaws.append(str(error))
            continue
        labels.append(truth)
        probabilities.append(stored.probabilities.astype(np.float64))
    if not labels:
        return None
    return PooledFrames(np.concatenate(labels), np.concatenate(probabilities))
