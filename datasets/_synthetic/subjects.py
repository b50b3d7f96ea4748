"""Who is filmed: the shape, the colours and the habits of one procedural person.

Everything is drawn from (seed, subject) alone, so a person looks the same in every task.

Shapes: A action units.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import geometry
from .action_units import creases
from .geometry import AUS, EYE_X, Array, bump, ramp, side

IDENTITIES = 18
"""Number of shapes that make one resting face unlike another (`neutral`)."""

SKINS = np.array(
    [[246, 212, 192], [236, 192, 162], [219, 168, 132], [184, 130, 96], [136, 92, 66], [92, 61, 46]]
)

HAIRS = {
    "blond": (198, 164, 108), "brown": (104, 70, 44), "dark": (58, 40, 30), "black": (30, 25, 25),
    "red": (146, 74, 38), "grey": (150, 146, 140),
}  # fmt: skip

FURROWS = np.array([60, 60, 60, 50, 50, 50, 50, 60, 60, 65, 65, 65]) / 100
"""How much darker skin gets in a full furrow of each action unit."""

IRISES = ((92, 130, 160), (84, 116, 84), (104, 72, 40), (62, 40, 26), (44, 30, 24))


def stream(*names: object) -> np.random.Generator:
    """Return a fresh generator that depends on `names` and on nothing else."""
    text = "\x1f".join(map(str, names))
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Person:
    """One subject. Colours are RGB 0..255; lengths are in template units (half a face's width)."""

    shape: Array
    """Weights of the identity shapes, about N(0, 1)."""
    gain: Array
    """How far each action unit moves this face, (A,); 1 is the template's way."""
    lean: Array
    """How much further it moves on the image's right side than on the left, (A,), -0.5..0.5."""
    rest: Array
    """What the resting face looks like already, (A,), in intensity; no label speaks of it."""
    furrow: Array
    """How dark each action unit's creases get, (A,)."""
    lines: float
    skin: Array
    hair: Array
    lip: Array
    iris: Array
    cloth: Array
    wall: Array
    brow_size: float
    brow_dark: float
    hairline: float
    fringe: float
    parting: float
    hair_low: float
    hair_thick: float
    beard: float
    blush: float
    freckles: float
    glasses: float
    light: Array
    """Direction to the light, unit length, (3,)."""
    ambient: float
    texture: int
    """Seed of skin blotches and hair strands."""


def person(seed: int, subject: str) -> Person:
    """Draw the subject's looks and habits from (seed, subject)."""
    rng = stream(seed, "person", subject)
    female = subject.startswith("F")
    return Person(**_face(rng, female=female), **_colours(rng, female=female), **_scene(rng))


def _face(rng: np.random.Generator, *, female: bool) -> dict[str, Any]:
    count = len(AUS)
    shape = np.clip(rng.normal(0, 0.75, IDENTITIES), -1.7, 1.7)
    shape[[2, 3, 12, 13]] += np.array([-0.6, -0.4, 0.5, -0.3]) * (1 if female else -1)
    overall = np.exp(rng.normal(0, 0.14))
    return {
        "shape": shape.astype(np.float32),
        "gain": (overall * np.exp(rng.normal(0, 0.14, count))).astype(np.float32),
        "lean": np.clip(rng.normal(0, 0.14, count), -0.35, 0.35).astype(np.float32),
        "rest": np.clip(rng.normal(0, 0.06, count), -0.13, 0.15).astype(np.float32),
        "furrow": (FURROWS * np.exp(rng.normal(0, 0.25, count))).astype(np.float32),
        "lines": float(rng.beta(1.2, 3)),
        "brow_size": float(rng.uniform(0.9, 1.25) if female else rng.uniform(1.05, 1.5)),
        "brow_dark": float(rng.uniform(0.7, 0.98)),
        "hairline": float(rng.normal(-0.98, 0.06) - (0 if female else rng.choice([0, 0, 0.25]))),
        "fringe": float(rng.choice([0, 0, 0.2, 0.4]) if female else rng.choice([0, 0, 0.15])),
        "parting": float(rng.uniform(-0.5, 0.5)),
        "hair_low": float(rng.choice([0.7, 1.5, 2.6]) if female else rng.choice([0.1, 0.3, 0.4])),
        "hair_thick": float(rng.uniform(0.10, 0.2) if female else rng.uniform(0.03, 0.14)),
        "beard": float(0 if female else rng.choice([0, 0.08, 0.15, 0.25, 0.6])),
        "freckles": float(rng.choice([0, 0, 0, 1])),
        "glasses": float(rng.random() < 0.15),
    }


def _colours(rng: np.random.Generator, *, female: bool) -> dict[str, Any]:
    tone = float(rng.beta(1.1, 1.6) * (len(SKINS) - 1.01))
    low = int(tone)
    skin = SKINS[low] + (tone - low) * (SKINS[low + 1] - SKINS[low]) + rng.normal(0, 4, 3)
    light_hair = ["blond", "brown", "brown", "dark", "red", "grey"]
    hair = np.array(
        HAIRS[str(rng.choice(light_hair if tone < 1.5 else ["dark", "black", "black"]))]
    )
    red = skin * [0.80, 0.48, 0.48]
    lipstick = np.array([170, 40, 60]) if female and rng.random() < 0.3 else red
    iris = IRISES[int(rng.integers(0, 4) if tone < 1.5 else rng.integers(2, 5))]
    colours = {
        "skin": skin,
        "hair": hair * rng.uniform(0.85, 1.15),
        "lip": 0.55 * red + 0.45 * lipstick,
        "iris": iris,
        "cloth": rng.uniform(30, 160) + rng.uniform(-40, 40, 3),
        "wall": rng.uniform(70, 200) + rng.uniform(-25, 25, 3),
    }
    arrays = {name: np.asarray(value, np.float32) for name, value in colours.items()}
    return arrays | {"blush": float(rng.uniform(0.02, 0.14) / (1 + tone))}


def _scene(rng: np.random.Generator) -> dict[str, Any]:
    light = np.array([rng.normal(0, 0.42), rng.uniform(-0.7, -0.15), 1.0])
    return {
        "light": (light / np.linalg.norm(light)).astype(np.float32),
        "ambient": float(rng.uniform(0.36, 0.52)),
        "texture": int(rng.integers(2**31)),
    }


def rgb(red: float, green: float, blue: float) -> Array:
    """Return a colour (3,)."""
    return np.array([red, green, blue], np.float32)


def neutral(who: Person, x: Array, y: Array, cosine: Array) -> Array:
    """Return the person's resting face, (3, N): the template moved by the identity shapes."""
    points = geometry.base(x, y, cosine)
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
    top, inner_top, inner_low, bottom = geometry.lips(x)
    edge = 0.022
    lip = ramp(y - top, -edge, edge) * (1 - ramp(y - bottom, -edge, edge))
    lip *= 1 - ramp(np.abs(x), geometry.MOUTH_W - 0.02, geometry.MOUTH_W + 0.03)
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
    top, low = geometry.lids(x)
    inside = 1 - ramp(np.abs(np.abs(x) - EYE_X), geometry.EYE_W - 0.01, geometry.EYE_W + 0.03)
    fold = np.exp(-(((y - top + 0.075) / 0.018) ** 2))
    margin = np.exp(-(((y - top + 0.008) / 0.020) ** 2))
    under = np.exp(-(((y - low - 0.012) / 0.016) ** 2))
    return inside * np.clip(0.92 * margin + 0.30 * fold + 0.35 * under, 0, 1)


def _brow_mask(who: Person, x: Array, y: Array) -> Array:
    along = (np.abs(x) - 0.12) / 0.58
    half = who.brow_size * (0.062 - 0.030 * np.clip(along, 0, 1))
    offset = (y - geometry.brow(x)) / half
    strokes = 0.85 + 0.15 * np.sin(np.abs(x) * 70 + y * 50)
    ends = ramp(along, -0.04, 0.06) * (1 - ramp(along, 0.93, 1.05))
    mask: Array = strokes * ends * np.exp(-(np.abs(offset) ** 3))
    return mask
