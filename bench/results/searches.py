"""Search records: what `tune` tried for each method and fold, what it chose, and what it cost.

`RESULTS/searches/<name>/search.json`, written by `tuning/`; read by `run --tuned` and by figures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.system.files import atomic_file

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One setting of a method's searched knobs, and how it did."""

    number: int
    knobs: dict[str, Any]
    """SECTION.KEY -> value, as `--set` takes it."""
    value: float | None
    """Mean F1 (a share of one) on the validation subjects' key frames, over the trial's cells; None
    if a cell did not finish."""
    seconds: float
    """Of all its cells, from start to record."""
    cells: list[str]
    device: str
    """What its cells ran on."""
    reason: str = ""
    """Why it has no value."""


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """A search: every trial of every method in every fold, all with the same budget."""

    name: str
    command: str
    question: dict[str, Any]
    """dataset, options, data and folds (hashes), preset, rule, ratios, seeds, val_subjects, trials,
    settings."""
    searched: dict[str, list[str]]
    """Method -> the knobs that were searched, as `--set` takes them."""
    trials: dict[str, dict[str, list[Trial]]]
    """Method -> fold (as a text) -> its trials, in order."""
    environment: dict[str, Any] = field(default_factory=dict)
    """commit, versions."""
    schema: int = SCHEMA

    @property
    def folds(self) -> list[int]:
        """The folds that were searched, each by itself."""
        return sorted({int(fold) for folds in self.trials.values() for fold in folds})

    def best(self, method: str, fold: int) -> Trial:
        """Return the best trial, the first of equals; raises UsageError if none has a value."""
        valued = self._valued(method, fold)
        if not valued:
            raise UsageError(self.failures(fold)[method])
        return max(valued, key=lambda trial: (trial.value or 0.0, -trial.number))

    def failures(self, fold: int) -> dict[str, str]:
        """Return the methods of which no trial in a fold has a value, each with a sentence."""
        found = {}
        for method, folds in self.trials.items():
            if not self._valued(method, fold):
                why = next((trial.reason for trial in folds[str(fold)]), "there is none")
                found[method] = f"no trial of {method} in fold {fold} finished: {why}"
        return found

    def _valued(self, method: str, fold: int) -> list[Trial]:
        return [trial for trial in self.trials[method][str(fold)] if trial.value is not None]

    def curve(self, method: str, fold: int) -> Iterator[tuple[int, float, float | None]]:
        """Yield trials so far, their seconds so far, and the best value so far."""
        seconds, best = 0.0, None
        for trial in self.trials[method][str(fold)]:
            seconds += trial.seconds
            if trial.value is not None:
                best = trial.value if best is None else max(best, trial.value)
            yield trial.number + 1, seconds, best

    def summary(self) -> dict[str, Any]:
        """Return what cells under its recipes keep of it."""
        keys = ("trials", "val_subjects", "ratios", "seeds")
        return {"search": self.name, **{key: self.question[key] for key in keys}}


def write_search(path: Path, record: SearchRecord) -> None:
    """Write a search record; raises RecordError if the disk does not take it."""
    with atomic_file(path) as stream:
        json.dump(asdict(record), stream, indent=1, allow_nan=False)
        stream.write("\n")


def read_search(path: Path) -> SearchRecord:
    """Read a search record; raises UsageError, naming the file, if it is none."""
    try:
        values: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _record(values)
    except OSError as error:
        raise UsageError(f"--tuned {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"--tuned {path} is no record of a search ({error})") from None


def _record(values: Mapping[str, Any]) -> SearchRecord:
    if values["schema"] != SCHEMA:
        raise ValueError(f"it is not of schema {SCHEMA}")
    trials = {
        method: {fold: [Trial(**trial) for trial in tried] for fold, tried in folds.items()}
        for method, folds in values["trials"].items()
    }
    return SearchRecord(**{**values, "trials": trials})
