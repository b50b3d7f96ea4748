"""Face detection (extra `detect`): dlib's frontal face detector, and faces followed through a film.

dlib is maintained, Boost-licensed, and carries this detector inside its compiled code: nothing is
downloaded (King, "Max-margin object detection", arXiv 1502.00046: HOG features, a linear SVM). It
finds frontal faces of about an eighth of the picture's longer side and more.

Shapes: T frames of a recording, n faces on a frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.errors import UsageError
from bench.frame_store.decode import frame_sizes, padded_frames
from datasets._base import BrokenFrame

from .recordings import Face, Recording

LONGER_SIDE = 640
"""Frames are looked at in this size, pixels; larger ones are reduced to it."""

KNOWN_FACE = 120
"""A face that is followed is looked for in this size, pixels (the detector needs 80): a large one
costs a fraction of a look at everything."""

LOOKS_A_SECOND = 10.0
"""How often a film is looked at; between two looks a face moves in a straight line."""

SAME_FACE = 0.3
"""Overlap (intersection over union) from which two boxes of successive looks are one face."""

SMOOTHED_OVER = 2
"""Looks on each side over which a face's box is averaged: the detector's boxes come in steps."""

WHOLE_LOOK_EVERY = 1.0
"""Seconds after which all sizes are looked for again: somebody may have come."""

LOST_AFTER = 1.0
"""Seconds without the face after which one at the same place is another."""


@dataclass
class Track:
    """A face as it is followed: where and how surely it was found, by frame."""

    places: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.float32]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)

    def add(self, place: int, box: NDArray[np.float32], score: float) -> None:
        """Note the face on one more frame."""
        self.places.append(place)
        self.boxes.append(box)
        self.scores.append(score)


class Detector:
    """Finds faces on a picture; raises UsageError where the extra is not installed."""

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError:
            raise UsageError(
                "--detect needs the extra `detect`: pip install -c constraints.txt -e '.[detect]'; "
                "or give face boxes or landmarks by --landmarks FILE (docs/faces.md)"
            ) from None
        self._detector: Any = dlib.get_frontal_face_detector()

    def __call__(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return boxes (n, 4) in the frame's pixels and scores (n,) above 0, the largest first."""
        small = reduced(frame, LONGER_SIDE)
        found, scores, _ = self._detector.run(small, 0, 0.0)
        corners = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found]
        boxes = np.array(corners, np.float32).reshape(-1, 4)
        boxes *= np.float32(max(frame.shape) / max(small.shape))
        order = np.argsort(-_area(boxes), kind="stable")
        return boxes[order], np.asarray(scores, np.float32)[order]


def reduced(frame: NDArray[np.uint8], longer_side: int) -> NDArray[np.uint8]:
    """Return a frame (h, w, 3) no larger than `longer_side`."""
    height, width = frame.shape[:2]
    scale = longer_side / max(height, width)
    if scale >= 1:
        return frame
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    area: NDArray[np.float32] = np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)
    return area


def overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of a box (4,) with others (n, 4) -> (n,)."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    share: NDArray[np.float32] = shared / (_area(box) + _area(others) - shared)
    return share


def detect_faces(
    recording: Recording,
    detector: Detector,
    progress: Callable[[int], None] = lambda _: None,
    *,
    all_of_them: bool = False,
) -> list[Face]:
    """Find the faces of a recording; ids count from 0 in the order of their coming.

    One face, whichever is the largest on each frame that is looked at; or `all_of_them`, followed
    by the overlap of their boxes. `progress` takes the frames done so far.
    """
    looks, times = _looks(recording.times), recording.times
    tracks: list[Track] = []
    wanted = set(looks)
    sizes = frame_sizes(recording.source)
    side, whole = LONGER_SIDE, -np.inf
    for place, frame in enumerate(padded_frames(recording.source, LONGER_SIDE)):
        progress(place)
        if place not in wanted or isinstance(frame, BrokenFrame):
            continue
        if times[place] - whole >= WHOLE_LOOK_EVERY:
            side, whole = LONGER_SIDE, times[place]
        boxes, scores = _look(detector, frame, side, sizes[place])
        if not all_of_them:
            boxes, scores = boxes[:1], scores[:1]
        side = _sufficient_side(boxes, sizes[place])
        _follow(tracks, place, boxes, scores, times, one=not all_of_them)
    return [_face(track, number, looks) for number, track in enumerate(tracks)]


