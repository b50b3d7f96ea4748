"""Repeatable arithmetic: which switches are set, where, and what the record says of it."""

from __future__ import annotations

import os

import pytest
import torch

from bench.system.environment import describe, is_deterministic, set_deterministic

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # puts back what was there
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


def test_a_gpu_is_told_all_that_makes_it_repeatable():
    set_deterministic(GPU, on=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert is_deterministic(GPU)


def test_a_workspace_that_a_person_chose_stays(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    set_deterministic(GPU, on=True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_a_gpu_is_left_fast_and_made_fast_again():
    for on in (False, True, False):
        set_deterministic(GPU, on=on)
        assert is_deterministic(GPU) == on
        assert torch.backends.cudnn.deterministic == on


def test_a_cpu_is_repeatable_without_a_switch_being_touched():
    set_deterministic(CPU, on=True)
    assert is_deterministic(CPU)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_record_says_which_mode_it_was_made_in(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    assert describe(CPU, 0.0, "")["deterministic"] is True
    assert describe(GPU, 0.0, "")["deterministic"] is False
    set_deterministic(GPU, on=True)
    assert describe(GPU, 0.0, "")["deterministic"] is True
