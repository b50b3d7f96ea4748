"""Slots on this machine: a process each, one thread each, serving cell after cell."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.environment import THREADS, one_thread, pick_device
from bench.outcome import without_result
from bench.records import Record, RecordError, write_record
from bench.runner import Interrupted, Slot, Tick, run_cell
from bench.study import Cell

from ._base import Listener, Stopped
from .serial import stop_on_signals

_PATIENCE = 60.0
"""Seconds that stopping workers get to save their state."""


def execute(
    cells: Sequence[Cell], listener: Listener, *, device: str, command: str, workers: int
) -> None:
    """Carry out `cells` on `workers` processes, in the order given as far as slots are free.

    A cell whose process dies is tried once more in a fresh one, then recorded as failed. Raises
    Stopped (after the running cells are saved), and RecordError (disk full).
    """
    pool = _Pool(listener, device, command)
    with _environment(THREADS), stop_on_signals() as stop:
        try:
            pool.run(deque(cells), min(workers, len(cells)), stop)
        finally:
            pool.close()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    cell: Cell | None = None


class _Pool:
    def __init__(self, listener: Listener, device: str, command: str):
        self.listener, self.device, self.command = listener, device, command
        self.context = multiprocessing.get_context("spawn")
        self.workers: list[_Worker] = []
        self.died: dict[str, int] = {}
        self.stopped = False
        self.deadline = float("inf")
        self.error: RecordError | None = None

    def run(self, waiting: deque[Cell], count: int, stop: Any) -> None:
        for index in range(count):
            self._start(index)
        while waiting or any(worker.cell for worker in self.workers):
            if (stop() or self.error) and not self.stopped:
                self._stop()
                waiting.clear()
            if time.monotonic() > self.deadline:
                break
            self._hand_out(waiting)
            self._listen(waiting)
        if self.error:
            raise self.error
        if self.stopped:
            raise Stopped

    def close(self) -> None:
        """End every worker: idle ones by closing their pipe, others by force."""
        for worker in self.workers:
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join(timeout=5 if worker.cell is None else 0)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self, index: int) -> None:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_serve, args=(theirs, self.device, index, self.command), daemon=True
        )
        # Ctrl-C reaches the whole process group; only the parent is to act on it
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.start()
        signal.signal(signal.SIGINT, handler)
        theirs.close()
        self.workers.append(_Worker(process, ours))

    def _hand_out(self, waiting: deque[Cell]) -> None:
        for worker in self.workers:
            if waiting and worker.cell is None:
                worker.cell = waiting.popleft()
                worker.pipe.send(worker.cell)
                self.listener.started(worker.cell)

    def _listen(self, waiting: deque[Cell]) -> None:
        pipes = {worker.pipe: worker for worker in self.workers if worker.cell}
        for ready in wait(list(pipes), timeout=0.5):
            assert isinstance(ready, Connection)
            worker = pipes[ready]
            try:
                self._take(worker, ready.recv())
            except (EOFError, ConnectionResetError):
                self._replace(worker, waiting)

    def _take(self, worker: _Worker, message: Any) -> None:
        if isinstance(message, Tick):
            self.listener.tick(message)
            return
        worker.cell = None
        if isinstance(message, Record):
            self.listener.finished(message)
        elif isinstance(message, RecordError):
            self.error = message

    def _replace(self, worker: _Worker, waiting: deque[Cell]) -> None:
        """Give a dead worker's cell one more try in a fresh process."""
        index = self.workers.index(worker)
        cell = worker.cell
        assert cell is not None
        worker.process.join()
        self.workers.remove(worker)
        self.died[cell.id] = self.died.get(cell.id, 0) + 1
        if self.died[cell.id] < 2 and not self.stopped:
            waiting.appendleft(cell)
        elif not self.stopped:
            self._record_death(cell, worker.process.exitcode)
        if waiting:
            self._start(index)

    def _record_death(self, cell: Cell, exit_code: int | None) -> None:
        killed = f"signal {-exit_code}" if exit_code and exit_code < 0 else f"exit code {exit_code}"
        reason = f"its process died twice ({killed}): out of memory? try fewer --workers"
        record = without_result(cell, "failed", reason)
        write_record(cell.folder, record)
        self.listener.finished(record)

    def _stop(self) -> None:
        self.stopped, self.deadline = True, time.monotonic() + _PATIENCE
        running = [worker for worker in self.workers if worker.cell]
        self.listener.stopping([worker.cell.id for worker in running if worker.cell])
        for worker in running:
            worker.process.terminate()


def _serve(pipe: Connection, device: str, index: int, command: str) -> None:
    """Serve cells from the pipe until it closes: the life of a worker process."""
    one_thread()
    with stop_on_signals() as stop:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        slot = Slot(pick_device(device, index), command, pipe.send, stop)
        while not stop():
            try:
                cell = pipe.recv()
            except (EOFError, ConnectionResetError):
                return
            pipe.send(_outcome(cell, slot))


def _outcome(cell: Cell, slot: Slot) -> Record | RecordError | None:
    try:
        return run_cell(cell, slot)
    except Interrupted:
        return None
    except RecordError as error:
        return error
