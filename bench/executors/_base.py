"""What an executor tells the one who started it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bench.records import Record
from bench.runner import Tick
from bench.study import Cell


class Listener(Protocol):
    """Takes what happens to cells while they run (a progress display, or a test)."""

    def started(self, cell: Cell) -> None:
        """Note that a slot has taken the cell; said once, before anything else of it."""

    def tick(self, tick: Tick) -> None:
        """Note that a cell is alive and how far it is."""

    def finished(self, record: Record) -> None:
        """Note that a cell is over, one way or another; its record is on disk."""

    def stopping(self, running: Sequence[str]) -> None:
        """Note that a person asked to stop; the cells with these ids are saving their state."""

    def note(self, sentence: str) -> None:
        """Note something that the person should know and need not act upon."""


class Stopped(Exception):
    """The run was stopped by a person; what was running is saved, and the same command goes on."""


class ExecutorError(Exception):
    """Slots cannot be had, or all of them are gone: one sentence that says what to do."""
