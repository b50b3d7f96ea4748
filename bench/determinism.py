"""Repeatable arithmetic on a GPU: the same bits from the same cell, for some of its speed.

On a CPU a cell is repeatable as it is: one thread adds in one order (tests hold it). A GPU's
fastest kernels add in whatever order their threads come. Neither mode is part of a cell's
identity, no more than the device is: they compute the same, up to the order of additions.
"""

from __future__ import annotations

import os

import torch

_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def set_repeatable(device: torch.device, *, on: bool) -> None:
    """Make what is computed on a GPU from now on repeatable, or let it be fast; a CPU always is.

    An operation that has no repeatable kernel then raises RuntimeError, naming itself. Is to be
    called before the process multiplies its first matrices on the GPU.
    """
    on = on and device.type == "cuda"
    if on:
        os.environ.setdefault(*_WORKSPACE)
        # the fastest kernel of a trial run is not the same one every time
        torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = on
    torch.use_deterministic_algorithms(on)


def is_repeatable(device: torch.device) -> bool:
    """Tell whether a cell that is done again on this device ends with the same bits."""
    return device.type == "cpu" or torch.are_deterministic_algorithms_enabled()
