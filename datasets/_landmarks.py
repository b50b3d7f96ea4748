"""Face landmarks: index tables, mirroring, the mean face, and the crops that landmarks give.

Points are the usual 68: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips
60-67; "left" is the viewer's left. The 49 inner points lack the jaw and the inner mouth corners,
DISFA's 66 only the latter. There is no way back: a jaw line cannot be had from inner points.
Coordinates are (x, y), y down, origin at the top left CORNER of the top left pixel, so that pixel
i spans i..i+1. A transform (2, 3) takes source pixels to the unit square of a crop.

Shapes: ... any leading axes (frames, T, as a rule), L landmarks (68 or 49).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INNER_49: NDArray[np.int64] = np.setdiff1d(np.arange(17, 68), (60, 64))
"""Which of the 68 points the 49 are, in order."""

MARKUPS = (49, 66, 68)
"""How many points the markups in use have."""

_LEFT_68 = np.r_[0:9, 17:22, 27:34, 36:42, 48:52, 57:63, 66:68]
_RIGHT_68 = np.r_[
    *(slice(16, 7, -1), slice(26, 21, -1), slice(27, 31), slice(35, 32, -1), slice(45, 41, -1)),
    *(47, 46, slice(54, 50, -1), slice(57, 54, -1), slice(64, 61, -1), 66, 65),
]

MIRROR_68: NDArray[np.int64] = np.empty(68, dtype=np.int64)
"""Point i of a mirrored face is point MIRROR_68[i] of the original."""
MIRROR_68[_LEFT_68], MIRROR_68[_RIGHT_68] = _RIGHT_68, _LEFT_68

MIRROR_49: NDArray[np.int64] = np.searchsorted(INNER_49, MIRROR_68[INNER_49])
"""The same for the 49 points."""

FARTHEST = 1e6
"""No picture is as many pixels wide: a coordinate beyond is a mistake, and unknown."""

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


def to_49(landmarks: NDArray[Any]) -> NDArray[Any]:
    """Keep the 49 inner points of (..., 68, 2) or (..., 66, 2); (..., 49, 2) comes back as it is.

    Raises ValueError for any other number of points.
    """
    count = landmarks.shape[-2] if landmarks.ndim > 1 and landmarks.shape[-1] == 2 else 0
    if count not in MARKUPS:
        raise ValueError(
            f"landmarks have shape {landmarks.shape}: they must end in (68, 2), (66, 2) or (49, 2)"
        )
    if count == 68:
        return landmarks[..., INNER_49, :]
    return landmarks[..., count - 49 :, :]


def believed(landmarks: NDArray[Any]) -> NDArray[np.float32]:
    """Return (..., L, 2) points as they are, but NaN for all of a face that cannot be one.

    That is one with an unknown point or one that no picture reaches, or with all on one spot, as
    trackers write where they find no face.
    """
    reached = (np.abs(landmarks) <= FARTHEST).all(axis=(-2, -1), keepdims=True)
    apart = np.ptp(landmarks, axis=-2, keepdims=True).max(axis=-1, keepdims=True) > 0
    return np.where(reached & apart, landmarks, np.nan).astype(np.float32)


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


def centre_transform(size: tuple[int, int]) -> Floats:
    """Return the crop (2, 3) of the largest square amid a (height, width) frame."""
    height, width = size
    centre = np.array([width / 2, height / 2])
    return _square(np.eye(2), centre, np.float64(min(size)))


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


def _square(rotation: Floats, centre: Floats, side: Floats | np.float64) -> Floats:
    """Build the transform of a crop: its axes, its centre in those axes, its side in pixels."""
    length = np.where(side > 0, side, np.nan)[..., None]
    shift = 0.5 - centre / length
    return np.concatenate([rotation / length[..., None], shift[..., None]], axis=-1)
