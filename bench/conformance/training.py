"""Training checks: losses, gradients, what is left to the loop, edge cases."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.metrics import auc_per_au
from bench.runner.setup import Experiment
from methods._base import Batch, Method
from methods._trunks import ImageTrunk

from .contract import source_of
from .harness import STEPS, Harness, name_some
from .probe import ContractViolation

LEARNING_STEPS = 60

LEARNING = (
    "train.batch_size=12",
    f"train.steps={LEARNING_STEPS}",
    "train.lr=0.0015",
    "train.schedule=constant",
    "augment.flip=0",
    "augment.rotate=0",
    "augment.brightness=0",
    "augment.contrast=0",
    "augment.saturation=0",
)
"""A recipe in which sixty steps suffice to know a few faces by heart."""

LOOKS = (30, LEARNING_STEPS)
"""Steps after which it is asked how much was learnt; a method that passes trains no further."""

LEAST_AUC = 0.6
"""Asked of `learning`: clearly above the 0.5 of any guess that never looks."""

_FILE_WORK = {"open", "torch.save", "torch.load"}


def losses(harness: Harness) -> None:
    """Check that each step returns named finite scalars, one of them with a gradient."""
    assert harness.reference


def gradients(harness: Harness) -> None:
    """Check that gradients reach every kernel of the trunk, and no weight outside the method."""
    seen, method = harness.reference.seen, harness.reference.trainer.method
    if not harness.reference.trainer.total:
        return  # nothing is learnt by gradients
    if seen.lasting:
        raise ContractViolation(
            f"{seen.lasting} weights behind the losses are no parameters of the method, so they "
            "are neither trained nor saved: a module in a plain list or dict is not registered; "
            "use nn.ModuleList or nn.ModuleDict"
        )
    trunk = _trunk_weights(method)
    if not trunk:
        raise ContractViolation(
            "no weight of the trunk can be trained: is requires_grad off, or no trunk?"
        )
    missed = [name for name in trunk if name not in seen.reached]
    if missed:
        raise ContractViolation(
            f"no gradient ever reached {name_some(missed)} in {STEPS} steps: look for a .detach(), "
            "a torch.no_grad() or a module that is not used; switch requires_grad off for a teacher"
        )


def _trunk_weights(method: Method) -> list[str]:
    """Name the trunk's trainable kernels: of image trunks, or else every kernel there is."""
    trainable = {name: p for name, p in method.named_parameters() if p.requires_grad}
    prefixes = tuple(f"{n}." for n, m in method.named_modules() if isinstance(m, ImageTrunk))
    if prefixes:
        return [n for n, p in trainable.items() if n.startswith(prefixes) and p.dim() > 1]
    kernels = [name for name, p in trainable.items() if p.dim() > 2]
    return kernels or [name for name, p in trainable.items() if p.dim() > 1]


def side_effects(harness: Harness) -> None:
    """Check that it leaves the backward pass, the optimiser, files and the device to the loop."""
    tree, file = source_of(harness)
    for node in ast.walk(tree):
        wrong = _side_effect(node)
        if wrong:
            raise ContractViolation(f"line {getattr(node, 'lineno', 0)} of {file.name}: {wrong}")
    seen = harness.reference.seen
    if seen.own_backward:
        raise ContractViolation(
            f"losses() left a gradient in {name_some(sorted(seen.own_backward))}: it must not call "
            "backward(); return the loss (for a gradient of your own: torch.autograd.grad)"
        )
    if seen.own_optimiser or seen.moved:
        what = name_some(sorted(seen.moved)) or "a weight"
        raise ContractViolation(
            f"losses() changed {what}: the loop owns the optimiser; only return losses"
        )


def _side_effect(node: Any) -> str:
    if isinstance(node, ast.Constant):
        named = isinstance(node.value, str) and node.value.startswith("cuda")
        return f"{node.value!r} names a device: take that of the batch" if named else ""
    if not isinstance(node, ast.Call):
        return ""
    call = ast.unparse(node.func)
    if call in _FILE_WORK:
        return f"{call}() works on a file: weights come by trunk.weights, records by the runner"
    if call.endswith(".cuda"):
        return f"{call}() names a device: the runner moves the method, take the batch's device"
    if call.startswith(("torch.optim.", "optim.")):
        return f"{call}() is an optimiser: the loop owns the only one; return losses"
    return ""


