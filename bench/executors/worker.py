"""A worker's life, the same under every executor: claim a free cell, carry it out, give it back.

Workers know nothing of each other, nor of who started them: all they share is the results folder.
Started by `local.py`, `ray.py` and `slurm.py`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import torch

from bench.results.claims import (
    CLAIM_TIMEOUT,
    HEARTBEAT_INTERVAL,
    Claim,
    ClaimLost,
    ClaimWatch,
    check_held,
    claim,
    free_lost,
    release,
    renew,
)
from bench.results.records import Record, write_record
from bench.runner.context import Interrupted, ProgressEvent, RunContext
from bench.runner.record_builder import failure_record
from bench.runner.run_cell import run_cell
from bench.study.cell import Cell
from bench.system.environment import (
    describe,
    keep_compiled_code,
    keep_freed_memory,
    one_thread,
    pick_device,
)
from bench.system.files import RecordError
from bench.system.processes import process_name

MAX_TRIES = 3
"""How often a cell is begun that ends with its process, or with a disk that is away."""

POLL_INTERVAL = 0.5
"""Seconds between looks at cells that others are busy with."""

Emit = Callable[[ProgressEvent | Record], None]
ShouldStop = Callable[[], bool]


class DeviceLost(Exception):
    """The device no longer answers; only a new process can use it again."""


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """What the workers of one launch have in common; picklable."""

    device: str
    command: str = ""
    """The command line, for the records."""
    events: bool = False
    """Whether cells write TensorBoard's files."""
    records_before: Mapping[str, str] = field(default_factory=dict)
    """Cell id -> fingerprint of the record that is to be replaced."""
    launcher: str = field(default_factory=process_name)
    patience: float = CLAIM_TIMEOUT

    def is_over(self, cell: Cell) -> bool:
        """Tell whether the cell has a record that it did not have when the run was planned."""
        now = fingerprint(cell)
        return now is not None and now != self.records_before.get(cell.id)


def launch_spec(
    cells: Sequence[Cell],
    device: str,
    command: str = "",
    before: Mapping[str, str] | None = None,
    **more: Any,
) -> LaunchSpec:
    """Say how `cells` are to be carried out.

    `before` are the fingerprints from before it was looked what there is to do, so that a record
    that another launch wrote since counts; by default the records of this moment are replaced.
    """
    before = fingerprints(cells) if before is None else before
    return LaunchSpec(device=device, command=command, records_before=before, **more)


def fingerprints(cells: Iterable[Cell]) -> dict[str, str]:
    """Return the fingerprints of the records that there are, by the ids of their cells."""
    return {cell.id: mark for cell in cells if (mark := fingerprint(cell))}


def fingerprint(cell: Cell) -> str | None:
    """Return what tells the cell's record from any other it had or will have; None if it has none.

    Two tries may fail with the same words in the same second: the content would not do.
    """
    path = cell.folder / "record.json"
    try:
        # opened, not only looked for: network folders may answer the latter from memory
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
    return f"{status.st_ino} {status.st_mtime_ns}"


def work_through(
    cells: Sequence[Cell],
    spec: LaunchSpec,
    slot: str,
    *,
    stop: ShouldStop,
    emit: Emit,
    index: int = 0,
) -> None:
    """Serve as the slot of this name until every cell is over, or `stop` says so.

    Cells are taken in the order given. `index` picks among the machine's GPUs. Raises RecordError
    (disk full), and DeviceLost.
    """
    one_thread()
    keep_freed_memory()
    device = pick_device(spec.device, index)
    if device.type == "cuda" and cells:
        keep_compiled_code(cells[0].context.cache.parent / "compiled")
    watch, unfinished = ClaimWatch(spec.patience), list(cells)
    while unfinished and not stop():
        claimed = _claim_next(unfinished, spec, slot, watch)
        if claimed and _run_claimed(*claimed, spec, device, emit, stop):
            unfinished.remove(claimed[0])
        elif not claimed and unfinished:
            _pause(stop)


def _claim_next(
    unfinished: list[Cell], spec: LaunchSpec, slot: str, watch: ClaimWatch
) -> tuple[Cell, Claim] | None:
    """Claim the first free cell; those that are over are taken off the list."""
    for cell in list(unfinished):
        if spec.is_over(cell):
            unfinished.remove(cell)
            continue
        held = claim(cell.folder, slot, watch, spec.launcher)
        if held and spec.is_over(cell):
            release(held, over=True)  # finished between the two looks
        elif held:
            return cell, held
    return None


def _pause(stop: ShouldStop) -> None:
    until = time.monotonic() + POLL_INTERVAL
    while time.monotonic() < until and not stop():
        time.sleep(0.05)


def _run_claimed(
    cell: Cell, held: Claim, spec: LaunchSpec, device: torch.device, emit: Emit, stop: ShouldStop
) -> bool:
    """Carry out a claimed cell; tells whether it is over: its record is on disk."""
    record, heartbeat = None, Heartbeat(held, emit, stop)
    will_retry = held.losses + 1 < MAX_TRIES
    context = RunContext(
        device=device,
        command=spec.command,
        events=spec.events,
        emit=heartbeat.on_progress,
        should_stop=heartbeat.should_stop,
        confirm=heartbeat.confirm,
        will_retry=will_retry,
    )
    emit(ProgressEvent(cell.id, 0, 0, None, 0.0))
    try:
        with heartbeat:
            record = _record(cell, held, context)
    except (Interrupted, ClaimLost):
        return False
    except OSError:
        free_lost(heartbeat.held)  # a disk that is away for a while
        _pause(stop)
        return False
    finally:
        release(heartbeat.held, over=record is not None)
    emit(record)
    if record.status == "failed" and not _device_answers(device):
        raise DeviceLost(f"{device} does not answer after {cell.id}: {record.reason}")
    return True


def _record(cell: Cell, held: Claim, context: RunContext) -> Record:
    if held.losses < MAX_TRIES:
        return run_cell(cell, context)
    reason = f"its process died {held.losses} times: out of memory? try fewer --workers"
    record = failure_record(cell, "failed", reason)
    record = replace(record, environment=describe(context.device, time.time(), context.command))
    write_record(cell.folder, record)
    return record


def _device_answers(device: torch.device) -> bool:
    """Tell whether the device works: after some errors, CUDA refuses all that a process asks."""
    try:
        torch.zeros(1, device=device).item()
    except RuntimeError:
        return False
    return True


class Heartbeat:
    """Keeps a claim alive from a thread of its own, whatever its cell is busy with."""

    def __init__(self, held: Claim, emit: Emit, stop: ShouldStop):
        self.held, self._emit, self._stop = held, emit, stop
        self._latest: dict[str, Any] = {}
        self._lost: ClaimLost | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def on_progress(self, event: ProgressEvent) -> None:
        """Take the cell's sign of life, to be written with the next heartbeat."""
        rate = event.frames_per_second
        self._latest = {"step": event.step, "total": event.total, "loss": event.loss, "rate": rate}
        self._emit(event)

    def should_stop(self) -> bool:
        """Tell whether the cell should save and stop; raises ClaimLost if it is another's now."""
        if self._lost:
            raise self._lost
        return self._stop()

    def confirm(self) -> None:
        """Raise ClaimLost if the cell is another's by now."""
        try:
            check_held(self.held)
        except OSError as error:
            raise RecordError(f"cannot read {self.held.folder}: {error}") from error

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_INTERVAL):
            try:
                self.held = renew(self.held, **self._latest)
            except ClaimLost as error:
                self._lost = error
                return
            except OSError:
                continue  # a network folder that is away for a moment
