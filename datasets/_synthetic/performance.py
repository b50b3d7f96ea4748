"""What a person does in front of the camera: action units over time, their labels, and all else.

A take plays one recording of the plan: events with onset, apex and offset, head movement, blinks,
speech, a hand. Timing follows common FACS practice (an event lasts from reaching intensity B to
falling below it).

Shapes: T frames, A action units, K shapes, E events of an action unit in a take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .action_units import EXTRA
from .geometry import AUS, Array
from .subjects import Person, stream

FPS = 25.0

LEVEL_B = 0.25
"""Intensity (0..1) from which an action unit counts as present; FACS calls it B."""

LASTS = np.array([28, 26, 45, 100, 110, 110, 110, 90, 22, 40, 20, 22])
"""Median length of an event in frames; a long one usually outlasts the recording."""

FAINTEST = np.array([50, 50, 50, 36, 36, 36, 36, 52, 50, 56, 56, 60]) / 100
"""The weakest an event may be at its peak: states that last are often weak, brief acts are not."""

PHASE = np.array([0.55, 0.55, 0.40, 0.0, 0.0, 0.02, 0.0, 0.08, 0.28, 0.48, 0.74, 0.50])
"""When in a recording the first event is centred, in turns after the recording's own moment."""

MOST_TURN = np.radians([20.0, 15.0, 9.0])
"""Largest yaw, pitch and roll."""

PACES = (0.5, 0.5, 0.5, 0.4, 0.4, 0.3, 0.8, 0.6, 0.3, 0.4, 0.35, 0.35)
"""Fastest drift in Hz of head turn (3), place (3), gaze (2), exposure, focus, and light (2)."""


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One recording, frame by frame."""

    labels: NDArray[np.int8]
    """(T, A) 1 or 0, as a coder wrote them."""
    intensity: Array
    """(T, A) true intensity, 0..1; present from `LEVEL_B`."""
    shapes: Array
    """(T, K) weights of the shapes of `action_units.motion`, resting face included."""
    pose: Array
    """(T, 3) yaw, pitch, roll in radians."""
    place: Array
    """(T, 3) shift right and down in frame sides, and zoom."""
    gaze: Array
    """(T, 2) shift of the irises in template units."""
    light: Array
    """(T, 3) direction to the light, unit length."""
    exposure: Array
    """(T, 3) factors of red, green and blue: brightness and white balance."""
    blur: Array
    """(T,) weight of a pixel's neighbours, 0..0.25."""
    hand: Array
    """(T, 4) palm x, palm y, how far it has come (0 = away), tilt in radians."""
    noise: float
    """Standard deviation in grey levels."""
    grain: int
    """Seed of the noise."""


def perform(seed: int, subject: str, task: str, who: Person, frames: int) -> Performance:
    """Play the recording that (seed, subject, task) names, `frames` long give or take 15 %."""
    rng = stream(seed, "take", subject, task)
    length = max(2, round(frames * rng.uniform(0.85, 1.15)))
    intensity, labels = _perform(rng, plan(seed)[subject, task], length)
    moves = _moves(rng, task, who, intensity)
    return Performance(
        intensity=intensity, labels=labels, shapes=moves, **_camera(rng, length, who)
    )


def pose(who: Person, intensity: Array, **extra: Array) -> Performance:
    """Hold still for the camera: the given intensities (T, A), and nothing else moves.

    `extra` gives weights (T,) of shapes of `EXTRA` beyond what the action units do to the lids.
    """
    frames = len(intensity)
    idle = np.zeros((frames, len(EXTRA)), np.float32)
    for name, weight in extra.items():
        idle[:, EXTRA.index(name)] = weight
    idle[:, 2:] += np.stack(_lids(intensity, np.zeros(frames)), axis=1)
    return Performance(
        labels=(intensity >= LEVEL_B).astype(np.int8),
        intensity=intensity,
        shapes=np.hstack([intensity + who.rest, idle]).astype(np.float32),
        pose=np.zeros((frames, 3), np.float32),
        place=np.tile(np.array([0, 0, 1], np.float32), (frames, 1)),
        gaze=np.zeros((frames, 2), np.float32),
        light=np.tile(who.light, (frames, 1)),
        exposure=np.ones((frames, 3), np.float32),
        blur=np.zeros(frames, np.float32),
        hand=np.zeros((frames, 4), np.float32),
        noise=0.0,
        grain=0,
    )


