"""The page on adding a method works as it stands: its files, its commands, its entry points."""

from __future__ import annotations

import csv
import io
import re
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.cli.app import main
from bench.config.registry import ENTRY_POINTS, Registry
from datasets._base import Dataset
from methods._base import Method

PAGE = (Path(__file__).parents[1] / "docs" / "adding-a-method.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {name: "" for _, name, _ in BLOCKS if name}
for _, name, text in BLOCKS:
    if name:
        FILES[name] += text
COMMANDS = [line for kind, _, text in BLOCKS if kind == "sh" for line in text.splitlines()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the page's files in it, and faces as its dataset wants them."""
    folder = tmp_path_factory.mktemp("desk")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    write_faces(folder / "faces")
    return folder


def write_faces(root):
    rng = np.random.default_rng(0)
    rows = []
    for recording in ("S01_smile", "S02_smile", "S03_smile", "S03_frown", "S04_smile"):
        (root / recording).mkdir(parents=True)
        for frame in range(1, 9):
            pixels = rng.integers(0, 256, (80, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / recording / f"{frame}.jpg")
            rows.append([recording, frame, *rng.integers(-1, 2, 2)])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["recording", "frame", "AU1", "AU12"], *rows])


@pytest.fixture
def types(desk, monkeypatch, capsys):
    """Type one of the page's commands at the desk; returns exit code, output and notes."""

    def line(text):
        python, *words = shlex.split(text)
        assert (python, words[:2]) == ("python", ["-m", "bench"])
        monkeypatch.chdir(desk)
        monkeypatch.delenv("AU_BENCH_CACHE", raising=False)
        monkeypatch.setattr(sys, "argv", words[1:])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return line


def only(*words):
    (command,) = [line for line in COMMANDS if all(word in line.split() for word in words)]
    return command


def test_the_method_is_one_file_of_less_than_eighty_lines():
    lines = FILES["temporal_ensembling.py"].splitlines()
    assert 40 < len(lines) < 80
    assert max(map(len, lines)) <= 100


def test_the_files_of_the_page_are_found_as_what_they_are(desk):
    registry = Registry((desk / "temporal_ensembling.py", desk / "my_faces.py"))
    assert issubclass(registry.method("temporal_ensembling"), Method)
    assert issubclass(registry.dataset("my_faces"), Dataset)
    assert "my_faces" not in registry.methods()
    assert "temporal_ensembling" not in registry.datasets()


def test_the_method_keeps_the_contract(types):
    code, out, _ = types(only("check"))
    assert "FAILED" not in out
    assert re.search(r"^temporal_ensembling: \d+ ok in \d+ s$", out, re.MULTILINE)
    assert code == 0


def test_the_first_run_and_its_table_work(types, desk):
    code, _, notes = types(only("run", "temporal_ensembling.py"))
    assert code == 0, notes
    assert notes.rstrip().endswith("3 done")
    code, out, _ = types(only("table"))
    assert code == 0
    for name in ("supervised", "temporal_ensembling", "temporal_ensembling:no_consistency"):
        assert re.search(rf"^\| {name} +\|", out, re.MULTILINE), out
    (history,) = desk.glob("results/runs/synthetic-temporal_ensembling-r*/history.jsonl")
    assert '"consistency"' in history.read_text()


def test_the_dataset_is_listed_and_run(types):
    code, out, _ = types(only("list", "datasets"))
    assert code == 0
    assert re.search(r"^my_faces +Four subjects, two action units. \(needs --root\)", out, re.M)
    code, _, notes = types(only("run", "my_faces.py"))
    assert code == 0, notes
    assert "1 done" in notes


def test_every_command_of_the_page_is_typed_here():
    typed = [only("check"), only("run", "temporal_ensembling.py"), only("table")]
    typed += [only("list", "datasets"), only("run", "my_faces.py")]
    assert sorted(typed) == sorted(COMMANDS)


def test_the_entry_points_are_those_that_are_looked_up():
    (text,) = [text for kind, _, text in BLOCKS if kind == "toml"]
    groups = tomllib.load(io.BytesIO(text.encode()))["project"]["entry-points"]
    assert set(groups) == {f"{ENTRY_POINTS}.methods", f"{ENTRY_POINTS}.datasets"}
    for name, target in [item for group in groups.values() for item in group.items()]:
        module, _, cls = target.partition(":")
        assert module.endswith(f".{name}")
        assert f"\nclass {cls}(" in FILES[f"{name}.py"]
