"""From a face's geometry to pixels, in numpy: project, light, splat, and put things around it.

The head is a grid of points, about four a pixel. Each is coloured, lit by its normal, and dropped
into the frame with the area it covers as its weight, so that edges come out smooth, back sides
vanish, and what is stretched or squeezed by a muscle keeps its look.

Shapes: N points of the grid, K shapes, A action units, T frames, S the frame's side in pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from . import action_units, geometry
from .geometry import CENTRE_Y, SCALE, Array, ramp
from .performance import Performance
from .scene import Eyes, Mouth, Props
from .subjects import Person, albedo, neutral

PIVOT = np.array([0.0, 0.35, -0.35], np.float32)
CHUNK = 16


@lru_cache(maxsize=4)
def grid(size: int) -> tuple[Array, Array, Array, tuple[int, int]]:
    """Return the head's points for frames of this side: x, y, cosine (N,) and (rows, columns)."""
    fine = 88 / size
    stops = ((-1.61, -0.5, 0.045), (-0.5, 0.84, 0.023), (0.84, 1.18, 0.0135), (1.18, 1.635, 0.03))
    rows = np.concatenate(
        [np.linspace(a, b, round((b - a) / (step * fine)), endpoint=False) for a, b, step in stops]
    )
    t = np.linspace(-1, 1, round(132 / fine))
    angle = 2.0 * (0.72 * t + 0.28 * t**3)
    width, _ = geometry.profile(rows)
    x = width[:, None] * np.sin(angle)
    y, cosine = np.broadcast_to(rows[:, None], x.shape), np.broadcast_to(np.cos(angle), x.shape)
    flat = [array.astype(np.float32).ravel() for array in (x, y, cosine)]
    return flat[0], flat[1], flat[2], (len(rows), len(angle))


@lru_cache(maxsize=4)
def _motion(size: int) -> tuple[Array, Array]:
    x, y, cosine, _ = grid(size)
    front = np.clip(cosine * 4, 0, 1)
    return action_units.motion(x, y) * front, action_units.creases(x, y) * front


def personal(who: Person, shapes: Array, x: Array) -> Array:
    """Return the shapes as this person's face moves them, (K, 3, N): own strength, own lean."""
    own = shapes.copy()
    count = len(geometry.AUS)
    lean = 1 + who.lean[:, None] * np.tanh(x / 0.2)
    own[:count] *= (who.gain[:, None] * lean)[:, None, :]
    return own


def rotation(pose: Array) -> Array:
    """Return (T, 3, 3) matrices that turn by `pose` (T, 3): yaw, pitch, roll in radians."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(pose).T, np.sin(pose).T
    one, nil = np.ones_like(cy), np.zeros_like(cy)
    yaw = np.array([[cy, nil, sy], [nil, one, nil], [-sy, nil, cy]])
    pitch = np.array([[one, nil, nil], [nil, cp, -sp], [nil, sp, cp]])
    roll = np.array([[cr, -sr, nil], [sr, cr, nil], [nil, nil, one]])
    turn: Array = np.einsum("ijt,jkt,klt->til", roll, pitch, yaw).astype(np.float32)
    return turn


def project(points: Array, turn: Array, place: Array, size: int) -> Array:
    """Return pixels and depth (..., 3, N) of head points under turns and places (..., 3)."""
    turned = turn @ (points - PIVOT[:, None])
    near = place[..., 2, None, None] * (SCALE * size) / (1 - 0.07 * turned[..., 2:, :])
    offset = np.concatenate([place[..., :2], np.zeros_like(place[..., :1])], axis=-1)
    middle = offset * size + np.array([size / 2, (0.35 - CENTRE_Y) * SCALE * size + size / 2, 0])
    moved: Array = (turned * near + middle[..., None]).astype(np.float32)
    return moved


def landmarks(who: Person, take: Performance, size: int) -> Array:
    """Return the 68 landmarks' exact pixels in every frame, (T, 68, 2)."""
    rest, moves = _rig(who)
    points = rest + (take.shapes @ moves).reshape(len(take.shapes), *rest.shape)
    pixels = project(points, rotation(take.pose), take.place, size)
    return np.ascontiguousarray(pixels[:, :2].transpose(0, 2, 1))


@lru_cache(maxsize=64)
def _rig(who: Person) -> tuple[Array, Array]:
    x, y = geometry.landmark_points()
    cosine = np.sqrt(np.clip(1 - (x / geometry.profile(y)[0]) ** 2, 0, 1))
    moves = personal(who, action_units.motion(x, y), x)
    bald = replace(who, hair_thick=0.0)  # the points are on the skin, also under hair
    return neutral(bald, x, y, cosine), moves.reshape(len(moves), -1)


