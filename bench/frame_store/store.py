"""Frame store: a dataset's cropped frames as memory-mapped uint8, built where missing.

Labels are not kept in it: they come from the dataset at every opening, so that a corrected label
file needs no decoding. What is on disk, and when it is built anew: docs/frame-store.md.

Shapes: N rows, T frames of a sequence, A action units, S pixels a side, L landmarks (68 or 49).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import closest
from datasets._base import UNCODED, Dataset, DatasetMissing, Sequence

from .build import OnProgress, build
from .crop import CROPS, transform_points
from .files import FrameStoreError, SequenceEntry
from .layout import StoreLayout, read_manifest, store_layout


@dataclass(frozen=True, eq=False)
class StoredSequence:
    """A sequence's stored frames: rows start .. start + T - 1 of the store's images."""

    subject: str
    task: str
    name: str
    start: int
    frames: NDArray[np.int64]
    """(T,) the dataset's own frame numbers; those of unreadable images are missing."""
    labels: NDArray[np.int8]
    """(T, A)"""
    landmarks: NDArray[np.float32] | None
    """(T, L, 2) in pixels of the stored crop, NaN where unknown."""
    intensities: NDArray[np.float32] | None = None
    """(T, A) 0 to 5, NaN where unknown; for scores of test frames, and out of every method's reach.

    No hash holds them: they change no result but the scores made of them.
    """

    @property
    def coded(self) -> NDArray[np.bool_]:
        """Tell which frames carry a label for at least one AU, shape (T,)."""
        coded: NDArray[np.bool_] = (self.labels != UNCODED).any(axis=1)
        return coded


@dataclass(frozen=True, eq=False)
class FrameStore:
    """An opened store. Rows that belong to no sequence (unreadable images) mean nothing."""

    path: Path
    images: np.memmap[Any, np.dtype[np.uint8]]
    """(N, S, S, 3) RGB, read-only"""
    sequences: tuple[StoredSequence, ...]
    aus: tuple[int, ...]
    content_hash: str
    """SHA-256 of pixels, labels, frame numbers and names: the same content anywhere hashes so."""
    problems: tuple[str, ...]
    """What was left out or doubted, by name; the reader's own `Dataset.problems` are not here."""
    crop: str
    size: int
    decoded: int
    """Frames that this opening had to decode."""
    warnings: tuple[str, ...] = ()
    """Those of the problems that every result on it should be read with."""

    @property
    def left_out(self) -> int:
        """Count the frames that could not be read."""
        return len(self.images) - sum(len(sequence.frames) for sequence in self.sequences)

    @cached_property
    def landmarks_hash(self) -> str:
        """SHA-256 of the landmarks: pixels need not tell them apart, and some methods see them."""
        digest = hashlib.sha256()
        for sequence in self.sequences:
            marks = sequence.landmarks
            digest.update(f"{sequence.name} {None if marks is None else marks.shape}\n".encode())
            digest.update(b"" if marks is None else marks.astype("<f4").tobytes())
        return digest.hexdigest()


def open_store(
    dataset: Dataset,
    *,
    name: str,
    size: int,
    cache: Path,
    crop: str = "auto",
    workers: int = 2,
    progress: OnProgress | None = None,
    retry: bool = False,
) -> FrameStore:
    """Open a dataset's store at `size` pixels a side, first building what is missing of it.

    `crop`: `align` levels and frames the face by its landmarks, `box` takes the square around its
    box, `centre` the largest square amid the frame; `auto` the first of these that a frame allows.
    Images that cannot be read are left out and named in `problems`; `retry` reads them once more.
    A build that was interrupted goes on from its last finished sequence; one that another process
    is at is waited for; what another store in the cache holds is copied.

    Raises what the reader raises, DatasetMissing if no image can be read, and FrameStoreError.
    """
    sequences = [sequence for sequence in dataset.sequences() if len(sequence.frames)]
    if not sequences:
        raise DatasetMissing(dataset.root or name, "no recording was found in it")
    _check(name, sequences, size, crop)
    layout = store_layout(cache, name, sequences, size, crop)
    built, complaint = read_manifest(layout)
    if built is None or (retry and built.lacks_frames):
        built = build(layout, workers, progress or _no_progress, retry=retry)
    try:
        store = _open_store(built, dataset.aus, complaint)
    except FileNotFoundError:  # another process has just retried: the manifest names other files
        store = _open_store(read_manifest(layout)[0] or built, dataset.aus, complaint)
    if not store.sequences:
        why = built.entries[0].left_out[0][1]
        advice = f"none of its {layout.rows} frames can be read ({why})"
        raise DatasetMissing(dataset.root or name, advice)
    return store


