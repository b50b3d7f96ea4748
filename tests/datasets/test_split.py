"""Folds, splits and label masks: the published counts, exact shares, nesting and pairing."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from datasets._base import (
    UNCODED,
    BrokenFrame,
    DatasetCorrupt,
    DatasetError,
    FoldList,
    FrameSource,
    Sequence,
)
from datasets._splits import folds as _folds
from datasets._splits.folds import SplitError, load_folds, make_split
from datasets._splits.masks import RULES, LabelMask, label_mask

RANGES = Path(__file__).with_name("bp4d_coded_ranges.csv")


class Blank:
    """A source that only knows how long it is."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def fingerprint(self) -> str:
        return ""

    def read(self, min_side: int | None = None) -> Iterator[NDArray[np.uint8] | BrokenFrame]:
        raise NotImplementedError

    def size(self) -> tuple[int, int]:
        raise NotImplementedError


def recording(
    length: int, subject: str = "F001", task: str = "T1", first: int = 1, uncoded: int = 0
) -> Sequence:
    """Make a sequence whose first `uncoded` frames carry no label; every second AU cell is 1."""
    labels = np.zeros((uncoded + length, 2), np.int8)
    labels[::2] = 1
    labels[:uncoded] = UNCODED
    source: FrameSource = Blank(len(labels))
    frames = np.arange(first, first + len(labels))
    return Sequence(subject=subject, task=task, frames=frames, labels=labels, source=source)


def key_positions(length: int, ratio: float, rule: str = "sparse", seed: int = 0) -> list[int]:
    sequence = recording(length)
    positions: list[int] = (
        label_mask([sequence], ratio, rule, seed, dataset="bp4d").positions(sequence).tolist()
    )
    return positions


@pytest.fixture(scope="module")
def bp4d() -> list[Sequence]:
    """All 328 recordings of BP4D, with the coded ranges of the public lists."""
    with RANGES.open() as stream:
        return [
            recording(int(row["n"]), row["subject"], row["task"], int(row["first"]))
            for row in csv.DictReader(stream)
        ]


def training(sequences: list[Sequence], fold: int) -> list[Sequence]:
    train = make_split(sequences, load_folds("bp4d"), fold).train
    return [sequence for sequence in sequences if sequence.subject in train]


# --- folds ------------------------------------------------------------------------------------


def test_the_bp4d_folds_are_the_canonical_parts() -> None:
    folds = load_folds("bp4d")
    assert list(map(len, folds.groups)) == [14, 14, 13]
    everyone = sorted(subject for group in folds.groups for subject in group)
    women, men = range(1, 24), range(1, 19)
    assert everyone == [f"F{k:03}" for k in women] + [f"M{k:03}" for k in men]
    second = "M011 F003 M010 M002 F005 F022 M018 M017 F013 M016 F020 F011 M013 M005"
    assert folds.test_subjects(1) == set(second.split())  # the list the AUNCE code prints
    assert {"F001", "M014"} <= folds.test_subjects(0)
    assert {"F004", "M015"} <= folds.test_subjects(2)


def test_a_fold_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(DatasetError, match=r"fold 3 does not exist .* folds 0, 1, 2"):
        load_folds("bp4d").test_subjects(3)


def test_an_unknown_fold_list_names_the_closest() -> None:
    with pytest.raises(SplitError, match="did you mean bp4d"):
        load_folds("bp4d_")


def write_folds(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> FoldList:
    (folder / "mine.csv").write_bytes(text.encode())
    monkeypatch.setattr(_folds, "FOLDS", folder)
    return load_folds("mine")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("subject,fold\na,0\nb,1\na,1\n", "line 4: subject a is listed twice"),
        ("subject,fold\na,0\nb,x\n", "line 3: expected subject,fold"),
        ("subject,fold\na,0\nb,-1\n", "line 3: expected subject,fold"),
        ("subject,fold\na,0\nb,2\n", "fold 1 has no subject"),
        ("subject,fold\na,0\nb,300000000\n", "fold 1 has no subject, but fold 300000000 has"),
        (f"subject,fold\na,0\nb,{'9' * 5000}\n", "line 3: expected subject,fold"),
        ("subject,fold\n", "names no subject"),
        ("a,0\nb,1\n", "line 1: the header"),
        ("", "line 1: the header"),
    ],
)
def test_a_bad_fold_list_is_named_with_its_line(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetCorrupt, match=complaint) as caught:
        write_folds(tmp_path, text, monkeypatch)
    assert "mine.csv" in str(caught.value)


