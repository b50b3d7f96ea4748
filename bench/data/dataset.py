"""An opened dataset: its frame store and folds, and the split and label mask of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.config.settings import DataConfig
from bench.errors import unknown_name
from bench.frame_store.store import FrameStore, StoredSequence, open_store
from datasets._base import Dataset, FoldList
from datasets._landmarks.with_face_file import FACE_OPTIONS, WithFaces
from datasets._splits.folds import Split, make_split
from datasets._splits.masks import LabelMask, label_mask


@dataclass(frozen=True)
class OpenedDataset:
    """A dataset whose frames are decoded: everything that cells on it share."""

    name: str
    store: FrameStore
    folds: FoldList
    problems: tuple[str, ...]
    """What the reader and the store left out, by name."""

    def of(self, subjects: tuple[str, ...]) -> list[StoredSequence]:
        """Return the sequences of `subjects`, in the store's order."""
        wanted = set(subjects)
        return [s for s in self.store.sequences if s.subject in wanted]


def make_dataset(
    cls: type[Dataset], name: str, root: Path | None, options: Mapping[str, str]
) -> Dataset:
    """Build a reader; an option that neither it nor every dataset has is an error."""
    known = {**cls.option_help, **FACE_OPTIONS}
    for key in options:
        if key not in known:
            raise unknown_name("key", key, known, name)
    own = {key: value for key, value in options.items() if key not in FACE_OPTIONS}
    faces = {key: value for key, value in options.items() if key in FACE_OPTIONS}
    return WithFaces(cls(root, **own), **faces)


def open_data(
    dataset: Dataset,
    name: str,
    config: DataConfig,
    cache: Path,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    retry: bool = False,
) -> OpenedDataset:
    """Open a dataset's frame store, building what is missing; raises what the reader raises.

    `retry` gives images that could not be read before another chance.
    """
    store = open_store(
        dataset,
        name=name,
        size=config.size,
        cache=cache,
        crop=config.crop,
        workers=workers,
        progress=progress,
        retry=retry,
    )
    return OpenedDataset(
        name, store, dataset.folds(), (*dataset.notes, *dataset.problems, *store.problems)
    )


@dataclass(frozen=True)
class LabelledSplit:
    """Who a cell learns from and is tested on, and which labels it may use."""

    split: Split
    mask: LabelMask


def labelled_split(
    data: OpenedDataset, *, fold: int, ratio: str, rule: str, seed: int, val_subjects: int
) -> LabelledSplit:
    """Draw the split and the label mask of (data, fold, ratio, rule, seed).

    The mask covers training and validation subjects: validation labels are part of the budget.
    """
    split = make_split(data.store.sequences, data.folds, fold, val_subjects, seed)
    learnt = data.of(split.train + split.validation)
    return LabelledSplit(split, label_mask(learnt, float(ratio), rule, seed, dataset=data.name))


def mask_path(results: Path, mask: LabelMask, fold: int) -> Path:
    """Name the file that a mask is kept in: by what it is, and by its hash."""
    label = f"{mask.dataset}-f{fold}-r{mask.ratio:g}-{mask.rule}-s{mask.seed}"
    return results / "masks" / f"{label}-{mask.sha256[:10]}.json"
