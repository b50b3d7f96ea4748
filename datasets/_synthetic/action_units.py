"""What each muscle does to the template face: how points move, and where the skin folds.

Which action unit moves what follows the FACS manual (Ekman, Friesen, Hager 2002) in words; amounts
were chosen by eye. Full strength is FACS intensity E; action units add up.

Shapes: N points, K shapes, A action units.
"""

from __future__ import annotations

import numpy as np

from .geometry import AUS, EYE_W, EYE_X, MOUTH_W, MOUTH_Y, Array, below_lips, bump, lids, ramp, side

EXTRA = ("jaw", "part", "lid", "low_lid")
"""Shapes that no label speaks of: jaw drop, lips apart, upper lid down, lower lid up."""

JAW_DROP = 0.36
"""How far the chin falls at full jaw drop, in template units."""


def motion(x: Array, y: Array) -> Array:
    """Return how far each point moves at full strength of each shape, (K, 3, N): `AUS`, `EXTRA`."""
    out = np.zeros((len(AUS) + len(EXTRA), 3, x.size), np.float32)
    _brows(out, x, y)
    _cheeks(out, x, y)
    _lip_raisers(out, x, y)
    _lip_pullers(out, x, y)
    _lip_tighteners(out, x, y)
    _jaw_and_lids(out, x, y)
    return out


def _brows(out: Array, x: Array, y: Array) -> None:
    one, two, four = (AUS.index(au) for au in (1, 2, 4))
    free = 1 - ramp(y, -0.16, -0.06)
    out[one, 1] = -free * (0.21 * bump(x, y, 0.17, -0.30, 0.22, 0.24))
    out[two, 1] = -free * (0.22 * bump(x, y, 0.52, -0.34, 0.27, 0.24))
    out[four, 1] = 0.15 * bump(x, y, 0.22, -0.28, 0.34, 0.15) - 0.02 * bump(x, y, 0, -0.1, 0.1, 0.1)
    out[four, 0] = -0.10 * side(x) * bump(x, y, 0.20, -0.26, 0.17, 0.15)
    out[four, 2] = 0.05 * bump(x, y, 0.0, -0.26, 0.14, 0.12)


def _cheeks(out: Array, x: Array, y: Array) -> None:
    six, seven = AUS.index(6), AUS.index(7)
    out[six, 1] = -0.11 * bump(x, y, 0.50, 0.32, 0.27, 0.19)
    out[six, 2] = 0.075 * bump(x, y, 0.48, 0.24, 0.20, 0.11)
    out[six, 0] = -0.035 * side(x) * bump(x, y, 0.68, 0.03, 0.12, 0.16)
    out[seven, 1] = -0.03 * bump(x, y, EYE_X, 0.14, 0.2, 0.06)
    out[seven, 2] = 0.035 * bump(x, y, EYE_X, 0.10, 0.19, 0.045)


def _lip_raisers(out: Array, x: Array, y: Array) -> None:
    ten, chin = AUS.index(10), AUS.index(17)
    above, middle = 1 - below_lips(x, y), np.exp(-((np.abs(x) / 0.27) ** 4))
    out[ten, 1] = -0.125 * above * middle * ramp(y, 0.58, 0.86) * (1 - 0.45 * ramp(y, 0.89, 0.96))
    out[ten, 1] -= 0.06 * bump(x, y, 0.18, 0.58, 0.12, 0.12)
    out[ten, 0] = 0.03 * side(x) * bump(x, y, 0.18, 0.6, 0.1, 0.1)
    out[ten, 2] = 0.05 * bump(x, y, 0.30, 0.58, 0.11, 0.14) + 0.03 * above * bump(
        x, y, 0, 0.92, 0.2, 0.1
    )
    out[chin, 1] = -0.16 * bump(x, y, 0.0, 1.36, 0.30, 0.20)
    lip = bump(x, y, 0.0, 1.0, 0.24, 0.17)
    out[chin, 1] -= 0.10 * lip
    out[chin, 2] = 0.06 * bump(x, y, 0.0, 1.10, 0.26, 0.08) + 0.03 * bump(x, y, 0, 1.3, 0.25, 0.12)


