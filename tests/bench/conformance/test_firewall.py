"""The firewall's own test: in a suite that leaks hidden labels in one place, the check must say so.

Each mutation is one slip that nobody would see in a score. The check scrambles hidden labels before
anything of a cell exists, so it holds the suite to its promise as well as the method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.config.registry import Registry
from bench.conformance import firewall
from bench.conformance.harness import Harness
from bench.conformance.probe import ContractViolation
from bench.data.frame_table import frame_table
from bench.metrics import positive_rates
from bench.runner import setup
from bench.study.cell import plan_cells
from bench.system.environment import one_thread
from bench.training import loader as loading
from bench.training import trainer as training
from bench.training.pixels import Pixels
from bench.training.sampler import Sampler
from bench.training.trainer import Trainer

METHODS = ("supervised", "fixmatch", "ks")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where checks write: the frames are drawn once for all of them."""
    one_thread()
    return tmp_path_factory.mktemp("firewall")


def leak(frames: Path, method: str = "fixmatch") -> str:
    """Say what the check finds; nothing, if no label leaks."""
    try:
        firewall.hidden_labels(Harness(Registry(), method, frames))
    except ContractViolation as violation:
        return str(violation)
    return ""


@pytest.mark.parametrize("method", METHODS)
def test_no_label_leaks_from_the_suite_as_it_is(frames: Path, method: str) -> None:
    assert leak(frames, method) == ""


def class_weights_from_all_labels(patch: pytest.MonkeyPatch) -> None:
    """Count positives over every frame of the store, those of the test fold included."""

    def rates(_: Any) -> Any:
        return positive_rates(every["labels"])

    every: dict[str, Any] = {}
    original = setup._task

    def task(cell: Any, data: Any, sampler: Sampler, validation_frames: int) -> Any:
        every["labels"] = sampler.table.labels
        return original(cell, data, sampler, validation_frames)

    patch.setattr(setup, "_task", task)
    patch.setattr(setup, "positive_rates", rates)


def clips_that_turn_by_a_label(patch: pytest.MonkeyPatch) -> None:
    """Play a clip backwards where its last frame shows the first AU."""
    original = Sampler._clips

    def clips(self: Sampler, keys: Any, slot: int, step: int) -> Any:
        rows = original(self, keys, slot, step)
        shown = self.table.labels[rows[:, -1], 0] == 1
        rows[shown] = rows[shown, ::-1]
        return rows

    patch.setattr(Sampler, "_clips", clips)


def positives_first(patch: pytest.MonkeyPatch) -> None:
    """Draw key frames with positive neighbours before the others."""
    original = Sampler._key_indices

    def key_indices(self: Sampler, step: int) -> Any:
        chosen = original(self, step)
        after = np.minimum(self.keys[chosen] + 1, self.table.last[self.keys[chosen]])
        return chosen[np.argsort(-self.table.labels[after].sum(axis=1), kind="stable")]

    patch.setattr(Sampler, "_key_indices", key_indices)


def normalised_by_label(patch: pytest.MonkeyPatch) -> None:
    """Centre images on the mean of the frames that show the first AU."""
    original = loading.Loader.batch

    def batch(self: loading.Loader, step: int, **phase: bool) -> Any:
        table = self.sampler.table
        positive = np.flatnonzero(table.labels[:, 0] == 1)
        centre = self.pixels.gather(positive).float().mean() / 255
        found, hidden = original(self, step, **phase)
        found.key.sub_(centre)
        return found, hidden

    patch.setattr(loading.Loader, "batch", batch)


def labels_in_the_checkpoint(patch: pytest.MonkeyPatch) -> None:
    """Keep a count of hidden positives with the training's state."""
    original = Trainer.state_dict

    def state_dict(self: Trainer) -> dict[str, Any]:
        return {**original(self), "positives": int(self.loader.sampler.table.labels.sum())}

    patch.setattr(Trainer, "state_dict", state_dict)


