"""One slot in this very process: for one worker, and for tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.environment import one_thread, pick_device
from bench.runner import Interrupted, Slot, run_cell
from bench.study import Cell

from ._base import Listener, Stopped


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


def execute(cells: Sequence[Cell], listener: Listener, *, device: str, command: str) -> None:
    """Carry out `cells` one after another. Raises Stopped, and RecordError (disk full)."""
    one_thread()
    with stop_on_signals() as stop:
        slot = Slot(pick_device(device), command, listener.tick, stop)
        for cell in cells:
            if stop():
                raise Stopped
            listener.started(cell)
            try:
                listener.finished(run_cell(cell, slot))
            except Interrupted:
                listener.stopping([cell.id])
                raise Stopped from None
