"""What a frame store holds: the right rows, crops, labels and hash, and the names of what broke."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.frame_store import crop as _crops
from bench.frame_store.crop import align_transform, canonical_face, transform_points
from bench.system.files import RecordError
from datasets._base import DatasetMissing, Sequence
from datasets._files.images import ImageFiles
from datasets._landmarks.with_face_file import WithFaces
from datasets.bp4d import Bp4d
from tests.helpers.fake_recordings import (
    SIZE,
    Arrays,
    Toy,
    changed,
    reads,
    rows_of,
    store_of,
    toy,
)


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
    column, row = np.floor(landmarks[8]).astype(int)
    landmarks += np.array([column, row]) + 0.5 - landmarks[8]
    pixels = np.zeros((2, *SIZE, 3), np.uint8)
    pixels[1, row, column] = 255
    dataset = changed(
        toy(tmp_path / "data", names="AB", length=2),
        1,
        source=Arrays(pixels, tmp_path / "data", "B_T1", broken=(0,)),
        landmarks=np.stack([landmarks * 0.5, landmarks]).astype(np.float32),
    )
    store = store_of(dataset, tmp_path, size=60, crop="auto")
    stored = store.sequences[1].landmarks
    assert stored is not None
    expected = transform_points(align_transform(landmarks), landmarks) * 60
    np.testing.assert_allclose(stored, expected[None], atol=1e-3)
    bright = np.argwhere(rows_of(store, 1)[0, ..., 0] > 100)
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


def test_a_frame_without_a_face_borrows_one_else_is_named(
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


def test_intensities_go_with_their_frames_and_into_no_hash(tmp_path: Path) -> None:
    dataset = toy(tmp_path / "data", broken=(1,))
    plain = store_of(dataset, tmp_path)
    levels = np.arange(8, dtype=np.float32).reshape(4, 2) / 2
    told = store_of(changed(dataset, 0, intensities=levels), tmp_path)
    assert told.content_hash == plain.content_hash
    assert told.decoded == 0
    assert plain.sequences[0].intensities is None
    assert told.sequences[1].intensities is None
    np.testing.assert_array_equal(told.sequences[0].intensities, levels[[0, 2, 3]])


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


@pytest.mark.parametrize("measure", ["CROP_SIDE", "CROP_DROP", "BOX_MARGIN", "RECIPE"])
def test_other_measures_of_the_crop_make_another_store(
    measure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = toy(tmp_path / "data", "A")
    before = store_of(dataset, tmp_path).path
    assert store_of(dataset, tmp_path).path == before
    monkeypatch.setattr(_crops, measure, getattr(_crops, measure) + 1)
    assert store_of(dataset, tmp_path).path != before


def test_the_centre_crop_is_said_first_and_warned_of_in_each_result(
    tmp_path: Path,
) -> None:
    store = store_of(toy(tmp_path / "data", "A"), tmp_path, crop="auto")
    assert store.warnings == store.problems[:1]
    assert store.warnings[0].startswith("no face boxes or landmarks: centre crop for 1 of 1")
    assert store_of(toy(tmp_path / "data", "A"), tmp_path, crop="centre").warnings == ()


def test_large_jpegs_give_the_crop_that_their_full_decoding_gives(tmp_path: Path) -> None:
    dataset = image_files(tmp_path / "data", quality=95)
    store = store_of(dataset, tmp_path, size=30)
    blocks = (np.add.outer(np.arange(300), np.arange(50, 350)) * 0.2).reshape(30, 10, 30, 10)
    np.testing.assert_allclose(store.images[0, ..., 1], blocks.mean(axis=(1, 3)), atol=2.5)


def test_the_store_needs_no_torch() -> None:
    check = "import bench.frame_store.store, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.shared
def test_the_rendered_faces_lie_whole_within_their_crops(tmp_path: Path) -> None:
    root = os.environ.get("AU_BENCH_SHARED")
    if not root:
        pytest.skip("AU_BENCH_SHARED does not name the folder of rendered video")
    bp4d = Bp4d(Path(root) / "ictface-bp4d")
    some = Toy(WithFaces(bp4d).sequences()[::80], bp4d.root)
    store = store_of(some, tmp_path, crop="auto", size=64)
    for sequence in store.sequences:
        assert sequence.landmarks is not None
        assert sequence.landmarks.min() > 1
        assert sequence.landmarks.max() < 63
    assert store.problems == ()


def test_each_picture_is_cropped_by_its_own_size_and_reasons_are_told(tmp_path: Path) -> None:
    """The middle square of each is yellow, whatever its size; a phone's picture is told."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, (height, width) in {"a": (400, 800), "b": (90, 60), "c": (400, 800)}.items():
        picture = np.zeros((height, width, 3), np.uint8)
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        picture[top : top + side, left : left + side] = (240, 240, 20)
        options = {"exif": exif} if name == "b" else {}
        Image.fromarray(picture).save(tmp_path / f"{name}.jpg", quality=95, **options)
    Image.new("RGB", (8, 8)).save(tmp_path / "d.jpg", "BMP")
    several = Sequence(
        subject="A",
        task="T1",
        frames=np.arange(3),
        labels=np.zeros((3, 2), np.int8),
        source=ImageFiles(tmp_path, ("a.jpg", "b.jpg", "c.jpg")),
    )
    foreign = replace(several, subject="B", source=ImageFiles(tmp_path, ("d.jpg",) * 3))
    boxes = np.array([[200, 0, 600, 400], [np.nan] * 4, [np.nan] * 4], np.float32) * 0.9
    boxed = replace(several, subject="C", boxes=boxes)
    given = Toy([several, foreign, boxed], tmp_path)
    store = store_of(given, tmp_path / "cache", crop="auto", size=32)
    assert (rows_of(store, 0)[..., 0] > 200).mean() > 0.99
    assert (rows_of(store, 1)[1, ..., 0] > 200).mean() > 0.99
    said = " | ".join(store.problems)
    assert "C_T1: centre crop for 1 of 3 frames: no face is known in them, nor in" in said
    assert "A_T1: b.jpg asks to be shown turned (EXIF orientation)" in said
    assert "d.jpg: the file is not a JPEG or PNG image but BMP; none of 3 images" in said
