"""Arithmetic of a training: bfloat16 or float32, compiled or eager; used by the trainer.

None of it is part of what a cell is: the same mathematics to other roundings, as on another device.
A record says what was used.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from bench.config.settings import TrainConfig
from bench.system.environment import cpu_flags
from methods._trunks import ImageTrunk

WORTHWHILE = 1.1
"""How much faster bfloat16 must be on a processor before it is taken."""

COMPILED_FROM = 500_000
"""Frames of a training from which `train.compile=auto` compiles: below, it saves less time than a
warm start of the compiler takes (about ten seconds, at a quarter of 12,000 frames a second)."""


def use_amp(config: TrainConfig, device: torch.device) -> bool:
    """Tell whether a training runs in bfloat16 autocast; `auto`: where it is faster here.

    That is on GPUs whose units have it, and on processors with AMX tiles on which a short trial
    says so: without them it takes several times as long.
    """
    if config.amp != "auto":
        return config.amp == "on"
    return has_bfloat16(device) and (device.type == "cuda" or bfloat16_gain() >= WORTHWHILE)


def autocast(device: torch.device, *, on: bool) -> AbstractContextManager[Any]:
    """Return bfloat16 autocast on the device, or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if on else nullcontext()


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 in its own units."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return {"amx_tile", "amx_bf16"} <= cpu_flags()


@lru_cache(maxsize=1)
def bfloat16_gain() -> float:
    """Measure how much faster a small convolutional step is in bfloat16, on this processor.

    Processor time of this thread, the faster of a few turns of each: neighbours do not count.
    """
    images = torch.randn(16, 32, 32, 32).to(memory_format=torch.channels_last)
    weight = torch.randn(32, 32, 3, 3, requires_grad=True)

    def seconds(*, half: bool) -> float:
        began = time.thread_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            F.conv2d(F.conv2d(images, weight, padding=1), weight, padding=1).sum().backward()  # type: ignore[no-untyped-call]
        return time.thread_time() - began

    turns = [(seconds(half=False), seconds(half=True)) for _ in range(6)]
    return min(full for full, _ in turns[1:]) / min(half for _, half in turns[1:])


def use_compile(config: TrainConfig, device: torch.device, frames: int) -> bool:
    """Tell whether a training of so many frames compiles its trunks: `auto`, on a GPU if long."""
    if config.compile != "auto":
        return config.compile == "on"
    return device.type == "cuda" and frames >= COMPILED_FROM


def compile_trunks(method: nn.Module, backend: str = "inductor") -> int:
    """Compile the trunks that are trained, in place; returns how many.

    The trunk is where the time goes. What stands around it (heads, losses, the slot of a key frame)
    stays eager, so that nothing is compiled anew from step to step. Shapes are static: each number
    of frames that a method encodes at once is compiled once.
    """
    trunks = [
        module
        for module in method.modules()
        if isinstance(module, ImageTrunk) and any(p.requires_grad for p in module.parameters())
    ]
    for trunk in trunks:
        trunk.compile(backend=backend, dynamic=False)
    return len(trunks)