def test_a_fold_lists_hash_sees_subjects_but_not_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write_folds(tmp_path, "subject,fold\na,0\nb,1\n", monkeypatch)
    shuffled = write_folds(tmp_path, "subject,fold\r\nb,1\r\na,0\r\n", monkeypatch)
    other = write_folds(tmp_path, "subject,fold\na,1\nb,0\n", monkeypatch)
    assert plain == shuffled
    assert plain.sha256 != other.sha256


# --- splits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("val_subjects", [0, 1, 5, 26])
def test_a_split_covers_everyone_once(bp4d: list[Sequence], fold: int, val_subjects: int) -> None:
    folds = load_folds("bp4d")
    split = make_split(bp4d, folds, fold, val_subjects)
    everyone = [*split.train, *split.validation, *split.test]
    assert len(everyone) == len(set(everyone)) == 41
    assert set(split.test) == folds.test_subjects(fold)
    assert len(split.validation) == val_subjects


def test_validation_subjects_are_balanced_seeded_and_contained(bp4d: list[Sequence]) -> None:
    folds = load_folds("bp4d")
    choices = {
        seed: [make_split(bp4d, folds, 0, k, seed).validation for k in range(13)]
        for seed in range(4)
    }
    assert len({chosen[4] for chosen in choices.values()}) > 1
    for chosen in choices.values():
        assert all(set(small) < set(large) for small, large in pairwise(chosen))
        for size, subjects in enumerate(chosen):  # 15 of the 27 training subjects are women
            women = sum(subject.startswith("F") for subject in subjects)
            assert abs(women - size * 15 / 27) <= 1


def test_a_partial_copy_splits_the_subjects_it_has(bp4d: list[Sequence]) -> None:
    some = [s for s in bp4d if s.subject in {"F001", "F003", "F004"}]
    split = make_split(some, load_folds("bp4d"), 0)
    assert (split.train, split.test) == (("F003", "F004"), ("F001",))
    assert split.sha256 != make_split(bp4d, load_folds("bp4d"), 0).sha256


def test_a_split_that_cannot_be_had_says_why() -> None:
    folds = load_folds("bp4d")
    with pytest.raises(SplitError, match="does not know subject F099, X1"):
        make_split([recording(9, "X1"), recording(9, "F099"), recording(9)], folds, 0)
    with pytest.raises(SplitError, match="no training subject on disk: there are only F001"):
        make_split([recording(9, "F001")], folds, 0)
    with pytest.raises(SplitError, match="no test subject on disk: there are only F001"):
        make_split([recording(9, "F001")], folds, 1)
    both = [recording(9, "F001"), recording(9, "F003")]
    for number in (-1, 1, 40):
        with pytest.raises(SplitError, match="ask for 0 to 0"):
            make_split(both, folds, 0, val_subjects=number)


# --- label masks: what the field publishes ------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "counts"),
    [
        (0.01, [1045, 1047, 1092]),
        (0.02, [2009, 2017, 2106]),
        (0.05, [4904, 4928, 5138]),
        (0.1, [9716, 9763, 10183]),
        (0.2, [19325, 19420, 20255]),
        (0.5, [48159, 48386, 50463]),
        (1.0, [96216, 96665, 100813]),
    ],
)
def test_key_frames_of_bp4d_are_as_many_as_the_public_lists_give(
    bp4d: list[Sequence], ratio: float, counts: list[int]
) -> None:
    masks = [label_mask(training(bp4d, fold), ratio, dataset="bp4d") for fold in range(3)]
    assert [mask.count for mask in masks] == counts


