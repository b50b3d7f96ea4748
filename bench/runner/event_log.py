"""Event log: a cell's training for TensorBoard (`run --log tensorboard`); used by run_cell.

Needs the package `tensorboard` (extra `tensorboard`); nothing else of the suite does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.frame_table import clip_rows
from bench.errors import UsageError
from bench.results.records import Scores
from bench.training.evaluate import Predictions

from .setup import Experiment

FOLDER = "events"
"""Inside a cell's folder: `tensorboard --logdir RESULTS/runs` shows all cells."""

CLIPS = 4
"""Test clips that are shown with what the network says of them."""

NEEDS = "--log tensorboard needs the package tensorboard: pip install tensorboard"

_PLACES = ("step", "epoch", "audit")


def check_installed() -> None:
    """Raise UsageError if TensorBoard's package is not there."""
    if find_spec("tensorboard") is None:
        raise UsageError(NEEDS)


@contextmanager
def event_log(folder: Path, experiment: Experiment, *, wanted: bool) -> Iterator[EventLog | None]:
    """Open a cell's event log for as long as the block runs, if it is wanted."""
    if not wanted:
        yield None
        return
    check_installed()  # the launching machine has it, a worker's may not
    events = EventLog(folder, experiment)
    try:
        yield events
    finally:
        events.close()


class EventLog:
    """Writes scalars while a cell trains, and at its end its scores and a few clips."""

    def __init__(self, folder: Path, experiment: Experiment):
        # imported here: only who asks for it must have it
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(
            str(folder / FOLDER), purge_step=experiment.trainer.step or None
        )
        self._experiment = experiment

    def row(self, row: Mapping[str, Any]) -> None:
        """Take a row of the history."""
        step = int(row["step"])
        for name, value in row.items():
            if name not in _PLACES:
                self._writer.add_scalar(f"training/{name}", value, step)
        audit = row.get("audit", {})
        for name, key in (("right", "overall_accuracy"), ("used", "overall_used")):
            if audit.get(key) is not None:
                self._writer.add_scalar(f"pseudo labels/{name}", audit[key], step)

    def finish(self, predictions: Predictions, scores: Mapping[str, Scores]) -> None:
        """Take the test scores by selection rule, and clips of the test."""
        aus = self._experiment.method.task.aus
        for rule, found in scores.items():
            self._writer.add_scalar(f"test {rule}/mean F1", found.mean_f1, found.step)
            for au, f1 in zip(aus, found.f1, strict=True):
                if f1 is not None:
                    self._writer.add_scalar(f"test {rule}/F1 of AU{au}", f1, found.step)
        for place in np.linspace(0, len(predictions.rows) - 1, CLIPS).astype(int):
            self._clip(predictions, int(place))

    def close(self) -> None:
        """Write what is held back."""
        self._writer.close()

    def _clip(self, predictions: Predictions, place: int) -> None:
        """Show the frames around a test frame side by side, and a table of its AUs."""
        experiment = self._experiment
        task, row = experiment.method.task, predictions.rows[place : place + 1]
        rows = clip_rows(experiment.table, row, task.clip_len // 2, task.clip_len)[0]
        strip = np.concatenate(list(experiment.pixels.gather(rows).cpu().numpy()), axis=1)
        who = f"{predictions.subjects[place]} {predictions.tasks[place]}"
        name = f"{who} frame {predictions.frames[place]}"
        step = experiment.trainer.step
        self._writer.add_image(f"clips/{name}", strip, step, dataformats="HWC")
        labels = experiment.table.labels[predictions.rows[place]]
        shares = predictions.probabilities[place]
        lines = [
            f"| AU{au} | {share:.2f} | {'not coded' if label < 0 else label} |"
            for au, share, label in zip(task.aus, shares, labels, strict=True)
        ]
        head = ["| action unit | probability | label |", "| --- | --- | --- |"]
        self._writer.add_text(f"clips/{name}", "\n".join([*head, *lines]), step)
