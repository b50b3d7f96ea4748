"""Experiment: a cell's data, split, label mask, method and trainer put together, ready to train.

Built by `runner/run_cell.py` and the conformance checks; each part draws from a random stream of
its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from bench.config.settings import DataConfig
from bench.data.dataset import DatasetSpec, OpenedDataset
from bench.data.frame_table import FrameTable, RowNumbers, frame_table, key_rows, rows_of
from bench.errors import UsageError
from bench.frame_store.store import StoredSequence
from bench.metrics import positive_rates
from bench.study.cell import Cell
from bench.system.hashing import file_digest
from bench.system.seeds import stream_seed
from bench.training.evaluate import FRAMES_AT_ONCE, Predictions, predict
from bench.training.loader import Loader
from bench.training.pixels import Pixels
from bench.training.sampler import Sampler, StreamKey
from bench.training.trainer import Trainer
from datasets._splits.masks import LabelMask
from methods._base import Method, Task
from methods._published_weights import published_weights_at_hand

_FRAMES_AT_ONCE_LOW_MEMORY = 32
"""Test frames encoded at once where memory is short."""


@dataclass(frozen=True)
class Experiment:
    """A cell ready to train: its trainer, and the frames that it is judged on."""

    trainer: Trainer
    table: FrameTable
    pixels: Pixels
    train_keys: RowNumbers
    """Rows of the key frames that are trained on."""
    validation_keys: RowNumbers
    """Rows of the key frames of the validation subjects; empty without validation."""
    validation: Sequence[StoredSequence]
    test: Sequence[StoredSequence]
    train: Sequence[StoredSequence]
    warnings: tuple[str, ...] = ()
    """What the frame store wants every result to be read with."""
    scored: RowNumbers | None = None
    """Rows of `test` that are scored; None = all that are coded."""
    frames_at_once: int = FRAMES_AT_ONCE
    """Test frames that are encoded at once."""

    @property
    def method(self) -> Method:
        """The method under training."""
        return self.trainer.method

    def predict(self, sequences: Sequence[StoredSequence]) -> Predictions:
        """Predict every coded frame of `sequences` with the weights as they are."""
        stride = self.trainer.loader.sampler.test_stride
        return predict(
            self.method,
            self.pixels,
            self.table,
            sequences,
            stride,
            self.frames_at_once,
            amp=self.trainer.amp,
        )

    def predict_test(self) -> Predictions:
        """Predict what the cell is scored on, with the weights as they are."""
        predictions = self.predict(self.test)
        if self.scored is None:
            return predictions
        return predictions.only(np.isin(predictions.rows, self.scored))

    @property
    def train_frames(self) -> int:
        """Coded frames of the training subjects, labelled or not."""
        return sum(int(s.coded.sum()) for s in self.train)

    @property
    def test_rows(self) -> RowNumbers:
        """Rows of the frames that the cell is scored on."""
        rows = np.concatenate([s.start + np.flatnonzero(s.coded) for s in self.test])
        return rows if self.scored is None else rows[np.isin(rows, self.scored)]


def build_experiment(cell: Cell, device: torch.device, *, low_memory: bool = False) -> Experiment:
    """Open the data and build the method and its trainer, each from a random stream of its own.

    With `low_memory`, frames stay in the host's memory, and fewer are tested at once.
    """
    context = cell.context
    resident = not low_memory
    data, table, pixels = _opened(
        context.dataset, cell.settings.data, context.cache, device, resident=resident
    )
    if data.store.content_hash != cell.hashes["data"]:
        raise UsageError(f"the frames of {data.name} have changed since this run was planned")
    return assemble(cell, data, table, pixels, low_memory=low_memory)


def assemble(
    cell: Cell,
    data: OpenedDataset,
    table: FrameTable,
    pixels: Pixels,
    *,
    low_memory: bool = False,
) -> Experiment:
    """Put a cell together on opened data: all that it knows of labels comes from `data`, `table`.

    The conformance checks call it on data whose hidden labels were scrambled first.
    """
    split = data.split(cell.point, cell.settings.data.val_subjects)
    mask = LabelMask.load(cell.mask_file)
    train, validation = data.sequences_of(split.train), data.sequences_of(split.validation)
    keys = key_rows(train, mask)
    validation_keys = key_rows(validation, mask)
    sampler = _sampler(cell, table, keys, train)
    trainer = _trainer(cell, data, sampler, pixels, validation_keys)
    return Experiment(
        trainer=trainer,
        table=table,
        pixels=pixels,
        train_keys=keys,
        validation_keys=validation_keys,
        validation=() if cell.trial else validation,
        test=validation if cell.trial else data.sequences_of(split.test),
        scored=validation_keys if cell.trial else None,
        train=train,
        warnings=data.store.warnings,
        frames_at_once=_FRAMES_AT_ONCE_LOW_MEMORY if low_memory else FRAMES_AT_ONCE,
    )


# cells that agree in what decides their frames share them in a process
@lru_cache(maxsize=1)
def _opened(
    dataset: DatasetSpec, config: DataConfig, cache: Path, device: torch.device, *, resident: bool
) -> tuple[OpenedDataset, FrameTable, Pixels]:
    data = dataset.open(config, cache)
    pixels = Pixels(data.store.images, device, resident=resident)
    return data, frame_table(data.store), pixels


def _sampler(
    cell: Cell, table: FrameTable, keys: RowNumbers, train: Sequence[StoredSequence]
) -> Sampler:
    return Sampler(
        table,
        keys,
        rows_of(train),
        needs=cell.needs,
        data=cell.settings.data,
        batch_size=cell.settings.train.batch_size,
        key=_stream_key(cell),
    )


def _stream_key(cell: Cell) -> StreamKey:
    return StreamKey(cell.context.dataset.name, cell.point)


def _trainer(
    cell: Cell,
    data: OpenedDataset,
    sampler: Sampler,
    pixels: Pixels,
    validation_keys: RowNumbers,
) -> Trainer:
    cls = cell.method_class
    task = _task(cell, data, sampler, len(validation_keys))
    key = _stream_key(cell)
    torch.manual_seed(stream_seed(*key.stream("init")))
    with published_weights_at_hand(_checked_weights(cell)):
        method = cls(cls.Config(**cell.method_config), task).to(pixels.device)
    method = method.to(memory_format=torch.channels_last)
    # dropout and the like: a stream of its own, whatever the construction drew
    torch.manual_seed(stream_seed(*key.stream("train")))
    loader = Loader(sampler, pixels, cell.settings.augment, reveal=cell.sees_hidden_labels)
    return Trainer(method, loader, cell.settings.train, pixels.device, validation_keys)


def _checked_weights(cell: Cell) -> dict[str, Path]:
    """Return the files of published weights by timm name; UsageError if one is another by now."""
    for found in cell.published_weights:
        if not found.file.is_file() or file_digest(found.file) != found.sha256:
            raise UsageError(
                f"{found.file} is not the file of {found.source} that was there when this run was "
                f"planned (SHA-256 {found.sha256[:12]}): remove it, and start the run again"
            )
    return {found.name: found.file for found in cell.published_weights}


def _task(cell: Cell, data: OpenedDataset, sampler: Sampler, validation_frames: int) -> Task:
    return Task(
        aus=tuple(data.store.aus),
        image_size=cell.settings.data.size,
        trunk=cell.settings.trunk,
        positive_rates=tuple(positive_rates(sampler.table.labels[sampler.keys]).tolist()),
        labelled_frames=len(sampler.keys),
        unlabelled_frames=len(sampler.unlabelled_rows),
        clip_len=sampler.needs.clip_len,
        validation_frames=validation_frames,
        labels=torch.from_numpy(sampler.table.labels[sampler.keys]),
    )
