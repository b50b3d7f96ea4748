"""The CK+ reader on small copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets._base import UNCODED, DatasetCorrupt, DatasetError, DatasetMissing, Sequence
from datasets.ckplus import CkPlus
from tests.helpers.ckplus_tree import PEAKS, add_landmarks, make_tree


def read_with_problems(root: Path, **options: object) -> tuple[dict[str, Sequence], list[str]]:
    dataset = CkPlus(root, **options)
    return {s.name: s for s in dataset.sequences()}, dataset.problems


def read(root: Path, **options: object) -> dict[str, Sequence]:
    sequences, problems = read_with_problems(root, **options)
    assert problems == []
    return sequences


def label_file(root: Path) -> Path:
    return root / "FACS/S005/001/S005_001_00000004_facs.txt"


@pytest.mark.parametrize("base", ["", "CK+"])
def test_the_peak_is_labelled_with_the_aus_its_file_lists(base: str, tmp_path: Path) -> None:
    make_tree(tmp_path / base)
    sequences = read(tmp_path)
    assert list(sequences) == ["S005_001", "S010_001", "S010_002", "S999_003"]
    present = {
        name: [au for au, label in zip(CkPlus.aus, s.labels[-1], strict=True) if label == 1]
        for name, s in sequences.items()
    }
    # Intensity 0 means present and not scored; an AU that is not used (43) is no harm.
    assert present == {"S005_001": [9, 17], "S010_001": [1], "S010_002": [], "S999_003": [25]}
    for (_, (count, _)), sequence in zip(PEAKS.items(), sequences.values(), strict=True):
        assert sequence.frames.tolist() == list(range(1, count + 1))
        assert sequence.coded.tolist() == [False] * (count - 1) + [True]
        assert len(list(sequence.source.read())) == count


def test_other_aus_can_be_asked_for(tmp_path: Path) -> None:
    make_tree(tmp_path)
    assert read(tmp_path, aus="43,9")["S010_001"].labels[-1].tolist() == [0, 1]
    with pytest.raises(DatasetError, match="aus is 'AU9': give AU numbers; once each"):
        CkPlus(tmp_path, aus="AU9")


def test_official_landmarks_meet_their_images_and_can_be_refused(tmp_path: Path) -> None:
    make_tree(tmp_path)
    add_landmarks(tmp_path)
    points = read(tmp_path)["S010_001"].landmarks
    assert points is not None
    assert points.shape == (3, 49, 2)
    assert points[:, 0].tolist() == [[17, 1], [17, 2], [17, 3]]
    assert read(tmp_path, features="none")["S010_001"].landmarks is None


def test_missing_and_damaged_landmark_files_are_named_the_rest_is_used(tmp_path: Path) -> None:
    make_tree(tmp_path)
    add_landmarks(tmp_path)
    folder = tmp_path / "Landmarks/S005/001"
    (folder / "S005_001_00000001_landmarks.txt").unlink()
    (folder / "S005_001_00000002_landmarks.txt").write_text("1.0 2.0\n")
    (folder / "S005_001_00000003_landmarks.txt").write_bytes("1.0 zwölf\n".encode("cp1252"))
    sequences, problems = read_with_problems(tmp_path)
    points = sequences["S005_001"].landmarks
    assert points is not None
    assert np.isnan(points).any(axis=(1, 2)).tolist() == [True, True, True, False]
    assert problems == [
        "S005_001: no landmark file for frames 1",
        f"{folder / 'S005_001_00000002_landmarks.txt'}: the list of points is 1 x 2, not 68 x 2; "
        "its landmarks are not used; 1 more such files",
    ]


def test_what_lacks_a_half_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_tree(tmp_path)
    label_file(tmp_path).unlink()
    shutil.rmtree(tmp_path / "cohn-kanade-images/S010/001")
    (tmp_path / "cohn-kanade-images/S010/002/S010_002_00000005.png").unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert list(sequences) == ["S999_003"]
    assert problems == [
        "S005_001: images without a label, left out",
        "S010_001: a label without images, left out",
        "S010_002: no labelled frame has an image, left out",
    ]


@pytest.mark.parametrize(
    "text", ["9.0", "9.0 5.0 1.0", "9.5 5.0", "AU9 5.0", "9 -1", "9 inf", "0 1"]
)
def test_a_label_file_that_breaks_the_format_is_named_with_its_line(
    text: str, tmp_path: Path
) -> None:
    make_tree(tmp_path)
    label_file(tmp_path).write_text(f"1.0 1.0\n{text}\n")
    with pytest.raises(DatasetCorrupt, match=rf"facs\.txt, line 2: found '{text}'; a line is two"):
        CkPlus(tmp_path).sequences()


def test_an_empty_root_and_a_person_there_twice_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"no folder of images is there; .*_facs\.txt"):
        CkPlus(tmp_path).sequences()
    with pytest.raises(DatasetMissing, match="0 people have images, which makes no 3 folds"):
        CkPlus(tmp_path).folds()
    make_tree(tmp_path)
    (tmp_path / "cohn-kanade-images/s005").mkdir()
    with pytest.raises(DatasetCorrupt, match="s005: S005 lies beside it and is about S005 too"):
        CkPlus(tmp_path).sequences()


def test_the_folds_are_ours_and_share_out_the_people_of_the_copy(tmp_path: Path) -> None:
    make_tree(tmp_path)
    folds = CkPlus(tmp_path).folds()
    assert folds.name == "ckplus-ours"
    assert sorted(sum(folds.groups, ())) == ["S005", "S010", "S999"]
    assert [len(group) for group in folds.groups] == [1, 1, 1]


def test_a_frame_that_is_not_the_peak_is_not_a_negative(tmp_path: Path) -> None:
    make_tree(tmp_path)
    assert (read(tmp_path)["S005_001"].labels[:-1] == UNCODED).all()
