"""Carries one cell out: build, train, evaluate, write its record; called by every worker.

Whatever goes wrong inside a cell becomes its record (failed or skipped, with a reason); only what
concerns the whole run (a full disk, a person's Ctrl-C) leaves this module as an exception.
"""

from __future__ import annotations

import errno
import time
import traceback
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.errors import UsageError
from bench.results.claims import ClaimLost
from bench.results.records import Record, Status, write_record
from bench.study.cell import Cell
from bench.study.plan import load_or_quarantine
from bench.system.environment import (
    describe,
    forget_peak_memory,
    set_deterministic,
)
from bench.system.files import RecordError, cannot_write, quarantine, remove_temporary_files
from bench.training.evaluate import NonFiniteOutput
from bench.training.trainer import NonFiniteLoss, Trainer
from datasets._base import DatasetError
from methods._base import MethodError

from .checkpoint import Checkpointer, CheckpointError, checkpoint_file
from .context import Interrupted, RunContext
from .event_log import event_log
from .history_log import HistoryLog, write_history
from .model_selection import ModelSelection
from .out_of_memory import (
    RETRIED_WARNING,
    OutOfMemory,
    offload_activations,
    retry_when_out_of_memory,
)
from .record_builder import (
    failure_record,
    success_record,
    write_predictions,
    write_pseudo_labels,
)
from .setup import build_experiment
from .weights import write_weights

SKIP_ERRORS = (DatasetError, MethodError, UsageError)
"""What is asked cannot be done here: the cell is skipped."""

SELF_EXPLANATORY = (*SKIP_ERRORS, NonFiniteLoss, NonFiniteOutput, OutOfMemory)
"""Errors whose own sentence says it all: a record needs no traceback for them."""

TRANSIENT = frozenset(
    (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ECONNRESET, errno.EHOSTDOWN)
)
"""What disks and networks say when they are away for a while: no fault of the cell's."""


def run_cell(cell: Cell, context: RunContext) -> Record:
    """Carry out a cell, or go on from its checkpoint, and write its record.

    A done cell is left alone. The cell's folder must be this process's own: a record, checkpoint
    or draft in it that is of no use is put out of the way. Raises Interrupted (after saving),
    ClaimLost, RecordError (disk full, folder not writable), OSError if `context.will_retry`, and
    KeyboardInterrupt for a request to end at once, whatever became of it on its way.
    """
    started = time.time()
    record, notes = load_or_quarantine(cell)
    if record and record.status == "done":
        return record
    remove_temporary_files(cell.folder)
    set_deterministic(context.device, on=cell.context.deterministic)
    try:
        record = retry_when_out_of_memory(partial(_attempt, cell, context, notes))
    except (Interrupted, ClaimLost, RecordError):
        raise
    except (Exception, SystemExit) as error:  # a foreign method may raise anything
        if _comes_from_ctrl_c(error):
            raise KeyboardInterrupt from error
        if context.will_retry and isinstance(error, OSError) and error.errno in TRANSIENT:
            raise
        record = _failure_record(cell, error)
    record = replace(record, environment=describe(context.device, started, context.command))
    context.confirm()
    write_record(cell.folder, record)
    _remove(checkpoint_file(cell))
    return record


def _comes_from_ctrl_c(error: BaseException | None) -> bool:
    """Tell whether a library made an error of its own of a person's second Ctrl-C (torch does)."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


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


def _attempt(cell: Cell, context: RunContext, notes: list[str], *, low_memory: bool) -> Record:
    began = time.perf_counter()
    forget_peak_memory(context.device)
    experiment = build_experiment(cell, context.device, low_memory=low_memory)
    selection = ModelSelection(cell.settings.train, experiment)
    checkpointer = Checkpointer(cell, context, experiment, selection)
    warnings = [*notes, *([RETRIED_WARNING] if low_memory else []), *_resume(checkpointer)]
    ready = time.perf_counter()
    with event_log(cell.folder, experiment, wanted=context.events) as events:
        log = HistoryLog(cell.folder, experiment.trainer, [events.row] if events else [])
        with offload_activations() if low_memory else nullcontext():
            _train(experiment.trainer, selection, checkpointer, log)
        trained = time.perf_counter()
        predictions = experiment.predict_test()
        selection.score_last(predictions)
        over = time.perf_counter()
        context.confirm()
        if events:
            events.finish(predictions, selection.scores)
    write_predictions(cell, experiment, predictions)
    write_pseudo_labels(cell, experiment)
    write_history(cell.folder, experiment.trainer)
    write_weights(cell, experiment)
    seconds = {
        "data": ready - began,
        "train": experiment.trainer.seconds,
        "evaluate": over - trained,
        "total": ready - began + experiment.trainer.seconds + over - trained,
    }
    return success_record(cell, experiment, predictions, selection.scores, seconds, warnings)


def _resume(checkpointer: Checkpointer) -> list[str]:
    """Go on from the cell's checkpoint if it has one; one that cannot be used is set aside."""
    try:
        return checkpointer.load()
    except CheckpointError as error:
        aside = quarantine(checkpointer.path)
        return [f"{error}; set aside as {aside.name}, trained from the start"]


def _train(
    trainer: Trainer, selection: ModelSelection, checkpointer: Checkpointer, log: HistoryLog
) -> None:
    def between_steps(_: Trainer) -> None:
        log()
        checkpointer(trainer)

    try:
        for stop in selection.evaluation_steps():
            if stop > checkpointer.looked:
                trainer.run(stop, between_steps)
                selection.consider()
                checkpointer.looked = stop
    finally:
        log.flush()
    if trainer.seconds > checkpointer.worth_keeping:
        checkpointer.save()
