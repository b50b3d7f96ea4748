"""Records: what a finished, failed or skipped cell leaves on disk, written whole or not at all.

A cell's folder `RESULTS/runs/<id>/` holds `record.json` (its existence means: over),
`predictions.npz`, `history.jsonl`, and `checkpoint.pt` while it runs.
"""

from __future__ import annotations

import errno
import gc
import json
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic_core import from_json as parse_json

from bench.system.files import RecordError, atomic_file, cannot_read, quarantine

Status = Literal["done", "failed", "skipped"]
Recipe = Literal["common", "own", "tuned"]
"""Whether a method trained under its study's `train` knobs, some of its own, or a search's."""
SCHEMA = 1

CELL_FIELDS = frozenset({"dataset", "method", "ratio", "rule", "fold", "seed", "preset"})
"""What a record's `cell` tells."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Test scores of one chosen step; lists are per AU, in the record's AU order."""

    step: int
    f1: list[float | None]
    """At threshold 0.5, TP/FP/FN pooled over the fold; 0 for an AU absent and never predicted.

    None for an AU that is coded on no test frame: nothing is known of it.
    """
    auc: list[float | None]
    """Area under the ROC curve; None where the fold holds one class only."""
    accuracy: list[float | None]
    """Share of the coded frames predicted right; None where F1 is."""
    counts: dict[str, list[list[int]]]
    """subject -> [tp, fp, fn, tn], each per AU: enough to pool, and to leave subjects out."""

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the AUs that have one, the field's headline figure (0..1)."""
        values = [value for value in self.f1 if value is not None]
        return sum(values) / len(values) if values else math.nan

    @property
    def uncoded(self) -> tuple[int, ...]:
        """Places in the list of AUs that no test frame is coded for."""
        return tuple(place for place, value in enumerate(self.f1) if value is None)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One cell's outcome. Durations are seconds, sizes mebibytes, scores shares of one."""

    id: str
    status: Status
    cell: dict[str, Any]
    """dataset, method (with its variant: `ks:no_skd`), ratio, rule, fold, seed, preset."""
    reason: str | None = None
    """Why a cell failed or was skipped: one sentence (a failed one's `traceback` is beside it)."""
    traceback: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    """Every resolved knob: `method`, `trunk`, `train`, `data`."""
    recipe: Recipe = "common"
    """Whether `train` is the study's, or the method has a recipe of its own."""
    tuning: dict[str, Any] = field(default_factory=dict)
    """Of a tuned recipe: search, trials, val_subjects, ratios, the knobs that were searched, and
    `searched_with`: shared knobs, or the data's hash, where the search had others."""
    first_weights: dict[str, str] = field(default_factory=dict)
    """What the networks began with: source or file -> SHA-256; empty where all was random."""
    trial: bool = False
    """Whether it is a trial of a search, scored on validation subjects and no test subject."""
    sees_hidden_labels: bool = False
    """Whether its batches carried labels that the budget did not pay for: the ceiling's alone."""
    hashes: dict[str, str] = field(default_factory=dict)
    """data, folds, split, mask, code, config, cell. Cells compare only if their `mask` agree."""
    code: dict[str, str] = field(default_factory=dict)
    """The files behind the code's hash, each with a hash of what it does."""
    aus: list[int] = field(default_factory=list)
    scores: dict[str, Scores] = field(default_factory=dict)
    """Selection rule -> scores: `last` always; `val` and `test-peek` only when asked for."""
    members: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    """Parts of the network, tested alone at the last step: name -> per-AU `f1` and `auc`."""
    baselines: dict[str, list[float | None]] = field(default_factory=dict)
    """Trivial predictors' per-AU test F1: `always_positive`, `training_prior`; None as in `f1`."""
    frames: dict[str, int] = field(default_factory=dict)
    """labelled (validation's included), unlabelled (the pool); coded: train, validation, test."""
    audit: dict[str, Any] = field(default_factory=dict)
    """Pseudo labels held against the hidden labels, and means of the method's own metrics."""
    parameters: int = 0
    final_weights: str | None = None
    """SHA-256 of the trained weights: runs that agree in it ended with the same bits."""
    seconds: dict[str, float] = field(default_factory=dict)
    """data, train, evaluate, total."""
    rates: dict[str, float] = field(default_factory=dict)
    """Of the training loop, data included, a second: samples (clips) and frames (in the batch)."""
    arithmetic: dict[str, Any] = field(default_factory=dict)
    """precision of the steps (`bfloat16` autocast or `float32`), and whether they were compiled."""
    peak_memory_mib: float = 0.0
    """Of the GPU's allocator, or of the worker's process, from the cell's start on. Records of
    older code hold the peak of all cells that their worker had had by then."""
    environment: dict[str, Any] = field(default_factory=dict)
    """device, versions, host, command, deterministic, started, finished."""
    warnings: list[str] = field(default_factory=list)
    schema: int = SCHEMA


