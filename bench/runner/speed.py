"""Speed of a cell's training and inference, part by part; used by `bench speed` and benchmarks.

Each part is timed over whole short trainings, so that every phase of a method has its share. On a
GPU the clock is the wall's, with the device waited for at both ends; on a processor it is this
thread's own time, which neighbours on the machine do not change.

Shapes: N frames, S pixels a side, A action units.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench.config.presets import PRESETS
from bench.config.settings import Settings
from bench.results.speed_rows import Rate, SpeedRow
from bench.study.cell import Cell
from bench.system.environment import describe, forget_peak_memory, peak_memory_mib
from bench.training.loader import HiddenLabels, Loader
from bench.training.precision import autocast
from bench.training.trainer import Trainer
from methods._base import Batch, Method, MethodError, Task
from methods._trunks import build_trunk

from .record_builder import count_parameters
from .setup import Experiment, build_experiment

_KEPT_BATCHES = 4
"""Batches that are drawn beforehand for the timing of the step alone."""


class KeptBatches:
    """A loader whose batches lie ready: those of the first few steps, again and again."""

    def __init__(self, loader: Loader):
        self.sampler, self.pixels, self._loader = loader.sampler, loader.pixels, loader
        self._kept: dict[tuple[int, bool], tuple[Batch, HiddenLabels]] = {}

    def batch(self, step: int, *, labelled_only: bool = False) -> tuple[Batch, HiddenLabels]:
        """Return a batch that was drawn before, or draw it."""
        key = (step % _KEPT_BATCHES, labelled_only)
        if key not in self._kept:
            self._kept[key] = self._loader.batch(key[0], labelled_only=labelled_only)
        return self._kept[key]

    def prefetch(self, step: int, *, labelled_only: bool = False) -> None:
        """Do nothing: all batches lie ready."""

    def draw_all(self) -> None:
        """Draw every batch that a training may ask for."""
        for step in range(_KEPT_BATCHES):
            for labelled_only in (False, True):
                self.batch(step, labelled_only=labelled_only)


def size_of(method: str, cls: type[Method], config: Any, settings: Settings, aus: int) -> SpeedRow:
    """Count a method's parameters and its trunk's operations; needs no frame and no dataset."""
    needs = cls.needs_for(config)
    task = Task(
        aus=tuple(range(1, aus + 1)),
        image_size=settings.data.size,
        trunk=settings.trunk,
        positive_rates=(0.3,) * aus,
        labelled_frames=1000,
        unlabelled_frames=1000,
        clip_len=needs.clip_len,
    )
    built = cls(config, task)
    return SpeedRow(
        method=method,
        trunk=settings.trunk.name,
        preset="",
        size=settings.data.size,
        batch=settings.train.batch_size,
        frames_per_sample=float(needs.frames_per_clip),
        parameters=count_parameters(built),
        gflops_per_frame=_gflops(built, settings.data.size),
    )


@torch.no_grad()
def _gflops(method: Method, size: int) -> float:
    """Count what encoding one frame takes, in 10^9 additions and multiplications."""
    frame = torch.zeros(1, 3, size, size)
    marks = torch.full((1, 68, 2), size / 2) if method.data_needs.landmarks else None
    training = method.training
    method.eval()
    gflops = _counted(lambda: method.encode(frame, marks))
    method.train(training)
    return gflops


def _counted(work: Callable[[], object]) -> float:
    """Count the operations of a piece of work, uncompiled, in 10^9."""
    with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops()) / 1e9


class CannotMeasure(Exception):
    """A method cannot be built as asked: a trunk that it does not carry, say."""


def measure(
    cell: Cell, device: torch.device, command: str, *, repeats: int = 3, host: bool = False
) -> SpeedRow:
    """Time every part of a cell whose budget is a few dozen steps; its data is opened already.

    `host`: frames stay in the host's memory, as those that no GPU holds.

    Raises CannotMeasure, with the method's own reason.
    """
    started = time.time()
    forget_peak_memory(device)
    try:
        experiment = build_experiment(cell, device, low_memory=host)
    except MethodError as error:
        raise CannotMeasure(str(error)) from error
    first = _seconds(device, _training(cell, device, kept=False, host=host))
    rates, times = _rates(cell, experiment, device, repeats, host=host)
    trainer, cls = experiment.trainer, cell.method_class
    samples = trainer.total * cell.settings.train.batch_size
    aus = len(experiment.method.task.aus)
    sized = size_of(str(cell.method), cls, cls.Config(**cell.method_config), cell.settings, aus)
    return replace(
        sized,
        preset=cell.context.preset,
        frames_per_sample=frames_per_step(trainer) / cell.settings.train.batch_size,
        gflops_per_sample=_counted(_training(cell, device, kept=True, host=host)) / samples,
        bare_gflops_per_sample=_counted(bare_loop(trainer, trainer.total)) / samples,
        rates=rates,
        budget_steps=PRESETS[cell.context.preset].settings.train.steps,
        warm_up_seconds=round(max(first - min(times["end to end"]), 0.0), 2),
        peak_memory_mib=peak_memory_mib(device) if device.type == "cuda" else None,
        precision="bfloat16" if trainer.amp else "float32",
        compiled=trainer.compiled,
        frames_in="host" if host or device.type == "cpu" else "device",
        environment=describe(device, started, command),
    )


def _rates(
    cell: Cell, experiment: Experiment, device: torch.device, repeats: int, *, host: bool
) -> tuple[dict[str, Rate], dict[str, list[float]]]:
    """Time all parts `repeats` times, there and back again; returns rates and seconds."""
    trainer, steps = experiment.trainer, experiment.trainer.total
    parts: dict[str, Callable[[], Callable[[], object]]] = {
        "end to end": lambda: _training(cell, device, kept=False, host=host),
        "step": lambda: _training(cell, device, kept=True, host=host),
        "loader": lambda: lambda: [trainer.loader.batch(step) for step in range(steps)],
        "bare loop": lambda: bare_loop(trainer, steps),
        "inference": lambda: lambda: experiment.predict(experiment.test),
    }
    samples = dict.fromkeys(parts, steps * cell.settings.train.batch_size)
    samples["inference"] = sum(int(sequence.coded.sum()) for sequence in experiment.test)
    times: dict[str, list[float]] = {name: [] for name in parts}
    for repeat in range(repeats):
        names = list(parts) if repeat % 2 == 0 else list(parts)[::-1]
        for name in names:
            times[name].append(_seconds(device, parts[name]()))
    return {name: _rate(samples[name], found) for name, found in times.items()}, times


def _training(cell: Cell, device: torch.device, *, kept: bool, host: bool) -> Callable[[], object]:
    """Build a fresh training, to be timed; `kept` lets its batches lie ready."""
    trainer = build_experiment(cell, device, low_memory=host).trainer
    if kept:
        batches = KeptBatches(trainer.loader)
        batches.draw_all()
        trainer.loader = batches  # type: ignore[assignment]
    return lambda: trainer.run(trainer.total)


def frames_per_step(trainer: Trainer) -> float:
    """Return the frames of a step, the mean over a training: phases may take labelled ones only."""
    return trainer.frames_until(trainer.total) / trainer.total


def bare_loop(trainer: Trainer, steps: int) -> Callable[[], object]:
    """Build the trunk with one linear layer, on as many frames a step as the method has there.

    All of the frames in one tensor, in the loop's precision: what no method can be faster than,
    unless some of its frames need no gradient.
    """
    task = trainer.method.task
    device, frames = trainer.device, max(1, round(frames_per_step(trainer)))
    trunk = build_trunk(task.trunk, task.image_size)
    net = nn.Sequential(trunk, nn.Linear(trunk.num_features, len(task.aus)))
    net = net.to(device).to(memory_format=torch.channels_last).train()
    images = torch.randn(frames, 3, task.image_size, task.image_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    truth = torch.randint(0, 2, (frames, len(task.aus)), device=device).float()
    adam = trainer.config.optimiser == "adamw"
    kind = torch.optim.AdamW if adam else partial(torch.optim.SGD, momentum=0.9)
    optimiser = kind(net.parameters(), lr=1e-4, fused=True)

    def loop() -> None:
        for _ in range(steps):
            _bare_step(net, optimiser, images, truth, amp=trainer.amp)

    return loop


def _bare_step(
    net: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, truth: Tensor, *, amp: bool
) -> None:
    optimiser.zero_grad(set_to_none=True)
    with autocast(images.device, on=amp):
        loss = F.binary_cross_entropy_with_logits(net(images).float(), truth)
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _seconds(device: torch.device, work: Callable[[], object]) -> float:
    """Time a piece of work: on a processor in this thread's own time."""
    if device.type != "cuda":
        began = time.thread_time()
        work()
        return time.thread_time() - began
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _rate(samples: int, seconds: list[float]) -> Rate:
    rates = [samples / max(one, 1e-9) for one in seconds]
    return Rate(statistics.median(rates), min(rates), max(rates))
