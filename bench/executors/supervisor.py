"""Supervisor: starts workers, replaces those that die, frees their cells, stops them when asked.

Used by the executors with processes of their own (`local.py`, `ray.py`, `slurm.py`), each of which
brings a `WorkerPool`; `ProgressMonitor` alone serves the one worker of this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.results.claims import Claim, free_lost, read_claim
from bench.results.records import Record
from bench.runner.context import ProgressEvent
from bench.study.cell import Cell
from bench.study.plan import record_of
from bench.system.files import RecordError

from .base import ExecutorError, Listener, RunStopped, stop_on_signals
from .worker import MAX_TRIES, LaunchSpec

STOP_TIMEOUT = 60.0
"""Seconds that stopping workers get to save their state."""


class WorkerHandle(Protocol):
    """A started worker: something that runs `work_through` somewhere."""

    slot: str

    def exception(self) -> Exception | None:
        """Say what ended it, None if it ended as it should; asked only once it has ended."""

    def ended(self) -> bool:
        """Tell whether it has ended, one way or another."""

    def stop(self) -> None:
        """Ask it to save what it is doing and end."""

    def kill(self) -> None:
        """End it, and return when it has ended."""


class WorkerPool(Protocol):
    """Where workers come from."""

    def start(self, slots: Sequence[str]) -> list[WorkerHandle]:
        """Start workers for slots of these names."""

    def wait(self, seconds: float, on_event: Callable[[ProgressEvent | Record], None]) -> None:
        """Let time pass, at most so much of it, and pass on what workers report meanwhile."""


def supervise(
    cells: Sequence[Cell], listener: Listener, spec: LaunchSpec, pool: WorkerPool, count: int
) -> None:
    """See that every cell is carried out by `count` workers of the pool, or by anybody else.

    Raises RunStopped (after the running cells are saved), RecordError (disk full) and
    ExecutorError.
    """
    supervisor = Supervisor(ProgressMonitor(cells, spec, listener), pool)
    with stop_on_signals() as stop:
        try:
            supervisor.run(count, stop)
        finally:
            supervisor.close()


class Supervisor:
    """Looks after the workers of one launch until every cell is over."""

    def __init__(self, monitor: ProgressMonitor, pool: WorkerPool):
        self.monitor, self.pool = monitor, pool
        self.workers: list[WorkerHandle] = []
        self.stopping = False
        self.deadline = float("inf")
        self.error: Exception | None = None
        self.failed_starts = 0
        """How many workers in a row ended before they had taken a cell."""
        self._unfinished_before = len(monitor.unfinished)

    def run(self, count: int, stop: Callable[[], bool]) -> None:
        """Start `count` workers and see to them; raises what `supervise` does."""
        monitor = self.monitor
        self.workers = self.pool.start([f"slot {index}" for index in range(count)])
        while monitor.unfinished and self.workers and time.monotonic() < self.deadline:
            if (stop() or self.error) and not self.stopping:
                self._stop()
            self.pool.wait(0.5, monitor.on_event)
            self._see_to_ended()
            monitor.poll()
        monitor.poll(now=True)
        if self.error:
            raise self.error
        if self.stopping and monitor.unfinished:
            raise RunStopped
        if monitor.unfinished:
            raise ExecutorError(
                f"every slot has ended and {len(monitor.unfinished)} cells are left: "
                "the same command goes on"
            )

    def close(self) -> None:
        """End every worker: idle ones end by themselves, others by force."""
        until = time.monotonic() + (0 if self.monitor.unfinished else 2)
        while time.monotonic() < until and not all(worker.ended() for worker in self.workers):
            self.pool.wait(0.1, self.monitor.on_event)
        for worker in self.workers:
            worker.kill()

    def _stop(self) -> None:
        self.stopping, self.deadline = True, time.monotonic() + STOP_TIMEOUT
        self.monitor.listener.stopping(self.monitor.running)
        for worker in self.workers:
            worker.stop()

    def _see_to_ended(self) -> None:
        for worker in [worker for worker in self.workers if worker.ended()]:
            self.workers.remove(worker)
            error = worker.exception()
            if isinstance(error, RecordError):
                self.error = self.error or error
            elif error and not self.stopping:
                self._replace(worker, error)

    def _replace(self, worker: WorkerHandle, error: Exception) -> None:
        """Free what a dead worker held, and start another, unless they die before they do a thing.

        Without that limit, a machine on which no worker can live would start them for ever.
        """
        monitor = self.monitor
        held_one = monitor.free_cells_of(worker.slot)
        did_something = held_one or len(monitor.unfinished) < self._unfinished_before
        self._unfinished_before = len(monitor.unfinished)
        self.failed_starts = 0 if did_something else self.failed_starts + 1
        if self.failed_starts >= MAX_TRIES * (len(self.workers) + 1):
            self.error = ExecutorError(f"slots end before they take a cell, the last of {error}")
            return
        monitor.listener.note(f"{worker.slot} ended ({error}); another takes its place")
        self.workers += self.pool.start([worker.slot])


class ProgressMonitor:
    """Tells a listener what happens to `cells`, each thing once, whoever makes it happen.

    What workers of this launch report comes by `on_event`; what others do is read from the results
    folder by `poll`.
    """

    def __init__(self, cells: Sequence[Cell], spec: LaunchSpec, listener: Listener):
        self.unfinished = {cell.id: cell for cell in cells}
        self.spec, self.listener = spec, listener
        self._begun: set[str] = set()
        self._last_claims: dict[str, Claim] = {}
        self._next_poll = 0.0

    @property
    def running(self) -> list[str]:
        """The cells that have begun and are not over, by their ids."""
        return [name for name in self.unfinished if name in self._begun]

    def on_event(self, event: ProgressEvent | Record) -> None:
        """Pass on what a worker of this launch reports of its cell."""
        if isinstance(event, Record):
            self._finish(event)
        elif event.cell in self.unfinished:
            self._begin(self.unfinished[event.cell])
            self.listener.progress(event)

    def poll(self, *, now: bool = False) -> None:
        """Look at every unfinished cell, if it is time again: a large grid takes a while."""
        began = time.monotonic()
        if now or began >= self._next_poll:
            for cell in list(self.unfinished.values()):
                self._poll_cell(cell)
            spent = time.monotonic() - began
            self._next_poll = began + max(0.5, 20 * spent)

    def free_cells_of(self, slot: str) -> bool:
        """Free the cell that a worker of this launch held when it ended; False if it held none."""
        self.poll(now=True)
        lost = [
            held
            for cell in self.unfinished.values()
            if (held := read_claim(cell.folder)) and self._is_ours(held) and held.slot == slot
        ]
        return sum(free_lost(held) for held in lost) > 0

    def _is_ours(self, held: Claim) -> bool:
        return held.launcher == self.spec.launcher

    def _poll_cell(self, cell: Cell) -> None:
        if self.spec.is_over(cell):
            try:
                record = record_of(cell)
            except RecordError:
                return  # whoever claims the cell puts it aside
            if record:
                self._finish(record)
            return
        held = read_claim(cell.folder)
        if held and self._is_ours(held) and held != self._last_claims.get(cell.id):
            self._last_claims[cell.id] = held
            self.on_event(ProgressEvent(cell.id, held.step, held.total, held.loss, held.rate))

    def _begin(self, cell: Cell) -> None:
        if cell.id not in self._begun:
            self._begun.add(cell.id)
            self.listener.started(cell)

    def _finish(self, record: Record) -> None:
        cell = self.unfinished.pop(record.id, None)
        if cell:
            self._begin(cell)
            self.listener.finished(record)
