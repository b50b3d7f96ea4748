"""Pixels: the frame store's frames on the device that trains, gathered by row; used by the loader.

A GPU holds all frames if they fit. Otherwise they stay in the host's memory and are sent a batch
ahead: rows are gathered into pinned memory while the GPU is at work on the step before.

Shapes: N frames, S pixels a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.frame_table import RowNumbers

RESIDENT_SHARE = 0.4
"""Share of a GPU's memory that is free now which the frames may take to live there for good."""


class Pixels:
    """All frames of a dataset, by row, on the device that trains."""

    def __init__(self, images: NDArray[np.uint8], device: torch.device, *, resident: bool = True):
        self.images, self.device = images, device
        self.resident: Tensor | None = None
        self.sender: FrameSender | None = None
        if device.type != "cuda":
            return
        if resident and images.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            self.resident = torch.from_numpy(np.array(images)).to(device)
        else:
            self.sender = FrameSender(images, device)

    def gather(self, rows: RowNumbers) -> Tensor:
        """Return frames `rows` as (N, S, S, 3) uint8 on the device."""
        if self.resident is not None:
            return self.resident[torch.from_numpy(rows).to(self.device, non_blocking=True)]
        if self.sender is not None:
            return self.sender.take(rows)
        return torch.from_numpy(self.images[rows])

    @property
    def sends_ahead(self) -> bool:
        """Whether `prefetch` does anything."""
        return self.sender is not None

    def prefetch(self, rows: RowNumbers) -> None:
        """Send frames `rows` on their way; the next `gather` of the same rows finds them there."""
        if self.sender is not None:
            self.sender.send_ahead(rows)


@dataclass
class _Buffer:
    """Pinned memory that one batch at a time passes through."""

    memory: Tensor
    sent: Any = None
    """Event after which the memory may be written again; None before its first use."""


class FrameSender:
    """Frames on their way from the host's memory to a device, through a ring of pinned buffers.

    On a GPU copies run on a stream of their own. On a processor, where tests can follow, they are
    plain copies.
    """

    buffers = 3
    """One that is copied from, one that is filled, one to spare."""

    def __init__(self, images: NDArray[np.uint8], device: torch.device):
        self.images, self.device = images, device
        gpu = device.type == "cuda"
        self.stream = torch.cuda.Stream(device) if gpu else None  # type: ignore[no-untyped-call]
        self._ring = [_Buffer(torch.empty(0, dtype=torch.uint8)) for _ in range(self.buffers)]
        self._turn = 0
        self._ahead: tuple[bytes, Tensor, Any] | None = None

    def send_ahead(self, rows: RowNumbers) -> None:
        """Begin to send frames `rows`; what was sent ahead before and not taken is forgotten."""
        self._ahead = (rows.tobytes(), *self._send(rows))

    def take(self, rows: RowNumbers) -> Tensor:
        """Return frames `rows` (N, S, S, 3) on the device, sent ahead or not."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == rows.tobytes():
            frames, sent = ahead[1:]
        else:
            frames, sent = self._send(rows)
        if self.stream is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(sent)
            frames.record_stream(stream)  # its memory is not given away before the step has read it
        return frames

    def _send(self, rows: RowNumbers) -> tuple[Tensor, Any]:
        pinned, buffer = self._filled(rows)
        if self.stream is None:
            return pinned.clone(), None
        with torch.cuda.stream(self.stream):
            frames = pinned.to(self.device, non_blocking=True)
            buffer.sent = self.stream.record_event()
        return frames, buffer.sent

    def _filled(self, rows: RowNumbers) -> tuple[Tensor, _Buffer]:
        """Gather frames into the next buffer, once the copy before is out of it."""
        buffer = self._ring[self._turn]
        self._turn = (self._turn + 1) % len(self._ring)
        if buffer.sent is not None:
            buffer.sent.synchronize()
        shape = (len(rows), *self.images.shape[1:])
        count = int(np.prod(shape))
        if buffer.memory.numel() < count:
            pin = self.stream is not None
            buffer.memory = torch.empty(count, dtype=torch.uint8, pin_memory=pin)
        pinned = buffer.memory[:count].view(shape)
        np.take(self.images, rows, axis=0, out=pinned.numpy())
        return pinned, buffer
