"""Recordings in memory whose every reading is counted, for tests of the frame store."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.frame_store.store import FrameStore, open_store
from datasets._base import BrokenFrame, Dataset, DatasetCorrupt, FoldList, Sequence

SIZE = (40, 60)


@dataclass(frozen=True)
class Arrays:
    """Frames in memory; every reading is logged to a file, so that other processes' count too."""

    pixels: NDArray[np.uint8]
    folder: Path
    name: str
    broken: tuple[int, ...] = ()
    gives_up_at: int | None = None
    dies: bool = False

    def __len__(self) -> int:
        return len(self.pixels)

    def fingerprint(self) -> str:
        return f"{self.name} {hashlib.sha256(self.pixels.tobytes()).hexdigest()} {self.broken}"

    def size(self) -> tuple[int, int]:
        return SIZE

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        with (self.folder / "reads").open("a") as log:
            log.write(f"{self.name}\n")
        wait_at(self.folder / f"gate-{self.name}")
        for index, frame in enumerate(self.pixels):
            if self.dies:
                os._exit(1)
            if index == self.gives_up_at:
                raise DatasetCorrupt(f"{self.name}.avi", None, "the stream is damaged")
            if index == len(self) - 1:
                (self.folder / f"read-to-the-end-{self.name}").touch()
            yield BrokenFrame(f"{self.name}/{index}.jpg", "cut") if index in self.broken else frame


def wait_at(gate: Path) -> None:
    """Wait while the file is there, holding a lock on it that ends with this process."""
    if gate.exists():
        with gate.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            wait_for(lambda: not gate.exists(), seconds=300)


def is_being_read(gate: Path) -> bool:
    with gate.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Toy(Dataset):
    aus = (1, 12)
    fps = 25.0

    def __init__(self, given: list[Sequence], root: Path | None = None):
        super().__init__(root)
        self.given = given

    def sequences(self) -> list[Sequence]:
        return self.given

    def folds(self) -> FoldList:
        raise NotImplementedError


def toy(folder: Path, names: str = "ABC", length: int = 4, **source: Any) -> Toy:
    """Return recordings of noise without face positions; `source` describes the first one."""
    folder.mkdir(exist_ok=True)
    given = []
    for index, name in enumerate(names):
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 256, (length, *SIZE, 3)).astype(np.uint8)
        frames = np.arange(length, dtype=np.int64) + 100
        labels = rng.integers(-1, 2, (length, 2)).astype(np.int8)
        arrays = Arrays(pixels, folder, f"{name}_T1", **(source if index == 0 else {}))
        given.append(Sequence(subject=name, task="T1", frames=frames, labels=labels, source=arrays))
    return Toy(given, folder)


def store_of(dataset: Dataset, cache: Path, **options: Any) -> FrameStore:
    given: dict[str, Any] = {"name": "toy", "size": 16, "crop": "centre", "workers": 1}
    return open_store(dataset, cache=cache, **(given | options))


def reads(folder: Path) -> list[str]:
    log = folder / "reads"
    return sorted(log.read_text().split()) if log.exists() else []


def changed(dataset: Toy, index: int, **values: Any) -> Toy:
    given = list(dataset.given)
    given[index] = replace(given[index], **values)
    return Toy(given, dataset.root)


def rows_of(store: FrameStore, index: int) -> NDArray[np.uint8]:
    sequence = store.sequences[index]
    return np.array(store.images[sequence.start : sequence.start + len(sequence.frames)])


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {seconds} s"
        time.sleep(0.01)
