"""A run that is killed, at random moments and while it writes, shows nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_few_kills_leave_no_trace():
    command = [sys.executable, "tests/kills.py", "--kills", "6", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 kills of 1 grids (seed 3)" in done.stdout
    assert "3 cells, each as if never killed" in done.stdout
    assert "while at: writing" in done.stdout
