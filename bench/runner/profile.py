"""Profile of a cell's steps: where the time goes, by stage, and a trace; used by `run --profile`.

Nothing is kept of the training that is watched.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from bench.study.cell import Cell
from bench.system.files import make_folder
from bench.training.trainer import STAGES

from .setup import build_experiment

WARM_UP, WATCHED = 5, 15
"""Steps before the watch, and watched: a trace of more grows to hundreds of megabytes."""


@dataclass(frozen=True)
class Profile:
    """Where the time of the watched steps went."""

    cell: str
    steps: int
    milliseconds: dict[str, float]
    """By stage of `trainer.STAGES`, a step: on a GPU, time of its kernels."""
    operations: tuple[tuple[str, float], ...]
    """The most expensive operations of torch, each with its milliseconds a step."""
    trace: Path
    """A Chrome trace: Perfetto and chrome://tracing open it."""

    def describe(self) -> list[str]:
        """Say it in lines: stages by size, then operations."""
        whole = sum(self.milliseconds.values())
        by_size = sorted(self.milliseconds.items(), key=lambda pair: -pair[1])
        lines = [f"{self.cell}: {whole:.1f} ms a step, mean of {self.steps} steps"]
        for stage, spent in by_size:
            lines.append(f"  {spent / max(whole, 1e-9):5.0%}  {spent:7.1f} ms  {STAGES[stage]}")
        costly = ", ".join(f"{name} {spent:.1f} ms" for name, spent in self.operations)
        return [*lines, f"  most expensive operations: {costly}", f"  trace: {self.trace}"]


def profile_cell(cell: Cell, device: torch.device, folder: Path) -> Profile:
    """Watch some early steps of a cell on `device`; writes the trace into `folder`."""
    trainer = build_experiment(cell, device).trainer
    first = min(WARM_UP, trainer.total - 1)
    trainer.run(first)
    last = min(first + WATCHED, trainer.total)
    gpu = device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    found = profile(activities=kinds, acc_events=True)  # torch 2.11 warns without
    with _library_silent():
        found.start()
    trainer.run(last)
    if gpu:
        torch.cuda.synchronize(device)
    with _library_silent():
        found.stop()
    make_folder(folder)
    trace = folder / f"{cell.id}.json.gz"
    found.export_chrome_trace(str(trace))
    steps, sums = last - first, found.key_averages()
    spent = {event.key: _milliseconds(event, gpu=gpu) / steps for event in sums}
    own = {e.key: _milliseconds(e, gpu=gpu, own=True) / steps for e in sums if e.key not in STAGES}
    costly = sorted(own.items(), key=lambda pair: -pair[1])[:5]
    stages = {stage: spent[stage] for stage in STAGES if stage in spent}
    return Profile(cell.id, steps, stages, tuple(costly), trace)


@contextmanager
def _library_silent() -> Iterator[None]:
    """Let nothing reach standard error meanwhile: the tracing library reports there, in C++."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _milliseconds(event: object, *, gpu: bool, own: bool = False) -> float:
    name = f"{'self_' if own else ''}{'device' if gpu else 'cpu'}_time_total"
    return float(getattr(event, name)) / 1000
