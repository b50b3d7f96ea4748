"""The comparison with semilearn: equal losses, and one sentence where the package is missing."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.benchmarks import peers
from tests.helpers.timed_trainings import QUICK


def test_two_classes_have_the_cross_entropy_of_a_sigmoid() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5)).double()
    frames = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    truth = torch.randint(0, 2, (4, 5)).double()
    logits = peers.TwoClasses(net)(frames)["logits"]
    theirs = F.cross_entropy(logits, truth.long().reshape(-1))
    ours = F.binary_cross_entropy_with_logits(net(frames), truth)
    torch.testing.assert_close(theirs, ours, rtol=1e-14, atol=1e-14)


def test_times_are_told_as_theirs_over_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, order = [0.0], []

    def step(name: str, seconds: float):
        def taken() -> None:
            clock[0] += seconds
            order.append(name)

        return taken

    monkeypatch.setattr(peers.time, "thread_time", lambda: clock[0])
    text = peers.ratios((step("ours", 0.1), step("theirs", 0.25)), count=1, repeats=1)
    assert text == "ours 100 ms, theirs 250 ms, theirs over ours 2.50 (2.50 to 2.50)"
    assert order[-4:] == ["ours", "theirs", "theirs", "ours"]


def test_a_missing_package_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match="python -m pip install --no-deps semilearn"):
        peers.main([])


def test_our_half_of_the_comparison_uses_pseudo_labels() -> None:
    """It runs where nobody has semilearn too, so that a change of the loop is seen."""
    train = replace(QUICK.train, optimiser="nesterov", batch_size=4, steps=5)
    loss, _ = peers.first_loss(peers.our_training(train, joint=True))
    assert loss > 0


@pytest.mark.skipif(
    importlib.util.find_spec("semilearn") is None, reason="semilearn is not installed"
)
@pytest.mark.filterwarnings("ignore")
def test_the_first_losses_agree_with_the_public_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.sys, "meta_path", [*peers.sys.meta_path])
    peers.stand_in()
    train = replace(QUICK.train, optimiser="nesterov", batch_size=2, steps=5)
    ours, theirs = peers.check_first_losses(train)
    assert ours == pytest.approx(theirs, rel=1e-5)
