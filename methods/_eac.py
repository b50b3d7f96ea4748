"""Networks of EAC-Net: E-Net (an enhanced VGG-19, or the trunk) and C-Net on its crops.

Shapes: N images of S x S pixels, G = S/8 the grid of conv4, C channels of conv4, A action units.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models import ResNet
from torch import Tensor, nn

from ._base import MethodError, Trunk
from ._layers import ParallelLinear
from ._published_weights import only_noted
from ._trunks import ImageTrunk, create_body, loads_first_weights, read_state

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
        x = self.trunk.stem(frames)
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

    tap_sums: Tensor

    def __init__(self, aus: int, channels: int, width: float):
        super().__init__()
        local, joint = narrowed(150, width), narrowed(2048, width)
        # One grouped convolution instead of 20: every crop keeps weights of its own.
        self.conv = nn.Conv2d(CROP_COUNT * channels, CROP_COUNT * channels, 3, groups=CROP_COUNT)
        self.register_buffer("tap_sums", torch.tensor(_TAP_SUMS), persistent=False)
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
        local = F.relu(self._convolved(crop_features(normal, centres)))
        logits: Tensor = self.head(F.relu(self.local(local.flatten(2))).flatten(1))
        return logits

    def _convolved(self, crops: Tensor) -> Tensor:
        """Double crops (N, 20, C, 3, 3) to 6 x 6 and convolve each, 3 x 3: (N, 20, C, 16).

        Of doubled cells a kernel sees 2 x 2, so that the sums of its taps over each cell do: fewer
        than half the products, and as one product of matrices a crop. Grouped convolutions of the
        6 x 6 took four times as long on a CPU.
        """
        count, _, channels = crops.shape[:3]
        # (20, N, position down, across, C, cell down, across)
        seen = crops.permute(1, 0, 3, 4, 2).unfold(2, 2, 1).unfold(3, 2, 1)
        seen = seen.permute(0, 1, 2, 3, 5, 6, 4).reshape(CROP_COUNT, count * 4, 4 * channels)
        kernels = self.conv.weight.reshape(CROP_COUNT, channels, channels, 3, 3)
        pairs = self.tap_sums.to(kernels)
        weight = torch.einsum("goiab,pca,qdb->gcdipqo", kernels, pairs, pairs)
        assert self.conv.bias is not None
        bias = self.conv.bias.view(CROP_COUNT, 1, channels).repeat(1, 1, 4)
        maps = torch.baddbmm(bias, seen, weight.reshape(CROP_COUNT, 4 * channels, -1))
        # (20, N, position down, across, parity down, across, C) -> rows and columns of 4 x 4
        placed = maps.view(CROP_COUNT, count, 2, 2, 2, 2, channels).permute(1, 0, 6, 2, 4, 3, 5)
        return placed.reshape(count, CROP_COUNT, channels, 16)


_TAP_SUMS = (((1, 1, 0), (0, 0, 1)), ((1, 0, 0), (0, 1, 1)))
"""(parity of the output, cell, tap): which taps of a kernel meet which of two doubled cells."""


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
    if not loads_first_weights() or (weights == "imagenet" and only_noted("vgg19")):
        return
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