def device(harness: Harness) -> None:
    """Check that a step leaves no tensor behind on another device than the batch's."""
    trainer = harness.experiment().trainer
    if not trainer.total:
        return
    method = trainer.method.to("meta")  # a device on which tensors have no values
    batch, _ = trainer.loader.batch(0, labelled_only=trainer.phase.labelled_only)
    try:
        method.losses(_batch_on(batch, "meta"), replace(trainer.progress(), audit=lambda *_: None))
    except (RuntimeError, NotImplementedError) as error:
        text = str(error)
        if "expected device" in text or "same device" in text:
            raise ContractViolation(
                "a step mixes tensors of the batch's device with others, and will stop on a GPU: "
                "keep tensors with register_buffer, and make new ones with device=batch.key.device"
            ) from error

        # reading values is not possible there; whether it is right shows in the other checks


def _batch_on(batch: Batch, place: str) -> Batch:
    def moved(views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {view: frames.to(place) for view, frames in views.items()}

    return replace(
        batch,
        key=batch.key.to(place),
        labels=batch.labels.to(place),
        clips=moved(batch.clips),
        unlabelled=moved(batch.unlabelled),
        ids=None if batch.ids is None else batch.ids.to(place),
        known=None if batch.known is None else batch.known.to(place),
        landmarks=None if batch.landmarks is None else batch.landmarks.to(place),
    )


class _BannedInMixedPrecision(TorchFunctionMode):
    """Refuses what works under autocast on a CPU and raises on a GPU."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is F.binary_cross_entropy and torch.is_autocast_enabled("cpu"):
            raise ContractViolation(
                "binary_cross_entropy of probabilities is an error in mixed precision on a GPU: "
                "use binary_cross_entropy_with_logits on logits"
            )
        return func(*args, **(kwargs or {}))


def mixed_precision(harness: Harness) -> None:
    """Check that it trains in bfloat16 autocast too, and then predicts finite values."""
    with _BannedInMixedPrecision():
        experiment = harness.run(knobs=["train.amp=on"])
    experiment.predict(experiment.test[:1])


def batch_of_one(harness: Harness) -> None:
    """Check that it trains on batches of a single clip."""
    harness.run(knobs=["train.batch_size=1"])


def full_labels(harness: Harness) -> None:
    """Check that it trains at ratio 1, where no unlabelled frame is left."""
    harness.run(ratio="1")


def learning(harness: Harness) -> None:
    """Check that at most 60 steps beat any guess that never looks, on hidden frames of known faces.

    A guess that is the same for every frame has an AUC of exactly 0.5, whatever the base rates. The
    frames are the training subjects' own, their labels hidden: this asks whether training arrives
    at prediction, and not how well the method generalises.
    """
    experiment = harness.experiment(knobs=LEARNING)
    area = 0.0
    for steps in LOOKS:
        experiment.trainer.run(steps)
        area = _area_on_hidden_frames(harness, experiment)
        if area >= LEAST_AUC:
            return
    raise ContractViolation(
        f"after {LEARNING_STEPS} steps the mean AUC on frames of the training subjects is "
        f"{area:.2f}; a guess that never looks has 0.50, and {LEAST_AUC} is asked: does the "
        "labelled loss fall, has it weight from the first step, do encode() and head() use "
        "the weights that were trained?"
    )


def _area_on_hidden_frames(harness: Harness, experiment: Experiment) -> float:
    """Return the mean AUC on the training subjects' frames whose labels were hidden."""
    known = {*experiment.table.first[experiment.train_keys].tolist()}
    predictions = experiment.predict([s for s in harness.data.store.sequences if s.start in known])
    hidden = predictions.only(~np.isin(predictions.rows, experiment.train_keys))
    areas = auc_per_au(experiment.table.labels[hidden.rows], hidden.probabilities)
    return float(np.nanmean(areas))
