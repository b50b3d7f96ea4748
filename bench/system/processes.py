"""Process names: unique in the world, so that a claim tells whether its owner lives."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import lru_cache
from pathlib import Path


def process_name() -> str:
    """Name this process so that no other in the world has the same name."""
    pid = os.getpid()
    return f"{_machine_name()} {pid} {_start_time(pid) or '-'}"


def is_gone(process: str) -> bool:
    """Tell whether a process, named by itself, has ended: False where that cannot be known."""
    machine, _, rest = process.rpartition(" ")[0].rpartition(" ")
    if machine != _machine_name() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, and /proc may hide those
    began = _start_time(int(rest))
    return began is not None and began != process.rpartition(" ")[2]


@lru_cache
def _machine_name() -> str:
    """Name what process ids are unique in: one boot of one machine, one container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def _start_time(pid: int) -> str | None:
    """Say when a process began, nothing if it has ended; None where nothing like /proc tells."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *rest = status.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
