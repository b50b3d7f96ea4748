"""Lack of memory: one more try that comes to the same, then a sentence with what to do."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from bench.runner.out_of_memory import (
    RETRIED_WARNING,
    OutOfMemory,
    device_is_full,
    memory_advice,
    offload_activations,
    retry_when_out_of_memory,
)
from tests.helpers import cells
from tests.helpers import fakes as toys
from tests.helpers.cells import UNTAUGHT, outcome, run

FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: out of memory"),
]

GREEDY = """
import torch
from methods._base import Method
from methods.fixmatch import FixMatch as _FixMatch

class Greedy(Method):
    Config, needs = _FixMatch.Config, _FixMatch.needs
    built = 0

    def __init__(self, config, task):
        super().__init__(config, task)
        self.inner = _FixMatch(config, task)
        Greedy.built += 1

    def losses(self, batch, progress):
        if progress.step == 3 and Greedy.built <= {tries}:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return self.inner.losses(batch, progress)

    def encode(self, frames, landmarks=None):
        return self.inner.encode(frames)

    def head(self, features):
        return self.inner.head(features)

    def after_step(self, progress):
        self.inner.after_step(progress)
"""


def greedy(folder, tries, **more):
    """A cell whose method is out of memory on its first `tries` tries."""
    folder.mkdir(parents=True)
    plugin = folder / "greedy.py"
    plugin.write_text(GREEDY.format(tries=tries))
    (cell,) = cells.grid(cells.study(folder, methods=["greedy"], plugins=[plugin], **more))
    return cell


@pytest.mark.parametrize("error", FULL, ids=str)
def test_a_full_gpu_is_known_in_all_its_words(error):
    assert device_is_full(error)
    assert "give the cell a GPU to itself" in memory_advice(error)


def test_a_full_host_is_told_apart_and_other_errors_are_none_of_this():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    for error in (caught.value, MemoryError()):
        assert not device_is_full(error)
        assert memory_advice(error).startswith("out of the host's memory: use fewer --workers")
    for other in (ValueError("CUDA out of memory"), RuntimeError("shapes differ"), OSError(28, "")):
        assert memory_advice(other) is None


def test_what_the_first_try_held_is_gone_before_the_second():
    held = []

    def attempt(*, low_memory):
        if low_memory:
            return [reference() for reference in held]
        network = nn.Linear(2, 2)
        network.itself = [network]  # a cycle, as modules with hooks have them
        held.append(weakref.ref(network))
        raise torch.OutOfMemoryError

    gc.disable()
    try:
        assert retry_when_out_of_memory(attempt) == [None]
    finally:
        gc.enable()
    assert len(held) == 1


@pytest.mark.parametrize(
    ("error", "raised", "tries"),
    [(FULL[0], OutOfMemory, 2), (MemoryError(), OutOfMemory, 1), (KeyError("x"), KeyError, 1)],
)
def test_only_a_full_gpu_is_tried_again_and_only_once(error, raised, tries):
    made = []

    def attempt(*, low_memory):
        made.append(low_memory)
        raise error

    with pytest.raises(raised):
        retry_when_out_of_memory(attempt)
    assert made == [False, True][:tries]


def test_activations_go_to_the_host_and_the_gradients_are_the_same_bits(monkeypatch):
    def gradients():
        trainer = toys.trainer()
        trainer.run(2)
        return [p.grad.clone() for p in trainer.method.parameters()]

    plain, moved, to_cpu = gradients(), [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: moved.append(x.shape) or to_cpu(x))
    with offload_activations():
        offloaded = gradients()
    assert moved
    assert all(torch.equal(a, b) for a, b in zip(plain, offloaded, strict=True))


@pytest.mark.parametrize("knobs", [[], ["train.checkpoint_steps=2"]], ids=["anew", "gone on"])
def test_a_cell_that_ran_out_of_gpu_memory_ends_as_one_that_did_not(tmp_path, knobs):
    once, spared = (run(greedy(tmp_path / str(n), n, knobs=knobs)) for n in (0, 1))
    assert (once.status, spared.status) == ("done", "done")
    assert once.warnings == [UNTAUGHT]
    assert spared.warnings == [RETRIED_WARNING, UNTAUGHT]
    assert spared.final_weights == once.final_weights
    assert outcome(spared)["scores"] == outcome(once)["scores"]


def test_a_cell_that_does_not_fit_fails_with_advice_and_no_traceback(tmp_path):
    cell = greedy(tmp_path / "a", 2)
    record = run(cell)
    assert record.status == "failed"
    assert record.reason.startswith("out of GPU memory, with activations and frames in the host's")
    assert "train.batch_size" in record.reason
    assert record.traceback is None
    assert not (cell.folder / "checkpoint.pt").exists()
