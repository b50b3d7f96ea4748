"""BP4D+: images from 0, labels from 1, archives, MATLAB 5 tracks, and folds of our own."""

from __future__ import annotations

import random
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets._base import DatasetError, Sequence
from datasets._files.zip_images import ZipImages
from datasets._splits.folds import draw_folds, load_folds, make_split
from datasets.bp4d_plus import Bp4dPlus
from tests.helpers.dataset_trees import assert_labels_are_those_of_the_files, make_bp4d_tree
from tests.helpers.mat_files import track, write_mat5

SUBJECTS = [*(f"F{n:03}" for n in range(1, 83)), *(f"M{n:03}" for n in range(1, 59))]
CODED = ("T1", "T6", "T7", "T8")


def make_tree(
    root: Path, subjects: tuple[str, ...] = ("F001", "F041", "M002"), *, base: str = "BP4D+_v0.2"
) -> dict[str, NDArray[np.int8]]:
    """Write a small copy: 24 images from 0, frames 5-18 coded, T2 not coded at all."""
    truth: dict[str, NDArray[np.int8]] = {}
    for padding, subject in zip((4, 3, 3), subjects, strict=False):
        truth |= make_bp4d_tree(
            root / base,
            subjects=[subject],
            tasks=(*CODED, "T2"),
            images=range(24),
            coded=range(5, 19),
            offset=-1,
            padding=padding,
            image_home="2D+3D",
            dialect="release",
            newline="\r\n",
            seed=int(subject[1:]),
        )
        (root / base / f"AUCoding/AU_OCC/{subject}_T2.csv").unlink()
    return truth


def read(dataset: Bp4dPlus) -> dict[str, Sequence]:
    return {sequence.name: sequence for sequence in dataset.sequences()}


def reds(sequence: Sequence) -> list[int]:
    pictures = [picture for picture in sequence.source.read() if isinstance(picture, np.ndarray)]
    return [round(float(picture[..., 0].mean()) / 8) for picture in pictures]


def zip_subject(home: Path, subject: str) -> None:
    """Move a subject's folder into an archive, its members in no order."""
    files = sorted(file for file in (home / subject).rglob("*") if file.is_file())
    random.Random(0).shuffle(files)
    with ZipFile(home / f"{subject}.zip", "w") as opened:
        for file in files:
            opened.write(file, file.relative_to(home).as_posix())
            file.unlink()
    for folder in (*(home / subject).iterdir(), home / subject):
        folder.rmdir()


@pytest.mark.parametrize("base", ["", "BP4D+", "BP4D+_v0.2"])
def test_label_frame_n_is_image_n_minus_1(base: str, tmp_path: Path) -> None:
    truth = make_tree(tmp_path, base=base)
    dataset = Bp4dPlus(tmp_path)
    found = read(dataset)
    assert list(found) == [
        *(f"F001_{task}" for task in CODED),
        *("F041_T1", "F041_T6", "F041_T8"),
        *(f"M002_{task}" for task in CODED),
    ]
    for name, sequence in found.items():
        assert sequence.frames.tolist() == list(range(1, 25))
        assert reds(sequence) == list(range(24))
        np.testing.assert_array_equal(sequence.labels[4:18], truth[name])
    labels = tmp_path / base / "AUCoding/AU_OCC"
    assert assert_labels_are_those_of_the_files(found.values(), labels) == (11 * 14, 0)
    assert dataset.notes == [
        "not coded, and so not read: T2 (images, but no label file)",
        "label frame n is image n - 1 (frame_offset -1, as copies of it have it: of 11 recordings "
        "0 fit 0 alone, 0 fit -1 alone)",
    ]


def test_images_that_count_from_1_are_suspected(tmp_path: Path) -> None:
    """Nothing else speaks against the usual offset where the first labelled frames come late."""
    make_bp4d_tree(tmp_path, image_home="2D+3D", images=range(1, 25), coded=range(5, 19))
    dataset = Bp4dPlus(tmp_path)
    dataset.sequences()
    suspicion = "no recording has an image 0: if images count from 1, labels are a frame late; "
    assert f"{suspicion}frame_offset=0 says so" in dataset.problems
    chosen = Bp4dPlus(tmp_path, frame_offset="-1")
    chosen.sequences()
    assert chosen.problems == []


def test_images_that_count_from_1_are_an_option(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, image_home="2D+3D", images=range(1, 25), coded=range(1, 25))
    dataset = Bp4dPlus(tmp_path, frame_offset=0)
    for name, sequence in read(dataset).items():
        np.testing.assert_array_equal(sequence.labels, truth[name])
    shifted = Bp4dPlus(tmp_path)
    shifted.sequences()
    assert "F001_T1: 1 coded frame has no image: 1" in shifted.problems
    assert "6 fit 0 alone, 0 fit -1 alone" in shifted.notes[0]


