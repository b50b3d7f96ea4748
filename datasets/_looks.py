"""What one person looks like at rest: the shape of the face, and the colour of each of its points.

Shapes: N template points (see `_faces`).
"""

from __future__ import annotations

import numpy as np

from . import _faces
from ._faces import EYE_X, Array, bump, ramp, side
from ._muscles import creases
from ._people import Person


def rgb(red: float, green: float, blue: float) -> Array:
    """Return a colour (3,)."""
    return np.array([red, green, blue], np.float32)


def neutral(who: Person, x: Array, y: Array, cosine: Array) -> Array:
    """Return the person's resting face, (3, N): the template moved by the identity shapes."""
    points = _faces.base(x, y, cosine)
    points += np.tensordot(who.shape, _identity(x, y), 1)
    away = points - np.array([[0.0], [-0.1], [-0.2]], np.float32)
    reach = who.hair_thick * hair_mask(who, x, y, cosine, soft=0.12)
    grown: Array = points + reach * away / np.linalg.norm(away, axis=0)
    return grown


def _identity(x: Array, y: Array) -> Array:
    ax, out, nil = np.abs(x), side(x), np.zeros_like(x)
    eye, mouth = bump(x, y, EYE_X, 0, 0.25, 0.16), np.exp(-(((y - 1) / 0.2) ** 2))
    brow = bump(x, y, 0.42, -0.30, 0.42, 0.15)
    shapes = (
        (0.07 * x, nil, nil),
        (nil, 0.05 * y * ramp(y, -0.1, 0.3), nil),
        (0.05 * out * bump(x, y, 0.72, 1.05, 0.32, 0.40), nil, nil),
        (nil, 0.07 * bump(x, y, 0, 1.5, 0.5, 0.25), 0.06 * bump(x, y, 0, 1.4, 0.2, 0.15)),
        (0.03 * out * bump(x, y, EYE_X, 0, 0.3, 0.2), nil, nil),
        (0.10 * (ax - EYE_X) * out * eye, 0.22 * y * eye, nil),
        (nil, -0.11 * (ax - EYE_X) * eye, nil),
        (nil, 0.05 * bump(x, y, 0, 0.62, 0.3, 0.2), nil),
        (0.045 * out * bump(x, y, 0.16, 0.6, 0.12, 0.15), nil, nil),
        (nil, nil, 0.06 * bump(x, y, 0, 0.3, 0.12, 0.3)),
        (0.11 * x * mouth * (1 - ramp(ax, 0.35, 0.7)), nil, nil),
        (nil, 0.035 * bump(x, y, 0, 1.0, 0.5, 0.22), nil),
        (nil, 0.022 * (bump(x, y, 0, 1.16, 0.3, 0.07) - bump(x, y, 0, 0.89, 0.3, 0.06)), nil),
        (nil, 0.038 * brow, 0.03 * brow),
        (nil, 0.09 * (ax - 0.42) * brow, nil),
        (
            0.05 * out * bump(x, y, 0.8, 0.5, 0.25, 0.35),
            nil,
            0.06 * bump(x, y, 0.55, 0.5, 0.22, 0.25),
        ),
        (nil, 0.06 * (y + 0.5) * ramp(-y, 0.45, 0.8), nil),
        (0.018 * out * brow, nil, nil),
    )
    return np.array(shapes, np.float32)


def waves(seed: int, x: Array, y: Array, low: float, high: float, count: int = 14) -> Array:
    """Return a smooth random field of unit variance with periods of 2 pi / (`low`..`high`)."""
    rng = np.random.default_rng(seed)
    size, angle, phase = rng.uniform(low, high, count), *rng.uniform(0, 2 * np.pi, (2, count))
    field = np.zeros_like(x)
    for k, a, p in zip(size, angle, phase, strict=True):
        field += np.cos(k * (np.cos(a) * x + np.sin(a) * y) + p, dtype=np.float32)
    return field * np.float32((2 / count) ** 0.5)


def hair_mask(who: Person, x: Array, y: Array, cosine: Array, soft: float = 0.04) -> Array:
    """Tell how much of each point is hair of the head, 0..1, (N,), with edges `soft` wide."""
    angle = np.arccos(np.clip(cosine, -1, 1))
    ragged = 0.03 * waves(who.texture + 7, 2.5 * x, 0 * y, 3, 16)
    swing = 0.35 * np.abs(x - who.parting)
    line = who.hairline + who.fringe * (1 - swing) + 0.25 * np.clip(angle - 0.35, 0, 1) ** 2
    top = 1 - ramp(y - line - ragged, -2 * soft + 0.04, 0.04)
    sides = ramp(angle - 0.5 * np.clip(y - 0.8, 0, None) + 0.4 * ragged, 1.12, 1.04 + 4 * soft)
    sides *= 1 - ramp(y, who.hair_low - 0.1, who.hair_low + 0.1)
    above = ramp(angle + 0.5 * np.clip(-y - 0.35, 0, None), 1.15, 1.09 + 4 * soft) * (y < 0)
    mask: Array = np.maximum(np.maximum(top, sides), above)
    return mask


