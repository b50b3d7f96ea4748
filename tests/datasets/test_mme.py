"""MME: BP4D+'s dialect, with everything that is not public left to options."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from datasets._base import UNCODED
from datasets._splits.folds import draw_folds
from datasets.mme import Mme
from tests.helpers.dataset_trees import make_bp4d_tree

SUBJECTS = [*(f"F{n:03}" for n in range(1, 133)), *(f"M{n:03}" for n in range(1, 102))]


def test_bp4d_plus_dialect_is_read(tmp_path: Path) -> None:
    truth = make_bp4d_tree(
        tmp_path / "MME",
        subjects=["F132", "M101"],
        tasks=["T10", "T3"],
        images=range(20),
        coded=range(1, 15),
        offset=-1,
        image_home="2D+3D",
        dialect="release",
    )
    found = {sequence.name: sequence for sequence in Mme(tmp_path).sequences()}
    assert list(found) == ["F132_T3", "F132_T10", "M101_T3", "M101_T10"]
    for name, sequence in found.items():
        np.testing.assert_array_equal(sequence.labels[:14], truth[name])
        assert (sequence.labels[14:] == UNCODED).all()


def test_tasks_aus_offset_and_folders_are_options(tmp_path: Path) -> None:
    truth = make_bp4d_tree(
        tmp_path,
        tasks=["T1", "T2"],
        image_home="faces/aligned",
        label_home="labels/occurrence",
        dialect="release",
    )
    dataset = Mme(
        tmp_path,
        tasks="T2",
        aus="6,12",
        frame_offset="0",
        images="faces/aligned",
        labels="labels/occurrence",
    )
    found = {sequence.name: sequence for sequence in dataset.sequences()}
    assert list(found) == ["F001_T2", "F003_T2", "F004_T2"]
    assert (dataset.aus, dataset.problems) == ((6, 12), [])
    for name, sequence in found.items():
        np.testing.assert_array_equal(sequence.labels[2:16], truth[name][:, [3, 6]])


def test_the_header_of_the_coding_pipeline_is_read(tmp_path: Path) -> None:
    make_bp4d_tree(tmp_path, subjects=["F001"], tasks=["T1"], images=range(4), coded=range(1, 5))
    aus = [*range(1, 21), 22, 23, 24, *range(27, 40), 99]
    with (tmp_path / "AUCoding/AU_OCC/F001_T1.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow([1, *aus])
        for frame in range(1, 5):
            rows.writerow(
                [frame, *(1 if au in (frame, 24) else 9 if au == 12 else 0 for au in aus)]
            )
    (sequence,) = Mme(tmp_path).sequences()
    at = {au: column for column, au in enumerate(Mme().aus)}
    assert sequence.labels[:, at[1]].tolist() == [1, 0, 0, 0]
    assert sequence.labels[:, at[4]].tolist() == [0, 0, 0, 1]
    assert sequence.labels[:, at[24]].tolist() == [1] * 4
    assert sequence.labels[:, at[12]].tolist() == [UNCODED] * 4


def test_the_folds_are_ours_and_say_so() -> None:
    folds = Mme().folds()
    assert folds.name == "mme-ours"
    drawn = draw_folds(SUBJECTS, 3, 0, "mme-ours")
    assert drawn == {subject: k for k, group in enumerate(folds.groups) for subject in group}
    assert [len(group) for group in folds.groups] == [78, 78, 77]
    assert [sum(s.startswith("F") for s in group) for group in folds.groups] == [44, 44, 44]
