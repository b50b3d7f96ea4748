"""Environment: a run's device, versions and commit; one thread a process; repeatable arithmetic.

On a CPU a cell is repeatable as it is: one thread adds in one order (tests hold it). A GPU's
fastest kernels add in whatever order their threads come. Neither mode is part of a cell's identity,
no more than the device is: they compute the same, up to the order of additions.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError


def one_thread() -> None:
    """Hold this process to one thread of arithmetic (`system/threads.py` holds those it starts)."""
    torch.set_num_threads(1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""

_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let freed memory stay with this process instead of going back to the system at once.

    A step on a CPU frees and takes the same megabytes again and again, and a page that comes anew
    from the system costs a fault: without them a step of FixMatch took 0.72 of the time. Returns
    whether the C library could be told (glibc).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return all(mallopt(name, _LARGEST) == 1 for name in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))


def keep_compiled_code(folder: Path) -> None:
    """Let torch keep what it compiles in `folder`, where later cells and other processes find it.

    A place that the person has chosen (TORCHINDUCTOR_CACHE_DIR) stays.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder.absolute()))


def pick_device(name: str, slot: int = 0) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device; slot k gets the k-th GPU.

    Raises UsageError if it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: it is one of auto, cpu, cuda, cuda:0, ...") from None
    if device.type == "cuda":
        return _pick_gpu(device, slot)
    if device.type != "cpu":
        raise UsageError(f"--device {name}: this suite runs on cpu and cuda")
    return device


def _pick_gpu(device: torch.device, slot: int) -> torch.device:
    count = torch.cuda.device_count()
    index = device.index if device.index is not None else slot % max(1, count)
    if index >= count:
        raise UsageError(f"--device {device}: {count} CUDA devices are visible; use --device cpu")
    return torch.device("cuda", index)


def describe(device: torch.device, started: float, command: str) -> dict[str, Any]:
    """Return what a record says of where and how it was made; `started` is in epoch seconds."""
    return {
        "device": device_name(device),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "versions": versions(),
        "commit": commit(),
        "command": command,
        "deterministic": is_deterministic(device),
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def device_name(device: torch.device) -> str:
    """Name a device as a person would: the GPU's or the processor's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu_name()}, {torch.get_num_threads()} thread"


@lru_cache
def _cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


@lru_cache
def cpu_flags() -> frozenset[str]:
    """Return what the processor says it can do (`amx_bf16`, ...); nothing where it cannot be told.

    It is told on Linux.
    """
    return frozenset(_cpu_info("flags").split())


def _cpu_info(name: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


@lru_cache
def versions() -> dict[str, str]:
    """Return the versions that a figure may depend on."""
    names = ("torch", "torchvision", "timm", "numpy", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


@lru_cache
def commit() -> str | None:
    """Return the suite's own commit, with `+` if code differs from it; None outside a checkout.

    The repository that a virtual environment lies in is not the suite's: only one that keeps this
    very file counts.
    """
    here = Path(__file__).resolve()
    try:
        if not _git(here, "ls-files", here.name):
            return None
        head = _git(here, "rev-parse", "HEAD")
        code = [f":/{name}" for name in ("bench", "methods", "datasets")]
        changed = _git(here, "status", "--porcelain", "--", *code)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + "+" * bool(changed)


def _git(file: Path, *arguments: str) -> str:
    command = ["git", "-C", str(file.parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def forget_peak_memory(device: torch.device) -> None:
    """Let `peak_memory_mib` begin anew, so that a cell does not answer for those before it.

    On a processor that is so under Linux alone; elsewhere the peak stays the process's.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier cells freed stayed with the process
    with suppress(OSError):
        _CLEAR.write_text("5")  # proc(5): resets VmHWM


def peak_memory_mib(device: torch.device) -> float:
    """Return the peak since it was forgotten: of the GPU's allocator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with suppress(OSError):
        known = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        if "VmHWM" in known:
            return int(known["VmHWM"].split()[0]) / 2**10
    # kibibytes where there is no such file, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def cpu_count() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def set_deterministic(device: torch.device, *, on: bool) -> None:
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


def is_deterministic(device: torch.device) -> bool:
    """Tell whether a cell that is done again on this device ends with the same bits."""
    return device.type == "cpu" or torch.are_deterministic_algorithms_enabled()
