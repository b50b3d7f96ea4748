"""The frame store: exact, complete, resumable, safe to build twice at once, plain about damage."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.frames import FrameStore, open_store
from bench.records import RecordError
from datasets._base import (
    BrokenFrame,
    Dataset,
    DatasetCorrupt,
    DatasetMissing,
    FoldList,
    Sequence,
)
from datasets._landmarks import align_transform, canonical_face, transform_points
from datasets._sources import ImageFiles
from datasets.bp4d import Bp4d

SIZE = (40, 60)


@dataclass(frozen=True)
class Arrays:
    """Frames in memory; every reading is logged to a file, so that other processes' count too."""

    pixels: NDArray[np.uint8]
    folder: Path
    name: str
    broken: tuple[int, ...] = ()
    gives_up_at: int | None = None
    dies: bool = False

    def __len__(self) -> int:
        return len(self.pixels)

    def fingerprint(self) -> str:
        return f"{self.name} {hashlib.sha256(self.pixels.tobytes()).hexdigest()} {self.broken}"

    def size(self) -> tuple[int, int]:
        return SIZE

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        with (self.folder / "reads").open("a") as log:
            log.write(f"{self.name}\n")
        wait_at(self.folder / f"gate-{self.name}")
        for index, frame in enumerate(self.pixels):
            if self.dies:
                os._exit(1)
            if index == self.gives_up_at:
                raise DatasetCorrupt(f"{self.name}.avi", None, "the stream is damaged")
            yield BrokenFrame(f"{self.name}/{index}.jpg", "cut") if index in self.broken else frame


def wait_at(gate: Path) -> None:
    """Wait while the file is there, holding a lock on it that ends with this process."""
    if gate.exists():
        with gate.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)
            wait_for(lambda: not gate.exists())


def is_being_read(gate: Path) -> bool:
    with gate.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Toy(Dataset):
    aus = (1, 12)
    fps = 25.0

    def __init__(self, given: list[Sequence], root: Path | None = None):
        super().__init__(root)
        self.given = given

    def sequences(self) -> list[Sequence]:
        return self.given

    def folds(self) -> FoldList:
        raise NotImplementedError


def toy(folder: Path, names: str = "ABC", length: int = 4, **source: Any) -> Toy:
    """Return recordings of noise without face positions; `source` describes the first one."""
    folder.mkdir(exist_ok=True)
    given = []
    for index, name in enumerate(names):
        rng = np.random.default_rng(index)
        pixels = rng.integers(0, 256, (length, *SIZE, 3)).astype(np.uint8)
        frames = np.arange(length, dtype=np.int64) + 100
        labels = rng.integers(-1, 2, (length, 2)).astype(np.int8)
        arrays = Arrays(pixels, folder, f"{name}_T1", **(source if index == 0 else {}))
        given.append(Sequence(subject=name, task="T1", frames=frames, labels=labels, source=arrays))
    return Toy(given, folder)


def store_of(dataset: Dataset, cache: Path, **options: Any) -> FrameStore:
    given: dict[str, Any] = {"name": "toy", "size": 16, "crop": "centre", "workers": 1}
    return open_store(dataset, cache=cache, **(given | options))


def reads(folder: Path) -> list[str]:
    log = folder / "reads"
    return sorted(log.read_text().split()) if log.exists() else []


def changed(dataset: Toy, index: int, **values: Any) -> Toy:
    given = list(dataset.given)
    given[index] = replace(given[index], **values)
    return Toy(given, dataset.root)


def rows_of(store: FrameStore, index: int) -> NDArray[np.uint8]:
    sequence = store.sequences[index]
    return np.array(store.images[sequence.start : sequence.start + len(sequence.frames)])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited for half a minute"
        time.sleep(0.01)


