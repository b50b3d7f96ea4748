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
from bench.system.signals import TERMINAL_SIGNALS, handled


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
    """Set by Ctrl-C, SIGTERM or SIGHUP; a run looks at it between steps and saves whole ones."""

    def __init__(self, *, patient: bool = False) -> None:
        self.is_set = False
        self.patient = patient
        """Whether a second request changes nothing."""

    def __call__(self) -> bool:
        """Tell whether somebody asked to stop."""
        return self.is_set

    def set(self, *_: object) -> None:
        """Ask to stop; a second request ends an impatient process, as the signal would have."""
        if self.is_set and not self.patient:
            raise KeyboardInterrupt
        self.is_set = True


@contextmanager
def stop_on_signals(*, patient: bool = False) -> Iterator[StopFlag]:
    """Turn SIGINT, SIGTERM and SIGHUP into a flag for as long as the block runs.

    A slot is `patient`: where a whole process group is told to end, it hears that twice, from
    whoever asked and from its launcher, and is to save what it has all the same. SIGHUP stays
    ignored where it is (`nohup`): such a run is meant to outlive its terminal.
    """
    flag = StopFlag(patient=patient)
    signs = {*TERMINAL_SIGNALS, signal.SIGTERM}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signs.remove(signal.SIGHUP)
    with handled(signs, flag.set):
        yield flag
