"""A procedural face as geometry: one resting template that everybody's face is bent from.

The template is a head seen from the front. A point of it is named by (x, y), its place in the
frontal view: x to the image's right, y down, eye line at y = 0, half the face's width = 1. The 68
landmarks are points like any other, so their projections are exact.

Shapes: N points.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)

SCALE, CENTRE_Y = 0.27, 0.25
"""Pixels per template unit over the frame's side, and the template height in the frame's middle."""

EYE_X, EYE_W, LID_UP, LID_LOW = 0.40, 0.195, 0.088, 0.062

MOUTH_Y, MOUTH_W, GAP = 1.0, 0.33, 0.05
"""Eye (centre, half width, lid heights) and mouth; GAP opens the lips in the template only, so that
a mouth that opens has points inside to stretch."""


def bump(x: Array, y: Array, cx: float, cy: float, sx: float, sy: float) -> Array:
    """Return a Gaussian hill at (+-cx, cy), the same on both sides of the face."""
    hill: Array = np.exp(-(((np.abs(x) - cx) / sx) ** 2) - ((y - cy) / sy) ** 2)
    return hill


def ramp(value: Array, low: float, high: float) -> Array:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    rise: Array = t * t * (3 - 2 * t)
    return rise


def side(x: Array) -> Array:
    """Return -1 on the image's left, 1 on its right, with a soft step between, (N,)."""
    sides: Array = np.tanh(x / 0.08)
    return sides


def profile(y: Array) -> tuple[Array, Array]:
    """Return the head's half width and depth at height y, both (N,)."""
    up, down = np.clip(-y / 1.62, 0, 1), np.clip(y / 1.64, 0, 1)
    width = np.where(y < 0, (1 - up**2.8) ** 0.5, (1 - down**2.7) ** 0.58)
    depth = np.where(y < 0, (1 - up**2.6) ** 0.5, (1 - down**6.0) ** 0.5)
    return width.astype(np.float32), depth.astype(np.float32)


def lids(x: Array) -> tuple[Array, Array]:
    """Return the y of the upper and the lower lid margin above and below a point, both (N,)."""
    s = np.clip(np.abs((np.abs(x) - EYE_X) / EYE_W), 0, 1)
    return -LID_UP * (1 - s**2.3), LID_LOW * (1 - s**2.0)


def lips(x: Array) -> tuple[Array, Array, Array, Array]:
    """Return the y of upper lip top, upper margin, lower margin and lower lip bottom, each (N,)."""
    s = np.clip(np.abs(x) / MOUTH_W, 0, 1)
    arch = 1 - s**2
    bow = 0.075 * arch**0.75 - 0.018 * np.exp(-((x / 0.045) ** 2))
    top, bottom = MOUTH_Y - GAP * arch, MOUTH_Y + GAP * arch
    return top - bow, top, bottom, bottom + 0.115 * arch**0.8


def below_lips(x: Array, y: Array) -> Array:
    """Tell how far a point belongs to the lower lip's side: 0 above, 1 below, (N,)."""
    s = np.abs(x) / MOUTH_W
    half = GAP * np.clip(1 - s**2, 0, 1) + 0.012 + 0.25 * np.clip(s - 1, 0, None)
    share: Array = np.clip(0.5 + (y - MOUTH_Y) / (2 * half), 0, 1)
    return share


def brow(x: Array) -> Array:
    """Return the y of the brow's middle line at a point, (N,)."""
    s = (np.abs(x) - 0.14) / 0.54
    line: Array = -0.29 - 0.085 * np.sin(np.clip(s, 0, 1) ** 1.2 * 2.5)
    return line


def base(x: Array, y: Array, cosine: Array) -> Array:
    """Return the resting face (3, N) with closed lips; `cosine` tells front (1) from back (-1)."""
    _, depth = profile(y)
    round_head = depth * np.sign(cosine) * np.abs(cosine) ** 0.8
    z = round_head + _relief(x, y) * np.clip(cosine * 2.5, 0, 1)
    shut = GAP * np.clip(1 - (x / MOUTH_W) ** 2, 0, 1) * np.exp(-(((y - MOUTH_Y) / 0.22) ** 2))
    share = below_lips(x, y)
    return np.stack([x, y + shut * (1 - 2 * share), z]).astype(np.float32)


