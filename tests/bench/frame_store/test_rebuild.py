"""The frame store a second time: what is taken over, what is retried; the memory it asks for."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bench.frame_store import store as opening
from bench.frame_store.layout import StoreLayout
from bench.frame_store.store import FrameStore
from datasets._base import DatasetMissing
from tests.helpers.fake_recordings import Arrays, Toy, changed, reads, rows_of, store_of, toy


@dataclass(frozen=True)
class Passing(Arrays):
    """Images that are unreadable for a passing reason: nothing about the files tells of it."""

    def fingerprint(self) -> str:
        return f"{self.name} {len(self.pixels)}"


def passing(folder: Path, broken: tuple[int, ...]) -> Toy:
    dataset = toy(folder)
    given = dataset.given[1].source
    assert isinstance(given, Arrays)
    return changed(dataset, 1, source=Passing(given.pixels, folder, given.name, broken))


def same(store: FrameStore, other: FrameStore) -> bool:
    return store.content_hash == other.content_hash


def test_an_image_that_reads_again_is_taken_in_on_request(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    first = store_of(passing(data, broken=(1, 3)), tmp_path)
    assert (first.decoded, first.left_out) == (12, 2)
    before = reads(data)
    unasked = store_of(passing(data, broken=()), tmp_path)
    assert same(unasked, first)
    assert reads(data) == before
    again = store_of(passing(data, broken=()), tmp_path, retry=True)
    assert (again.decoded, again.left_out, again.problems) == (4, 0, ())
    assert reads(data) == sorted([*before, "B_T1"])
    assert same(again, store_of(passing(data, broken=()), tmp_path / "fresh"))
    assert same(store_of(passing(data, broken=()), tmp_path), again)


def test_readers_during_a_retry_keep_the_rows_they_opened(tmp_path: Path) -> None:
    held = store_of(passing(tmp_path / "data", broken=(0,)), tmp_path)
    rows = np.array(held.images)
    store_of(passing(tmp_path / "data", broken=()), tmp_path, retry=True)
    np.testing.assert_array_equal(held.images, rows)
    assert [file.name for file in sorted(held.path.glob("*.npy"))] == [
        "crops-1.npy",
        "frames-1.npy",
    ]


def test_whoever_opens_a_store_while_a_retry_ends_gets_the_new_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(passing(tmp_path / "data", broken=(0,)), tmp_path)
    read_manifest = opening.read_manifest

    def then_retry(layout: StoreLayout) -> tuple[StoreLayout | None, list[str]]:
        found = read_manifest(layout)
        monkeypatch.setattr(opening, "read_manifest", read_manifest)
        store_of(passing(tmp_path / "data", broken=()), tmp_path, retry=True)
        return found

    monkeypatch.setattr(opening, "read_manifest", then_retry)
    assert store_of(passing(tmp_path / "data", broken=()), tmp_path).left_out == 0


def test_a_retry_that_gains_nothing_changes_nothing(tmp_path: Path) -> None:
    dataset = passing(tmp_path / "data", broken=(1,))
    first = store_of(dataset, tmp_path)
    files = {file: file.stat().st_mtime_ns for file in first.path.iterdir() if file.name != "lock"}
    again = store_of(dataset, tmp_path, retry=True)
    assert same(again, first)
    assert again.problems == first.problems
    now = {file: file.stat().st_mtime_ns for file in first.path.iterdir() if file.name != "lock"}
    assert now == files


def test_a_retry_may_find_more_broken_than_before(tmp_path: Path) -> None:
    store_of(passing(tmp_path / "data", broken=(1,)), tmp_path)
    worse = store_of(passing(tmp_path / "data", broken=(0, 1, 2, 3)), tmp_path, retry=True)
    assert [sequence.name for sequence in worse.sequences] == ["A_T1", "C_T1"]
    better = store_of(passing(tmp_path / "data", broken=(2,)), tmp_path, retry=True)
    assert better.left_out == 1
    assert same(better, store_of(passing(tmp_path / "data", broken=(2,)), tmp_path / "fresh"))


def test_a_retry_that_breaks_off_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    first = store_of(passing(tmp_path / "data", broken=(1,)), tmp_path)

    def stop_while_copying(done: int, total: int) -> None:
        if total == 12:
            raise KeyboardInterrupt

    whole = passing(tmp_path / "data", broken=())
    with pytest.raises(KeyboardInterrupt):
        store_of(whole, tmp_path, retry=True, progress=stop_while_copying)
    assert same(store_of(whole, tmp_path), first)
    again = store_of(whole, tmp_path, retry=True)
    assert again.left_out == 0
    assert sorted(file.name for file in again.path.iterdir()) == [
        "crops-1.npy",
        "frames-1.npy",
        "lock",
        "manifest.json",
    ]


def test_a_retried_store_whose_manifest_is_lost_is_built_again_whole(tmp_path: Path) -> None:
    store_of(passing(tmp_path / "data", broken=(1,)), tmp_path)
    whole = passing(tmp_path / "data", broken=())
    good = store_of(whole, tmp_path, retry=True)
    (good.path / "manifest.json").unlink()
    assert same(store_of(whole, tmp_path), good)
    assert not list(good.path.glob("*-1.npy"))


def test_a_dataset_of_which_nothing_was_readable_is_tried_again(
    tmp_path: Path,
) -> None:
    with pytest.raises(DatasetMissing):
        store_of(Toy([passing(tmp_path / "data", (0, 1, 2, 3)).given[1]]), tmp_path)
    assert store_of(Toy([passing(tmp_path / "data", ()).given[1]]), tmp_path).left_out == 0


def test_only_the_recording_that_changed_is_decoded_for_the_new_store(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", names="ABCD")
    old = store_of(dataset, tmp_path)
    source = dataset.given[2].source
    assert isinstance(source, Arrays)
    pixels = source.pixels.copy()
    pixels[1] ^= 255
    edited = changed(dataset, 2, source=replace(source, pixels=pixels))
    new = store_of(edited, tmp_path, workers=2)
    assert new.path != old.path
    assert new.decoded == 4
    assert reads(tmp_path / "data") == ["A_T1", "B_T1", "C_T1", "C_T1", "D_T1"]
    assert same(new, store_of(edited, tmp_path / "fresh"))
    np.testing.assert_array_equal(rows_of(new, 3), rows_of(old, 3))


def test_recordings_added_or_removed_cost_no_decoding_of_the_others(tmp_path: Path) -> None:
    few = toy(tmp_path / "data", names="ABC")
    store_of(few, tmp_path)
    more = toy(tmp_path / "data", names="ABCDE")
    grown = store_of(more, tmp_path)
    assert grown.decoded == 8
    fewer = Toy(more.given[1:4], more.root)
    shrunk = store_of(fewer, tmp_path)
    assert shrunk.decoded == 0
    assert same(shrunk, store_of(fewer, tmp_path / "fresh"))


def test_pictures_stay_with_their_recording_when_names_are_exchanged(tmp_path: Path) -> None:
    """A table in which two subjects were mixed up, put right: labels follow the names."""
    dataset = toy(tmp_path / "data")
    old = store_of(dataset, tmp_path)
    mended = changed(changed(dataset, 0, subject="B"), 1, subject="A")
    new = store_of(mended, tmp_path)
    assert new.decoded == 0
    assert [sequence.name for sequence in new.sequences] == ["B_T1", "A_T1", "C_T1"]
    np.testing.assert_array_equal(rows_of(new, 0), rows_of(old, 0))
    assert same(new, store_of(mended, tmp_path / "fresh"))


def test_a_recording_that_is_renamed_is_not_decoded_again(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    store_of(dataset, tmp_path)
    new = store_of(changed(dataset, 1, subject="Z"), tmp_path)
    assert (new.decoded, new.sequences[1].name) == (0, "Z_T1")


def test_recordings_of_the_same_pictures_are_both_taken_over(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    twice = Toy([*dataset.given, replace(dataset.given[0], task="T2")], dataset.root)
    store_of(twice, tmp_path)
    new = store_of(Toy(twice.given[1:], twice.root), tmp_path)
    fewer = Toy([twice.given[0], twice.given[3]], twice.root)
    assert (new.decoded, store_of(fewer, tmp_path).decoded) == (0, 0)
    assert same(store_of(fewer, tmp_path), store_of(fewer, tmp_path / "fresh"))


def test_a_store_in_which_names_were_mixed_up_is_built_again(tmp_path: Path) -> None:
    """Stores of before filed rows under the name that they had in another store."""
    dataset = toy(tmp_path / "data")
    old = store_of(dataset, tmp_path)
    file = old.path / "manifest.json"
    manifest = json.loads(file.read_text())
    one, two = manifest["sequences"][:2]
    one["key"], two["key"] = two["key"], one["key"]
    file.write_text(json.dumps(manifest))
    again = store_of(dataset, tmp_path)
    assert "has the frames of another recording" in again.problems[0]
    assert same(again, old)


def test_rows_are_taken_over_from_no_store_of_another_size_or_crop(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    store_of(dataset, tmp_path)
    assert store_of(dataset, tmp_path, size=20).decoded == 12
    assert store_of(dataset, tmp_path, crop="auto").decoded == 12


def test_rows_that_were_damaged_are_decoded_instead(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    old = store_of(dataset, tmp_path)
    with (old.path / "frames.npy").open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)[0]
        stream.seek(-1, 2)
        stream.write(bytes([last ^ 255]))
    fewer = Toy(dataset.given[1:], dataset.root)
    new = store_of(fewer, tmp_path)
    assert reads(tmp_path / "data") == ["A_T1", "B_T1", "C_T1", "C_T1"]
    assert same(new, store_of(fewer, tmp_path / "fresh"))


def test_a_recording_with_unreadable_images_is_not_taken_over(tmp_path: Path) -> None:
    few = passing(tmp_path / "data", broken=(1,))
    store_of(few, tmp_path)
    more = Toy(passing(tmp_path / "data", broken=()).given[:2], few.root)
    assert store_of(more, tmp_path).left_out == 0


def test_what_an_interrupted_build_finished_is_taken_over_too(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", names="ABCD")

    def stop(done: int, total: int) -> None:
        if done >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_of(dataset, tmp_path, progress=stop)
    fewer = Toy(dataset.given[:3], dataset.root)
    assert store_of(fewer, tmp_path).decoded == 4


@pytest.mark.parametrize("content", [b"", b"[]", b'{"sequences": 3}', b"\xff"])
def test_a_neighbour_that_is_no_store_is_passed_over(tmp_path: Path, content: bytes) -> None:
    dataset = toy(tmp_path / "data")
    path = store_of(dataset, tmp_path / "first").path
    broken = tmp_path / f"{path.name.rpartition('-')[0]}-0123456789ab"
    broken.mkdir()
    (broken / "manifest.json").write_bytes(content)
    assert store_of(dataset, tmp_path).decoded == 12


def test_a_store_from_before_there_were_keys_is_still_opened(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data")
    old = store_of(dataset, tmp_path)
    manifest = json.loads((old.path / "manifest.json").read_text())
    del manifest["generation"]
    for sequence in manifest["sequences"]:
        del sequence["key"]
    (old.path / "manifest.json").write_text(json.dumps(manifest))
    again = store_of(dataset, tmp_path)
    assert (again.decoded, again.content_hash) == (0, old.content_hash)


def test_the_memory_of_a_build_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    """A store of 10 MB is built, and most of it taken over, in less than 1 MB."""
    dataset = toy(tmp_path, names="ABCD", length=300)
    for index, sequence in enumerate(dataset.given):
        assert isinstance(sequence.source, Arrays)
        named = Passing(sequence.source.pixels, tmp_path, sequence.name)
        dataset = changed(dataset, index, source=named)
    for given in (dataset, Toy(dataset.given[1:])):
        tracemalloc.start()
        store = store_of(given, tmp_path, size=52)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert store.images.nbytes > 7_000_000
        assert peak < 1_000_000
