"""The face file: any detector's boxes and landmarks meet their frames, bad cells are named."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from datasets._base import DatasetCorrupt, DatasetError, DatasetMissing, Sequence
from datasets._landmarks.face_file import read_face_file
from datasets._landmarks.with_face_file import FACE_OPTIONS, WithFaces
from datasets.bp4d import Bp4d
from tests.helpers.dataset_trees import make_bp4d_tree

HEADER = "subject,task,frame,x0,y0,x1,y1"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_bp4d_tree(tmp_path, subjects=("F001",), images=range(8, 13), coded=range(8, 12))
    return tmp_path


def sequence_of(root: Path, **options: object) -> tuple[Sequence, list[str]]:
    """Read the tree's first recording, with faces as `options` say; and what is reported."""
    own = {key: options.pop(key) for key in list(options) if key not in FACE_OPTIONS}
    dataset = WithFaces(Bp4d(root, **own), **options)
    return dataset.sequences()[0], dataset.problems


def write(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(lines) + "\n")
    return file


def points_header(count: int) -> str:
    return "subject,task,frame," + ",".join(f"p{k}_x,p{k}_y" for k in range(count))


def openface(rows: list[str], file: Path) -> Path:
    """Write OpenFace's columns, blanks after commas and all; a row is `frame, confidence, success`.

    Point k of frame f lies at (10 f + k, 200 + k / 2).
    """
    names = [f"{axis}_{k}" for axis in "xy" for k in range(68)]
    eyes = ["eye_lmk_x_0", "eye_lmk_y_0", "X_0", "pose_Tx"]
    columns = ["frame", "face_id", "timestamp", "confidence", "success", *eyes, *names, "AU01_r"]
    lines = [", ".join(columns)]
    for row in rows:
        frame, confidence, success = row.split()
        xs = [str(10 * int(frame) + k) for k in range(68)]
        ys = [str(200 + k / 2) for k in range(68)]
        cells = [frame, "0", "0.04", confidence, success, "7", "7", "7", "7", *xs, *ys, "0.5"]
        lines.append(", ".join(cells))
    return write(file, *lines)


def face_of_frame(frame: int) -> NDArray[np.float32]:
    return np.array([[10 * frame + k, 200 + k / 2] for k in range(68)], np.float32)


def found(sequence: Sequence) -> list[bool]:
    assert sequence.landmarks is not None
    return [bool(np.isfinite(points).all()) for points in sequence.landmarks]


def boxes_of(sequence: Sequence) -> list[list[float] | None]:
    assert sequence.boxes is not None
    assert sequence.boxes.dtype == np.float32
    return [None if np.isnan(box).any() else box.tolist() for box in sequence.boxes]


def test_boxes_meet_their_frames_whatever_order_they_come_in(tree: Path) -> None:
    write(
        tree / "boxes.csv",
        HEADER,
        "M009,T1,9,9,9,99,99",
        "F001,T1,0011,4,5,6,7",
        "",
        "F001,T1,009,1.5,2,3,40",
        "F001,T1,77,1,2,3,4",
        "F001,T1,,1,2,3,4",
    )
    sequence, problems = sequence_of(tree)
    assert boxes_of(sequence) == [None, [1.5, 2, 3, 40], None, [4, 5, 6, 7], None]
    assert sequence.landmarks is None
    assert problems == ["boxes.csv: 8 of 10 frames have no face in it"]  # F001_T2 has none at all


def test_frames_are_those_of_image_names_also_where_labels_are_shifted(tree: Path) -> None:
    write(tree / "boxes.csv", HEADER, "F001,T1,9,1,2,3,4")
    sequence, _ = sequence_of(tree, frame_offset=-1)
    assert sequence.frames.tolist() == [9, 10, 11, 12, 13]
    assert boxes_of(sequence)[1] == [1, 2, 3, 4]


def test_66_points_become_the_49_that_they_share_with_the_68(tree: Path) -> None:
    cells = ",".join(f"{k}.5,{2 * k}" for k in range(66))
    write(tree / "boxes.csv", points_header(66), f"F001,T1,9,{cells}")
    sequence, _ = sequence_of(tree)
    assert sequence.landmarks is not None
    expected = [[k + 0.5, 2 * k] for k in range(17, 66)]
    np.testing.assert_array_equal(sequence.landmarks[1], expected)


