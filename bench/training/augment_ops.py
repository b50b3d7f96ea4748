"""Augmentation operations: the strong view's pool (RandAugment as in FixMatch), batched.

Pool and ranges: Sohn et al. 2020 (FixMatch), appendix on augmentation, with rotation cut from 30 to
15 degrees (methods.md 3). Enhancements (brightness, colour, contrast, sharpness) only ever weaken,
as there: their factors stay below 1.

Pixel operations take and return (n, 3, H, W) float32 in 0..255, with one magnitude a frame, shaped
(n, 1, 1, 1). Statistics (means, extremes, histograms) are each frame's own, so that a frame looks
the same whichever other frames of its clip are asked for.

Warps are (n, 3, 3) float64 matrices that take OUTPUT to INPUT points, in coordinates that run from
-1 to 1 across the image, centre at 0, y down. All are taken about the centre.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (the name that everybody knows it by)
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
RowNumbers = NDArray[np.int64]

LEVELS = 256
"""Grey levels of a stored frame."""


def grey(pixels: Tensor) -> Tensor:
    """Return the luma (n, 1, H, W) of RGB `pixels` (n, 3, H, W), weights of ITU-R BT.601."""
    red, green, blue = pixels[:, :1], pixels[:, 1:2], pixels[:, 2:]
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with black; factor 1 changes nothing."""
    return pixels * factor


