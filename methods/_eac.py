"""Parts of EAC-Net alone: attention by landmarks, its loss, E-Net (an enhanced VGG-19) and C-Net.

Shapes: N images of S x S pixels, G = S/8 the grid of conv4, C channels of conv4, A action units.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models import ResNet
from torch import Tensor, nn

from ._base import MethodError, Trunk, check_choice
from ._layers import ParallelLinear
from ._trunks import ImageTrunk, create_body, read_state

_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""VGG-19: channels and convolutions of each stage, a 2 x 2 max pooling after it."""

CROP_COUNT = 20
"""AU centres, each with a crop of its own in C-Net."""


def narrowed(count: int, width: float) -> int:
    """Return count x width, at least 8."""
    return max(8, round(count * width))


class _Stage(nn.Module):
    """The convolutions of one resolution; attention adds its share of the first map to the last."""

    def __init__(self, inputs: int, outputs: int, count: int, *, batch_norm: bool):
        super().__init__()
        self.first = _conv(inputs, outputs, batch_norm=batch_norm)
        rest = [_conv(outputs, outputs, batch_norm=batch_norm) for _ in range(count - 1)]
        self.rest = nn.Sequential(*rest)

    def forward(self, x: Tensor, attention: Tensor | None = None) -> Tensor:
        first = self.first(x)
        last: Tensor = self.rest(first)
        return last if attention is None else last + first * attention


def _conv(inputs: int, outputs: int, *, batch_norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not batch_norm)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, *([nn.BatchNorm2d(outputs)] if batch_norm else []), nn.ReLU())


