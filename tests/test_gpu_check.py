"""`make gpu-check`: what a rare GPU is asked must not fail on the question itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.helpers.scripts import load_script

SCRIPT = Path(__file__).parents[1] / "studies" / "gpu_check.py"


def test_every_method_agrees_with_itself_on_a_processor(tmp_path, monkeypatch, capsys):
    script = load_script(SCRIPT)
    monkeypatch.chdir(tmp_path)
    assert script.agreement("cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= {"supervised", "fixmatch", "tcl", "ks", "eac"}
    assert all("differ by 0.0e+00" in line for line in lines)


def test_packages_that_are_carried_along_are_seen_by_every_part(tmp_path, monkeypatch, capfd):
    (tmp_path / "carried.py").write_text("print('carried along')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    script = load_script(SCRIPT)
    part = script.Part("carried", [[sys.executable, "-c", "import bench, carried"]], 60)
    assert " ok " in script.run_part(part, tmp_path, left=60)
    assert (tmp_path / "carried.txt").read_text() == "carried along\n"


def test_what_is_missing_is_said_before_a_second_of_the_gpu_is_spent(tmp_path, monkeypatch, capsys):
    script = load_script(SCRIPT)
    assert script.lacking("cpu") == ""
    monkeypatch.setattr(script, "_is_installed", lambda name: name not in {"av", "pydantic"})
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(tmp_path / "out")])
    assert script.main() == 2
    assert "av, pydantic; install them, or put the folder" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_files_with_gpu_tests_are_found_and_no_others_imported():
    names = {Path(file).name for file in load_script(SCRIPT).gpu_tests()}
    assert {"test_augment.py", "test_pixels.py"} <= names
    assert "test_tune.py" not in names, "it imports what only a developer has"


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_without_a_gpu_the_script_says_how_to_try_it():
    assert "--tiny --device cpu" in load_script(SCRIPT).lacking("cuda")
