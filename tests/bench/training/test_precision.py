"""Arithmetic: when a training is in bfloat16 or compiled, and that it computes the same then."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.config.settings import TrainConfig
from bench.training import precision
from bench.training.precision import COMPILED_FROM, compile_trunks, use_amp, use_compile
from methods._base import Method
from methods._trunks import ImageTrunk
from methods.eac import EAC
from methods.fixmatch import FixMatch
from methods.ks import KnowledgeSpreader
from methods.supervised import Supervised
from methods.tcl import TCL
from tests.helpers import fakes as toys
from tests.helpers.fake_tasks import make_batch, make_progress, make_task

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("flags", "gain", "expected"),
    [
        ({"avx2"}, 5.0, False),
        ({"amx_tile", "amx_bf16"}, 1.05, False),
        ({"amx_tile", "amx_bf16"}, 1.2, True),
    ],
)
def test_a_processor_takes_bfloat16_if_it_has_it_and_gains_by_it(
    flags: set[str], gain: float, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    monkeypatch.setattr(precision, "bfloat16_gain", lambda: gain)
    assert use_amp(TrainConfig(), CPU) is expected
    assert use_amp(TrainConfig(amp="on"), CPU)
    assert not use_amp(TrainConfig(amp="off"), CPU)


@pytest.mark.parametrize("native", [True, False])
def test_a_gpu_takes_bfloat16_if_its_units_have_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: native)
    assert use_amp(TrainConfig(), GPU) is native


def test_the_trial_measures_a_ratio() -> None:
    assert 0 < precision.bfloat16_gain() < 1000


def test_a_long_training_on_a_gpu_is_compiled() -> None:
    auto = TrainConfig()
    assert use_compile(auto, GPU, COMPILED_FROM)
    assert not use_compile(auto, GPU, COMPILED_FROM - 1)
    assert not use_compile(auto, CPU, 10 * COMPILED_FROM)
    assert use_compile(TrainConfig(compile="on"), CPU, 1)
    assert not use_compile(TrainConfig(compile="off"), GPU, 10 * COMPILED_FROM)


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        (Supervised, "aot_eager"),
        (FixMatch, "aot_eager"),
        # their graphs are large: traced only, which takes a fraction
        (KnowledgeSpreader, "eager"),
        (TCL, "eager"),
    ],
)
def test_a_compiled_trunk_gives_the_losses_and_gradients_of_an_eager_one(
    kind: type[Method], backend: str
) -> None:
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        method = kind(kind.Config(), make_task()).train()
        if compiled:
            assert compile_trunks(method, backend=backend) == 1
        torch.manual_seed(1)
        for step in (10, 95):
            losses = method.losses(make_batch(kind.needs, seed=step), make_progress(step, 100))
            torch.stack(list(losses.values())).sum().backward()
            found.append({name: loss.detach() for name, loss in losses.items()})
        found.append({n: p.grad for n, p in method.named_parameters() if p.grad is not None})
    for eager, made in zip(found[:3], found[3:], strict=True):
        assert list(eager) == list(made)
        for name, value in eager.items():
            torch.testing.assert_close(made[name], value, rtol=1e-4, atol=1e-5)


def test_what_is_compiled_keeps_its_names_and_an_average_stays_eager() -> None:
    method = FixMatch(FixMatch.Config(), make_task())
    names = list(method.state_dict())
    assert compile_trunks(method, backend="aot_eager") == 1
    assert list(method.state_dict()) == names
    assert sum(isinstance(module, ImageTrunk) for module in method.modules()) == 2


def test_a_method_without_the_trunk_has_nothing_to_compile() -> None:
    assert compile_trunks(EAC(EAC.Config(body="vgg19"), make_task())) == 0


@pytest.mark.parametrize("has", [True, False])
def test_a_resumed_training_keeps_its_precision_where_the_device_can(
    has: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = toys.trainer()
    state: dict[str, Any] = {**first.state_dict(), "amp": True}
    again = toys.trainer()
    monkeypatch.setattr("bench.training.trainer.has_bfloat16", lambda _: has)
    again.load_state_dict(state)
    assert again.amp is has
