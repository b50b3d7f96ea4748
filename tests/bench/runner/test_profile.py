"""Profiles: every stage of a step is told in words, and a trace lies beside."""

from __future__ import annotations

import gzip
import json

import torch

from bench.runner.profile import Profile, profile_cell
from bench.training.trainer import STAGES
from tests.helpers import cells


def test_every_stage_is_timed_and_a_trace_written(tmp_path):
    (cell,) = cells.grid(cells.study(tmp_path))
    found = profile_cell(cell, torch.device("cpu"), tmp_path)
    assert list(found.milliseconds) == list(STAGES)
    assert all(spent > 0 for spent in found.milliseconds.values())
    names = {
        event.get("name")
        for event in json.loads(gzip.decompress(found.trace.read_bytes()))["traceEvents"]
    }
    assert names >= set(STAGES)


def test_it_is_told_by_size_in_words(tmp_path):
    found = Profile("a-cell", 15, {"load": 1.0, "backward": 3.0}, (("aten::mm", 2.5),), tmp_path)
    first, second, third, *rest = found.describe()
    assert first == "a-cell: 4.0 ms a step, mean of 15 steps"
    assert second.split() == ["75%", "3.0", "ms", "backward,", "and", "clipping"]
    assert third.startswith("    25%")
    assert any("aten::mm 2.5 ms" in line for line in rest)
