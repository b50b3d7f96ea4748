"""Sampler: which frames each training step sees, as row numbers of the frame store.

Used by the loader. A step's rows are a function of (stream key, step) alone.

No state is carried from step to step, so a resumed run sees what it would have seen; nothing
depends on the method but through its `Needs`, so two methods see the same key frames in the same
order.

Shapes: R rows of the frame store, K key frames, B clips, T frames in a clip, U frames beside them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.config.names import GridPoint
from bench.config.settings import DataConfig
from bench.data.frame_table import FrameTable, RowNumbers, clip_rows
from bench.errors import UsageError
from bench.system.seeds import generator
from methods._base import Needs


@dataclass(frozen=True)
class StreamKey:
    """What the random streams of a cell depend on. Never the method: comparisons are paired."""

    dataset: str
    point: GridPoint

    def stream(self, name: str, *more: object) -> tuple[object, ...]:
        """Spell a stream of this cell for `bench/system/seeds.py`."""
        point = self.point
        return (name, self.dataset, point.fold, point.ratio_text, point.rule, point.seed, *more)


def window_rows(
    table: FrameTable,
    keys: RowNumbers,
    slot: int,
    length: int,
    reach: int,
    rng: np.random.Generator,
) -> RowNumbers:
    """Return clips (B, T) of distinct frames drawn within `reach` of the key frame, in time order.

    `slot` frames come from before the key frame and the rest from after it; where the sequence's
    end leaves too few, the nearest frame is repeated (methods.md 0.4, reading `window`).
    """
    offsets = np.stack([_offsets(slot, length, reach, rng) for _ in keys])
    clamped: RowNumbers = np.clip(
        keys[:, None] + offsets, table.first[keys, None], table.last[keys, None]
    )
    return clamped


def _offsets(slot: int, length: int, reach: int, rng: np.random.Generator) -> RowNumbers:
    before = np.sort(rng.choice(reach, size=slot, replace=False)) - reach
    after = np.sort(rng.choice(reach, size=length - 1 - slot, replace=False)) + 1
    return np.concatenate([before, [0], after])


@dataclass(frozen=True)
class Indices:
    """The frames of one step, as rows of the store."""

    keys: RowNumbers
    """(B,) key frames."""
    slot: int
    """Where the key frames stand in their clips."""
    extra: RowNumbers
    """(U,) frames beside them: the clips flattened, or the unlabelled frames."""
    draw_of_extra: RowNumbers
    """(U,) the augmentation draw of each of them: that of its clip, whose key frame has the same
    number; unlabelled frames are images of their own, with draws from B on."""

    @property
    def draws(self) -> int:
        """Augmentation draws that the step needs of each view."""
        return int(max(len(self.keys), self.draw_of_extra.max(initial=-1) + 1))


class Sampler:
    """The steps of one cell as row numbers."""

    def __init__(
        self,
        table: FrameTable,
        keys: RowNumbers,
        train_rows: RowNumbers,
        *,
        needs: Needs,
        data: DataConfig,
        batch_size: int,
        key: StreamKey,
    ):
        self.table, self.keys, self.needs = table, keys, needs
        self.data, self.batch_size, self.key = data, batch_size, key
        self.labelled = np.zeros(len(table.labels), dtype=bool)
        """(R,) whether the budget pays for a frame's label."""
        self.labelled[keys] = True
        # Frames of the coded range whose label was not bought; what nobody coded stays out, so that
        # no unlabelled frame is left at 100 % labels, as in the datasets of the paper.
        self.pool = np.zeros(len(table.labels), dtype=bool)
        self.pool[train_rows] = True
        self.pool &= table.coded & ~self.labelled
        self._batches: Iterator[RowNumbers] = iter(())
        self._next_step = -1

    @property
    def steps_per_epoch(self) -> float:
        """Steps in one pass over the key frames (fractional: batches run on across epochs)."""
        return len(self.keys) / self.batch_size

    def frames_per_step(self, *, labelled_only: bool = False) -> int:
        """Count the frames in a full batch, every view counted: what frames/s counts."""
        return self.batch_size * (1 if labelled_only else self.needs.frames_per_clip)

    @cached_property
    def unlabelled_rows(self) -> RowNumbers:
        """Rows (P,) of the frames of the pool that the method is handed, in clips or beside."""
        if self.needs.unlabelled_ratio and self.data.pool == "all":
            return np.flatnonzero(self.pool)
        if not (self.needs.clips or self.needs.unlabelled_ratio):
            return np.empty(0, dtype=np.int64)
        rows = self._rows_in_clips()
        return rows[self.pool[rows]]

    @cached_property
    def _id_of_row(self) -> RowNumbers:
        ids = np.full(len(self.pool), -1, dtype=np.int64)
        ids[self.unlabelled_rows] = np.arange(len(self.unlabelled_rows))
        return ids

    def ids_of(self, rows: RowNumbers) -> RowNumbers:
        """Return the number of each row in the pool, 0..P-1; -1 if it is not in it."""
        return self._id_of_row[rows]

    def _rows_in_clips(self) -> RowNumbers:
        """Return the distinct rows that clips may hold, whatever the step."""
        if self.data.neighbours == "window":
            return np.unique(clip_rows(self.table, self.keys, self._reach, 2 * self._reach + 1))
        slots = range(self.needs.clip_len) if self.needs.key == "cyclic" else [self._slot(0)]
        return np.unique(np.concatenate([self._contiguous(self.keys, slot) for slot in slots]))

    def indices(self, step: int, *, labelled_only: bool = False) -> Indices:
        """Return the rows of `step`, 0-based; with `labelled_only`, of its key frames alone."""
        keys, slot = self.keys[self._key_indices(step)], self._slot(step)
        if labelled_only:
            nothing = np.empty(0, dtype=np.int64)
            return Indices(keys, slot, nothing, nothing)
        if self.needs.clips:
            clips = self._clips(keys, slot, step)
            return Indices(
                keys, slot, clips.ravel(), np.repeat(np.arange(len(keys)), clips.shape[1])
            )
        extra = self._unlabelled(keys, slot, step)
        return Indices(keys, slot, extra, len(keys) + np.arange(len(extra)))

    def _slot(self, step: int) -> int:
        length = self.needs.clip_len
        return step % length if self.needs.key == "cyclic" else length // 2

    def _contiguous(self, keys: RowNumbers, slot: int) -> RowNumbers:
        return clip_rows(self.table, keys, slot, self.needs.clip_len, self.data.stride)

    def _clips(self, keys: RowNumbers, slot: int, step: int) -> RowNumbers:
        if self.data.neighbours == "contiguous":
            return self._contiguous(keys, slot)
        rng = generator(*self.key.stream("neighbours", step))
        return window_rows(self.table, keys, slot, self.needs.clip_len, self._reach, rng)

    @property
    def test_stride(self) -> int:
        """Frames between the neighbours of a tested frame, as they lie on average in training.

        Of k frames drawn from h without repetition, number i lies at i (h + 1) / (k + 1).
        """
        if self.data.neighbours == "contiguous":
            return self.data.stride
        drawn = self.needs.clip_len // 2
        return max(1, round((self._reach + 1) / (drawn + 1)))

    @property
    def _reach(self) -> int:
        """Frames on each side of a key frame that a `window` clip is drawn from.

        Half-way to the next key frame, or as many as a clip takes.
        """
        half_label_step = math.floor(1 / self.key.point.ratio) // 2
        return max(half_label_step, self.needs.clip_len - 1)

    def _unlabelled(self, keys: RowNumbers, slot: int, step: int) -> RowNumbers:
        """Return the unlabelled frames (U,) of a step: of its clips, or from anywhere."""
        wanted = self.needs.unlabelled_ratio
        if not wanted:
            return np.empty(0, dtype=np.int64)
        if self.data.pool == "all":
            return self._from_everywhere(len(keys) * wanted, step)
        clips = self._clips(keys, slot, step)
        chosen = self.pool[clips]
        chosen[:, 1:] &= clips[:, 1:] != clips[:, :-1]  # a clamped clip repeats its end frame
        chosen &= chosen.cumsum(axis=1) <= wanted
        return clips[chosen]

    def _from_everywhere(self, count: int, step: int) -> RowNumbers:
        pool = self.unlabelled_rows
        rng = generator(*self.key.stream("pool", step))
        return pool[rng.integers(max(1, len(pool)), size=count if len(pool) else 0)]

    def _key_indices(self, step: int) -> RowNumbers:
        """Return positions in `keys` (B,), replayed from the start unless this is the next step."""
        if step != self._next_step:
            self._batches = self._distinct() if self.needs.one_clip_per_sequence else self._plain()
            for _ in range(step):
                next(self._batches)
        self._next_step = step + 1
        return next(self._batches)

    def _epochs(self) -> Iterator[int]:
        epoch = 0
        while True:
            rng = generator(*self.key.stream("order", epoch))
            yield from rng.permutation(len(self.keys))
            epoch += 1

    def _plain(self) -> Iterator[RowNumbers]:
        order = self._epochs()
        while True:
            yield np.fromiter(order, dtype=np.int64, count=self.batch_size)

    def _distinct(self) -> Iterator[RowNumbers]:
        """Yield batches with at most one clip of a sequence; what does not fit waits its turn."""
        sequences = self.table.first[self.keys]
        if len(np.unique(sequences)) < self.batch_size:
            raise UsageError(
                f"{self.batch_size} clips of different sequences need as many sequences, and "
                f"{len(np.unique(sequences))} have key frames: set train.batch_size lower"
            )
        order, waiting = self._epochs(), deque[int]()
        while True:
            yield _take_distinct(order, waiting, sequences, self.batch_size)


def _take_distinct(
    order: Iterator[int], waiting: deque[int], sequences: RowNumbers, size: int
) -> RowNumbers:
    batch: list[int] = []
    seen: set[int] = set()
    passed: list[int] = []
    while len(batch) < size:
        index = int(waiting.popleft() if waiting else next(order))
        sequence = int(sequences[index])
        (passed if sequence in seen else batch).append(index)
        seen.add(sequence)
    waiting.extendleft(reversed(passed))
    return np.array(batch, dtype=np.int64)
