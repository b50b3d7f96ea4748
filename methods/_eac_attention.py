"""Attention of EAC-Net by landmarks, the AU centres that it stands on, and its loss.

Shapes: N images, A action units; positions are on a 100 x 100 grid.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor

from ._base import MethodError, check_choice

Form = Literal["paper", "released"]
"""The attention of the paper's text, or of the authors' code."""

GRID = 100
"""Side of the attention map."""

# Left point, right point, and the shift down in rulers (distance of the inner eye corners), by the
# AUs that they serve: 1; 2; 4; 6; 7; 10; 12, 14, 15; lips; 23, 24; chin (17).
_PAIRS = (
    *((21, 22, -1 / 2), (18, 25, -1 / 3), (19, 24, 1 / 3), (41, 46, 1), (38, 43, 0)),
    *((49, 53, 0), (48, 54, 0), (51, 57, 0), (61, 63, 0), (56, 58, 1 / 2)),
)

_INNER_EYE_CORNERS = (39, 42)

# The mean face's points that are used, on the viewer's left or amid the face, in the unit square of
# an aligned crop, and their mirror images.
_LEFT = dict(
    [
        *((18, (0.2280, 0.1201)), (19, (0.2893, 0.1009)), (21, (0.4349, 0.1124))),
        *((38, (0.3429, 0.2388)), (39, (0.4004, 0.2733)), (41, (0.2854, 0.2695))),
        *((48, (0.3391, 0.6296)), (49, (0.3851, 0.5951)), (51, (0.5000, 0.5798))),
        *((57, (0.5000, 0.7024)), (58, (0.4310, 0.6909)), (61, (0.4272, 0.6258))),
    ]
)

_MIRROR = {18: 25, 19: 24, 21: 22, 38: 43, 39: 42, 41: 46, 48: 54, 49: 53, 58: 56, 61: 63}


def canonical_landmarks() -> Tensor:
    """Return the mean face (68, 2) in the unit square of an aligned crop; unused points are 0."""
    face = torch.zeros(68, 2)
    for point, (x, y) in _LEFT.items():
        face[point] = torch.tensor([x, y])
        face[_MIRROR.get(point, point)] = torch.tensor([1 - x if point in _MIRROR else x, y])
    return face


def au_centres(landmarks: Tensor, image_hw: tuple[int, int]) -> Tensor:
    """Return the 20 AU centres (N, 20, 2) of landmarks (N, 68 or 49, 2), (x, y) on the 100 grid.

    Order: left then right of each pair. Raises MethodError for another number of landmarks.
    """
    check_count(landmarks)
    if not landmarks.is_floating_point():
        landmarks = landmarks.to(torch.get_default_dtype())
    height, width = image_hw
    points = torch.stack(
        [landmarks[..., 0] * (GRID / width), landmarks[..., 1] * (GRID / height)], 2
    )
    columns, corners, down = _layout(landmarks.shape[1], landmarks.device)
    ruler = points[:, corners, 0].diff(dim=1).abs()
    x, y = points[:, columns].unbind(2)
    return torch.stack([x, y + ruler * down.to(y)], 2)


def check_count(landmarks: Tensor) -> None:
    """Raise MethodError unless landmarks (N, L, 2) are 68 or 49 a face."""
    if landmarks.shape[1] not in {68, 49}:
        raise MethodError(f"EAC takes 68 or 49 landmarks a face, not {landmarks.shape[1]}")


@cache
def _layout(landmarks: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the places of the centres' points and of the eye corners, and the shifts in rulers.

    Kept on the device: to bring them over at every step would make the host wait for it.
    """
    points = torch.tensor([point for pair in _PAIRS for point in pair[:2]], dtype=torch.int64)
    places = [points, torch.tensor(_INNER_EYE_CORNERS)]
    if landmarks == 49:  # the 68 without 0-16, 60 and 64
        places = [at - 17 - (at > 60).long() - (at > 64).long() for at in places]
    down = torch.tensor([pair[2] for pair in _PAIRS], dtype=torch.float64).repeat_interleave(2)
    return places[0].to(device), places[1].to(device), down.to(device)


def eac_attention(landmarks: Tensor, image_hw: tuple[int, int], form: Form = "paper") -> Tensor:
    """Return attention maps (N, 100, 100) of landmarks (N, 68, 2), or (100, 100) of (68, 2).

    Around each centre w = 1 - s (|dx| + |dy|), and the largest where windows meet, 0 elsewhere.
    "paper": s = 0.095 in the 11 x 11 window around the nearest pixel (Li et al. 2018, section 3.1).
    "released": s = 0.07 in the window -7..6 around the truncated centre, and a window that begins
    beyond the top or left border is lost as a whole, as in the authors' code. Raises MethodError
    for another form or number of landmarks.
    """
    check_choice("form", form, Form)
    if landmarks.dim() == 2:
        return eac_attention(landmarks[None], image_hw, form)[0]
    centres = au_centres(landmarks, image_hw)
    paper = form == "paper"
    slope, low, high = (0.095, -5, 6) if paper else (0.07, -7, 7)
    offsets = torch.arange(low, high, device=centres.device)
    middle = (centres.round() if paper else centres.trunc()).long()
    across, down = (middle[..., k, None] + offsets for k in (0, 1))  # (N, P, W)
    inside = [(at >= 0) & (at < GRID) for at in (across, down)]
    if not paper:
        inside = [
            kept & (at[..., :1] >= 0) for kept, at in zip(inside, (across, down), strict=True)
        ]
    cells = down.clamp(0, GRID - 1)[..., None] * GRID + across.clamp(0, GRID - 1)[..., None, :]
    steps = offsets.abs().to(centres)
    bump = 1 - slope * (steps[:, None] + steps)
    values = (inside[1][..., None] & inside[0][..., None, :]) * bump
    flat = torch.zeros(len(centres), GRID * GRID, dtype=centres.dtype, device=centres.device)
    maps = flat.scatter_reduce(1, cells.flatten(1), values.flatten(1), "amax")
    return maps.view(-1, GRID, GRID)


def eac_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Return EAC-Net's loss of probabilities (N, A) against targets (N, A) in {1, 0, -1}.

    L = -mean_ij [y log((p + .05)/1.05) + (1 - y) log((1.05 - p)/1.05)] over coded elements (Li et
    al. 2018, eq. 6): the margin bounds the price of a confident mistake at log 21.
    """
    coded = targets >= 0
    present = torch.log((probabilities + 0.05) / 1.05)
    absent = torch.log((1.05 - probabilities) / 1.05)
    y = targets.clamp(min=0)
    return -(coded * (y * present + (1 - y) * absent)).sum() / coded.sum().clamp(min=1)