class Renderer:
    """One person ready to be filmed at one frame size; `film` yields the frames of a take."""

    def __init__(self, who: Person, size: int):
        x, y, cosine, self._shape = grid(size)
        moves, creases = _motion(size)
        self._who, self._size = who, size
        self._rest = neutral(who, x, y, cosine)
        self._moves = personal(who, moves, x).reshape(len(moves), -1)
        self._creases = creases * who.furrow[:, None]
        self._colour = albedo(who, x, y, cosine)
        self._props = Props(who, size)
        self._shine = 20 * (1 - who.beard) * np.clip(cosine, 0, 1) ** 2
        self._openings = Eyes(who, x, y, self._rest), Mouth(x, y, self._rest)

    def film(self, take: Performance) -> Iterator[NDArray[np.uint8]]:
        """Yield the take's frames, (S, S, 3) uint8 RGB, in order."""
        turns = rotation(take.pose)
        creases = np.clip(take.intensity, 0, 1) ** 1.3
        for start in range(0, len(take.pose), CHUNK):
            chunk = slice(start, start + CHUNK)
            points = self._rest.ravel() + take.shapes[chunk] @ self._moves
            folds = creases[chunk] @ self._creases
            for t, head, fold in zip(range(start, start + CHUNK), points, folds, strict=False):
                yield self._frame(take, t, turns[t], head.reshape(3, -1), fold)

    def _frame(
        self, take: Performance, t: int, turn: Array, head: Array, fold: Array
    ) -> NDArray[np.uint8]:
        pixels = project(head, turn, take.place[t], self._size)
        normal, area = self._normals(pixels)
        lit = self._lit(self._painted(take, t, head), normal, fold, take.light[t])
        colour, cover = splat(pixels, lit, area, self._size)
        back = self._props.behind(take, t, turn)
        image: Array = back + (colour - back) * cover
        image = self._props.front(image, take, t, turn)
        return self._exposed(image, take, t)

    def _normals(self, pixels: Array) -> tuple[Array, Array]:
        field = pixels.reshape(3, *self._shape)
        right, down = np.empty_like(field), np.empty_like(field)
        right[:, :, 1:-1] = field[:, :, 2:] - field[:, :, :-2]
        down[:, 1:-1] = field[:, 2:] - field[:, :-2]
        right[:, :, [0, -1]], down[:, [0, -1]] = 0, 0
        (rx, ry, rz), (dx, dy, dz) = right, down
        normal = np.stack([ry * dz - rz * dy, rz * dx - rx * dz, rx * dy - ry * dx]).reshape(3, -1)
        area = np.maximum(normal[2], 0) / 4
        return normal / (np.sqrt((normal**2).sum(0)) + 1e-6), area

    def _painted(self, take: Performance, t: int, head: Array) -> Array:
        colour = self._colour.copy()
        for opening in self._openings:
            opening.paint(colour, head, take, t)
        return colour

    def _lit(self, colour: Array, normal: Array, fold: Array, light: Array) -> Array:
        who = self._who
        facing = np.clip(light @ normal, 0, None)
        shade = who.ambient + (1.06 - who.ambient) * facing
        shade = shade * (1 - np.clip(fold, -0.35, 0.75))
        for opening in self._openings:
            opening.shade(shade)
        half = light + np.array([0, 0, 1], np.float32)
        gloss = np.clip((half / np.linalg.norm(half)) @ normal, 0, None) ** 16
        return colour * shade + self._shine * gloss * (1 - np.clip(fold, 0, 1))

    def _exposed(self, image: Array, take: Performance, t: int) -> NDArray[np.uint8]:
        for axis in (1, 2):
            image = soften(image, take.blur[t], axis)
        rng = np.random.default_rng((take.grain, t))
        noise = rng.standard_normal((*image.shape[1:], 3), np.float32)
        noise *= take.noise
        exposed: Array = (image * take.exposure[t][:, None, None]).transpose(1, 2, 0) + noise
        return np.clip(exposed, 0, 255, out=exposed).astype(np.uint8)


def soften(image: Array, amount: float, axis: int) -> Array:
    """Give each of a pixel's two neighbours along `axis` the weight `amount`; edges stay."""
    middle, after, before = (
        _along(image, axis, part) for part in (slice(1, -1), slice(2, None), slice(None, -2))
    )
    soft = image.copy()
    _along(soft, axis, slice(1, -1))[...] += amount * (after + before - 2 * middle)
    return soft


def _along(image: Array, axis: int, part: slice) -> Array:
    """Return a part of an axis, whole in the others."""
    found: Array = image[(*(slice(None),) * axis, part)]
    return found


def splat(pixels: Array, colour: Array, area: Array, size: int) -> tuple[Array, Array]:
    """Drop points into a frame: (3, S, S) colour and (S, S) cover in 0..1; nearer points win."""
    fine = 2 * size
    column, row = np.floor(pixels[:2] * 2).astype(np.int32)
    inside = np.flatnonzero(
        (area > 0) & (column >= 0) & (column < fine) & (row >= 0) & (row < fine)
    )
    where = row[inside] * fine + column[inside]
    area, colour = area[inside], colour.take(inside, axis=1)
    near = area * np.exp(pixels[2, inside] * (6 / (SCALE * size)))
    planes = (area, near, *(near * channel for channel in colour))
    sums = [np.bincount(where, plane, fine * fine) for plane in planes]
    stack = _halved(np.array(sums, np.float32).reshape(5, fine, fine))
    even = soften(soften(stack[0], 0.25, 0), 0.25, 1)
    cover = ramp(even, 0.25, 0.70)
    _fill(stack, (stack[1] < 1e-3) & (cover > 0))
    return stack[2:] / (stack[1] + 1e-9), cover


def _fill(stack: Array, holes: NDArray[np.bool_]) -> None:
    """Give pixels that no point fell into what lies around them."""
    if holes.any():
        wide = stack
        for axis in (1, 2, 1, 2):
            wide = soften(wide, 0.25, axis)
        stack[:, holes] = wide[:, holes]


def _halved(stack: Array) -> Array:
    """Halve rows and columns of (planes, 2S, 2S) sums with the weights 1 3 3 1 over 4."""
    for axis in (1, 2):
        even, odd = _along(stack, axis, slice(0, None, 2)), _along(stack, axis, slice(1, None, 2))
        outer = np.zeros(even.shape, stack.dtype)
        _along(outer, axis, slice(1, None))[...] += _along(stack, axis, slice(1, -1, 2))
        _along(outer, axis, slice(None, -1))[...] += _along(stack, axis, slice(2, None, 2))
        stack = even + odd
        stack *= 3
        stack += outer
        stack /= 4
    return stack