def albedo(who: Person, x: Array, y: Array, cosine: Array) -> Array:
    """Return each point's own colour in even light, RGB 0..255, (3, N)."""
    colour = _skin(who, x, y)
    top, inner_top, inner_low, bottom = _faces.lips(x)
    edge = 0.022
    lip = ramp(y - top, -edge, edge) * (1 - ramp(y - bottom, -edge, edge))
    lip *= 1 - ramp(np.abs(x), _faces.MOUTH_W - 0.02, _faces.MOUTH_W + 0.03)
    groove = np.exp(-((np.minimum(np.abs(y - inner_top), np.abs(y - inner_low)) / 0.03) ** 2))
    colour = _mix(colour, who.lip[:, None] * (1 - 0.5 * groove), lip)
    colour = _mix(colour, rgb(40, 26, 22)[:, None], _lashes(x, y))
    brows = who.brow_dark * _brow_mask(who, x, y)
    colour = _mix(colour, 0.5 * who.hair[:, None], brows)
    strands = 1 + 0.16 * waves(who.texture + 2, 3.2 * x, 0.5 * y, 6, 22)
    return _mix(colour, who.hair[:, None] * strands, hair_mask(who, x, y, cosine))


def _mix(under: Array, over: Array, share: Array) -> Array:
    return under + (over - under) * share


def _skin(who: Person, x: Array, y: Array) -> Array:
    tint = 1 + 0.025 * waves(who.texture, x, y, 2, 9) + 0.018 * waves(who.texture + 1, x, y, 18, 50)
    shade = (
        0.30 * bump(x, y, EYE_X - 0.1, -0.13, 0.20, 0.07)
        + (0.10 + 0.12 * who.lines) * bump(x, y, EYE_X - 0.03, 0.14, 0.17, 0.06)
        + 0.60 * bump(x, y, 0.075, 0.672, 0.038, 0.022)
        + 0.10 * bump(x, y, 0.0, 0.72, 0.17, 0.035)
        + 0.14 * bump(x, y, 0.0, 1.235, 0.22, 0.05)
        + 0.30 * ramp(y, 1.48, 1.64)
        + 0.12 * bump(x, y, 0.17, 0.05, 0.06, 0.12)
        + 0.30
        * np.exp(-(((np.abs(x) - 0.225) / 0.022) ** 2))
        * np.exp(-(((y - 0.60) / 0.055) ** 2))
    )
    shade += 0.28 * who.lines * creases(x, y)[[0, 1, 6]].clip(-0.4, 1).sum(0)
    colour = who.skin[:, None] * (tint * (1 - np.clip(shade, -0.2, 0.9)))
    flush = who.blush * (bump(x, y, 0.52, 0.42, 0.22, 0.17) + 0.8 * bump(x, y, 0, 0.56, 0.13, 0.1))
    spots = who.freckles * np.clip(waves(who.texture + 3, x, y, 40, 75) - 1.2, 0, 1)
    colour *= 1 - rgb(0.0, 1.0, 0.9)[:, None] * flush
    colour *= 1 - rgb(0.2, 0.3, 0.35)[:, None] * spots * bump(x, y, 0.35, 0.35, 0.4, 0.25)
    return _mix(colour, 0.5 * who.hair[:, None] + 12, _beard(who, x, y))


def _beard(who: Person, x: Array, y: Array) -> Array:
    ax = np.abs(x)
    chin = ramp(y - 0.95 + 0.55 * np.clip(0.75 - ax, 0, 0.45), 0.0, 0.35) * ramp(y, 0.4, 0.7)
    moustache = bump(x, y, 0.0, 0.83, 0.30, 0.065)
    grain = 0.9 + 0.07 * waves(who.texture + 4, x, y, 20, 45)
    mask: Array = who.beard * np.clip(np.maximum(chin, moustache) * grain, 0, 1)
    return mask


def _lashes(x: Array, y: Array) -> Array:
    top, low = _faces.lids(x)
    inside = 1 - ramp(np.abs(np.abs(x) - EYE_X), _faces.EYE_W - 0.01, _faces.EYE_W + 0.03)
    fold = np.exp(-(((y - top + 0.075) / 0.018) ** 2))
    margin = np.exp(-(((y - top + 0.008) / 0.020) ** 2))
    under = np.exp(-(((y - low - 0.012) / 0.016) ** 2))
    return inside * np.clip(0.92 * margin + 0.30 * fold + 0.35 * under, 0, 1)


def _brow_mask(who: Person, x: Array, y: Array) -> Array:
    along = (np.abs(x) - 0.12) / 0.58
    half = who.brow_size * (0.062 - 0.030 * np.clip(along, 0, 1))
    offset = (y - _faces.brow(x)) / half
    strokes = 0.85 + 0.15 * np.sin(np.abs(x) * 70 + y * 50)
    ends = ramp(along, -0.04, 0.06) * (1 - ramp(along, 0.93, 1.05))
    mask: Array = strokes * ends * np.exp(-(np.abs(offset) ** 3))
    return mask
