"""Harness of the conformance checks: small real cells of one method, and a probe that watches it.

The cells are those of a run on the embedded dataset, through the same loader, loop and evaluation;
nothing but their size is special. Everything is on the CPU, where equal means equal bits.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bench.config.names import MethodName
from bench.config.registry import Registry
from bench.data.dataset import OpenedDataset
from bench.data.frame_table import frame_table
from bench.errors import pick
from bench.results.kept_weights import WEIGHTS
from bench.runner.setup import Experiment, assemble, build_experiment
from bench.runner.weights import read_network, write_weights
from bench.study.cell import plan_cells
from bench.study.study import Study, make_study
from bench.training.pixels import Pixels
from bench.training.trainer import Trainer
from methods._base import Batch, Method, Progress

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


_CPU = torch.device("cpu")


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
        (cell,) = plan_cells(*self._planned(ratio, knobs))
        return build_experiment(cell, _CPU)

    def scrambled_experiment(self, knobs: Sequence[str] = ()) -> Experiment:
        """Build them from recordings whose hidden labels were scrambled before all else."""
        study, data = self._planned(RATIO, knobs)
        (point,) = study.points()
        mask = data.labelled_split(point, study.context.settings.data.val_subjects).mask
        data = data.with_hidden_scrambled(mask)
        (cell,) = plan_cells(study, data)
        return assemble(cell, data, frame_table(data.store), Pixels(data.store.images, _CPU))

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

    def reloaded(self) -> Method:
        """Return the reference run's method, built without labels from its kept weights.

        Raises UsageError where they do not fit it, or it then predicts something else.
        """
        (cell,) = plan_cells(*self._planned(RATIO, ["train.keep_weights=true"]))
        cell.folder.mkdir(parents=True, exist_ok=True)
        write_weights(cell, self.reference.experiment)
        method, _ = read_network(cell.folder / WEIGHTS, self.registry, _CPU)
        return method

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


_COLUMNS = {"step", "epoch", "lr"}
"""What a history's row holds beside losses and metrics."""


class ContractViolation(Exception):
    """A method breaks its contract: what its author did wrong, and what to do."""


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of `names`, and count the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


class MethodProbe:
    """Stands between a trainer and its method, and notes what the method does at each step.

    Raises Failed where the loop could not go on: losses that are none.
    """

    def __init__(self, trainer: Trainer):
        self.trainer, self.method = trainer, trainer.method
        self.reached: set[str] = set()
        """Weights that a gradient other than 0 came to."""
        self.own_backward: set[str] = set()
        """Weights with a gradient before the loop's own backward pass."""
        self.moved: set[str] = set()
        """Weights that `losses` changed."""
        self.own_optimiser = False
        """Whether an optimiser other than the loop's took a step."""
        self.strangers: dict[int, Tensor] = {}
        """Weights behind the losses that are none of the method's, by identity."""
        self.lasting = 0
        """How many of them were there at two steps: they are kept, and no variable of a step."""

    def __enter__(self) -> MethodProbe:
        self.trainer.method = cast(Method, self)
        self._hook = register_optimizer_step_pre_hook(self._optimiser_steps)
        return self

    def __exit__(self, *_: object) -> None:
        self.trainer.method = self.method
        self._hook.remove()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    def _optimiser_steps(self, optimiser: object, *_: object) -> None:
        self.own_optimiser |= optimiser is not self.trainer.optimiser

    def _trainable(self) -> Iterator[tuple[str, Tensor]]:
        return ((n, p) for n, p in self.method.named_parameters() if p.requires_grad)

    def losses(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """Return the method's losses, once they are known to be what the loop can take."""
        before = {name: weight.detach().clone() for name, weight in self._trainable()}
        found = self.method.losses(batch, progress)
        check_losses(found, progress)
        check_metrics(self.method.metrics, found)
        self.own_backward |= {name for name, weight in self._trainable() if weight.grad is not None}
        self.moved |= {n for n, w in self._trainable() if n in before and not w.equal(before[n])}
        self._look_for_strangers(found.values())
        return found

    def _look_for_strangers(self, losses: Iterable[Tensor]) -> None:
        ours = {id(weight) for weight in self.method.parameters()}
        strangers = {id(leaf): leaf for leaf in graph_leaves(losses) if id(leaf) not in ours}
        self.lasting = max(self.lasting, len(strangers.keys() & self.strangers.keys()))
        self.strangers = strangers

    def after_step(self, progress: Progress) -> None:
        """Note where gradients came to, and pass the call on."""
        for name, weight in self._trainable():
            if weight.grad is not None and bool(weight.grad.any()):
                self.reached.add(name)
        self.method.after_step(progress)


def graph_leaves(losses: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the tensors that a backward pass from `losses` would leave gradients in."""
    waiting = [loss.grad_fn for loss in losses]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [following for following, _ in node.next_functions]


def check_losses(found: Any, progress: Progress) -> None:
    """Raise Failed unless `found` is a dict of named finite scalars, one with a gradient."""
    if not isinstance(found, dict) or not found:
        what = "an empty dict" if isinstance(found, dict) else f"a {type(found).__name__}"
        raise ContractViolation(
            f"losses() returned {what}: return named scalars, e.g. {{'au': loss}}"
        )
    for name, loss in found.items():
        _check_scalar(f"losses()[{name!r}]", loss)
        if name in _COLUMNS:
            raise ContractViolation(
                f"a loss may not be called {name!r}: that column of the history is taken"
            )
        if not bool(loss.isfinite()):
            raise ContractViolation(
                f"loss {name!r} is {float(loss.detach())} at step {progress.step}: look for the "
                "log or the root of 0, a division by an empty count, or a weight without bound"
            )
    if not any(loss.requires_grad for loss in found.values()):
        raise ContractViolation(
            "no loss carries a gradient: all of them were computed under torch.no_grad(), "
            "detached, or made of numbers; compute one from the network's output"
        )


def check_metrics(metrics: Mapping[str, Any], losses: Mapping[str, Tensor]) -> None:
    """Raise Failed unless `metrics` are detached scalars under names of their own."""
    for name, value in metrics.items():
        _check_scalar(f"metrics[{name!r}]", value)
        if value.requires_grad:
            raise ContractViolation(
                f"metrics[{name!r}] still carries its graph, which keeps the activations of every "
                "step in memory until it is logged: store its .detach()"
            )
        if name in losses or name in _COLUMNS:
            raise ContractViolation(
                f"a metric may not be called {name!r}: that column is taken; rename it"
            )


def _check_scalar(what: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise ContractViolation(
            f"{what} is a {type(value).__name__}: it must be a tensor with one number"
        )
    if value.dim() != 0:
        raise ContractViolation(
            f"{what} has shape {tuple(value.shape)}: reduce it to a scalar, e.g. .mean()"
        )
