"""From a source frame to a face crop: where the crop lies, and one warp from source to crop.

A transform (2, 3) takes a frame's pixels to the unit square of its crop (`datasets._landmarks`).

Shapes: T frames of a sequence, S side of the stored crop in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets._base import Sequence
from datasets._landmarks import (
    BOX_MARGIN,
    CROP_DROP,
    CROP_SIDE,
    Floats,
    align_transform,
    box_transform,
    centre_transform,
    transform_points,
)

Crop = Literal["auto", "align", "box", "centre"]
CROPS: tuple[str, ...] = get_args(Crop)

RECIPE = 1
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


def plan_crops(sequence: Sequence, crop: str, size: tuple[int, int]) -> CropPlan:
    """Choose every frame's crop: its landmarks', else its box's, else the nearest known frame's.

    `crop` is one of `CROPS`; `size` is the (height, width) that the coordinates are measured in.
    """
    centre = np.broadcast_to(centre_transform(size), (len(sequence.frames), 2, 3))
    if crop == "centre":
        return CropPlan(centre, centred=False, doubtful=0)
    transforms = np.full(centre.shape, np.nan)
    doubtful = np.zeros(len(centre), dtype=bool)
    for wanted, found in (
        ("align", None if sequence.landmarks is None else align_transform(sequence.landmarks)),
        ("box", None if sequence.boxes is None else box_transform(sequence.boxes)),
    ):
        if found is None or crop not in ("auto", wanted):
            continue
        good = _plausible(found, size)
        doubtful |= _known(found) & ~good
        use = good & ~_known(transforms)
        transforms[use] = found[use]
    known = _known(transforms)
    if not known.any():
        return CropPlan(centre, centred=True, doubtful=int(doubtful.sum()))
    filled = transforms[_nearest(sequence.frames, known)]
    return CropPlan(filled, centred=False, doubtful=int(doubtful.sum()))


def sufficient_side(plan: CropPlan, crop_side: int, size: tuple[int, int]) -> int:
    """Return how short a frame's shorter side may be decoded without enlarging any crop."""
    scales = np.sqrt(np.abs(np.linalg.det(plan.transforms[:, :, :2])))
    smallest = 1 / float(scales.max())
    return math.ceil(min(size) * crop_side / smallest)


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


def _plausible(transforms: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which crops (T,) are centred within the frame and as large as a face may be."""
    good = _known(transforms)
    inverse = np.linalg.inv(transforms[good][:, :, :2])
    middle = inverse @ (0.5 - transforms[good][:, :, 2:])
    inside = ((middle[..., 0] >= 0) & (middle[..., 0] <= size[::-1])).all(axis=1)
    side = np.sqrt(np.abs(np.linalg.det(inverse)))
    good[good] = inside & (side >= SMALLEST_CROP) & (side <= LARGEST_CROP * max(size))
    return good


def _nearest(frames: NDArray[np.int64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Index (T,) of the nearest known frame in time; the earlier one of two equally near."""
    at = np.flatnonzero(known)
    after = np.searchsorted(at, np.arange(len(frames))).clip(max=len(at) - 1)
    before = (after - 1).clip(min=0)
    earlier = frames - frames[at[before]] <= frames[at[after]] - frames
    nearest: NDArray[np.int64] = at[np.where(earlier, before, after)]
    return nearest


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
