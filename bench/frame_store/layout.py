"""Layout of a frame store: where it lies, what must be in it, its manifest, rows cached elsewhere.

The folder's name holds a hash of all that the pixels depend on, so that a store is never stale: it
is the right one or another one. `manifest.json` is written last; without it nothing is trusted but
what `journal.jsonl` lists.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from bench.system.files import atomic_file
from datasets._base import Sequence

from .crop import recipe
from .files import Journal, RowFile, SequenceEntry, entry_from_json


@dataclass(frozen=True)
class StoreLayout:
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
    entries: tuple[SequenceEntry, ...] = ()
    """What became of every sequence, in order; none before it is built."""
    decoded: int = 0
    """Frames that were decoded just now."""

    @property
    def lacks_frames(self) -> bool:
        """Tell whether any image could not be read."""
        return any(entry.left_out for entry in self.entries)

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
    def manifest_file(self) -> Path:
        """What became of every sequence; its existence means: finished."""
        return self.path / "manifest.json"

    @property
    def journal(self) -> Journal:
        """The finished sequences of a build that is under way, or was."""
        suffix = f"-{self.generation}" if self.generation else ""
        return Journal(self.path / f"journal{suffix}.jsonl")


def store_layout(
    cache: Path, name: str, sequences: list[Sequence], size: int, crop: str
) -> StoreLayout:
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
    return StoreLayout(path, key, tuple(sequences), tuple(keys), size, crop)


def _hash(array: NDArray[Any] | None) -> str:
    if array is None:
        return "none"
    return hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()


def read_manifest(layout: StoreLayout) -> tuple[StoreLayout | None, list[str]]:
    """Return the layout as built, or None and, if something unusable is in the way, a sentence."""
    if not layout.manifest_file.exists():
        return None, []
    try:
        built = _parse(layout)
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        return None, [f"{layout.manifest_file} was not usable ({why}): the store was built again"]
    for file in (built.frames, built.crops):
        if not file.is_whole():
            return None, [f"{file.path} was missing or cut short: the store was built again"]
    return built, []


def _parse(layout: StoreLayout) -> StoreLayout:
    generation, entries = read_store(layout.path)
    key = json.loads(layout.manifest_file.read_text(encoding="utf-8"))["key"]
    built = replace(layout, generation=generation, entries=tuple(entries))
    if key != layout.key or len(built.entries) != len(layout.sequences):
        raise ValueError("it describes other frames")
    for entry, own in zip(built.entries, layout.keys, strict=True):
        if entry.key not in ("", own):  # stores from before there were keys have none
            raise ValueError(f"{entry.name} has the frames of another recording")
    return built


def write_manifest(layout: StoreLayout) -> None:
    """Declare a built store finished, whole or not at all; raises RecordError."""
    content = {
        "key": layout.key,
        "generation": layout.generation,
        "sequences": [asdict(entry) for entry in layout.entries],
    }
    with atomic_file(layout.manifest_file) as stream:
        json.dump(content, stream, indent=1)


CachedRows = tuple[SequenceEntry, RowFile, RowFile]
"""A sequence that is finished in another store or generation: its entry there, pixels, crops."""


def copy_rows(
    cached: CachedRows, count: int, start: int, frames: RowFile, crops: RowFile
) -> SequenceEntry | None:
    """Copy `count` cached rows to row `start`; None if they are not what they were written as.

    Raises FrameStoreError if the rows cannot be written.
    """
    entry, cached_frames, cached_crops = cached
    digest = hashlib.sha256()
    try:
        with frames.writer() as write_frame, crops.writer() as write_crop:
            for row, pixels in enumerate(cached_frames.rows(entry.start, count), start):
                write_frame(row, pixels)
                digest.update(pixels.tobytes())
            for row, transform in enumerate(cached_crops.rows(entry.start, count), start):
                write_crop(row, transform)
    except (OSError, ValueError):
        return None
    same = digest.hexdigest() == entry.pixels
    return replace(entry, start=start) if same else None


def cached_sequences(folders: Iterable[Path], keys: frozenset[str]) -> dict[str, CachedRows]:
    """Find the sequences of `keys` that stores in `folders` hold whole, by key.

    One with frames left out is not taken: they get another chance.
    """
    found: dict[str, CachedRows] = {}
    for folder in folders:
        with suppress(OSError, ValueError, KeyError, TypeError):  # it is no store, or half of one
            generation, entries = read_store(folder)
            frames, crops = (RowFile.found(file) for file in row_files(folder, generation))
            for entry in entries:
                if entry.key in keys and not entry.left_out:
                    found.setdefault(entry.key, (entry, frames, crops))
    return found


def row_files(folder: Path, generation: int) -> tuple[Path, Path]:
    """Name the files of pixels and of crops; a retried store has files of a later generation."""
    suffix = f"-{generation}" if generation else ""
    return folder / f"frames{suffix}.npy", folder / f"crops{suffix}.npy"


def read_store(folder: Path) -> tuple[int, Iterator[SequenceEntry]]:
    """Return a store's generation and finished sequences, by its manifest or else its journal.

    Raises OSError, ValueError, KeyError or TypeError if the manifest is none.
    """
    try:
        text = (folder / "manifest.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0, iter(Journal(folder / "journal.jsonl").read().values())
    values = json.loads(text)
    if not isinstance(values, dict):
        raise TypeError("it is no manifest")
    return int(values.get("generation", 0)), map(entry_from_json, values["sequences"])
