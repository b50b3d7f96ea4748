"""Datasets as asked for and as opened: the reader, its frame store and folds, splits and masks.

`DatasetSpec.open()` is the one way from a name to frames; `OpenedDataset.split` is the one place
where subjects are divided. Used by the command line, the study, the runner and the checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bench.config.names import GridPoint
from bench.config.registry import Registry
from bench.config.settings import DataConfig
from bench.errors import unknown_name
from bench.frame_store.store import FrameStore, StoredSequence, open_store
from bench.system.seeds import generator
from datasets._base import UNCODED, Dataset, DatasetMissing, FoldList, Sequence
from datasets._landmarks.with_face_file import FACE_OPTIONS, WithFaces
from datasets._splits.folds import Split, make_split
from datasets._splits.masks import LabelMask, label_mask


@dataclass(frozen=True)
class DatasetSpec:
    """A dataset as a person asks for it; equal specs mean equal frames and labels."""

    name: str
    root: Path | None = None
    options: tuple[tuple[str, str], ...] = ()
    """The reader's own knobs, sorted by name."""
    registry: Registry = field(default_factory=Registry)

    def reader(self) -> Dataset:
        """Build the reader, which has read nothing yet; UsageError for an option that is none."""
        cls = self.registry.dataset(self.name)
        known = {**cls.option_help, **FACE_OPTIONS}
        for key, _ in self.options:
            if key not in known:
                raise unknown_name("key", key, known, self.name)
        own = {key: value for key, value in self.options if key not in FACE_OPTIONS}
        faces = {key: value for key, value in self.options if key in FACE_OPTIONS}
        return WithFaces(cls(self.root, **own), **faces)

    def read_labels(self) -> tuple[Dataset, list[Sequence]]:
        """Read all recordings, labels only; raises DatasetMissing if there is none."""
        reader = self.reader()
        sequences = [sequence for sequence in reader.sequences() if len(sequence.frames)]
        if not sequences:
            raise DatasetMissing(self.root or self.name, "no recording was found in it")
        return reader, sequences

    def open(
        self,
        config: DataConfig,
        cache: Path,
        *,
        workers: int = 1,
        progress: Callable[[int, int], None] | None = None,
        retry: bool = False,
    ) -> OpenedDataset:
        """Open the frame store, building what is missing; raises what the reader raises.

        `retry` gives images that could not be read before another chance.
        """
        reader = self.reader()
        store = open_store(
            reader,
            name=self.name,
            size=config.size,
            cache=cache,
            crop=config.crop,
            workers=workers,
            progress=progress,
            retry=retry,
        )
        problems = (*reader.notes, *reader.problems, *store.problems)
        return OpenedDataset(self.name, store, reader.folds(), problems)


@dataclass(frozen=True)
class OpenedDataset:
    """A dataset whose frames are decoded: everything that cells on it share."""

    name: str
    store: FrameStore
    folds: FoldList
    problems: tuple[str, ...]
    """What the reader and the store left out, by name."""

    def sequences_of(self, subjects: tuple[str, ...]) -> list[StoredSequence]:
        """Return the sequences of `subjects`, in the store's order."""
        wanted = set(subjects)
        return [s for s in self.store.sequences if s.subject in wanted]

    def split(self, point: GridPoint, val_subjects: int = 0) -> Split:
        """Divide the subjects for a point of the grid; raises DatasetError."""
        return make_split(self.store.sequences, self.folds, point.fold, val_subjects, point.seed)

    def with_hidden_scrambled(self, mask: LabelMask) -> OpenedDataset:
        """Return the data with hidden labels turned round at random; what is uncoded stays so.

        Intensities are hidden all, so that all of them are drawn anew, or made up.

        Nothing but scores and audits may differ in a run on it: the test of every firewall.
        """
        rng = generator("scramble", self.name)
        sequences = []
        for s in self.store.sequences:
            paid = np.isin(s.frames, mask.key_frames.get(s.name, np.empty(0, np.int64)))
            turned = (rng.random(s.labels.shape) < 0.7) & (s.labels != UNCODED) & ~paid[:, None]
            labels = np.where(turned, 1 - s.labels, s.labels).astype(np.int8)
            levels = rng.uniform(0, 5, labels.shape).astype(np.float32)
            sequences.append(replace(s, labels=labels, intensities=levels))
        return replace(self, store=replace(self.store, sequences=tuple(sequences)))

    def labelled_split(self, point: GridPoint, val_subjects: int = 0) -> LabelledSplit:
        """Draw the split and the label mask of a point of the grid; raises DatasetError.

        The mask covers training and validation subjects: validation labels are part of the budget.
        """
        split = self.split(point, val_subjects)
        paid_for = self.sequences_of(split.train + split.validation)
        mask = label_mask(paid_for, point.ratio, point.rule, point.seed, dataset=self.name)
        return LabelledSplit(split, mask)


@dataclass(frozen=True)
class LabelledSplit:
    """Who a cell learns from and is tested on, and which labels it may use."""

    split: Split
    mask: LabelMask


def mask_path(results: Path, mask: LabelMask, fold: int) -> Path:
    """Name the file that a mask is kept in: by what it is, and by its hash."""
    label = f"{mask.dataset}-f{fold}-r{mask.ratio:g}-{mask.rule}-s{mask.seed}"
    return results / "masks" / f"{label}-{mask.sha256[:10]}.json"
