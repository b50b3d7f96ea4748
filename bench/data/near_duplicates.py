"""Near duplicates: frames that look the same in two folds, a sequence there under two names, say.

Every frame becomes a thumbnail of 16 x 16 grey blocks and a perceptual hash of 256 bits: which
blocks are brighter than the frame's median. Frames of two folds whose hashes agree on at least one
of 8 bands are compared by the correlation of their thumbnails; two hashes that differ in 7 bits or
fewer always share a band. A copy that was compressed or scaled anew, or brightened, is found; one
that was mirrored, turned or cropped otherwise is not.

Shapes: N frames, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.frame_store.store import FrameStore

THUMBNAIL_SIDE = 16
BANDS = 8

MIN_CORRELATION = 0.99
"""Correlation of two thumbnails from which on they count as the same picture."""

MIN_CONTRAST = 2.0
"""Standard deviation (of 256 grey levels) below which a thumbnail shows nothing to compare."""

CHUNK = 256
BLOCK = 2048
Floats = NDArray[np.float32]
RowNumbers = NDArray[np.int64]

# Every band takes blocks from all over the frame: plain backgrounds agree between all faces.
_SPREAD = np.arange(THUMBNAIL_SIDE * THUMBNAIL_SIDE).reshape(-1, BANDS).T.ravel()


@dataclass(frozen=True)
class DuplicatePair:
    """Two recordings of different folds that share frames; the example is the closest pair."""

    one: str
    other: str
    frames: int
    """Frames of `one` that have a double in `other`."""
    frame: int
    other_frame: int
    likeness: float
    """Correlation of the example's thumbnails."""


@dataclass(frozen=True)
class DuplicateSearch:
    """What was found among N frames."""

    compared: int
    flat: int
    """Frames too plain to compare."""
    twins: tuple[DuplicatePair, ...]
    """Most frames first."""


def near_duplicates(store: FrameStore, fold_of: Mapping[str, int]) -> DuplicateSearch:
    """Find frames that are alike in two folds; `fold_of` maps subjects to folds.

    Memory: 256 bytes a frame, and blocks of bounded size.
    """
    owner = np.repeat(np.arange(len(store.sequences)), [len(s.frames) for s in store.sequences])
    folds = np.array([fold_of.get(s.subject, -1) for s in store.sequences])[owner]
    thumbs = np.concatenate(list(_thumbnails(store)))
    plain = thumbs.std(axis=1, dtype=np.float32) < MIN_CONTRAST
    kept = np.flatnonzero(~plain & (folds >= 0))
    double, likeness = _closest_duplicates(thumbs, folds, kept)
    twins = _duplicate_pairs(store, owner, np.flatnonzero(double >= 0), double, likeness)
    return DuplicateSearch(len(kept), int(plain.sum()), twins)


def _thumbnails(store: FrameStore) -> Iterator[NDArray[np.uint8]]:
    """Yield thumbnails (n, 256), a part of a recording at a time; a map is let go after each."""
    for sequence in store.sequences:
        images = np.load(str(store.images.filename), mmap_mode="r")
        for start in range(0, len(sequence.frames), CHUNK):
            stop = min(start + CHUNK, len(sequence.frames))
            yield thumbnails(images[sequence.start + start : sequence.start + stop])


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Average images (n, S, S, 3) to grey blocks (n, 256)."""
    side = images.shape[1]
    edges = np.linspace(0, side, THUMBNAIL_SIDE, endpoint=False).astype(int)
    extents = np.diff(np.append(edges, side)).clip(min=1)
    grey = images.sum(axis=3, dtype=np.uint32)
    blocks = np.add.reduceat(np.add.reduceat(grey, edges, axis=1), edges, axis=2)
    means: NDArray[np.float64] = blocks / (3 * extents[:, None] * extents)
    return means.round().astype(np.uint8).reshape(len(images), -1)


def hashes(thumbs: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Hash thumbnails (n, 256) to 8 bands of 32 bits (n, 8)."""
    bits = thumbs > np.median(thumbs, axis=1, keepdims=True)
    packed = np.packbits(bits[:, _SPREAD], axis=1)
    return np.ascontiguousarray(packed).view(np.uint32)


def _closest_duplicates(
    thumbs: NDArray[np.uint8], folds: NDArray[np.int64], kept: RowNumbers
) -> tuple[RowNumbers, Floats]:
    """Return for every frame its closest double in another fold (-1: none) and the likeness."""
    double = np.full(len(thumbs), -1, np.int64)
    likeness = np.zeros(len(thumbs), np.float32)
    bands = hashes(thumbs[kept]) if len(kept) else np.empty((0, BANDS), np.uint32)
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order])) + 1
        for group in np.split(kept[order], starts):
            for one, other in _candidate_blocks(group, folds):
                _compare(thumbs, one, other, double, likeness)
    return double, likeness


def _candidate_blocks(
    group: RowNumbers, folds: NDArray[np.int64]
) -> Iterator[tuple[RowNumbers, RowNumbers]]:
    """Yield blocks of frames of one band's group that lie in two different folds."""
    if len(group) < 2 or (folds[group] == folds[group[0]]).all():
        return
    for fold in np.unique(folds[group]):
        here, there = group[folds[group] == fold], group[folds[group] > fold]
        for i in range(0, len(here), BLOCK):
            for j in range(0, len(there), BLOCK):
                yield here[i : i + BLOCK], there[j : j + BLOCK]


def _compare(
    thumbs: NDArray[np.uint8],
    one: RowNumbers,
    other: RowNumbers,
    double: RowNumbers,
    likeness: Floats,
) -> None:
    """Keep the best double of every frame of both blocks."""
    alike = _normal(thumbs[one]) @ _normal(thumbs[other]).T
    if alike.max() < MIN_CORRELATION:
        return
    for rows, partners, table in ((one, other, alike), (other, one, alike.T)):
        best = table.argmax(axis=1)
        found = table[np.arange(len(rows)), best]
        better = (found >= MIN_CORRELATION) & (found > likeness[rows])
        double[rows[better]] = partners[best[better]]
        likeness[rows[better]] = found[better]


def _normal(thumbs: NDArray[np.uint8]) -> Floats:
    centred = thumbs - thumbs.mean(axis=1, keepdims=True, dtype=np.float32)
    normal: Floats = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return normal


def _duplicate_pairs(
    store: FrameStore,
    owner: NDArray[np.int64],
    found: RowNumbers,
    double: RowNumbers,
    likeness: Floats,
) -> tuple[DuplicatePair, ...]:
    """Sum the doubles up by pair of recordings."""
    pairs: dict[tuple[int, int], list[int]] = {}
    for index in found.tolist():
        one, other = sorted((index, int(double[index])))
        pairs.setdefault((int(owner[one]), int(owner[other])), []).append(index)
    first = np.searchsorted(owner, np.arange(len(store.sequences)))
    twins = []
    for (one, other), members in pairs.items():
        best = max(members, key=lambda index: float(likeness[index]))
        left, right = sorted((best, int(double[best])))
        a, b = store.sequences[one], store.sequences[other]
        count = sum(int(owner[index]) == one for index in members) or len(members)
        frames = int(a.frames[left - first[one]]), int(b.frames[right - first[other]])
        twins.append(DuplicatePair(a.name, b.name, count, *frames, float(likeness[best])))
    return tuple(sorted(twins, key=lambda twin: (-twin.frames, twin.one, twin.other)))