def _look(
    detector: Detector, frame: NDArray[np.uint8], side: int, size: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return boxes in pixels of the source and scores; of the whole frame if less shows nobody."""
    small = reduced(frame, side)
    boxes, scores = detector(small)
    if not len(boxes) and small is not frame:
        return _look(detector, frame, LONGER_SIDE, size)
    scale = size / small.shape[:2]  # a JPEG may come smaller, too
    return boxes * np.tile(scale[::-1], 2).astype(np.float32), scores


def _sufficient_side(boxes: NDArray[np.float32], size: NDArray[np.int64]) -> int:
    """Return the longer side in which the smallest of these faces is still seen well."""
    if not len(boxes):
        return LONGER_SIDE
    smallest = float(np.sqrt(_area(boxes).min()))
    return min(LONGER_SIDE, math.ceil(KNOWN_FACE / smallest * int(size.max())))


def _looks(times: NDArray[np.float64]) -> list[int]:
    """Return the frames that are looked at: `LOOKS_A_SECOND`, the first and the last."""
    if len(times) < 2:
        return list(range(len(times)))
    pace = float(np.median(np.diff(times)))
    every = max(1, int(1 / (LOOKS_A_SECOND * pace) + 1e-6)) if pace > 0 else 1
    return sorted({*range(0, len(times), every), len(times) - 1})


def _follow(
    tracks: list[Track],
    place: int,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    times: NDArray[np.float64],
    *,
    one: bool,
) -> None:
    """Add each box to the track that it goes on, the most overlapping first, or begin another."""
    alive = [t for t in tracks if one or times[place] - times[t.places[-1]] <= LOST_AFTER]
    pairs = [
        (float(share), t, k)
        for t, track in enumerate(alive)
        for k, share in enumerate(overlap(track.boxes[-1], boxes))
    ]
    taken: set[int] = set()
    going: set[int] = set()
    for share, t, k in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if (one or share >= SAME_FACE) and k not in taken and t not in going:
            alive[t].add(place, boxes[k], float(scores[k]))
            taken.add(k)
            going.add(t)
    for k in range(len(boxes)):
        if k not in taken:
            tracks.append(Track())
            tracks[-1].add(place, boxes[k], float(scores[k]))


def _face(track: Track, number: int, looks: Iterable[int]) -> Face:
    """Smooth a track, and fill in the frames between two successive looks that both found it."""
    first, last = track.places[0], track.places[-1]
    count = last - first + 1
    boxes, confidence = np.full((count, 4), np.nan, np.float32), np.full(count, np.nan, np.float32)
    for run in _unbroken(track, [look for look in looks if first <= look <= last]):
        at = np.array([track.places[k] for k in run]) - first
        boxes[at] = _smoothed(np.stack([track.boxes[k] for k in run]))
        confidence[at] = [certainty(track.scores[k]) for k in run]
        for before, after in pairwise(at):
            steps = np.arange(1, after - before, dtype=np.float32)[:, None] / (after - before)
            boxes[before + 1 : after] = boxes[before] + steps * (boxes[after] - boxes[before])
            confidence[before + 1 : after] = min(confidence[before], confidence[after])
    return Face(number, first, confidence, boxes)


def _unbroken(track: Track, looks: list[int]) -> Iterator[list[int]]:
    """Yield the stretches of a track, as places in it, in which every look found the same face.

    Where the largest face is another one's from one look to the next, another stretch begins.
    """
    order = {look: k for k, look in enumerate(looks)}
    run = [0]
    for k in range(1, len(track.places)):
        next_look = order[track.places[k]] == order[track.places[k - 1]] + 1
        if not next_look or overlap(track.boxes[k], track.boxes[k - 1][None])[0] < SAME_FACE:
            yield run
            run = []
        run.append(k)
    yield run


def _smoothed(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average boxes (n, 4) over their neighbours, the nearer ones counting more; the ends less."""
    reach = SMOOTHED_OVER
    smooth = np.zeros_like(boxes, np.float64)
    for k in range(len(boxes)):
        around = min(reach, k, len(boxes) - 1 - k)  # as many on both sides: no lag at the ends
        weights = around + 1 - np.abs(np.arange(-around, around + 1))
        smooth[k] = np.average(boxes[k - around : k + around + 1], axis=0, weights=weights)
    return smooth.astype(np.float32)


def certainty(score: float) -> float:
    """Turn the detector's score (a distance from its margin, 0 to about 3) into 0.5 to 1.

    It is monotonic and no probability: OpenFace's readers drop rows below 0.5 or 0.8.
    """
    return float(1 / (1 + np.exp(-2 * score)))
