"""Where a frame store lies, what must be in it, and the steps that bring it there.

The folder's name holds a hash of all that the pixels depend on, so that a store is never stale: it
is the right one or another one. `manifest.json` is written last; without it nothing is trusted but
what `journal.jsonl` lists.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from datasets._base import Sequence

from ._crops import RECIPE
from ._store_build import Job, run_jobs
from ._store_files import (
    Built,
    FrameStoreError,
    Journal,
    RowFile,
    built_from,
    explained,
    one_builder,
)
from .records import whole_file

Progress = Callable[[int, int], None]
"""Takes the frames done so far and the frames there are."""


@dataclass(frozen=True)
class Site:
    """A store's folder and the sequences that belong in it, in row order."""

    path: Path
    key: str
    sequences: tuple[Sequence, ...]
    size: int
    crop: str

    @property
    def rows(self) -> int:
        """Count the frames, N, readable or not."""
        return sum(len(sequence.frames) for sequence in self.sequences)

    @property
    def frames(self) -> RowFile:
        """(N, S, S, 3) uint8 pixels."""
        return RowFile(self.path / "frames.npy", (self.rows, self.size, self.size, 3), "|u1")

    @property
    def crops(self) -> RowFile:
        """(N, 2, 3) float64: each row's transform, source pixels to the crop's unit square."""
        return RowFile(self.path / "crops.npy", (self.rows, 2, 3), "<f8")

    @property
    def manifest(self) -> Path:
        """What became of every sequence; its existence means: finished."""
        return self.path / "manifest.json"


def find_site(cache: Path, name: str, sequences: list[Sequence], size: int, crop: str) -> Site:
    """Name the store of a dataset's sequences; reads nothing but the sources' fingerprints."""
    assert len({s.name for s in sequences}) == len(sequences), "two sequences share a name"
    digest = hashlib.sha256(f"{RECIPE}\n{name}\n{size}\n{crop}\n".encode())
    for sequence in sequences:
        marks = sequence.landmarks if crop in ("auto", "align") else None
        boxes = sequence.boxes if crop in ("auto", "box") else None
        parts = (sequence.source.fingerprint(), *map(_hash, (sequence.frames, marks, boxes)))
        digest.update(f"{sequence.name}\n{' '.join(parts)}\n".encode())
    key = digest.hexdigest()
    return Site(cache / f"{name}-{crop}-{size}px-{key[:12]}", key, tuple(sequences), size, crop)


def _hash(array: NDArray[Any] | None) -> str:
    if array is None:
        return "none"
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()


def read_manifest(site: Site) -> tuple[list[Built] | None, list[str]]:
    """Return what was built, or None and, if something unusable is in the way, a sentence."""
    try:
        finished = _parse(site.manifest.read_text(encoding="utf-8"), site)
    except FileNotFoundError:
        return None, []
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        return None, [f"{site.manifest} was not usable ({why}): the store was built again"]
    for file in (site.frames, site.crops):
        if not file.is_whole():
            return None, [f"{file.path} was missing or cut short: the store was built again"]
    return finished, []


def _parse(text: str, site: Site) -> list[Built]:
    values = json.loads(text)
    finished = [built_from(built) for built in values["sequences"]]
    if values["key"] != site.key or len(finished) != len(site.sequences):
        raise ValueError("it describes other frames")
    return finished


def build(site: Site, workers: int, progress: Progress) -> list[Built]:
    """Decode what is missing, write the manifest, return what became of every sequence, in order.

    Waits while another process builds the same store. A store without one readable frame is not
    kept. Raises FrameStoreError.
    """
    journal = Journal(site.path / "journal.jsonl")
    with one_builder(site.path, lambda: progress(_frames(site, journal.read()), site.rows)):
        finished, _ = read_manifest(site)
        return finished if finished is not None else _build(site, journal, workers, progress)


def _build(site: Site, journal: Journal, workers: int, progress: Progress) -> list[Built]:
    with explained(site.path):
        finished = _prepare(site, journal)
    before = _frames(site, finished)

    def keep(built: Built) -> None:
        with explained(site.path):
            journal.add(built)
        finished[built.name] = built

    missing = [job for job in _jobs(site) if job.sequence.name not in finished]
    run_jobs(missing, workers, lambda count: progress(before + count, site.rows), keep)
    ordered = [finished[sequence.name] for sequence in site.sequences]
    with explained(site.path):
        if sum(len(built.left_out) for built in ordered) < site.rows:
            with whole_file(site.manifest) as stream:
                manifest = {"key": site.key, "sequences": [asdict(built) for built in ordered]}
                json.dump(manifest, stream, indent=1)
        journal.clear()
    return ordered


def _prepare(site: Site, journal: Journal) -> dict[str, Built]:
    """Make the row files, and return the sequences that an interrupted build left finished."""
    site.manifest.unlink(missing_ok=True)
    if not (site.frames.is_whole() and site.crops.is_whole()):
        journal.clear()
        site.frames.create()
        site.crops.create()
    finished = journal.read()
    needed = (site.rows - _frames(site, finished)) * site.size**2 * 3
    free = shutil.disk_usage(site.path).free
    if needed > free:
        raise FrameStoreError(
            f"{site.path}: the frame store needs {needed / 1e6:,.1f} MB more and "
            f"{free / 1e6:,.1f} MB are free; free space or choose another folder with --cache"
        )
    return finished


def _jobs(site: Site) -> list[Job]:
    starts = [0, *accumulate(len(sequence.frames) for sequence in site.sequences)]
    return [
        Job(sequence, start, site.crop, site.frames, site.crops)
        for sequence, start in zip(site.sequences, starts, strict=False)
    ]


def _frames(site: Site, finished: Mapping[str, Built]) -> int:
    """Count the frames of the finished sequences."""
    return sum(len(s.frames) for s in site.sequences if s.name in finished)
