"""The audit finds what was put wrong on purpose, and is silent on a sound dataset."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data import audit as data_audit
from bench.data.audit import audit_dataset
from bench.data.dataset import OpenedDataset
from bench.data.near_duplicates import hashes, near_duplicates, thumbnails
from bench.report.tables.datasets import SHOWN, finding_lines, findings_json, findings_summary
from datasets._base import FoldList
from datasets._splits.masks import label_mask
from tests.helpers.cli_driver import Person, quoted
from tests.helpers.dataset_trees import make_bp4d_tree
from tests.helpers.fake_recordings import Arrays, Toy, changed, store_of, toy

FOLDS = FoldList("toy", (("A", "B"), ("C", "D")), "")


def smooth(seed: int, length: int = 12) -> np.ndarray:
    """Pictures of large soft blobs that move a little: as different as faces, or more."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (4, 6, 3)).astype(np.uint8)
    large = Image.fromarray(base).resize((80, 60), Image.Resampling.BICUBIC)
    return np.stack([np.asarray(large)[t : t + 40, t : t + 60] for t in range(length)])


def faces(folder: Path, names: str = "ABCD") -> Toy:
    dataset = toy(folder, names=names, length=12)
    for index, name in enumerate(names):
        source = Arrays(smooth(index), folder, f"{name}_T1")
        labels = np.random.default_rng(index).integers(0, 2, (12, 2)).astype(np.int8)
        dataset = changed(dataset, index, source=source, labels=labels)
    return dataset


def opened(dataset: Toy, cache: Path, folds: FoldList = FOLDS, name: str = "toy") -> OpenedDataset:
    return OpenedDataset(name, store_of(dataset, cache, size=32), folds, ())


def levels(data: OpenedDataset, results: Path) -> dict[str, str]:
    order = ("ok", "note", "warning", "error")
    found: dict[str, str] = {}
    for finding in audit_dataset(data, results):
        found[finding.check] = max(found.get(finding.check, "ok"), finding.level, key=order.index)
    return found


@pytest.fixture
def sound(tmp_path: Path) -> OpenedDataset:
    return opened(faces(tmp_path / "data"), tmp_path)


def test_a_sound_dataset_gives_no_error_and_no_warning(
    sound: OpenedDataset, tmp_path: Path
) -> None:
    assert levels(sound, tmp_path) == {
        "pixels": "ok",
        "subjects": "ok",
        "windows": "ok",
        "near-duplicates": "ok",
        "statistics": "ok",
        "action-units": "ok",
        "masks": "ok",
        "counts": "note",
    }


def test_stored_frames_that_a_disk_lost_are_an_error(tmp_path: Path) -> None:
    data = opened(faces(tmp_path / "data"), tmp_path)
    stored = np.load(data.store.path / "frames.npy", mmap_mode="r+")
    second = data.store.sequences[1]
    stored[second.start + 3] = 0
    stored.flush()
    finding = data_audit.check_pixels(opened(faces(tmp_path / "data"), tmp_path))
    assert finding.level == "error"
    assert finding.details == ("B_T1: its stored frames are not what was written",)
    assert "remove that folder, and frames" in finding.text


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ((("A", "B", "C"), ("C", "D")), "C is in 2 folds"),
        ((("A", "B"), ("C",)), "D is in no fold"),
    ],
)
def test_a_subject_in_two_folds_or_in_none_is_an_error(
    sound: OpenedDataset, groups: tuple[tuple[str, ...], ...], sentence: str
) -> None:
    data = replace(sound, folds=FoldList("mine", groups, ""))
    finding = next(data_audit.check_subjects(data))
    assert finding.level == "error"
    assert sentence in finding.details


def test_ids_that_may_be_one_person_and_absent_subjects_are_told(tmp_path: Path) -> None:
    dataset = faces(tmp_path / "data")
    dataset = changed(changed(dataset, 0, subject="F01"), 1, subject="f001")
    folds = FoldList("toy", (("F01", "f001"), ("C", "D", "E")), "")
    found = list(data_audit.check_subjects(opened(dataset, tmp_path, folds)))
    assert [finding.level for finding in found] == ["ok", "warning", "note"]
    assert "F01 and f001" in found[1].details[0]
    assert found[2].details == ("E",)


