"""Temporal shifts in trunks: where each family takes them, who sees whom, and what it predicts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import timm
import torch
from torch import Tensor, nn

from methods._base import Trunk
from methods._tcl_shift import insert_shifts
from methods.tcl import TCL
from tests.helpers.fake_tasks import make_batch, make_progress, make_task, predict

CONVOLUTIONS = (
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small_035",
    "efficientnet_es",
    "regnetx_002",
    "resnetv2_18",
    "convnext_atto",
)
TOKENS = ("vit_tiny_patch16_224", "swin_tiny_patch4_window7_224")
FRAMES, DIVISOR = 3, 8


def body_of(name: str) -> nn.Module:
    """A network for 32 px images in float64 whose residual branches all pass something."""
    torch.manual_seed(0)
    sized = {"img_size": 32} if name in TOKENS else {}
    body = timm.create_model(name, num_classes=0, **sized).double().eval()
    for weight in (p for p in body.parameters() if p.ndim == 1):  # norms and layer scales
        nn.init.uniform_(weight, 0.5, 1.5)
    return body


def shifted_by_hand(x: Tensor, axis: int) -> Tensor:
    """The shift, one frame and one channel after the other."""
    result, channels = x.clone(), x.shape[axis]
    fold = channels // DIVISOR
    for frame in range(len(x)):
        for channel in range(2 * fold):
            other = frame + 1 if channel < fold else frame - 1
            inside = 0 <= other < len(x) and other // FRAMES == frame // FRAMES
            source = x[other].select(axis - 1 if axis > 0 else axis, channel) if inside else 0
            result[frame].select(axis - 1 if axis > 0 else axis, channel).copy_(
                torch.as_tensor(source, dtype=x.dtype)
            )
    return result


def first_convolutions(body: nn.Module) -> Iterator[nn.Module]:
    """The first convolution of each block of stages that keeps the shape, or has a shortcut."""
    shapes: dict[nn.Module, bool] = {}
    blocks = [m for name, m in body.named_modules() if is_block(name, body)]
    hooks = [
        b.register_forward_hook(lambda m, i, o: shapes.update({m: i[0].shape == o.shape}))
        for b in blocks
    ]
    body(torch.zeros(1, 3, 32, 32, dtype=torch.float64))
    for hook in hooks:
        hook.remove()
    for block in blocks:
        if shapes[block] or hasattr(block, "downsample") or hasattr(block, "shortcut"):
            named = ((n, m) for n, m in block.named_modules() if "downsample" not in n)
            found = [m for _, m in named if isinstance(m, nn.Conv2d)]
            if len(found) > 1:  # MobileNets have single convolutions, with nothing passing by
                yield found[0]


def is_block(name: str, body: nn.Module) -> bool:
    parts = name.split(".")
    depth = {"blocks": 3, "stages": 4, "s1": 2, "s2": 2, "s3": 2, "s4": 2}.get(parts[0], 0)
    return len(parts) == depth and (parts[0] != "stages" or parts[2] == "blocks")


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_maps_are_shifted_before_the_first_convolution(name: str) -> None:
    frames = torch.randn(2 * FRAMES, 3, 32, 32, dtype=torch.float64)
    plain, body = body_of(name), body_of(name)
    for convolution in first_convolutions(plain):
        convolution.register_forward_pre_hook(lambda _, x: (shifted_by_hand(x[0], 1),))
    insert_shifts(body, DIVISOR, name).frames = FRAMES
    torch.testing.assert_close(body(frames), plain(frames), rtol=1e-12, atol=1e-12)


def test_tokens_are_shifted_before_the_attention() -> None:
    frames = torch.randn(2 * FRAMES, 3, 32, 32, dtype=torch.float64)
    plain, body = body_of(TOKENS[0]), body_of(TOKENS[0])
    for block in plain.blocks:  # type: ignore[union-attr]
        block.attn.register_forward_pre_hook(lambda _, x: (shifted_by_hand(x[0], -1),))
    insert_shifts(body, DIVISOR, TOKENS[0]).frames = FRAMES
    torch.testing.assert_close(body(frames), plain(frames), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*CONVOLUTIONS, *TOKENS])
def test_a_frame_sees_its_neighbours_within_its_clip_alone(name: str) -> None:
    body = body_of(name)
    shift = insert_shifts(body, DIVISOR, name)
    frames = torch.randn(2 * FRAMES, 3, 32, 32, dtype=torch.float64)
    other = frames.clone()
    other[2] += 1  # the last of the first clip

    def changed() -> list[bool]:
        return (body(frames) != body(other)).any(1).tolist()

    shift.frames = FRAMES
    assert changed()[1:] == [True, True, False, False, False]
    shift.frames = 1
    assert changed() == [False, False, True, False, False, False]


def small(name: str) -> TCL:
    torch.manual_seed(0)
    return TCL(TCL.Config(dropout=0.0), make_task(trunk=Trunk(name=name)))


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "vit_tiny_patch16_224"])
class TestTCLOnOtherTrunks:
    def test_it_predicts_the_mean_of_a_clips_frames(self, name: str) -> None:
        method, clips = small(name).eval(), torch.randn(2, 5, 3, 32, 32)
        logits = method._frame_logits(clips).mean(1)
        torch.testing.assert_close(predict(method, clips), logits, rtol=1e-4, atol=1e-5)

    def test_a_clip_of_one_frame_is_that_frames_own(self, name: str) -> None:
        method, frames = small(name).eval(), torch.randn(3, 1, 3, 32, 32)
        alone = torch.cat([predict(method, frame[None]) for frame in frames])
        torch.testing.assert_close(predict(method, frames), alone, rtol=1e-4, atol=1e-5)

    def test_a_step_gives_every_weight_a_finite_gradient(self, name: str) -> None:
        method = small(name).train()
        losses = method.losses(make_batch(TCL.needs), make_progress(50, 100))
        sum(losses.values()).backward()
        gradients = [p.grad for p in method.trunk.parameters()]
        assert all(g is not None and torch.isfinite(g).all() for g in gradients)


def test_the_shift_is_one_for_all_blocks_and_adds_nothing_to_learn() -> None:
    body = body_of("mobilenetv3_small_050")
    before = sum(p.numel() for p in body.parameters())
    shift = insert_shifts(body, DIVISOR, "mobilenetv3_small_050")
    assert sum(p.numel() for p in body.parameters()) == before
    assert [m for m in body.modules() if type(m) is type(shift)] == [shift]