def _lip_pullers(out: Array, x: Array, y: Array) -> None:
    smile, dimple, down = (AUS.index(au) for au in (12, 14, 15))
    corner = bump(x, y, 0.36, 1.0, 0.19, 0.17)
    out[smile, 0] = side(x) * (0.15 * corner + 0.04 * bump(x, y, 0.5, 0.6, 0.2, 0.2))
    out[smile, 1] = -0.15 * corner - 0.07 * bump(x, y, 0.5, 0.6, 0.22, 0.22)
    out[smile, 1] += 0.03 * bump(x, y, 0.0, 0.95, 0.2, 0.14)
    out[smile, 2] = -0.08 * corner + 0.10 * bump(x, y, 0.50, 0.48, 0.19, 0.17)
    tight = bump(x, y, 0.38, 1.0, 0.12, 0.10)
    out[dimple, 0] = 0.05 * side(x) * tight
    out[dimple, 1] = 0.5 * (MOUTH_Y - y) * tight
    out[dimple, 2] = -0.13 * tight + 0.12 * bump(x, y, 0.53, 1.0, 0.07, 0.15)
    out[down, 1] = 0.17 * bump(x, y, 0.34, 1.03, 0.14, 0.17)
    out[down, 0] = 0.02 * side(x) * bump(x, y, 0.34, 1.03, 0.14, 0.17)
    out[down, 2] = 0.05 * bump(x, y, 0.40, 1.18, 0.10, 0.10)


def _lip_tighteners(out: Array, x: Array, y: Array) -> None:
    tight, press = AUS.index(23), AUS.index(24)
    upper, lower = bump(x, y, 0.0, 0.90, 0.30, 0.075), bump(x, y, 0.0, 1.145, 0.28, 0.085)
    out[tight, 1] = 0.070 * upper - 0.092 * lower
    out[tight, 0] = -0.25 * side(x) * bump(x, y, 0.35, 1.0, 0.23, 0.15)
    out[tight, 2] = 0.08 * bump(x, y, 0.0, 1.0, 0.20, 0.16)
    out[press, 1] = 0.085 * upper - 0.112 * lower
    out[press, 0] = 0.025 * side(x) * bump(x, y, 0.34, 1.0, 0.14, 0.10)
    out[press, 2] = 0.06 * bump(x, y, 0.12, 0.83, 0.24, 0.05) + 0.07 * bump(
        x, y, 0.1, 1.22, 0.24, 0.06
    )
    out[press, 2] -= 0.06 * bump(x, y, 0.0, 1.0, 0.3, 0.07)


def _jaw_and_lids(out: Array, x: Array, y: Array) -> None:
    jaw, part, lid, low = range(len(AUS), len(AUS) + len(EXTRA))
    share = below_lips(x, y)
    hang = share * ramp(y, 0.6, 1.05) * np.clip(1.15 - x**2, 0, 1)
    out[jaw, 1], out[jaw, 2] = JAW_DROP * hang, -0.07 * hang
    out[jaw, 0] = -0.05 * side(x) * bump(x, y, 0.34, 1.0, 0.15, 0.15)
    arch = np.clip(1 - (x / MOUTH_W) ** 2, 0, 1)
    near = np.exp(-(((y - MOUTH_Y) / 0.20) ** 2))
    out[part, 1] = arch * near * (0.085 * share - 0.035 * (1 - share))
    top, bottom = lids(x)
    inside = np.abs(np.abs(x) - EYE_X) < EYE_W
    fall = np.where(
        y < top, ramp(y, -0.235, -0.09), np.clip((bottom - y) / (bottom - top + 1e-4), 0, 1)
    )
    rise = np.where(
        y > bottom, 1 - ramp(y, 0.05, 0.22), np.clip((y - top) / (bottom - top + 1e-4), 0, 1)
    )
    out[lid, 1] = inside * fall * (bottom - top) * 0.97
    out[low, 1] = inside * rise * (top - bottom)


def _line(distance: Array, width: float) -> Array:
    stroke: Array = np.exp(-((distance / width) ** 2))
    return stroke


