"""Local executor: worker processes on this machine, one thread each; or one worker right here."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from bench.errors import UsageError
from bench.results.records import Record
from bench.runner.context import ProgressEvent
from bench.study.cell import Cell
from bench.system.files import RecordError
from bench.system.signals import TERMINAL_SIGNALS, handled
from bench.system.threads import one_thread_each

from .base import ExecutorError, Listener, RunStopped, stop_on_signals
from .supervisor import ProgressMonitor, WorkerHandle, supervise
from .worker import DeviceLost, LaunchSpec, work_through


def execute(cells: Sequence[Cell], listener: Listener, spec: LaunchSpec, workers: int) -> None:
    """Carry out `cells` on `workers` processes, in the order given as far as slots are free.

    Raises RunStopped (after the running cells are saved), RecordError (disk full) and
    ExecutorError.
    """
    with one_thread_each():
        pool = _ProcessPool(cells, spec)
        supervise(cells, listener, spec, pool, min(workers, len(cells)))


class _ProcessPool:
    def __init__(self, cells: Sequence[Cell], spec: LaunchSpec):
        self.cells, self.spec = list(cells), spec
        self.context = multiprocessing.get_context("spawn")
        self.open: dict[Connection, _WorkerProcess] = {}

    def start(self, slots: Sequence[str]) -> list[WorkerHandle]:
        return [self._start_one(slot) for slot in slots]

    def _start_one(self, slot: str) -> WorkerHandle:
        ours, theirs = self.context.Pipe(duplex=False)
        index = int(slot.rpartition(" ")[2])
        process = self.context.Process(
            target=_serve, args=(theirs, self.cells, self.spec, slot, index), daemon=True
        )
        with handled(TERMINAL_SIGNALS, signal.SIG_IGN):  # inherited
            process.start()
        theirs.close()
        self.open[ours] = _WorkerProcess(slot, process)
        return self.open[ours]

    def wait(self, seconds: float, on_event: Callable[[ProgressEvent | Record], None]) -> None:
        for ready in wait(list(self.open), timeout=seconds):
            assert isinstance(ready, Connection)
            try:
                event = ready.recv()
            except (EOFError, OSError):
                self.open.pop(ready).close()
                ready.close()
                continue
            if isinstance(event, Exception):
                self.open[ready].error = event
            else:
                on_event(event)


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

    def exception(self) -> Exception | None:
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
    pipe: Connection, cells: Sequence[Cell], spec: LaunchSpec, slot: str, index: int
) -> None:
    """Do a slot's work: the life of a worker process."""
    parent = os.getppid()

    def emit(event: Any) -> None:
        with suppress(OSError):
            pipe.send(event)

    with stop_on_signals(patient=True) as flag, handled(TERMINAL_SIGNALS, signal.SIG_IGN):
        try:
            work_through(
                cells,
                spec,
                slot,
                stop=lambda: flag() or os.getppid() != parent,  # nobody is left to work for
                emit=emit,
                index=index,
            )
        except (RecordError, DeviceLost, UsageError) as error:
            emit(error)
        except Exception as error:
            emit(ExecutorError(f"{type(error).__name__}: {error}"))
            raise


def execute_in_process(cells: Sequence[Cell], listener: Listener, spec: LaunchSpec) -> None:
    """Carry out `cells` one after another. Raises RunStopped, and RecordError (disk full)."""
    monitor = ProgressMonitor(cells, spec, listener)

    def emit(event: ProgressEvent | Record) -> None:
        monitor.on_event(event)
        monitor.poll()

    with stop_on_signals() as stop:
        work_through(cells, spec, "slot 0", stop=stop, emit=emit)
        monitor.poll(now=True)
        if stop() and monitor.unfinished:
            listener.stopping(monitor.running)
            raise RunStopped
