"""Conformance suite (`bench check`): runs every check, and says what a method's author did wrong.

A check trains or asks the method on a few short recordings of the embedded dataset, through the
loader, loop and evaluation of a real run. What passes here may still be a poor method.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bench.config.registry import Registry

from . import contract, firewall, prediction, training
from . import reproducibility as bits
from .harness import Harness
from .probe import ContractViolation


@dataclass(frozen=True)
class Check:
    """One thing that must hold of every method."""

    name: str
    run: Callable[[Harness], None]
    """Raises Failed; its docstring begins with "Check that", and says what."""
    advice: str = ""
    """What an exception of the method's own, in this check, is most likely to mean."""
    after: tuple[str, ...] = ()
    """Checks that must have passed, for this one to tell anything."""

    @property
    def holds(self) -> str:
        """What holds of a method that passes, in a sentence."""
        line = (self.run.__doc__ or "").strip().partition("\n")[0]
        return line.removeprefix("Check that ")


CHECKS = (
    Check("imports", contract.imports),
    Check("hooks", contract.hooks),
    Check("knobs", contract.knobs, "Config cannot be built from its own values"),
    Check(
        "construction",
        contract.construction,
        "it cannot be built: __init__(self, config, task) begins with "
        "super().__init__(config, task) and takes its sizes from the task",
        after=("hooks", "knobs"),
    ),
    Check(
        "losses",
        training.losses,
        "a step of training does not go through",
        after=("construction",),
    ),
    Check("gradients", training.gradients, after=("losses",)),
    Check("its part", training.side_effects, after=("losses",)),
    Check("device", training.device, "it cannot be moved to another device", after=("gradients",)),
    Check("same seed", bits.same_seed, after=("losses",)),
    Check("hidden labels", firewall.hidden_labels, after=("same seed",)),
    Check(
        "uncoded labels",
        bits.uncoded_labels,
        "an AU that no frame of a batch codes stops the training",
        after=("losses",),
    ),
    Check(
        "stop and go",
        bits.stop_and_go,
        "its state cannot be saved and loaded: keep tensors in buffers, plain numbers and texts in "
        "get_extra_state(), and the same entries at every step",
        after=("same seed",),
    ),
    Check(
        "batch mates",
        prediction.batch_independence,
        "it cannot predict: encode() takes frames (N, 3, H, W), head() clips (B, T, ...) of them",
        after=("losses",),
    ),
    Check(
        "one encoding",
        prediction.one_encoding,
        "encode() must take any number of frames, one included",
        after=("batch mates",),
    ),
    Check(
        "kept weights",
        prediction.kept_weights,
        "its weights cannot be kept: state_dict() holds tensors, and plain numbers and texts",
        after=("batch mates", "stop and go"),
    ),
    Check(
        "mixed precision",
        training.mixed_precision,
        "it does not train in mixed precision: autocast gives bfloat16 tensors, so take the dtype "
        "of a new tensor from the one it meets, or call .float() first",
        after=("losses",),
    ),
    Check(
        "batch of one",
        training.batch_of_one,
        "it does not train on a batch of one clip: no BatchNorm1d, variance or contrast may need "
        "a second row, and no step an unlabelled frame",
        after=("losses",),
    ),
    Check(
        "full labels",
        training.full_labels,
        "it does not train at ratio 1: the tensors in Batch.unlabelled then hold 0 frames, and the "
        "mean of nothing is NaN; leave the term out where len() is 0",
        after=("losses",),
    ),
    Check(
        "learning",
        training.learning,
        "sixty steps do not go through",
        after=("gradients", "batch mates"),
    ),
)


@dataclass(frozen=True)
class CheckResult:
    """How one check ended."""

    check: Check
    status: Literal["ok", "FAILED", "not tried"]
    message: str = ""
    """What is wrong and what to do, or why it was not tried; empty where all is well."""


def check_method(registry: Registry, name: str, folder: Path) -> Iterator[CheckResult]:
    """Check method `name` (`ks`, `ks:no_skd`), writing only under `folder`; one outcome a check.

    Raises UsageError if there is no such method, or it cannot be imported.
    """
    harness = Harness(registry, name, folder)
    passed: set[str] = set()
    for check in CHECKS:
        lacking = [needed for needed in check.after if needed not in passed]
        if lacking:
            yield CheckResult(check, "not tried", f"'{lacking[0]}' comes first")
            continue
        message = _run_check(check, harness)
        if not message:
            passed.add(check.name)
        yield CheckResult(check, "FAILED" if message else "ok", message)


def _run_check(check: Check, harness: Harness) -> str:
    """Run a check; returns the sentence about its failure, or nothing."""
    with _generators_restored():
        try:
            check.run(harness)
        except ContractViolation as failure:
            return str(failure)
        except Exception as error:  # noqa: BLE001  a foreign method may raise anything
            advice = f"{check.advice}. " if check.advice else ""
            return f"{advice}It raised {_sentence(error)}{_place(error, harness)}"
    return ""


@contextmanager
def _generators_restored() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: Exception, harness: Harness) -> str:
    """Say which line of the method's own file the error came through, if any did."""
    _, file = contract.source_of(harness)
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    return f" (line {lines[-1]} of {file.name})" if lines else ""
