"""The whole small way, as a person goes it: run, again, look, tables, what differs."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from bench.cli import app as _errors
from bench.cli.app import COMMANDS
from bench.data.dataset import DatasetSpec
from tests.helpers.cli_driver import SMALL, Person, quoted
from tests.helpers.dataset_trees import make_bp4d_tree

ROOT = Path(__file__).parents[3]
TWO = "--methods supervised,pseudo_label --ratios 0.2"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    make_bp4d_tree(folder / "tree", subjects=("F001", "F002", "F003", "M001"), tasks=("T1",))
    return folder


@pytest.fixture
def person(faces, tmp_path, monkeypatch, capsys):
    return Person(tmp_path, faces / "cache", faces / "tree", monkeypatch, capsys)


def test_a_grid_runs_and_its_table_stands(person):
    answer = person.runs(TWO)
    assert answer.code == 0
    assert answer.out == ""
    assert "bp4d, preset smoke: 2 methods x 1 ratio x 1 fold x 1 seed = 2 cells" in answer.err
    assert "[2/2]" in answer.err
    assert answer.err.rstrip().endswith("2 done")
    assert len(person.records()) == 2
    for folder in person.folders():
        files = {path.name for path in (person.results / "runs" / folder).iterdir()}
        made = {"pseudo_labels.npz"} if "pseudo_label" in folder else set()
        assert files == {"record.json", "predictions.npz", "history.jsonl"} | made

    table = person.asks("table")
    assert (table.code, table.err) == (0, "")
    assert "| supervised" in table.out
    assert "| pseudo_label" in table.out

    status = person.asks("status")
    assert (status.code, status.out) == (0, "2 done\n")


def test_what_is_done_is_not_done_again(person):
    person.runs(TWO)
    before = person.records()
    again = person.runs(TWO)
    assert again.code == 0
    assert "2 done, 0 to do" in again.err
    assert person.records() == before


def test_only_what_is_new_in_a_larger_grid_is_done(person):
    person.runs()
    before = person.records()
    answer = person.runs(TWO)
    assert "1 done, 1 to do" in answer.err
    assert before.items() < person.records().items()
    assert len(person.records()) == 2


def test_a_dry_run_prints_the_cells_and_does_none(person):
    person.runs()
    before = person.records()
    answer = person.runs(f"{TWO} --dry-run")
    assert answer.code == 0
    kinds = [line.split()[:2] for line in answer.out.splitlines()]
    assert [kind[0] for kind in kinds] == ["done", "to"]
    assert "pseudo_label" in answer.out.splitlines()[1]
    assert person.records() == before


def test_an_estimate_goes_by_earlier_cells(person):
    person.runs()
    answer = person.runs("--methods supervised --ratios 0.2,0.5 --dry-run")
    assert re.search(r"about \d+ s on 1 worker, [\d,]+ MiB each, going by earlier", answer.err)


def test_fresh_does_it_again_and_keeps_the_old_results(person):
    person.runs()
    ((name, before),) = person.records().items()
    answer = person.runs("--methods supervised --ratios 0.2 --fresh")
    assert "0 done, 1 to do" in answer.err
    kept = person.results / "replaced" / f"{name}-1"
    assert (kept / "record.json").read_bytes() == before
    assert (kept / "predictions.npz").is_file()
    after = json.loads(person.records()[name])
    assert after["scores"] == json.loads(before)["scores"]
    person.runs("--methods supervised --ratios 0.2 --fresh")
    assert (person.results / "replaced" / f"{name}-2").is_dir()


FLAKY = """
from pathlib import Path
from methods._base import Method
from methods.supervised import Supervised as _Supervised
class Flaky(Method):
    Config, needs = _Supervised.Config, _Supervised.needs
    def __init__(self, config, task):
        super().__init__(config, task)
        if not Path({mark!r}).exists():
            raise RuntimeError("the mark is\\nmissing")
        self.inner = _Supervised(config, task)
    def losses(self, batch, progress):
        return self.inner.losses(batch, progress)
    def encode(self, frames, landmarks=None):
        return self.inner.encode(frames)
    def head(self, features):
        return self.inner.head(features)
