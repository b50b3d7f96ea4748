"""What has become of every cell, told from a results folder alone."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.cli import status
from bench.results import claims
from bench.results.records import read_records, write_record
from bench.results.requests import read_requests
from bench.results.status import read_status
from bench.study.cell import request_grid
from bench.study.study import make_study
from tests.helpers.cells import planned as cell
from tests.helpers.fake_records import record as fabricated
from tests.helpers.fake_records import unfinished


@dataclass
class Folder:
    results: Path

    def keep(self, record):
        write_record(self.results / "runs" / record.id, record)
        return record.id

    def claimed(self, name, **news):
        held = claims.claim(self.results / "runs" / name)
        assert held
        return claims.renew(held, **news)

    def checkpoint(self, name):
        path = self.results / "runs" / name / "checkpoint.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    def asked(self, cells, command="python -m bench run", **knobs):
        study = make_study(methods=["supervised"], results=self.results, **knobs)
        return request_grid(study, cells, command)

    def states(self):
        return {one.id: one.state for one in read_status(self.results).cells}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_every_state_is_told_apart(folder):
    done = folder.keep(fabricated(fold=0))
    failed = folder.keep(unfinished("failed", "why", fold=1))
    skipped = folder.keep(unfinished("skipped", "no weights", fold=2))
    folder.claimed("running")
    folder.checkpoint("stopped")
    claims.release(folder.claimed("given-back"), over=False)
    folder.checkpoint("given-back")
    (folder.results / "runs" / "empty").mkdir()
    planned = cell(folder.results)
    folder.asked([planned])
    assert folder.states() == {
        done: "done",
        failed: "failed",
        skipped: "skipped",
        "running": "running",
        "stopped": "unfinished",
        "given-back": "unfinished",
        planned.id: "missing",
    }


def test_a_claim_without_a_sign_of_life_is_stale(folder):
    held = folder.claimed("silent", step=30, total=120)
    content = json.loads(held.path.read_text())
    content["process"] = "elsewhere 1 2"
    content["heartbeat"] = time.time() - 10 * claims.CLAIM_TIMEOUT
    held.path.write_text(json.dumps(content))
    (one,) = read_status(folder.results).cells
    assert (one.state, one.remaining) == ("stale", 0.75)


def test_a_failed_cell_that_is_tried_again_is_running(folder):
    failed = folder.keep(unfinished("failed", "why"))
    folder.claimed(failed)
    assert folder.states() == {failed: "running"}


def test_what_was_asked_for_and_done_is_not_missing(folder):
    planned = [cell(folder.results, fold=fold) for fold in range(3)]
    folder.asked(planned)
    folder.keep(replace(fabricated(), id=planned[0].id))
    folder.claimed(planned[1].id, step=5, total=10)
    states = [folder.states()[one.id] for one in planned]
    assert states == ["done", "running", "missing"]
    found = read_status(folder.results)
    assert {one.requested.id for one in found.cells if one.requested} == {one.id for one in planned}


def test_the_same_question_asked_again_replaces_the_cells_of_older_code(folder):
    old, new = (
        replace(cell(folder.results), hashes={"cell": name * 10, "config": "c"}) for name in "ab"
    )
    first = folder.asked([old])
    assert folder.asked([new]) == first
    assert folder.states() == {new.id: "missing"}


def test_a_larger_question_over_newer_code_outdates_the_smaller_one(folder):
    old, new = (
        replace(cell(folder.results), hashes={"cell": name * 10, "config": "c"}) for name in "ab"
    )
    lr = replace(old, hashes={"cell": "c" * 10, "config": "another learning rate"})
    first = folder.asked([old, lr])
    assert folder.asked([new], seeds=[0, 1]) != first
    assert folder.states() == {new.id: "missing", lr.id: "missing"}


def planned_on(folder, name, data, **options):
    """A cell of the same place under some options of its dataset, and what these make of it."""
    one = cell(folder.results)
    spec = replace(one.context.dataset, options=tuple(options.items()))
    hashes = {"cell": name * 10, "config": "c", "data": "d", "folds": data}
    return replace(one, context=replace(one.context, dataset=spec), hashes=hashes)


def test_another_draw_of_the_folds_is_another_question(folder):
    first = planned_on(folder, "a", "folds of seed 0")
    second = planned_on(folder, "b", "folds of seed 1", fold_seed="1")
    folder.asked([first])
    folder.asked([second], seeds=[0, 1])
    assert folder.states() == {first.id: "missing", second.id: "missing"}
    corrected = planned_on(folder, "c", "a corrected fold list", fold_seed="1")
    moved = planned_on(folder, "e", "folds of seed 0", labels="/elsewhere/labels.csv")
    folder.asked([corrected], seeds=[0, 1, 2])
    folder.asked([moved], seeds=[0, 1, 2, 3])
    assert folder.states() == {corrected.id: "missing", moved.id: "missing"}


def test_a_searchs_recipe_is_another_question(folder):
    plain = replace(cell(folder.results), hashes={"cell": "a" * 10, "config": "c", "data": "d"})
    tuning = {"search": "s", "methods": {"supervised": []}, "place": {"data": "d"}}
    context = replace(plain.context, tuning={**tuning, "searched_with": {}})
    tuned = replace(plain, context=context, hashes={**plain.hashes, "cell": "b" * 10})
    folder.asked([plain])
    folder.asked([tuned], seeds=[0, 1])
    assert folder.states() == {plain.id: "missing", tuned.id: "missing"}


def test_a_grid_is_read_back_as_it_was_asked_for(folder):
    planned = cell(folder.results)
    path = folder.asked([planned], "python -m bench run --seeds 1")
    (grid,), problems = read_requests(folder.results)
    assert problems == []
    assert (grid.command, grid.path) == ("python -m bench run --seeds 1", path)
    (one,) = grid.cells
    assert (one.id, one.cell) == (planned.id, planned.coordinates)
    assert one.hashes == planned.hashes
    assert one.config["train"] == json.loads(json.dumps(planned.config()["train"]))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": 9}', "null"])
def test_a_torn_grid_is_named_and_the_rest_is_told(folder, text):
    folder.keep(fabricated())
    path = folder.results / "grids" / "a.json"
    path.parent.mkdir()
    path.write_text(text)
    found = read_status(folder.results)
    assert [one.state for one in found.cells] == ["done"]
    assert found.problems[0].startswith(f"{path} is not a readable grid (")


def test_a_look_writes_nothing(folder):
    folder.claimed("running")
    folder.asked([cell(folder.results)])
    before = sorted(folder.results.rglob("*"))
    read_status(folder.results)
    assert sorted(folder.results.rglob("*")) == before


def test_tables_and_status_see_records_amid_what_a_run_leaves(folder):
    done = folder.keep(fabricated())
    for name in (done, "running"):
        folder.claimed(name)
        folder.checkpoint(name)
        (folder.results / "runs" / name / ".record.json.x.tmp").write_text("{")
    (folder.results / "runs" / ".writable").write_text("")
    records, problems = read_records(folder.results)
    assert ([record.id for record in records], problems) == ([done], [])
    assert folder.states() == {done: "done", "running": "running"}


def test_what_is_left_is_guessed_from_what_is_done(folder):
    planned = [cell(folder.results, fold=fold) for fold in range(4)]
    config = json.loads(json.dumps(planned[0].config()))
    done = fabricated(method="supervised", config=config, seconds={"train": 40.0, "total": 40.0})
    folder.keep(replace(done, id=planned[0].id))
    for one in planned[1:3]:
        folder.claimed(one.id, step=30, total=40)
    folder.asked(planned)
    left = read_status(folder.results).remaining_time()
    assert left
    assert left.seconds == pytest.approx(40)  # 10 + 10 + 40 on two slots, none shorter than 40


def said(folder, capsys):
    with pytest.raises(status.typer.Exit) as caught:
        status.command(folder.results)
    return caught.value.exit_code, capsys.readouterr().out.splitlines()


def test_status_says_where_and_how_far(folder, capsys):
    folder.claimed("one-cell", step=30, total=120, rate=512.3)
    code, (counts, line) = said(folder, capsys)
    assert (code, counts) == (0, "1 running")
    assert line.startswith("running  one-cell  step 30/120 (25%), 512 frames/s, ")
    assert line.endswith("heard of 0 s ago")


def test_status_names_the_command_that_asked_for_what_is_missing(folder, capsys):
    path = folder.asked([cell(folder.results, fold=n) for n in range(3)], "python -m bench run -x")
    code, (counts, line) = said(folder, capsys)
    assert (code, counts) == (0, "3 missing")
    assert line.startswith("missing  3 of `python -m bench run -x`, asked for ")
    assert line.endswith(f"({path})")


def test_status_lists_some_of_many_and_counts_the_rest(folder, capsys):
    for fold in range(25):
        folder.keep(unfinished("failed", "why", fold=fold))
    code, (counts, *lines) = said(folder, capsys)
    assert (code, counts) == (1, "25 failed")
    assert len(lines) == 21
    assert lines[-1] == "failed  ... and 5 more"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s ago"), (89, "89 s ago"), (600, "10 min ago"), (7200, "2 h ago")],
)
def test_times_past_read_well(seconds, text):
    assert status._ago(seconds) == text
