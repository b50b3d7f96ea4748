"""What a running cell is given by its worker, and the progress that it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


class Interrupted(Exception):
    """The cell was asked to stop; its checkpoint is on disk."""


@dataclass(frozen=True)
class ProgressEvent:
    """A sign of life from a running cell."""

    cell: str
    step: int
    total: int
    loss: float | None
    frames_per_second: float


@dataclass(frozen=True)
class RunContext:
    """What a cell runs on, and how it talks to the outside."""

    device: torch.device
    command: str = ""
    """The command line that this run belongs to, for the record."""
    emit: Callable[[ProgressEvent], None] = lambda _: None
    """Takes signs of life, a few a second."""
    should_stop: Callable[[], bool] = lambda: False
    """Asked between steps; True saves and stops."""
    confirm: Callable[[], None] = lambda: None
    """Asked before results are written; raises ClaimLost if another process has the cell now."""
    events: bool = False
    """Whether TensorBoard's files are written beside the record."""
    will_retry: bool = False
    """Whether the cell is tried again if a disk is away: its error is then raised, not recorded."""
