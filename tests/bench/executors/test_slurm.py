"""SLURM for real: requeues and time limits; `make executors-test` starts one and includes these."""

from __future__ import annotations

import subprocess
import threading
import time

import pytest

from bench.executors import slurm
from bench.executors.worker import launch_spec
from tests.helpers import cells
from tests.helpers.executors import needs
from tests.helpers.odd_methods import starts, write_plugins

pytestmark = needs("slurm")


def ask(*command):
    answer = subprocess.run(command, capture_output=True, text=True)
    return answer.stdout.split()


def requeue(job):
    """What an administrator does, and what preemption does."""
    ask("scontrol", "requeue", job)


def time_is_up(job):
    """What SLURM does some time before the limit."""
    ask("scancel", "--signal=USR2", job)


@pytest.mark.parametrize("disturb", [requeue, time_is_up])
def test_an_element_that_is_queued_again_goes_on_from_where_it_saved(tmp_path, disturb):
    (plugin,) = write_plugins(tmp_path / "plugins", ["slow"])
    knobs = ["train.steps=30"]
    grid = cells.grid(cells.study(tmp_path, methods=["slow"], plugins=[plugin], knobs=knobs))
    heard, saved = cells.Listening(), []

    def disturb_amidst_a_cell():
        while not starts(tmp_path / "plugins", "slow"):
            time.sleep(0.1)
        time.sleep(3)
        (job,) = ask("squeue", "--noheader", "--format", "%A")
        disturb(job)
        while starts(tmp_path / "plugins", "slow") < 2:
            saved.extend(tmp_path.glob("runs/*/checkpoint.pt"))
            # SLURM holds a job that is queued again for two minutes
            ask("scontrol", "update", f"jobid={job}", "StartTime=now")
            time.sleep(1)

    threading.Thread(target=disturb_amidst_a_cell, daemon=True).start()
    slurm.execute(grid, heard, launch_spec(grid, "cpu"), 1, options=["time=30"])
    assert [(record.status, record.reason) for record in heard.records] == [("done", None)]
    assert starts(tmp_path / "plugins", "slow") == 2
    assert saved
    assert not heard.notes
    assert not list(tmp_path.glob("runs/*/claim*"))
