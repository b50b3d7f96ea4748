"""SLURM executor: workers as elements of a job array, each serving cells until its time is up.

submitit writes the batch file and asks SLURM for a signal before the time limit; an element then
saves, puts itself back into the queue, and goes on from there.
"""

from __future__ import annotations

import getpass
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.errors import UsageError
from bench.results.records import Record
from bench.runner.context import ProgressEvent
from bench.study.cell import Cell

from .base import ExecutorError, Listener, StopFlag, stop_on_signals
from .supervisor import WorkerHandle, supervise
from .worker import LaunchSpec, work_through

_DEFAULTS = {"job_name": "au-bench", "time": 240, "cpus_per_task": 1}

_REQUEUES = 10_000
"""How often an element may use up its time: what ends it is the grid's end."""

_POLL_INTERVAL = 10.0
"""Seconds between questions to SLURM, which are answered for all users by one process."""

_GRACE = 120.0
"""Seconds that an element, having saved, waits for SLURM to end it: left by itself, it would count
as complete and not be queued again."""


def execute(
    cells: Sequence[Cell],
    listener: Listener,
    spec: LaunchSpec,
    workers: int,
    *,
    options: Sequence[str] = (),
    cluster: str = "slurm",
) -> None:
    """Carry out `cells` on an array of `workers` elements; `options` are KEY=VALUE for sbatch.

    With the cluster `local`, elements are processes of this machine (to try things out). Raises
    RunStopped (after the running cells are saved), RecordError (disk full), ExecutorError, and
    UsageError if submitit is not installed or knows no such option.
    """
    parameters = {**_DEFAULTS, **_parse(options)}
    executor = _executor(cells[0], cluster, parameters)
    pool = _JobArray(executor, cells, spec, cluster)
    supervise(cells, listener, spec, pool, min(workers, len(cells)))


def _parse(options: Sequence[str]) -> dict[str, Any]:
    pairs = [option.partition("=") for option in options]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise UsageError(f"--slurm {key}{equals}{value}: write KEY=VALUE, e.g. partition=gpu")
    values = {key.replace("-", "_"): _value(text) for key, _, text in pairs}
    if not isinstance(values.get("time", 0), int):
        raise UsageError(f"--slurm time={values['time']}: give whole minutes")
    return values


def _value(text: str) -> int | bool | str:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdigit() else text


def _executor(cell: Cell, cluster: str, parameters: dict[str, Any]) -> Any:
    try:
        import submitit
    except ModuleNotFoundError:
        raise UsageError(
            "--executor slurm needs submitit: pip install -c constraints.txt -e '.[slurm]'"
        ) from None
    folder = cell.context.results.resolve() / "slurm"
    if cluster == "local":
        local = submitit.LocalExecutor(folder)
        local.update_parameters(timeout_min=parameters["time"])
        return local
    try:
        executor = submitit.SlurmExecutor(folder, max_num_timeout=_REQUEUES)
        executor.update_parameters(**parameters)
    except RuntimeError as error:
        raise ExecutorError(f"{error} (--executor slurm)") from error
    except ValueError as error:
        raise UsageError("--slurm: " + " ".join(str(error).split())) from None
    return executor


class _JobArray:
    def __init__(self, executor: Any, cells: Sequence[Cell], spec: LaunchSpec, cluster: str):
        self.executor, self.cells, self.spec = executor, list(cells), spec
        self.queue = _Queue() if cluster == "slurm" else None

    def start(self, slots: Sequence[str]) -> list[WorkerHandle]:
        elements = [ArrayElement(self.cells, self.spec, slot) for slot in slots]
        try:
            with self.executor.batch():
                jobs = [self.executor.submit(element) for element in elements]
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise ExecutorError(f"SLURM did not take the job array: {reason}") from error
        return [_JobHandle(slot, job, self.queue) for slot, job in zip(slots, jobs, strict=True)]

    def wait(self, seconds: float, on_event: Callable[[ProgressEvent | Record], None]) -> None:  # noqa: ARG002
        time.sleep(seconds)


class _Queue:
    """The user's jobs that SLURM has not ended; `sacct` knows more, where a cluster has it."""

    def __init__(self) -> None:
        self.jobs: set[str] = set()
        self.next_look = 0.0

    def has(self, job: str) -> bool:
        if time.monotonic() >= self.next_look:
            self._look()
            self.next_look = time.monotonic() + _POLL_INTERVAL
        return job in self.jobs

    def _look(self) -> None:
        ask = ["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", "%i"]
        answer = subprocess.run(ask, capture_output=True, text=True)
        if answer.returncode == 0:  # else SLURM is busy, and nothing is known to have changed
            self.jobs = set(answer.stdout.split())


class _JobHandle:
    def __init__(self, slot: str, job: Any, queue: _Queue | None):
        self.slot, self.job, self.queue = slot, job, queue
        self.began = time.monotonic()

    def ended(self) -> bool:
        if self.job.paths.result_pickle.exists():
            return True
        if self.queue is None:
            return bool(self.job.done())
        fresh = time.monotonic() - self.began < 2 * _POLL_INTERVAL
        return not fresh and not self.queue.has(self.job.job_id)

    def exception(self) -> Exception | None:
        if not self.job.paths.result_pickle.exists():
            return ExecutorError(f"job {self.job.job_id} is gone; see {self.job.paths.stderr}")
        error: Exception | None = self.job.exception()
        if error is None:
            error = self.job.result()
        return error

    def stop(self) -> None:
        self.job.cancel(check=False)

    def kill(self) -> None:
        if not self.ended():
            self.job.cancel(check=False)


class ArrayElement:
    """One element's work. submitit calls it, and `checkpoint` when its time is nearly up."""

    def __init__(self, cells: Sequence[Cell], spec: LaunchSpec, slot: str):
        self.cells, self.spec, self.slot = cells, spec, slot

    def __call__(self) -> Exception | None:
        """Serve cells; returns what kept it from going on, such as a full disk."""
        self._stop = StopFlag()
        self._error: Exception | None = None
        # in a thread, for `checkpoint` is called amidst whatever the main one does
        self._thread = threading.Thread(target=self._work)
        with stop_on_signals(patient=True) as asked:
            self._thread.start()
            while self._thread.is_alive():
                self._thread.join(0.2)
                self._stop.is_set = self._stop.is_set or asked()
        if asked() and not self._error:
            time.sleep(_GRACE)
            raise InterruptedError("told to stop by SIGTERM, and not ended by SLURM since")
        return self._error

    def checkpoint(self) -> Any:
        """Save what is running; returns the element that goes on from there."""
        import submitit

        self._stop.is_set = True
        self._thread.join()
        return submitit.helpers.DelayedSubmission(ArrayElement(self.cells, self.spec, self.slot))

    def _work(self) -> None:
        try:
            work_through(self.cells, self.spec, self.slot, stop=self._stop, emit=lambda _: None)
        except Exception as error:  # noqa: BLE001  handed over to the main thread
            self._error = error
