"""One cell, from its identity to its record: build, train, evaluate, write.

Whatever goes wrong inside a cell becomes its record (failed or skipped, with a reason); only what
concerns the whole run (a full disk, a person's Ctrl-C) leaves this module as an exception.
"""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from bench.errors import UsageError
from bench.results.claims import ClaimLost
from bench.results.records import Record, Status, write_record
from bench.study.cell import Cell
from bench.study.plan import load_or_quarantine
from bench.system.environment import (
    describe,
    device_name,
    is_deterministic,
    set_deterministic,
    versions,
)
from bench.system.files import RecordError, cannot_write, quarantine, remove_temporary_files
from bench.training.evaluate import NonFiniteOutput
from bench.training.trainer import NonFiniteLoss, Trainer
from datasets._base import DatasetError
from methods._base import MethodError

from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from .model_selection import ModelSelection
from .out_of_memory import (
    RETRIED_WARNING,
    OutOfMemory,
    offload_activations,
    retry_when_out_of_memory,
)
from .record_builder import failure_record, success_record, write_history, write_predictions
from .setup import Experiment, build_experiment

SKIP_ERRORS = (DatasetError, MethodError, UsageError)
"""What is asked cannot be done here: the cell is skipped."""

SELF_EXPLANATORY = (*SKIP_ERRORS, NonFiniteLoss, NonFiniteOutput, OutOfMemory)
"""Errors whose own sentence says it all: a record needs no traceback for them."""

TRANSIENT = frozenset(
    (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.EHOSTDOWN)
)
"""What disks and networks say when they are away for a while: no fault of the cell's."""


class Interrupted(Exception):
    """The cell was asked to stop; its checkpoint is on disk."""


@dataclass(frozen=True)
class ProgressEvent:
    """A sign of life from a running cell."""

    cell: str
    step: int
    total: int
    loss: float | None
    frames_per_second: float


