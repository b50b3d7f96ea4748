"""The frame store in trouble: stopped, killed, built twice at once, damaged, out of space."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.frame_store.store import FrameStore
from bench.system.files import RecordError
from tests.helpers.fake_recordings import (
    Toy,
    is_being_read,
    reads,
    store_of,
    toy,
    wait_for,
)


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_the_workers_and_the_next_run_goes_on(tmp_path: Path, workers: int) -> None:
    dataset = toy(tmp_path / "data", names="ABCD", length=6)
    gate = tmp_path / "data" / "gate-D_T1"
    gate.touch()

    def progress(done: int, total: int) -> None:
        if done >= 6 * (3 if workers == 2 else 2) and list(tmp_path.glob("toy-*/journal.jsonl")):
            threading.Timer(0.3, gate.unlink).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_of(dataset, tmp_path, workers=workers, progress=progress)
    assert multiprocessing.active_children() == []
    assert not (tmp_path / "data" / "read-to-the-end-D_T1").exists()
    wait_for(lambda: not gate.exists())
    (journal,) = tmp_path.glob("toy-*/journal.jsonl")
    kept = {json.loads(line)["name"] for line in journal.read_text().split("\n") if line}
    assert kept
    before = reads(tmp_path / "data")
    store = store_of(dataset, tmp_path)
    after = reads(tmp_path / "data")
    assert len(after) - len(before) == 4 - len(kept)
    assert all(after.count(name) == before.count(name) for name in kept)
    assert store.content_hash == store_of(dataset, tmp_path / "fresh").content_hash


def test_ctrl_c_in_a_terminal_shows_no_worker_a_traceback_of_its_own(tmp_path: Path) -> None:
    """One worker is at work when it comes, and one has nothing left to do."""
    (tmp_path / "data").mkdir()
    gate = tmp_path / "data" / "gate-B_T1"
    gate.touch()
    script = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[1:3]\n"
        "from tests.helpers.fake_recordings import store_of, toy\n"
        "data, cache = map(Path, sys.argv[3:])\n"
        "store_of(toy(data, names='AB'), cache, workers=2)\n"
    )
    here = Path(__file__).parent
    places = map(str, (here, here.parents[2], tmp_path / "data", tmp_path))
    command = [sys.executable, "-c", script, *places]
    builder = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: reads(tmp_path / "data") == ["A_T1", "B_T1"])
    wait_for(lambda: any(tmp_path.glob("toy-*/journal.jsonl")))
    os.killpg(builder.pid, signal.SIGINT)
    time.sleep(0.2)
    gate.unlink()
    _, errors = builder.communicate()
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


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


def test_a_daemon_that_may_have_no_children_builds_the_store_itself(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", names="AB")
    builder = multiprocessing.get_context("spawn").Process(
        target=_build, args=(dataset, tmp_path, 2), daemon=True
    )
    builder.start()
    builder.join()
    assert builder.exitcode == 0
    store_of(dataset, tmp_path)
    assert reads(tmp_path / "data") == ["A_T1", "B_T1"]


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
    monkeypatch.setattr("bench.frame_store.files.fcntl.flock", no_locks)
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


def test_a_write_that_fails_is_one_sentence_and_nothing_is_trusted(
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
    with pytest.raises(RecordError, match=r"cannot write the frame store .*file.*--cache"):
        store_of(toy(tmp_path / "data"), tmp_path / "file")


def test_a_worker_that_dies_is_one_sentence_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="run again to go on from there, with fewer workers"):
        store_of(toy(tmp_path / "data", dies=True), tmp_path, workers=2)
