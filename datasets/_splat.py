"""Image operations of the renderer: drop points into a frame, soften it.

Shapes: N points, S the frame's side in pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._faces import SCALE, Array, ramp


def soften(image: Array, amount: float, axis: int) -> Array:
    """Give each of a pixel's two neighbours along `axis` the weight `amount`; edges stay."""
    moved = np.moveaxis(image, axis, 0)
    soft = moved.copy()
    soft[1:-1] += amount * (moved[2:] + moved[:-2] - 2 * moved[1:-1])
    return np.moveaxis(soft, 0, axis)


def splat(pixels: Array, colour: Array, area: Array, size: int) -> tuple[Array, Array]:
    """Drop points into a frame: (S, S, 3) colour and (S, S) cover in 0..1; nearer points win."""
    fine = 2 * size
    column, row = np.floor(pixels[:2] * 2).astype(np.int32)
    inside = (area > 0) & (column >= 0) & (column < fine) & (row >= 0) & (row < fine)
    where = (row * fine + column)[inside]
    area, colour = area[inside], colour[:, inside]
    near = area * np.exp(pixels[2, inside] * (6 / (SCALE * size)))
    planes = (area, near, *(near * channel for channel in colour))
    sums = [np.bincount(where, plane, fine * fine) for plane in planes]
    stack = _halved(np.array(sums, np.float32).reshape(5, fine, fine))
    even = soften(soften(stack[0], 0.25, 0), 0.25, 1)
    cover = ramp(even, 0.25, 0.70)
    _fill(stack, (stack[1] < 1e-3) & (cover > 0))
    return (stack[2:] / (stack[1] + 1e-9)).transpose(1, 2, 0), cover


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
        pairs = np.moveaxis(stack, axis, 0)
        outer = np.zeros_like(pairs[::2])
        outer[1:] += pairs[1:-1:2]
        outer[:-1] += pairs[2::2]
        stack = np.moveaxis((3 * (pairs[::2] + pairs[1::2]) + outer) / 4, 0, axis)
    return stack
