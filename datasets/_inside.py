"""What shows between the lids and between the lips: eyeballs, teeth, and the dark of the mouth.

These points move with the lids and lips, but their colour belongs to what lies behind: it is read
off their place in the head, frame by frame.

Shapes: N points of the head's grid, M of them inside the opening.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from . import _faces
from ._acting import Take
from ._faces import AUS, EYE_W, EYE_X, MOUTH_W, Array, ramp
from ._looks import rgb
from ._muscles import JAW_DROP
from ._people import Person


class _Opening:
    """The points between an upper margin `top` and a lower margin `low`, and how far inside."""

    def __init__(self, across: NDArray[np.bool_], y: Array, top: Array, low: Array):
        self.points = np.flatnonzero(across & (y > top - 0.01) & (y < low + 0.01))
        y, top, low = y[self.points], top[self.points], low[self.points]
        self.down = np.clip((y - top) / (low - top + 1e-4), 0, 1)
        """Where a point lies between the upper (0) and the lower margin (1), (M,)."""
        self.share = ramp(np.minimum(y - top, low - y), -0.008, 0.010)
        """How much of a point is inside, 0..1, (M,)."""

    def mix(self, field: Array, inner: Array | float, strength: float = 1.0) -> None:
        """Bring `field` (..., N) to `inner` inside the opening, in place."""
        field[..., self.points] += (inner - field[..., self.points]) * self.share * strength


@final
class Eyes:
    """Both eyeballs of one person; `rest` (3, N) is the person's resting face."""

    def __init__(self, who: Person, x: Array, y: Array, rest: Array):
        self._who = who
        self._opening = _Opening(np.abs(np.abs(x) - EYE_X) < EYE_W, y, *_faces.lids(x))
        right = x[self._opening.points] > 0
        home = rest[:2, self._opening.points]
        self._centre = np.where(
            right, home[:, right].mean(1)[:, None], home[:, ~right].mean(1)[:, None]
        )

    def paint(self, colour: Array, head: Array, take: Take, t: int) -> None:
        """Colour the eyeballs of frame t, in place; `colour` and `head` are (3, N)."""
        across, down = head[:2, self._opening.points] - self._centre
        white = rgb(228, 220, 214)[:, None] * (1 - 0.35 * (np.abs(across) / 0.22) ** 2)
        across, down = across - take.gaze[t, 0], down - take.gaze[t, 1] + 0.012
        far = np.hypot(across, down)
        iris = self._who.iris[:, None] * (0.75 + 0.5 * ramp(far, 0.03, 0.08))
        ball = white + (iris - white) * (1 - ramp(far, 0.078, 0.105))
        ball = ball * (1 - 0.9 * (1 - ramp(far, 0.025, 0.05)))
        ball = ball * (0.55 + 0.45 * ramp(self._opening.down, 0.0, 0.5))
        glint = np.hypot(across - 0.05 * self._who.light[0], down + 0.035)
        self._opening.mix(colour, ball + (250 - ball) * 0.85 * (1 - ramp(glint, 0.012, 0.035)))

    def shade(self, shade: Array) -> None:
        """Light the eyeballs evenly, in place: the grid's normals there are the lids'."""
        self._opening.mix(shade, 0.92, 0.8)


@final
class Mouth:
    """Teeth and the hollow behind the lips; `rest` (3, N) is the person's resting face."""

    def __init__(self, x: Array, y: Array, rest: Array):
        _, top, low, _ = _faces.lips(x)
        self._opening = _Opening(np.abs(x) < MOUTH_W, y, top, low)
        self._bite = rest[1, self._opening.points].mean()

    def paint(self, colour: Array, head: Array, take: Take, t: int) -> None:
        """Colour teeth and hollow of frame t, in place; `colour` and `head` are (3, N)."""
        x, y = head[:2, self._opening.points]
        y = y - self._bite
        jaw = JAW_DROP * take.shapes[t, len(AUS)]
        ivory = rgb(226, 216, 200)[:, None] * (1 - 0.5 * np.clip(np.abs(x) / 0.36, 0, 1) ** 2)
        ivory = ivory * (0.94 + 0.06 * np.cos(x * 62))
        tongue = rgb(90, 40, 42)[:, None] * ramp(y - jaw, 0.0, 0.12)
        hollow = rgb(72, 24, 26)[:, None] + tongue
        upper = 1 - ramp(y + 0.3 * x**2, 0.035, 0.065)
        lower = 0.8 * ramp(y - jaw, 0.05, 0.08)
        inner = hollow + (ivory - hollow) * np.maximum(upper, lower)
        self._opening.mix(colour, inner * (0.5 + 0.5 * ramp(self._opening.down, 0.0, 0.35)))

    def shade(self, shade: Array) -> None:
        """Light the mouth evenly, in place: the grid's normals there are the lips'."""
        self._opening.mix(shade, 0.92, 0.8)
