"""A cell's history is on disk while it trains; TensorBoard's files beside it where wanted."""

from __future__ import annotations

import json

import pytest

from bench.results.history import read_history
from bench.runner import event_log, history_log
from bench.runner.context import Interrupted
from tests.helpers import cells
from tests.helpers.cells import StopAt, run
from tests.helpers.cli_driver import Person

STEPS = "train.steps=50"


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(history_log, "WRITE_EVERY", -1.0)


def a_cell(folder, method="pseudo_label"):
    (cell,) = cells.grid(cells.study(folder, methods=[method], knobs=[STEPS]))
    return cell


def steps(cell):
    return [row["step"] for row in read_history(cell.folder)]


def test_the_history_grows_while_the_cell_trains(tmp_path) -> None:
    cell, seen = a_cell(tmp_path), []
    run(cell, should_stop=lambda: seen.append(steps(cell)) or False)
    assert seen[18:21] == [[], [20], [20]]
    assert seen[39] == [20, 40]
    assert steps(cell) == [20, 40, 50]


def test_stopped_and_gone_on_with_tells_every_step_once(tmp_path) -> None:
    whole, stopped = a_cell(tmp_path / "a"), a_cell(tmp_path / "b")
    run(whole)
    with pytest.raises(Interrupted):
        run(stopped, should_stop=StopAt(30))
    assert steps(stopped) == [20]
    with (stopped.folder / "history.jsonl").open("a") as stream:  # told after the checkpoint
        stream.write('{"step": 40, "au": 9.0}\n')
    run(stopped)
    files = [(cell.folder / "history.jsonl").read_bytes() for cell in (whole, stopped)]
    assert files[0] == files[1]
    assert "audit" in json.loads(files[0].splitlines()[-1])


def test_a_cell_that_fails_leaves_its_history(tmp_path) -> None:
    is_due = StopAt(45)

    def fail():
        if is_due():
            raise RuntimeError("the machine is tired")
        return False

    cell = a_cell(tmp_path)
    assert run(cell, should_stop=fail).status == "failed"
    assert steps(cell) == [20, 40]


def test_a_disk_that_is_full_while_training_stops_nothing(tmp_path, monkeypatch) -> None:
    cell = a_cell(tmp_path)
    path = cell.folder / "history.jsonl"

    def replace_by_a_folder():
        if path.is_file():
            path.unlink()
            path.mkdir()
        return False

    monkeypatch.setattr("bench.runner.run_cell.write_history", lambda *_: None)
    assert run(cell, should_stop=replace_by_a_folder).status == "done"


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_is_told_the_history_the_scores_and_clips(tmp_path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", exc_type=ImportError
    )
    cell = a_cell(tmp_path)
    record = run(cell, events=True)
    assert record.status == "done", record.reason
    found = accumulator.EventAccumulator(str(cell.folder / event_log.FOLDER))
    found.Reload()
    for event, row in zip(found.Scalars("training/au"), read_history(cell.folder), strict=True):
        assert (event.step, event.value) == (row["step"], pytest.approx(row["au"], rel=1e-6))
    right = found.Scalars("pseudo labels/right")[-1]
    last = [row for row in read_history(cell.folder) if "audit" in row][-1]
    assert right.value == pytest.approx(last["audit"]["overall_accuracy"], rel=1e-6)
    (score,) = found.Scalars("test last/mean F1")
    assert score.value == pytest.approx(record.scores["last"].mean_f1, rel=1e-6)
    clips = found.Tags()["images"]
    assert len(clips) == event_log.CLIPS
    shown = found.Images(clips[0])[0]
    assert shown.width >= shown.height == 32
    assert not (a_cell(tmp_path / "without").folder / event_log.FOLDER).exists()


def test_another_kind_of_log_and_a_missing_package_are_a_sentence(
    tmp_path, monkeypatch, capsys
) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    assert "did you mean tensorboard" in person.asks("run --log tensorbord").error
    monkeypatch.setattr(event_log, "find_spec", lambda _: None)
    assert person.asks("run --log tensorboard").error == event_log.NEEDS