def validation_frames_that_nobody_paid_for(patch: pytest.MonkeyPatch) -> None:
    """Calibrate on the frames after the validation subjects' labelled ones."""
    original = training.fit

    def fit(method: Any, loader: loading.Loader, validation_keys: Any) -> None:
        after = np.minimum(validation_keys + 1, loader.sampler.table.last[validation_keys])
        original(method, loader, after)

    patch.setattr(training, "fit", fit)


def a_door_open_for_everybody(patch: pytest.MonkeyPatch) -> None:
    """Build every loader as the ceiling's is built: its batches carry hidden labels."""
    original = loading.Loader.__init__

    def init(self: loading.Loader, *parts: Any, **_: bool) -> None:
        original(self, *parts, reveal=True)

    patch.setattr(loading.Loader, "__init__", init)


def class_weights_from_intensities(patch: pytest.MonkeyPatch) -> None:
    """Tell methods how strong every AU is on average, over all frames of the store."""

    def rates(_: Any) -> Any:
        found = every["levels"]
        return np.full(every["aus"], 0.5) if found[0] is None else np.nanmean(found[0], axis=0) / 5

    every: dict[str, Any] = {}
    original = setup._task

    def task(cell: Any, data: Any, sampler: Sampler, validation_frames: int) -> Any:
        every["levels"] = [s.intensities for s in data.store.sequences]
        every["aus"] = len(data.store.aus)
        return original(cell, data, sampler, validation_frames)

    patch.setattr(setup, "_task", task)
    patch.setattr(setup, "positive_rates", rates)


MUTATIONS = {
    class_weights_from_all_labels: "Task",
    class_weights_from_intensities: "Task",
    clips_that_turn_by_a_label: "Batch.unlabelled",
    positives_first: "Batch.key",
    normalised_by_label: "Batch.key",
    labels_in_the_checkpoint: "the checkpoint's positives",
    a_door_open_for_everybody: "Batch.hidden",
}


def test_the_ceiling_itself_does_not_pass(frames: Path) -> None:
    found = leak(frames, "ceiling")
    assert "Batch.hidden" in found
    assert "Task" not in found, "its class weights are those of the labelled frames"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_suite_that_leaks_is_caught(
    mutation: Any, frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert MUTATIONS[mutation] in leak(frames)


def test_calibration_on_hidden_labels_is_caught(
    frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leak(frames, "bgcs") == ""
    validation_frames_that_nobody_paid_for(monkeypatch)
    assert "the checkpoint's method.threshold" in leak(frames, "bgcs")


MARK = np.float32(4.4375)
"""An intensity that no pixel, label or weight equals."""


def arrays_in(value: Any) -> Iterator[np.ndarray]:
    """Every tensor and array in a dataclass, in containers and further dataclasses within it."""
    if isinstance(value, torch.Tensor):
        yield value.detach().numpy()
    elif isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        yield from (found for each in value.values() for found in arrays_in(each))
    elif isinstance(value, list | tuple):
        yield from (found for each in value for found in arrays_in(each))
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            yield from arrays_in(getattr(value, item.name))


@pytest.mark.parametrize("method", ["ks", "mlcr", "ceiling"])
def test_no_batch_and_no_task_holds_an_intensity(frames: Path, method: str) -> None:
    harness = Harness(Registry(), method, frames)
    study, data = harness._planned("0.1", ())
    sequences = tuple(
        dataclasses.replace(s, intensities=np.full(s.labels.shape, MARK))
        for s in data.store.sequences
    )
    data = dataclasses.replace(data, store=dataclasses.replace(data.store, sequences=sequences))
    (cell,) = plan_cells(study, data)
    table = frame_table(data.store)
    made = setup.assemble(cell, data, table, Pixels(data.store.images, torch.device("cpu")))
    assert any((found == MARK).any() for found in arrays_in(made.test)), "the marks are there"
    told = [table, made.method.task, *(made.trainer.loader.batch(step) for step in range(3))]
    seen = list(arrays_in(told))
    assert len(seen) > 10
    assert not any((found == MARK).any() for found in seen)


@pytest.fixture(autouse=True)
def generators() -> Iterator[None]:
    """Leave the global generator as it was."""
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
