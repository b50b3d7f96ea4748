"""Records: whole or not at all, and read back as they were."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from bench.results.records import Scores, from_json, read_records, to_json, write_record
from tests.helpers.fake_records import record as fabricated
from tests.helpers.fake_records import unfinished

ROOT = Path(__file__).parents[3]


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("record", [fabricated(), unfinished("failed", "why", fold=2)])
def test_a_record_comes_back_as_it_was_written(tmp_path, record):
    path = write_record(tmp_path / "runs" / record.id, record)
    assert read_records(tmp_path) == ([record], [])
    assert names(path.parent) == ["record.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_equal_records_are_equal_bytes_and_later_keys_are_passed_over():
    text = to_json(fabricated())
    assert text == to_json(from_json(text)) == to_json(fabricated())
    assert from_json(json.dumps({**json.loads(text), "later": 1})) == fabricated()


def test_an_uncoded_au_of_an_earlier_version_is_read_as_a_gap():
    """Earlier versions wrote an F1 of 0 where no test frame was coded; the counts tell the two."""
    counts = {"A": [[3, 0], [1, 0], [1, 0], [2, 0]], "B": [[0, 0], [0, 0], [0, 0], [5, 0]]}
    old = {"step": 1, "f1": [0.75, 0.0], "auc": [0.7, None], "accuracy": [0.8, 0.0]}
    record = fabricated(scores={"last": Scores(**old, counts=counts)})
    found = from_json(to_json(record))
    assert found.scores["last"].f1 == [0.75, None]
    assert found.scores["last"].accuracy == [0.8, None]
    assert found.scores["last"].mean_f1 == 0.75
    assert found.baselines == {"always_positive": [0.3, None], "training_prior": [0.2, None]}
    assert from_json(to_json(found)) == found


def test_an_au_that_is_coded_and_never_found_keeps_its_zero():
    counts = {"A": [[3, 0], [1, 0], [1, 0], [2, 7]]}
    old = {"step": 1, "f1": [0.75, 0.0], "auc": [0.7, None], "accuracy": [0.8, 1.0]}
    record = fabricated(scores={"last": Scores(**old, counts=counts)})
    assert from_json(to_json(record)) == record


def test_a_value_that_json_has_not_is_no_record():
    with pytest.raises(ValueError, match="Out of range float"):
        to_json(fabricated(rates={"samples_per_second": float("nan")}))


def lacking(**changes):
    return json.dumps({**json.loads(to_json(fabricated())), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        to_json(fabricated())[:300],
        "[]",
        "null",
        "{}",
        '{"schema": 99}',
        lacking(schema=2),
        lacking(status="great"),
        lacking(cell=None),
        lacking(cell={"dataset": "x"}),
        lacking(scores={}),
        lacking(scores=[]),
        lacking(scores={"last": 3}),
        lacking(scores={"last": {"f1": 1}}),
        lacking(hashes=3),
        lacking(id=7),
        "\x00",
    ],
)
def test_a_torn_or_foreign_file_is_reported_and_the_rest_is_read(tmp_path, text):
    write_record(tmp_path / "runs" / "good", fabricated())
    bad = tmp_path / "runs" / "bad" / "record.json"
    bad.parent.mkdir()
    bad.write_text(text)
    records, (problem,) = read_records(tmp_path)
    assert records == [fabricated()]
    assert problem.startswith(f"{bad} is not a readable record (")


def test_bytes_that_are_no_text_and_folders_are_reported_too(tmp_path):
    (tmp_path / "runs" / "a" / "record.json").mkdir(parents=True)
    (tmp_path / "runs" / "b").mkdir()
    (tmp_path / "runs" / "b" / "record.json").write_bytes(b"\xff\xfe\x00")
    records, problems = read_records(tmp_path)
    assert records == []
    assert len(problems) == 2


def test_no_folder_holds_no_records(tmp_path):
    assert read_records(tmp_path / "none") == ([], [])


def test_records_come_sorted_by_id(tmp_path):
    for fold in (2, 0, 1):
        record = fabricated(fold=fold)
        write_record(tmp_path / "runs" / f"{9 - fold}", record)
    assert [r.cell["fold"] for r in read_records(tmp_path)[0]] == [0, 1, 2]


def test_a_file_system_that_cannot_sync_folders_loses_nothing(tmp_path, monkeypatch):
    real = os.fsync

    def only_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            full_disk()
        real(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    write_record(tmp_path, fabricated())
    assert from_json((tmp_path / "record.json").read_text()) == fabricated()
