"""The face file: any detector's boxes and landmarks meet their frames, bad cells are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trees import make_bp4d_tree

from datasets._base import DatasetCorrupt, DatasetMissing, Sequence
from datasets._face_file import read_face_file
from datasets.bp4d import Bp4d

HEADER = "subject,task,frame,x0,y0,x1,y1"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_bp4d_tree(tmp_path, subjects=("F001",), images=range(8, 13), coded=range(8, 12))
    return tmp_path


def sequence_of(root: Path, **options: object) -> tuple[Sequence, list[str]]:
    dataset = Bp4d(root, **options)
    return dataset.sequences()[0], dataset.problems


def write(file: Path, *lines: str) -> Path:
    file.write_text("\n".join(lines) + "\n")
    return file


def points_header(count: int) -> str:
    return "subject,task,frame," + ",".join(f"p{k}_x,p{k}_y" for k in range(count))


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
    assert problems == ["boxes.csv: 8 of 10 frames have no row"]  # F001_T2 has none at all


def test_frames_are_those_of_image_names_also_where_labels_are_shifted(tree: Path) -> None:
    write(tree / "boxes.csv", HEADER, "F001,T1,9,1,2,3,4")
    sequence, _ = sequence_of(tree, frame_offset=-1)
    assert sequence.frames.tolist() == [9, 10, 11, 12, 13]
    assert boxes_of(sequence)[1] == [1, 2, 3, 4]


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
        ([HEADER.replace(",", ";")], "line 1: there is no column subject;"),
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
    with pytest.raises(DatasetCorrupt, match="this is no face file"):
        read_face_file(tmp_path / "faces.csv")


def test_a_face_file_that_is_asked_for_must_exist(tree: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"mine\.csv: there is no such face file"):
        Bp4d(tree, landmarks=tree / "mine.csv").sequences()
