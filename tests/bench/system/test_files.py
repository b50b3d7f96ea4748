"""Files: whole or not at all, whatever the disk does."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.system.files import (
    RecordError,
    atomic_file,
    check_writable,
    quarantine,
    remove_temporary_files,
)

ROOT = Path(__file__).parents[3]


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text, **more):
    with atomic_file(path, **more) as stream:
        stream.write(text)


def break_the_write(monkeypatch):
    monkeypatch.setattr(os, "fsync", full_disk)


def break_the_rename(monkeypatch):
    monkeypatch.setattr(Path, "replace", full_disk)


@pytest.mark.parametrize("break_it", [break_the_write, break_the_rename])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, break_it):
    path = tmp_path / "a.json"
    write(path, "old")
    break_it(monkeypatch)
    with pytest.raises(RecordError) as caught:
        write(path, "new")
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; free space or choose "
        "another folder (--results, or --out where there is one)"
    )
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def refuse(monkeypatch, number):
    """Let no file be opened, as another user's folder or a read-only disk would not."""

    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refused)


def test_a_read_only_disk_and_a_folder_of_somebody_else_are_told_apart(tmp_path, monkeypatch):
    path = tmp_path / "runs" / "a.json"
    write(path, "old")
    with monkeypatch.context() as patch:
        refuse(patch, errno.EROFS)
        with pytest.raises(RecordError, match=r"the disk is read-only: choose another folder"):
            write(path, "new")
    monkeypatch.setattr(Path, "owner", lambda place: place.name)
    for number in (errno.EACCES, errno.EPERM):
        with monkeypatch.context() as patch:
            refuse(patch, number)
            with pytest.raises(RecordError, match=r"it is a\.json's: have the folder shared"):
                write(path, "new")
    assert (path.read_text(), names(path.parent)) == ("old", ["a.json"])


def test_what_may_be_done_with_a_file_is_for_the_umask_to_say(tmp_path):
    before = os.umask(0o007)
    try:
        write(tmp_path / "runs" / "a", "x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("runs", "runs/a")]
    assert modes == [0o770, 0o660]


@pytest.mark.parametrize("when", ["open", "mkdir"])
def test_a_disk_that_is_full_before_the_first_byte_leaves_nothing(tmp_path, monkeypatch, when):
    path = tmp_path / "runs" / "a"
    with monkeypatch.context() as patch:
        patch.setattr(Path, when, full_disk)
        with pytest.raises(RecordError, match="No space left on device; free space"):
            write(path, "x")
    assert [place for place in tmp_path.rglob("*") if place.is_file()] == []


def test_a_writer_that_gives_up_leaves_nothing(tmp_path):
    def give_up():
        with atomic_file(tmp_path / "a") as stream:
            stream.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert names(tmp_path) == []


def test_a_name_that_is_taken_stays_with_its_file_where_that_is_wanted(tmp_path):
    path = tmp_path / "a"
    write(path, "first", replace=False)
    write(path, "second", replace=False)
    assert (path.read_text(), names(tmp_path)) == ("first", ["a"])
    write(path, "third")
    assert (path.read_text(), names(tmp_path)) == ("third", ["a"])


def test_a_disk_without_hard_links_does_as_well(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", none)
    write(tmp_path / "a", "first", replace=False)
    write(tmp_path / "a", "second", replace=False)
    assert ((tmp_path / "a").read_text(), names(tmp_path)) == ("first", ["a"])


def test_a_new_folder_is_made_durable_in_the_one_above_it(tmp_path, monkeypatch):
    synced = []
    real = os.fsync

    def noting(handle):
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", noting)
    write(tmp_path / "runs" / "cell" / "a", "x")
    folders = [place for place in synced if Path(place).is_dir()]
    assert folders == [str(tmp_path / "runs"), str(tmp_path), str(tmp_path / "runs" / "cell")]
    assert synced.index(str(tmp_path / "runs" / "cell")) == len(synced) - 1


def test_drafts_that_a_killed_process_left_are_removed_and_nothing_else(tmp_path):
    kept = ["record.json", "checkpoint.pt", ".claim-12.tmp", ".record.json", "x.tmp"]
    for name in [*kept, ".checkpoint.pt.ab1.tmp", ".record.json.x_2.tmp", ".history.jsonl.1.tmp"]:
        (tmp_path / name).write_text("")
    remove_temporary_files(tmp_path)
    assert names(tmp_path) == sorted(kept)


def test_what_is_set_aside_replaces_nothing(tmp_path):
    path = tmp_path / "a.pt"
    aside = []
    for number in (1, 2, 3):
        path.write_text(str(number))
        aside.append(quarantine(path))
    assert [file.name for file in aside] == [f"a.pt.bad-{n}" for n in (1, 2, 3)]
    assert [file.read_text() for file in aside] == ["1", "2", "3"]
    assert not path.exists()


def test_what_cannot_be_set_aside_is_one_sentence(tmp_path):
    with pytest.raises(RecordError, match=r"cannot write .*a\.bad-1: No such file"):
        quarantine(tmp_path / "a")


def test_a_really_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    script = (
        "import resource, sys; from pathlib import Path; from bench.system.files import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n with atomic_file(Path(sys.argv[1])) as s: s.write('x' * 100_000)\n"
        "except RecordError as error: print(error)"
    )
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {path}: File too large; free space or choose")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["record.json"]


def test_a_results_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    check_writable(tmp_path / "new")
    assert names(tmp_path / "new" / "runs") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"file/runs/\.writable: Not a directory; .*--results"):
        check_writable(tmp_path / "file")
