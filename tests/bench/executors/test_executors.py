"""What all executors owe: every cell once, whatever becomes of the processes that carry it out.

One grid with every kind of trouble in it runs on each executor. Ray and SLURM take minutes:
AU_BENCH_EXECUTORS=ray,slurm (or `make executors-test`) includes them.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.errors import UsageError
from bench.executors import local, ray, slurm
from bench.executors import local as serial
from bench.executors import supervisor as _supervise
from bench.executors.base import ExecutorError, RunStopped
from bench.executors.launch import ExecutorConfig
from bench.executors.worker import MAX_TRIES, fingerprints, launch_spec
from bench.results.claims import read_claim
from bench.results.records import read_records
from bench.runner import run_cell as runner
from bench.runner.setup import build_experiment
from bench.study.cell import Cell
from bench.system.files import RecordError
from tests.helpers import cells
from tests.helpers.cells import outcome
from tests.helpers.executors import needs
from tests.helpers.odd_methods import starts, write_plugins

ROOT = Path(__file__).parents[3]
TROUBLE = ("counted", "killed_once", "dying", "raising")


EXECUTORS = [
    "local",
    pytest.param("ray", marks=needs("ray")),
    pytest.param("submitit", marks=needs("slurm")),
    pytest.param("slurm", marks=needs("slurm")),
]


def carry_out(executor, grid, heard, **orders):
    orders = launch_spec(grid, "cpu", **orders)
    if executor == "serial":
        serial.execute_in_process(grid, heard, orders)
    elif executor == "local":
        local.execute(grid, heard, orders, workers=2)
    elif executor == "ray":
        ray.execute(grid, heard, orders, workers=2)
    else:
        cluster = "slurm" if executor == "slurm" else "local"
        options = ["use_srun=false", "time=10"]
        slurm.execute(grid, heard, orders, 2, options=options, cluster=cluster)


@dataclass
class Run:
    """A grid that was carried out, and what was heard of it."""

    folder: Path
    grid: list[Cell]
    heard: cells.Listening

    def records(self, method):
        return [record for record in self.heard.records if record.cell["method"] == method]


def troubled(folder, executor):
    plugins = write_plugins(folder / "plugins", TROUBLE)
    if executor == "serial":
        # nobody looks after a slot in this process: it must not die
        plugins = [file for file in plugins if file.stem != "dying"]
        (folder / "plugins" / "killed").touch()
    methods = ["supervised", *(file.stem for file in plugins)]
    knobs = ["train.checkpoint_steps=2"]
    asked = cells.study(folder, methods=methods, plugins=plugins, knobs=knobs)
    run = Run(folder, cells.grid(asked), cells.Listening())
    carry_out(executor, run.grid, run.heard)
    return run


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return troubled(tmp_path_factory.mktemp("serial"), "serial")


@pytest.fixture(scope="module", params=EXECUTORS)
def many(request, tmp_path_factory):
    shared = os.environ.get("AU_BENCH_SHARED_TMP")  # SLURM's nodes may not see this one's /tmp
    name = f"au-bench-{request.param}"
    folder = Path(shared) / name if shared else tmp_path_factory.mktemp(request.param)
    yield troubled(folder, request.param)
    shutil.rmtree(folder, ignore_errors=True)


def test_every_cell_is_over_once_and_leaves_no_claim(many):
    ids = sorted(cell.id for cell in many.grid)
    assert sorted(record.id for record in many.heard.records) == ids
    assert sorted(many.heard.begun) == ids
    assert sorted(record.id for record in read_records(many.folder)[0]) == ids
    assert not list(many.folder.glob("runs/*/claim*"))
    assert starts(many.folder / "plugins", "counted") == 1


@pytest.mark.parametrize("method", ["supervised", "counted", "killed_once"])
def test_records_are_those_of_one_slot_after_the_other(many, alone, method):
    (record,), (expected,) = many.records(method), alone.records(method)
    assert record.status == "done"
    assert outcome(record) == outcome(expected)


def test_a_worker_killed_amidst_a_cell_costs_a_second_start(many):
    assert starts(many.folder / "plugins", "killed_once") == 2


def test_a_cell_that_kills_every_worker_is_given_up_in_the_end(many):
    (record,) = many.records("dying")
    assert (record.status, record.reason) == (
        "failed",
        f"its process died {MAX_TRIES} times: out of memory? try fewer --workers",
    )
    assert starts(many.folder / "plugins", "dying") == MAX_TRIES


def test_a_cell_that_fails_by_itself_is_not_tried_again(many):
    (record,) = many.records("raising")
    assert (record.status, record.reason) == ("failed", "RuntimeError: no such luck")
    assert "raise RuntimeError" in record.traceback
    assert starts(many.folder / "plugins", "raising") == 1


@pytest.mark.parametrize("executor", ["serial", *EXECUTORS[:-2]])
def test_a_request_to_stop_saves_what_runs_and_the_same_command_goes_on(tmp_path, executor):
    plugins = tmp_path / "plugins"
    given = {"methods": ["slow"], "plugins": write_plugins(plugins, ["slow"])}
    asked = cells.study(tmp_path, ratios=["0.1", "0.5"], knobs=["train.steps=60"], **given)
    grid, heard = cells.grid(asked), cells.Listening()

    def ask_when_training():
        while not starts(plugins, "slow"):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=ask_when_training, daemon=True).start()
    with pytest.raises(RunStopped):
        carry_out(executor, grid, heard)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    saved = [cell for cell in grid if (cell.folder / "checkpoint.pt").exists()]
    assert {cell.id for cell in saved} <= set(heard.saving)
    assert saved
    assert not any(read_claim(cell.folder) for cell in grid)
    again = cells.Listening()
    (plugins / "hurry").touch()
    carry_out("serial", [c for c in grid if not (c.folder / "record.json").exists()], again)
    assert {record.status for record in [*heard.records, *again.records]} == {"done"}


def test_two_launches_side_by_side_share_the_grid(tmp_path):
    (plugin,) = write_plugins(tmp_path / "plugins", ["counted"])
    options = ["--preset", "smoke", "--methods", "counted", "--plugin", str(plugin)]
    knobs = [word for knob in (*cells.TINY, "train.steps=30") for word in ("--set", knob)]
    ratios = ["--ratios", "0.1,0.2,0.3,0.4,0.5,0.6", "--device", "cpu", "--workers", "1"]
    places = ["--results", str(tmp_path), "--cache", str(tmp_path / "cache")]
    command = [sys.executable, "-m", "bench", "run", *options, *ratios, *knobs, *places]
    launches = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = [launch.communicate()[0].decode() for launch in launches]
    assert [launch.returncode for launch in launches] == [0, 0], said
    assert all("6 done" in text for text in said)
    assert starts(tmp_path / "plugins", "counted") == 6 + 2, "each launch built it once at planning"
    assert len(read_records(tmp_path)[0]) == 6


@pytest.mark.parametrize("executor", ["serial", "local"])
@pytest.mark.parametrize("seen", [True, False])
def test_a_cell_that_another_launch_finishes_after_planning_is_over(tmp_path, executor, seen):
    given = {"methods": ["counted"], "plugins": write_plugins(tmp_path / "plugins", ["counted"])}
    grid = cells.grid(cells.study(tmp_path, **given))
    planned = fingerprints(grid)
    carry_out("serial", grid, cells.Listening())
    before = {"before": planned} if seen else {}
    heard = cells.Listening()
    carry_out(executor, grid, heard, **before)
    assert [record.status for record in heard.records] == ["done"] * len(grid)
    assert starts(tmp_path / "plugins", "counted") == len(grid)


def test_a_failed_cell_is_done_again_once_when_it_is_asked_for(tmp_path):
    (plugin,) = write_plugins(tmp_path / "plugins", ["raising"])
    grid = cells.grid(cells.study(tmp_path, methods=["raising"], plugins=[plugin]))
    orders = []
    for _ in range(2):
        orders = [*orders, launch_spec(grid, "cpu")]
        serial.execute_in_process(grid, cells.Listening(), orders[-1])
    heard = cells.Listening()
    serial.execute_in_process(grid, heard, orders[-1])  # planned before the last one was over
    assert len(heard.records) == 1
    assert starts(tmp_path / "plugins", "raising") == 2


def test_slots_that_end_at_once_are_not_hired_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(_supervise, "MAX_TRIES", 1)
    grid = cells.grid(cells.study(tmp_path))
    orders = replace(launch_spec(grid, "cpu"), device="nowhere")
    with pytest.raises(ExecutorError, match=r"slots end before they take a cell.*--device nowhere"):
        local.execute(grid, cells.Listening(), orders, workers=1)


def test_a_disk_that_takes_no_more_ends_the_run_and_names_the_file(tmp_path):
    grid = cells.grid(cells.study(tmp_path))
    (tmp_path / "runs").write_text("no folder")
    for executor in ("serial", "local"):
        with pytest.raises(RecordError, match="cannot write"):
            carry_out(executor, grid, cells.Listening())


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_cluster_that_nobody_answers_for_is_named_at_once(tmp_path, monkeypatch, prefix):
    monkeypatch.setattr(ray, "_ray", lambda: SimpleNamespace(is_initialized=lambda: False))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{prefix}127.0.0.1:{server.getsockname()[1]}"
    grid = cells.grid(cells.study(tmp_path))
    with pytest.raises(ExecutorError, match=f"no connection to Ray at {address}: .*refused"):
        ray.execute(grid, cells.Listening(), launch_spec(grid, "cpu"), 1, address=address)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"executor": "rai"}, "did you mean ray"),
        ({"address": "auto"}, "add --executor ray"),
        ({"slurm": ("partition=x",)}, "for --executor slurm"),
        ({"executor": "slurm"}, "by --workers N"),
        ({"executor": "slurm", "workers": 1, "slots_per_gpu": 2}, "whole GPUs"),
    ],
)
def test_options_that_do_not_go_together_are_named(asked, said):
    with pytest.raises(UsageError, match=said):
        ExecutorConfig(**asked)


@pytest.mark.parametrize("option", ["partition", "=gpu", "time=4:00:00"])
def test_a_slurm_option_that_makes_no_sense_is_named(option):
    with pytest.raises(UsageError, match=f"--slurm {option}"):
        slurm._parse([option])


@pytest.mark.parametrize("missing", ["ray", "submitit"])
def test_a_missing_extra_says_what_to_install(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    executor = "ray" if missing == "ray" else "slurm"
    with pytest.raises(UsageError, match=rf"pip install .*\[{executor}\]"):
        carry_out(executor, cells.grid(cells.study(tmp_path)), cells.Listening())


@pytest.mark.parametrize(("failures", "status"), [(MAX_TRIES - 1, "done"), (MAX_TRIES, "failed")])
def test_a_disk_that_is_away_for_a_while_is_tried_again(tmp_path, monkeypatch, failures, status):
    grid, heard, tries = cells.grid(cells.study(tmp_path)), cells.Listening(), []

    def hiccup(*asked, **how):
        tries.append(1)
        if len(tries) <= failures:
            raise OSError(errno.ESTALE, "Stale file handle")
        return build_experiment(*asked, **how)

    monkeypatch.setattr(runner, "build_experiment", hiccup)
    carry_out("serial", grid, heard)
    assert [record.status for record in heard.records] == [status]
    assert len(tries) == MAX_TRIES
