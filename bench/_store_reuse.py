"""Rows that lie decoded in the cache already: taken over, so that only what changed is decoded.

A sequence's key is a hash of all that its pixels depend on, so rows under the same key are the
rows that decoding would give. They are checked against their own SHA-256 on the way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ._store_files import Built, Journal, RowFile, built_from


@dataclass(frozen=True)
class Donor:
    """A finished sequence in another store (or another generation of the same one)."""

    built: Built
    frames: RowFile
    crops: RowFile


def take_over(
    donor: Donor, count: int, start: int, frames: RowFile, crops: RowFile
) -> Built | None:
    """Copy a donor's `count` rows to row `start`; None if they are not what they were written as.

    Raises FrameStoreError if the rows cannot be written.
    """
    digest, first = hashlib.sha256(), donor.built.start
    try:
        with frames.writer() as write_frame, crops.writer() as write_crop:
            for row, pixels in enumerate(donor.frames.rows(first, count), start):
                write_frame(row, pixels)
                digest.update(pixels.tobytes())
            for row, transform in enumerate(donor.crops.rows(first, count), start):
                write_crop(row, transform)
    except (OSError, ValueError):
        return None
    same = digest.hexdigest() == donor.built.pixels
    return replace(donor.built, start=start) if same else None


def donors_among(folders: Iterable[Path], keys: frozenset[str]) -> dict[str, Donor]:
    """Find the sequences of `keys` that stores in `folders` hold whole, by key.

    One with frames left out is no donor: they get another chance.
    """
    donors: dict[str, Donor] = {}
    for folder in folders:
        with suppress(OSError, ValueError, KeyError, TypeError):  # it is no store, or half of one
            generation, finished = read_store(folder)
            frames, crops = (RowFile.found(file) for file in row_files(folder, generation))
            for built in finished:
                if built.key in keys and not built.left_out:
                    donors.setdefault(built.key, Donor(built, frames, crops))
    return donors


def row_files(folder: Path, generation: int) -> tuple[Path, Path]:
    """Name the files of pixels and of crops; a retried store has files of a later generation."""
    suffix = f"-{generation}" if generation else ""
    return folder / f"frames{suffix}.npy", folder / f"crops{suffix}.npy"


def read_store(folder: Path) -> tuple[int, Iterator[Built]]:
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
    return int(values.get("generation", 0)), map(built_from, values["sequences"])
