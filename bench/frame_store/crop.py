"""Face crops: where a frame's crop lies (by landmarks, box, centre), and one warp to it.

A transform (2, 3) takes a frame's pixels to the unit square of its crop (`datasets._landmarks`).

Shapes: T frames of a sequence, S side of the stored crop in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets._base import Sequence
from datasets._landmarks.markup import _LEFT_68, _RIGHT_68, Floats, to_49

Crop = Literal["auto", "align", "box", "centre"]
CROPS: tuple[str, ...] = get_args(Crop)

RECIPE = 3
"""Version of the code that turns a source frame into a stored one; raise it when pixels change."""

GREY = (128, 128, 128)
"""What a crop shows beyond the edge of its frame."""

SMALLEST_CROP = 8
"""Side in source pixels under which a crop is no face: landmarks in shares of the frame, say."""

LARGEST_CROP = 4
"""Side in the frame's longer sides beyond which it is none either, and a danger to memory."""


def recipe() -> str:
    """Spell out all that a stored frame depends on beside its source: version and measures."""
    return repr((RECIPE, GREY, SMALLEST_CROP, LARGEST_CROP, CROP_SIDE, CROP_DROP, BOX_MARGIN))


@dataclass(frozen=True)
class CropPlan:
    """Where each frame of a sequence is cropped, and what a person should know about it."""

    transforms: Floats
    """(T, 2, 3)"""
    centred: bool
    """No face position is known: every frame gets the centre crop though another was wanted."""
    doubtful: int
    """Face positions not used: outside the frame, or too small or large for a face."""
    known: NDArray[np.bool_]
    """(T,) whether a frame's crop is its own face's; all true where no face is looked for."""
    alone: int = 0
    """Frames without a face of their own or in a frame of their size: they get the centre crop."""


def plan_crops(sequence: Sequence, crop: str, sizes: NDArray[np.int64]) -> CropPlan:
    """Choose every frame's crop: its landmarks', else its box's, else the nearest known frame's.

    `crop` is one of `CROPS`; `sizes` (T, 2) are the (height, width) that the coordinates of each
    frame are measured in.
    """
    centre = centre_transform(sizes)
    if crop == "centre":
        return CropPlan(centre, centred=False, doubtful=0, known=np.ones(len(centre), bool))
    transforms = np.full(centre.shape, np.nan)
    doubtful = np.zeros(len(centre), dtype=bool)
    for wanted, found in (
        ("align", None if sequence.landmarks is None else align_transform(sequence.landmarks)),
        ("box", None if sequence.boxes is None else box_transform(sequence.boxes)),
    ):
        if found is None or crop not in ("auto", wanted):
            continue
        good = _plausible(found, sizes)
        doubtful |= _known(found) & ~good
        use = good & ~_known(transforms)
        transforms[use] = found[use]
    known, count = _known(transforms), int(doubtful.sum())
    if not known.any():
        looked_for = sequence.landmarks is not None or sequence.boxes is not None
        nowhere = np.full(len(centre), not looked_for)
        return CropPlan(centre, centred=True, doubtful=count, known=nowhere)
    filled, alone = _fill(transforms, centre, sequence.frames, sizes)
    return CropPlan(filled, centred=False, doubtful=count, known=known, alone=alone)


