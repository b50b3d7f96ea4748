"""Records: what a finished, failed or skipped cell leaves on disk, written whole or not at all.

A cell's folder `RESULTS/runs/<id>/` holds `record.json` (its existence means: over),
`predictions.npz`, `history.jsonl`, and `checkpoint.pt` while it runs. Every file is written under a
temporary name in the same folder, fsynced and renamed, so that a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Literal, get_args

Status = Literal["done", "failed", "skipped"]
SCHEMA = 1
PLACE = frozenset({"dataset", "method", "ratio", "rule", "fold", "seed", "preset"})
"""What a record's `cell` tells."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Test scores of one chosen step; lists are per AU, in the record's AU order."""

    step: int
    f1: list[float]
    """At threshold 0.5, TP/FP/FN pooled over the fold; 0 for an AU absent and never predicted."""
    auc: list[float | None]
    """Area under the ROC curve; None where the fold holds one class only."""
    accuracy: list[float]
    counts: dict[str, list[list[int]]]
    """subject -> [tp, fp, fn, tn], each per AU: enough to pool, and to bootstrap over subjects."""

    @property
    def mean_f1(self) -> float:
        """Mean F1 over the AUs, the field's headline figure (0..1)."""
        return sum(self.f1) / len(self.f1)


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
    hashes: dict[str, str] = field(default_factory=dict)
    """data, folds, split, mask, code, config, cell. Cells compare only if their `mask` agree."""
    aus: list[int] = field(default_factory=list)
    scores: dict[str, Scores] = field(default_factory=dict)
    """Selection rule -> scores: `last` always; `val` and `test-peek` only when asked for."""
    baselines: dict[str, list[float]] = field(default_factory=dict)
    """Trivial predictors' per-AU test F1: `always_positive`, `training_prior`."""
    frames: dict[str, int] = field(default_factory=dict)
    """labelled (validation's included), unlabelled (the pool); coded: train, validation, test."""
    audit: dict[str, Any] = field(default_factory=dict)
    """Pseudo labels held against the hidden labels; empty for methods that use none."""
    parameters: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """data, train, evaluate, total."""
    rates: dict[str, float] = field(default_factory=dict)
    """Of the training loop, data included, a second: samples (clips) and frames (in the batch)."""
    peak_memory_mib: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)
    """device, versions, host, command, deterministic, started, finished."""
    warnings: list[str] = field(default_factory=list)
    schema: int = SCHEMA


class RecordError(Exception):
    """A record cannot be read or written: one sentence naming the file."""


def to_json(record: Record) -> str:
    """Serialise a record; keys in a fixed order, so that equal records are equal bytes."""
    return json.dumps(asdict(record), indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Record:
    """Read a record back; raises ValueError, KeyError or TypeError if it is not one."""
    values = json.loads(text)
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"it is not a record of schema {SCHEMA}")
    known = {item.name for item in fields(Record)}
    values = {key: value for key, value in values.items() if key in known}
    _check(values)
    values["scores"] = {rule: Scores(**scores) for rule, scores in values["scores"].items()}
    return Record(**values)


def _check(values: dict[str, Any]) -> None:
    """Raise ValueError if a part that every reader of records counts on is missing or foreign."""
    kinds = {"str": str, "dict": dict, "list": list}
    for item in fields(Record):
        kind = kinds.get(str(item.type).partition("[")[0])
        if kind and not isinstance(values.get(item.name), kind):
            raise ValueError(f"its {item.name} is no {kind.__name__}")
    if values["status"] not in get_args(Status):
        raise ValueError(f"its status is {values['status']!r}")
    done = values["status"] == "done"
    if not values["cell"].keys() >= PLACE or (done and "last" not in values["scores"]):
        raise ValueError("it lacks its place in the grid or its scores")


def cannot_write(path: Path, error: OSError) -> RecordError:
    """Build the error for a file that the disk did not take."""
    why = error.strerror or error
    return RecordError(f"cannot write {path}: {why}; free space or change --results")


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file that becomes `path` on success: fsynced, renamed; removed on any error.

    Raises RecordError naming the file when the folder is not writable or the disk is full.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    """Make a rename durable; some network file systems refuse, and lose nothing by it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        return
    finally:
        os.close(handle)


def check_writable(results: Path) -> None:
    """Raise RecordError at once if nothing can be written to the results folder."""
    with whole_file(results / "runs" / ".writable") as stream:
        stream.write("")
    (results / "runs" / ".writable").unlink(missing_ok=True)


def write_record(folder: Path, record: Record) -> Path:
    """Write `record.json` into a cell's folder; from then on the cell is over."""
    path = folder / "record.json"
    text = to_json(record)
    with whole_file(path) as stream:
        stream.write(text)
    return path


def read_records(results: Path) -> tuple[list[Record], list[str]]:
    """Read every record in `results/runs`, sorted by id.

    Returns the records and one sentence for each file that is not a readable record.
    """
    records, problems = [], []
    for path in sorted(results.glob("runs/*/record.json")):
        try:
            records.append(from_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{path} is not a readable record ({error}): left out")
    return sorted(records, key=lambda record: record.id), problems
