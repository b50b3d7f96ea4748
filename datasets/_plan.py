"""Who shows which action unit for how much of which recording: the plan for the whole cast.

Each action unit's time is shared out over the recordings, so that rates and co-occurrence hold for
any seed. Rates and signs of co-occurrence are BP4D's: docs/datasets/synthetic.md has the sources.

Shapes: A action units.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ._faces import AUS, Array
from ._people import stream

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