def test_every_frame_is_in_its_row_with_its_labels_and_number(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    store = store_of(dataset, tmp_path, size=40)
    assert store.images.shape == (12, 40, 40, 3)
    assert store.images.dtype == np.uint8
    assert not store.images.flags.writeable
    assert [sequence.name for sequence in store.sequences] == ["A_T1", "B_T1", "C_T1"]
    for index, given in enumerate(dataset.given):
        stored = store.sequences[index]
        assert isinstance(given.source, Arrays)
        np.testing.assert_array_equal(rows_of(store, index), given.source.pixels[:, :, 10:50])
        np.testing.assert_array_equal(stored.labels, given.labels)
        np.testing.assert_array_equal(stored.frames, given.frames)
        np.testing.assert_array_equal(stored.coded, given.coded)
        assert stored.landmarks is None
    assert store.problems == ()


def test_landmarks_are_where_the_crop_shows_them(tmp_path: Path) -> None:
    """A dot is painted on one landmark of a turned face; its crop must show it at that landmark."""
    turned = np.array([[0.98, -0.2], [0.2, 0.98]])
    landmarks = ((canonical_face() - 0.5) * 30) @ turned.T + np.array([30, 20])
    pixels = np.zeros((1, *SIZE, 3), np.uint8)
    column, row = np.floor(landmarks[8]).astype(int)
    pixels[0, row, column] = 255
    dataset = toy(tmp_path / "data", names="A", length=1)
    moved = landmarks + (np.array([column, row]) + 0.5 - landmarks[8])
    source = Arrays(pixels, tmp_path / "data", "A_T1")
    dataset = changed(dataset, 0, source=source, landmarks=moved[None].astype(np.float32))
    store = store_of(dataset, tmp_path, size=60, crop="auto")
    stored = store.sequences[0].landmarks
    assert stored is not None
    expected = transform_points(align_transform(moved), moved) * 60
    np.testing.assert_allclose(stored[0], expected, atol=1e-3)
    bright = np.argwhere(store.images[0, ..., 0] > 100)
    np.testing.assert_allclose(bright.mean(axis=0)[::-1] + 0.5, stored[0, 8], atol=0.5)


def test_a_second_opening_decodes_nothing_and_says_the_same(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", broken=(1,))
    first = store_of(dataset, tmp_path)
    again = store_of(dataset, tmp_path, workers=2)
    assert reads(tmp_path / "data") == ["A_T1", "B_T1", "C_T1"]
    assert again.content_hash == first.content_hash
    assert again.problems == first.problems
    assert again.path == first.path


def test_several_processes_build_what_one_builds(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", names="ABCDE", broken=(0, 2))
    seen: list[tuple[int, int]] = []
    alone = store_of(dataset, tmp_path / "one")
    shared = store_of(
        dataset, tmp_path / "two", workers=2, progress=lambda *step: seen.append(step)
    )
    assert shared.content_hash == alone.content_hash
    np.testing.assert_array_equal(shared.images, alone.images)
    assert seen == sorted(seen)
    assert seen[-1] == (20, 20)


def test_broken_frames_are_named_and_left_out_and_the_rest_stays_together(tmp_path: Path) -> None:
    whole = store_of(toy(tmp_path / "data"), tmp_path / "whole")
    dataset = toy(tmp_path / "data", broken=(0, 2))
    store = store_of(dataset, tmp_path / "gaps")
    assert [len(sequence.frames) for sequence in store.sequences] == [2, 4, 4]
    np.testing.assert_array_equal(store.sequences[0].frames, [101, 103])
    np.testing.assert_array_equal(store.sequences[0].labels, dataset.given[0].labels[[1, 3]])
    np.testing.assert_array_equal(rows_of(store, 0), rows_of(whole, 0)[[1, 3]])
    np.testing.assert_array_equal(rows_of(store, 1), rows_of(whole, 1))
    assert len(store.problems) == 2
    assert store.problems[0].startswith("A_T1/0.jpg: cut")
    assert store.problems[1].startswith("A_T1/2.jpg: cut")


def test_a_recording_that_breaks_off_keeps_what_came_before(tmp_path: Path) -> None:
    store = store_of(toy(tmp_path / "data", gives_up_at=3), tmp_path)
    np.testing.assert_array_equal(store.sequences[0].frames, [100, 101, 102])
    (problem,) = store.problems
    assert "frame 4 of 4" in problem
    assert "A_T1.avi: the stream is damaged" in problem


def test_a_sequence_without_a_readable_frame_is_left_out_and_named_once(tmp_path: Path) -> None:
    store = store_of(toy(tmp_path / "data", broken=(0, 1, 2, 3)), tmp_path)
    assert [sequence.name for sequence in store.sequences] == ["B_T1", "C_T1"]
    (problem,) = store.problems
    assert "A_T1: none of its 4 frames can be read (A_T1/0.jpg: cut)" in problem


def test_a_dataset_without_a_readable_frame_is_missing_and_is_tried_anew(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", names="A", gives_up_at=0)
    for _ in range(2):
        with pytest.raises(DatasetMissing, match=r"data: none of its 4 frames .*damaged"):
            store_of(dataset, tmp_path)
    assert len(reads(tmp_path / "data")) == 2


def test_an_empty_dataset_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="no recording"):
        store_of(Toy([], tmp_path), tmp_path)


def test_a_frame_without_a_face_position_borrows_one_and_a_sequence_without_any_is_named(
    tmp_path: Path,
) -> None:
    dataset = toy(tmp_path / "data")
    boxes = np.full((4, 4), np.nan, np.float32)
    boxes[1] = (20, 10, 40, 30)
    store = store_of(changed(dataset, 0, boxes=boxes), tmp_path, crop="auto", size=22)
    source = dataset.given[0].source
    assert isinstance(source, Arrays)
    np.testing.assert_array_equal(rows_of(store, 0), source.pixels[:, 9:31, 19:41])
    (problem,) = store.problems
    assert "centre crop for 2 of 3 sequences (B_T1, C_T1)" in problem


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_the_workers_and_the_next_run_decodes_only_what_is_missing(
    tmp_path: Path, workers: int
) -> None:
    dataset = toy(tmp_path / "data", names="ABCD", length=6)
    gate = tmp_path / "data" / "gate-D_T1"
    gate.touch()

    def progress(done: int, total: int) -> None:
        if done >= 6 * (3 if workers == 2 else 2) and list(tmp_path.glob("toy-*/journal.jsonl")):
            gate.unlink(missing_ok=True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_of(dataset, tmp_path, workers=workers, progress=progress)
    gate.unlink(missing_ok=True)
    assert multiprocessing.active_children() == []
    (journal,) = tmp_path.glob("toy-*/journal.jsonl")
    kept = {json.loads(line)["name"] for line in journal.read_text().split("\n") if line}
    assert kept
    before = reads(tmp_path / "data")
    store = store_of(dataset, tmp_path)
    after = reads(tmp_path / "data")
    assert len(after) - len(before) == 4 - len(kept)
    assert all(after.count(name) == before.count(name) for name in kept)
    assert store.content_hash == store_of(dataset, tmp_path / "fresh").content_hash


def _build(dataset: Toy, cache: Path, workers: int) -> None:
    store_of(dataset, cache, workers=workers)


def test_a_killed_build_goes_on_after_its_last_finished_sequence(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    gate = tmp_path / "data" / "gate-C_T1"
    gate.touch()
    builder = multiprocessing.get_context("spawn").Process(
        target=_build, args=(dataset, tmp_path, 1)
    )
    builder.start()
    wait_for(lambda: reads(tmp_path / "data") == ["A_T1", "B_T1", "C_T1"])
    builder.kill()
    builder.join()
    gate.unlink()
    (journal,) = tmp_path.glob("toy-*/journal.jsonl")
    with journal.open("a") as stream:
        stream.write('\n{"name": "C_T1", "start": 8, "pix')
    store = store_of(dataset, tmp_path)
    assert reads(tmp_path / "data") == ["A_T1", "B_T1", "C_T1", "C_T1"]
    assert store.content_hash == store_of(dataset, tmp_path / "fresh").content_hash
    assert not journal.exists()


def test_the_workers_of_a_killed_build_end_with_it(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", names="AB")
    for name in ("A_T1", "B_T1"):
        (tmp_path / "data" / f"gate-{name}").touch()
    builder = multiprocessing.get_context("spawn").Process(
        target=_build, args=(dataset, tmp_path, 2)
    )
    builder.start()
    wait_for(lambda: reads(tmp_path / "data") == ["A_T1", "B_T1"])
    assert is_being_read(tmp_path / "data" / "gate-A_T1")
    builder.kill()
    builder.join()
    for name in ("A_T1", "B_T1"):
        gate = tmp_path / "data" / f"gate-{name}"
        wait_for(lambda gate=gate: not is_being_read(gate))  # type: ignore[misc]


def test_a_second_builder_waits_for_the_first_and_decodes_nothing(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    gate = tmp_path / "data" / "gate-B_T1"
    gate.touch()
    stores: list[FrameStore] = []
    waited: list[tuple[int, int]] = []

    def second_waits(done: int, total: int) -> None:
        waited.append((done, total))
        gate.unlink(missing_ok=True)

    first = threading.Thread(target=lambda: stores.append(store_of(dataset, tmp_path)))
    first.start()
    wait_for(lambda: len(reads(tmp_path / "data")) == 2)
    stores.append(store_of(dataset, tmp_path, progress=second_waits))
    first.join()
    assert waited[0] == (4, 12)
    assert reads(tmp_path / "data") == ["A_T1", "B_T1", "C_T1"]
    assert stores[0].content_hash == stores[1].content_hash


def test_two_builders_on_a_disk_without_locks_do_each_other_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    dataset = toy(tmp_path / "data", names="ABCDEFGH")
    monkeypatch.setattr("bench._store_files.fcntl.flock", no_locks)
    stores: list[FrameStore] = []
    first = threading.Thread(target=lambda: stores.append(store_of(dataset, tmp_path)))
    second = threading.Thread(target=lambda: stores.append(store_of(dataset, tmp_path)))
    first.start()
    second.start()
    first.join()
    second.join()
    fresh = store_of(dataset, tmp_path / "fresh")
    for store in stores:
        assert store.content_hash == fresh.content_hash
        np.testing.assert_array_equal(store.images, fresh.images)


def image_files(root: Path, quality: int = 90) -> Toy:
    """Write two recordings of smooth JPEG frames and read them as a dataset would."""
    given = []
    for subject in ("F001", "M002"):
        names = []
        for frame in range(3):
            path = root / subject / f"{frame}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            ramp = np.add.outer(np.arange(300), np.arange(400)) * 0.2 + 20 * frame
            Image.fromarray(np.stack([ramp] * 3, axis=-1).astype(np.uint8)).save(
                path, quality=quality
            )
            names.append(f"{subject}/{frame}.jpg")
        given.append(
            Sequence(
                subject=subject,
                task="T1",
                frames=np.arange(3),
                labels=np.zeros((3, 2), np.int8),
                source=ImageFiles(root, tuple(names)),
            )
        )
    return Toy(given, root)


def test_the_same_images_and_labels_hash_the_same_in_any_folder(tmp_path: Path) -> None:
    here = store_of(image_files(tmp_path / "here"), tmp_path / "cache")
    time.sleep(0.01)
    there = store_of(image_files(tmp_path / "there"), tmp_path / "elsewhere")
    assert here.path.name != there.path.name, "files of another time are not taken for the same"
    assert here.content_hash == there.content_hash


def test_other_pixels_labels_numbers_or_crops_hash_differently(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    source = dataset.given[1].source
    assert isinstance(source, Arrays)
    labels, pixels = dataset.given[0].labels.copy(), source.pixels.copy()
    labels[0, 0] = 1 if labels[0, 0] != 1 else 0
    pixels[2, 5, 30] ^= 255
    stores = [
        store_of(dataset, tmp_path),
        store_of(dataset, tmp_path, size=20),
        store_of(changed(dataset, 0, labels=labels), tmp_path),
        store_of(changed(dataset, 0, frames=np.arange(4) + 7), tmp_path),
        store_of(changed(dataset, 1, source=replace(source, pixels=pixels)), tmp_path),
        store_of(
            changed(dataset, 2, boxes=np.tile(np.array([9, 9, 30, 30], np.float32), (4, 1))),
            tmp_path,
            crop="box",
        ),
    ]
    assert len({store.content_hash for store in stores}) == len(stores)


def test_a_corrected_label_file_needs_no_decoding(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    first = store_of(dataset, tmp_path)
    before = reads(tmp_path / "data")
    flipped = 1 - np.abs(dataset.given[0].labels)
    again = store_of(changed(dataset, 0, labels=flipped), tmp_path)
    assert reads(tmp_path / "data") == before
    assert again.path == first.path
    np.testing.assert_array_equal(again.sequences[0].labels, flipped)


def spoil(name: str, content: bytes | None) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return apply


def cut_short(folder: Path) -> None:
    os.truncate(folder / "frames.npy", 1000)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (spoil("manifest.json", b'{"key": "'), "manifest.json"),
        (spoil("manifest.json", b"[1, 2]"), "manifest.json"),
        (spoil("manifest.json", b'{"key": "0", "sequences": []}'), "manifest.json"),
        (spoil("manifest.json", b"\xff\x00"), "manifest.json"),
        (spoil("frames.npy", None), "frames.npy"),
        (spoil("frames.npy", b"not an array"), "frames.npy"),
        (spoil("crops.npy", b""), "crops.npy"),
        (cut_short, "frames.npy"),
    ],
)
def test_a_damaged_store_is_built_again_and_says_so(
    tmp_path: Path, damage: Callable[[Path], None], named: str
) -> None:
    dataset = toy(tmp_path / "data")
    first = store_of(dataset, tmp_path)
    damage(first.path)
    again = store_of(dataset, tmp_path)
    (problem,) = again.problems
    assert named in problem
    assert "built again" in problem
    assert again.content_hash == first.content_hash
    assert store_of(dataset, tmp_path).problems == ()


def test_a_store_is_not_begun_on_a_disk_that_cannot_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(RecordError, match=r"needs .* MB more .* free space"):
        store_of(toy(tmp_path / "data"), tmp_path, size=40)
    assert reads(tmp_path / "data") == []


def test_a_write_that_fails_is_one_sentence_and_nothing_half_written_is_trusted(
    tmp_path: Path,
) -> None:
    dataset = toy(tmp_path / "data")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    expected = store_of(dataset, tmp_path / "fresh", size=40)

    def fill_the_disk(done: int, total: int) -> None:
        if done == 6:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    try:
        with pytest.raises(RecordError, match=r"cannot write the frame store .*free space"):
            store_of(dataset, tmp_path, size=40, progress=fill_the_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("toy-*/manifest.json"))
    store = store_of(dataset, tmp_path, size=40)
    assert store.content_hash == expected.content_hash
    np.testing.assert_array_equal(store.images, expected.images)


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    with pytest.raises(RecordError, match=r"cannot write the frame store .*file.*another cache"):
        store_of(toy(tmp_path / "data"), tmp_path / "file")


def test_a_worker_that_dies_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="run again to go on from there, with fewer workers"):
        store_of(toy(tmp_path / "data", dies=True), tmp_path, workers=2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"crop": "allign"}, "did you mean align.*auto, align, box, centre"),
        ({"crop": "align"}, "toy comes without landmarks; use auto or centre"),
        ({"crop": "box"}, "toy comes without face boxes"),
        ({"size": 0}, "must be a pixel or more"),
    ],
)
def test_a_crop_that_cannot_be_is_refused_before_anything_is_decoded(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(RecordError, match=sentence):
        store_of(toy(tmp_path / "data"), tmp_path, **options)
    assert reads(tmp_path / "data") == []


def test_large_jpegs_give_the_crop_that_their_full_decoding_gives(tmp_path: Path) -> None:
    dataset = image_files(tmp_path / "data", quality=95)
    store = store_of(dataset, tmp_path, size=30)
    blocks = (np.add.outer(np.arange(300), np.arange(50, 350)) * 0.2).reshape(30, 10, 30, 10)
    np.testing.assert_allclose(store.images[0, ..., 1], blocks.mean(axis=(1, 3)), atol=2.5)


def test_the_store_needs_no_torch() -> None:
    check = "import bench.frames, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.shared
def test_the_rendered_faces_lie_whole_within_their_crops(tmp_path: Path) -> None:
    root = os.environ.get("AU_BENCH_SHARED")
    if not root:
        pytest.skip("AU_BENCH_SHARED does not name the folder of rendered video")
    bp4d = Bp4d(Path(root) / "ictface-bp4d")
    some = Toy(bp4d.sequences()[::80], bp4d.root)
    store = store_of(some, tmp_path, crop="auto", size=64)
    for sequence in store.sequences:
        assert sequence.landmarks is not None
        assert sequence.landmarks.min() > 1
        assert sequence.landmarks.max() < 63
    assert store.problems == ()
