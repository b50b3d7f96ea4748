"""Ten thousand records: how long `status` and `table` take, whole commands, and how much memory.

Run with `make bench`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.helpers.many_records import write_many

ROOT = Path(__file__).parents[2]
COUNT = 10_000
MIB = 1024.0
SECONDS = {
    "status": 5.0,
    "table": 5.0,
    "table per-au": 5.0,
    "table complexity": 5.0,
    "table --intervals": 10.0,
    "table ranks": 20.0,
}
"""What a large study may cost to look at; the last two leave out the subjects of every run."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    write_many(folder, COUNT)
    return folder


def used(words: list[str]) -> tuple[float, float]:
    """Run a command; returns the seconds of processor time and the peak MiB that it took."""
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


@pytest.mark.parametrize("line", SECONDS)
def test_many_records(benchmark: BenchmarkFixture, results: Path, line: str) -> None:
    words = [sys.executable, "-m", "bench", *line.split(), "--results", str(results)]
    seconds, mib = benchmark.pedantic(used, args=(words,), rounds=3)
    benchmark.extra_info.update(records=COUNT, seconds=seconds, mib=mib)
    assert seconds < SECONDS[line]
    assert mib < MIB