"""


def test_a_failed_cell_is_done_again_only_when_asked(person, tmp_path):
    plugin, mark = tmp_path / "flaky.py", tmp_path / "mark"
    plugin.write_text(FLAKY.format(mark=str(mark)))
    line = f"--methods flaky,supervised --ratios 0.2 --plugin {quoted(plugin)}"
    answer = person.runs(line)
    assert answer.code == 1
    assert "1 failed: RuntimeError: the mark is missing" in answer.err
    assert "Traceback" not in answer.err
    assert len(person.records()) == 2

    status = person.asks("status")
    assert status.code == 1
    assert "1 done" in status.out
    assert "RuntimeError: the mark is missing" in status.out
    assert "Traceback (most recent call last)" in person.asks("explain bp4d-flaky").out

    mark.write_text("")
    again = person.runs(line)
    assert again.code == 1
    assert "1 failed before (--retry-failed does them again)" in again.err
    assert person.asks("status").code == 1

    assert person.runs(f"{line} --retry-failed").code == 0
    assert person.asks("status").out == "2 done\n"


def test_tables_come_in_every_format(person):
    person.runs()
    rows = list(csv.reader(io.StringIO(person.asks("table per-au --format csv").out)))
    assert any("supervised" in row for row in rows)
    assert "\\begin{tabular}" in person.asks("table per-au --format latex").out
    assert "<table" in person.asks("table per-au --format html").out
    assert person.asks("table complexity").code == 0


def test_explain_spells_a_cell_out(person):
    person.runs()
    ((name, _),) = person.records().items()
    answer = person.asks(f"explain {name[:-4]}")
    assert answer.code == 0
    lines = [line.strip() for line in answer.out.splitlines()]
    assert lines[0] == name
    for line in ("method = supervised", "train.steps = 3", "status  done", "trunk.width = 0.125"):
        assert line in lines


def test_diff_names_the_knob_in_which_two_cells_differ(person):
    person.runs("--methods supervised --ratios 0.2")
    person.runs("--methods supervised --ratios 0.2 --set train.lr=0.001")
    first, second = sorted(person.records())
    lines = person.asks(f"diff {first} {second}").out.splitlines()
    knobs = [line.split(":")[0] for line in lines if not line.startswith("hashes.")]
    assert knobs == ["config.train.lr"]
    assert {line.split(":")[0] for line in lines} - set(knobs) == {"hashes.config", "hashes.cell"}
    assert person.asks(f"diff {first} {first}").out == "no difference\n"


def test_list_alone_names_all_kinds(person):
    told = person.types("list").out
    assert [line for line in told.splitlines() if line.endswith(":")] == [
        "methods:",
        "datasets:",
        "presets:",
    ]


def test_a_broken_plugin_is_named_though_nothing_asks_for_it(person, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("this is no Python")
    answer = person.runs("--methods supervised --ratios 0.2", "--plugin", broken)
    assert answer.code == 0
    assert f"note: {broken} cannot be imported: SyntaxError" in answer.err


def test_list_names_what_there_is_and_a_broken_plugin_stops_nothing(person, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_library")
    answer = person.types("list methods", "--plugin", broken)
    assert answer.code == 0
    listed = {line.split()[0]: line for line in answer.out.splitlines()}
    assert {"supervised", "fixmatch", "pseudo_label", "ks:no_skd"} <= listed.keys()
    assert "cannot be used" in listed["broken"]
    assert "no_such_library" in listed["broken"]
    assert "needs --root" in person.types("list datasets").out
    assert {"smoke", "quick", "paper"} == {
        line.split()[0] for line in person.types("list presets").out.splitlines()
    }


def test_data_prepare_stores_frames_that_run_then_finds(person, tmp_path):
    where = ("--root", person.root, "--cache", tmp_path / "cache")
    answer = person.types("data prepare --dataset bp4d --size 32 --workers 1", *where)
    assert answer.code == 0
    assert "4 sequences, 80 frames of 32 px" in answer.out
    stored = sorted((tmp_path / "cache").rglob("*"))
    person.cache = tmp_path / "cache"
    assert "decoding" not in person.runs("--methods supervised --ratios 0.2 --dry-run").err
    assert sorted((tmp_path / "cache").rglob("*")) == stored


def test_ctrl_c_while_frames_are_decoded_says_how_to_go_on(person, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(DatasetSpec, "open", interrupted)
    answer = person.runs()
    assert answer.code == 130
    assert answer.err == (
        "stopped: decoded frames are kept, and the same command goes on from here\n"
    )


PRESSES = """
import os, signal, time
from methods._base import Method
from methods.supervised import Supervised as _Supervised
class Presses(Method):
    Config, needs = _Supervised.Config, _Supervised.needs
    def __init__(self, config, task):
        super().__init__(config, task)
        self.inner = _Supervised(config, task)
    def losses(self, batch, progress):
        if progress.step == 1:
            os.kill(os.getpid(), signal.{signal})
            time.sleep({nap})
        return self.inner.losses(batch, progress)
    def encode(self, frames, landmarks=None):
        return self.inner.encode(frames)
    def head(self, features):
        return self.inner.head(features)