def _lids(intensity: Array, blink: Array) -> tuple[Array, Array]:
    """Return how far the upper and the lower lid go, (T,) each; together they never cross."""
    cheek, tight = intensity[:, AUS.index(6)], intensity[:, AUS.index(7)]
    upper = 1 - (1 - blink) * (1 - 0.28 * tight) * (1 - 0.08 * cheek)
    return upper, np.minimum(0.36 * tight + 0.20 * cheek, 1 - upper)


def _perform(rng: np.random.Generator, share: Array, length: int) -> tuple[Array, NDArray[np.int8]]:
    centre, lasts, peak = _events(rng, share, length)
    when = np.arange(length)[:, None, None]
    # Time runs in a circle, as if the recording were cut out of a longer one: shares stay exact.
    since = (when - centre + length / 2) % length - length / 2
    # A brief event is quick all through; it still reaches its peak.
    rise = np.minimum(rng.uniform(8, 20, peak.shape), 3 + 0.30 * lasts)
    fall = np.minimum(rng.uniform(12, 30, peak.shape), 4 + 0.45 * lasts)
    start = _ease_back(LEVEL_B / np.maximum(peak, LEVEL_B)) * (peak >= LEVEL_B)
    level = np.minimum(
        _ease((since + lasts / 2) / rise + start), _ease((lasts / 2 - since) / fall + start)
    )
    intensity = (level * peak).max(-1)
    ebb = 0.5 + 0.5 * np.sin(_wander(rng, length, *[0.7] * len(AUS)).T)
    intensity -= 0.25 * ebb * np.clip(intensity - LEVEL_B, 0, None)
    early, late = rng.normal(0, 1.2, (2, *peak.shape))
    seen = (since >= early - lasts / 2) & (since < lasts / 2 + late) & (peak >= LEVEL_B)
    return intensity.astype(np.float32), seen.any(-1).astype(np.int8)


def _events(rng: np.random.Generator, share: Array, length: int) -> tuple[Array, Array, Array]:
    """Draw centre, length and peak of every event, each (A, E); the last one is a faint one."""
    slots, count = 4, len(share)
    number = np.clip(np.rint(share * length / LASTS), 1, slots)[:, None]
    used = (np.arange(slots) < number) & (share[:, None] * length >= 1)
    lasts = used * np.exp(rng.normal(0, 0.35, (count, slots)))
    lasts *= share[:, None] * length / np.maximum(lasts.sum(1, keepdims=True), 1e-9)
    gaps = used * rng.uniform(0.5, 1.5, (count, slots))
    gaps *= (1 - share[:, None]) * length / np.maximum(gaps.sum(1, keepdims=True), 1e-9)
    first = (rng.random() + PHASE + rng.normal(0, 0.07, count))[:, None] * length
    centre = first + np.cumsum(lasts + gaps, 1) - lasts / 2 - gaps - lasts[:, :1] / 2
    peak = used * (FAINTEST[:, None] + (1 - FAINTEST[:, None]) * rng.beta(1.6, 1.3, (count, slots)))
    lasts[share > 0.97] *= 3
    faint = rng.uniform(0.03, 0.2, (count, 1)) * (rng.random((count, 1)) < 0.5)
    return (
        np.hstack([centre, rng.random((count, 1)) * length]),
        np.hstack([lasts, rng.uniform(8, 45, (count, 1))]),
        np.hstack([peak, faint]),
    )