@dataclass(frozen=True)
class RunContext:
    """What a cell runs on, and how it talks to the outside."""

    device: torch.device
    command: str = ""
    """The command line that this run belongs to, for the record."""
    tick: Callable[[ProgressEvent], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    confirm: Callable[[], None] = lambda: None
    """Asked before results are written; raises ClaimLost if another process has the cell now."""
    again: bool = False
    """Whether the cell is tried again if a disk is away: its error is then raised, not recorded."""


def run_cell(cell: Cell, slot: RunContext) -> Record:
    """Carry out a cell, or go on from its checkpoint, and write its record.

    A done cell is left alone. The cell's folder must be this process's own: a record, checkpoint
    or draft in it that is of no use is put out of the way. Raises Interrupted (after saving),
    ClaimLost, RecordError (disk full, folder not writable), and OSError if `slot.again`.
    """
    started = time.time()
    over, notes = load_or_quarantine(cell)
    if over and over.status == "done":
        return over
    remove_temporary_files(cell.folder)
    set_deterministic(slot.device, on=cell.deterministic)
    try:
        record = retry_when_out_of_memory(partial(_attempt, cell, slot, notes))
    except (Interrupted, ClaimLost, RecordError):
        raise
    except (Exception, SystemExit) as error:  # a foreign method may raise anything
        if slot.again and isinstance(error, OSError) and error.errno in TRANSIENT:
            raise
        record = _failure_record(cell, error)
    record = replace(record, environment=describe(slot.device, started, slot.command))
    slot.confirm()
    write_record(cell.folder, record)
    _remove(_checkpoint_file(cell))
    return record


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def _failure_record(cell: Cell, error: BaseException) -> Record:
    explained = isinstance(error, SELF_EXPLANATORY)
    reason = str(error) if explained else f"{type(error).__name__}: {_safe_text(error)}"
    trace = None if explained else "".join(traceback.format_exception(error))
    status: Status = "skipped" if isinstance(error, SKIP_ERRORS) else "failed"
    return failure_record(cell, status, reason, trace)


def _safe_text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a foreign error may be as broken as what raised it
        return "(it cannot tell more)"


def _checkpoint_file(cell: Cell) -> Path:
    return cell.folder / "checkpoint.pt"


def _attempt(cell: Cell, slot: RunContext, notes: list[str], *, sparing: bool) -> Record:
    began = time.perf_counter()
    assembly = build_experiment(cell, slot.device, sparing=sparing)
    selection = ModelSelection(cell.settings.train, assembly)
    saver = Checkpointer(cell, slot, assembly, selection)
    warnings = [*notes, *([RETRIED_WARNING] if sparing else []), *_resume(saver)]
    ready = time.perf_counter()
    with offload_activations() if sparing else nullcontext():
        _train(assembly.trainer, selection, saver)
    trained = time.perf_counter()
    predictions = assembly.predict(assembly.test)
    selection.last(predictions)
    over = time.perf_counter()
    slot.confirm()
    write_predictions(cell, assembly, predictions)
    write_history(cell, assembly.trainer)
    seconds = {
        "data": ready - began,
        "train": assembly.trainer.seconds,
        "evaluate": over - trained,
        "total": ready - began + assembly.trainer.seconds + over - trained,
    }
    return success_record(cell, slot.device, assembly, selection.scores, seconds, warnings)


def _resume(saver: Checkpointer) -> list[str]:
    """Go on from the cell's checkpoint if it has one; one that cannot be used is set aside."""
    try:
        return saver.load()
    except CheckpointError as error:
        aside = quarantine(saver.path)
        return [f"{error}; set aside as {aside.name}, trained from the start"]


def _train(trainer: Trainer, selection: ModelSelection, saver: Checkpointer) -> None:
    for stop in selection.stops():
        if stop > saver.looked:
            trainer.run(stop, saver)
            selection.look()
            saver.looked = stop
    if trainer.seconds > saver.worth_keeping:
        saver.save()


class Checkpointer:
    """Called between steps: shows a sign of life, saves from time to time, stops when asked to."""

    worth_keeping = 10.0
    """Seconds of training below which a checkpoint costs more than it saves."""

    def __init__(
        self, cell: Cell, slot: RunContext, assembly: Experiment, selection: ModelSelection
    ):
        self.cell, self.slot, self.selection = cell, slot, selection
        self.trainer, self.method = assembly.trainer, assembly.method
        self.path = _checkpoint_file(cell)
        self.looked = 0
        """The last step at which the selection has looked: a checkpoint may lie just before it."""
        self.last_save, self.last_tick = time.monotonic(), 0.0

    def __call__(self, _: Trainer) -> None:
        now = time.monotonic()
        if now - self.last_tick > 0.5:
            self.last_tick = now
            self.slot.tick(self._tick())
        if self.slot.stop():
            self.save()
            raise Interrupted(self.cell.id)
        if self._due(now):
            self.save()
            self.last_save = time.monotonic()

    def _due(self, now: float) -> bool:
        train = self.cell.settings.train
        if train.checkpoint_steps and self.trainer.step % train.checkpoint_steps == 0:
            return True
        return now - self.last_save > 60 * train.checkpoint_minutes

    def save(self) -> None:
        """Write the checkpoint: all that the rest of the run depends on."""
        state = {
            "trainer": self.trainer.state_dict(),
            "selection": self.selection.state_dict(),
            "looked": self.looked,
            "warnings": list(self.method.warnings),
            "setting": self._setting(),
        }
        save_checkpoint(self.path, self.cell.identity, state)

    def load(self) -> list[str]:
        """Go on from the checkpoint, if there is one; returns what the record must warn of.

        Raises CheckpointError for one that cannot be used.
        """
        state = load_checkpoint(self.path, self.cell.identity)
        if state is None:
            return []
        self.trainer.load_state_dict(state["trainer"])
        self.selection.load_state_dict(state["selection"])
        self.looked = state["looked"]
        self.method.warnings[:] = state["warnings"]
        before, now = state["setting"], self._setting()
        if before == now:
            return []
        return [
            f"begun on {_describe_environment(before)}; from step {self.trainer.step} on {_describe_environment(now)}"
        ]

    def _setting(self) -> dict[str, str]:
        device = self.slot.device
        mode = "" if is_deterministic(device) else ", not repeatable"
        return {"device": f"{device_name(device)}{mode}", **versions()}

    def _tick(self) -> ProgressEvent:
        t = self.trainer
        rate = t.step * t.loader.sampler.frames_per_step / max(t.seconds, 1e-9)
        return ProgressEvent(self.cell.id, t.step, t.total, t.last_loss, rate)


def _describe_environment(setting: Mapping[str, str]) -> str:
    device, *libraries = setting.items()
    return ", ".join([device[1], *(f"{name} {version}" for name, version in libraries)])
