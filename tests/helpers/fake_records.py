"""Fabricated records for the tests of reports: nothing here was ever trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import always_positive_f1, score_fold, training_prior_f1, with_gaps
from bench.results.predictions import NAME, StoredPredictions
from bench.results.records import Record, Scores

AUS = [1, 12]
SUBJECTS = 8


def counted(f1s: list[float], fold: int = 0) -> Scores:
    """Scores with exactly these F1 values (multiples of 0.01), alike for every subject."""
    hits = [round(100 * f1) for f1 in f1s]
    table = [hits, [100 - hit for hit in hits], [100 - hit for hit in hits], [0 for _ in hits]]
    return Scores(
        step=10,
        f1=[hit / 100 for hit in hits],
        auc=[None for _ in hits],
        accuracy=[0.5 for _ in hits],
        counts={f"{'FM'[person % 2]}{fold}{person:02d}": table for person in range(SUBJECTS)},
    )


def record(
    method: str = "ks",
    ratio: float = 0.1,
    fold: int = 0,
    seed: int = 0,
    f1: float | list[float] = 0.5,
    **changes: Any,
) -> Record:
    """A finished record; `changes` overwrite its fields, or dataset, rule and preset its cell's."""
    places = {name: changes.pop(name) for name in ("dataset", "rule", "preset") if name in changes}
    cell = {"dataset": "synthetic", "rule": "sparse", "preset": "quick", **places}
    values = f1 if isinstance(f1, list) else [f1, f1]
    fields: dict[str, Any] = {
        "id": f"{cell['dataset']}-{cell['preset']}-{method}-r{ratio:g}-f{fold}-s{seed}",
        "status": "done",
        "cell": {**cell, "method": method, "ratio": ratio, "fold": fold, "seed": seed},
        "config": {"method": {"alpha": 0.5}, "train": {"lr": 0.01}},
        "hashes": {
            "data": f"da7a{cell['dataset']}",
            "folds": "f01d",
            "mask": f"mask-{ratio:g}-{fold}-{seed}",
            "code": f"code of {method}",
            "config": f"config of {method}",
        },
        "aus": AUS,
        "scores": {"last": counted(values, fold)},
        "baselines": {"always_positive": [0.3, 0.5], "training_prior": [0.2, 0.3]},
        "frames": {"train": 97_000, "validation": 0, "test": 50_000},
        "parameters": 2_800_000,
        "rates": {"samples_per_second": 100.0, "frames_per_second": 500.0},
        "peak_memory_mib": 1024.0,
        "environment": {"device": "cpu"},
    }
    return Record(**{**fields, **changes})


def unfinished(status: str, reason: str, **place: Any) -> Record:
    """A failed or skipped record: no scores."""
    empty: dict[str, Any] = {"scores": {}, "baselines": {}, "rates": {}, "parameters": 0, "aus": []}
    return record(status=status, reason=reason, **empty, **place)


def sampled(
    labels: NDArray[np.int8], right: NDArray[np.bool_], subjects: list[str], **place: Any
) -> Record:
    """A record whose predictions are right where `right` says so, scored by the real metrics."""
    truth = np.maximum(labels, 0)  # whatever stands where a frame is not coded
    probabilities = np.where(right, 0.8 * truth + 0.1, 0.9 - 0.8 * truth)
    return record(
        scores={"last": score_fold(labels, probabilities, subjects, step=1)},
        baselines={
            "always_positive": with_gaps(always_positive_f1(labels)),
            "training_prior": with_gaps(training_prior_f1(labels, [0.3] * labels.shape[1])),
        },
        aus=list(range(1, labels.shape[1] + 1)),
        **place,
    )


def drawn(
    seed: int = 0, people: int = 6, frames: int = 60, aus: int = 3, fold: int = 0
) -> StoredPredictions:
    """Predictions of nothing: runs of present frames, some uncoded, some probabilities equal."""
    rng = np.random.default_rng([seed, fold])
    count = people * frames
    wave = rng.normal(0, 1, (count, aus)).cumsum(axis=0)
    labels = (wave - wave.mean(axis=0) > 0.5).astype(np.int8)
    labels[rng.random(labels.shape) < 0.05] = -1
    guesses = np.clip(rng.normal(0.4 + 0.2 * (labels == 1), 0.2), 0, 1).round(2)
    return StoredPredictions(
        probabilities=guesses.astype(np.float32),
        subject=np.repeat([f"{'FM'[n % 2]}{fold}{n:02d}" for n in range(people)], frames),
        task=np.tile(np.repeat(["T1", "T2"], frames // 2), people),
        frame=np.tile(np.arange(1, frames // 2 + 1), 2 * people),
        aus=np.arange(1, aus + 1),
        labels=labels,
        rates=np.linspace(0.2, 0.4, aus),
    )


def stored(results: Path, predictions: StoredPredictions, **place: Any) -> Record:
    """A record whose predictions lie where its cell's folder would be."""
    labels = predictions.labels
    assert labels is not None
    made = record(
        scores={
            "last": score_fold(
                labels, predictions.probabilities, predictions.subject.tolist(), step=1
            )
        },
        aus=predictions.aus.tolist(),
        **place,
    )
    folder = results / "runs" / made.id
    folder.mkdir(parents=True)
    with (folder / NAME).open("wb") as stream:
        predictions.save(stream)
    return made