def _ease(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _ease_back(level: Array) -> Array:
    return 0.5 - np.sin(np.arcsin(1 - 2 * level) / 3)


def _moves(rng: np.random.Generator, task: str, who: Person, intensity: Array) -> Array:
    """Return the weights of all shapes, (T, K): labelled action units, then `EXTRA`."""
    level = dict(zip(AUS, intensity.T, strict=True))
    length = len(intensity)
    sealed = (1 - level[24]) * (1 - 0.8 * level[23])
    wide = level[2] * (task in ("T3", "T5")) * rng.uniform(0, 1)
    jaw = (_speech(rng, length) + 0.8 * wide) * sealed
    part = (level[12] * rng.uniform(0, 1.1) + 0.5 * level[10] * rng.uniform()) * sealed + jaw * 0.6
    lid, low = _lids(intensity, _blinks(rng, length))
    lid = np.clip(lid - 0.3 * wide + 0.5 * who.rest[AUS.index(7)], -0.35, 1)
    low = np.minimum(low, 1 - np.clip(lid, 0, 1))
    extra = np.stack([jaw, np.clip(part, 0, 1.2), lid, low], axis=1)
    assert extra.shape[1] == len(EXTRA)
    return np.hstack([intensity + who.rest, extra]).astype(np.float32)


def _speech(rng: np.random.Generator, length: int) -> Array:
    mood, pace = _wander(rng, length, 0.4, 1.0)
    volume = np.convolve(mood > rng.uniform(0.3, 1.6), np.ones(5) / 5, "same")
    syllables = np.sin(np.arange(length) * rng.uniform(0.8, 1.2) + 2 * pace)
    drop: Array = 0.11 * volume * (1 + syllables)
    return drop


def _blinks(rng: np.random.Generator, length: int) -> Array:
    times = np.cumsum(rng.exponential(70, 8) + 10) - rng.uniform(0, 60)
    away = np.abs(np.arange(length)[:, None] - times)
    shut: Array = np.clip(1.5 - away / rng.uniform(1.6, 2.6), 0, 1).max(1)
    return shut


def _wander(rng: np.random.Generator, length: int, *paces: float) -> Array:
    """Return one smooth noise of about unit variance for each fastest part in Hz, (paces, T)."""
    speed = 2 * np.pi / FPS * rng.uniform(0.05, np.array(paces)[:, None], (len(paces), 4))
    phase = rng.uniform(0, 2 * np.pi, (len(paces), 4))
    angle = speed[..., None] * np.arange(length) + phase[..., None]
    noise: Array = 0.7 * np.sin(angle).sum(1)
    return noise


def _camera(rng: np.random.Generator, length: int, who: Person) -> dict[str, Any]:
    """Draw how the head moves and how it is filmed: the other fields of a `Performance`."""
    drift = _wander(rng, length, *PACES).T
    turn, shift, eyes, lens, lamp = np.split(drift, [3, 6, 8, 10], axis=1)
    lamp = who.light[:2] + rng.normal(0, [0.2, 0.1]) + [0.22, 0.15] * lamp
    lamp = np.hstack([lamp, np.full((length, 1), who.light[2])])
    series = {
        "pose": MOST_TURN * np.tanh(rng.normal(0, 0.3, 3) + 0.55 * turn),
        "place": [0, 0, rng.uniform(0.95, 1.07)] + [0.02, 0.015, 0.012] * shift,
        "gaze": [0.03, 0.012] * np.tanh(eyes),
        "exposure": rng.uniform(0.85, 1.05) * rng.normal(1, 0.06, 3) + 0.05 * lens[:, :1],
        "light": lamp / np.linalg.norm(lamp, axis=1, keepdims=True),
        "blur": np.clip(rng.uniform(-0.06, 0.12) + 0.04 * lens[:, 1], 0, 0.25),
        "hand": _hand(rng, length),
    }
    arrays = {name: np.asarray(value, np.float32) for name, value in series.items()}
    return arrays | {"noise": float(rng.uniform(1.5, 5)), "grain": int(rng.integers(2**31))}


def _hand(rng: np.random.Generator, length: int) -> Array:
    """Bring a hand up to the mouth, chin or cheek in one recording of eight."""
    comes, middle, stays = rng.random() < 1 / 8, rng.uniform(0, length), rng.uniform(10, 30)
    share = comes * _ease((stays - np.abs(np.arange(length) - middle)) / 8 + 1)
    x, y, tilt = rng.uniform(-0.75, 0.75), rng.uniform(1.15, 1.7), rng.uniform(-0.4, 0.4)
    hand = np.tile([x, y, 0, tilt], (length, 1))
    hand[:, 2] = share
    return hand


SUBJECTS = tuple([f"F{n:03d}" for n in range(1, 24)] + [f"M{n:03d}" for n in range(1, 19)])
TASKS = ("T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8")

RATES = np.array([21.1, 17.1, 20.3, 46.1, 54.9, 59.4, 56.2, 46.6, 16.9, 34.3, 16.5, 15.1]) / 100
"""BP4D's share of frames with each action unit."""

FULLEST = np.array([0.7, 0.7, 0.9, 1, 1, 1, 1, 1, 0.55, 0.85, 0.55, 0.55])
"""The largest share of a recording that an action unit is on for."""

SPREAD = np.array([0.4, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.45, 0.35, 0.45, 0.45])
"""The share of recordings that lie between never and `FULLEST`."""

TASK_EFFECT = np.array(
    [
        [-0.4, -0.3, -0.9, 1.1, 0.6, 0.9, 1.3, 0.5, -0.4, -0.7, -0.4, -0.4],  # T1 happy
        [0.5, 0.2, 0.6, -0.8, -0.5, -0.8, -1.0, -0.2, 0.7, 0.7, 0.2, 0.4],  # T2 sad
        [0.9, 0.9, -0.4, -0.7, -0.7, -0.5, -0.2, -0.3, -0.2, -0.4, -0.2, -0.3],  # T3 surprised
        [0.1, 0.1, -0.4, 0.7, 0.4, 0.5, 0.7, 0.6, 0.0, -0.1, 0.0, 0.2],  # T4 embarrassed
        [0.6, 0.6, 0.4, -0.4, -0.2, -0.2, -0.3, -0.2, 0.0, -0.1, -0.1, -0.2],  # T5 afraid
        [-0.4, -0.4, 0.5, 0.6, 0.7, 0.7, 0.1, 0.0, 0.0, 0.0, 0.1, -0.1],  # T6 in pain
        [-0.4, -0.3, 0.4, -0.6, -0.1, -0.5, -0.6, 0.0, -0.1, 0.6, 0.7, 0.4],  # T7 angry
        [-0.3, -0.3, 0.5, 0.2, 0.4, 0.6, 0.0, -0.2, -0.1, 0.1, -0.2, -0.1],  # T8 disgusted
    ]
)

TOGETHER = {
    (1, 2): 0.75, (6, 7): 0.6, (6, 10): 0.6, (7, 10): 0.6, (6, 12): 0.65, (7, 12): 0.5,
    (10, 12): 0.6, (17, 24): 0.4, (12, 14): 0.3, (15, 17): 0.25, (4, 7): 0.15, (1, 4): 0.1,
}  # fmt: skip

APART = ((1, 6), (1, 7), (2, 6), (2, 7), (10, 17), (10, 23), (10, 24), (12, 15), (12, 17),
         (12, 23), (12, 24), (15, 23), (15, 24), (23, 24))  # fmt: skip


@lru_cache(maxsize=4)
def plan(seed: int) -> dict[tuple[str, str], Array]:
    """Share the action units out: (subject, task) -> share of the recording each is on, (A,)."""
    rng = stream(seed, "plan")
    mix = _correlated()
    people, tasks, count = len(SUBJECTS), len(TASKS), len(AUS)
    subject = 0.55 * rng.standard_normal((people, 1, count)) @ mix
    residual = 0.85 * rng.standard_normal((people, tasks, count)) @ mix
    drive = (subject + residual + TASK_EFFECT).reshape(-1, count)
    rank = (drive.argsort(0).argsort(0) + 0.5) / len(drive)
    never = 1 - RATES / FULLEST - SPREAD / 2
    share = FULLEST * np.clip((rank - never) / SPREAD, 0, 1)
    keys = [(person, task) for person in SUBJECTS for task in TASKS]
    return dict(zip(keys, share.astype(np.float32), strict=True))


@lru_cache(maxsize=1)
def _correlated() -> NDArray[np.float64]:
    """Return the (A, A) factor that gives white noise the signs of `TOGETHER` and `APART`."""
    matrix = np.eye(len(AUS))
    pairs = TOGETHER | dict.fromkeys(APART, -0.35)
    for (one, other), value in pairs.items():
        i, j = AUS.index(one), AUS.index(other)
        matrix[i, j] = matrix[j, i] = value
    values, vectors = np.linalg.eigh(matrix)
    # Hand-set pairs need not make a valid correlation matrix: the nearest one is close enough.
    factor = (vectors * np.sqrt(np.clip(values, 0.02, None))) @ vectors.T
    scaled: NDArray[np.float64] = factor / np.linalg.norm(factor, axis=0)
    return scaled
