"""What BP4D's relatives have in common: archives, subjects there twice, landmarks, intensities."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from datasets._base import (
    UNCODED,
    BrokenFrame,
    Dataset,
    DatasetCorrupt,
    DatasetError,
    DatasetMissing,
    Sequence,
)
from datasets._files.images import ImageFiles
from datasets._files.zip_images import ZipImages
from datasets.bp4d import Bp4d
from tests.helpers.dataset_trees import assert_labels_are_those_of_the_files, make_bp4d_tree
from tests.helpers.mat_files import track, write_mat5, write_mat73


def read(dataset: Dataset) -> dict[str, Sequence]:
    return {sequence.name: sequence for sequence in dataset.sequences()}


def reds(sequence: Sequence) -> list[int]:
    """Return the red of each picture, which `make_bp4d_tree` made image number x 8."""
    pictures = [picture for picture in sequence.source.read() if isinstance(picture, np.ndarray)]
    return [round(float(picture[..., 0].mean()) / 8) for picture in pictures]


def pack(folder: Path, archive: Path, prefix: str) -> None:
    """Move a folder's files into an archive, below `prefix`, in no order."""
    files = sorted((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.name[::-1])
    with ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for file in files:
            opened.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
    shutil.rmtree(folder)


# --- archives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["F001.zip", "F001_T1.zip", "F001/T1.zip"])
@pytest.mark.parametrize("prefix", [True, False])
def test_archives_give_what_folders_give(form: str, prefix: bool, tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"])
    (tmp_path / "Sequences/F001/T1/0012.jpg").unlink()
    (tmp_path / "Sequences/F001/T1/0012.obj").write_text("x")
    unpacked = Bp4d(tmp_path)
    plain = read(unpacked)
    pixels = {name: list(sequence.source.read()) for name, sequence in plain.items()}
    home = tmp_path / "Sequences"
    if form == "F001.zip":
        pack(home / "F001", home / form, "F001/" if prefix else "")
    else:
        for task in ("T1", "T2"):
            archive = home / form.replace("T1", task)
            pack(home / "F001" / task, archive, f"F001/{task}/" if prefix else "")
    packed = Bp4d(tmp_path)
    found = read(packed)
    assert found.keys() == plain.keys()
    assert packed.problems == unpacked.problems == ["F001_T1: 1 coded frame has no image: 12"]
    for name, sequence in found.items():
        assert isinstance(sequence.source, ZipImages)
        np.testing.assert_array_equal(sequence.frames, plain[name].frames)
        np.testing.assert_array_equal(sequence.labels, plain[name].labels)
        for ours, theirs in zip(sequence.source.read(), pixels[name], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_unpacked_folder_goes_before_the_archive_beside_it(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"])
    home = tmp_path / "Sequences"
    shutil.copytree(home / "F001", tmp_path / "copy")
    pack(tmp_path / "copy", home / "F001.zip", "F001/")
    shutil.rmtree(home / "F001/T2")
    sources = {name: type(sequence.source) for name, sequence in read(Bp4d(tmp_path)).items()}
    assert sources == {"F001_T1": ImageFiles, "F001_T2": ZipImages}


def test_a_damaged_archive_is_named_and_other_subjects_are_read(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, tasks=["T1"])
    home = tmp_path / "Sequences"
    shutil.rmtree(home / "F001")
    (home / "F001.zip").write_bytes(b"PK half a download")
    pack(home / "F003", home / "F003.zip", "../F003/")
    dataset = Bp4d(tmp_path)
    assert list(read(dataset)) == ["F004_T1"]
    damaged, lost, refused, lost_too = dataset.problems
    assert damaged.startswith(f"{home / 'F001.zip'}: it is no zip archive that can be read (")
    assert refused.startswith(f"{home / 'F003.zip'}: member '../F003/T1/0008.jpg' is refused: ")
    assert refused.endswith("leads out of the archive (so are 19 more)")
    assert [lost, lost_too] == [
        f"{name}_T1: label file without images, left out" for name in ("F001", "F003")
    ]


def test_archived_images_without_labels_are_named(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    pack(tmp_path / "Sequences/F001", tmp_path / "Sequences/F001.zip", "F001/")
    (tmp_path / "AUCoding/AU_OCC/F001_T2.csv").unlink()
    dataset = Bp4d(tmp_path)
    dataset.sequences()
    assert dataset.problems == ["F001_T2: images without a label file, left out"]


def test_a_zero_byte_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"])
    (tmp_path / "Sequences/F001/T1/0015.jpg").write_bytes(b"")
    broken = [f for f in read(Bp4d(tmp_path))["F001_T1"].source.read() if not hasattr(f, "shape")]
    assert broken == [BrokenFrame("Sequences/F001/T1/0015.jpg", "the file is empty")]
    pack(tmp_path / "Sequences/F001", tmp_path / "Sequences/F001.zip", "F001/")
    broken = [f for f in read(Bp4d(tmp_path))["F001_T1"].source.read() if not hasattr(f, "shape")]
    assert broken == [BrokenFrame("Sequences/F001.zip:F001/T1/0015.jpg", "the file is empty")]


# --- who is there twice -------------------------------------------------------------------------


def test_a_subject_in_two_image_folders_is_an_error_until_one_is_chosen(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, image_home="Sequences(2D+3D)")
    make_bp4d_tree(tmp_path / "more", subjects=["F003"], image_home="img", tasks=["T1"])
    shutil.move(tmp_path / "more/img", tmp_path / "img")
    what = r"img/F003: F003 is also at Sequences\(2D\+3D\)/F003: keep one, .* \(option images\)"
    with pytest.raises(DatasetCorrupt, match=what):
        Bp4d(tmp_path).sequences()
    assert read(Bp4d(tmp_path, images="Sequences(2D+3D)")).keys() == truth.keys()
    assert list(read(Bp4d(tmp_path, images=str(tmp_path / "img")))) == ["F003_T1"]
    (tmp_path / "img").rename(tmp_path.with_name(f"{tmp_path.name}-elsewhere"))
    with pytest.raises(DatasetMissing, match=r"img: no folder of images is there; expected"):
        Bp4d(tmp_path, images="img").sequences()
    (chosen,) = Bp4d(tmp_path, images=f"../{tmp_path.name}-elsewhere").sequences()
    assert reds(chosen) == list(range(8, 28))


def test_different_subjects_in_two_image_folders_are_all_read(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"], image_home="Sequences")
    make_bp4d_tree(tmp_path, subjects=["M001"], tasks=["T1"], image_home="BP4D/BP4D-training")
    assert list(read(Bp4d(tmp_path))) == ["F001_T1", "M001_T1"]


def test_one_folder_under_two_names_is_one_folder(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, image_home="Sequences(2D+3D)")
    (tmp_path / "Sequences").symlink_to("Sequences(2D+3D)")
    assert read(Bp4d(tmp_path)).keys() == truth.keys()


@pytest.mark.parametrize("other", ["f001", "f001.zip", "f001_T1.zip"])
def test_a_subject_in_two_spellings_is_an_error(other: str, tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"])
    (tmp_path / "Sequences" / other).mkdir()
    with pytest.raises(DatasetCorrupt, match=rf"{other}: F001 is also at Sequences/F001: keep one"):
        Bp4d(tmp_path).sequences()


def test_a_task_in_two_spellings_is_an_error(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"])
    (tmp_path / "Sequences/F001/t1").mkdir()
    with pytest.raises(DatasetCorrupt, match=r"F001/t1: there is also T1: keep one of them"):
        Bp4d(tmp_path).sequences()


def test_small_letters_throughout_are_read_as_capitals(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["f001"], tasks=["t1"])
    (sequence,) = Bp4d(tmp_path).sequences()
    assert (sequence.subject, sequence.task) == ("F001", "T1")


def test_two_label_files_may_say_the_same_but_not_differ(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path)
    first, second = tmp_path / "AUCoding/AU_OCC/F001_T1.csv", tmp_path / "AUCoding/F001_T1.csv"
    shutil.copy(first, second)
    assert read(Bp4d(tmp_path)).keys() == truth.keys()
    second.write_text(first.read_text().replace(",0", ",1", 5))
    what = r"AUCoding/F001_T1.csv: AUCoding/AU_OCC/F001_T1.csv is about the same recording and"
    with pytest.raises(DatasetCorrupt, match=what):
        Bp4d(tmp_path).sequences()
    assert len(read(Bp4d(tmp_path, labels="AUCoding/AU_OCC"))) == len(truth)


# --- tasks, AUs, folds --------------------------------------------------------------------------


def test_tasks_and_aus_are_those_asked_for(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path)
    dataset = Bp4d(tmp_path, tasks="t2", aus="12, 6,39")
    found = read(dataset)
    assert list(found) == ["F001_T2", "F003_T2", "F004_T2"]
    assert dataset.aus == (6, 12, 39)
    labels = found["F003_T2"].labels[2:16]
    np.testing.assert_array_equal(labels[:, :2], truth["F003_T2"][:, [3, 6]])
    assert (labels[:, 2] == UNCODED).all()
    with pytest.raises(DatasetMissing, match="no label meets an image"):
        Bp4d(tmp_path, tasks="T9").sequences()
    for option, value in (("tasks", "happy"), ("aus", "1,1"), ("aus", "AU1"), ("aus", "")):
        with pytest.raises(DatasetError, match=f"{option} is '{value}': give"):
            Bp4d(tmp_path, **{option: value})


def test_tasks_that_nobody_coded_are_noted_once(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, tasks=["T1", "T2", "T10"])
    for file in (tmp_path / "AUCoding/AU_OCC").glob("*_T*[20].csv"):
        file.unlink()
    dataset = Bp4d(tmp_path)
    assert list(read(dataset)) == ["F001_T1", "F003_T1", "F004_T1"]
    assert dataset.problems == []
    assert dataset.notes[0] == "not coded, and so not read: T2, T10 (images, but no label file)"


def test_folds_may_be_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "odd_even.csv"
    file.write_text("subject,fold\nF001,1\nF002,0\n")
    folds = Bp4d(folds=str(file)).folds()
    assert (folds.name, folds.groups) == ("odd_even", (("F002",), ("F001",)))
    with pytest.raises(DatasetError, match=r"none\.csv: there is no such fold list"):
        Bp4d(folds=str(tmp_path / "none.csv")).folds()


# --- landmark tracks ----------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
def test_landmarks_are_those_of_their_image(first: int, tmp_path: Path) -> None:
    images = range(first, first + 30)
    make_bp4d_tree(tmp_path, subjects=["F001"], images=images, coded=range(10, 20))
    points = track(30)
    entries = [*points[:12], None, *points[13:]]
    write_mat73(tmp_path / "2DFeatures/F001_T1.mat", entries)
    write_mat5(tmp_path / "2DFeatures/F001_T2.mat", entries)
    dataset = Bp4d(tmp_path)
    for sequence in dataset.sequences():
        # entry n of a track is the n-th picture of the video, whatever its name counts from
        expected = np.array([*points[:12], np.full((49, 2), np.nan), *points[13:]])
        assert sequence.numbers is not None
        assert sequence.landmarks is not None
        np.testing.assert_allclose(
            sequence.landmarks, expected[sequence.numbers - first], rtol=1e-6
        )
    assert dataset.problems == []
    assert dataset.notes[-1] == (
        f"landmarks: entry n of a track is image n{'' if first else ' - 1'}; "
        "2 of 52 frames have none"
    )


def test_one_stray_image_0_moves_no_track(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1", "T2", "T3"], images=range(1, 31))
    for task in ("T1", "T2", "T3"):
        write_mat5(tmp_path / f"2DFeatures/F001_{task}.mat", list(track(30)))
    whole = read(Bp4d(tmp_path))
    (images,) = {file.parent for file in tmp_path.rglob("*.jpg") if file.parent.name == "T3"}
    first = min(images.iterdir())
    shutil.copy(first, images / first.name.replace("1", "0"))
    dataset = Bp4d(tmp_path)
    found = read(dataset)
    for task in ("T1", "T2"):
        np.testing.assert_array_equal(
            found[f"F001_{task}"].landmarks, whole[f"F001_{task}"].landmarks
        )
    assert dataset.problems == [
        "1 of 3 recordings have an image 0 (F001_T3): images are taken to count from 1 in all"
    ]


def test_a_missing_or_damaged_track_is_named_and_passed_over(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1", "T2", "T3"])
    write_mat73(tmp_path / "2DFeatures/F001_T1.mat", list(track(30)))
    write_mat5(tmp_path / "2DFeatures/F001_T2.mat", [np.ones((48, 2))] * 30)
    dataset = Bp4d(tmp_path)
    found = read(dataset)
    assert [s.landmarks is not None for s in found.values()] == [True, False, False]
    wrong, missing = dataset.problems
    assert "F001_T2.mat: the landmarks of frame 8 are 48 x 2 numbers, not 49 x 2; F001_T2" in wrong
    assert missing == "there is no landmark track of F001_T3"


def test_tracks_may_lie_elsewhere_or_be_left_alone(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"])
    write_mat73(tmp_path / "mine/F001_T1.mat", list(track(30)))
    assert read(Bp4d(tmp_path))["F001_T1"].landmarks is None
    assert read(Bp4d(tmp_path, features="mine"))["F001_T1"].landmarks is not None
    (tmp_path / "mine").rename(tmp_path / "2DFeatures")
    assert read(Bp4d(tmp_path))["F001_T1"].landmarks is not None
    assert read(Bp4d(tmp_path, features="none"))["F001_T1"].landmarks is None
    with pytest.raises(
        DatasetMissing, match=r"nowhere: no landmark track F001_T1\.mat: check option feat"
    ):
        Bp4d(tmp_path, features="nowhere").sequences()


# --- intensity ----------------------------------------------------------------------------------


def write_levels(file: Path, rows: list[tuple[int, int]], newline: str = "\n") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{frame},{level}{newline}" for frame, level in rows)
    file.write_text(text, newline="")


@pytest.mark.parametrize(
    ("home", "name"),
    [
        ("AUCoding/AU_INT/AU06", "F001_T1_AU06.csv"),
        ("AU Intensity Codes3.0/AU06", "F001_T1.csv"),
        ("AU-Intensity-Codes3.0/AU6", "F001_T1_AU6.csv"),
    ],
)
def test_occurrence_may_be_made_of_intensity(home: str, name: str, tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"])["F001_T1"]
    levels = [0, 1, 2, 3, 4, 5, 9, 0, 1, 2, 3, 9, 9, 2]
    write_levels(tmp_path / home / name, list(zip(range(10, 24), levels, strict=True)), "\r\n")
    np.testing.assert_array_equal(read(Bp4d(tmp_path))["F001_T1"].labels[2:16], truth)
    dataset = Bp4d(tmp_path, intensity=2)
    labels = read(dataset)["F001_T1"].labels[2:16]
    assert labels[:, 3].tolist() == [0, 0, 1, 1, 1, 1, -1, 0, 0, 1, 1, -1, -1, 1]
    np.testing.assert_array_equal(np.delete(labels, 3, 1), np.delete(truth, 3, 1))
    assert dataset.problems == []


def test_intensities_are_matched_by_frame_and_gaps_are_named(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1", "T2"])
    file = tmp_path / "AUCoding/AU_INT/AU12/F001_T1_AU12.csv"
    write_levels(file, [(frame, 3) for frame in range(5, 22)])
    dataset = Bp4d(tmp_path, intensity="2")
    column = read(dataset)["F001_T1"].labels[2:16, 6]
    assert column.tolist() == [1] * 12 + [UNCODED] * 2
    assert dataset.problems == [
        "F001_T1: coded frames 22-23 have no intensity",
        "F001_T2: no intensity file of AU 12, so uncoded there",
    ]
    two = read(Bp4d(tmp_path, intensity="2"))["F001_T2"].labels[2:16]
    plain = read(Bp4d(tmp_path))["F001_T2"].labels[2:16]
    assert (two[:, 6] == UNCODED).all(), "occurrence is another rule than that of F001_T1"
    np.testing.assert_array_equal(np.delete(two, 6, 1), np.delete(plain, 6, 1))


def test_one_lost_intensity_file_leaves_its_au_uncoded(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1", "T2"])
    for au, task in ((6, "T1"), (6, "T2"), (12, "T2")):
        file = tmp_path / f"AUCoding/AU_INT/AU{au:02}/F001_{task}_AU{au:02}.csv"
        write_levels(file, [(frame, 1) for frame in range(10, 24)])
    dataset = Bp4d(tmp_path, intensity="2", aus="6,12")
    found = read(dataset)
    assert found["F001_T1"].labels[2:16].tolist() == [[0, UNCODED]] * 14
    assert found["F001_T2"].labels[2:16].tolist() == [[0, 0]] * 14
    assert dataset.problems == ["F001_T1: no intensity file of AU 12, so uncoded there"]


def test_intensities_may_be_read_beside_occurrence(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1", "T2"])
    plain = read(Bp4d(tmp_path))
    assert plain["F001_T1"].intensities is None
    file = tmp_path / "AUCoding/AU_INT/AU12/F001_T1_AU12.csv"
    write_levels(file, [(10, 0), (11, 5), (12, 9), (13, 2)])
    dataset = Bp4d(tmp_path, intensity="read")
    found = read(dataset)
    for name, sequence in found.items():
        np.testing.assert_array_equal(sequence.labels, plain[name].labels)
    levels = found["F001_T1"].intensities
    assert levels.dtype == np.float32
    np.testing.assert_array_equal(levels[2:7, 6], [0, 5, np.nan, 2, np.nan])
    assert np.isfinite(levels).sum() == 3
    assert np.isnan(found["F001_T2"].intensities).all()
    assert dataset.problems == [
        "F001_T1: coded frames 14-23 have no intensity",
        "F001_T2: no intensity file of AU 12",
    ]
    two = read(Bp4d(tmp_path, intensity="2"))["F001_T1"]
    np.testing.assert_array_equal(two.intensities, levels)
    assert two.labels[2:7, 6].tolist() == [0, 1, UNCODED, 1, UNCODED]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("10,3\n11,6\n", "line 2: found '11,6'"),
        ("frame,level\n10,3\n", "line 1: found 'frame,level'"),
        ("10,3\n11,3,1\n", "line 2: found '11,3,1'"),
        ("10,3\n9,3\n", "line 2: frame 9 follows frame 10"),
        ("", "there is no label in it"),
    ],
)
def test_an_intensity_file_that_breaks_its_format_is_named_with_its_line(
    text: str, where: str, tmp_path: Path
) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"])
    file = tmp_path / "AUCoding/AU_INT/AU06/F001_T1_AU06.csv"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(DatasetCorrupt, match=rf"F001_T1_AU06\.csv.*{where}"):
        Bp4d(tmp_path, intensity=1).sequences()
    assert len(read(Bp4d(tmp_path))) == 1


def test_intensity_that_is_not_there_or_means_nothing_is_said(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    with pytest.raises(DatasetMissing, match=r"no intensity file is there .*F001_T1_AU06\.csv"):
        Bp4d(tmp_path, intensity=3).sequences()
    with pytest.raises(DatasetError, match="intensity is '7': it may be 1 to 5, read or off"):
        Bp4d(tmp_path, intensity=7)


def test_the_plain_reading_that_labels_are_held_against_sees_a_wrong_one(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"])
    (sequence,) = Bp4d(tmp_path).sequences()
    sequence.labels[5, 3] = 1 - abs(sequence.labels[5, 3])
    with pytest.raises(AssertionError, match="F001_T1, frame 13"):
        assert_labels_are_those_of_the_files([sequence], tmp_path / "AUCoding/AU_OCC")
