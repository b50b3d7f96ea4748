"""What all executors share: how they report, how they are stopped, what they raise.

Used by the executors, the command line's display and the tests' listeners.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from bench.results.records import Record
from bench.runner.context import ProgressEvent
from bench.study.cell import Cell


class Listener(Protocol):
    """Takes what happens to cells while they run (a progress display, or a test)."""

    def started(self, cell: Cell) -> None:
        """Note that a slot has taken the cell; said once, before anything else of it."""

    def progress(self, event: ProgressEvent) -> None:
        """Note that a cell is alive and how far it is."""

    def finished(self, record: Record) -> None:
        """Note that a cell is over, one way or another; its record is on disk."""

    def stopping(self, running: Sequence[str]) -> None:
        """Note that a person asked to stop; the cells with these ids are saving their state."""

    def note(self, sentence: str) -> None:
        """Note something that the person should know and need not act upon."""


class RunStopped(Exception):
    """The run was stopped by a person; what was running is saved, and the same command goes on."""


class ExecutorError(Exception):
    """Slots cannot be had, or all of them are gone: one sentence that says what to do."""


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