@pytest.mark.parametrize(
    ("ratio", "positions"),
    [
        (0.15, [0, 6, 13, 20, 26, 33]),
        (0.6, [0, 1, 3, 5, 6, 8, 10, 11, 13, 15, 16, 18, 20, 21, 23, 25, 26, 28, 30, 31, 33, 35]),
        (0.1, [0, 10, 20, 30]),
        (0.01, [0]),
        (1.0, list(range(36))),
        (1, list(range(36))),
    ],
)
def test_sparse_key_frames_stand_where_the_specification_says(
    ratio: float, positions: list[int]
) -> None:
    assert key_positions(36, ratio) == positions


def test_only_coded_frames_are_chosen_and_counted() -> None:
    sequence = recording(30, first=100, uncoded=7)
    mask = label_mask([sequence], 0.1, dataset="bp4d")
    assert mask.key_frames["F001_T1"].tolist() == [107, 117, 127]
    assert mask.positions(sequence).tolist() == [7, 17, 27]
    assert (mask.coded, mask.count, mask.share) == (30, 3, 0.1)


def test_a_recording_without_codes_has_no_key_frame() -> None:
    bare = recording(0, task="T2", uncoded=5)
    mask = label_mask([recording(10), bare], 0.5, dataset="bp4d")
    assert mask.positions(bare).tolist() == []
    with pytest.raises(SplitError, match="no frame of bp4d is coded"):
        label_mask([bare], 0.5, dataset="bp4d")


# --- label masks: properties --------------------------------------------------------------------

LENGTH = st.integers(1, 800)
RATIO = st.integers(1, 1000).map(lambda k: k / 1000)
RULE = st.sampled_from(sorted(RULES))
SEED = st.integers(0, 5)


@given(LENGTH, RATIO, RULE, SEED)
def test_the_share_is_off_by_less_than_one_frame(
    length: int, ratio: float, rule: str, seed: int
) -> None:
    positions = key_positions(length, ratio, rule, seed)
    assert positions == sorted(set(positions))
    assert 0 <= positions[0] <= positions[-1] < length  # at least one key frame, all inside
    target = Fraction(str(ratio)) * length
    allowed = Fraction(1) if rule == "sparse" else max(Fraction(1, 2), 1 - target)
    assert abs(len(positions) - target) <= allowed


@given(LENGTH, RULE, SEED)
def test_all_labels_means_all_labels(length: int, rule: str, seed: int) -> None:
    assert key_positions(length, 1.0, rule, seed) == list(range(length))


@given(LENGTH, RATIO, SEED)
def test_sparse_gaps_are_the_step_and_the_offset_is_below_it(
    length: int, ratio: float, seed: int
) -> None:
    positions = key_positions(length, ratio, "sparse", seed)
    step = math.floor(1 / Fraction(str(ratio)))
    assert positions[0] < min(step, length)
    assert seed or positions[0] == 0
    assert set(np.diff(positions).tolist()) <= {step, step + 1}
    assert length - positions[-1] <= step + 1  # no room for one more


def test_offsets_reach_the_whole_step() -> None:
    offsets = {key_positions(90, 0.1, "sparse", seed)[0] for seed in range(1, 120)}
    assert offsets == set(range(10))
    assert {key_positions(3, 0.01, "sparse", seed)[0] for seed in range(1, 60)} == {0, 1, 2}


@pytest.mark.parametrize("rule", ["contiguous", "random"])
@given(length=LENGTH, one=RATIO, other=RATIO, seed=SEED)
def test_a_larger_budget_keeps_the_smaller_ones_frames(
    rule: str, length: int, one: float, other: float, seed: int
) -> None:
    small, large = sorted((one, other))
    kept = set(key_positions(length, large, rule, seed))
    assert set(key_positions(length, small, rule, seed)) <= kept


@given(LENGTH, RATIO, SEED)
def test_a_contiguous_choice_is_one_block(length: int, ratio: float, seed: int) -> None:
    positions = key_positions(length, ratio, "contiguous", seed)
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    assert seed or positions[0] == 0


def test_blocks_reach_both_ends_of_a_recording() -> None:
    starts = {key_positions(10, 0.4, "contiguous", seed)[0] for seed in range(1, 60)}
    assert starts == set(range(7))