def _relief(x: Array, y: Array) -> Array:
    ridge = 0.05 + 0.31 * ramp(y, -0.2, 0.62)
    nose = ridge * ramp(y, -0.35, -0.05) * (1 - ramp(y, 0.54, 0.76))
    width = 0.085 + 0.075 * ramp(y, 0.1, 0.6)
    parts = (
        nose * np.exp(-((np.abs(x) / width) ** 2.2)),
        0.11 * bump(x, y, 0.155, 0.585, 0.075, 0.085),
        0.05 * bump(x, y, 0.36, -0.27, 0.30, 0.12),
        -0.13 * bump(x, y, 0.37, -0.06, 0.21, 0.15),
        -0.06 * bump(x, y, 0.17, 0.02, 0.07, 0.14),
        0.07 * bump(x, y, EYE_X, 0.0, 0.15, 0.09),
        0.07 * bump(x, y, 0.60, 0.33, 0.22, 0.20),
        -0.05 * bump(x, y, 0.62, 0.85, 0.20, 0.25),
        0.07 * bump(x, y, 0.0, 0.93, 0.30, 0.10),
        0.085 * bump(x, y, 0.0, 1.10, 0.24, 0.075),
        -0.05 * bump(x, y, 0.0, 1.235, 0.25, 0.055),
        0.14 * bump(x, y, 0.0, 1.40, 0.24, 0.15),
        -0.022 * bump(x, y, 0.0, 0.81, 0.04, 0.09),
    )
    relief: Array = np.sum(parts, axis=0)
    return relief


@lru_cache(maxsize=1)
def landmark_points() -> tuple[Array, Array]:
    """Return the template (x, y) of the 68 landmarks in iBUG order, two (68,) arrays."""
    jaw_y = np.array([0.05, 0.30, 0.55, 0.80, 1.03, 1.23, 1.38, 1.48, 1.52])
    jaw_x = np.append(
        -0.985 * profile(jaw_y[:-1])[0] * [1, 1, 1, 0.99, 0.97, 0.93, 0.83, 0.55], 0.0
    )
    brow_x = np.array([-0.68, -0.55, -0.41, -0.28, -0.15])
    left = [*zip(jaw_x[:-1], jaw_y[:-1], strict=True)]
    mirrored = [(-x, y) for x, y in reversed(left)]
    brows = [(x, float(brow(np.array([x]))[0])) for x in (*brow_x, *-brow_x[::-1])]
    nose = [(0.0, y) for y in (-0.06, 0.14, 0.34, 0.55)]
    nostrils = [(x, 0.69 - 0.35 * abs(x)) for x in (-0.17, -0.09, 0.0, 0.09, 0.17)]
    points = [
        *left,
        (0.0, 1.52),
        *mirrored,
        *brows,
        *nose,
        *nostrils,
        *_eye_points(),
        *_lip_points(),
    ]
    x, y = np.array(points, np.float32).T
    return x, y


def _eye_points() -> list[tuple[float, float]]:
    upper, lower = (float(edge) for edge in np.concatenate(lids(np.array([EYE_X + 0.07]))))
    outer, inner, far, near = EYE_X + EYE_W, EYE_X - EYE_W, EYE_X + 0.07, EYE_X - 0.07
    right = [(-outer, 0), (-far, upper), (-near, upper), (-inner, 0), (-near, lower), (-far, lower)]
    left = [(inner, 0), (near, upper), (far, upper), (outer, 0), (far, lower), (near, lower)]
    return [(float(x), float(y)) for x, y in right + left]


def _lip_points() -> list[tuple[float, float]]:
    def at(x: float, edge: int) -> tuple[float, float]:
        return x, float(lips(np.array([x]))[edge][0])

    outer = [at(x, 0) for x in (-MOUTH_W, -0.21, -0.08, 0.0, 0.08, 0.21, MOUTH_W)]
    outer += [at(x, 3) for x in (0.21, 0.10, 0.0, -0.10, -0.21)]
    inner = [at(x, 1) for x in (-0.29, -0.10, 0.0, 0.10, 0.29)]
    return outer + inner + [at(x, 2) for x in (0.10, 0.0, -0.10)]
