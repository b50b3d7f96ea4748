"""Checkpoints: the whole state of an unfinished run, replaced only by a whole newer one.

`run_cell` saves by a `Checkpointer` and goes on from what it finds.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.results.compare import describe_mismatch, flatten
from bench.study.cell import Cell
from bench.system.environment import device_name, is_deterministic, versions
from bench.system.files import atomic_file, cannot_read
from bench.training.trainer import Trainer

from .context import Interrupted, ProgressEvent, RunContext
from .model_selection import ModelSelection
from .setup import Experiment

FORMAT = 2


class CheckpointError(Exception):
    """A checkpoint cannot be gone on from: one sentence saying why."""


def save_checkpoint(path: Path, identity: Mapping[str, Any], state: dict[str, Any]) -> None:
    """Write `state` for the cell of that identity; the previous one stays until it is whole.

    Raises RecordError when the disk is full or the folder not writable.
    """
    content = {"format": FORMAT, "identity": dict(flatten(identity)), "state": state}
    with atomic_file(path, "wb") as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch's own complaint about a half-written archive hides the disk's
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a checkpoint into the CPU's memory (random states must be there), or None if none is.

    One that is torn, foreign or of another cell raises CheckpointError, naming the file and, if it
    is another cell's, in what the two differ. One that the disk does not hand out: CannotRead.
    """
    try:
        content = _read(path)
        made_as, theirs = content["format"], dict(content["identity"])
        state: dict[str, Any] = content["state"]
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a whole checkpoint ({type(error).__name__})"
        ) from error
    if made_as != FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of format {made_as}, not {FORMAT}")
    if differing := describe_mismatch(theirs, dict(flatten(identity))):
        raise CheckpointError(f"{path} belongs to another run: it differs in {differing}")
    return state


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch does not look at the checksums
    if damaged is not None:
        raise zipfile.BadZipFile(damaged)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content


def checkpoint_file(cell: Cell) -> Path:
    """Name a cell's checkpoint."""
    return cell.folder / "checkpoint.pt"


class Checkpointer:
    """Called between steps: shows a sign of life, saves from time to time, stops when asked to."""

    worth_keeping = 10.0
    """Seconds of training below which a checkpoint costs more than it saves."""

    def __init__(
        self, cell: Cell, context: RunContext, experiment: Experiment, selection: ModelSelection
    ):
        self.cell, self.context, self.selection = cell, context, selection
        self.trainer, self.method = experiment.trainer, experiment.method
        self.path = checkpoint_file(cell)
        self.looked = -1
        """The last step at which the selection has looked: a checkpoint may lie just before it."""
        self.last_save, self.last_event = time.monotonic(), 0.0

    def __call__(self, _: Trainer) -> None:
        """Do what is due between two steps; raises Interrupted after saving."""
        now = time.monotonic()
        if now - self.last_event > 0.5:
            self.last_event = now
            self.context.emit(self._event())
        if self.context.should_stop():
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
            "setting": self._environment(),
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
        before, now = state["setting"], self._environment()
        if before == now:
            return []
        there, here = _describe_environment(before), _describe_environment(now)
        return [f"begun on {there}; from step {self.trainer.step} on {here}"]

    def _environment(self) -> dict[str, str]:
        device = self.context.device
        mode = "" if is_deterministic(device) else ", not repeatable"
        return {"device": f"{device_name(device)}{mode}", **versions()}

    def _event(self) -> ProgressEvent:
        t = self.trainer
        rate = t.frames_until(t.step) / max(t.seconds, 1e-9)
        return ProgressEvent(self.cell.id, t.step, t.total, t.last_loss, rate)


def _describe_environment(setting: Mapping[str, str]) -> str:
    device, *libraries = setting.items()
    return ", ".join([device[1], *(f"{name} {version}" for name, version in libraries)])