@pytest.mark.parametrize("rule", sorted(RULES))
@settings(max_examples=8, deadline=None)
@given(ratio=RATIO, seed=SEED)
def test_folds_agree_on_the_recordings_they_share(rule: str, ratio: float, seed: int) -> None:
    sequences = [recording(60, subject) for subject in ("F001", "F003", "F004")]
    masks = [
        label_mask(training(sequences, fold), ratio, rule, seed, dataset="bp4d").key_frames
        for fold in range(3)
    ]
    for name in ("F001_T1", "F003_T1", "F004_T1"):
        versions = {tuple(mask[name].tolist()) for mask in masks if name in mask}
        assert len(versions) == 1


@pytest.mark.parametrize("rule", sorted(RULES))
def test_seeds_and_recordings_draw_differently(rule: str) -> None:
    sequences = [recording(400, task=f"T{k}") for k in range(1, 9)]
    chosen = {
        tuple(mask.key_frames[sequence.name].tolist())
        for seed in (1, 2, 3)
        for mask in [label_mask(sequences, 0.01, rule, seed, dataset="bp4d")]
        for sequence in sequences
    }
    assert len(chosen) >= 18  # 24 draws from 100 offsets or more: some may coincide


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.0001, math.nan, math.inf])
def test_a_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(SplitError, match=r"outside \(0, 1\]"):
        label_mask([recording(9)], ratio, dataset="bp4d")


def test_an_unknown_rule_names_the_closest() -> None:
    with pytest.raises(SplitError, match=r"unknown sampling rule 'spares'.*did you mean sparse"):
        label_mask([recording(9)], 0.5, "spares", dataset="bp4d")


# --- label masks on disk ------------------------------------------------------------------------


def mask_of(*sequences: Sequence, ratio: float = 0.3, seed: int = 1) -> LabelMask:
    return label_mask(sequences, ratio, "random", seed, dataset="bp4d")


def test_a_mask_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    sequences = [recording(40), recording(25, task="T2", first=900)]
    mask = mask_of(*sequences)
    mask.save(tmp_path / "masks" / "m.json")
    back = LabelMask.load(tmp_path / "masks" / "m.json")
    assert back.sha256 == mask.sha256
    assert (back.rule, back.ratio, back.seed, back.dataset) == ("random", 0.3, 1, "bp4d")
    for sequence in sequences:
        np.testing.assert_array_equal(back.positions(sequence), mask.positions(sequence))
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["m.json"]


def test_the_hash_ignores_order_and_sees_everything_else() -> None:
    one, two = recording(40), recording(25, task="T2")
    assert mask_of(one, two).sha256 == mask_of(two, one).sha256
    others = [
        mask_of(one),
        mask_of(one, two, seed=2),
        mask_of(one, two, ratio=0.301),  # the same key frames, another budget
        mask_of(recording(40, first=2), two),
    ]
    assert len({mask_of(one, two).sha256, *(mask.sha256 for mask in others)}) == 5


def test_another_mask_is_never_overwritten_and_the_same_one_is_left(tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    mask_of(recording(40)).save(file)
    before = file.stat()
    mask_of(recording(40)).save(file)
    assert file.stat().st_ino == before.st_ino
    text = file.read_text()
    with pytest.raises(SplitError, match=r"m\.json holds another label mask"):
        mask_of(recording(40), seed=2).save(file)
    assert file.read_text() == text


def test_an_edited_mask_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    mask = mask_of(recording(40))
    mask.save(file)
    content = json.loads(file.read_text())
    content["key_frames"]["F001_T1"][0] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetCorrupt, match=r"m\.json: the label mask was edited"):
        LabelMask.load(file)
    with pytest.raises(DatasetCorrupt, match="edited"):
        mask.save(file)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "0"}', '{"sha256": 1, "ratio": 2'])
def test_a_file_that_is_no_mask_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(DatasetCorrupt, match=r"m\.json: this is no saved label mask"):
        LabelMask.load(tmp_path / "m.json")


def test_a_mask_that_does_not_fit_the_recording_says_so() -> None:
    mask = label_mask([recording(10)], 1.0, dataset="bp4d")
    with pytest.raises(SplitError, match="does not cover F001_T2"):
        mask.positions(recording(10, task="T2"))
    with pytest.raises(SplitError, match="frame 10 of F001_T1, which is not on disk"):
        mask.positions(recording(9))
