"""A manifest: any dataset from one table; every bad cell is named by its line."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets._base import UNCODED, DatasetCorrupt, DatasetError, DatasetMissing, Sequence
from datasets._landmarks.with_face_file import WithFaces
from datasets._splits.folds import SplitError
from datasets.manifest import Manifest
from tests.helpers.dataset_trees import jpeg
from tests.helpers.disfa_trees import position_of
from tests.helpers.manifest_tree import AUS, make, video_rows, write

CODES = {"1": 1, "0": 0, "": UNCODED}


def read(root: Path, **options: object) -> dict[str, Sequence]:
    dataset = Manifest(root, **options)
    sequences = {sequence.name: sequence for sequence in dataset.sequences()}
    assert dataset.problems == []
    return sequences


def complaint(root: Path, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        Manifest(root, **options).sequences()
    return str(caught.value)


def reds(sequence: Sequence) -> list[int]:
    pictures = [picture for picture in sequence.source.read() if isinstance(picture, np.ndarray)]
    return [round(float(picture[..., 0].mean()) / 16) for picture in pictures]


# --- what is read -------------------------------------------------------------------------------


def test_labels_are_where_a_plain_reader_finds_them_in_any_order_of_rows(tmp_path):
    rows = make(tmp_path)
    np.random.default_rng(1).shuffle(rows)
    file = write(tmp_path, rows)
    sequences = read(tmp_path)
    assert list(sequences) == [f"P{n}_{s}" for n in range(4) for s in ("smile", "talk")]
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            sequence = sequences[f"{row['subject']}_{row['sequence']}"]
            (at,) = np.flatnonzero(sequence.frames == int(row["frame"]))
            assert sequence.labels[at].tolist() == [CODES[row[f"AU{au}"]] for au in AUS]
    for sequence in sequences.values():
        assert sequence.frames.tolist() == reds(sequence) == [1, 2, 3, 4, 5]
        assert sequence.boxes is None
        assert sequence.landmarks is None


def test_the_action_units_are_those_of_the_columns_or_those_asked_for(tmp_path):
    write(tmp_path, make(tmp_path))
    dataset = Manifest(tmp_path)
    dataset.sequences()
    assert dataset.aus == AUS
    fewer = Manifest(tmp_path, aus="12,1")
    assert fewer.sequences()[0].labels.tolist() == [
        row[[0, 2]].tolist() for row in dataset.sequences()[0].labels
    ]
    assert fewer.aus == (1, 12)
    assert "aus names AU 2, but manifest.csv has labels for 1, 4, 12 only" in complaint(
        tmp_path, aus="2"
    )
    assert "aus is '1,1'" in complaint(tmp_path, aus="1,1")


@pytest.mark.parametrize("header", ["AU01", "au_4", "'AU 4'", " AU4 ", "Au4"])
def test_a_column_of_an_action_unit_may_be_spelled_as_others_do(header, tmp_path):
    rows = [{header: row["AU4"], **row} for row in make(tmp_path)]
    for row in rows:
        for au in AUS:
            del row[f"AU{au}"]
    write(tmp_path, rows)
    dataset = Manifest(tmp_path)
    dataset.sequences()
    assert dataset.aus == ((1,) if header == "AU01" else (4,))


@pytest.mark.parametrize("unknown", ["", "-1", "9", "-9", "999", "nan", "NA", "9.0"])
def test_what_others_write_for_not_coded_is_not_coded(unknown, tmp_path):
    rows = make(tmp_path)
    rows[0]["AU1"], rows[1]["AU1"], rows[2]["AU1"] = unknown, "1", "0"
    write(tmp_path, rows)
    assert read(tmp_path)["P0_smile"].labels[:3, 0].tolist() == [UNCODED, 1, 0]


def test_an_intensity_counts_from_the_threshold_on_without_a_label(tmp_path):
    rows = make(tmp_path, subjects=2)
    levels = ["0", "1", "2", "3.5", ""]
    for row in rows:
        row["AU6_intensity"] = row["AU1 int"] = levels[int(row["frame"]) - 1]
    write(tmp_path, rows)
    plain = read(tmp_path)["P1_talk"]
    strict = read(tmp_path, threshold="3")["P1_talk"]
    assert plain.labels.shape == (5, 4)
    assert plain.labels[:, 2].tolist() == [0, 0, 1, 1, UNCODED]
    assert strict.labels[:, 2].tolist() == [0, 0, 0, 1, UNCODED]
    (own,) = [[CODES[r["AU1"]] for r in rows if r["path"].startswith("pictures/P1/talk")]]
    assert plain.labels[:, 0].tolist() == own
    assert "threshold is '0'" in complaint(tmp_path, threshold="0")


def test_intensities_stand_beside_the_labels(tmp_path):
    rows = make(tmp_path)
    write(tmp_path, rows)
    assert read(tmp_path)["P0_smile"].intensities is None
    levels = ["0", "1.5", "9", "5", ""]
    for row in rows:
        row["AU1_intensity"] = row["AU6_intensity"] = levels[int(row["frame"]) - 1]
    write(tmp_path, rows)
    found = read(tmp_path)["P0_smile"]
    assert found.intensities.dtype == np.float32
    known = [0, 1.5, np.nan, 5, np.nan]
    unknown = [np.nan] * 5
    np.testing.assert_array_equal(found.intensities.T, [known, unknown, known, unknown])
    assert found.labels[:, 0].tolist() == [CODES[row["AU1"]] for row in rows[:5]]
    assert found.labels[:, 2].tolist() == [0, 0, UNCODED, 1, UNCODED]
    rows[3]["AU1_intensity"] = "50"
    write(tmp_path, rows)
    assert "line 5: AU1_intensity is 50; an intensity is 0 to 5" in complaint(tmp_path)


def test_boxes_and_landmarks_may_stand_in_the_table(tmp_path):
    rows = make(tmp_path, subjects=2)
    for at, row in enumerate(rows):
        row |= {"x0": str(at), "y0": "2", "x1": str(at + 30), "y1": "40.5"}
        row |= {f"p{k}_{axis}": str(k + at) for k in range(68) for axis in "xy"}
    rows[1] |= {"x0": "", "p7_x": ""}
    write(tmp_path, rows)
    sequence = read(tmp_path)["P0_smile"]
    assert sequence.landmarks.shape == (5, 68, 2)
    assert sequence.boxes[2].tolist() == [2, 2, 32, 40.5]
    assert np.isnan(sequence.boxes[1, 0])
    assert np.isnan(sequence.landmarks[1, 7, 0])
    assert sequence.landmarks[1, 8].tolist() == [9, 9]


def test_a_parquet_file_gives_what_the_csv_gives(tmp_path):
    pytest.importorskip("pyarrow")
    rows = make(tmp_path, subjects=3)
    file = write(tmp_path, rows)
    from_csv = read(tmp_path)
    table = pd.read_csv(file)
    table["subject"] = table["subject"].str[1:].astype(float)  # numbers, as such tables have them
    table.to_parquet(tmp_path / "table.parquet")
    file.unlink()
    from_parquet = read(tmp_path, file="table.parquet")
    assert [name.replace("P", "") for name in from_csv] == list(from_parquet)
    for one, other in zip(from_csv.values(), from_parquet.values(), strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.frames, other.frames)
        assert one.source.names == other.source.names


def test_a_parquet_file_with_a_text_that_is_none_is_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = make(tmp_path)
    columns = {name: pa.array([row[name] for row in rows]) for name in rows[0]}
    ends = pa.py_buffer(np.arange(0, 2 * len(rows) + 1, 2, dtype=np.int32))
    no_text = pa.py_buffer(b"\xff\xfe" * len(rows))
    columns["path"] = pa.Array.from_buffers(pa.string(), len(rows), [None, ends, no_text])
    parquet.write_table(pa.table(columns), tmp_path / "manifest.parquet")
    with pytest.raises(DatasetCorrupt, match=r"manifest\.parquet: this is no manifest .*UTF8"):
        read(tmp_path, file="manifest.parquet")


def test_the_table_may_lie_anywhere_and_the_pictures_elsewhere(tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    file = write(home, make(elsewhere), "mine.csv")
    found = read(home, file="mine.csv", files=str(elsewhere))
    expected = {name: reds(sequence) for name, sequence in found.items()}
    assert len(expected) == 8
    assert read(file, files="../elsewhere").keys() == expected.keys()
    assert "nowhere: there is no such folder: check option files" in complaint(
        file, files="nowhere"
    )


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    file = write(tmp_path, make(tmp_path))
    plain = {name: sequence.labels.tolist() for name, sequence in read(tmp_path).items()}
    text = file.read_text().replace("\n", "\r\n\r\n").replace("pictures/", "pictures\\")
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert {name: sequence.labels.tolist() for name, sequence in read(tmp_path).items()} == plain


def test_lines_are_counted_with_the_blank_ones(tmp_path):
    rows = make(tmp_path)
    rows[1]["AU4"] = "2"
    file = write(tmp_path, rows)
    assert complaint(tmp_path).startswith(f"{file}, line 3: AU4 is 2; a label is 1 or 0")
    file.write_text("\n\n".join(file.read_text().splitlines()))
    assert complaint(tmp_path).startswith(f"{file}, line 5: AU4 is 2; a label is 1 or 0")


# --- video --------------------------------------------------------------------------------------


def test_frames_of_a_video_count_from_one(tmp_path):
    write(tmp_path, video_rows(tmp_path, (12, 1, 7, 8)))
    sequence = read(tmp_path)["P1_film"]
    assert sequence.frames.tolist() == [1, 7, 8, 12]
    assert sequence.labels[:, 0].tolist() == [1, 1, 0, 0]
    assert [position_of(picture) for picture in sequence.source.read()] == [0, 6, 7, 11]


def test_videos_and_pictures_may_share_a_table_but_not_a_recording(tmp_path):
    films = video_rows(tmp_path, range(1, 4))
    pictures = [{**row, "video": ""} for row in make(tmp_path, subjects=2)]
    write(
        tmp_path, [*pictures, *[{"path": "", "sex": "", "AU4": "", "AU12": "", **f} for f in films]]
    )
    assert list(read(tmp_path)) == ["P0_smile", "P0_talk", "P1_film", "P1_smile", "P1_talk"]
    mixed = [{**film, "subject": "P1", "sequence": "talk", "frame": "9"} for film in films[:1]]
    write(
        tmp_path, [*pictures, *[{"path": "", "sex": "", "AU4": "", "AU12": "", **f} for f in mixed]]
    )
    expected = "line 22: P1_talk is in videos/film.avi here, and in pictures before"
    assert expected in complaint(tmp_path)


def test_a_recording_is_in_one_video_and_has_no_frame_zero(tmp_path):
    rows = video_rows(tmp_path, (1, 2)) + video_rows(tmp_path, (3,), "film2.avi")
    write(tmp_path, rows)
    expected = "line 4: P1_film is in videos/film2.avi here, and in videos/film.avi before"
    assert expected in complaint(tmp_path)
    write(tmp_path, video_rows(tmp_path, (1, 0)))
    assert "line 3: the frames of a video count from 1" in complaint(tmp_path)


def test_a_missing_video_is_named(tmp_path):
    write(tmp_path, video_rows(tmp_path, (1, 2)) + video_rows(tmp_path, (3,), "gone.avi"))
    (tmp_path / "videos/gone.avi").unlink()
    dataset = Manifest(tmp_path)
    assert [sequence.name for sequence in dataset.sequences()] == ["P1_film"]
    assert dataset.problems == ["P1_gone: the video is not there, frame 3 (videos/gone.avi)"]


# --- folds --------------------------------------------------------------------------------------


def test_faces_beside_a_table_that_is_given_by_name_are_found(tmp_path):
    rows = make(tmp_path)
    write(tmp_path, rows)
    first = rows[0]
    where = f"{first['subject']}_{first['sequence']}"
    (tmp_path / "boxes.csv").write_text(
        f"subject,task,frame,x0,y0,x1,y1\n{first['subject']},{first['sequence']},{first['frame']},1,2,3,4\n"
    )
    for root in (tmp_path, tmp_path / "manifest.csv"):
        found = {each.name: each for each in WithFaces(Manifest(root)).sequences()}
        assert found[where].boxes is not None


def test_a_fold_column_is_taken_as_it_is(tmp_path):
    rows = make(tmp_path)
    for row in rows:
        row["fold"] = str(int(row["subject"][1:]) % 2)
    write(tmp_path, rows)
    folds = Manifest(tmp_path).folds()
    assert folds.groups == (("P0", "P2"), ("P1", "P3"))
    assert Manifest(tmp_path, folds="4").folds().groups != folds.groups
    assert "ours" not in folds.name
    for row in rows:
        row["fold"] = {"0": "False", "1": "True"}[row["fold"]]
    write(tmp_path, rows)
    assert Manifest(tmp_path).folds().groups == folds.groups


def test_drawn_folds_are_ours_disjoint_even_and_the_same_everywhere(tmp_path):
    rows = make(tmp_path, subjects=14, frames=1)
    write(tmp_path, rows)
    folds = Manifest(tmp_path).folds()
    assert "ours" in folds.name
    assert sorted(s for group in folds.groups for s in group) == sorted(
        {row["subject"] for row in rows}
    )
    assert sorted(map(len, folds.groups)) == [4, 5, 5]
    for sex in ("F", "M"):
        of_sex = {row["subject"] for row in rows if row["sex"] == sex}
        counts = [len(of_sex.intersection(group)) for group in folds.groups]
        assert max(counts) - min(counts) <= 1
    np.random.default_rng(3).shuffle(rows)
    write(tmp_path, rows)
    assert Manifest(tmp_path).folds() == folds
    assert Manifest(tmp_path, fold_seed="1").folds().groups != folds.groups


def test_folds_may_come_from_a_file(tmp_path):
    write(tmp_path, make(tmp_path))
    list_ = tmp_path / "mine.csv"
    list_.write_text("subject,fold\nP0,0\nP1,1\nP2,1\nP3,0\n")
    assert Manifest(tmp_path, folds=str(list_)).folds().groups == (("P0", "P3"), ("P1", "P2"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"folds": "5"}, "5 folds take 5 subjects, and the manifest has 4"),
        ({"folds": "1"}, "folds is '1': give a whole number from 2 on"),
        ({"folds": "many"}, "folds is 'many'"),
        ({"fold_seed": "x"}, "fold_seed is 'x'"),
        ({"folds": "gone.csv"}, "there is no such fold list"),
    ],
)
def test_folds_that_cannot_be_had_are_refused(options, expected, tmp_path):
    write(tmp_path, make(tmp_path))
    with pytest.raises(DatasetError, match=expected):
        Manifest(tmp_path, **options).folds()


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("fold", ["0", "1"], "line 3: fold of P0 is '1', and was '0'"),
        ("fold", ["0", ""], "line 3: fold must be a whole number"),
        ("fold", ["0", "-1"], "line 3: fold must be a whole number"),
        ("fold", ["0", "1.5"], "line 3: 1.5 is no fold"),
        ("sex", ["F", "M"], "line 3: sex of P0 is 'M', and was 'F'"),
        ("sex", ["F", "X"], "line 3: sex is 'X'; it may be F, M or empty"),
    ],
)
def test_a_person_has_one_sex_and_is_in_one_fold(column, values, expected, tmp_path):
    rows = make(tmp_path)
    for row, value in zip(rows, values * 100, strict=False):
        row[column] = value
    file = write(tmp_path, rows)
    with pytest.raises(DatasetCorrupt) as caught:
        Manifest(tmp_path).folds()
    assert str(caught.value).startswith(f"{file}, {expected}")


def test_folds_that_count_from_one_are_refused_in_words(tmp_path):
    rows = make(tmp_path)
    for row in rows:
        row["fold"] = str(1 + int(row["subject"][1:]) % 2)
    write(tmp_path, rows)
    with pytest.raises(SplitError, match="fold 0 has no subject, but fold 2 has"):
        Manifest(tmp_path).folds()


# --- what is left out ---------------------------------------------------------------------------


def test_pictures_that_are_not_there_are_named_and_the_rest_goes_on(tmp_path):
    rows = make(tmp_path)
    write(tmp_path, rows)
    for frame in (2, 3, 5):
        (tmp_path / f"pictures/P1/talk-{frame}.jpg").unlink()
    for frame in range(1, 6):
        (tmp_path / f"pictures/P2/smile-{frame}.jpg").unlink()
    dataset = Manifest(tmp_path)
    sequences = {sequence.name: sequence for sequence in dataset.sequences()}
    assert dataset.problems == [
        "P1_talk: the picture is not there, frame 2-3, 5 (pictures/P1/talk-2.jpg)",
        "P2_smile: the picture is not there, frame 1-5 (pictures/P2/smile-1.jpg)",
    ]
    assert len(sequences) == 7
    assert sequences["P1_talk"].frames.tolist() == [1, 4]
    assert reds(sequences["P1_talk"]) == [1, 4]


def test_a_folder_or_a_pipe_is_no_picture(tmp_path):
    rows = make(tmp_path, subjects=2)
    folder, pipe = tmp_path / rows[0]["path"], tmp_path / rows[1]["path"]
    folder.unlink()
    folder.mkdir()
    pipe.unlink()
    os.mkfifo(pipe)
    write(tmp_path, rows)
    dataset = Manifest(tmp_path)
    assert dataset.sequences()[0].frames.tolist() == [3, 4, 5]
    assert dataset.problems == [
        "P0_smile: the picture is not there, frame 1-2 (pictures/P0/smile-1.jpg)"
    ]


def test_a_table_whose_pictures_are_all_gone_says_so(tmp_path):
    rows = make(tmp_path / "elsewhere")
    write(tmp_path, rows)
    with pytest.raises(DatasetMissing, match=r"no picture that it names is there \(P0_smile: "):
        Manifest(tmp_path).sequences()


# --- paths that leave the folder ----------------------------------------------------------------


@pytest.mark.parametrize("column", ["path", "video"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../outside.jpg", "../outside.jpg contains .., which may lead out of"),
        ("pictures/../../outside.jpg", "contains .."),
        ("..\\outside.jpg", "contains .."),
        ("pictures/..", "contains .."),
        ("OUTSIDE", "is not within"),
        ("/etc/hostname", "/etc/hostname is not within"),
        ("out/secret.jpg", "out is a link that leads out of"),
        ("out/deeper/secret.jpg", "out/deeper is a link that leads out of"),
        ("linked.jpg", "linked.jpg is a link that leads out of"),
        ("bell\x07.jpg", "is no file name"),
    ],
)
def test_a_path_that_leaves_the_folder_is_refused_with_its_line(column, name, expected, tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "deeper").mkdir(parents=True)
    (outside / "secret.jpg").write_bytes(jpeg((1, 2, 3)))
    rows = make(root)
    (root / "out").symlink_to(outside)
    (root / "linked.jpg").symlink_to(outside / "secret.jpg")
    rows[3] |= {"path": "", column: name.replace("OUTSIDE", str(outside / "secret.jpg"))}
    rows = [{"video": "", **row} for row in rows]
    file = write(root, rows)
    found = complaint(root)
    assert found.startswith(f"{file}, line 5: {column} ")
    assert expected in found


def test_paths_within_the_folder_may_be_absolute_or_linked(tmp_path):
    rows = make(tmp_path / "real")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    root = tmp_path / "root"
    (root / "alias").symlink_to(root / "pictures")
    rows[0]["path"] = str(root / rows[0]["path"])
    rows[1]["path"] = str(tmp_path / "real" / rows[1]["path"])
    rows[2]["path"] = rows[2]["path"].replace("pictures", "alias")
    write(root, rows)
    assert reds(read(root)["P0_smile"]) == [1, 2, 3, 4, 5]


# --- what stops the reading ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "column", "value", "expected"),
    [
        (0, "subject", "", "line 2: there is no subject"),
        (2, "sequence", " ", "line 4: there is no sequence"),
        (1, "frame", "", "line 3: there is no frame number"),
        (1, "frame", "two", "line 3: frame is 'two', not a number"),
        (1, "frame", "2.5", "line 3: 2.5 is no frame number"),
        (1, "frame", "1e12", "line 3: 1e+12 is no frame number"),
        (1, "frame", "1", "line 3: frame 1 of P0_smile is there already"),
        (4, "path", "", "line 6: a row names either a path or a video"),
        (4, "AU4", "2", "line 6: AU4 is 2; a label is 1 or 0, and empty (or -1, 9) if not coded"),
        (4, "AU4", "0.5", "line 6: AU4 is 0.5;"),
        (4, "AU12", "yes", "line 6: AU12 is 'yes', not a number"),
        (4, "AU6_intensity", "5.1", "line 6: AU6_intensity is 5.1; an intensity is 0 to 5,"),
        (4, "AU6_intensity", "-0.5", "line 6: AU6_intensity is -0.5;"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(row, column, value, expected, tmp_path):
    rows = [{**row, "AU6_intensity": "0"} for row in make(tmp_path)]
    rows[row][column] = value
    file = write(tmp_path, rows)
    assert complaint(tmp_path).startswith(f"{file}, {expected}")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("subject,", "person,", "line 1: there is no column subject; a manifest has"),
        ("frame,", "number,", "line 1: there is no column frame;"),
        ("path,", "file,", "line 1: there is no column path and no column video;"),
        ("AU1,AU4,AU12", "a,b,c", "line 1: there is no column of an action unit;"),
        ("AU1,AU4", "AU1,AU01", "line 1: columns AU1 and AU01 are about the same action unit"),
        ("sex,", "x0,", "line 1: there is no column y0;"),
        (",", ";", "line 1: its cells are separated by semicolons: save it with commas"),
    ],
)
def test_a_header_that_lacks_something_is_refused(old, new, expected, tmp_path):
    file = write(tmp_path, make(tmp_path))
    header, *rest = file.read_text().splitlines()
    assert old in header
    file.write_text("\n".join([header.replace(old, new), *rest]))
    assert complaint(tmp_path).startswith(f"{file}, {expected}")


@pytest.mark.parametrize("ragged", ["surplus", "lacking", "cut"])
def test_a_row_with_too_many_or_too_few_cells_is_named(ragged, tmp_path):
    file = write(tmp_path, make(tmp_path))
    lines = file.read_text().splitlines()
    if ragged == "surplus":
        lines[3] = lines[3].replace("smile-3", "smile,3")
    elif ragged == "lacking":
        lines[3] = lines[3].rpartition(",")[0]
    else:
        lines = [*lines[:3], lines[3][:20]]
    file.write_text("\n".join(lines))
    count = {"surplus": 9, "lacking": 7, "cut": 1}[ragged]
    assert complaint(tmp_path) == f"{file}, line 4: {count} cells, but the header has 8"


def test_empty_cells_and_rows_of_a_spreadsheet_do_no_harm(tmp_path):
    file = write(tmp_path, make(tmp_path))
    plain = {name: sequence.labels.tolist() for name, sequence in read(tmp_path).items()}
    text = file.read_text().replace("\n", ",,\n").replace("AU12,,", "AU12")
    file.write_text(text + ",,,,,,,,,\n,,,\n\n")
    assert {name: sequence.labels.tolist() for name, sequence in read(tmp_path).items()} == plain


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    file = write(tmp_path, make(tmp_path))
    file.write_text(file.read_text().replace("AU4,AU12", "AU4,AU4", 1))
    assert complaint(tmp_path) == f"{file}, line 1: there are two columns AU4"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "this is no manifest"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "this is no text"),
        (b"path,subject,sequence,frame,AU1\n", "no row follows the header"),
    ],
)
def test_what_is_no_table_is_named(data, expected, tmp_path):
    for name in ("manifest.csv", "manifest.parquet"):
        (tmp_path / name).write_bytes(data)
        found = complaint(tmp_path)
        assert found.startswith(f"{tmp_path / name}: ")
        assert expected in found or (name.endswith("parquet") and "this is no manifest" in found)
        (tmp_path / name).unlink()


def test_two_recordings_of_one_name_are_refused(tmp_path):
    rows = make(tmp_path, subjects=2)
    for row in rows[:10]:
        row |= {"subject": "P1_x", "sequence": "y", "frame": row["path"].strip("abcdefghijklmnopqr"
               "stuvwxyzP./-").replace("/smile-", "").replace("/talk-", "1")}  # fmt: skip
    for row in rows[10:]:
        row |= {"subject": "P1", "sequence": "x_y", "frame": str(50 + rows.index(row))}
    write(tmp_path, rows)
    assert "P1_x and P1 both have a P1_x_y: rename one" in complaint(tmp_path)


def test_a_missing_root_or_table_says_what_is_expected(tmp_path):
    with pytest.raises(DatasetMissing, match=r"--root\); expected is a table manifest\.csv"):
        Manifest(None).sequences()
    with pytest.raises(DatasetMissing, match=r"no manifest\.csv and no manifest\.parquet in it"):
        Manifest(tmp_path).sequences()
    with pytest.raises(DatasetMissing, match=r"there is no mine\.csv in it"):
        Manifest(tmp_path, file="mine.csv").sequences()
    with pytest.raises(DatasetMissing, match="nowhere: there is no such folder"):
        Manifest(tmp_path / "nowhere").sequences()
