"""Harness of the conformance checks: small real cells of one method, each watched by a probe.

The cells are those of a run on the embedded dataset, through the same loader, loop and evaluation;
nothing but their size is special. Everything is on the CPU, where equal means equal bits.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.names import MethodName
from bench.config.registry import Registry
from bench.data.dataset import OpenedDataset
from bench.data.frame_table import frame_table
from bench.errors import pick
from bench.runner.setup import Experiment, assemble, build_experiment
from bench.study.cell import Cell, plan_cells
from bench.study.study import Study, make_study
from bench.training.pixels import Pixels
from bench.training.trainer import Trainer

from .probe import MethodProbe

STEPS = 12
"""Steps of a small run: schedules go by the share of the run, so every phase of a method is met."""

RATIO = "0.5"
"""Half of the frames labelled: enough to learn from, and enough to hide."""

SETTINGS = (
    "synthetic.subjects=6",
    "synthetic.tasks=T1,T3,T5,T7",
    "synthetic.frames=16",
    "synthetic.size=48",
    # a ResNet's last map is 2 x 2 at this size, so that a batch of one has a variance
    "data.size=40",
    "trunk.width=0.125",
    "train.batch_size=4",
    f"train.steps={STEPS}",
)


CPU = torch.device("cpu")


class Harness:
    """One method under test; raises UsageError if there is none of that name, or no importing it.

    Records, masks and frames are written under `folder`.
    """

    def __init__(self, registry: Registry, name: str, folder: Path):
        self.registry, self.folder = registry, folder
        self.name = MethodName.parse(name)
        self.cls = registry.method(self.name.base)
        if self.name.variant is not None:
            pick(f"variant of {self.name.base}", self.name.variant, self.cls.variants)
        self._data: OpenedDataset | None = None

    def experiment(self, ratio: str = RATIO, knobs: Sequence[str] = ()) -> Experiment:
        """Build the method and its trainer anew, as a run would."""
        return build_experiment(self.cell(ratio, knobs), CPU)

    def cell(self, ratio: str = RATIO, knobs: Sequence[str] = ()) -> Cell:
        """Return the cell of a small run; its folder is below this harness's."""
        (cell,) = plan_cells(*self._planned(ratio, knobs))
        return cell

    def scrambled_experiment(self, knobs: Sequence[str] = ()) -> Experiment:
        """Build them from recordings whose hidden labels were scrambled before all else."""
        study, data = self._planned(RATIO, knobs)
        (point,) = study.points()
        mask = data.labelled_split(point, study.context.settings.data.val_subjects).mask
        data = data.with_hidden_scrambled(mask)
        (cell,) = plan_cells(study, data)
        return assemble(cell, data, frame_table(data.store), Pixels(data.store.images, CPU))

    def _planned(self, ratio: str, knobs: Sequence[str]) -> tuple[Study, OpenedDataset]:
        study = make_study(
            methods=[str(self.name)],
            ratios=[ratio],
            preset="smoke",
            knobs=(*SETTINGS, *knobs),
            results=self.folder,
            cache=self.folder / "frames",
            plugins=self.registry.plugins,
        )
        if self._data is None:
            context = study.context
            self._data = context.dataset.open(context.settings.data, context.cache)
        return study, self._data

    @property
    def data(self) -> OpenedDataset:
        """The recordings, once there was an experiment."""
        assert self._data is not None
        return self._data

    def run(
        self, ratio: str = RATIO, knobs: Sequence[str] = (), until: int | None = None
    ) -> Experiment:
        """Train a small run, whole or `until` a step."""
        experiment = self.experiment(ratio, knobs)
        experiment.trainer.run(until or experiment.trainer.total)
        return experiment

    @cached_property
    def reference(self) -> ReferenceRun:
        """The small run that others are compared with, watched on its way."""
        experiment = self.experiment()
        watched = MethodProbe(experiment.trainer)
        with watched:
            experiment.trainer.run(experiment.trainer.total)
        state = copy.deepcopy(experiment.method.state_dict())
        return ReferenceRun(experiment, watched, state)


@dataclass(frozen=True)
class ReferenceRun:
    """A finished small run, and what was seen of its method on the way."""

    experiment: Experiment
    seen: MethodProbe
    state: Mapping[str, Any]
    """A copy of the method's state at the end."""

    @property
    def trainer(self) -> Trainer:
        """The trainer, at its end."""
        return self.experiment.trainer

    def differing(self, other: Trainer) -> list[str]:
        """Name what differs, in any bit, from another run: state entries, then what was logged."""
        names = differing_entries(self.state, other.method.state_dict())
        same = self.trainer.history == other.history
        return names if same else [*names, "the logged losses"]


def differing_entries(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name the entries in which two state dicts differ in any bit."""
    return [n for n in dict.fromkeys([*one, *other]) if not _same(one.get(n), other.get(n))]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return bool(one == other)


def perturb_rng(seed: int) -> None:
    """Put the generators that the loop does not seed somewhere else: numpy's and Python's own."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the very generator that methods must not use


def generators_moved(before: tuple[Any, ...]) -> str:
    """Say which of numpy's and Python's generators have moved since `before`; "" if none."""
    names = ("Python's random module", "numpy's global generator")
    pairs = zip(names, before, generator_states(), strict=True)
    return " and ".join(name for name, then, now in pairs if then != now)


def generator_states() -> tuple[Any, ...]:
    """Return the states of the generators that the loop does not seed."""
    _, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return random.getstate(), (np.asarray(keys).tolist(), *rest)


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of `names`, and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
