"""Frame table: the stored frames of all sequences as flat arrays, one row a frame of the store.

Used by the sampler, the loader, evaluation and the dataset audit.

Shapes: R rows of the store, K key frames, B clips, T frames of a clip, A action units, L landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.frame_store.store import FrameStore, StoredSequence
from datasets._base import UNCODED
from datasets._splits.masks import LabelMask

RowNumbers = NDArray[np.int64]
RowMask = NDArray[np.bool_]


@dataclass(frozen=True)
class FrameTable:
    """The store's frames as flat arrays over its R rows."""

    labels: NDArray[np.int8]
    """(R, A): 1, 0 or `UNCODED`; hidden ones included, so no method is ever handed it."""
    first: RowNumbers
    """(R,) the first row of each row's sequence."""
    last: RowNumbers
    """(R,) the last row of each row's sequence."""
    landmarks: NDArray[np.float32] | None
    """(R, L, 2) in crop pixels, NaN where a face has none; None if no recording has any."""

    @property
    def coded(self) -> RowMask:
        """(R,) whether a frame carries a label for at least one AU."""
        coded: RowMask = (self.labels != UNCODED).any(axis=1)
        return coded


def frame_table(store: FrameStore) -> FrameTable:
    """Flatten a store's sequences over its rows."""
    count = len(store.images)
    labels = np.full((count, len(store.aus)), UNCODED, dtype=np.int8)
    first, last = np.zeros((2, count), dtype=np.int64)
    for sequence in store.sequences:
        rows = slice(sequence.start, sequence.start + len(sequence.frames))
        labels[rows] = sequence.labels
        first[rows], last[rows] = rows.start, rows.stop - 1
    return FrameTable(labels, first, last, _flat_landmarks(store))


def _flat_landmarks(store: FrameStore) -> NDArray[np.float32] | None:
    """Return the landmarks of all rows, NaN in recordings without; None if there are none at all.

    Nor are there any where recordings have them in different markups.
    """
    shapes = {s.landmarks.shape[1:] for s in store.sequences if s.landmarks is not None}
    if len(shapes) != 1:
        return None
    landmarks = np.full((len(store.images), *shapes.pop()), np.nan, dtype=np.float32)
    for s in store.sequences:
        if s.landmarks is not None:
            landmarks[s.start : s.start + len(s.frames)] = s.landmarks
    return landmarks


def clip_rows(
    table: FrameTable, keys: RowNumbers, slot: int, length: int, stride: int = 1
) -> RowNumbers:
    """Return the rows (B, T) of clips with their key frame at `slot`, clamped to its sequence."""
    rows = keys[:, None] + (np.arange(length) - slot) * stride
    clamped: RowNumbers = np.clip(rows, table.first[keys, None], table.last[keys, None])
    return clamped


def rows_of(sequences: Sequence[StoredSequence]) -> RowNumbers:
    """Return the rows of all frames of `sequences`, in their order."""
    return np.concatenate([np.arange(s.start, s.start + len(s.frames)) for s in sequences])


def key_rows(sequences: Sequence[StoredSequence], mask: LabelMask) -> RowNumbers:
    """Return the rows of the key frames of `sequences`, in their order."""
    rows = [s.start + mask.positions(s) for s in sequences]
    return np.concatenate([np.empty(0, dtype=np.int64), *rows])
