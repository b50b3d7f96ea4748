"""History log: a cell's `history.jsonl`, which grows while the cell trains; used by run_cell.

The file is there for cells that run, fail or are stopped too. What a checkpoint did not keep is
dropped from it when the cell goes on, so that a step is told once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.system.files import atomic_file
from bench.training.trainer import Trainer

NAME = "history.jsonl"

WRITE_EVERY = 1.0
"""Seconds between writes: a network folder is not to be asked several times a second."""

Row = Mapping[str, Any]


class HistoryLog:
    """Called between steps: writes the rows that are new, and hands each to the `watchers`."""

    def __init__(
        self, folder: Path, trainer: Trainer, watchers: Sequence[Callable[[Row], None]] = ()
    ):
        self.path, self.trainer, self.watchers = folder / NAME, trainer, watchers
        self.written = len(trainer.history)
        self._last = time.monotonic()
        write_history(folder, trainer)

    def __call__(self) -> None:
        """Write what is new, if the last write is a while ago."""
        if len(self.trainer.history) > self.written:
            now = time.monotonic()
            if now - self._last > WRITE_EVERY:
                self._last = now
                self.flush()

    def flush(self) -> None:
        """Write what is new. A disk that does not take it is told of when the record is written."""
        rows = history_rows(self.trainer)[self.written :]
        with suppress(OSError), self.path.open("a", encoding="utf-8") as stream:
            stream.write("".join(json.dumps(row) + "\n" for row in rows))
        self.written += len(rows)
        for row in rows:
            for watcher in self.watchers:
                watcher(row)


def history_rows(trainer: Trainer) -> list[Row]:
    """Return mean losses, metrics and learning rate by step.

    Where pseudo labels were used since the row before, `audit` says how right they were.
    """
    audits = {row["step"]: row for row in trainer.audit.rows}
    rows: list[Row] = []
    for row in trainer.history:
        found = {k: v for k, v in audits.get(row["step"], {}).items() if k != "step"}
        rows.append({**row, **({"audit": found} if found else {})})
    return rows


def write_history(folder: Path, trainer: Trainer) -> None:
    """Write the whole file anew; raises RecordError if the disk does not take it."""
    with atomic_file(folder / NAME) as stream:
        for row in history_rows(trainer):
            stream.write(json.dumps(row) + "\n")
