"""Face landmarks: index tables, mirroring, the mean face, and the crops that landmarks give.

Points are the usual 68: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips
60-67; "left" is the viewer's left. The 49 inner points lack the jaw and the inner mouth corners,
DISFA's 66 only the latter. There is no way back: a jaw line cannot be had from inner points.
Coordinates are (x, y), y down, origin at the top left CORNER of the top left pixel, so that pixel
i spans i..i+1. A transform (2, 3) takes source pixels to the unit square of a crop.

Shapes: ... any leading axes (frames, T, as a rule), L landmarks (68 or 49).
"""

from __future__ import annotations

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


def mask_implausible(landmarks: NDArray[Any]) -> NDArray[np.float32]:
    """Return (..., L, 2) points as they are, but NaN for all of a face that cannot be one.

    That is one with an unknown point or one that no picture reaches, or with all on one spot, as
    trackers write where they find no face.
    """
    reached = (np.abs(landmarks) <= FARTHEST).all(axis=(-2, -1), keepdims=True)
    apart = np.ptp(landmarks, axis=-2, keepdims=True).max(axis=-1, keepdims=True) > 0
    return np.where(reached & apart, landmarks, np.nan).astype(np.float32)