def _fill(
    transforms: Floats, centre: Floats, frames: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[Floats, int]:
    """Give each unknown crop the nearest known one's place, as long as both frames are of a size.

    Pixels of a picture mean nothing in one of another size: there the centre is left, and counted.
    """
    filled, known, alone = centre.copy(), _known(transforms), 0
    for size in np.unique(sizes, axis=0):
        alike = np.flatnonzero((sizes == size).all(axis=1))
        at = alike[known[alike]]
        if len(at):
            filled[alike] = transforms[at[nearest_in_time(frames[alike], frames[at])]]
        else:
            alone += len(alike)
    return filled, alone


def sufficient_side(plan: CropPlan, crop_side: int, sizes: NDArray[np.int64]) -> int:
    """Return how short a frame's shorter side may be decoded without enlarging any crop."""
    sides = 1 / np.sqrt(np.abs(np.linalg.det(plan.transforms[:, :, :2])))
    return math.ceil(float((sizes.min(axis=1) * crop_side / sides).max()))


def warp(
    frame: NDArray[np.uint8], transform: Floats, crop_side: int, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Cut a frame's crop (S, S, 3), sampling it once and never below its own resolution.

    The crop is sampled as finely as the frame's own pixels, k x k samples a crop pixel, which are
    averaged: a box filter over each crop pixel's own rotated footprint, so shrinking cannot alias.
    (Pillow rounds each sample down: a crop may be half a grey level too dark.)
    `frame` (h, w, 3) may be smaller than `size`, the (height, width) that `transform` is for.
    """
    inverse = _crop_to_frame(transform, size, frame.shape[:2])
    linear, origin = inverse[:, :2], inverse[:, 2]
    finest = math.sqrt(abs(np.linalg.det(linear))) / crop_side
    samples = max(1, math.ceil(finest - 1e-6))
    quad = transform_points(inverse, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
    low = np.clip(np.floor(quad.min(axis=0)).astype(int) - 2, 0, frame.shape[1::-1])
    high = np.clip(np.ceil(quad.max(axis=0)).astype(int) + 2, 0, frame.shape[1::-1])
    if (high <= low).any():
        return np.full((crop_side, crop_side, 3), GREY, dtype=np.uint8)
    # Rounded to what no pixel can show, so that no machine's last bits choose a pixel's value.
    step = np.round(linear / (crop_side * samples), 9)
    start = np.round(origin - low, 9)
    cut = np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])
    image = Image.fromarray(cut).transform(
        (crop_side * samples, crop_side * samples),
        Image.Transform.AFFINE,
        (*step[0], start[0], *step[1], start[1]),
        resample=Image.Resampling.BICUBIC if finest < 1 else Image.Resampling.BILINEAR,
        fillcolor=GREY,
    )
    return np.asarray(image.reduce(samples) if samples > 1 else image)


def _known(transforms: Floats) -> NDArray[np.bool_]:
    known: NDArray[np.bool_] = np.all(np.isfinite(transforms), axis=(1, 2))
    return known


def _plausible(transforms: Floats, sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which crops (T,) are centred within the frame and as large as a face may be."""
    good = _known(transforms)
    inverse = np.linalg.inv(transforms[good][:, :, :2])
    middle = inverse @ (0.5 - transforms[good][:, :, 2:])
    of = sizes[good]
    inside = ((middle[..., 0] >= 0) & (middle[..., 0] <= of[:, ::-1])).all(axis=1)
    side = np.sqrt(np.abs(np.linalg.det(inverse)))
    good[good] = inside & (side >= SMALLEST_CROP) & (side <= LARGEST_CROP * of.max(axis=1))
    return good


def nearest_in_time(frames: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return for each frame number (T,) the index of the nearest known one, the earlier of two.

    `known` are frame numbers too, increasing, at least one.
    """
    after = np.searchsorted(known, frames).clip(max=len(known) - 1)
    before = (after - 1).clip(min=0)
    return np.where(np.abs(frames - known[before]) <= np.abs(known[after] - frames), before, after)


def _crop_to_frame(
    transform: Floats, size: tuple[int, int], decoded: tuple[int, ...]
) -> NDArray[Any]:
    """Invert a transform and express it in the pixels of the frame as it was decoded."""
    linear = np.linalg.inv(transform[:, :2])
    height, width = _reduction(size, decoded)
    inverse: Floats = np.concatenate([linear, -linear @ transform[:, 2:]], axis=1)
    inverse *= [[width], [height]]
    return inverse


def _reduction(size: tuple[int, int], decoded: tuple[int, ...]) -> tuple[float, float]:
    """Return how much smaller a frame was decoded, along height and width.

    A decoder that reduces by 2, 4 or 8 rounds the size up; the scale is the exact power all the
    same, and the ratio of the sizes would shift points by up to a pixel.
    """
    for power in (1, 2, 4, 8):
        if decoded == tuple(-(-side // power) for side in size):
            return 1 / power, 1 / power
    return decoded[0] / size[0], decoded[1] / size[1]


CROP_SIDE = 2.7
"""Side of an aligned crop, in units: the longer side of the box around `anchors`."""

CROP_DROP = 0.15
"""How far below the middle of that box the crop's centre lies, in units: towards the chin."""

BOX_MARGIN = 1.1
"""Side of a box's crop, in the box's longer sides."""

# One half of the mean face around the middle of its anchors, in crop units. The inner points are
# the mean of rendered ICT-FaceKit faces in motion, made symmetric; the jaw follows their outline.
_HALF_FACE = (
    # jaw, 0-8
    *((-1.13, -0.42), (-1.12, -0.14), (-1.09, 0.14), (-1.02, 0.41), (-0.90, 0.66)),
    *((-0.72, 0.88), (-0.50, 1.06), (-0.26, 1.20), (0.00, 1.26)),
    # brow, 17-21
    *((-0.83, -0.73), (-0.71, -0.85), (-0.55, -0.90), (-0.35, -0.91), (-0.17, -0.87)),
    # nose, 27-33
    *((0.00, -0.54), (0.00, -0.37), (0.00, -0.22), (0.00, -0.03)),
    *((-0.22, 0.16), (-0.11, 0.18), (0.00, 0.20)),
    # eye, 36-41
    *((-0.64, -0.48), (-0.57, -0.53), (-0.41, -0.54)),
    *((-0.26, -0.45), (-0.39, -0.46), (-0.56, -0.46)),
    # outer lips, 48-51 and 57-59
    *((-0.42, 0.48), (-0.30, 0.39), (-0.13, 0.34), (0.00, 0.35)),
    *((0.00, 0.67), (-0.18, 0.64), (-0.31, 0.58)),
    # inner lips, 60-62, 66 and 67
    *((-0.36, 0.48), (-0.19, 0.47), (0.00, 0.48), (0.00, 0.53), (-0.19, 0.51)),
)


def anchors(landmarks: NDArray[Any]) -> Floats:
    """Return left and right eye centre, nose tip, left and right mouth corner: (..., 5, 2)."""
    inner = to_49(landmarks).astype(np.float64)
    eyes = [inner[..., 19:25, :].mean(axis=-2), inner[..., 25:31, :].mean(axis=-2)]
    return np.stack([*eyes, inner[..., 13, :], inner[..., 31, :], inner[..., 37, :]], axis=-2)


def align_transform(landmarks: NDArray[Any]) -> Floats:
    """Return the similarity that levels the eyes and fits the face into the unit square.

    The crop is a tight square from above the brows to below the chin, with about a tenth of air,
    set by the box around the five `anchors` (as JAA-Net's, Shao et al. 2018, which is wider).

    Takes (..., L, 2) pixels, gives (..., 2, 3); NaN where a needed point is NaN or all coincide.
    """
    points = anchors(landmarks)
    level = points[..., 1, :] - points[..., 0, :]
    angle = np.arctan2(level[..., 1], level[..., 0])
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.stack(
        [np.stack([cosine, sine], axis=-1), np.stack([-sine, cosine], axis=-1)], axis=-2
    )
    levelled = points @ np.swapaxes(rotation, -1, -2)
    low, high = levelled.min(axis=-2), levelled.max(axis=-2)
    unit = (high - low).max(axis=-1)
    centre = (low + high) / 2 + np.stack([np.zeros_like(unit), CROP_DROP * unit], axis=-1)
    return _square(rotation, centre, CROP_SIDE * unit)


def box_transform(boxes: NDArray[Any]) -> Floats:
    """Return the crop of the square around each box, `BOX_MARGIN` times its longer side.

    Takes (..., 4) pixels x0, y0, x1, y1, gives (..., 2, 3); NaN where the box is NaN or empty.
    """
    low, high = boxes[..., :2].astype(np.float64), boxes[..., 2:].astype(np.float64)
    extent = high - low
    side = np.where((extent > 0).all(axis=-1), extent.max(axis=-1), np.nan)
    upright = np.broadcast_to(np.eye(2), (*side.shape, 2, 2))
    return _square(upright, (low + high) / 2, BOX_MARGIN * side)


def centre_transform(sizes: NDArray[np.int64]) -> Floats:
    """Return the crop (..., 2, 3) of the largest square amid a frame of (..., 2) height, width."""
    upright = np.broadcast_to(np.eye(2), (*sizes.shape[:-1], 2, 2))
    return _square(upright, sizes[..., ::-1] / 2, sizes.min(axis=-1).astype(np.float64))


def transform_points(transform: NDArray[Any], points: NDArray[Any]) -> Floats:
    """Move points (..., L, 2) by affine transforms (..., 2, 3), frame by frame."""
    moved: Floats = points @ np.swapaxes(transform[..., :2], -1, -2) + transform[..., None, :, 2]
    return moved


@cache
def _mean_face() -> Floats:
    face = np.empty((68, 2))
    face[_LEFT_68] = _HALF_FACE
    face[_RIGHT_68] = face[_LEFT_68] * (-1, 1)
    return transform_points(align_transform(face), face)


def canonical_face() -> NDArray[np.float32]:
    """Return the mean face (68, 2) where an aligned crop shows it, in the crop's unit square."""
    return _mean_face().astype(np.float32)


def _square(rotation: Floats, centre: Floats, side: Floats) -> Floats:
    """Build the transform of a crop: its axes, its centre in those axes, its side in pixels."""
    length = np.where(side > 0, side, np.nan)[..., None]
    shift = 0.5 - centre / length
    return np.concatenate([rotation / length[..., None], shift[..., None]], axis=-1)
