"""Speed of the frame store: building, opening and gathering.

Run with `make bench`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from bench.frame_store.crop import canonical_face
from bench.frame_store.store import FrameStore, open_store
from datasets._base import Dataset, FoldList, Sequence
from datasets._files.images import ImageFiles

SEQUENCES, FRAMES = 20, 30


class Recordings(Dataset):
    """Faces of noise as JPEG files, 320 x 240 pixels, each with its 68 landmarks."""

    aus = (1, 12)
    fps = 25.0

    def sequences(self) -> list[Sequence]:
        assert self.root is not None
        return [self._sequence(self.root, index) for index in range(SEQUENCES)]

    def _sequence(self, root: Path, index: int) -> Sequence:
        landmarks = ((canonical_face() - 0.5) * 150 + (160, 120)).astype(np.float32)
        return Sequence(
            subject=f"F{index:03}",
            task="T1",
            frames=np.arange(FRAMES),
            labels=np.zeros((FRAMES, 2), np.int8),
            source=ImageFiles(root, tuple(f"{index}/{frame}.jpg" for frame in range(FRAMES))),
            landmarks=np.tile(landmarks, (FRAMES, 1, 1)),
        )

    def folds(self) -> FoldList:
        raise NotImplementedError


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    root = tmp_path_factory.mktemp("recordings")
    smooth = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(smooth).resize((320, 240)).save(root / "face.jpg", quality=85)
    data = (root / "face.jpg").read_bytes()
    for index in range(SEQUENCES):
        (root / str(index)).mkdir()
        for frame in range(FRAMES):
            (root / str(index) / f"{frame}.jpg").write_bytes(data)
    return Recordings(root)


def store_of(recordings: Recordings, cache: Path, size: int, workers: int) -> FrameStore:
    return open_store(recordings, name="noise", size=size, cache=cache, workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("size", [64, 224])
def test_building(
    benchmark: BenchmarkFixture,
    recordings: Recordings,
    tmp_path_factory: pytest.TempPathFactory,
    size: int,
    workers: int,
) -> None:
    def setup() -> tuple[tuple[Recordings, Path, int, int], dict[str, object]]:
        return (recordings, tmp_path_factory.mktemp("cache"), size, workers), {}

    benchmark.extra_info["frames"] = SEQUENCES * FRAMES
    benchmark.pedantic(store_of, setup=setup, rounds=2)  # type: ignore[no-untyped-call]


def test_opening_a_finished_store(
    benchmark: BenchmarkFixture, recordings: Recordings, tmp_path: Path
) -> None:
    store_of(recordings, tmp_path, 64, 2)
    benchmark(store_of, recordings, tmp_path, 64, 1)


@pytest.mark.parametrize("size", [64, 224])
def test_gathering_a_batch(
    benchmark: BenchmarkFixture, recordings: Recordings, tmp_path: Path, size: int
) -> None:
    images = store_of(recordings, tmp_path, size, 2).images
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(images), 384)
    benchmark.extra_info["frames"] = len(rows)
    batch = benchmark(lambda: images[rows])
    assert batch.shape == (384, size, size, 3)
