"""Record builder: a finished or failed cell's record, and its predictions; used by run_cell."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.frame_table import rows_of
from bench.frame_store.store import StoredSequence
from bench.metrics import always_positive_f1, training_prior_f1, with_gaps
from bench.results.predictions import NAME as PREDICTIONS
from bench.results.predictions import StoredPredictions
from bench.results.pseudo_labels import NAME as PSEUDO_LABELS
from bench.results.pseudo_labels import StoredPseudoLabels
from bench.results.records import Record, Scores, Status
from bench.study.cell import Cell
from bench.system.environment import peak_memory_mib
from bench.system.files import atomic_file
from bench.training.evaluate import Predictions
from methods._base import Method
from methods._nets import EMA

from .setup import Experiment


def failure_record(cell: Cell, status: Status, reason: str, trace: str | None = None) -> Record:
    """Build the record of a cell that failed or was skipped, for one sentence of a reason."""
    return Record(
        **_identity(cell),
        status=status,
        reason=" ".join(reason.split()),
        traceback=trace,
        sees_hidden_labels=cell.sees_hidden_labels,
    )


def _identity(cell: Cell) -> dict[str, Any]:
    """Return what a record says of its cell, whatever became of it."""
    return {
        "id": cell.id,
        "cell": cell.coordinates,
        "config": cell.config(),
        "recipe": cell.recipe,
        "tuning": cell.tuning,
        "trial": cell.trial,
        "first_weights": cell.first_weights,
        "hashes": dict(cell.hashes),
        "code": dict(cell.code),
    }


def write_predictions(cell: Cell, experiment: Experiment, predictions: Predictions) -> None:
    """Write `predictions.npz`: probabilities of the last step, and what they are scored against.

    Of the validation subjects, where there are any, the frames whose labels the budget paid for.
    """
    labels, task = experiment.table.labels, experiment.method.task
    stored = StoredPredictions(
        probabilities=predictions.probabilities,
        subject=predictions.subjects,
        task=predictions.tasks,
        frame=predictions.frames,
        aus=np.array(task.aus),
        labels=labels[predictions.rows],
        rates=np.array(task.positive_rates, dtype=np.float64),
        intensities=_intensities(experiment.test, predictions.rows),
    )
    if experiment.validation:
        held_out = experiment.predict(experiment.validation)
        paid = held_out.only(np.isin(held_out.rows, experiment.validation_keys))
        stored = replace(
            stored,
            validation_probabilities=paid.probabilities,
            validation_labels=labels[paid.rows],
        )
    with atomic_file(cell.folder / PREDICTIONS, "wb") as stream:
        stored.save(stream)


def write_pseudo_labels(cell: Cell, experiment: Experiment) -> None:
    """Write `pseudo_labels.npz`: what was said last of each training frame, if anything was."""
    codes, steps = experiment.trainer.audit.last.arrays()
    if (steps < 0).all():
        return
    train = experiment.train
    rows = rows_of(train)
    lengths = [len(s.frames) for s in train]
    stored = StoredPseudoLabels(
        codes=codes[rows],
        steps=steps[rows],
        subject=np.repeat([s.subject for s in train], lengths),
        task=np.repeat([s.task for s in train], lengths),
        frame=np.concatenate([s.frames for s in train]),
        aus=np.array(experiment.method.task.aus),
        labels=experiment.table.labels[rows],
        labelled=np.isin(rows, experiment.train_keys),
    )
    with atomic_file(cell.folder / PSEUDO_LABELS, "wb") as stream:
        stored.save(stream)


def _intensities(
    test: Sequence[StoredSequence], rows: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Return the intensities (N, A) of test frames, NaN where unknown; None if there are none."""
    if all(s.intensities is None for s in test):
        return None
    found = np.full((len(rows), test[0].labels.shape[1]), np.nan, np.float32)
    for s in test:
        if s.intensities is not None:
            here = (rows >= s.start) & (rows < s.start + len(s.frames))
            found[here] = s.intensities[rows[here] - s.start]
    return found