class ENet(nn.Module):
    """VGG-19 whose third and fourth stages are enhanced by attention."""

    def __init__(self, aus: int, image_size: int, width: float, *, batch_norm: bool):
        super().__init__()
        channels = [3, *(narrowed(full, width) for full, _ in _STAGES)]
        self.stages = nn.ModuleList(
            _Stage(channels[i], channels[i + 1], count, batch_norm=batch_norm)
            for i, (_, count) in enumerate(_STAGES)
        )
        self.channels = channels[4]
        hidden, joint = narrowed(4096, width), narrowed(2048, width)
        self.fc6 = nn.Linear(channels[5] * (image_size // 32) ** 2, hidden)
        self.head = nn.Sequential(
            *(nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, joint)),
            *(nn.ReLU(), nn.Dropout(0.5), nn.Linear(joint, aus)),
        )

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """VGG-19's sixteen convolutions, in order."""
        return [module for module in self.stages.modules() if isinstance(module, nn.Conv2d)]

    def features(self, frames: Tensor, attention: Tensor) -> Tensor:
        """Return conv4_all (N, C, G, G) of images (N, 3, S, S) and maps (N, S, S)."""
        one, two, three, four, _ = self.stages
        x = F.max_pool2d(two(F.max_pool2d(one(frames), 2)), 2)
        x = three(x, F.max_pool2d(attention[:, None], 4))
        enhanced: Tensor = four(F.max_pool2d(x, 2), F.max_pool2d(attention[:, None], 8))
        return enhanced

    def forward(self, frames: Tensor, attention: Tensor) -> Tensor:
        """Return logits (N, A)."""
        x = self.stages[4](F.max_pool2d(self.features(frames, attention), 2))
        logits: Tensor = self.head(self.fc6(F.max_pool2d(x, 2).flatten(1)))
        return logits

    def freeze_early(self) -> None:
        """Leave the first two stages as they are (the published schedule; pretrained weights)."""
        for stage in self.stages[:2]:
            stage.requires_grad_(requires_grad=False)


class TrunkENet(nn.Module):
    """E-Net on the benchmark's trunk, a ResNet, enhanced where it has VGG-19's sides S/4 and S/8.

    The stem halves the image twice: these are layer1 and layer2.
    """

    def __init__(self, aus: int, trunk: ImageTrunk, name: str):
        super().__init__()
        body: Any = trunk.body
        if not isinstance(body, ResNet):
            text = f"eac.body=trunk enhances a ResNet's stages: trunk {name} has none, resnet18 has"
            raise MethodError(text)
        self.trunk = trunk
        stages: Any = body.feature_info
        self.channels = int(stages[2]["num_chs"])
        self.head = nn.Linear(trunk.num_features, aus)

    def features(self, frames: Tensor, attention: Tensor) -> Tensor:
        """Return layer2's enhanced maps (N, C, G, G) of images (N, 3, S, S), maps (N, S, S)."""
        body: Any = self.trunk.body
        x = body.maxpool(body.act1(body.bn1(body.conv1(self.trunk.prepared(frames)))))
        for stage, side in ((body.layer1, 4), (body.layer2, 8)):
            first = stage[0](x)
            x = stage[1:](first) + first * F.max_pool2d(attention[:, None], side)
        enhanced: Tensor = x
        return enhanced

    def forward(self, frames: Tensor, attention: Tensor) -> Tensor:
        """Return logits (N, A)."""
        body: Any = self.trunk.body
        x = body.layer4(body.layer3(self.features(frames, attention)))
        logits: Tensor = self.head(body.global_pool(x))
        return logits


class CNet(nn.Module):
    """A small network for each of 20 crops of E-Net's features, and one layer over them all."""

    def __init__(self, aus: int, channels: int, width: float):
        super().__init__()
        local, joint = narrowed(150, width), narrowed(2048, width)
        # One grouped convolution instead of 20: every crop keeps weights of its own.
        self.conv = nn.Conv2d(CROP_COUNT * channels, CROP_COUNT * channels, 3, groups=CROP_COUNT)
        self.local = ParallelLinear(CROP_COUNT, channels * 16, local)
        self.head = nn.Sequential(
            *(
                nn.Linear(CROP_COUNT * local, joint),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(joint, aus),
            ),
        )

    def forward(self, features: Tensor, centres: Tensor) -> Tensor:
        """Return logits (N, A) of conv4_all (N, C, G, G) and AU centres (N, 20, 2) of 100."""
        # Lasagne's alpha multiplies the sum over 5 channels, torch's their mean.
        normal = F.local_response_norm(features, 5, alpha=0.002 * 5, beta=0.75, k=2.0)
        crops = F.interpolate(crop_features(normal, centres).flatten(1, 2), scale_factor=2.0)
        local = F.relu(self.conv(crops)).reshape(len(crops), CROP_COUNT, -1)
        logits: Tensor = self.head(F.relu(self.local(local)).flatten(1))
        return logits


def crop_features(features: Tensor, centres: Tensor) -> Tensor:
    """Cut 3 x 3 cells around AU centres: (N, C, G, G), (N, 20, 2) -> (N, 20, C, 3, 3).

    A centre lies in cell int(c G / 100), kept one cell away from the border.
    """
    grid = features.shape[-1]
    cells = (centres * grid / 100).long().clamp(1, grid - 2)
    around = torch.arange(-1, 2, device=features.device)
    columns, rows = cells[..., 0, None] + around, cells[..., 1, None] + around
    image = torch.arange(len(features), device=features.device)[:, None, None, None]
    picked = features.permute(0, 2, 3, 1)[image, rows[..., :, None], columns[..., None, :]]
    return picked.permute(0, 1, 4, 2, 3)


def load_vgg(network: ENet, weights: str) -> None:
    """Load VGG-19 weights (timm's or torchvision's): `imagenet`, or the path of a state dict.

    fc6 is loaded where it fits (224 px images). Raises MethodError for another network's weights.
    """
    if weights == "imagenet":
        state = create_body(Trunk(name="vgg19", weights=weights), 224).state_dict()
    else:
        state = read_state(Path(weights))
    names = [key.removesuffix(".weight") for key in state if key.startswith("features.")]
    names = [name for name in names if f"{name}.weight" in state and f"{name}.bias" in state]
    layers: list[nn.Conv2d | nn.Linear] = [*network.convolutions]
    if [state[f"{name}.weight"].shape for name in names] != [m.weight.shape for m in layers]:
        raise MethodError(
            f"weights {weights} are not those of the VGG-19 that eac is built on: "
            "give --set eac.weights=PATH|imagenet|none"
        )
    for name in ("pre_logits.fc1", "classifier.0"):
        if state.get(f"{name}.weight", torch.empty(0)).numel() == network.fc6.weight.numel():
            names, layers = [*names, name], [*layers, network.fc6]
    with torch.no_grad():
        for name, layer in zip(names, layers, strict=True):
            layer.weight.copy_(state[f"{name}.weight"].view_as(layer.weight))
            if layer.bias is not None:
                layer.bias.copy_(state[f"{name}.bias"])


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