"""


@pytest.fixture
def hangup_heard():
    """Under nohup, processes ignore SIGHUP, and those that they start inherit it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_request_to_stop_saves_the_cell_and_the_same_command_goes_on(person, tmp_path, name):
    plugin = tmp_path / "presses.py"
    plugin.write_text(PRESSES.format(signal=name, nap=0))
    line = f"--methods presses --ratios 0.2 --plugin {quoted(plugin)}"
    handler = signal.getsignal(signal.SIGINT)
    stopped = person.runs(line)
    assert stopped.code == 130
    assert "stopped: nothing is lost, and the same command goes on from here" in stopped.err
    assert signal.getsignal(signal.SIGINT) is handler
    assert "1 unfinished" in person.asks("status").out
    assert person.runs(line).code == 0
    assert person.asks("status").out == "1 done\n"


def read_to_the_end(terminal: int) -> bytes:
    """Read what is written to a terminal until nobody has it open any more."""
    said = b""
    with suppress(OSError):
        while more := os.read(terminal, 4096):
            said += more
    return said


@pytest.mark.usefixtures("hangup_heard")
@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_the_group_saves_the_cells_of_all_its_processes(
    person: Person, tmp_path: Path, sent: signal.Signals
) -> None:
    """A closed terminal, or `timeout`: slots hear SIGTERM twice, from outside and the launcher."""
    plugin = tmp_path / "presses.py"
    text = PRESSES.replace("progress.step == 1", "progress.step >= 1")
    plugin.write_text(text.format(signal="SIGCONT", nap=1))  # a signal that does nothing
    folders = {"root": person.root, "results": person.results, "cache": person.cache}
    where = " ".join(f"--{name} {quoted(path)}" for name, path in folders.items())
    line = f"run --dataset bp4d {SMALL} --methods presses --ratios 0.2,0.5 {where} --workers 2"
    terminal, theirs = os.openpty()
    command = [sys.executable, "-m", "bench", *shlex.split(line), "--plugin", str(plugin)]
    command += ["--set", "train.steps=100000"]
    work = subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    deadline = time.monotonic() + 120
    seen = b""
    while len(set(re.findall(rb"presses-r0\.\d+", seen))) < 2 or b"frames/s" not in seen:
        assert time.monotonic() < deadline
        seen += os.read(terminal, 4096)
    if sent == signal.SIGHUP:
        os.close(terminal)  # nobody reads any more, and every write fails
    os.killpg(work.pid, sent)
    if sent == signal.SIGTERM:
        said = read_to_the_end(terminal)
        assert b"Traceback" not in said
        assert b"stopped: nothing is lost" in said
    assert work.wait(timeout=60) == 130
    assert not list(person.results.glob("runs/*/record.json"))
    assert len(list(person.results.glob("runs/*/checkpoint.pt"))) == 2


def test_output_that_cannot_be_written_ends_in_a_sentence() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "bench", "list", "methods"],
            cwd=ROOT,
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert re.fullmatch(r"error: the output cannot be written: .*No space left.*\n", done.stderr)


def test_a_record_that_cannot_be_read_is_named_and_the_others_are_shown(person):
    person.runs()
    torn = person.results / "runs" / "torn" / "record.json"
    torn.parent.mkdir()
    torn.write_text("{")
    status = person.asks("status")
    assert status.code == 1
    assert f"note: {torn} is not a readable record" in status.err
    table = person.asks("table")
    assert table.code == 0
    assert "supervised" in table.out
    assert str(torn) in table.err


def test_every_expected_error_is_known_by_where_it_is_defined():
    modules = {name: import_module(name) for name in _errors.EXPECTED_ERRORS}
    for module, name in _errors.EXPECTED_ERRORS.items():
        found = getattr(modules[module], name)
        assert found.__module__ == module
        assert found in _errors.expected_errors()


def test_without_its_libraries_the_suite_says_how_to_get_them():
    bare = [sys.executable, "-I", "-S", "-c", "import runpy, sys; sys.path.insert(0, '.'); "]
    bare[-1] += "runpy.run_module('bench', run_name='__main__')"
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: typer is not installed for ")
    assert "source .venv/bin/activate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_there_and_loads_no_torch(command):
    script = (
        "import sys\nfrom bench.cli.app import main\nsys.argv = ['', *sys.argv[1:], '--help']\n"
        "heavy = {'torch', 'timm', 'pandas', 'numpy'}\n"
        "try:\n main()\nfinally:\n print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout
    assert done.stdout.endswith("heavy: []\n")
