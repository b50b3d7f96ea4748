"""Loader: turns a step's row numbers into a batch, pixels gathered and augmented, by `Needs`.

Labels of frames that are not key frames stay on this side (`HiddenLabels`): no method is given one.
The one door is `Loader.reveals`: `runner/setup.py` opens it for the ceiling, a control of its own.

Shapes: B clips, T frames in a clip, U unlabelled frames, A action units, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.config.settings import AugmentConfig
from bench.data.frame_table import FrameTable, RowNumbers
from bench.system.seeds import stream_seed
from datasets._base import UNCODED
from datasets._landmarks.markup import MIRROR_49, MIRROR_68
from methods._base import Batch, View

from .augment import DRAWS, Draw, move_landmarks, plain_draw, show
from .pixels import Pixels
from .sampler import Indices, Sampler


@dataclass(frozen=True)
class HiddenLabels:
    """True labels of the frames beside the key frames, kept back to score pseudo labels with."""

    labels: NDArray[np.int8]
    """(N, A) in the order of `Batch.unlabelled` or of the clips flattened; key frames `UNCODED`."""
    rows: RowNumbers
    """(N,) which frames they are."""


@dataclass(frozen=True, kw_only=True)
class RevealedBatch(Batch):
    """A batch with the labels that the budget did not pay for: for the runner's ceiling alone."""

    hidden: Tensor
    """(N, A) float true labels in the order of `HiddenLabels`: 1, 0, or -1 = nothing hidden."""


def batch_landmarks(table: FrameTable, rows: RowNumbers, device: torch.device) -> Tensor | None:
    """Return the landmarks (N, L, 2) of `rows` in crop pixels, if the dataset has them."""
    if table.landmarks is None:
        return None
    return torch.from_numpy(table.landmarks[rows]).to(device)


class Loader:
    """Batches of one cell, by step number."""

    def __init__(
        self, sampler: Sampler, pixels: Pixels, augment: AugmentConfig, *, reveal: bool = False
    ):
        self.sampler, self.pixels, self.config = sampler, pixels, augment
        self.reveals = reveal
        """Whether batches carry hidden labels: never for a method, always for the ceiling."""

    def batch(self, step: int, *, labelled_only: bool = False) -> tuple[Batch, HiddenLabels]:
        """Return the batch of `step` on the device, and the labels that no method may see."""
        needs, where = self.sampler.needs, self.sampler.indices(step, labelled_only=labelled_only)
        draws = self._draws(step, where.draws)
        count, key_draw = len(where.keys), draws[needs.key_view]
        key, beside = self._views(where, draws)
        batch = Batch(
            key=_channels_last(key),
            labels=self._labels(where.keys),
            slot=where.slot,
            clips=_as_clips(beside, count) if needs.clips and not labelled_only else {},
            unlabelled=dict(beside.items()) if needs.unlabelled_ratio else {},
            ids=self._ids(where) if needs.clips or needs.unlabelled_ratio else None,
            known=self._known(where) if needs.known_labels else None,
            landmarks=self._landmarks(where.keys, key_draw) if needs.landmarks else None,
        )
        hidden = self._hidden(where)
        return (self._reveal(batch, hidden) if self.reveals else batch), hidden

    def _reveal(self, batch: Batch, hidden: HiddenLabels) -> RevealedBatch:
        labels = torch.from_numpy(hidden.labels.astype(np.float32))
        shown = {item.name: getattr(batch, item.name) for item in fields(batch)}
        return RevealedBatch(**shown, hidden=labels.to(self.pixels.device, non_blocking=True))

    def prefetch(self, step: int, *, labelled_only: bool = False) -> None:
        """Send the frames of `step` on their way to the device, if they do not lie there."""
        if self.pixels.sends_ahead:
            self.pixels.prefetch(_rows(self.sampler.indices(step, labelled_only=labelled_only)))

    def _views(
        self, where: Indices, draws: Mapping[View, Draw]
    ) -> tuple[Tensor, dict[View, Tensor]]:
        """Return the key frames, and the frames beside them in every view.

        Frames of one view are drawn at once, key frames too.
        """
        needs, count = self.sampler.needs, len(where.keys)
        frames = self.pixels.gather(_rows(where))
        numbers = np.concatenate([np.arange(count), where.draw_of_extra])
        key_view = needs.key_view
        first = len(frames) if key_view in needs.views else count
        drawn = show(key_view, frames[:first], numbers[:first], draws[key_view])
        beside = {key_view: drawn[count:]}
        for view in needs.views:
            if view not in beside or first == count:
                beside[view] = show(view, frames[count:], numbers[count:], draws[view])
        return drawn[:count], {view: beside[view] for view in needs.views}

    def _draws(self, step: int, count: int) -> dict[View, Draw]:
        needs, stream = self.sampler.needs, self.sampler.key.stream
        return {
            view: DRAWS.get(view, plain_draw)(
                self.config, count, stream_seed(*stream("augment", view, step))
            )
            for view in {needs.key_view, *needs.views}
        }

    def _labels(self, rows: RowNumbers) -> Tensor:
        labels = self.sampler.table.labels[rows].astype(np.float32)
        return torch.from_numpy(labels).to(self.pixels.device, non_blocking=True)

    def _ids(self, where: Indices) -> Tensor:
        ids = torch.from_numpy(self.sampler.ids_of(where.extra))
        return ids.to(self.pixels.device, non_blocking=True)

    def _known(self, where: Indices) -> Tensor:
        """Return the labels (B, T, A) of the clips' frames that the budget pays for."""
        labels = self.sampler.table.labels[where.extra].astype(np.float32)
        labels[~self.sampler.labelled[where.extra]] = UNCODED
        clips = labels.reshape(len(where.keys), -1, labels.shape[1])
        return torch.from_numpy(clips).to(self.pixels.device, non_blocking=True)

    def _landmarks(self, rows: RowNumbers, draw: Draw) -> Tensor | None:
        landmarks = self.sampler.table.landmarks
        if landmarks is None:
            return None
        mirror = MIRROR_49 if landmarks.shape[1] == len(MIRROR_49) else MIRROR_68
        side = self.pixels.images.shape[1]
        moved = move_landmarks(
            landmarks[rows], np.arange(len(rows)), draw, mirror=mirror, side=side
        )
        return torch.from_numpy(moved).to(self.pixels.device)

    def _hidden(self, where: Indices) -> HiddenLabels:
        labels = self.sampler.table.labels[where.extra].copy()
        labels[~self.sampler.pool[where.extra]] = UNCODED
        return HiddenLabels(labels, where.extra)


def _rows(where: Indices) -> RowNumbers:
    """Return the rows of a step's frames, key frames first."""
    return np.concatenate([where.keys, where.extra])


def _as_clips(views: Mapping[View, Tensor], clips: int) -> dict[str, Tensor]:
    return {view: frames.reshape(clips, -1, *frames.shape[1:]) for view, frames in views.items()}


def _channels_last(frames: Tensor) -> Tensor:
    return frames.contiguous(memory_format=torch.channels_last)
