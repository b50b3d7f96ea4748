"""Records: whole or not at all, and read back as they were."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records import (
    RecordError,
    check_writable,
    from_json,
    read_records,
    to_json,
    whole_file,
    write_record,
)
from tests.bench.report_records import record as fabricated
from tests.bench.report_records import unfinished

ROOT = Path(__file__).parents[2]


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


def test_equal_records_are_equal_bytes_and_keys_of_later_versions_are_passed_over():
    text = to_json(fabricated())
    assert text == to_json(from_json(text)) == to_json(fabricated())
    assert from_json(json.dumps({**json.loads(text), "later": 1})) == fabricated()


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


def test_bytes_that_are_no_text_and_a_folder_in_its_place_are_reported_too(tmp_path):
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


def break_the_write(_, monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)


def break_the_rename(_, monkeypatch):
    monkeypatch.setattr(Path, "replace", full_disk)


@pytest.mark.parametrize("break_it", [break_the_write, break_the_rename])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, break_it):
    path = write_record(tmp_path, fabricated())
    before = path.read_bytes()
    break_it(path, monkeypatch)
    with pytest.raises(RecordError) as caught:
        write_record(tmp_path, dataclasses.replace(fabricated(), reason="newer"))
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; free space or change --results"
    )
    assert path.read_bytes() == before
    assert names(tmp_path) == ["record.json"]


def test_a_writer_that_gives_up_leaves_nothing(tmp_path):
    def give_up():
        with whole_file(tmp_path / "a") as stream:
            stream.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert names(tmp_path) == []


def test_a_file_system_that_cannot_sync_folders_loses_nothing(tmp_path, monkeypatch):
    real = os.fsync

    def only_files(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            full_disk()
        real(handle)

    monkeypatch.setattr(os, "fsync", only_files)
    write_record(tmp_path, fabricated())
    assert from_json((tmp_path / "record.json").read_text()) == fabricated()


def test_a_really_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    script = (
        "import resource, sys; from pathlib import Path; from bench.records import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n with whole_file(Path(sys.argv[1])) as s: s.write('x' * 100_000)\n"
        "except RecordError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: File too large; free space or change")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["record.json"]


def test_a_results_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    check_writable(tmp_path / "new")
    assert names(tmp_path / "new" / "runs") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"file/runs/\.writable: Not a directory; .*--results"):
        check_writable(tmp_path / "file")