@pytest.mark.parametrize("place", ["F001_T1.csv", "F001/T1.csv", "F001/F001_T1.csv"])
def test_a_folder_of_openface_files_is_read_as_it_is(place: str, tree: Path) -> None:
    (tree / "of" / place).parent.mkdir(parents=True, exist_ok=True)
    openface(["8 0.98 1", "9 0.93 1", "12 0.9 1"], tree / "of" / place)
    openface(["8 0.98 1"], tree / "of" / place.replace("T1", "T2"))
    sequence, problems = sequence_of(tree, landmarks=tree / "of")
    assert sequence.landmarks is not None
    assert sequence.landmarks.shape == (5, 68, 2)
    assert found(sequence) == [True, True, False, False, True]
    np.testing.assert_array_equal(sequence.landmarks[1], face_of_frame(9))
    assert problems == ["of: 6 of 10 frames have no face in it"]


def test_a_face_that_the_detector_doubts_is_unknown(tree: Path) -> None:
    (tree / "of").mkdir()
    rows = ["8 0.98 1", "9 0.98 0", "10 0.2 1", "11 0 0", "12 0.5 1"]
    openface(rows, tree / "of/F001_T1.csv")
    sequence, _ = sequence_of(tree, landmarks=tree / "of")
    assert found(sequence) == [True, False, False, False, True]


def test_the_first_face_that_was_found_counts(tree: Path) -> None:
    rows = ("8,0,,,,", "8,0.9,5,6,7,8", "8,0.9,1,2,3,4", "9,0.1,1,2,3,4", "9,0.8,0,0,9,9")
    write(tree / "boxes.csv", "subject,task,frame,confidence,x0,y0,x1,y1", "F001,T2,8,1,1,2,3,4",
          *(f"F001,T1,{row}" for row in rows))  # fmt: skip
    sequence, problems = sequence_of(tree)
    assert boxes_of(sequence)[:2] == [[5, 6, 7, 8], [0, 0, 9, 9]]
    assert "boxes.csv: 1 rows are about a frame that an earlier row is about, left out" in problems


def test_pictures_counted_from_another_number_are_met_with_an_offset(tree: Path) -> None:
    (tree / "of").mkdir()
    openface(["1 1 1", "2 1 1", "5 1 1"], tree / "of/F001_T1.csv")
    sequence, _ = sequence_of(tree, landmarks=tree / "of", landmarks_offset="7")
    assert sequence.landmarks is not None
    assert found(sequence) == [True, True, False, False, True]
    np.testing.assert_array_equal(sequence.landmarks[4], face_of_frame(5))
    for offset in ("some", "9" * 20):
        with pytest.raises(DatasetError, match=f"landmarks_offset is '{offset}': give a whole"):
            sequence_of(tree, landmarks=tree / "of", landmarks_offset=offset)


def test_a_file_without_task_is_for_subjects_with_one_recording(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=("F001", "F002"), tasks=("T1",))
    write(tmp_path / "boxes.csv", "subject,frame,x0,y0,x1,y1", "F001,9,1,2,3,4", "F002,9,5,6,7,8")
    sequence, _ = sequence_of(tmp_path)
    assert boxes_of(sequence)[:3] == [None, [1, 2, 3, 4], None]


def test_a_file_that_is_asked_for_and_fits_nowhere_says_what_it_knows(tree: Path) -> None:
    file = write(tree / "mine.csv", HEADER, "F1,T1,5,1,2,3,4", "F1,T1,9,1,2,3,4")
    expected = (
        r"mine\.csv: it shows no face of this dataset, which has F001_T1, frame 8; "
        r"the file knows F1_T1, frame 5"
    )
    with pytest.raises(DatasetCorrupt, match=expected):
        sequence_of(tree, landmarks=file)
    file.rename(tree / "boxes.csv")
    _, problems = sequence_of(tree)
    assert problems == ["boxes.csv: 10 of 10 frames have no face in it"]