def _no_progress(done: int, total: int) -> None:
    """Show no progress."""


def _check(name: str, sequences: list[Sequence], size: int, crop: str) -> None:
    """Refuse a crop that does not exist or that no sequence allows, and a useless size."""
    if size < 1:
        raise FrameStoreError(f"size {size}: the side of a stored frame must be a pixel or more")
    if crop not in CROPS:
        hint = closest(crop, CROPS)
        raise FrameStoreError(f"crop {crop} does not exist; {hint}There are: {', '.join(CROPS)}")
    lacking = {
        "align": ("landmarks", all(sequence.landmarks is None for sequence in sequences)),
        "box": ("face boxes", all(sequence.boxes is None for sequence in sequences)),
    }
    what, none_at_all = lacking.get(crop, ("", False))
    if none_at_all:
        raise FrameStoreError(f"crop {crop}: {name} comes without {what}; use auto or centre")


def _open_store(layout: StoreLayout, aus: tuple[int, ...], complaint: list[str]) -> FrameStore:
    warnings = tuple(_warnings(layout))
    crops = layout.crops.open()
    sequences = []
    digest = hashlib.sha256(f"{layout.size}\n{aus}\n".encode())
    for sequence, entry in zip(layout.sequences, layout.entries, strict=True):
        stored = _stored_sequence(sequence, entry, crops, layout.size)
        if len(stored.frames) == 0:
            continue
        sequences.append(stored)
        digest.update(f"{stored.name}\n{entry.pixels}\n".encode())
        digest.update(stored.frames.astype("<i8").tobytes() + stored.labels.tobytes())
    images = np.load(layout.frames.path, mmap_mode="r")
    return FrameStore(
        path=layout.path,
        images=images,
        sequences=tuple(sequences),
        aus=aus,
        content_hash=digest.hexdigest(),
        problems=(*warnings, *complaint, *_problems(layout)),
        crop=layout.crop,
        size=layout.size,
        decoded=layout.decoded,
        warnings=warnings,
    )


def _stored_sequence(
    sequence: Sequence, entry: SequenceEntry, crops: NDArray[np.float64], size: int
) -> StoredSequence:
    """Pick a sequence's readable frames, and put their landmarks where the crop shows them."""
    readable = np.ones(len(sequence.frames), dtype=bool)
    readable[[index for index, _ in entry.left_out]] = False
    landmarks = None
    if sequence.landmarks is not None:
        rows = slice(entry.start, entry.start + int(readable.sum()))
        moved = transform_points(crops[rows], sequence.landmarks[readable])
        landmarks = (moved * size).astype(np.float32)
    return StoredSequence(
        sequence.subject,
        sequence.task,
        sequence.name,
        entry.start,
        sequence.frames[readable],
        sequence.labels[readable],
        landmarks,
        None if sequence.intensities is None else sequence.intensities[readable],
    )


def _problems(layout: StoreLayout) -> Iterator[str]:
    """Say in sentences what was left out, and which crops to doubt."""
    for sequence, entry in zip(layout.sequences, layout.entries, strict=True):
        total = len(sequence.frames)
        if len(entry.left_out) == total:
            why = entry.left_out[0][1]
            yield f"{entry.name}: none of its {total} frames can be read ({why}); left out"
        else:
            for why, count in Counter(why for _, why in entry.left_out).items():
                frames = "frame" if count == 1 else f"{count} frames"
                yield f"{why}; {frames} of {entry.name} left out"
        yield from (f"{entry.name}: {remark}" for remark in entry.remarks)
        if entry.doubtful:
            yield (
                f"{entry.name}: the faces of {entry.doubtful} of {total} frames would lie outside "
                "the frame, or be tiny or vast (another size's?); their positions were not used"
            )


def _warnings(layout: StoreLayout) -> Iterator[str]:
    """Say whose faces were not looked for, though a crop by the face was wanted."""
    centred = [entry.name for entry in layout.entries if entry.centred]
    if centred:
        some = ", ".join(centred[:5]) + (", ..." if len(centred) > 5 else "")
        yield (
            f"no face boxes or landmarks: centre crop for {len(centred)} of "
            f"{len(layout.entries)} sequences ({some})"
        )
