"""Where a frame store lies, what must be in it, and how its manifest is read and written.

The folder's name holds a hash of all that the pixels depend on, so that a store is never stale: it
is the right one or another one. `manifest.json` is written last; without it nothing is trusted but
what `journal.jsonl` lists.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from datasets._base import Sequence

from ._crops import recipe
from ._store_files import Built, Journal, RowFile
from ._store_reuse import read_store, row_files
from .files import whole_file


@dataclass(frozen=True)
class Site:
    """A store's folder and the sequences that belong in it, in row order."""

    path: Path
    key: str
    sequences: tuple[Sequence, ...]
    keys: tuple[str, ...]
    """What each sequence's pixels depend on, hashed."""
    size: int
    crop: str
    generation: int = 0
    """How often images that had been unreadable were read after all; names the row files."""

    @property
    def rows(self) -> int:
        """Count the frames, N, readable or not."""
        return sum(len(sequence.frames) for sequence in self.sequences)

    @property
    def frames(self) -> RowFile:
        """(N, S, S, 3) uint8 pixels."""
        path, _ = row_files(self.path, self.generation)
        return RowFile(path, (self.rows, self.size, self.size, 3), "|u1")

    @property
    def crops(self) -> RowFile:
        """(N, 2, 3) float64: each row's transform, source pixels to the crop's unit square."""
        _, path = row_files(self.path, self.generation)
        return RowFile(path, (self.rows, 2, 3), "<f8")

    @property
    def manifest(self) -> Path:
        """What became of every sequence; its existence means: finished."""
        return self.path / "manifest.json"

    @property
    def journal(self) -> Journal:
        """The finished sequences of a build that is under way, or was."""
        suffix = f"-{self.generation}" if self.generation else ""
        return Journal(self.path / f"journal{suffix}.jsonl")


@dataclass(frozen=True)
class Finished:
    """A site (of the generation that counts) and what became of its sequences, in order."""

    site: Site
    sequences: list[Built]
    decoded: int = 0
    """Frames that were decoded just now."""

    @property
    def lacks_frames(self) -> bool:
        """Tell whether any image could not be read."""
        return any(built.left_out for built in self.sequences)


def find_site(cache: Path, name: str, sequences: list[Sequence], size: int, crop: str) -> Site:
    """Name the store of a dataset's sequences; reads nothing but the sources' fingerprints."""
    assert len({s.name for s in sequences}) == len(sequences), "two sequences share a name"
    digest = hashlib.sha256(f"{recipe()}\n{name}\n{size}\n{crop}\n".encode())
    keys = []
    for sequence in sequences:
        marks = sequence.landmarks if crop in ("auto", "align") else None
        boxes = sequence.boxes if crop in ("auto", "box") else None
        parts = (sequence.source.fingerprint(), *map(_hash, (sequence.frames, marks, boxes)))
        line = " ".join(parts)
        digest.update(f"{sequence.name}\n{line}\n".encode())
        keys.append(hashlib.sha256(f"{recipe()}\n{size}\n{crop}\n{line}".encode()).hexdigest())
    key = digest.hexdigest()
    path = cache / f"{name}-{crop}-{size}px-{key[:12]}"
    return Site(path, key, tuple(sequences), tuple(keys), size, crop)


def _hash(array: NDArray[Any] | None) -> str:
    if array is None:
        return "none"
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()


def read_manifest(site: Site) -> tuple[Finished | None, list[str]]:
    """Return what was built, or None and, if something unusable is in the way, a sentence."""
    if not site.manifest.exists():
        return None, []
    try:
        finished = _parse(site)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        return None, [f"{site.manifest} was not usable ({why}): the store was built again"]
    for file in (finished.site.frames, finished.site.crops):
        if not file.is_whole():
            return None, [f"{file.path} was missing or cut short: the store was built again"]
    return finished, []


def _parse(site: Site) -> Finished:
    generation, built = read_store(site.path)
    key = json.loads(site.manifest.read_text(encoding="utf-8"))["key"]
    sequences = list(built)
    if key != site.key or len(sequences) != len(site.sequences):
        raise ValueError("it describes other frames")
    return Finished(replace(site, generation=generation), sequences)


def write_manifest(finished: Finished) -> None:
    """Declare a store finished, whole or not at all; raises RecordError."""
    site = finished.site
    content = {
        "key": site.key,
        "generation": site.generation,
        "sequences": [asdict(built) for built in finished.sequences],
    }
    with whole_file(site.manifest) as stream:
        json.dump(content, stream, indent=1)
