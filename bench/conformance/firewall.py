"""The firewall: no label that the budget did not pay for reaches a method, by any way.

One of the checks of `bench check`; its own test breaks the suite in seven places
(tests/bench/conformance/test_firewall.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch

from bench.runner.setup import Experiment
from bench.training.trainer import Trainer
from methods._base import Batch, Method

from .harness import Harness, differing_entries, name_some
from .probe import ContractViolation


def hidden_labels(harness: Harness) -> None:
    """Check that labels which the budget did not pay for change no bit of the training.

    They are scrambled before anything of the cell exists. Compared are what the method is told
    (`Task`), every batch, the state that a checkpoint keeps, and the final weights; of a method
    that calibrates also the state after a run with validation subjects.
    """
    plain, scrambled = harness.reference.experiment, harness.scrambled_experiment()
    changed = [*_told_differently(plain, scrambled), *_batches_that_differ(plain, scrambled)]
    scrambled.trainer.run(scrambled.trainer.total)
    changed += harness.reference.differing(scrambled.trainer)
    changed += differing_entries(_kept(plain.trainer), _kept(scrambled.trainer))
    if harness.cls.calibrate is not Method.calibrate:
        changed += _calibrated_differently(harness)
    if changed:
        named = name_some(list(dict.fromkeys(changed)))
        raise ContractViolation(
            f"labels that the budget did not pay for change {named}: learn from "
            "Batch.labels alone; what Progress.audit is given must stay behind it"
        )


def _calibrated_differently(harness: Harness) -> list[str]:
    knobs = ("data.val_subjects=1",)
    plain, scrambled = harness.run(knobs=knobs), harness.scrambled_experiment(knobs)
    scrambled.trainer.run(scrambled.trainer.total)
    return differing_entries(_kept(plain.trainer), _kept(scrambled.trainer))


def _told_differently(one: Experiment, other: Experiment) -> list[str]:
    tasks = [experiment.method.task for experiment in (one, other)]
    told = [repr(task) for task in tasks]  # nan equals nan in text
    labels = [task.labels for task in tasks]
    same = told[0] == told[1] and torch.equal(*map(torch.as_tensor, labels))
    return [] if same else ["Task"]


def _batches_that_differ(one: Experiment, other: Experiment) -> list[str]:
    """Name the fields of `Batch` in which two experiments differ at any step."""
    loaders = one.trainer.loader, other.trainer.loader
    found: list[str] = []
    for step in range(one.trainer.total):
        tensors = [dict(_tensors(loader.batch(step)[0])) for loader in loaders]
        found += differing_entries(*tensors)
    return found


def _tensors(batch: Batch) -> Iterator[tuple[str, Any]]:
    for item in fields(batch):
        value = getattr(batch, item.name)
        views = value if isinstance(value, dict) else {"": value}
        yield from ((f"Batch.{item.name}{f'[{k!r}]' if k else ''}", v) for k, v in views.items())


def _kept(trainer: Trainer) -> dict[str, Any]:
    """Return the state that a checkpoint keeps, flattened, without timings and the audit.

    The audit is the one place where hidden labels may be counted.
    """
    state = trainer.state_dict()
    flat: dict[str, Any] = {}
    waiting = [(key, value) for key, value in state.items() if key not in {"seconds", "audit"}]
    while waiting:
        key, value = waiting.pop()
        nested = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(nested, dict):
            waiting += [(f"{key}.{part}", below) for part, below in nested.items()]
        else:
            flat[f"the checkpoint's {key}"] = value
    return flat