def creases(x: Array, y: Array) -> Array:
    """Return the furrows of each action unit at full strength, (A, N): 1 dark, below 0 lit."""
    return _furrows(x, y) - 0.55 * _furrows(x, y + 0.05)


def _furrows(x: Array, y: Array) -> Array:
    ax = np.abs(x)
    out = np.zeros((len(AUS), x.size), np.float32)
    _upper_furrows(out, ax, y)
    fold = 0.20 + 0.24 * np.clip((y - 0.52) / 0.5, 0, 1.2) ** 0.75
    nasolabial = _line(ax - fold, 0.035)
    out[AUS.index(10)] = nasolabial * ramp(y, 0.42, 0.54) * (1 - ramp(y, 0.80, 0.95))
    out[AUS.index(12)] = (
        _line(ax - fold - 0.03, 0.04) * ramp(y, 0.5, 0.65) * (1 - ramp(y, 0.98, 1.08))
    )
    hook = 0.475 - 1.6 * (y - 1.0) ** 2
    out[AUS.index(14)] = 1.9 * _line(ax - hook, 0.05) * _line(y - 1.0, 0.16)
    out[AUS.index(15)] = 1.1 * _line(ax - 0.37 - 0.45 * (y - 1.08), 0.05) * _line(y - 1.15, 0.09)
    _chin_furrows(out, x, y)
    return out


def _upper_furrows(out: Array, ax: Array, y: Array) -> None:
    rows = sum(_line(y - row - 0.04 * np.cos(ax * 5), 0.036) for row in (-0.47, -0.59, -0.72))
    out[AUS.index(1)] = 0.9 * rows * (1 - ramp(ax, 0.25, 0.5))
    out[AUS.index(2)] = 0.9 * rows * ramp(ax, 0.2, 0.45) * (1 - ramp(ax, 0.7, 0.85))
    glabella = _line(ax - 0.075 - 0.05 * (y + 0.25), 0.045) * _line(y + 0.27, 0.13)
    root = _line(y + 0.06, 0.04) * _line(ax, 0.12)
    out[AUS.index(4)] = 1.5 * glabella + 0.8 * root
    angle, radius = np.arctan2(y + 0.02, ax - 0.57), np.hypot(y + 0.02, ax - 0.57)
    crow = (
        np.clip(np.cos(angle * 9), 0, 1) ** 2 * _line(radius - 0.16, 0.085) * (np.abs(angle) < 0.9)
    )
    pouch = _line(y - 0.17 + 0.25 * (ax - 0.42) ** 2, 0.03) * _line(ax - 0.42, 0.19)
    out[AUS.index(6)] = crow + 0.8 * pouch
    out[AUS.index(7)] = 0.9 * _line(y - 0.10 + 0.9 * (ax - 0.4) ** 2, 0.025) * _line(ax - 0.4, 0.17)


def _chin_furrows(out: Array, x: Array, y: Array) -> None:
    ax = np.abs(x)
    pits = 0.5 + 0.5 * np.cos(x * 36 + 7 * np.sin(y * 9)) * np.cos(y * 32 + 3 * np.sin(x * 13))
    arc = _line(y - 1.25 - 0.9 * x**2, 0.045) * _line(ax, 0.24)
    out[AUS.index(17)] = 1.5 * pits**2 * bump(x, y, 0, 1.38, 0.19, 0.10) + 1.5 * arc
    comb = (
        np.cos(x * 36) ** 2
        * (_line(y - 0.83, 0.055) + 0.8 * _line(y - 1.2, 0.05))
        * _line(ax, 0.24)
    )
    out[AUS.index(23)] = 1.1 * comb + 1.2 * _line(ax - 0.36, 0.045) * _line(y - 1.0, 0.08)
    band = _line(y - 0.895, 0.035) + _line(y - 1.135, 0.04)
    seam = _line(y - MOUTH_Y, 0.045)
    knot = _line(ax - 0.42, 0.05) * _line(y - 1.02, 0.07)
    out[AUS.index(24)] = (1.2 * band + 1.3 * seam) * _line(ax, 0.30) + 1.2 * knot
