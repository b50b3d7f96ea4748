"""What is around and in front of a procedural face: wall, neck, clothes, hair, glasses, a hand.

Everything here is drawn a pixel at a time, in template units (see `geometry.py`).
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from . import geometry
from .action_units import JAW_DROP
from .geometry import AUS, CENTRE_Y, EYE_W, EYE_X, MOUTH_W, SCALE, Array, ramp
from .performance import Performance
from .subjects import Person, rgb, waves

EAR = np.array([[1.0, -1.0], [0.18, 0.18], [-0.05, -0.05]], np.float32)
FINGERS = np.array([[-0.28, -0.62], [-0.09, -0.74], [0.10, -0.70], [0.28, -0.52]])


class Props:
    """Things that one person is seen with, at one frame size S."""

    def __init__(self, who: Person, size: int):
        self._who = who
        row, column = np.mgrid[0:size, 0:size].astype(np.float32) + np.float32(0.5)
        self._x = (column / size - 0.5) / SCALE
        self._y = (row / size - 0.5) / SCALE + CENTRE_Y
        tone = (
            1
            + 0.10 * waves(who.texture + 5, self._x, self._y, 0.5, 3)
            + 0.12 * self._x * who.light[0]
        )
        self._wall = _tinted(who.wall, np.clip(tone, 0.4, 1.5))
        self._strands = 1 + 0.14 * waves(who.texture + 6, 4 * self._x, 0.6 * self._y, 5, 18)

    def _local(self, take: Performance, t: int, follow: float = 1.0) -> tuple[Array, Array]:
        """Return pixel coordinates (S, S) that move with the head by the share `follow`."""
        across, down, zoom = take.place[t]
        near = 1 + follow * (zoom - 1)
        x, y = self._x - follow * across / SCALE, self._y - follow * down / SCALE
        return x / near, y / near

    def behind(self, take: Performance, t: int, turn: Array) -> Array:
        """Return what is seen behind the face, (3, S, S)."""
        who = self._who
        x, y = self._local(take, t)
        image = self._wall
        if who.hair_low > 0.6:
            image = self._long_hair(image, x - 0.35 * turn[0, 2], y)
        body_x, body_y = self._local(take, t, 0.7)
        neck = 1 - ramp(np.abs(body_x), 0.46, 0.50)
        shade = (0.75 - 0.35 * (body_x / 0.5) ** 2) * (0.55 + 0.45 * ramp(body_y, 1.45, 2.1))
        image = _over(image, _tinted(who.skin, shade), neck * (body_y > 0.9))
        collar = ramp(
            body_y - 1.78 + 0.35 * np.exp(-((body_x / 0.45) ** 2)) * -0.5 - 0.12 * np.abs(body_x),
            -0.03,
            0.03,
        )
        image = _over(image, _tinted(who.cloth, 0.9 - 0.1 * body_x * who.light[0]), collar)
        return image if who.hair_low > 0.6 else self._ears(image, x, y, turn)

    def _long_hair(self, image: Array, x: Array, y: Array) -> Array:
        who = self._who
        wide = 1.04 + who.hair_thick
        cap = (x / wide) ** 2 + ((y + 0.35) / (1.28 + who.hair_thick)) ** 2
        fall = np.maximum(np.abs(x) - wide + 0.10 * np.clip(y - 0.8, 0, 1) ** 2, y - who.hair_low)
        cover = np.maximum(1 - ramp(cap, 0.95, 1.02), (1 - ramp(fall, -0.04, 0.02)) * (y > -0.35))
        strands = self._strands * (0.55 + 0.2 * np.clip(1 - np.abs(x), 0, 1))
        return _over(image, _tinted(who.hair, strands), cover)

    def _ears(self, image: Array, x: Array, y: Array, turn: Array) -> Array:
        for ear in (turn @ EAR).T:
            far = ((x - ear[0]) / 0.13) ** 2 + ((y - ear[1]) / 0.25) ** 2
            tone = 0.62 + 0.2 * ramp(far, 0.2, 0.8)
            image = _over(image, _tinted(self._who.skin, tone), 1 - ramp(far, 0.85, 1.1))
        return image

    def front(self, image: Array, take: Performance, t: int, turn: Array) -> Array:
        """Return the frame (3, S, S) with glasses and a hand in front of the face, if any."""
        x, y = self._local(take, t)
        if self._who.glasses:
            image = self._spectacles(image, x, y, turn)
        if take.hand[t, 2] > 0.01:
            image = self._hand(image, x, y, take.hand[t])
        return image

    def _spectacles(self, image: Array, x: Array, y: Array, turn: Array) -> Array:
        depth, height = 1.5, -0.33
        flat_x = x - turn[0, 2] * depth - turn[0, 1] * height
        flat_y = y - 0.35 - turn[1, 2] * depth - turn[1, 1] * height
        (a, b), (c, d) = turn[:2, :2]
        det = a * d - b * c
        gx, gy = (d * flat_x - b * flat_y) / det, (a * flat_y - c * flat_x) / det
        far = (np.abs((np.abs(gx) - 0.41) / 0.29) ** 3 + np.abs(gy / 0.23) ** 3) ** (1 / 3)
        rim = np.exp(-(((far - 1) / 0.10) ** 2))
        bridge = np.exp(-(((gy + 0.04) / 0.03) ** 2)) * (1 - ramp(np.abs(gx), 0.12, 0.16))
        arm = (
            np.exp(-(((gy + 0.08) / 0.03) ** 2))
            * ramp(np.abs(gx), 0.68, 0.72)
            * (np.abs(gx) < 0.95)
        )
        frame = 0.9 * np.maximum(np.maximum(rim, bridge), arm)
        image = _over(image, rgb(205, 215, 225)[:, None, None], 0.10 * (far < 1))
        return _over(image, rgb(38, 34, 36)[:, None, None], frame)

    def _hand(self, image: Array, x: Array, y: Array, hand: Array) -> Array:
        """Draw palm and fingers at `hand`: x, y of the palm, how far it is there, its tilt."""
        hx, hy, share, tilt = hand
        hy = hy + (1 - share) * 1.8
        u = np.cos(tilt) * (x - hx) + np.sin(tilt) * (y - hy)
        v = -np.sin(tilt) * (x - hx) + np.cos(tilt) * (y - hy)
        depth = 0.34 - np.hypot(u / 1.05, np.clip(np.abs(v - 0.35) - 0.3, 0, None))
        for tip in FINGERS:
            along = np.clip((u * tip[0] + v * tip[1]) / (tip @ tip), 0, 1)
            depth = np.maximum(depth, 0.105 - np.hypot(u - along * tip[0], v - along * tip[1]))
        tone = 0.62 + 0.36 * ramp(depth, 0.0, 0.10) + 0.08 * u * self._who.light[0]
        image = image * (1 - 0.25 * ramp(depth, -0.12, 0.0))
        return _over(image, _tinted(self._who.skin, tone), ramp(depth, -0.015, 0.02))


def _tinted(colour: Array, tone: Array) -> Array:
    """Return a colour (3,) in every tone (S, S), as (3, S, S)."""
    return colour[:, None, None] * tone


def _over(under: Array, colour: Array, share: Array) -> Array:
    """Lay a colour (3, S, S) over a picture (3, S, S) by shares (S, S)."""
    result: Array = under + (colour - under) * share
    return result


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
        self._opening = _Opening(np.abs(np.abs(x) - EYE_X) < EYE_W, y, *geometry.lids(x))
        right = x[self._opening.points] > 0
        home = rest[:2, self._opening.points]
        self._centre = np.where(
            right, home[:, right].mean(1)[:, None], home[:, ~right].mean(1)[:, None]
        )

    def paint(self, colour: Array, head: Array, take: Performance, t: int) -> None:
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
        _, top, low, _ = geometry.lips(x)
        self._opening = _Opening(np.abs(x) < MOUTH_W, y, top, low)
        self._bite = rest[1, self._opening.points].mean()

    def paint(self, colour: Array, head: Array, take: Performance, t: int) -> None:
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
