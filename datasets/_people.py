"""Who is filmed: the shape, the colours and the habits of one procedural person.

Everything is drawn from (seed, subject) alone, so a person looks the same in every task.

Shapes: A action units.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._faces import AUS, Array

IDENTITIES = 18
"""Number of shapes that make one resting face unlike another (`_looks.neutral`)."""
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
