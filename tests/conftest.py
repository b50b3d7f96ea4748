"""What every test can count on."""

from __future__ import annotations

import os
import signal


def pytest_configure() -> None:
    """Hold the tests to one thread, as `make test` does, and let them heed Ctrl-C.

    Two threads add in another order each time, and many tests compare bits. A shell that starts the
    tests in the background turns Ctrl-C off: those that press it would wait for nothing.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGINT, signal.default_int_handler)