def test_a_folder_without_face_files_and_one_of_two_kinds_are_named(tree: Path) -> None:
    with pytest.raises(DatasetCorrupt, match="Sequences: there is no face file"):
        sequence_of(tree, landmarks=tree / "Sequences")
    (tree / "two").mkdir()
    write(tree / "two/F001_T1.csv", "frame,x0,y0,x1,y1", "8,1,2,3,4")
    openface(["8 1 1"], tree / "two/F001_T2.csv")
    with pytest.raises(DatasetCorrupt, match=r"F001_T2\.csv, line 1: it has not the same kinds"):
        sequence_of(tree, landmarks=tree / "two")


def test_of_two_files_about_a_recording_the_first_counts_and_it_is_said(tree: Path) -> None:
    (tree / "two/F001").mkdir(parents=True)
    write(tree / "two/F001/T1.csv", "frame,x0,y0,x1,y1", "8,1,2,3,4")
    write(tree / "two/F001_T1.csv", "frame,x0,y0,x1,y1", "8,5,6,7,8", "9,5,6,7,8")
    sequence, problems = sequence_of(tree, landmarks=tree / "two")
    assert boxes_of(sequence)[:2] == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert "two: 1 rows are about a frame that an earlier row is about, left out" in problems


def test_one_openface_file_alone_cannot_say_whom_it_shows(tree: Path) -> None:
    file = openface(["8 1 1"], tree / "of.csv")
    with pytest.raises(DatasetCorrupt, match=r"no column subject; .* into a folder"):
        sequence_of(tree, landmarks=file)


def test_what_the_file_does_not_tell_stays_the_datasets_own(tree: Path) -> None:
    own = np.ones((5, 49, 2), np.float32)

    class WithOwn(Bp4d):
        def sequences(self) -> list[Sequence]:
            return [replace(each, landmarks=own, boxes=None) for each in super().sequences()]

    write(tree / "boxes.csv", HEADER, "F001,T1,8,1,2,3,4")
    sequence = WithFaces(WithOwn(tree)).sequences()[0]
    assert sequence.landmarks is own
    assert boxes_of(sequence)[0] == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [49, 68])
def test_landmarks_of_either_markup_are_read_by_name(count: int, tree: Path) -> None:
    cells = ",".join(f"{k}.5,{2 * k}" for k in range(count))
    columns = points_header(count).replace("p0_x,p0_y", "success,p0_x,p0_y")
    write(tree / "of.csv", columns, f"F001,T1,9,1,{cells}")
    sequence, _ = sequence_of(tree, landmarks=str(tree / "of.csv"))
    assert sequence.boxes is None
    assert sequence.landmarks is not None
    assert sequence.landmarks.shape == (5, count, 2)
    assert sequence.landmarks.dtype == np.float32
    assert np.isnan(sequence.landmarks[[0, 2, 3, 4]]).all()
    expected = [[k + 0.5, 2 * k] for k in range(count)]
    np.testing.assert_array_equal(sequence.landmarks[1], expected)


def test_a_face_that_was_not_found_is_unknown_however_it_is_written(tree: Path) -> None:
    rows = ("8,,,,", "9,0,0,0,0", "10,nan,nan,nan,nan", "11,5,5,4,9", "12,1,2,3,inf")
    write(tree / "boxes.csv", HEADER, *(f"F001,T1,{row}" for row in rows))
    sequence, _ = sequence_of(tree)
    assert boxes_of(sequence) == [None] * 5
    zeros = ",".join(["0,0"] * 49)
    write(tree / "boxes.csv", points_header(49), f"F001,T1,8,{zeros}")
    sequence, _ = sequence_of(tree)
    assert sequence.landmarks is not None
    assert np.isnan(sequence.landmarks).all()


def test_a_comma_at_the_end_of_rows_shifts_nothing(tree: Path) -> None:
    write(tree / "boxes.csv", HEADER, "F001,T1,8,1,2,3,4,", "F001,T1,9,5,6,7,8,")
    sequence, _ = sequence_of(tree)
    assert boxes_of(sequence) == [[1, 2, 3, 4], [5, 6, 7, 8], None, None, None]