def to_json(record: Record) -> str:
    """Serialise a record; keys in a fixed order, so that equal records are equal bytes."""
    return json.dumps(asdict(record), indent=1, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> Record:
    """Read a record back; raises ValueError, KeyError or TypeError if it is not one."""
    values = parse_json(text)
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"it is not a record of schema {SCHEMA}")
    values = {key: value for key, value in values.items() if key in _KNOWN}
    _check(values)
    scores = values.get("scores", {})
    values["scores"] = {rule: Scores(**_marked(each)) for rule, each in scores.items()}
    values["baselines"] = _marked_baselines(values)
    return Record(**values)


def _marked(scores: dict[str, Any]) -> dict[str, Any]:
    """Mark the AUs that no test frame is coded for: earlier versions wrote an F1 of 0 there."""
    zeros = [place for place, f1 in enumerate(scores["f1"]) if f1 == 0]
    counts = scores["counts"]
    uncoded = {place for place in zeros if counts and not _coded(counts, place)}
    if not uncoded:
        return scores
    per_au = {name: _without(scores[name], uncoded) for name in ("f1", "accuracy")}
    return {**scores, **per_au}


def _marked_baselines(values: dict[str, Any]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = values.get("baselines", {})
    scores = next(iter(values["scores"].values()), None)
    if scores is None or not scores.uncoded:
        return found
    return {name: _without(f1, set(scores.uncoded)) for name, f1 in found.items()}


def _coded(counts: dict[str, list[list[int]]], place: int) -> bool:
    return any(kind[place] for table in counts.values() for kind in table)


def _without(per_au: list[float | None], uncoded: Collection[int]) -> list[float | None]:
    return [None if place in uncoded else value for place, value in enumerate(per_au)]


_KINDS = {"str": str, "dict": dict, "list": list}

_PARTS = [
    (item.name, kind, item.default_factory is not MISSING)
    for item in fields(Record)
    if (kind := _KINDS.get(str(item.type).partition("[")[0]))
]
"""Parts that every reader counts on: name, type, and whether an earlier version may lack it."""

_KNOWN = {item.name for item in fields(Record)}


def _check(values: dict[str, Any]) -> None:
    """Raise ValueError if a part that every reader of records counts on is missing or foreign."""
    for name, kind, optional in _PARTS:
        if not ((optional and name not in values) or isinstance(values.get(name), kind)):
            raise ValueError(f"its {name} is no {kind.__name__}")
    if values["status"] not in get_args(Status):
        raise ValueError(f"its status is {values['status']!r}")
    done = values["status"] == "done"
    if not values["cell"].keys() >= CELL_FIELDS or (
        done and "last" not in values.get("scores", {})
    ):
        raise ValueError("it lacks its place in the grid or its scores")


def write_record(folder: Path, record: Record) -> Path:
    """Write `record.json` into a cell's folder; from then on the cell is over.

    The record of a done cell is never replaced, that of a failed one is kept beside the new one.
    """
    path = folder / "record.json"
    text = to_json(record)
    _make_way(path)
    with atomic_file(path, replace=False) as stream:
        stream.write(text)
    return path


def _make_way(path: Path) -> None:
    if not path.exists():
        return
    try:
        status = read_record(path).status
    except RecordError:
        status = "failed"
    if status == "failed":
        quarantine(path, "old")
    elif status == "skipped":  # there is nothing in it to keep
        path.unlink(missing_ok=True)


def read_record(path: Path) -> Record:
    """Read a `record.json`; raises RecordError if it is not a whole record.

    Where the disk does not hand it out, that is a CannotRead.
    """
    try:
        return from_json(_read_bytes(path))
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} is not a readable record ({error})") from error


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        # on a network disk the file was replaced between its opening and its reading
        return path.read_bytes()


def read_records(results: Path) -> tuple[list[Record], list[str]]:
    """Read every record in `results/runs`, sorted by id.

    Returns the records and one sentence for each file that is not a readable record.
    """
    records, problems = [], []
    with _collector_paused():
        for path in results.glob("runs/*/record.json"):
            try:
                records.append(read_record(path))
            except RecordError as error:
                problems.append(f"{error}: left out")
    return sorted(records, key=lambda record: record.id), sorted(problems)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Hold the collector off: to look for cycles among new lists takes longer than to read them.

    Afterwards it passes over what was read, which holds no cycle and goes when nobody refers to it;
    once in a process, so that one which reads again and again (a live page) frees all else.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
        if was_on:
            gc.enable()
