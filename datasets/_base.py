"""The dataset contract: cheap sequences of labelled frames, and the errors a reader may raise.

A dataset lists what lies on disk (names and label files only) and never decodes a pixel; pixels are
read through a sequence's `FrameSource` in one place, the frame store (`bench/frame_store/`).

Shapes: T frames of a sequence, A action units, L landmarks (68, or 49 without the jaw line).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

UNCODED = -1
"""Label of an AU that was not coded on a frame; never counted, never trained on."""


class DatasetError(Exception):
    """What a reader says when it cannot go on: one sentence a person can act on."""


class DatasetMissing(DatasetError):
    """The dataset, or a part of it, is not at `path`; `advice` says how to get it."""

    def __init__(self, path: Path | str, advice: str):
        super().__init__(f"{path}: {advice}")
        self.path, self.advice = Path(path), advice


class DatasetCorrupt(DatasetError):
    """`file` holds something it must not, at `line` (1-based; None where lines mean nothing)."""

    def __init__(self, file: Path | str, line: int | None, what: str):
        where = f"{file}, line {line}" if line is not None else f"{file}"
        super().__init__(f"{where}: {what}")
        self.file, self.line, self.what = Path(file), line, what


@dataclass(frozen=True)
class BrokenFrame:
    """A frame that could not be read: its name as a person would look for it, and why."""

    name: str
    why: str


class FrameSource(Protocol):
    """The pixels behind a sequence, in frame order; picklable, so that workers can read it.

    A source may have a method `remarks() -> list[str]` besides: sentences about its files that a
    person should know (that they ask to be shown turned, say).
    """

    def __len__(self) -> int:
        """Count the frames, T."""
        ...

    def fingerprint(self) -> str:
        """Identify the pixels without decoding them (names, sizes, times; or a recipe's hash)."""
        ...

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        """Yield every frame in order as (height, width, 3) RGB uint8, or why it cannot be read.

        `min_side` allows a decoder to return a frame reduced by 2, 4 or 8 as long as its shorter
        side stays at least that long; the caller scales coordinates by the size it gets.
        """
        ...

    def size(self) -> tuple[int, int] | NDArray[np.int64]:
        """Return the (height, width) that landmarks and boxes are measured in.

        Where the frames differ in size it is an array (T, 2), a frame's own in each row.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """One recording of one subject doing one task: ordered frames and their labels.

    `frames` (T,) int64 are the dataset's own frame numbers, strictly increasing; `labels` (T, A)
    int8 are 1, 0 or `UNCODED`; `landmarks` (T, L, 2) float32 and `boxes` (T, 4) float32
    (x0, y0, x1, y1) are in source pixels, origin top left, NaN where unknown. `numbers` (T,) int64
    are those in the images' names where these are not `frames`: what a face file goes by.

    `intensities` (T, A) float32 are 0 to 5, NaN where unknown. They are hidden labels, too: no
    method is told any, not even of a key frame; scores of the test frames alone are made of them.
    """

    subject: str
    task: str
    frames: NDArray[np.int64]
    labels: NDArray[np.int8]
    source: FrameSource
    landmarks: NDArray[np.float32] | None = None
    boxes: NDArray[np.float32] | None = None
    numbers: NDArray[np.int64] | None = None
    intensities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        length = len(self.frames)
        assert self.labels.shape[0] == length == len(self.source), f"{self.name}: lengths differ"
        assert np.all(np.diff(self.frames) > 0), f"{self.name}: frame numbers do not increase"
        if self.intensities is not None:
            same = self.intensities.shape == self.labels.shape
            assert same, f"{self.name}: labels and intensities differ in shape"

    @property
    def name(self) -> str:
        """Name the recording as the field does, e.g. `F001_T1`."""
        return f"{self.subject}_{self.task}"

    @property
    def coded(self) -> NDArray[np.bool_]:
        """Tell which frames carry a label for at least one AU, shape (T,)."""
        coded: NDArray[np.bool_] = (self.labels != UNCODED).any(axis=1)
        return coded


@dataclass(frozen=True)
class FoldList:
    """Named groups of test subjects; fold k tests on group k and trains on all the others."""

    name: str
    groups: tuple[tuple[str, ...], ...]
    sha256: str
    """Hash of the fold file's content, so that a record says which list it used."""

    def test_subjects(self, fold: int) -> frozenset[str]:
        """Return the subjects that fold `fold` tests on; DatasetError if there is no such fold."""
        if not 0 <= fold < len(self.groups):
            known = ", ".join(map(str, range(len(self.groups))))
            raise DatasetError(
                f"fold {fold} does not exist in fold list {self.name}: it has folds {known}"
            )
        return frozenset(self.groups[fold])


class Dataset(ABC):
    """A place on disk (or a recipe) that yields sequences. Concrete readers are final.

    `options` are the reader's own knobs (`--set NAME.KEY=VALUE` with the dataset's name), listed in
    `option_help`; an unknown one is an error before anything is read. The constructor stores and
    does not read.
    """

    aus: tuple[int, ...]
    fps: float
    needs_root: ClassVar[bool] = True
    """Whether it reads a folder; one that does not takes none (`--root` is then an error)."""
    option_help: ClassVar[Mapping[str, str]] = {}

    def __init__(self, root: Path | None = None, **options: object):
        self.root, self.options = root, options
        self.problems: list[str] = []
        """Sentences about what `sequences` left out, by file; filled by its last call."""
        self.notes: list[str] = []
        """Sentences about what it decided where copies differ (a frame offset, say); likewise."""

    @abstractmethod
    def sequences(self) -> list[Sequence]:
        """List every recording, sorted by subject and task; fast: label files only.

        Raises DatasetMissing or DatasetCorrupt. What is left out on the way (a label without an
        image, say) is added to `problems`, named, and the rest goes on.
        """

    @abstractmethod
    def folds(self) -> FoldList:
        """Return the subject-exclusive folds that the field compares on."""
