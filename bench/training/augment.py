"""Augmentation: weak and strong views, one geometric and photometric draw a clip, a batch at once.

A draw is made on the CPU from a seed and is the same for every device, method and batch size: row i
of a draw depends on the seed and on i alone. It is applied on the device that holds the frames, by
the same code everywhere, and a frame's view depends on that frame and its clip's row alone (the
mean that contrast turns about is the frame's own, not the clip's).

weak    flip, turn (zoom, shift), jitter of brightness, contrast and saturation
        (methods.md 0.2). Jitter and ImageNet normalisation are one affine map of the colours, so
        values are not clipped at white; warping is one bilinear resampling.
strong  a weak draw, then RandAugment and Cutout (Sohn et al. 2020, FixMatch, section 2.3). Pixel
        operations act on the stored frame in the order drawn; all warps, the weak one first, are
        composed into the one resampling.

What a warp brings in from outside the image continues the image's border; Cutout fills with the
ImageNet mean colour, which is 0 after normalisation.

Shapes: C clips, N frames, K operations a clip, L landmarks, S pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.config.settings import AugmentConfig
from methods._base import View

from .augment_ops import (
    POOL,
    Floats,
    RowNumbers,
    affine,
    apply_pool,
    cut_out,
    pool_warps,
    recolour,
    rotation,
    shift_x,
    shift_y,
    warp,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Mean of R, G, B over ImageNet, in 0..1."""

IMAGENET_STD = (0.229, 0.224, 0.225)
"""Standard deviation of R, G, B over ImageNet, in 0..1."""


@dataclass(frozen=True)
class Draw:
    """What happens to each clip, a row a clip; kept on the CPU, where picking rows never waits."""

    theta: Floats
    """(C, 2, 3) output to input points, in coordinates from -1 to 1 across the image, y down."""
    colour: Floats
    """(C, 3, 4) per channel: factor of the value (0..255), of the pixel's grey, of the frame's mean
    grey, and the offset; they add up to the normalised value."""
    ops: NDArray[np.int64]
    """(C, K) operations on pixels, in order, as positions in `POOL`; K = 0 in weak draws."""
    magnitudes: Floats
    """(C, K) how far each goes, in its own unit."""
    boxes: Floats
    """(C, 4) x0, y0, x1, y1 of Cutout's box, shares of the side; all 0 in weak draws."""


def weak_draw(config: AugmentConfig, clips: int, seed: int) -> Draw:
    """Draw a weak view for each of `clips` clips; row i depends on `seed` and i alone."""
    matrix, colour = _weak(config, _uniforms(clips, _WEAK_COLUMNS, seed))
    none = np.zeros((clips, 0))
    return Draw(matrix[:, :2], colour, none.astype(np.int64), none, np.zeros((clips, 4)))


def strong_draw(config: AugmentConfig, clips: int, seed: int) -> Draw:
    """Draw a strong view for each of `clips` clips; row i depends on `seed` and i alone."""
    count = config.strong_ops
    table = _uniforms(clips, _WEAK_COLUMNS + 2 * count + 3, seed)
    weak, kinds, sizes, box = np.split(table, np.cumsum([_WEAK_COLUMNS, count, count]), axis=1)
    ops = (kinds * len(POOL)).astype(np.int64)
    low, high = np.array([(op.low, op.high) for op in POOL]).T
    magnitudes = low[ops] + (high - low)[ops] * sizes
    matrix, colour = _weak(config, weak)
    for layer in range(count):
        matrix = matrix @ pool_warps(ops[:, layer], magnitudes[:, layer])
    return Draw(matrix[:, :2], colour, ops, magnitudes, _boxes(config.cutout, box))


def plain_draw(_: AugmentConfig, clips: int, seed: int) -> Draw:
    """Return the draw under which every frame stays as it is."""
    still = AugmentConfig(flip=0, rotate=0, brightness=0, contrast=0, saturation=0)
    return weak_draw(still, clips, seed)


DRAWS: Mapping[View, Callable[[AugmentConfig, int, int], Draw]] = {
    "weak": weak_draw,
    "weak2": weak_draw,
    "strong": strong_draw,
}
"""View -> how it is drawn; `weak2` differs from `weak` by the seed that it is given.

Of `plain` nothing is drawn.
"""


def show(view: View, frames: Tensor, clip_of_frame: RowNumbers, draw: Draw) -> Tensor:
    """Show `frames` in a view: `augment`, or for the plain one `normalise`."""
    return normalise(frames) if view == "plain" else augment(frames, clip_of_frame, draw)


def augment(frames: Tensor, clip_of_frame: RowNumbers, draw: Draw) -> Tensor:
    """Show `frames` (N, S, S, 3) uint8 as `draw` says: (N, 3, S, S) float32, ImageNet-normalised.

    `clip_of_frame` (N,) names each frame's row of the draw. Runs on the device of `frames`, without
    waiting for it. Raises ValueError if the frames are not square RGB bytes.
    """
    pixels = _planar(frames)
    if len(pixels) == 0:
        return pixels
    theta, colour, magnitudes, boxes = _to_frames(draw, clip_of_frame, frames.device)
    for layer in range(draw.ops.shape[1]):
        apply_pool(pixels, draw.ops[clip_of_frame, layer], magnitudes[:, layer])
    views = warp(recolour(pixels, colour), theta)
    if draw.boxes.any():
        cut_out(views, boxes)
    return views


