"""Frames by row: sent ahead or not, through however few buffers, the same frames come."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from bench.training.pixels import FrameSender, Pixels
from tests.helpers import fakes as toys

CPU = torch.device("cpu")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)


def test_what_is_sent_ahead_is_what_is_asked_for(images):
    sender = FrameSender(images, CPU)
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, 50, rng.integers(1, 9)) for _ in range(20)]
    kept = []
    for batch, following in pairwise(batches):
        kept.append(sender.take(batch))
        sender.send_ahead(following)
    for batch, frames in zip(batches, kept, strict=False):
        np.testing.assert_array_equal(frames.numpy(), images[batch])


def test_other_rows_than_those_sent_ahead_are_sent_anew(images):
    sender = FrameSender(images, CPU)
    sender.send_ahead(np.array([1, 2, 3]))
    np.testing.assert_array_equal(sender.take(np.array([3, 2, 1])).numpy(), images[[3, 2, 1]])
    np.testing.assert_array_equal(sender.take(np.array([1, 2, 3])).numpy(), images[[1, 2, 3]])


def test_a_batch_is_sent_once(images, monkeypatch):
    sender, sent = FrameSender(images, CPU), []
    send = sender._send
    monkeypatch.setattr(sender, "_send", lambda rows: sent.append(rows) or send(rows))
    rows = np.arange(5)
    sender.send_ahead(rows)
    sender.take(rows)
    assert len(sent) == 1


def test_a_buffer_waits_until_the_copy_before_is_out_of_it(images):
    class Copying:
        waited = 0

        def synchronize(self):
            self.waited += 1

    sender, event = FrameSender(images, CPU), Copying()
    for buffer in sender._ring:
        buffer.sent = event
    for _ in range(4):
        sender.take(np.arange(3))
    assert event.waited == 4


def test_a_training_sends_the_frames_of_the_next_step_and_learns_the_same(monkeypatch):
    torch.manual_seed(0)
    plain = toys.trainer(steps=6)
    torch.manual_seed(0)
    ahead = toys.trainer(steps=6)
    sender = FrameSender(ahead.loader.pixels.images, CPU)
    monkeypatch.setattr(ahead.loader.pixels, "sender", sender)
    taken = []
    take = sender.take

    def taking(rows):
        taken.append(sender._ahead is not None and sender._ahead[0] == rows.tobytes())
        return take(rows)

    monkeypatch.setattr(sender, "take", taking)
    for trainer in (plain, ahead):
        torch.manual_seed(1)
        trainer.run(6)
    assert taken[:6] == [False] + [True] * 5
    for name, value in plain.method.state_dict().items():
        torch.testing.assert_close(ahead.method.state_dict()[name], value, rtol=0, atol=0)


def test_a_processor_reads_frames_where_they_lie(images):
    pixels = Pixels(images, CPU)
    assert not pixels.sends_ahead
    pixels.prefetch(np.arange(3))
    np.testing.assert_array_equal(pixels.gather(np.array([4, 0])).numpy(), images[[4, 0]])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("resident", [True, False])
def test_a_gpu_gives_the_same_frames(images, resident):
    pixels = Pixels(images, torch.device("cuda"), resident=resident)
    for start in range(20):
        rows = np.arange(start, start + 7)
        frames = pixels.gather(rows)
        pixels.prefetch(rows + 1)
        np.testing.assert_array_equal(frames.cpu().numpy(), images[rows])