def success_record(
    cell: Cell,
    experiment: Experiment,
    predictions: Predictions,
    scores: Mapping[str, Scores],
    seconds: Mapping[str, float],
    warnings: list[str],
) -> Record:
    """Build the record of a finished cell."""
    trainer, task = experiment.trainer, experiment.method.task
    seconds_trained = max(trainer.seconds, 1e-9)
    samples = trainer.total * trainer.loader.sampler.batch_size
    return Record(
        **_identity(cell),
        status="done",
        sees_hidden_labels=trainer.loader.reveals,
        aus=list(task.aus),
        scores=dict(scores),
        members=_member_scores(experiment, predictions),
        baselines=_baselines(experiment),
        frames=_frame_counts(experiment),
        audit=trainer.audit.summary(),
        parameters=count_parameters(experiment.method),
        final_weights=weights_hash(experiment.method),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        rates={
            "samples_per_second": round(samples / seconds_trained, 2),
            "frames_per_second": round(trainer.frames_until(trainer.total) / seconds_trained, 2),
        },
        arithmetic={
            "precision": "bfloat16" if trainer.amp else "float32",
            "compiled": trainer.compiled,
        },
        peak_memory_mib=round(peak_memory_mib(experiment.pixels.device), 1),
        warnings=[
            *warnings,
            *experiment.warnings,
            *experiment.method.warnings,
            *_missing_in_training(task.aus, task.positive_rates),
        ],
    )


def _missing_in_training(aus: Sequence[int], rates: Sequence[float]) -> Iterator[str]:
    """Name the AUs that cannot have been learnt; `rates` are those of the labelled frames."""
    uncoded = [au for au, rate in zip(aus, rates, strict=True) if math.isnan(rate)]
    absent = [au for au, rate in zip(aus, rates, strict=True) if rate == 0]
    for found, what in ((uncoded, "coded"), (absent, "present")):
        if found:
            names = ", ".join(f"AU{au}" for au in found)
            yield f"{names}: {what} on no labelled training frame, so there was nothing to learn"


def _member_scores(
    experiment: Experiment, predictions: Predictions
) -> dict[str, dict[str, list[float | None]]]:
    """Score each part of the network that the method tells, alone: per-AU F1 and AUC."""
    found: dict[str, dict[str, list[float | None]]] = {}
    for name, probabilities in predictions.members.items():
        alone = replace(predictions, probabilities=probabilities, members={})
        scores = alone.score(experiment.table, experiment.trainer.step)
        found[name] = {"f1": list(scores.f1), "auc": list(scores.auc)}
    return found


def count_parameters(method: Method) -> int:
    """Count the network's parameters; a running average of them is no second network."""
    averages = [m for m in method.modules() if isinstance(m, EMA)]
    averaged = {id(p) for average in averages for p in average.parameters()}
    return sum(p.numel() for p in method.parameters() if id(p) not in averaged)


def weights_hash(method: Method) -> str:
    """Hash every parameter and buffer, bit by bit, and what `get_extra_state` keeps beside them."""
    whole = hashlib.sha256()
    for name, value in method.state_dict().items():
        if not isinstance(value, Tensor):
            whole.update(f"{name} {json.dumps(value, sort_keys=True)}".encode())
            continue
        whole.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _baselines(experiment: Experiment) -> dict[str, list[float | None]]:
    labels = experiment.table.labels[experiment.test_rows]
    rates = np.nan_to_num(experiment.method.task.positive_rates)
    return {
        "always_positive": with_gaps(always_positive_f1(labels)),
        "training_prior": with_gaps(training_prior_f1(labels, rates)),
    }


def _frame_counts(experiment: Experiment) -> dict[str, int]:
    return {
        "labelled": len(experiment.train_keys) + len(experiment.validation_keys),
        "unlabelled": experiment.method.task.unlabelled_frames,
        "train": experiment.train_frames,
        "validation": sum(int(s.coded.sum()) for s in experiment.validation),
        "test": len(experiment.test_rows),
    }
