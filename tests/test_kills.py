"""A run that is killed, at random moments and while it writes, shows nothing of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_a_few_kills_leave_no_trace():
    command = [sys.executable, "tests/helpers/kills.py", "--kills", "6", "--seed", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    # where the kills fall, and so over how many grids of 3 cells, is the machine's to say
    assert re.search(r"6 kills of \d+ grids \(seed 3\)", done.stdout)
    compared = re.search(r"(\d+) cells, each as if never killed", done.stdout)
    assert compared
    assert int(compared[1]) >= 3