def test_recordings_that_share_stored_frames_are_an_error(sound: OpenedDataset) -> None:
    first, second, *rest = sound.store.sequences
    moved = replace(second, start=first.start + 6)
    store = replace(sound.store, sequences=(first, moved, *rest))
    finding = data_audit.check_windows(replace(sound, store=store), 5, 1)
    assert finding.level == "error"
    assert any("shares stored frames" in detail for detail in finding.details)


def test_a_clip_that_leaves_its_recording_is_an_error(
    sound: OpenedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader that forgot to stop at a recording's end, as the check must notice."""

    def unclamped(table, keys, slot, length, stride=1):
        rows = keys[:, None] + (np.arange(length) - slot) * stride
        return rows.clip(0, len(table.labels) - 1)

    monkeypatch.setattr(data_audit, "clip_rows", unclamped)
    finding = data_audit.check_windows(sound, 5, 1)
    assert finding.level == "error"
    assert finding.details == tuple(f"clips of {name}_T1 leave it" for name in "ABCD")


def compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize(
    ("what", "copied"),
    [
        ("the same", lambda p: p),
        ("compressed anew", lambda p: np.stack([compressed(f, 60) for f in p])),
        ("brightened", lambda p: (p * 0.8 + 40).astype(np.uint8)),
    ],
)
def test_a_recording_that_is_there_under_another_name_is_found(tmp_path, what, copied) -> None:
    dataset = faces(tmp_path / "data")
    copy = Arrays(copied(smooth(1)), tmp_path / "data", "C_T1")
    data = opened(changed(dataset, 2, source=copy), tmp_path)
    (twins,) = near_duplicates(data.store, data_audit.fold_of(FOLDS)).twins
    assert (twins.one, twins.other) == ("B_T1", "C_T1")
    assert twins.frames == 12
    assert (twins.frame, twins.other_frame) == (twins.frame, twins.frame)
    finding = data_audit.check_duplicates(data)
    assert finding.level == "error"
    assert "B_T1 and C_T1: 12 frames alike" in finding.details[0]


def test_a_double_within_one_fold_is_none_of_its_business(tmp_path: Path) -> None:
    dataset = faces(tmp_path / "data")
    copy = Arrays(smooth(0), tmp_path / "data", "B_T1")
    data = opened(changed(dataset, 1, source=copy), tmp_path)
    assert data_audit.check_duplicates(data).level == "ok"


def test_plain_frames_are_counted_and_not_compared(tmp_path: Path) -> None:
    dataset = faces(tmp_path / "data")
    for index in (0, 3):
        grey = Arrays(np.full((12, 40, 60, 3), 128, np.uint8), tmp_path / "data", f"{index}_T1")
        dataset = changed(dataset, index, source=grey)
    found = near_duplicates(opened(dataset, tmp_path).store, data_audit.fold_of(FOLDS))
    assert (found.flat, found.compared, found.twins) == (24, 24, ())


def test_every_pair_of_hashes_that_differ_in_seven_bits_shares_a_band() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (200, 8)).astype(np.uint32)
    near = words.copy()
    for row in near:
        for bit in rng.choice(256, 7, replace=False):
            row[bit // 32] ^= np.uint32(1) << np.uint32(bit % 32)
    assert (words == near).any(axis=1).all()
    thumbs = rng.integers(0, 256, (50, 256)).astype(np.uint8)
    assert hashes(thumbs).shape == (50, 8)
    bright = np.unpackbits(hashes(thumbs).view(np.uint8), axis=1).sum(axis=1)
    np.testing.assert_array_equal(bright, (thumbs > np.median(thumbs, axis=1)[:, None]).sum(axis=1))


@pytest.mark.parametrize("side", [16, 33, 64])
def test_thumbnails_are_block_means(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.uint8)
    edges = [int(side * k / 16) for k in range(17)]
    for k, (row, column) in enumerate(np.ndindex(16, 16)):
        block = images[:, edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
        expected = block.reshape(2, -1).mean(axis=1).round()
        np.testing.assert_allclose(thumbnails(images)[:, k], expected, atol=1)


def test_statistics_of_more_than_the_training_part_are_an_error(
    sound: OpenedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    everyone = sound.store.sequences
    rows = np.concatenate([np.arange(s.start, s.start + len(s.frames)) for s in everyone])
    monkeypatch.setattr(data_audit, "key_rows", lambda *_: rows)
    finding = data_audit.check_statistics(sound)
    assert finding.level == "error"
    assert any("class rates depend" in detail for detail in finding.details)


def test_aus_that_a_fold_cannot_score_or_learn_are_named(tmp_path: Path) -> None:
    dataset = faces(tmp_path / "data")
    for index, labels in enumerate(((1, -1), (1, -1), (0, 1), (0, 1))):
        dataset = changed(dataset, index, labels=np.tile(np.int8(labels), (12, 1)))
    data = opened(dataset, tmp_path)
    first, second = data.store.aus
    finding = data_audit.check_action_units(data)
    assert finding.level == "warning"
    assert finding.details == (
        f"fold 0: AU{second} coded on no test frame: no score",
        f"fold 0: AU{first} present on no training frame",
        f"fold 1: AU{second} coded on no training frame",
    )


def test_a_saved_mask_that_buys_a_test_subjects_label_is_an_error(
    sound: OpenedDataset, tmp_path: Path
) -> None:
    """The mask of fold 0 is drawn over everyone, its test subjects too."""
    mask = label_mask(sound.store.sequences, 0.5, dataset="toy")
    mask.save(tmp_path / "masks" / f"toy-f0-r0.5-sparse-s0-{mask.sha256[:10]}.json")
    (tmp_path / "masks" / "toy-f1-r0.5-sparse-s0-0000000000.json").write_text("{}")
    finding = data_audit.check_masks(sound, tmp_path)
    assert finding.level == "error"
    assert len(finding.details) == 3
    assert any("buys labels of A, a test subject" in detail for detail in finding.details)


def test_counts_are_held_against_the_published_ones(sound: OpenedDataset) -> None:
    published = data_audit.published_counts("bp4d")
    assert {name: sum(counts) for name, counts in published.items()} == {
        "ME-GraphAU": 146_847,
        "JAA-Net": 146_576,
    }
    assert sum(data_audit.published_counts("disfa")["ME-GraphAU"]) == 130_814
    (finding,) = data_audit.check_counts(replace(sound, name="bp4d"))
    assert finding.level == "warning"
    assert "48 coded frames (24 + 24 by fold)" in finding.text


def test_counts_that_are_exactly_published_are_told(
    sound: OpenedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_audit, "published_counts", lambda _: {"a list": [24, 24]})
    (finding,) = data_audit.check_counts(sound)
    assert (finding.level, "exactly those of a list" in finding.text) == ("ok", True)


def test_people_in_disfa_and_disfa_plus_are_named(tmp_path: Path) -> None:
    dataset = faces(tmp_path / "data")
    dataset = changed(changed(dataset, 0, subject="SN001"), 1, subject="SN002")
    data = opened(dataset, tmp_path, name="disfa")
    (finding,) = data_audit.check_shared(data)
    assert (finding.level, finding.details) == ("note", ("SN001",))
    assert list(data_audit.check_shared(replace(data, name="toy"))) == []


def test_a_person_sees_some_details_and_json_holds_all() -> None:
    many = tuple(f"number {n}" for n in range(SHOWN + 5))
    findings = [data_audit.Finding("windows", "error", "crossing", many)]
    shown = list(finding_lines(findings[0]))
    assert shown[0] == "error    windows          crossing"
    assert len(shown) == SHOWN + 2
    assert "... and 5 more" in shown[-1]
    assert findings_summary([*findings, data_audit.Finding("masks", "ok", "")]) == "1 error, 1 ok"
    (found,) = json.loads(findings_json("toy", findings))["findings"]
    assert found["details"] == list(many)


def test_the_command_ends_with_a_code_that_ci_can_use(tmp_path, monkeypatch, capsys) -> None:
    tree = tmp_path / "tree"
    make_bp4d_tree(tree, subjects=("F001", "F003", "F004"), tasks=("T1",), size=(60, 48))
    person = Person(tmp_path, tmp_path / "cache", tree, monkeypatch, capsys)
    where = f"--root {quoted(tree)} --cache {quoted(tmp_path / 'cache')}"
    line = f"data audit --dataset bp4d {where} --size 16"
    answer = person.asks(line)
    assert answer.code == 0
    assert "warning  counts" in answer.out
    assert person.asks(f"{line} --strict").code == 1
    content = json.loads(person.asks(f"{line} --format json").out)
    assert {finding["check"] for finding in content["findings"]} >= {"subjects", "windows"}
    assert "did you mean json" in person.asks(f"{line} --format jsn").error
