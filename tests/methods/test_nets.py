"""The running average of a network, and BatchNorm held still."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods._nets import EMA, ImageClassifier, frozen_bn_stats
from tests.helpers.fake_tasks import make_task


def test_the_average_warms_up_and_then_forgets_at_its_decay() -> None:
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 0.0)
    average, expected = EMA(net, decay=0.5), 0.0
    for step in range(30):
        value = float(np.sin(step))
        torch.nn.init.constant_(net.weight, value)
        average.update(net, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
        assert average.network.weight.item() == pytest.approx(expected, abs=1e-6)


def test_the_average_copies_buffers_and_takes_no_gradient() -> None:
    net = ImageClassifier(make_task())
    average = EMA(net, 0.99).train()
    net.train()
    net(torch.randn(4, 3, 32, 32)).sum().backward()
    average.update(net, 0)
    for mine, its in zip(average.network.buffers(), net.buffers(), strict=True):
        assert torch.equal(mine, its)
    assert not any(p.requires_grad for p in average.parameters())
    assert not any(module.training for module in average.modules())


def test_running_statistics_are_left_alone_batches_use_their_own() -> None:
    norm = torch.nn.BatchNorm1d(2)
    with frozen_bn_stats(norm):
        out = norm(torch.randn(64, 2) * 5 + 3)
    assert torch.allclose(out.mean(0), torch.zeros(2), atol=1e-5)
    assert torch.equal(norm.running_mean, torch.zeros(2))
    norm(torch.randn(64, 2) + 3)
    assert (norm.running_mean > 0).all()


def test_features_come_first_and_the_head_sees_the_middle_frame() -> None:
    net = ImageClassifier(make_task()).eval()
    clips = torch.randn(2, 5, 3, 32, 32)
    features = net.encode(clips.flatten(0, 1)).reshape(2, 5, -1)
    torch.testing.assert_close(net.head(features), net(clips[:, 2]))
