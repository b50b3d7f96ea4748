"""Slots on this machine: a process each, one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.errors import UsageError
from bench.results.records import Record
from bench.runner.run_cell import ProgressEvent
from bench.study.cell import Cell
from bench.system.environment import THREADS
from bench.system.files import RecordError

from .base import ExecutorError, Listener, RunStopped, stop_on_signals
from .supervisor import ProgressMonitor, WorkerHandle, supervise
from .worker import DeviceLost, LaunchSpec, work_through


def execute(cells: Sequence[Cell], listener: Listener, orders: LaunchSpec, workers: int) -> None:
    """Carry out `cells` on `workers` processes, in the order given as far as slots are free.

    Raises Stopped (after the running cells are saved), RecordError (disk full), and ExecutorError.
    """
    with _environment(THREADS):
        crew = _ProcessPool(cells, orders)
        supervise(cells, listener, orders, crew, min(workers, len(cells)))


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


class _ProcessPool:
    def __init__(self, cells: Sequence[Cell], orders: LaunchSpec):
        self.cells, self.orders = list(cells), orders
        self.context = multiprocessing.get_context("spawn")
        self.open: dict[Connection, _WorkerProcess] = {}

    def hire(self, slots: Sequence[str]) -> list[WorkerHandle]:
        return [self._start(slot) for slot in slots]

    def _start(self, slot: str) -> WorkerHandle:
        ours, theirs = self.context.Pipe(duplex=False)
        index = int(slot.rpartition(" ")[2])
        process = self.context.Process(
            target=_serve, args=(theirs, self.cells, self.orders, slot, index), daemon=True
        )
        # Ctrl-C reaches the whole process group; only the parent is to act on it
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.start()
        signal.signal(signal.SIGINT, handler)
        theirs.close()
        self.open[ours] = _WorkerProcess(slot, process)
        return self.open[ours]

    def wait(self, seconds: float, hear: Callable[[ProgressEvent | Record], None]) -> None:
        for ready in wait(list(self.open), timeout=seconds):
            assert isinstance(ready, Connection)
            try:
                news = ready.recv()
            except (EOFError, OSError):
                self.open.pop(ready).close()
                ready.close()
                continue
            if isinstance(news, Exception):
                self.open[ready].error = news
            else:
                hear(news)


class _WorkerProcess:
    def __init__(self, slot: str, process: BaseProcess):
        self.slot, self.process = slot, process
        self.error: Exception | None = None
        self.closed = False

    def close(self) -> None:
        self.process.join()
        self.closed = True

    def ended(self) -> bool:
        return self.closed

    def trouble(self) -> Exception | None:
        code = self.process.exitcode
        if self.error or not code:
            return self.error
        return ExecutorError(f"signal {-code}" if code < 0 else f"exit code {code}")

    def stop(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(
    pipe: Connection, cells: Sequence[Cell], orders: LaunchSpec, slot: str, index: int
) -> None:
    """Do a slot's work: the life of a worker process."""
    parent = os.getppid()

    def tell(news: Any) -> None:
        with suppress(OSError):
            pipe.send(news)

    with stop_on_signals() as flag:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            work_through(
                cells,
                orders,
                slot,
                stop=lambda: flag() or os.getppid() != parent,  # nobody is left to work for
                tell=tell,
                index=index,
            )
        except (RecordError, DeviceLost, UsageError) as error:
            tell(error)
        except Exception as error:
            tell(ExecutorError(f"{type(error).__name__}: {error}"))
            raise


def execute_in_process(cells: Sequence[Cell], listener: Listener, orders: LaunchSpec) -> None:
    """Carry out `cells` one after another. Raises Stopped, and RecordError (disk full)."""
    follow = ProgressMonitor(cells, orders, listener)

    def tell(news: ProgressEvent | Record) -> None:
        follow.hear(news)
        follow.look()

    with stop_on_signals() as stop:
        work_through(cells, orders, "slot 0", stop=stop, tell=tell)
        follow.look(now=True)
        if stop() and follow.left:
            listener.stopping(follow.running)
            raise RunStopped
