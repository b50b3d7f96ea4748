"""The DISFA+ reader on small copies."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from datasets._base import UNCODED, DatasetCorrupt, DatasetMissing, Sequence
from datasets._splits.folds import draw_folds, load_folds
from datasets.disfa import Disfa
from datasets.disfa_plus import DisfaPlus
from tests.helpers.dataset_trees import jpeg
from tests.helpers.disfa_plus_tree import AUS, PEOPLE, TRIALS, make_tree


def read_with_problems(root: Path, **options: object) -> tuple[list[Sequence], list[str]]:
    dataset = DisfaPlus(root, **options)
    return dataset.sequences(), dataset.problems


def read(root: Path, **options: object) -> list[Sequence]:
    sequences, problems = read_with_problems(root, **options)
    assert problems == []
    return sequences


def labels_of(root: Path) -> Path:
    return root / "Labels" / PEOPLE[0] / TRIALS[0]


@pytest.mark.parametrize("base", ["", "DISFAPlusDataset"])
@pytest.mark.parametrize("threshold", [1, 2])
def test_a_trial_is_a_sequence_with_labels_from_the_threshold_on(
    base: str, threshold: int, tmp_path: Path
) -> None:
    truth = make_tree(tmp_path / base)
    sequences = read(tmp_path, aus="all", threshold=threshold)
    assert [(s.subject, s.task) for s in sequences] == list(truth)
    for sequence, values in zip(sequences, truth.values(), strict=True):
        assert sequence.frames.tolist() == list(range(5))
        np.testing.assert_array_equal(sequence.labels, values >= threshold)
        np.testing.assert_array_equal(sequence.intensities, values)
    reds = [
        float(p[..., 0].mean()) for p in sequences[1].source.read() if isinstance(p, np.ndarray)
    ]
    np.testing.assert_allclose(reds, np.arange(5) * 8, atol=3)


def test_the_default_is_disfas(tmp_path: Path) -> None:
    truth = make_tree(tmp_path)
    assert DisfaPlus.aus == Disfa.aus
    columns = [AUS.index(au) for au in Disfa.aus]
    np.testing.assert_array_equal(
        read(tmp_path)[0].labels, truth[PEOPLE[0], TRIALS[0]][:, columns] > 1
    )


def test_crops_can_be_read_instead_of_images(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_tree(root, images="Aligned")
    with pytest.raises(DatasetMissing, match="no folder of images is there"):
        DisfaPlus(root).sequences()
    assert len(read(root, images="Aligned")) == 4
    elsewhere = tmp_path / "elsewhere"
    (root / "Aligned").rename(elsewhere)
    assert len(read(root, images=str(elsewhere))) == 4


def test_what_lacks_a_half_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    make_tree(tmp_path)
    shutil.rmtree(tmp_path / "Images" / PEOPLE[1] / TRIALS[0])
    shutil.rmtree(tmp_path / "Labels" / PEOPLE[1] / TRIALS[1])
    (tmp_path / "Images" / PEOPLE[0] / TRIALS[0] / "002.jpg").unlink()
    (labels_of(tmp_path) / "AU4.txt").unlink()
    sequences, problems = read_with_problems(tmp_path)
    assert problems == [
        f"SN001_{TRIALS[0]}: there is no label file of AU 4: it counts as not coded",
        f"SN001_{TRIALS[0]}: labels without an image left out: 2",
        f"SN003_{TRIALS[0]}: labels without images, left out",
        f"SN003_{TRIALS[1]}: images without labels, left out",
    ]
    assert sequences[0].frames.tolist() == [0, 1, 3, 4]
    assert (sequences[0].labels[:, 2] == UNCODED).all()


def test_an_image_without_a_label_stays_unlabelled(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "Images" / PEOPLE[0] / TRIALS[0] / "005.jpg").write_bytes(jpeg((0, 0, 0)))
    sequence = read(tmp_path)[0]
    assert sequence.frames.tolist() == list(range(6))
    assert sequence.coded.tolist() == [True] * 5 + [False]


@pytest.mark.parametrize(
    ("line", "text", "complaint"),
    [
        (1, "frame intensity", "found 'frame intensity'; a line is FRAME.jpg intensity"),
        (3, "001.jpg", "found '001.jpg'; a line is"),
        (3, "001.jpg 2 2", "found '001.jpg 2 2'; a line is"),
        (3, "001.jpg 2.5", "found '001.jpg 2.5'; a line is"),
        (3, "001.jpg 6", "found '001.jpg 6'; .* 0 to 5"),
        (3, "000.jpg 2", "frame 0 follows frame 0: they must increase"),
    ],
)
def test_a_label_file_that_breaks_the_format_is_named_with_its_line(
    line: int, text: str, complaint: str, tmp_path: Path
) -> None:
    make_tree(tmp_path)
    file = labels_of(tmp_path) / "AU4.txt"
    lines = file.read_text().splitlines()
    lines[line - 1] = text
    file.write_text("\n".join(lines))
    with pytest.raises(DatasetCorrupt, match=rf"AU4\.txt, line {line}: {complaint}"):
        DisfaPlus(tmp_path).sequences()


def test_two_entries_about_one_thing_are_an_error_that_names_both(tmp_path: Path) -> None:
    make_tree(tmp_path)
    (tmp_path / "Images" / PEOPLE[0] / TRIALS[0] / "1.jpg").write_bytes(jpeg((0, 0, 0)))
    with pytest.raises(DatasetCorrupt, match=r"1\.jpg: 001\.jpg has the same number: keep one"):
        DisfaPlus(tmp_path).sequences()
    (tmp_path / "Images" / PEOPLE[0] / TRIALS[0] / "1.jpg").unlink()
    (tmp_path / "Labels" / "sn003").mkdir()
    with pytest.raises(DatasetCorrupt, match="sn003: SN003 lies beside it"):
        DisfaPlus(tmp_path).sequences()


def test_an_empty_root_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"no folder of images is there; .*AU1\.txt"):
        DisfaPlus(tmp_path).sequences()
    make_tree(tmp_path)
    for file in (tmp_path / "Images").rglob("*.jpg"):
        file.unlink()
    with pytest.raises(DatasetMissing, match="no label meets an image"):
        DisfaPlus(tmp_path).sequences()


def test_the_folds_are_ours_drawn_as_they_say_and_all_are_people_of_disfa() -> None:
    folds = DisfaPlus().folds()
    people = sorted(set().union(*folds.groups))
    drawn = draw_folds(people, 3, 0, folds.name)
    assert folds.name == "disfa_plus-ours"
    assert {person: k for k, group in enumerate(folds.groups) for person in group} == drawn
    assert [len(group) for group in folds.groups] == [3, 3, 3]
    assert set(people) < set().union(*load_folds("disfa").groups)
