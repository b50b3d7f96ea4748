"""Trainer: THE training loop (losses, backward pass, step, log); it stops and goes on exactly.

`Trainer` holds everything that changes during a run; `state_dict` is all of it, so that a run that
is stopped and continued gives the same bits on the CPU as one that never stopped.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import record_function

from bench.config.settings import TrainConfig
from bench.data.frame_table import RowNumbers
from datasets._base import UNCODED
from methods._base import Batch, Method, Phase, Progress

from .evaluate import encode_rows
from .loader import Loader
from .optimiser import make_optimiser, phase_at, phase_steps, rate_at, rate_shares, total_steps
from .precision import autocast, compile_trunks, has_bfloat16, use_amp, use_compile
from .pseudo_label_audit import PseudoLabelAudit

NOMINAL_EPOCHS = 50.0
"""What a budget in steps counts as where schedules are written in epochs: the paper's 50."""

STAGES = {
    "load": "loading: frames gathered and augmented",
    "losses": "the method's losses, forward",
    "backward": "backward, and clipping",
    "optimiser": "the optimiser's step",
    "after_step": "what the method does after the step",
}
"""Stages of a step, as a profile names them."""

_LOG_EVERY = 20
"""Steps between looks at the losses: each look waits for the device."""


class NonFiniteLoss(Exception):
    """A loss became infinite or NaN."""

    def __init__(self, step: int, losses: dict[str, float]):
        named = ", ".join(f"{name} {value}" for name, value in losses.items())
        super().__init__(
            f"the loss is not finite at step {step} ({named}): try a lower "
            "train.lr, and look for a mean of nothing in the method"
        )