def test_a_second_face_on_a_frame_is_left_out_and_counted(tree: Path) -> None:
    rows = [f"F001,{task},{frame},1,2,3,4" for task in ("T1", "T2") for frame in range(8, 13)]
    write(tree / "boxes.csv", HEADER, *rows, "F001,T1,8,5,6,7,8", "F001,T2,0008,5,6,7,8")
    sequence, problems = sequence_of(tree)
    assert boxes_of(sequence)[0] == [1, 2, 3, 4]
    assert problems == [
        "boxes.csv: 2 rows are about a frame that an earlier row is about, left out"
    ]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["subject,task,x0,y0,x1,y1"], "line 1: there is no column frame; a face file has"),
        (["subject,task,frame,x0,y0,x1"], "line 1: there is no column y1;"),
        ([HEADER.replace(",", ";")], "line 1: its cells are separated by semicolons"),
        (["subject,task,frame,left,top"], "line 1: there are neither boxes nor landmarks;"),
        ([points_header(50)], "line 1: there is no column p50_x;"),
        ([points_header(48)], "line 1: there is no column p48_x;"),
        ([HEADER, "F001,T1,8,1,2,3,4", "F001,T1,9,1,a,3,4"], "line 3: y0 is 'a', not a number"),
        ([HEADER, "", "F001,T1,x9,1,2,3,4"], "line 3: frame is 'x9', not a number"),
        ([HEADER, "F001,T1,8.5,1,2,3,4"], "line 2: 8.5 is no frame number"),
        ([HEADER, "F001,T1,1e30,1,2,3,4"], r"line 2: 1e\+30 is no frame number"),
        ([], "this is no face file"),
    ],
)
def test_a_bad_face_file_is_named_with_its_line(
    lines: list[str], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetCorrupt, match=rf"faces\.csv.*{complaint}"):
        read_face_file(write(tmp_path / "faces.csv", *lines))


def test_a_picture_is_no_face_file(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\xff\xfe")
    with pytest.raises(DatasetCorrupt, match="this is no text"):
        read_face_file(tmp_path / "faces.csv")


def test_a_face_file_that_is_asked_for_must_exist(tree: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"mine\.csv: there is no such face file"):
        sequence_of(tree, landmarks=tree / "mine.csv")


@pytest.mark.parametrize(("first", "offset"), [(0, 8), (7, 1), (9, -1), (1, 7)])
def test_a_table_that_counts_otherwise_is_hinted_at(first: int, offset: int, tree: Path) -> None:
    """The images are numbered 8 to 12; a table of five rows counts from 0, 1, 7 or 9."""
    rows = [f"F001,T1,{frame},1,2,30,40" for frame in range(first, first + 5)]
    file = write(tree / "faces.csv", HEADER, *rows)
    hint = rf"\(5 would have one with landmarks_offset={offset}: does it count so\?\)"
    if first < 5:
        with pytest.raises(DatasetCorrupt, match=rf"it shows no face of this dataset.*{hint}"):
            sequence_of(tree, landmarks=str(file))
    else:
        _, problems = sequence_of(tree, landmarks=str(file))
        (said,) = (problem for problem in problems if "faces.csv" in problem)
        assert re.search(rf"6 of 10 frames have no face in it {hint}", said)
    sequence, problems = sequence_of(tree, landmarks=str(file), landmarks_offset=str(offset))
    assert sequence.boxes is not None
    assert not np.isnan(sequence.boxes).any()


def test_frames_without_a_face_alone_hint_at_nothing(tree: Path) -> None:
    rows = [f"F001,T1,{frame},1,2,30,40" for frame in (8, 10, 11)]
    file = write(tree / "faces.csv", HEADER, *rows)
    _, problems = sequence_of(tree, landmarks=str(file))
    assert "faces.csv: 7 of 10 frames have no face in it" in problems


def test_files_a_picture_and_points_from_one_are_named(tmp_path: Path) -> None:
    names = ",".join(f"{axis}_{k}" for axis in "xy" for k in range(68))
    file = write(tmp_path / "F001_T1.csv", f"face,confidence,{names}")
    with pytest.raises(DatasetCorrupt, match=r"output of OpenFace's FaceLandmarkImg.*-fdir"):
        read_face_file(file, "F001_T1")
    points = ",".join(f"p{k}_x,p{k}_y" for k in range(1, 69))
    file = write(tmp_path / "points.csv", f"subject,task,frame,{points}")
    with pytest.raises(
        DatasetCorrupt, match=r"its points count from 1 \(p1 to p68\): name them p0"
    ):
        read_face_file(file)
