"""Speed of metrics and of drawing the embedded dataset's frames. Run with `make bench`."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.metrics import auc_per_au, f1_per_au
from datasets.synthetic import recording

FRAMES, AUS = 50_000, 12


@pytest.mark.parametrize("metric", [f1_per_au, auc_per_au])
def test_a_metric_of_a_fold(benchmark: BenchmarkFixture, metric) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (FRAMES, AUS))
    found = rng.random((FRAMES, AUS)).astype(np.float32)
    values = found > 0.5 if metric is f1_per_au else found
    benchmark(metric, labels, values)


def test_drawing_a_recording(benchmark: BenchmarkFixture) -> None:
    sequence = recording(0, "F001", "T1", frames=40)
    benchmark.extra_info["frames"] = len(sequence.frames)
    benchmark.pedantic(lambda: list(sequence.source.read()), rounds=3, warmup_rounds=1)
