"""A cell from its identity to its record, on small real video."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from bench.data.frame_table import frame_table
from bench.results.predictions import read_predictions
from bench.results.pseudo_labels import read_pseudo_labels
from bench.results.records import from_json, read_record, write_record
from bench.runner import checkpoint
from bench.runner import run_cell as runner
from bench.runner.checkpoint import load_checkpoint
from bench.runner.context import Interrupted
from bench.runner.model_selection import ModelSelection
from bench.runner.record_builder import failure_record
from bench.runner.setup import build_experiment
from bench.system.files import RecordError
from tests.helpers import cells
from tests.helpers.cells import UNTAUGHT, StopAt, outcome, run

CPU = torch.device("cpu")
IMAGE_METHODS = ("supervised", "pseudo_label", "fixmatch")


def test_at_full_labels_the_image_methods_give_bit_identical_records(tmp_path):
    asked = cells.study(tmp_path, methods=IMAGE_METHODS, ratios=["1"], knobs=["train.steps=8"])
    grid = cells.grid(asked)
    control, *others = [run(cell) for cell in grid]
    assert control.status == "done"
    files = [cell.folder / "predictions.npz" for cell in grid]
    assert len({file.read_bytes() for file in files}) == 1
    histories = [(cell.folder / "history.jsonl").read_bytes() for cell in grid]
    assert len(set(histories)) == 1
    for other in others:
        for name in ("scores", "baselines", "frames", "parameters", "audit", "aus"):
            assert getattr(other, name) == getattr(control, name), name
        assert other.hashes["mask"] == control.hashes["mask"]


def test_below_full_labels_they_differ(tmp_path):
    grid = cells.grid(cells.study(tmp_path, methods=IMAGE_METHODS, knobs=["train.steps=8"]))
    records = [run(cell) for cell in grid]
    assert len({json.dumps(record.scores["last"].counts) for record in records}) == 3
    assert records[0].frames["unlabelled"] == 0 < records[1].frames["unlabelled"]
    assert records[0].audit == {}
    assert 0 <= records[1].audit["overall_accuracy"] <= 1


def test_pseudo_labels_are_kept_beside_the_labels_of_the_training_frames(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path, methods=["pseudo_label"]))
    audit = run(cell).audit
    experiment = build_experiment(cell, CPU)
    stored = read_pseudo_labels(cell.folder / "pseudo_labels.npz")
    rows = np.concatenate([np.arange(s.start, s.start + len(s.frames)) for s in experiment.train])
    assert stored.labels.tolist() == experiment.table.labels[rows].tolist()
    assert rows[stored.labelled].tolist() == experiment.train_keys.tolist()
    assert {*stored.subject} == {s.subject for s in experiment.train}
    told = stored.codes >= 0
    assert told.any(axis=1).tolist() == (stored.steps >= 0).tolist()
    assert not told[stored.labelled].any()
    # a frame comes up seldom in six steps, so that its last pseudo label is nearly always its only
    used = np.isin(stored.codes, (0, 1))
    right = (stored.codes == stored.labels)[used].mean()
    assert right == pytest.approx(audit["overall_accuracy"], abs=0.1)


def test_the_same_cell_twice_is_the_same_record(tmp_path):
    first, second = [
        run(cells.grid(cells.study(tmp_path / name, methods=["fixmatch"]))[0]) for name in "ab"
    ]
    assert outcome(first) == outcome(second)


def test_a_record_says_what_a_reader_needs(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    record = run(cell)
    assert from_json((cell.folder / "record.json").read_text()) == record
    assert record.cell == {
        "dataset": "synthetic",
        "method": "supervised",
        "ratio": 0.2,
        "rule": "sparse",
        "fold": 0,
        "seed": 0,
        "preset": "smoke",
    }
    assert record.environment["command"] == "test"
    assert set(record.environment["versions"]) >= {"python", "torch", "timm"}
    assert record.rates["frames_per_second"] > 0
    data = cells.opened(cells.study(tmp_path))
    test = [s for s in data.store.sequences if s.subject in record.scores["last"].counts]
    assert record.frames["test"] == sum(int(s.coded.sum()) for s in test)
    saved = np.load(cell.folder / "predictions.npz")
    assert saved["probabilities"].shape == (record.frames["test"], 12)
    assert saved["frame"].tolist()[:3] == [1, 2, 3]
    assert not (cell.folder / "checkpoint.pt").exists()


def test_a_record_scores_the_parts_of_the_network_apart(tmp_path: Path) -> None:
    control, ks = cells.grid(
        cells.study(tmp_path, methods=["supervised", "ks:no_temporal_teacher"])
    )
    assert run(control).members == {}
    record = run(ks)
    assert list(record.members) == ["AU heads", "S_a", "student"]
    scores = record.scores["last"]
    # without T_b the method's answer is that of S_a
    assert record.members["S_a"] == {"f1": scores.f1, "auc": scores.auc}
    assert record.members["student"]["f1"] != scores.f1


def test_scores_follow_from_the_saved_probabilities(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    record = run(cell)
    data = cells.opened(cells.study(tmp_path))
    labels = frame_table(data.store).labels
    saved = np.load(cell.folder / "predictions.npz")
    rows = [
        s.start + int(np.flatnonzero(s.frames == frame)[0])
        for subject, task, frame in zip(
            saved["subject"], saved["task"], saved["frame"], strict=True
        )
        for s in data.store.sequences
        if (s.subject, s.task) == (subject, task)
    ]
    assert np.array_equal(saved["labels"], labels[rows])
    truth, positive = labels[rows] == 1, saved["probabilities"] >= 0.5
    tp = (truth & positive).sum(axis=0)
    f1 = 2 * tp / np.maximum(truth.sum(axis=0) + positive.sum(axis=0), 1)
    assert record.scores["last"].f1 == pytest.approx(f1.tolist())


def test_validation_frames_that_the_budget_paid_for_are_stored(tmp_path: Path) -> None:
    knobs = ["data.val_subjects=2"]
    (cell,) = cells.grid(cells.study(tmp_path, knobs=knobs))
    experiment = build_experiment(cell, CPU)
    run(cell)
    saved = read_predictions(cell.folder / "predictions.npz")
    assert saved is not None
    keys = experiment.validation_keys
    assert saved.validation_labels is not None
    assert np.array_equal(saved.validation_labels, experiment.table.labels[keys])
    assert saved.validation_probabilities is not None
    assert saved.validation_probabilities.shape == (len(keys), 12)
    assert 0 < len(keys) < experiment.train_frames
    assert saved.rates is not None
    assert saved.rates == pytest.approx(np.array(experiment.method.task.positive_rates))


@pytest.mark.parametrize("method", [*IMAGE_METHODS, "tcl", "ks", "eac"])
def test_stopped_and_gone_on_gives_the_record_of_never_stopped(tmp_path, method):
    (whole,) = cells.grid(cells.study(tmp_path / "whole", methods=[method]))
    (broken,) = cells.grid(cells.study(tmp_path / "broken", methods=[method]))
    with pytest.raises(Interrupted):
        run(broken, should_stop=StopAt(3))
    assert (broken.folder / "checkpoint.pt").exists()
    assert not (broken.folder / "record.json").exists()
    assert outcome(run(broken)) == outcome(run(whole))
    names = [path.name for path in whole.folder.glob("*.npz")]
    for name in (*names, "history.jsonl"):
        assert (broken.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    audited = "used" in run(whole).audit
    assert ("pseudo_labels.npz" in names) == audited
    assert not (broken.folder / "checkpoint.pt").exists()


class Looking(ModelSelection):
    """Notes the steps at which it looks."""

    steps: ClassVar[list[int]] = []

    def consider(self):
        self.steps.append(self.experiment.trainer.step)
        super().consider()


@pytest.mark.parametrize("asked_at", range(1, 7))
def test_stopped_just_before_a_look_the_look_is_made_afterwards(tmp_path, monkeypatch, asked_at):
    monkeypatch.setattr(runner, "ModelSelection", Looking)
    monkeypatch.setattr(Looking, "steps", [])
    knobs = ["data.val_subjects=2", "train.evaluate_every=16"]
    (cell,) = cells.grid(cells.study(tmp_path, knobs=knobs))
    with pytest.raises(Interrupted):
        run(cell, should_stop=StopAt(asked_at))
    run(cell)
    assert Looking.steps == [2, 4, 6]


def test_checkpoints_come_by_steps_too(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(
        checkpoint, "save_checkpoint", lambda *args: saved.append(args[2]["trainer"]["step"])
    )
    (cell,) = cells.grid(cells.study(tmp_path, knobs=["train.checkpoint_steps=2"]))
    assert run(cell).status == "done"
    assert saved == [2, 4, 6]


def test_warnings_from_before_a_stop_stand_in_the_record(tmp_path):
    plugin = tmp_path / "warning.py"
    plugin.write_text(
        "from methods._base import Method\n"
        "from methods.supervised import Supervised as _Supervised\n"
        "class Warning(Method):\n"
        "    Config, needs = _Supervised.Config, _Supervised.needs\n"
        "    def __init__(self, config, task):\n"
        "        super().__init__(config, task)\n"
        "        self.inner = _Supervised(config, task)\n"
        "    def losses(self, batch, progress):\n"
        "        if progress.step == 1:\n"
        "            self.warnings.append('the first step was odd')\n"
        "        return self.inner.losses(batch, progress)\n"
        "    def encode(self, frames, landmarks=None):\n"
        "        return self.inner.encode(frames)\n"
        "    def head(self, features):\n"
        "        return self.inner.head(features)\n"
    )
    (cell,) = cells.grid(cells.study(tmp_path, methods=["warning"], plugins=[plugin]))
    with pytest.raises(Interrupted):
        run(cell, should_stop=StopAt(3))
    assert run(cell).warnings == ["the first step was odd", UNTAUGHT]


def test_going_on_under_other_libraries_is_said_in_the_record(tmp_path, monkeypatch):
    (cell,) = cells.grid(cells.study(tmp_path))
    with pytest.raises(Interrupted):
        run(cell, should_stop=StopAt(3))
    monkeypatch.setattr(checkpoint, "versions", lambda: {"torch": "99.0"})
    warning, other = run(cell).warnings
    assert other == UNTAUGHT
    assert warning.startswith("begun on ")
    assert "from step 3 on " in warning
    assert warning.endswith("torch 99.0")


def test_a_done_cell_is_left_alone(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    first = run(cell)
    before = {path: path.stat().st_mtime_ns for path in cell.folder.iterdir()}
    assert run(cell) == first
    assert {path: path.stat().st_mtime_ns for path in cell.folder.iterdir()} == before


def test_a_failed_cell_that_is_done_again_keeps_its_old_record_beside(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    old = failure_record(cell, "failed", "the disk was away")
    write_record(cell.folder, old)
    assert run(cell).status == "done"
    assert read_record(cell.folder / "record.json").status == "done"
    assert read_record(cell.folder / "record.json.old-1") == old


def test_drafts_of_a_killed_process_are_cleared_away(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    cell.folder.mkdir(parents=True)
    (cell.folder / ".checkpoint.pt.x1.tmp").write_bytes(b"half")
    run(cell)
    assert not list(cell.folder.glob(".*"))


def test_final_weights_are_told_by_their_bits(tmp_path):
    hashes = []
    for name, knobs in (("a", []), ("b", []), ("c", ["train.lr=0.0061"])):
        (cell,) = cells.grid(cells.study(tmp_path / name, knobs=knobs))
        hashes.append(run(cell).final_weights)
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 64


def test_a_torn_checkpoint_is_set_aside_with_a_warning(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    cell.folder.mkdir(parents=True)
    (cell.folder / "checkpoint.pt").write_bytes(b"PK torn")
    record = run(cell)
    assert record.status == "done"
    assert "set aside as checkpoint.pt.bad-1" in record.warnings[0]
    assert (cell.folder / "checkpoint.pt.bad-1").read_bytes() == b"PK torn"


def test_a_checkpoint_of_another_run_is_not_gone_on_from(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    (other,) = cells.grid(cells.study(tmp_path, knobs=["train.lr=0.5"]))
    with pytest.raises(Interrupted):
        run(other, should_stop=StopAt(3))
    cell.folder.mkdir(parents=True)
    (other.folder / "checkpoint.pt").rename(cell.folder / "checkpoint.pt")
    record = run(cell)
    assert "belongs to another run: it differs in config.train.lr (0.5, not " in record.warnings[0]


def test_a_method_that_raises_leaves_a_failed_record_with_its_traceback(tmp_path):
    plugin = tmp_path / "raising.py"
    plugin.write_text(
        "from methods._base import Method\n"
        "class Raising(Method):\n"
        "    def losses(self, batch, progress):\n"
        "        raise KeyError('oh no')\n"
    )
    asked = cells.study(
        tmp_path, methods=["raising"], plugins=[plugin], knobs=["train.optimiser=sgd"]
    )
    record = run(cells.grid(asked)[0])
    assert record.status == "failed"
    assert record.reason is not None
    assert record.traceback is not None
    assert "raising.py" in record.traceback or "ValueError" in record.reason


def test_frames_that_changed_since_the_plan_skip_the_cell(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    changed = cell.__class__(**{**vars(cell), "hashes": {**cell.hashes, "data": "0" * 64}})
    record = run(changed)
    assert record.status == "skipped"
    assert record.reason == "the frames of synthetic have changed since this run was planned"


def test_a_full_disk_is_no_failed_cell(tmp_path, monkeypatch):
    (cell,) = cells.grid(cells.study(tmp_path))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="No space left on device"):
        run(cell)
    assert not (cell.folder / "record.json").exists()
    assert not list(cell.folder.glob(".*tmp"))


def test_a_second_ctrl_c_amid_a_checkpoint_is_no_failed_cell(tmp_path, monkeypatch):
    """Within its file torch.save makes a RuntimeError of it."""
    (cell,) = cells.grid(cells.study(tmp_path, knobs=["train.checkpoint_steps=2"]))
    save = torch.save

    class Pressed(io.BytesIO):
        def write(self, content):
            if self.tell():
                raise KeyboardInterrupt
            return super().write(content)

    monkeypatch.setattr(torch, "save", lambda content, _: save(content, Pressed()))
    with pytest.raises(KeyboardInterrupt):
        cells.run(cell)
    assert not (cell.folder / "record.json").exists()
    monkeypatch.undo()
    assert cells.run(cell).status == "done"


def test_validation_subjects_choose_a_step_and_cost_no_label_more(tmp_path):
    plain, chosen = (
        cells.grid(cells.study(tmp_path / name, knobs=knobs))[0]
        for name, knobs in (
            ("a", []),
            ("b", ["data.val_subjects=2", "train.evaluate_every=10", "train.test_peek=true"]),
        )
    )
    without, with_validation = run(plain), run(chosen)
    assert set(without.scores) == {"last"}
    assert set(with_validation.scores) == {"last", "val", "test-peek"}
    assert with_validation.frames["labelled"] == without.frames["labelled"]
    assert with_validation.frames["validation"] > 0
    peek, last = with_validation.scores["test-peek"], with_validation.scores["last"]
    assert peek.mean_f1 >= last.mean_f1


def test_selection_survives_being_stopped(tmp_path):
    knobs = ["data.val_subjects=2", "train.evaluate_every=10", "train.test_peek=true"]
    whole, broken = (cells.grid(cells.study(tmp_path / n, knobs=knobs))[0] for n in "ab")
    with pytest.raises(Interrupted):
        run(broken, should_stop=StopAt(5))
    assert outcome(run(broken)) == outcome(run(whole))


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from bench.runner.run_cell import RunContext, run_cell
from tests.helpers import cells

knobs = ["train.checkpoint_minutes=0"]
(cell,) = cells.grid(cells.study(Path(sys.argv[1]), methods=["fixmatch"], knobs=knobs))
steps = 0
def stop():
    global steps
    steps += 1
    if steps == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return False
run_cell(cell, RunContext(torch.device("cpu"), "test", should_stop=stop))
"""


def test_killed_outright_and_gone_on_gives_the_record_of_never_killed(tmp_path):
    code = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    root = Path(__file__).parents[3]
    done = subprocess.run(code, cwd=root, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    knobs = ["train.checkpoint_minutes=0"]
    killed, whole = (
        cells.grid(cells.study(tmp_path / name, methods=["fixmatch"], knobs=knobs))[0]
        for name in ("killed", "whole")
    )
    state = load_checkpoint(killed.folder / "checkpoint.pt", killed.identity)
    assert state is not None
    assert state["trainer"]["step"] == 4
    assert outcome(run(killed)) == outcome(run(whole))