def normalise(frames: Tensor) -> Tensor:
    """Turn `frames` (N, S, S, 3) uint8 into (N, 3, S, S) float32, ImageNet-normalised."""
    pixels = _planar(frames)
    for channel, mean, std in zip(pixels.unbind(1), IMAGENET_MEAN, IMAGENET_STD, strict=True):
        channel.mul_(1 / (255 * std)).sub_(mean / std)
    return pixels


def move_landmarks(
    landmarks: NDArray[np.float32],
    clip_of_frame: RowNumbers,
    draw: Draw,
    *,
    mirror: RowNumbers,
    side: int,
) -> NDArray[np.float32]:
    """Return where `landmarks` (N, L, 2) of frames are in the views that `augment` makes of them.

    Pixels of a `side` x `side` image, origin at the top left corner of the top left pixel; points
    may leave the image, and unknown ones (NaN) stay unknown. Point i of a mirrored face is point
    `mirror[i]` of the original (`datasets._landmarks.MIRROR_68`).
    """
    turn, origin = draw.theta[..., :2], draw.theta[..., 2]
    back = np.linalg.inv(turn)[clip_of_frame]
    points = landmarks * (2 / side) - 1 - origin[clip_of_frame, None]
    moved: Floats = (np.einsum("nij,nlj->nli", back, points) + 1) * (side / 2)
    mirrored = np.linalg.det(turn)[clip_of_frame] < 0
    moved[mirrored] = moved[mirrored][:, mirror]
    return moved.astype(np.float32)


_WEAK_COLUMNS = 8


def _uniforms(clips: int, columns: int, seed: int) -> Floats:
    """Return (clips, columns) numbers in [0, 1), filled row by row: more clips add rows below."""
    return np.random.default_rng(seed).random((clips, columns))


def _weak(config: AugmentConfig, table: Floats) -> tuple[Floats, Floats]:
    """Turn (C, 8) uniform numbers into warps (C, 3, 3) and colour maps (C, 3, 4)."""
    flip, *rest = table.T
    turn, zoom, right, down, brighter, starker, richer = (2 * column - 1 for column in rest)
    warp = (
        affine(xx=np.where(flip < config.flip, -1.0, 1.0))
        @ rotation(config.rotate * turn)
        @ _zooms(1 + config.scale * zoom)
        @ shift_x(config.translate * right)
        @ shift_y(config.translate * down)
    )
    colour = _colours(
        1 + config.brightness * brighter,
        1 + config.contrast * starker,
        1 + config.saturation * richer,
    )
    return warp, colour


def _zooms(factor: Floats) -> Floats:
    return affine(xx=1 / factor, yy=1 / factor)


def _colours(brightness: Floats, contrast: Floats, saturation: Floats) -> Floats:
    """Fold brightness, contrast, saturation (C,), in that order, and normalisation: (C, 3, 4)."""
    value = saturation * contrast * brightness
    own_grey = (1 - saturation) * contrast * brightness
    mean_grey = (1 - contrast) * brightness
    scale = 1 / (255 * np.array(IMAGENET_STD))
    factors = np.stack([value, own_grey, mean_grey], axis=-1)[:, None] * scale[:, None]
    offset = -np.array(IMAGENET_MEAN) / IMAGENET_STD
    return np.concatenate([factors, np.broadcast_to(offset, (len(value), 3))[..., None]], axis=-1)


def _boxes(largest: float, table: Floats) -> Floats:
    """Turn (C, 3) uniform numbers into boxes: side in 0..largest, centre anywhere in the image."""
    half, centre = table[:, :1] * largest / 2, table[:, 1:]
    return np.concatenate([centre - half, centre + half], axis=1)


def _planar(frames: Tensor) -> Tensor:
    """Return `frames` (N, S, S, 3) uint8 as new contiguous (N, 3, S, S) float32 in 0..255."""
    shape = tuple(frames.shape)
    if frames.dtype != torch.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ValueError(f"frames must be (N, S, S, 3) uint8, not {shape} {frames.dtype}")
    return frames.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)


def _to_frames(draw: Draw, clip_of_frame: RowNumbers, device: torch.device) -> tuple[Tensor, ...]:
    """Pick each frame's row of a draw and move it in one copy: theta, colour, magnitudes, boxes."""
    parts = [draw.theta, draw.colour, draw.magnitudes, draw.boxes]
    flat = [part.reshape(len(part), -1)[clip_of_frame] for part in parts]
    packed = torch.from_numpy(np.concatenate(flat, axis=1).astype(np.float32))
    widths = [part.shape[1] for part in flat]
    pieces = torch.split(packed.to(device, non_blocking=True), widths, dim=1)
    return tuple(
        piece.reshape(len(packed), *part.shape[1:])
        for piece, part in zip(pieces, parts, strict=True)
    )