class Trainer:
    """One cell's training: a method, its batches, its optimiser, and where it stands."""

    def __init__(
        self,
        method: Method,
        loader: Loader,
        config: TrainConfig,
        device: torch.device,
        validation_keys: RowNumbers | None = None,
    ):
        self.method, self.loader, self.config, self.device = method, loader, config, device
        self.optimiser = make_optimiser(method, config)
        # to walk through all modules at every step takes longer than to clip
        self._weights = [p for group in self.optimiser.param_groups for p in group["params"]]
        steps = total_steps(config, loader.sampler.steps_per_epoch)
        self.phases = phase_steps(method.phases(method.config), steps)
        self.total = self.phases[-1].stop
        self.amp = use_amp(config, device)
        """Whether steps run in bfloat16 autocast."""
        self.compiled = (
            use_compile(config, device, self.frames_until(self.total))
            and compile_trunks(method) > 0
        )
        self._rate_shares = rate_shares(config, self.phases, self.total)
        self.validation_keys = np.empty(0, np.int64) if validation_keys is None else validation_keys
        """Rows of the validation subjects' labelled frames, for what a method calibrates."""
        self.phases_over = 0
        """Phases that are over, what is fitted at their ends included."""
        self.audit = PseudoLabelAudit(len(method.task.aus), len(loader.sampler.table.labels))
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.last_loss: float | None = None
        """Mean sum of the losses at the last look."""
        self._pending: list[tuple[int, dict[str, Tensor], dict[str, Tensor]]] = []

    def run(self, until: int, after_step: Callable[[Trainer], None] = lambda _: None) -> None:
        """Train up to step `until`; calls `after_step` between steps.

        Raises NonFiniteLoss; whatever `after_step` raises leaves a state that can be saved.
        """
        self.method.train()
        started, before = time.perf_counter(), self.seconds
        self._end_phases()  # one may be empty
        while self.step < until:
            self._one_step()
            self._end_phases()
            if self.step % _LOG_EVERY == 0 or self.step == self.total:
                self._look()
            self.seconds = before + time.perf_counter() - started
            after_step(self)

    @property
    def phase(self) -> Phase:
        """The phase that the next step is in."""
        return phase_at(self.phases, self.step).phase

    def frames_until(self, step: int) -> int:
        """Count the frames of the steps before `step`, every view counted."""
        per_step = self.loader.sampler.frames_per_step
        return sum(
            per_step(labelled_only=part.phase.labelled_only)
            * max(0, min(step, part.stop) - part.start)
            for part in self.phases
        )

    def progress(self) -> Progress:
        """Say where training stands, in the units schedules are written in."""
        if self.config.steps:
            epochs = NOMINAL_EPOCHS
            epoch = epochs * self.step / self.total
        else:
            epochs = self.config.epochs
            epoch = self.step / self.loader.sampler.steps_per_epoch
        return Progress(
            step=self.step,
            total_steps=self.total,
            epoch=epoch,
            total_epochs=epochs,
            phase=self.phase.name,
            rate_share=self._rate_shares[self.step],
            audit=self.audit.take,
        )

    def _one_step(self) -> None:
        with record_function("load"):
            batch, hidden = self.loader.batch(self.step, labelled_only=self.phase.labelled_only)
        self.audit.expect(self.step, hidden)
        self.method.metrics = {}  # a step that says nothing has none: not those of the last one
        progress = self.progress()
        losses = self._backward(batch, progress)
        rate = rate_at(self.config, self.phases, self.step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        with record_function("optimiser"):
            self.optimiser.step()
        with record_function("after_step"):
            self.method.after_step(progress)
        self._pending.append((self.step, losses, dict(self.method.metrics)))
        self.step += 1
        if self.step < self.total:  # the device is still at work
            self.loader.prefetch(self.step, labelled_only=self.phase.labelled_only)

    def _end_phases(self) -> None:
        """Fit what is to be fitted at the end of each phase that the last step ended."""
        while self.phases_over < len(self.phases):
            ending = self.phases[self.phases_over]
            if self.step < ending.stop:
                return
            if ending.phase.fit:
                fit(self.method, self.loader, self.validation_keys)
            self.phases_over += 1

    def _backward(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        self.optimiser.zero_grad(set_to_none=True)
        with record_function("losses"), autocast(self.device, on=self.amp):
            losses = self.method.losses(batch, progress)
        with record_function("backward"):
            torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
            if self.config.clip_norm:
                nn.utils.clip_grad_norm_(self._weights, self.config.clip_norm)
        return {name: loss.detach() for name, loss in losses.items()}

    def _look(self) -> None:
        """Bring the losses over from the device, check them, and keep their means."""
        losses, metrics = [], []
        for step, step_losses, step_metrics in self._pending:
            losses.append(_to_host(step_losses))
            metrics.append(_to_host(step_metrics))
            if not all(map(math.isfinite, losses[-1].values())):
                raise NonFiniteLoss(step, losses[-1])
        self._pending.clear()
        self.audit.look(self.step, metrics)
        self.last_loss = sum(_means(losses).values())
        self.history.append(
            {
                "step": self.step,
                "epoch": round(self.progress().epoch, 4),
                "lr": rate_at(self.config, self.phases, self.step - 1),
                **_means(losses),
                **_means(metrics),
            }
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on; only whole steps are in it."""
        return {
            "step": self.step,
            "phases_over": self.phases_over,
            "seconds": self.seconds,
            "amp": self.amp,
            "method": self.method.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": list(self.history),
            "pending": list(self._pending),
            "audit": self.audit.state_dict(),
            "random": _random_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what `state_dict` returned."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.phases_over = state["phases_over"]
        if has_bfloat16(self.device):  # a trial may come out otherwise the second time
            self.amp = state["amp"]
        self.method.load_state_dict(state["method"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history = list(state["history"])
        self._pending = list(state["pending"])
        self.audit.load_state_dict(state["audit"])
        _set_random_state(state["random"])


@torch.no_grad()
def fit(method: Method, loader: Loader, validation_keys: RowNumbers) -> None:
    """Hand a method the features of its labelled frames and of its pool, whose labels are -1.

    Then those of the validation subjects' labelled frames, where there are any.
    """
    sampler = loader.sampler
    rows = np.concatenate([sampler.keys, sampler.unlabelled_rows])
    labels = sampler.table.labels[rows].copy()
    labels[len(sampler.keys) :] = UNCODED
    method.eval()
    features = encode_rows(method, loader.pixels, sampler.table, rows)
    method.fit(features, torch.from_numpy(labels).to(features.device))
    if len(validation_keys):
        features = encode_rows(method, loader.pixels, sampler.table, validation_keys)
        labels = sampler.table.labels[validation_keys]
        method.calibrate(features, torch.from_numpy(labels).to(features.device))
    method.train()


def _to_host(scalars: dict[str, Tensor]) -> dict[str, float]:
    if not scalars:
        return {}
    values = torch.stack([value.detach().float() for value in scalars.values()]).tolist()
    return dict(zip(scalars, values, strict=True))


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {n: float(np.mean([row[n] for row in rows if n in row])) for n in names}


def _random_state() -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": _numpy_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _numpy_state() -> list[Any]:
    # plain lists, so that a checkpoint holds nothing that must be unpickled by running code
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002  libraries may draw from it
    return [kind, np.asarray(keys).tolist(), *rest]


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
