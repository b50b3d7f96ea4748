"""Temporal shifts inside trunks, for TCL: the shift, and where each family of networks takes it.

A share of the channels moves to the neighbouring frame where a residual branch begins, so that what
passes by the branch stays as it was (TSM: Lin, Gan & Han, ICCV 2019, section 3.2).

Shapes: N clips, T frames of a clip, C channels, L tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models import ResNet, beit, convnext, eva, regnet, resnetv2, vision_transformer
from timm.models import _efficientnet_blocks as efficientnet
from timm.models import swin_transformer as swin
from torch import Tensor, nn

from ._base import MethodError

_CONVOLUTIONS: dict[type[nn.Module], str] = {
    resnetv2.PreActBasic: "conv1",
    resnetv2.PreActBottleneck: "conv1",
    resnetv2.Bottleneck: "conv1",
    regnet.Bottleneck: "conv1",
    regnet.PreBottleneck: "conv1",
    convnext.ConvNeXtBlock: "conv_dw",
    efficientnet.ConvBnAct: "conv",
    efficientnet.DepthwiseSeparableConv: "conv_dw",
    efficientnet.EdgeResidual: "conv_exp",
    efficientnet.InvertedResidual: "conv_pw",
    efficientnet.UniversalInvertedResidual: "dw_start",
}
"""Residual block -> the first layer of its branch; maps (N T, C, H, W) are shifted before it."""

_NORMS: dict[type[nn.Module], str] = {
    vision_transformer.Block: "norm1",
    beit.Block: "norm1",
    eva.EvaBlock: "norm1",
    swin.SwinTransformerBlock: "norm1",
}
"""Transformer block -> the norm before its attention; tokens (N T, ..., C) are shifted after it."""


class TemporalShift(nn.Module):
    """`temporal_shift` of feature maps (N T, C, ...), T = `frames`, which the pathway sets."""

    def __init__(self, divisor: int):
        super().__init__()
        self.divisor, self.frames = divisor, 1

    def forward(self, x: Tensor) -> Tensor:
        """Shift x along its clips."""
        return temporal_shift(x, self.frames, self.divisor)


class _TokenShift(nn.Module):
    """The same shift of tokens (N T, ..., C), whose channels come last; the class token's too."""

    def __init__(self, shift: TemporalShift):
        super().__init__()
        self.shift = shift

    def forward(self, tokens: Tensor) -> Tensor:
        shifted: Tensor = self.shift(tokens.movedim(-1, 1)).movedim(1, -1)
        return shifted


def insert_shifts(body: Any, divisor: int, name: str) -> TemporalShift:
    """Put one shared shift into every residual block of a timm network; returns it.

    MobileNets and their like have blocks that nothing passes by: those are left alone, as in TSM's
    MobileNetV2. Raises MethodError for a trunk (of that name) without a block that is known here.
    """
    convolutions, norms = _convolutions(body), _blocks(body, _NORMS)
    if not convolutions and not norms:
        raise MethodError(
            f"tcl shifts channels inside residual blocks, and knows none in trunk {name}: give "
            "--set trunk.name=resnet18, or a ResNetV2, RegNet, EfficientNet, MobileNet, ConvNeXt, "
            "ViT, BEiT, EVA or Swin"
        )
    shift = TemporalShift(divisor)
    for block, layer in convolutions:
        setattr(block, layer, nn.Sequential(shift, getattr(block, layer)))
    for block, layer in norms:
        setattr(block, layer, nn.Sequential(getattr(block, layer), _TokenShift(shift)))
    return shift


def _convolutions(body: Any) -> list[tuple[nn.Module, str]]:
    """Return residual blocks of convolutions with the name of the layer to shift before."""
    if isinstance(body, ResNet):  # of whatever blocks: all of them begin with `conv1`
        stages: list[Any] = [body.layer1, body.layer2, body.layer3, body.layer4]
        return [(block, "conv1") for stage in stages for block in stage]
    return _blocks(body, _CONVOLUTIONS)


def _blocks(body: nn.Module, known: dict[type[nn.Module], str]) -> list[tuple[nn.Module, str]]:
    return [
        (block, known[type(block)])
        for block in body.modules()
        if type(block) in known and getattr(block, "has_skip", True)
    ]


def temporal_shift(x: Tensor, frames: int, divisor: int = 8) -> Tensor:
    """Exchange channels between neighbouring frames of clips x (N T, C, H, W), T = `frames`.

    The first C/divisor channels come from the next frame, the second from the previous one, the
    rest stay; beyond a clip's ends lie zeros (Lin et al., ICCV 2019). The memory format is kept.
    """
    fold = x.shape[1] // divisor
    shifted: Tensor = _Shift.apply(x, frames, slice(0, fold), slice(fold, 2 * fold))
    return shifted


class _Shift(torch.autograd.Function):
    """`earlier` channels move one frame towards a clip's start, `later` ones towards its end.

    Its gradient is the same with the two exchanged. Left to autograd, the writes into slices would
    copy the whole tensor once each and lose channels_last: a third of a small trunk's step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, frames: int, earlier: slice, later: slice) -> Tensor:
        ctx.shift = (frames, later, earlier)
        shifted = x.clone()
        source, target = (y.unflatten(0, (-1, frames)) for y in (x, shifted))  # type: ignore[no-untyped-call]
        target[:, :-1, earlier], target[:, -1, earlier] = source[:, 1:, earlier], 0
        target[:, 1:, later], target[:, 0, later] = source[:, :-1, later], 0
        return shifted

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Shift.apply(gradient, *ctx.shift), None, None, None
