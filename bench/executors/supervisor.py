"""Looks after hired slots: replaces those that die, frees what they held, stops them when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.results.claims import Claim, free_lost, read_claim
from bench.results.records import Record
from bench.runner.run_cell import ProgressEvent
from bench.study.cell import Cell
from bench.study.plan import record_of
from bench.system.files import RecordError

from .base import ExecutorError, Listener, RunStopped, stop_on_signals
from .worker import MAX_TRIES, LaunchSpec

STOP_TIMEOUT = 60.0
"""Seconds that stopping slots get to save their state."""


class WorkerHandle(Protocol):
    """A hired slot: something that runs `work` somewhere."""

    slot: str

    def trouble(self) -> Exception | None:
        """Say what ended it, None if it ended as it should; asked only once it has ended."""

    def ended(self) -> bool:
        """Tell whether it has ended, one way or another."""

    def stop(self) -> None:
        """Ask it to save what it is doing and end."""

    def kill(self) -> None:
        """End it, and return when it has ended."""


class WorkerPool(Protocol):
    """Where slots come from."""

    def hire(self, slots: Sequence[str]) -> list[WorkerHandle]:
        """Start slots of these names."""

    def wait(self, seconds: float, hear: Callable[[ProgressEvent | Record], None]) -> None:
        """Let time pass, at most so much of it, and pass on what hands tell meanwhile."""


def supervise(
    cells: Sequence[Cell], listener: Listener, orders: LaunchSpec, crew: WorkerPool, count: int
) -> None:
    """See that every cell is carried out by `count` slots of the crew, or by anybody else.

    Raises Stopped (after the running cells are saved), RecordError (disk full) and ExecutorError.
    """
    foreman = Supervisor(ProgressMonitor(cells, orders, listener), crew)
    with stop_on_signals() as stop:
        try:
            foreman.run(count, stop)
        finally:
            foreman.close()


class Supervisor:
    def __init__(self, follow: ProgressMonitor, crew: WorkerPool):
        self.follow, self.crew = follow, crew
        self.hands: list[WorkerHandle] = []
        self.stopping = False
        self.deadline = float("inf")
        self.error: Exception | None = None
        self.barren, self.left = 0, len(follow.left)
        """How many hands in a row ended before they had taken a cell."""

    def run(self, count: int, stop: Callable[[], bool]) -> None:
        self.hands = self.crew.hire([f"slot {index}" for index in range(count)])
        while self.follow.left and self.hands and time.monotonic() < self.deadline:
            if (stop() or self.error) and not self.stopping:
                self._stop()
            self.crew.wait(0.5, self.follow.hear)
            self._look_after()
            self.follow.look()
        self.follow.look(now=True)
        if self.error:
            raise self.error
        if self.stopping and self.follow.left:
            raise RunStopped
        if self.follow.left:
            raise ExecutorError(
                f"every slot has ended and {len(self.follow.left)} cells are left: "
                "the same command goes on"
            )

    def close(self) -> None:
        """End every hand: idle ones end by themselves, others by force."""
        until = time.monotonic() + (0 if self.follow.left else 2)
        while time.monotonic() < until and not all(hand.ended() for hand in self.hands):
            self.crew.wait(0.1, self.follow.hear)
        for hand in self.hands:
            hand.kill()

    def _stop(self) -> None:
        self.stopping, self.deadline = True, time.monotonic() + STOP_TIMEOUT
        self.follow.listener.stopping(self.follow.running)
        for hand in self.hands:
            hand.stop()

    def _look_after(self) -> None:
        for hand in [hand for hand in self.hands if hand.ended()]:
            self.hands.remove(hand)
            trouble = hand.trouble()
            if isinstance(trouble, RecordError):
                self.error = self.error or trouble
            elif trouble and not self.stopping:
                self._replace(hand, trouble)

    def _replace(self, hand: WorkerHandle, trouble: Exception) -> None:
        """Free what a dead hand held, and hire another, unless hands die before they do a thing."""
        fruitful = self.follow.give_up(hand.slot) or len(self.follow.left) < self.left
        self.left = len(self.follow.left)
        self.barren = 0 if fruitful else self.barren + 1
        if self.barren >= MAX_TRIES * (len(self.hands) + 1):
            self.error = ExecutorError(f"slots end before they take a cell, the last of {trouble}")
            return
        self.follow.listener.note(f"{hand.slot} ended ({trouble}); another takes its place")
        self.hands += self.crew.hire([hand.slot])


class ProgressMonitor:
    """Tells a listener what happens to `cells`, each thing once, whoever makes it happen."""

    def __init__(self, cells: Sequence[Cell], orders: LaunchSpec, listener: Listener):
        self.left = {cell.id: cell for cell in cells}
        self.orders, self.listener = orders, listener
        self._begun: set[str] = set()
        self._last: dict[str, Claim] = {}
        self._next_look = 0.0

    @property
    def running(self) -> list[str]:
        """The cells that have begun and are not over, by their ids."""
        return [name for name in self.left if name in self._begun]

    def hear(self, news: ProgressEvent | Record) -> None:
        """Pass on what a slot of this launch tells of its cell."""
        if isinstance(news, Record):
            self._finish(news)
        elif news.cell in self.left:
            self._begin(self.left[news.cell])
            self.listener.tick(news)

    def look(self, *, now: bool = False) -> None:
        """Look at every cell that is left, if it is time again: a large grid takes a while."""
        began = time.monotonic()
        if now or began >= self._next_look:
            for cell in list(self.left.values()):
                self._look_at(cell)
            spent = time.monotonic() - began
            self._next_look = began + max(0.5, 20 * spent)

    def give_up(self, slot: str) -> bool:
        """Free the cell that a slot of this launch held when it ended; False if it held none."""
        self.look(now=True)
        lost = [
            held
            for cell in self.left.values()
            if (held := read_claim(cell.folder)) and self._ours(held) and held.slot == slot
        ]
        return sum(free_lost(held) for held in lost) > 0

    def _ours(self, held: Claim) -> bool:
        return held.launcher == self.orders.launcher

    def _look_at(self, cell: Cell) -> None:
        if self.orders.over(cell):
            try:
                record = record_of(cell)
            except RecordError:
                return  # whoever claims the cell puts it aside
            if record:
                self._finish(record)
            return
        held = read_claim(cell.folder)
        if held and self._ours(held) and held != self._last.get(cell.id):
            self._last[cell.id] = held
            self.hear(ProgressEvent(cell.id, held.step, held.total, held.loss, held.rate))

    def _begin(self, cell: Cell) -> None:
        if cell.id not in self._begun:
            self._begun.add(cell.id)
            self.listener.started(cell)

    def _finish(self, record: Record) -> None:
        cell = self.left.pop(record.id, None)
        if cell:
            self._begin(cell)
            self.listener.finished(record)
