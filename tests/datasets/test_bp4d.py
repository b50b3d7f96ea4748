"""The BP4D reader on small copies with the traps of real ones, and on the rendered tree."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from datasets._base import UNCODED, DatasetCorrupt, DatasetError, DatasetMissing, Sequence
from datasets._landmarks.with_face_file import WithFaces
from datasets.bp4d import Bp4d
from tests.helpers.dataset_trees import (
    assert_labels_are_those_of_the_files,
    jpeg,
    make_bp4d_tree,
    write_occurrence,
)


def read(root: Path, **options: object) -> dict[str, Sequence]:
    """Read a copy that must have no problems; recordings by name."""
    dataset = Bp4d(root, **options)
    sequences = dataset.sequences()
    assert dataset.problems == []
    return {sequence.name: sequence for sequence in sequences}


def read_with_problems(root: Path, **options: object) -> tuple[dict[str, Sequence], list[str]]:
    dataset = Bp4d(root, **options)
    return {sequence.name: sequence for sequence in dataset.sequences()}, dataset.problems


def label_file(root: Path) -> Path:
    return root / "AUCoding/AU_OCC/F001_T1.csv"


def reds(sequence: Sequence) -> list[int]:
    """Return the red of each picture, which `make_bp4d_tree` made image number x 8."""
    pictures = [picture for picture in sequence.source.read() if isinstance(picture, np.ndarray)]
    return [round(float(picture[..., 0].mean()) / 8) for picture in pictures]


# --- what is read -------------------------------------------------------------------------------


def test_labels_stand_at_their_frames_and_other_images_stay_unlabelled(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, images=range(8, 28), coded=range(10, 24))
    sequences = read(tmp_path)
    assert list(sequences) == [f"{s}_{t}" for s in ("F001", "F003", "F004") for t in ("T1", "T2")]
    for name, sequence in sequences.items():
        assert sequence.frames.tolist() == list(range(8, 28))
        np.testing.assert_array_equal(sequence.labels[2:16], truth[name])
        assert (np.delete(sequence.labels, range(2, 16), axis=0) == UNCODED).all()
        assert (sequence.landmarks, sequence.boxes) == (None, None)
    assert reds(sequences["F003_T2"]) == list(range(8, 28))
    assert sequences["F003_T2"].source.size() == (48, 40)


def test_recordings_come_by_subject_and_then_by_task_number(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=("M002", "F010"), tasks=("T10", "T2"))
    assert list(read(tmp_path)) == ["F010_T2", "F010_T10", "M002_T2", "M002_T10"]


@pytest.mark.parametrize("dialect", ["legacy", "release"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_header_dialects_give_the_same_labels(
    dialect: Literal["legacy", "release"], newline: str, tmp_path: Path
) -> None:
    truth = make_bp4d_tree(tmp_path, dialect=dialect, newline=newline)
    for name, sequence in read(tmp_path).items():
        np.testing.assert_array_equal(sequence.labels[2:16], truth[name])


def test_the_second_column_1_of_the_release_is_the_au(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=("F013",), tasks=("T1",), images=range(1, 3), coded=range(0))
    labels = np.zeros((2, 12), int)
    labels[:, 0] = [1, 0]
    write_occurrence(tmp_path / "AUCoding/AU_OCC/F013_T1.csv", (1, 2), labels, dialect="release")
    np.testing.assert_array_equal(read(tmp_path)["F013_T1"].labels, labels)


@pytest.mark.parametrize("base", ["", "BP4D"])
@pytest.mark.parametrize(
    ("image_home", "label_home"),
    [
        ("Sequences(2D+3D)", "AUCoding/AU_OCC"),
        ("Sequences_2D+3D", "AUCoding/AU_OCC"),
        ("BP4D-training", "AUCoding"),
        ("BP4D-training", "AUCoding/AUCoding"),
        ("img", "AUCoding/AU_OCC"),
        (".", "AUCoding/AU_OCC"),
    ],
)
def test_the_spellings_of_known_copies_are_found(
    base: str, image_home: str, label_home: str, tmp_path: Path
) -> None:
    home = tmp_path / base
    truth = make_bp4d_tree(home, image_home=image_home, label_home=label_home)
    sequences = read(tmp_path)
    assert sequences.keys() == truth.keys()
    assert reds(sequences["F001_T1"]) == list(range(8, 28))


def test_zero_padding_may_differ_between_and_within_folders(tmp_path: Path) -> None:
    for task, padding in (("T1", 4), ("T2", 3), ("T3", 1)):
        make_bp4d_tree(tmp_path, subjects=("F001",), tasks=(task,), padding=padding)
    folder = tmp_path / "Sequences/F001/T1"
    (folder / "0009.jpg").rename(folder / "9.JPG")
    for sequence in read(tmp_path).values():
        assert sequence.frames.tolist() == list(range(8, 28))
        assert reds(sequence) == list(range(8, 28))


def test_frames_are_in_the_order_of_numbers_and_not_of_names(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, images=range(95, 112), coded=range(97, 105), padding=1)
    sequence = read(tmp_path)["F001_T1"]
    assert sequence.frames.tolist() == list(range(95, 112))
    assert reds(sequence) == [number % 32 for number in range(95, 112)]


def test_files_that_are_no_frames_and_no_labels_are_passed_over(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path)
    folder = tmp_path / "Sequences/F001/T1"
    strays = (
        "0010.obj",
        "0010.mtl",
        ".DS_Store",
        "Thumbs.db",
        "._0010.jpg",
        "mean.jpg",
        "0010.jpg~",
    )
    for stray in strays:
        (folder / stray).write_text("x")
    (tmp_path / "AUCoding/AU_OCC/._F001_T1.csv").write_text("x")
    (tmp_path / "AUCoding/AU_OCC/readme.csv").write_text("x")
    (tmp_path / "Sequences/Thumbs.db").write_text("x")
    (tmp_path / "Sequences/F001/T1.zip").write_text("x")
    assert read(tmp_path).keys() == truth.keys()


def test_reading_again_starts_a_new_list_of_problems(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    (tmp_path / "Sequences/F001/T1/0012.jpg").unlink()
    dataset = Bp4d(tmp_path)
    dataset.sequences()
    dataset.sequences()
    assert len(dataset.problems) == 1


def test_the_folds_are_those_the_field_compares_on() -> None:
    assert list(map(len, Bp4d().folds().groups)) == [14, 14, 13]


def test_every_label_of_a_mixed_copy_is_that_of_a_plain_reading(tmp_path: Path) -> None:
    home = "Sequences(2D+3D)"
    for seed, (subject, more) in enumerate(
        {
            "F001": {"images": range(2430, 2480), "coded": range(2440, 2460), "padding": 4},
            "F013": {"dialect": "release", "newline": "\r\n", "padding": 3},
            "M009": {"images": range(1, 60), "coded": range(1, 60), "padding": 3},
        }.items()
    ):
        make_bp4d_tree(tmp_path, subjects=[subject], image_home=home, seed=seed, **more)
    for stray in ("0010.obj", "0010.mtl", ".DS_Store"):
        (tmp_path / home / "F001/T1" / stray).write_text("x")
    (tmp_path / home / "M009/T2/030.jpg").unlink()
    labels = tmp_path / "AUCoding/AU_OCC"
    assert (labels / "F001_T1.csv").read_text().startswith("0,1,2,3,")
    assert (labels / "F013_T1.csv").read_bytes().startswith(b"1,1,2,4,")
    sequences, problems = read_with_problems(tmp_path)
    assert problems == ["M009_T2: 1 coded frame has no image: 30"]
    assert assert_labels_are_those_of_the_files(sequences.values(), labels) == (186, 1)
    assert sequences["F001_T1"].frames.tolist() == list(range(2432, 2468))


# --- what is left out and named -----------------------------------------------------------------


def test_coded_frames_without_image_are_left_out_and_named(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path)
    for number in (12, 13, 20):
        (tmp_path / f"Sequences/F001/T2/{number:04}.jpg").unlink()
    (tmp_path / "Sequences/F003/T1/0010.jpg").unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert problems == [
        "F001_T2: 3 coded frames have no image: 12-13, 20",
        "F003_T1: 1 coded frame has no image: 10",
    ]
    left = sequences["F001_T2"]
    assert left.frames.tolist() == [n for n in range(8, 28) if n not in (12, 13, 20)]
    coded = np.isin(left.frames, range(10, 24))
    np.testing.assert_array_equal(left.labels[coded], np.delete(truth["F001_T2"], [2, 3, 10], 0))


def test_a_recording_that_has_only_one_half_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    shutil.rmtree(tmp_path / "Sequences/F001/T1")
    shutil.rmtree(tmp_path / "Sequences/F003")
    (tmp_path / "AUCoding/AU_OCC/F004_T2.csv").unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert list(sequences) == ["F001_T2", "F004_T1"]
    assert problems == [
        "F001_T1: label file without images, left out",
        "F003_T1: label file without images, left out",
        "F003_T2: label file without images, left out",
        "F004_T2: images without a label file, left out",
    ]


def test_a_recording_whose_images_all_lie_elsewhere_is_named(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    make_bp4d_tree(tmp_path, subjects=("F005",), tasks=("T1",), images=range(90, 99))
    sequences, problems = read_with_problems(tmp_path)
    assert "F005_T1" not in sequences
    assert problems == ["F005_T1: no coded frame has an image, left out"]


def test_two_files_for_one_image_are_named_and_the_first_counts(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=("F001",), tasks=("T1",))
    for number in (9, 10):
        (tmp_path / f"Sequences/F001/T1/{number}.jpg").write_bytes(jpeg((255, 255, 255)))
    sequences, problems = read_with_problems(tmp_path)
    assert problems == ["F001_T1: several files for image 9-10, the first by name counts"]
    assert reds(sequences["F001_T1"]) == list(range(8, 28))


# --- what stops the reading ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "old", "new", "complaint"),
    [
        (5, "13,", "13,2,", "101 cells, but the header has 100"),
        (5, ",9\n", "\n", "99 cells, but the header has 100"),
        (3, "11,", "10,", "frame 10 follows frame 10: they must increase"),
        (4, "12,", "10,", "frame 10 follows frame 11: they must increase"),
        (2, "10,", "ten,", "the frame number is 'ten', not a whole number"),
        (2, "10,", "10.0,", "the frame number is '10.0', not a whole number"),
        (2, "10,", "-10,", "the frame number is '-10', not a whole number"),
        (2, "10,", f"{10**20},", "not a whole number"),
        (1, "0,1,2,", "0,1,1,", "names more than one column 1;"),
        (1, "11,12,", "11,13,", "names no column 12;"),
        (1, ",", ";", "names no column 1;"),
        (1, "0,1,2", "1,0,9", "names no column 1;"),
    ],
)
def test_a_label_file_that_breaks_the_format_is_named_with_its_line(
    line: int, old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    make_bp4d_tree(tmp_path)
    lines = label_file(tmp_path).read_text().splitlines(keepends=True)
    assert old in lines[line - 1]
    count = -1 if old == "," else 1
    lines[line - 1] = lines[line - 1].replace(old, new, count)
    label_file(tmp_path).write_text("".join(lines))
    with pytest.raises(DatasetCorrupt) as caught:
        Bp4d(tmp_path).sequences()
    assert f"{label_file(tmp_path)}, line {line}: " in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("value", ["2", "5", "-1", "", "x", "1.0", "nan", "01"])
def test_a_value_outside_the_code_is_named_with_line_and_column(value: str, tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    lines = label_file(tmp_path).read_text().splitlines()
    cells = lines[6].split(",")
    cells[14] = value
    lines[6] = ",".join(cells)
    label_file(tmp_path).write_text("\n".join(lines))
    with pytest.raises(DatasetCorrupt, match=rf"line 7: column 14 holds '{value}'; .* 0, 1 or 9"):
        Bp4d(tmp_path).sequences()


def test_values_of_aus_that_are_not_used_are_not_judged(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=("F001",), tasks=("T1",))
    text = label_file(tmp_path).read_text()
    label_file(tmp_path).write_text(text.replace(",9\n", ",5\n"))  # column 99, an occlusion flag
    assert list(read(tmp_path)) == ["F001_T1"]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "names no column 1"),
        (b"0," + ",".join(map(str, range(1, 100))).encode() + b"\n", "no coded frame follows"),
        ("0,1,2\n".encode("utf-16"), "this is UTF-16 text: save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "this is no text"),
    ],
)
def test_a_file_that_holds_no_labels_is_named(data: bytes, complaint: str, tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path)
    label_file(tmp_path).write_bytes(data)
    with pytest.raises(DatasetCorrupt, match=rf"F001_T1\.csv.*{complaint}"):
        Bp4d(tmp_path).sequences()


def test_a_byte_order_mark_quotes_blanks_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, subjects=("F001",), tasks=("T1",))
    text = label_file(tmp_path).read_text().replace(",", ", ").replace("10, ", '"10", ', 1)
    label_file(tmp_path).write_text(text.replace("\n", "\n\n"), encoding="utf-8-sig")
    np.testing.assert_array_equal(read(tmp_path)["F001_T1"].labels[2:16], truth["F001_T1"])


def test_a_missing_or_empty_root_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="--root"):
        Bp4d(None).sequences()
    with pytest.raises(DatasetMissing, match="nowhere: there is no such folder"):
        Bp4d(tmp_path / "nowhere").sequences()
    with pytest.raises(DatasetMissing, match=r"no folder of images is there; .*F001_T1\.csv"):
        Bp4d(tmp_path).sequences()


def test_a_tree_without_labels_or_without_images_says_what_is_expected(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path / "a")
    shutil.rmtree(tmp_path / "a/AUCoding")
    with pytest.raises(DatasetMissing, match="no label file is there; expected"):
        Bp4d(tmp_path / "a").sequences()
    make_bp4d_tree(tmp_path / "b")
    shutil.rmtree(tmp_path / "b/Sequences")
    with pytest.raises(DatasetMissing, match="no folder of images is there; expected"):
        Bp4d(tmp_path / "b").sequences()
    make_bp4d_tree(tmp_path / "c", images=range(0))
    with pytest.raises(DatasetMissing, match=r"no label meets an image \(F001_T1: label file with"):
        Bp4d(tmp_path / "c").sequences()


# --- frame offset -------------------------------------------------------------------------------


def test_an_evident_shift_is_found_for_the_whole_copy_and_reported(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, images=range(14), coded=range(1, 15), offset=-1)
    dataset = Bp4d(tmp_path)
    sequences = {sequence.name: sequence for sequence in dataset.sequences()}
    assert dataset.problems == []
    assert dataset.notes == [
        "label frame n is image n - 1 (frame_offset -1, judged by the files: "
        "of 6 recordings 0 fit 0 alone, 6 fit -1 alone)"
    ]
    for name, sequence in sequences.items():
        assert sequence.frames.tolist() == list(range(1, 15))
        np.testing.assert_array_equal(sequence.labels, truth[name])
    assert reds(sequences["F001_T1"]) == list(range(14))


def test_without_evidence_numbers_are_taken_as_they_are(tmp_path: Path) -> None:
    truth = make_bp4d_tree(tmp_path, images=range(30), coded=range(10, 20))
    assert read(tmp_path, context="all")["F001_T1"].frames.tolist() == list(range(30))
    shifted = read(tmp_path, frame_offset=-1, context="all")["F001_T1"]
    assert shifted.frames.tolist() == list(range(1, 31))
    np.testing.assert_array_equal(shifted.labels[9:19], truth["F001_T1"])


def test_one_lost_image_does_not_shift_the_whole_copy(tmp_path: Path) -> None:
    tasks = [f"T{k}" for k in range(1, 9)]
    make_bp4d_tree(tmp_path, tasks=tasks, images=range(5, 30), coded=range(10, 20))
    for number in range(19, 30):
        (tmp_path / f"Sequences/F003/T4/{number:04}.jpg").unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert problems == ["F003_T4: 1 coded frame has no image: 19"]
    assert sequences["F001_T1"].frames[0] == 5


def test_the_evidence_can_be_overruled(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, images=range(14), coded=range(1, 15))
    _, problems = read_with_problems(tmp_path, frame_offset="0")
    assert problems[0] == "F001_T1: 1 coded frame has no image: 14"
    with pytest.raises(DatasetError, match="frame_offset is '1': it may be auto, 0 or -1"):
        Bp4d(tmp_path, frame_offset=1).sequences()


def test_uncoded_frames_are_kept_as_far_as_clips_reach_or_as_asked(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, images=range(60), coded=range(20, 30))
    kept = {
        context: read(tmp_path, **options)["F001_T1"].frames.tolist()
        for context, options in (
            ("default", {}),
            ("none", {"context": "0"}),
            ("all", {"context": "all"}),
        )
    }
    assert kept["default"] == list(range(12, 38))
    assert kept["none"] == list(range(20, 30))
    assert kept["all"] == list(range(60))
    with pytest.raises(DatasetError, match="context is 'few': give a number of frames, or all"):
        Bp4d(tmp_path, context="few").sequences()


# --- the rendered tree --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rendered() -> Path:
    shared = os.environ.get("AU_BENCH_SHARED")
    if not shared:
        pytest.skip("AU_BENCH_SHARED does not say where the rendered video is")
    return Path(shared) / "ictface-bp4d"


@pytest.mark.shared
def test_the_rendered_trees_labels_are_those_a_plain_reader_finds(rendered: Path) -> None:
    sequences, problems = read_with_problems(rendered)
    assert len(sequences) == 41 * 8
    assert sum(len(sequence.frames) for sequence in sequences.values()) == 19772
    labels = rendered / "AUCoding/AU_OCC"
    rows, lost = assert_labels_are_those_of_the_files(sequences.values(), labels)
    assert rows == 17857
    assert sum(int(problem.split(": ")[1].split()[0]) for problem in problems) == lost > 0


@pytest.mark.shared
def test_the_rendered_trees_rates_are_those_it_states(rendered: Path) -> None:
    sequences, _ = read_with_problems(rendered)
    labels = np.concatenate([sequence.labels for sequence in sequences.values()])
    stated = [0.211, 0.171, 0.218, 0.454, 0.581, 0.599, 0.550, 0.432, 0.176, 0.354, 0.181, 0.152]
    rates = (labels == 1).sum(axis=0) / (labels != UNCODED).sum(axis=0)
    np.testing.assert_allclose(rates, stated, atol=0.0015)


@pytest.mark.shared
def test_the_rendered_trees_faces_are_at_their_frames(rendered: Path) -> None:
    sequences = {sequence.name: sequence for sequence in WithFaces(Bp4d(rendered)).sequences()}
    with (rendered / "boxes.csv").open(newline="") as stream:
        for row in list(csv.DictReader(stream))[::97]:
            sequence = sequences[f"{row['subject']}_{row['task']}"]
            here = int(np.searchsorted(sequence.frames, int(row["frame"])))
            assert sequence.boxes is not None
            assert sequence.landmarks is not None
            box = [float(row[column]) for column in ("x0", "y0", "x1", "y1")]
            np.testing.assert_allclose(sequence.boxes[here], box, rtol=1e-6)
            points = [[float(row[f"p{k}_x"]), float(row[f"p{k}_y"])] for k in range(49)]
            np.testing.assert_allclose(sequence.landmarks[here], points, rtol=1e-6)
