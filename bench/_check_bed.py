"""What the conformance checks stand on: small real cells of one method.

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

from ._check_watch import Watched
from .assembly import Assembly, assemble
from .config import pick
from .data import Data, make_dataset, open_data
from .registry import Registry
from .study import Study, cells, make_study
from .train import Trainer

STEPS = 12
"""Steps of a small run: schedules go by the share of the run, so every phase of a method is met."""

RATIO = "0.5"
"""Half of the frames labelled: enough to learn from, and enough to hide."""

KNOBS = (
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


class Bed:
    """One method under test; raises UsageError if there is none of that name, or no importing it.

    Records, masks and frames are written under `folder`.
    """

    def __init__(self, registry: Registry, name: str, folder: Path):
        self.registry, self.name, self.folder = registry, name, folder
        self.base, colon, variant = name.partition(":")
        self.cls = registry.method(self.base)
        if colon:
            pick(f"variant of {self.base}", variant, self.cls.variants)
        self._data: Data | None = None

    def assembly(self, ratio: str = RATIO, knobs: Sequence[str] = ()) -> Assembly:
        """Build the method and its trainer anew, as a run would."""
        study = make_study(
            methods=[self.name],
            ratios=[ratio],
            preset="smoke",
            knobs=(*KNOBS, *knobs),
            results=self.folder,
            cache=self.folder / "frames",
            plugins=self.registry.plugins,
        )
        if self._data is None:
            self._data = _opened(study)
        (cell,) = cells(study, self._data)
        return assemble(cell, torch.device("cpu"))

    @property
    def data(self) -> Data:
        """The recordings, once there was an assembly."""
        assert self._data is not None
        return self._data

    def run(
        self, ratio: str = RATIO, knobs: Sequence[str] = (), until: int | None = None
    ) -> Assembly:
        """Train a small run, whole or `until` a step."""
        assembly = self.assembly(ratio, knobs)
        assembly.trainer.run(until or assembly.trainer.total)
        return assembly

    @cached_property
    def reference(self) -> Reference:
        """The small run that others are compared with, watched on its way."""
        assembly = self.assembly()
        watched = Watched(assembly.trainer)
        with watched:
            assembly.trainer.run(STEPS)
        state = copy.deepcopy(assembly.method.state_dict())
        return Reference(assembly, watched, state)


def _opened(study: Study) -> Data:
    cls = study.registry.dataset(study.dataset)
    dataset = make_dataset(cls, study.dataset, study.root, study.dataset_options)
    return open_data(dataset, study.dataset, study.settings.data, study.cache)


@dataclass(frozen=True)
class Reference:
    """A finished small run, and what was seen of its method on the way."""

    assembly: Assembly
    seen: Watched
    state: Mapping[str, Any]
    """A copy of the method's state at the end."""

    @property
    def trainer(self) -> Trainer:
        """The trainer, at its end."""
        return self.assembly.trainer

    def differing(self, other: Trainer) -> list[str]:
        """Name what differs, in any bit, from another run: state entries, then what was logged."""
        names = differing_states(self.state, other.method.state_dict())
        same = self.trainer.history == other.history
        return names if same else [*names, "the logged losses"]


def differing_states(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name the entries in which two state dicts differ in any bit."""
    return [n for n in dict.fromkeys([*one, *other]) if not _same(one.get(n), other.get(n))]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return bool(one == other)


def shake(seed: int) -> None:
    """Put the generators that the loop does not seed somewhere else: numpy's and Python's own."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the very generator that methods must not use


def drawn_from(before: tuple[Any, ...]) -> str:
    """Say which of numpy's and Python's generators have moved since `before`; "" if none."""
    names = ("Python's random module", "numpy's global generator")
    pairs = zip(names, before, generators(), strict=True)
    return " and ".join(name for name, then, now in pairs if then != now)


def generators() -> tuple[Any, ...]:
    """Return the states of the generators that the loop does not seed."""
    _, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return random.getstate(), (np.asarray(keys).tolist(), *rest)
