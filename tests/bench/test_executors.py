"""Executors: every cell once, whatever becomes of the processes that carry them out."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from bench.executors import local, serial
from bench.executors._base import Stopped
from bench.executors._work import make_orders
from bench.records import read_records
from tests.bench import cells
from tests.bench.test_runner import outcome

DYING = """
import os, signal
from methods._base import Method
class Dying(Method):
    def __init__(self, config, task):
        with open({log!r}, "a") as log:
            log.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def serially(grid, heard=None):
    heard = heard or cells.Listening()
    serial.execute(grid, heard, make_orders(grid, "cpu"))
    return heard


def locally(grid, heard=None):
    heard = heard or cells.Listening()
    local.execute(grid, heard, make_orders(grid, "cpu"), workers=2)
    return heard


def small_grid(results, **more):
    methods = more.pop("methods", ("supervised", "pseudo_label"))
    return cells.grid(cells.study(results, methods=methods, ratios=["0.1", "0.5"], **more))


def test_two_workers_give_the_records_of_one_after_the_other(tmp_path):
    one = serially(small_grid(tmp_path / "serial"))
    two = locally(small_grid(tmp_path / "local"))
    assert len(one.records) == 4
    assert sorted(two.begun) == sorted(one.begun)
    by_id = {record.id: outcome(record) for record in one.records}
    assert {record.id: outcome(record) for record in two.records} == by_id
    assert len(read_records(tmp_path / "local")[0]) == 4


def test_a_dying_worker_costs_its_cell_and_no_other(tmp_path):
    plugin, log = tmp_path / "dying.py", tmp_path / "log"
    plugin.write_text(DYING.format(log=str(log)))
    asked = cells.study(tmp_path, methods=["dying", "supervised"], plugins=[plugin])
    heard = locally(cells.grid(asked))
    by_method = {record.cell["method"]: record for record in heard.records}
    assert by_method["supervised"].status == "done"
    assert by_method["dying"].status == "failed"
    assert by_method["dying"].reason == (
        "its process died 3 times: out of memory? try fewer --workers"
    )
    assert log.read_text() == "xxx"


@pytest.mark.parametrize("execute", [serially, locally])
def test_a_request_to_stop_saves_what_runs_and_the_same_command_goes_on(tmp_path, execute):
    grid = small_grid(tmp_path, knobs=["train.steps=60"], methods=["supervised"])
    heard = cells.Listening()

    def ask_when_training():
        while not any(tick.step for tick in heard.ticks):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=ask_when_training, daemon=True).start()
    with pytest.raises(Stopped):
        execute(grid, heard)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert heard.saving
    saved = [cell for cell in grid if (cell.folder / "checkpoint.pt").exists()]
    assert {cell.id for cell in saved} <= set(heard.saving)
    assert saved
    again = execute([cell for cell in grid if not (cell.folder / "record.json").exists()])
    assert {record.status for record in [*heard.records, *again.records]} == {"done"}
