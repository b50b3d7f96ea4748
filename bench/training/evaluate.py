"""Evaluation: encodes each test frame once, builds clips from the features, returns probabilities.

Clips are windows around the frame, clamped to its sequence. Encoding clip by clip would cost T
times as much, and evaluation is otherwise the largest hidden cost of a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.frame_table import FrameTable, RowNumbers, clip_rows
from bench.frame_store.store import StoredSequence
from bench.metrics import score_fold
from bench.results.records import Scores
from methods._base import Method

from .augment import normalise
from .loader import batch_landmarks
from .pixels import Pixels
from .precision import autocast

FRAMES_AT_ONCE = 256
"""Frames encoded at once; the grouping is fixed, so that the same frames give the same bits."""


class NonFiniteOutput(Exception):
    """A method's prediction is infinite or NaN."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities (N, A) float32 of test frames, and which frames they are."""

    probabilities: NDArray[np.float32]
    rows: RowNumbers
    """(N,) rows of the frame store."""
    subjects: NDArray[np.str_]
    tasks: NDArray[np.str_]
    frames: NDArray[np.int64]
    """(N,) the dataset's own frame numbers."""
    members: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Probabilities (N, A) of each part of the network alone, where a method tells its parts."""

    def only(self, chosen: NDArray[np.bool_]) -> Predictions:
        """Return the method's predictions where `chosen` (N,) is true."""
        return replace(
            self,
            **{name: getattr(self, name)[chosen] for name in _PER_FRAME},
            members={name: values[chosen] for name, values in self.members.items()},
        )

    def score(self, table: FrameTable, step: int) -> Scores:
        """Score them against the labels, per AU, at threshold 0.5."""
        subjects: Sequence[str] = self.subjects.tolist()
        return score_fold(table.labels[self.rows], self.probabilities, subjects, step)


_PER_FRAME = ("probabilities", "rows", "subjects", "tasks", "frames")


@torch.inference_mode()
def predict(
    method: Method,
    pixels: Pixels,
    table: FrameTable,
    sequences: Sequence[StoredSequence],
    stride: int = 1,
    at_once: int = FRAMES_AT_ONCE,
    *,
    amp: bool = False,
) -> Predictions:
    """Predict every coded frame of `sequences` from clips of every `stride`-th frame around it.

    Encodes `at_once` frames at once, in bfloat16 with `amp`. Raises NonFiniteOutput.
    """
    training = method.training
    method.eval()
    groups = _groups(sequences, 4 * at_once)
    # what was compiled for the steps would be compiled anew for these shapes
    with torch.compiler.set_stance("force_eager"), autocast(pixels.device, on=amp):
        parts = [_predict_group(method, pixels, table, group, stride, at_once) for group in groups]
    method.train(training)
    rows = np.concatenate([rows for rows, _ in parts])
    found = {name: np.concatenate([values[name] for _, values in parts]) for name in parts[0][1]}
    if not all(np.isfinite(values).all() for values in found.values()):
        raise NonFiniteOutput(
            "the method predicts values that are not finite: try a lower train.lr"
        )
    return Predictions(found.pop(_WHOLE), rows, *_frame_names(sequences), members=found)


def _frame_names(
    sequences: Sequence[StoredSequence],
) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.int64]]:
    counts = [int(s.coded.sum()) for s in sequences]
    return (
        np.repeat([s.subject for s in sequences], counts),
        np.repeat([s.task for s in sequences], counts),
        np.concatenate([s.frames[s.coded] for s in sequences]),
    )


def _groups(sequences: Sequence[StoredSequence], full: int) -> Iterator[list[StoredSequence]]:
    """Group whole sequences until there are `full` frames, so that features can be let go."""
    group: list[StoredSequence] = []
    for sequence in sequences:
        group.append(sequence)
        if sum(len(s.frames) for s in group) >= full:
            yield group
            group = []
    if group:
        yield group


def _predict_group(
    method: Method,
    pixels: Pixels,
    table: FrameTable,
    group: list[StoredSequence],
    stride: int,
    at_once: int,
) -> tuple[RowNumbers, dict[str, NDArray[np.float32]]]:
    """Predict the coded frames of whole sequences; returns their rows, probabilities by member."""
    coded = np.concatenate([s.start + np.flatnonzero(s.coded) for s in group])
    length = method.test_clip_len
    # frames that no clip reaches are left out: uncoded stretches, for a method of single frames
    rows, clips = np.unique(
        clip_rows(table, coded, length // 2, length, stride), return_inverse=True
    )
    clips = clips.reshape(len(coded), length)
    features = encode_rows(method, pixels, table, rows, at_once)
    logits = [
        _classify(method, features[torch.from_numpy(part).to(features.device)])
        for part in np.array_split(clips, max(1, len(clips) // at_once))
    ]
    return coded, {
        name: torch.cat([part[name] for part in logits]).float().sigmoid().cpu().numpy()
        for name in logits[0]
    }


_WHOLE = ""
"""Stands beside the names of a method's members for the method itself."""


def _classify(method: Method, clips: Tensor) -> dict[str, Tensor]:
    return {_WHOLE: method.head(clips), **method.members(clips)}


def encode_rows(
    method: Method,
    pixels: Pixels,
    table: FrameTable,
    rows: RowNumbers,
    at_once: int = FRAMES_AT_ONCE,
) -> Tensor:
    """Encode frames `rows` as they are stored, `at_once` at once -> (N, ...), in eval mode."""
    parts = np.array_split(rows, max(1, -(-len(rows) // at_once)))
    return torch.cat([_encode_batch(method, pixels, table, part) for part in parts])


def _encode_batch(method: Method, pixels: Pixels, table: FrameTable, rows: RowNumbers) -> Tensor:
    frames = normalise(pixels.gather(rows))
    if not method.data_needs.landmarks:
        return method.encode(frames)
    return method.encode(frames, batch_landmarks(table, rows, frames.device))
