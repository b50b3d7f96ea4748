"""Speed of the views on one thread; 160 frames of 64 px or 40 of 224 px a round.

Run with `make bench`.
"""

import numpy as np
import pytest
import torch

from bench.config.settings import AugmentConfig
from bench.training.augment import DRAWS, augment, normalise


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batch(clips, side):
    values = np.random.default_rng(0).integers(0, 256, (clips * 5, side, side, 3), dtype=np.uint8)
    return torch.from_numpy(values), np.repeat(np.arange(clips), 5)


@pytest.mark.parametrize(("clips", "side"), [(32, 64), (8, 224)])
@pytest.mark.parametrize("view", ["weak", "strong"])
def test_augment_views(benchmark, view, clips, side):
    frames, clip_of_frame = batch(clips, side)
    draw = DRAWS[view](AugmentConfig(), clips, 0)
    benchmark.extra_info["frames"] = len(frames)
    benchmark(augment, frames, clip_of_frame, draw)


@pytest.mark.parametrize(("clips", "side"), [(32, 64), (8, 224)])
def test_augment_normalise(benchmark, clips, side):
    frames, _ = batch(clips, side)
    benchmark.extra_info["frames"] = len(frames)
    benchmark(normalise, frames)


@pytest.mark.parametrize("view", ["weak", "strong"])
def test_augment_draw(benchmark, view):
    benchmark(DRAWS[view], AugmentConfig(), 32, 0)