def test_archives_of_subjects_are_read_without_unpacking(tmp_path: Path) -> None:
    truth = make_tree(tmp_path)
    home = tmp_path / "BP4D+_v0.2/2D+3D"
    for subject in ("F001", "F041", "M002"):
        zip_subject(home, subject)
    before = sorted(tmp_path.rglob("*"))
    dataset = Bp4dPlus(tmp_path)
    found = read(dataset)
    assert len(found) == 11
    for name, sequence in found.items():
        assert isinstance(sequence.source, ZipImages)
        assert reds(sequence) == list(range(24))
        np.testing.assert_array_equal(sequence.labels[4:18], truth[name])
    assert sorted(tmp_path.rglob("*")) == before


def test_the_recording_that_no_copy_has_right_is_left_out_unless_kept(tmp_path: Path) -> None:
    make_tree(tmp_path)
    dataset = Bp4dPlus(tmp_path)
    assert "F041_T7" not in read(dataset)
    assert dataset.problems == [
        "F041_T7: its video and its labels differ in length in the distributed copy; left out "
        "(suspect=keep keeps it)"
    ]
    dataset = Bp4dPlus(tmp_path, suspect="keep")
    assert "F041_T7" in read(dataset)
    assert dataset.problems == []
    with pytest.raises(DatasetError, match="suspect is 'maybe': it may be drop or keep"):
        Bp4dPlus(tmp_path, suspect="maybe")


def test_labels_beyond_the_video_are_named(tmp_path: Path) -> None:
    make_tree(tmp_path)
    for number in range(10, 24):
        (tmp_path / f"BP4D+_v0.2/2D+3D/F041/T7/{number:03}.jpg").unlink()
    dataset = Bp4dPlus(tmp_path, suspect="keep")
    sequence = read(dataset)["F041_T7"]
    assert dataset.problems == ["F041_T7: 8 coded frames have no image: 11-18"]
    assert sequence.frames.tolist() == list(range(1, 11))


def test_landmarks_have_their_own_numbers_and_lost_faces_are_unknown(tmp_path: Path) -> None:
    make_tree(tmp_path, ("M002",))
    points = track(24)
    entries = [None if n in (3, 10) else entry for n, entry in enumerate(points, start=1)]
    for task in CODED:
        write_mat5(tmp_path / f"BP4D+_v0.2/2DFeatures/M002_{task}.mat", entries)
    expected = points.copy()
    expected[[2, 9]] = np.nan
    dataset = Bp4dPlus(tmp_path)
    for sequence in dataset.sequences():
        assert sequence.landmarks is not None
        np.testing.assert_allclose(sequence.landmarks, expected[sequence.frames - 1], rtol=1e-6)
    assert dataset.notes[-1].endswith("entry n of a track is image n - 1; 8 of 96 frames have none")


# --- folds --------------------------------------------------------------------------------------


def test_the_folds_are_ours_and_say_so() -> None:
    folds = Bp4dPlus().folds()
    assert folds.name == "bp4d_plus-ours"
    assert sorted(subject for group in folds.groups for subject in group) == sorted(SUBJECTS)
    assert [len(group) for group in folds.groups] == [47, 47, 46]
    women = [sum(subject.startswith("F") for subject in group) for group in folds.groups]
    assert sorted(women) == [27, 27, 28]


def test_the_shipped_folds_are_the_seeded_draw() -> None:
    drawn = draw_folds(SUBJECTS, 3, 0, "bp4d_plus-ours")
    groups = load_folds("bp4d_plus-ours").groups
    assert drawn == {subject: k for k, group in enumerate(groups) for subject in group}
    assert draw_folds(SUBJECTS[::-1], 3, 0, "bp4d_plus-ours") == drawn
    assert draw_folds(SUBJECTS, 3, 1, "bp4d_plus-ours") != drawn


def test_a_split_of_it_keeps_subjects_apart(tmp_path: Path) -> None:
    make_tree(tmp_path, ("F001", "F002", "M001"))
    dataset = Bp4dPlus(tmp_path)
    sequences = dataset.sequences()
    for fold in range(3):
        if dataset.folds().test_subjects(fold) & {"F001", "F002", "M001"}:
            split = make_split(sequences, dataset.folds(), fold)
            assert sorted(split.train + split.test) == ["F001", "F002", "M001"]
