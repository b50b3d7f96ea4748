"""The probe of the conformance checks: watches what a method does at each step of a run.

Used by `harness.py`, whose small runs it stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bench.training.trainer import Trainer
from methods._base import Batch, Method, Progress

_COLUMNS = {"step", "epoch", "lr"}
"""What a history's row holds beside losses and metrics."""


class ContractViolation(Exception):
    """A method breaks its contract: what its author did wrong, and what to do."""


class MethodProbe:
    """Stands between a trainer and its method, and notes what the method does at each step.

    Raises ContractViolation where the loop could not go on: losses that are none.
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

    @property
    def metrics(self) -> dict[str, Tensor]:
        """The method's own, which the loop empties before each step."""
        return self.method.metrics

    @metrics.setter
    def metrics(self, found: dict[str, Tensor]) -> None:
        self.method.metrics = found

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
    """Raise ContractViolation unless `found` holds named finite scalars, one with a gradient."""
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
    """Raise ContractViolation unless `metrics` are detached scalars under names of their own."""
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
