"""`make gpu-check`: what a rare GPU is asked must not fail on the question itself."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.scripts import load_script

SCRIPT = Path(__file__).parents[1] / "studies" / "gpu_check.py"


def test_every_method_agrees_with_itself_on_a_processor(tmp_path, monkeypatch, capsys):
    script = load_script(SCRIPT)
    monkeypatch.chdir(tmp_path)
    assert script.agreement("cpu") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} >= {"supervised", "fixmatch", "tcl", "ks", "eac"}
    assert all("differ by 0.0e+00" in line for line in lines)
