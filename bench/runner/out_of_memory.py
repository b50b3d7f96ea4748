"""Out of memory: what counts as it, and how a cell is tried once more with less; used by run_cell.

Splitting a batch would change what BatchNorm normalises by and what a contrast is taken over, and
nearly every cell has one of the two. What fills a GPU are activations that wait for the backward
pass. Taken to the host's memory and back they are the same numbers: the same cell, only slower.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch

RETRIED_WARNING = (
    "out of GPU memory: done again with activations and frames in the host's memory; the same "
    "mathematics, slower"
)
"""What the record of a cell says that needed its second try."""

_GPU = (
    "out of GPU memory, with activations and frames in the host's memory too: give the cell a GPU "
    "to itself (fewer --workers), or ask for another cell by a lower train.batch_size, data.size "
    "or trunk.width"
)

_HOST = (
    "out of the host's memory: use fewer --workers, or ask for another cell by a lower "
    "train.batch_size or data.size"
)


class OutOfMemory(Exception):
    """A cell does not fit into the memory there is: one sentence with what to do."""


Outcome = TypeVar("Outcome", covariant=True)


class Attempt(Protocol[Outcome]):
    """Does the same work in either way; `low_memory` the GPU's memory or not."""

    def __call__(self, *, low_memory: bool) -> Outcome:
        """Do it."""


def retry_when_out_of_memory(attempt: Attempt[Outcome]) -> Outcome:
    """Make an attempt, and another that spares the GPU's memory if that did not suffice.

    Raises OutOfMemory if the second is not enough either, or the host's memory is full.
    """
    try:
        return attempt(low_memory=False)
    except Exception as error:
        if not device_is_full(error):
            _explain_lack(error)
            raise
    # not within the handler: the error still holds what the first attempt had built
    gc.collect()
    torch.cuda.empty_cache()
    try:
        return attempt(low_memory=True)
    except Exception as error:
        _explain_lack(error)
        raise


def _explain_lack(error: Exception) -> None:
    way_out = memory_advice(error)
    if way_out:
        raise OutOfMemory(way_out) from error


def device_is_full(error: BaseException) -> bool:
    """Tell whether an error says that the GPU's memory did not suffice."""
    # libraries that allocate for themselves raise a plain RuntimeError
    texts = ("CUDA out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or _says(error, *texts)


def memory_advice(error: BaseException) -> str | None:
    """Return what to do about an error that means lack of memory; None for any other error."""
    if device_is_full(error):
        return _GPU
    if isinstance(error, MemoryError) or _says(error, "DefaultCPUAllocator: can't allocate"):
        return _HOST
    return None


def _says(error: BaseException, *texts: str) -> bool:
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


@contextmanager
def offload_activations() -> Iterator[None]:
    """Keep what waits for a backward pass in the host's memory, as long as the block runs."""
    # not pinned: page-locked memory by the gigabyte could bring down the host's other cells
    with torch.autograd.graph.save_on_cpu():
        yield
