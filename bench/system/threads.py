"""Threads of the processes that the suite starts: one each; used by executors and the decoding.

Free of torch: the processes that decode frames never import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""One thread a process: they run side by side, and spinning threads cost half the machine."""


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Hold the processes that are started meanwhile to one thread of arithmetic each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(THREADS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
