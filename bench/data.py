"""An opened dataset: its frame store and folds, and the split and label mask of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets._base import Dataset, FoldList
from datasets._masks import LabelMask, label_mask
from datasets._split import Split, make_split
from datasets._with_faces import FACE_OPTIONS, WithFaces

from .config import unknown
from .frames import FrameStore, StoredSequence, open_store
from .settings import DataConfig


@dataclass(frozen=True)
class Data:
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
            raise unknown("key", key, known, name)
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
) -> Data:
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
    return Data(name, store, dataset.folds(), (*dataset.notes, *dataset.problems, *store.problems))


@dataclass(frozen=True)
class Labelled:
    """Who a cell learns from and is tested on, and which labels it may use."""

    split: Split
    mask: LabelMask


def split_and_mask(
    data: Data, *, fold: int, ratio: str, rule: str, seed: int, val_subjects: int
) -> Labelled:
    """Draw the split and the label mask of (data, fold, ratio, rule, seed).

    The mask covers training and validation subjects: validation labels are part of the budget.
    """
    split = make_split(data.store.sequences, data.folds, fold, val_subjects, seed)
    learnt = data.of(split.train + split.validation)
    return Labelled(split, label_mask(learnt, float(ratio), rule, seed, dataset=data.name))


def mask_path(results: Path, mask: LabelMask, fold: int) -> Path:
    """Name the file that a mask is kept in: by what it is, and by its hash."""
    label = f"{mask.dataset}-f{fold}-r{mask.ratio:g}-{mask.rule}-s{mask.seed}"
    return results / "masks" / f"{label}-{mask.sha256[:10]}.json"
