"""One cell, from its identity to its record: build, train, evaluate, write.

Whatever goes wrong inside a cell becomes its record (failed or skipped, with a reason); only what
concerns the whole run (a full disk, a person's Ctrl-C) leaves this module as an exception.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from datasets._base import DatasetError
from methods._base import MethodError

from .assembly import Assembly, assemble
from .checkpoint import CheckpointError, load_checkpoint, save_checkpoint, set_aside
from .config import UsageError
from .environment import describe
from .evaluate import NonFiniteOutput
from .outcome import done, without_result, write_history, write_predictions
from .records import Record, RecordError, Status, write_record
from .selection import Selection
from .study import Cell
from .train import NonFiniteLoss, Trainer

IMPOSSIBLE = (DatasetError, MethodError, UsageError)
"""What is asked cannot be done here: the cell is skipped."""

EXPLAINED = (*IMPOSSIBLE, NonFiniteLoss, NonFiniteOutput)
"""Errors whose own sentence says it all: a record needs no traceback for them."""


class Interrupted(Exception):
    """The cell was asked to stop; its checkpoint is on disk."""


@dataclass(frozen=True)
class Tick:
    """A sign of life from a running cell."""

    cell: str
    step: int
    total: int
    loss: float | None
    frames_per_second: float


@dataclass(frozen=True)
class Slot:
    """What a cell runs on, and how it talks to the outside."""

    device: torch.device
    command: str = ""
    """The command line that this run belongs to, for the record."""
    tick: Callable[[Tick], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False


def run_cell(cell: Cell, slot: Slot) -> Record:
    """Carry out a cell, or go on from its checkpoint, and write its record.

    Raises Interrupted (after saving) and RecordError (disk full, folder not writable).
    """
    started = time.time()
    try:
        record = _carry_out(cell, slot)
    except (Interrupted, RecordError):
        raise
    except Exception as error:  # noqa: BLE001  a foreign method may raise anything; the grid goes on
        record = _without_result(cell, error)
    record = replace(record, environment=describe(slot.device, started, slot.command))
    write_record(cell.folder, record)
    _checkpoint_file(cell).unlink(missing_ok=True)
    return record


def _without_result(cell: Cell, error: Exception) -> Record:
    explained = isinstance(error, EXPLAINED)
    reason = str(error) if explained else f"{type(error).__name__}: {error}"
    trace = None if explained else "".join(traceback.format_exception(error))
    status: Status = "skipped" if isinstance(error, IMPOSSIBLE) else "failed"
    return without_result(cell, status, reason, trace)


def _checkpoint_file(cell: Cell) -> Path:
    return cell.folder / "checkpoint.pt"


def _carry_out(cell: Cell, slot: Slot) -> Record:
    began = time.perf_counter()
    assembly = assemble(cell, slot.device)
    selection = Selection(cell.settings.train, assembly)
    warnings = _resume(cell, assembly.trainer, selection)
    ready = time.perf_counter()
    _train(cell, slot, assembly, selection)
    trained = time.perf_counter()
    predictions = assembly.predict(assembly.test)
    selection.last(predictions)
    over = time.perf_counter()
    write_predictions(cell, assembly, predictions)
    write_history(cell, assembly.trainer)
    seconds = {
        "data": ready - began,
        "train": assembly.trainer.seconds,
        "evaluate": over - trained,
        "total": ready - began + assembly.trainer.seconds + over - trained,
    }
    return done(cell, slot.device, assembly, selection.scores, seconds, warnings)


def _resume(cell: Cell, trainer: Trainer, selection: Selection) -> list[str]:
    """Go on from the cell's checkpoint if it has one; one that cannot be used is set aside."""
    path = _checkpoint_file(cell)
    try:
        state = load_checkpoint(path, cell.hashes["cell"])
    except CheckpointError as error:
        return [f"{error}; set aside as {set_aside(path).name}, trained from the start"]
    if state is not None:
        trainer.load_state_dict(state["trainer"])
        selection.load_state_dict(state["selection"])
    return []


def _train(cell: Cell, slot: Slot, assembly: Assembly, selection: Selection) -> None:
    trainer = assembly.trainer
    saver = _Saver(cell, slot, trainer, selection)
    for stop in selection.stops():
        if stop > trainer.step:
            trainer.run(stop, saver)
            selection.look()
    if trainer.seconds > saver.worth_keeping:
        saver.save()


class _Saver:
    """Called between steps: shows a sign of life, saves from time to time, stops when asked to."""

    worth_keeping = 10.0
    """Seconds of training below which a checkpoint costs more than it saves."""

    def __init__(self, cell: Cell, slot: Slot, trainer: Trainer, selection: Selection):
        self.cell, self.slot, self.trainer, self.selection = cell, slot, trainer, selection
        self.first_step, self.last_save = trainer.step, time.monotonic()
        self.last_tick = 0.0

    def __call__(self, _: Trainer) -> None:
        now = time.monotonic()
        if now - self.last_tick > 0.5:
            self.last_tick = now
            self.slot.tick(self._tick())
        if self.slot.stop():
            self.save()
            raise Interrupted(self.cell.id)
        if now - self.last_save > 60 * self.cell.settings.train.checkpoint_minutes:
            self.save()
            self.last_save = time.monotonic()

    def save(self) -> None:
        """Write the checkpoint: all that the rest of the run depends on."""
        state = {"trainer": self.trainer.state_dict(), "selection": self.selection.state_dict()}
        save_checkpoint(_checkpoint_file(self.cell), self.cell.hashes["cell"], state)

    def _tick(self) -> Tick:
        t = self.trainer
        rate = t.step * t.loader.sampler.frames_per_step / max(t.seconds, 1e-9)
        return Tick(self.cell.id, t.step, t.total, t.last_loss, rate)