def colour(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image; factor 1 changes nothing."""
    return torch.lerp(grey(pixels).expand_as(pixels), pixels, factor)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with the frame's mean grey; factor 1 changes nothing."""
    mean = grey(pixels).mean((2, 3), keepdim=True)
    return torch.lerp(mean.expand_as(pixels), pixels, factor)


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with a smoothed image (3x3, centre 5 of 13; border as it was); 1 changes nothing."""
    smooth = pixels.clone()
    # by rows, then by columns: seven times as fast as a pooling of three by three
    three = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    nine = three[..., :-2] + three[..., 1:-1] + three[..., 2:]
    smooth[..., 1:-1, 1:-1].mul_(4 / 13).add_(nine, alpha=1 / 13)
    return torch.lerp(smooth, pixels, factor)


def autocontrast(pixels: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to 0..255; a flat channel (less than one level) stays as it is."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    span = high - low
    stretched = (pixels - low) * (255 / span.clamp_min(1))
    return torch.where(span < 1, pixels, stretched)


def equalize(pixels: Tensor, _: Tensor) -> Tensor:
    """Flatten each channel's histogram, by the integer rule that Pillow uses."""
    values = pixels.round().long().flatten(2).flatten(0, 1)
    rows, size = values.shape
    where = values + LEVELS * torch.arange(rows, device=values.device).unsqueeze(1)
    counts = values.new_zeros(rows * LEVELS)
    counts.scatter_add_(0, where.flatten(), torch.ones_like(values).flatten())
    counts = counts.view(rows, LEVELS)
    brightest = counts.gather(1, values.amax(1, keepdim=True))
    step = (size - brightest) // (LEVELS - 1)
    below = counts.cumsum(1) - counts
    table = ((below + step // 2) // step.clamp_min(1)).clamp_max_(LEVELS - 1)
    equal = table.to(pixels.dtype).gather(1, values).view_as(pixels)
    return torch.where((step == 0).view(*pixels.shape[:2], 1, 1), pixels, equal)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` (rounded down) of the 8 that a value has."""
    dropped = 8 - bits.int()
    return (pixels.int() >> dropped << dropped).to(pixels.dtype)


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at or above `threshold`."""
    return (pixels - 255 * (pixels >= threshold)).abs_()


def affine(
    xx: Floats | float = 1.0,
    xy: Floats | float = 0.0,
    x0: Floats | float = 0.0,
    yx: Floats | float = 0.0,
    yy: Floats | float = 1.0,
    y0: Floats | float = 0.0,
) -> Floats:
    """Return (n, 3, 3) matrices [[xx, xy, x0], [yx, yy, y0], [0, 0, 1]]."""
    entries = (xx, xy, x0, yx, yy, y0)
    count = max((len(entry) for entry in entries if isinstance(entry, np.ndarray)), default=1)
    matrices = np.zeros((count, 9))
    for place, entry in enumerate(entries):
        matrices[:, place] = entry
    matrices[:, 8] = 1
    return matrices.reshape(-1, 3, 3)


def rotation(degrees: Floats) -> Floats:
    """Turn the image counter-clockwise."""
    angle = np.deg2rad(degrees)
    return affine(xx=np.cos(angle), xy=-np.sin(angle), yx=np.sin(angle), yy=np.cos(angle))


def shear_x(slope: Floats) -> Floats:
    """Slide rows sideways, by `slope` times their distance from the middle row."""
    return affine(xy=slope)


def shear_y(slope: Floats) -> Floats:
    """Slide columns up or down, by `slope` times their distance from the middle column."""
    return affine(yx=slope)


def shift_x(share: Floats) -> Floats:
    """Move the image to the right by a share of its side."""
    return affine(x0=-2 * share)


def shift_y(share: Floats) -> Floats:
    """Move the image down by a share of its side."""
    return affine(y0=-2 * share)


@dataclass(frozen=True)
class Operation:
    """One entry of the pool: magnitude uniform in low..high; changes pixels, warps, or nothing."""

    name: str
    low: float = 0.0
    high: float = 0.0
    pixels: Callable[[Tensor, Tensor], Tensor] | None = None
    warp: Callable[[Floats], Floats] | None = None


POOL = (
    Operation("autocontrast", pixels=autocontrast),
    Operation("brightness", 0.05, 0.95, pixels=brightness),
    Operation("colour", 0.05, 0.95, pixels=colour),
    Operation("contrast", 0.05, 0.95, pixels=contrast),
    Operation("equalize", pixels=equalize),
    Operation("identity"),
    Operation("posterize", 4, 9, pixels=posterize),  # rounded down: 4 to 8 bits, equally likely
    Operation("rotate", -15, 15, warp=rotation),
    Operation("sharpness", 0.05, 0.95, pixels=sharpness),
    Operation("shear_x", -0.3, 0.3, warp=shear_x),
    Operation("shear_y", -0.3, 0.3, warp=shear_y),
    Operation("solarize", 0, 256, pixels=solarize),
    Operation("translate_x", -0.3, 0.3, warp=shift_x),
    Operation("translate_y", -0.3, 0.3, warp=shift_y),
)
"""What the strong view draws from, each as likely as the next."""


def pool_warps(ops: RowNumbers, magnitudes: Floats) -> Floats:
    """Return the warp (C, 3, 3) that each operation (C,) stands for, the identity for the rest."""
    warps = affine().repeat(len(ops), axis=0)
    for kind, op in enumerate(POOL):
        if op.warp is not None:
            warps[ops == kind] = op.warp(magnitudes[ops == kind])
    return warps


def apply_pool(pixels: Tensor, kinds: RowNumbers, magnitudes: Tensor) -> None:
    """Put each frame of `pixels` (N, 3, S, S) through its own operation (N,), in place."""
    order = np.argsort(kinds, kind="stable")
    rows = torch.from_numpy(order).to(pixels.device, non_blocking=True)
    groups = torch.split(rows, np.bincount(kinds, minlength=len(POOL)).tolist())
    for op, group in zip(POOL, groups, strict=True):
        if op.pixels is not None and len(group):
            changed = op.pixels(pixels[group], magnitudes[group].view(-1, 1, 1, 1))
            pixels.index_copy_(0, group, changed)


def recolour(pixels: Tensor, colour: Tensor) -> Tensor:
    """Apply colour maps (N, 3, 4) to `pixels` (N, 3, S, S), in place."""
    value, own_grey, mean_grey, offset = colour[..., None, None].unbind(2)
    luma = grey(pixels)
    offset = offset + mean_grey * luma.mean((2, 3), keepdim=True)
    return pixels.mul_(value).addcmul_(luma, own_grey).add_(offset)


def warp(pixels: Tensor, theta: Tensor) -> Tensor:
    """Resample `pixels` (N, 3, S, S) at the points theta (N, 2, 3) takes each output pixel to."""
    # The grid is spelt out because F.affine_grid multiplies matrices, at whatever precision the
    # training has set for those: coordinates would be off by a tenth of a pixel. Outside the image
    # its border goes on: a reflection would show a second mouth, a plain fill the angle turned by.
    side = pixels.shape[-1]
    line = (torch.arange(side, device=pixels.device, dtype=pixels.dtype) * 2 + 1) / side - 1
    x_part, y_part, origin = theta[:, None].unbind(-1)  # (N, 1, 2) each: a point (x, y)
    down = torch.addcmul(origin, line.view(1, side, 1), y_part)
    across = line.view(1, side, 1) * x_part
    # points as complex numbers: one addition a pixel, in one go instead of in pairs
    points = torch.view_as_complex(down)[:, :, None] + torch.view_as_complex(across)[:, None]
    grid = torch.view_as_real(points)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


def cut_out(views: Tensor, boxes: Tensor) -> None:
    """Zero the pixels of `views` (N, 3, S, S) whose centre lies in the box (N, 4), in place."""
    side = views.shape[-1]
    centres = (torch.arange(side, device=views.device, dtype=views.dtype) + 0.5) / side
    left, top, right, bottom = boxes.unsqueeze(-1).unbind(1)
    across = ((left <= centres) & (centres < right)).to(views.dtype)
    down = ((top <= centres) & (centres < bottom)).to(views.dtype)
    # a product, on a processor eight times as fast as filling by a mask
    views.mul_((1 - down.unsqueeze(2) * across.unsqueeze(1)).unsqueeze(1))
