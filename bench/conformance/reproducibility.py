"""Reproducibility checks, to the bit: one seed, uncoded labels, stop and go."""

from __future__ import annotations

import copy
import io
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from bench.training.trainer import Trainer
from datasets._base import UNCODED

from .harness import Harness, generator_states, generators_moved, name_some, perturb_rng
from .probe import ContractViolation


def same_seed(harness: Harness) -> None:
    """Check that two runs of one seed give the same weights and losses, bit for bit."""
    perturb_rng(1)
    again = harness.experiment()
    before = generator_states()
    again.trainer.run(again.trainer.total)
    unlike = harness.reference.differing(again.trainer)
    if unlike:
        culprit = (
            generators_moved(before) or "numpy, random, the time, the order of a set or an id()"
        )
        raise ContractViolation(
            f"two runs of one seed differ in {name_some(unlike)}: it depends on {culprit}; draw "
            "random numbers from torch's global generator, which is seeded and saved"
        )


def uncoded_labels(harness: Harness) -> None:
    """Check that a label of -1 counts neither as present nor as absent nor as a number.

    In the middle of every phase.
    """
    for phase in harness.reference.trainer.phases:
        if phase.start < phase.stop:
            _uncoded_labels_at(harness.run(until=(phase.start + phase.stop) // 2).trainer)


def _uncoded_labels_at(trainer: Trainer) -> None:
    batch, hidden = trainer.loader.batch(trainer.step, labelled_only=trainer.phase.labelled_only)
    trainer.audit.expect(trainer.step, hidden)
    state, random = copy.deepcopy(trainer.method.state_dict()), torch.get_rng_state()

    def total(label: float) -> float:
        trainer.method.load_state_dict(state)
        torch.set_rng_state(random)
        labels = batch.labels.clone()
        labels[:, 0] = label
        found = trainer.method.losses(replace(batch, labels=labels), trainer.progress())
        return float(torch.stack(list(found.values())).sum().detach())

    absent, present, uncoded = total(0), total(1), total(UNCODED)
    if not np.isfinite(uncoded):
        raise ContractViolation(
            "an AU that no frame of a batch codes makes the loss infinite: divide by max(1, n)"
        )
    linear = 2 * absent - present  # what a BCE makes of a target of -1
    for value, taken in ((absent, "0"), (present, "1"), (linear, "the number -1")):
        if absent != present and np.isclose(uncoded, value, rtol=1e-6, atol=0):
            raise ContractViolation(
                f"a label of -1 is learnt as {taken}: it means not coded; leave those elements out "
                "of the sum and of the count, as methods._losses.weighted_bce does"
            )


def stop_and_go(harness: Harness) -> None:
    """Check that a run saved half-way, loaded and continued gives the bits of one that was not."""
    stream = io.BytesIO()
    half = harness.reference.trainer.total // 2
    torch.save(harness.run(until=half).trainer.state_dict(), stream)
    stream.seek(0)
    again = harness.experiment().trainer
    torch.manual_seed(0)
    again.load_state_dict(torch.load(stream, weights_only=True))
    again.run(again.total)
    unlike = harness.reference.differing(again)
    if unlike:
        suspects = _plain_state(harness.reference.trainer, again)
        raise ContractViolation(
            f"a run that was stopped and continued differs in {name_some(unlike)}"
            f"{f' (look at {name_some(suspects)})' if suspects else ''}: what is kept from step to "
            "step must be in state_dict(); use register_buffer, or follow it from progress.step"
        )


def _plain_state(first: Trainer, second: Trainer) -> list[str]:
    """Name the attributes outside the state dicts in which two methods differ, as `self.name`."""
    ours = {*vars(nn.Module()), "metrics", "warnings", "config", "task"}
    pairs = zip(first.method.named_modules(), second.method.modules(), strict=False)
    return [
        ".".join(part for part in ("self", prefix, name) if part)
        for (prefix, one), other in pairs
        for name, value in vars(one).items()
        if name not in ours
        and repr(value) != repr(vars(other).get(name))
        and " at 0x" not in repr(value)
    ]
