"""The Aff-Wild2 reader on small copies."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets._base import UNCODED, DatasetCorrupt, DatasetMissing, Sequence
from datasets.affwild2 import AffWild2
from tests.helpers.affwild2_tree import HEADER, ROWS, VIDEOS, make_tree
from tests.helpers.dataset_trees import jpeg


def label_file(root: Path) -> Path:
    return root / "annotations/AU_Set/Train_Set/video5_left.txt"


def read_with_problems(root: Path) -> tuple[dict[str, Sequence], list[str]]:
    dataset = AffWild2(root)
    return {s.subject: s for s in dataset.sequences()}, dataset.problems


@pytest.mark.parametrize(
    ("labels", "images"),
    [
        ("annotations/AU_Set", "cropped_aligned"),
        ("AU_Detection_Challenge", "cropped_aligned_images"),
        ("6th_ABAW_Annotations/AU_Detection_Challenge", "cropped_aligned/cropped_aligned"),
        ("Third ABAW Annotations/AU_Detection_Challenge", "batch1/cropped_aligned"),
        ("3rd ABAW Annotations/Third ABAW Annotations/AU_Set/AU_Set", "Aff-Wild2/cropped_aligned"),
        ("Aff-Wild2/5th-ABAW-Annotations/AU", "cropped_aligned_images/cropped_aligned_new_50_vids"),
    ],
)
def test_row_j_is_about_image_j(labels: str, images: str, tmp_path: Path) -> None:
    make_tree(tmp_path, labels, images)
    sequences, problems = read_with_problems(tmp_path)
    assert problems == []
    assert list(sequences) == sorted(VIDEOS)
    for video, sequence in sequences.items():
        file = tmp_path / labels / VIDEOS[video] / f"{video}.txt"
        with file.open(newline="") as stream:
            plain = [[int(row[f"AU{au}"]) for au in AffWild2.aus] for row in csv.DictReader(stream)]
        assert sequence.labels.tolist() == plain
        assert sequence.frames.tolist() == list(range(1, ROWS + 1))
    pictures = sequences["video5_left"].source.read()
    reds = [
        float(picture[..., 0].mean()) for picture in pictures if isinstance(picture, np.ndarray)
    ]
    np.testing.assert_allclose(reds, np.arange(1, ROWS + 1) * 20, atol=3)


def test_frames_without_a_face_are_counted_and_move_nothing(tmp_path: Path) -> None:
    make_tree(tmp_path)
    whole = read_with_problems(tmp_path)[0]["video5_left"]
    for number in (1, 4):
        (tmp_path / f"cropped_aligned/video5_left/{number:05}.jpg").unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert problems == [
        "labels without an image (no face was found there) left out: 2, in 1 of 3 videos"
    ]
    left = sequences["video5_left"]
    assert left.frames.tolist() == [2, 3, 5, 6]
    np.testing.assert_array_equal(left.labels, whole.labels[[1, 2, 4, 5]])


def test_images_after_the_last_row_stay_unlabelled_and_are_told(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "cropped_aligned/video5_left/00007.jpg").write_bytes(jpeg((0, 0, 0)))
    sequences, problems = read_with_problems(tmp_path)
    assert problems == ["video5_left: there are 6 rows of labels; images that stay unlabelled: 7"]
    assert (sequences["video5_left"].labels[6] == UNCODED).all()


def test_an_image_before_the_first_row_is_told(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "cropped_aligned/video5_left/00000.jpg").write_bytes(jpeg((0, 0, 0)))
    _, problems = read_with_problems(tmp_path)
    assert problems == ["video5_left: there are 6 rows of labels; images that stay unlabelled: 0"]


def test_a_video_without_images_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_tree(tmp_path)
    shutil.rmtree(tmp_path / "cropped_aligned/video5_left")
    sequences, problems = read_with_problems(tmp_path)
    assert len(sequences) == 2
    assert problems == ["video5_left: labels without images, left out"]


def test_fold_0_is_the_official_partition(tmp_path: Path) -> None:
    make_tree(tmp_path)
    folds = AffWild2(tmp_path).folds()
    assert folds.test_subjects(0) == {"4-30-1920x1080"}
    assert folds.test_subjects(1) == {"10-60-1280x720", "video5_left"}


@pytest.mark.parametrize(
    ("line", "text", "complaint"),
    [
        (1, HEADER.replace("AU15,", ""), "the header must be AU1,AU2,"),
        (1, "0,1,0,0,0,0,0,0,0,0,0,0", "the header must be AU1,AU2,"),
        (3, "0,1,0", "3 cells, but the header has 12"),
        (3, ",".join(["0"] * 13), "13 cells, but the header has 12"),
        (4, ",".join(["0"] * 11 + ["2"]), "column AU26 holds '2'; a label is 1, 0 or -1"),
        (4, ",".join(["0"] * 11 + ["0.5"]), r"column AU26 holds '0\.5'"),
        (4, "", "1 cells, but the header has 12"),
    ],
)
def test_a_label_file_that_breaks_the_format_is_named_with_its_line(
    line: int, text: str, complaint: str, tmp_path: Path
) -> None:
    make_tree(tmp_path)
    lines = label_file(tmp_path).read_text().splitlines()
    lines[line - 1] = text
    label_file(tmp_path).write_text("\n".join(lines))
    with pytest.raises(DatasetCorrupt, match=rf"video5_left\.txt, line {line}: {complaint}"):
        AffWild2(tmp_path).sequences()


def test_blanks_and_line_ends_of_other_systems_do_no_harm(tmp_path: Path) -> None:
    make_tree(tmp_path)
    before = read_with_problems(tmp_path)[0]["video5_left"].labels
    text = label_file(tmp_path).read_text().replace(",", ", ").replace("\n", " \r\n") + "\r\n\r\n"
    label_file(tmp_path).write_text(text, newline="")
    np.testing.assert_array_equal(read_with_problems(tmp_path)[0]["video5_left"].labels, before)


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    make_tree(tmp_path)
    label_file(tmp_path).write_text(f"{HEADER}\n")
    with pytest.raises(
        DatasetCorrupt, match=r"video5_left\.txt, line 1: no row follows the header"
    ):
        AffWild2(tmp_path).sequences()


def test_a_video_in_both_sets_is_an_error(tmp_path: Path) -> None:
    make_tree(tmp_path)
    shutil.copy(
        label_file(tmp_path), tmp_path / "annotations/AU_Set/Validation_Set/video5_left.txt"
    )
    with pytest.raises(DatasetCorrupt, match=r"this video is in Validation_Set too: keep one"):
        AffWild2(tmp_path).sequences()


def test_an_empty_root_says_what_is_expected(tmp_path: Path) -> None:
    for ask in (AffWild2(tmp_path).sequences, AffWild2(tmp_path).folds):
        with pytest.raises(DatasetMissing, match=r"no label file is there; .*VIDEO\.txt"):
            ask()
    make_tree(tmp_path)
    shutil.rmtree(tmp_path / "cropped_aligned")
    with pytest.raises(DatasetMissing, match="no folder of images is there; expected"):
        AffWild2(tmp_path).sequences()


def test_a_second_folder_of_images_is_read_too(tmp_path: Path) -> None:
    make_tree(tmp_path)
    more = tmp_path / "cropped_aligned_new_50_vids"
    more.mkdir()
    (tmp_path / "cropped_aligned/video5_left").rename(more / "video5_left")
    sequences, problems = read_with_problems(tmp_path)
    assert problems == []
    assert list(sequences) == sorted(VIDEOS)
    assert sequences["video5_left"].frames.tolist() == list(range(1, ROWS + 1))
    shutil.copytree(more / "video5_left", tmp_path / "cropped_aligned/video5_left")
    said = r"new_50_vids/video5_left: this video is in cropped_aligned too: keep one of them"
    with pytest.raises(DatasetCorrupt, match=said):
        AffWild2(tmp_path).sequences()


def test_label_files_of_two_releases_are_chosen_between(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_tree(root)
    newer = root / "6th_ABAW_Annotations/AU_Detection_Challenge"
    shutil.copytree(root / "annotations/AU_Set", newer)
    (newer / "Train_Set/video5_left.txt").unlink()
    with pytest.raises(DatasetCorrupt, match="holds label files too: choose by option labels"):
        AffWild2(root).sequences()
    elsewhere = tmp_path / "two releases"
    for release in ("AU_Set", "AU_Detection_Challenge"):
        shutil.copytree(newer, elsewhere / release)
    with pytest.raises(DatasetCorrupt, match=r"two releases/.* holds label files too"):
        AffWild2(root, labels=str(elsewhere)).sequences()
    for folder in ("6th_ABAW_Annotations", "6th_ABAW_Annotations/AU_Detection_Challenge"):
        chosen = AffWild2(root, labels=folder)
        assert {s.subject for s in chosen.sequences()} == VIDEOS.keys() - {"video5_left"}
        assert sum(map(len, chosen.folds().groups)) == 2


def test_folders_anywhere_can_be_named(tmp_path: Path) -> None:
    make_tree(tmp_path, labels="mine/labels", images="elsewhere/faces")
    for images in ("elsewhere/faces", str(tmp_path / "elsewhere/faces")):
        sequences = AffWild2(tmp_path, labels="mine/labels", images=images).sequences()
        assert [s.subject for s in sequences] == sorted(VIDEOS)
        assert next(sequences[0].source.read()).shape == (48, 40, 3)
    with pytest.raises(DatasetMissing, match="no label file is there; expected are"):
        AffWild2(tmp_path, images="elsewhere/faces").sequences()
    with pytest.raises(DatasetMissing, match=r"gone: no label file is there; check option labels"):
        AffWild2(tmp_path, labels="gone").sequences()
    with pytest.raises(DatasetMissing, match=r"gone: no folder of images .*; check option images"):
        AffWild2(tmp_path, labels="mine/labels", images="gone").sequences()
