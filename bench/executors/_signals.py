"""Ctrl-C and SIGTERM as a flag: cells stop between two steps, where their state is whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopFlag:
    """Set by Ctrl-C or SIGTERM; a run looks at it between steps: only whole steps are saved."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self) -> bool:
        """Tell whether somebody asked to stop."""
        return self.is_set

    def set(self, *_: object) -> None:
        """Ask to stop; a second request ends the process at once, as the signal would have."""
        if self.is_set:
            raise KeyboardInterrupt
        self.is_set = True


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """Turn SIGINT and SIGTERM into a flag for as long as the block runs."""
    flag = StopFlag()
    before = {sign: signal.signal(sign, flag.set) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
