"""Checkpoints: gone on from only when whole and of the same run."""

from __future__ import annotations

import errno
import io
import os
import random
import zipfile
from pathlib import Path

import pytest
import torch

from bench.runner.checkpoint import FORMAT, CheckpointError, load_checkpoint, save_checkpoint
from bench.system.files import CannotRead, RecordError

ABC = {
    "method": "ks",
    "config": {"train": {"lr": 0.1}},
    "hashes": {"cell": "abc"},
    "code": {"methods/ks.py": "0"},
}

STATE = {
    "trainer": {"step": 3, "weights": torch.arange(4000.0), "random": (3, (1, 2), None)},
    "selection": {"best": {"val": 0.5}},
}


@pytest.fixture
def path(tmp_path):
    save_checkpoint(tmp_path / "checkpoint.pt", ABC, STATE)
    return tmp_path / "checkpoint.pt"


def refusal(path, identity=ABC):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, identity)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_a_checkpoint_comes_back_as_it_was_saved(path):
    state = load_checkpoint(path, ABC)
    assert torch.equal(state["trainer"].pop("weights"), STATE["trainer"]["weights"])
    assert state["trainer"] == {"step": 3, "random": (3, (1, 2), None)}
    assert state["selection"] == STATE["selection"]


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt", ABC) is None


def unlike(path, **changes):
    sentence = refusal(path, {**ABC, "hashes": {"cell": "xyz"}, **changes})
    return sentence.partition("belongs to another run: it differs in ")[2]


def test_one_of_another_run_is_refused_naming_what_differs(path):
    assert unlike(path, config={"train": {"lr": 0.5}}) == "config.train.lr (0.1, not 0.5)"
    assert unlike(path, method="tcl") == "method (ks, not tcl)"
    code = {"methods/ks.py": "1", "bench/train.py": "2"}
    assert unlike(path, code=code) == "methods/ks.py, bench/train.py"
    assert unlike(path) == "the hash of its cell"


def test_many_differences_are_counted(path):
    many = {"config": {"train": dict.fromkeys("abcdefg", 1)}}
    assert unlike(path, **many).endswith("config.train.c (absent, not 1), 4 more")


def test_a_torn_one_is_refused_wherever_it_ends(path):
    whole = path.read_bytes()
    for end in (0, 1, 10, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert "is not a whole checkpoint" in refusal(path)


def test_a_bit_that_flipped_in_the_weights_is_noticed(path):
    whole = bytearray(path.read_bytes())
    whole[whole.index(torch.arange(100.0, 110.0).numpy().tobytes())] ^= 1
    path.write_bytes(whole)
    assert "is not a whole checkpoint" in refusal(path)


def test_no_damage_ends_in_another_error(path):
    whole, chance = path.read_bytes(), random.Random(0)
    for _ in range(200):
        torn = bytearray(whole)
        torn[chance.choice([chance.randrange(600), -chance.randrange(1, 900)])] ^= 0xFF
        path.write_bytes(torn)
        try:
            load_checkpoint(path, ABC)
        except CheckpointError:
            continue


def archive(content):
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def plain_zip():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a", "b")
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        plain_zip(),
        archive(None),
        archive([1]),
        archive({"format": FORMAT}),
        archive({"format": FORMAT, "identity": {"hashes.cell": "abc"}}),
    ],
)
def test_a_foreign_file_is_refused(path, content):
    path.write_bytes(content)
    assert "is not a whole checkpoint" in refusal(path)


def test_one_of_a_later_format_is_refused(path):
    path.write_bytes(archive({"format": FORMAT + 1, "identity": {}, "state": {}}))
    assert f"is a checkpoint of format {FORMAT + 1}, not {FORMAT}" in refusal(path)


class Malice:
    def __reduce__(self):
        return os.mkdir, ("malice-was-here",)


def test_a_file_that_would_run_code_is_refused_and_runs_none(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(archive({"format": FORMAT, "identity": {}, "state": Malice()}))
    assert "UnpicklingError" in refusal(path)
    assert not (tmp_path / "malice-was-here").exists()


class Full(io.BytesIO):
    """A disk with room for a beginning."""

    def write(self, data):
        if self.tell() > 2000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_a_full_disk_is_called_one_and_the_old_checkpoint_stays(path, monkeypatch):
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_, **__: Full())
        with pytest.raises(RecordError, match=r"checkpoint\.pt: No space left on device"):
            save_checkpoint(path, ABC, STATE)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_one_that_only_somebody_else_may_read_is_not_called_damaged(path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(zipfile, "ZipFile", refused)
    with pytest.raises(
        CannotRead, match=r"cannot read .*checkpoint\.pt: Permission denied; it is "
    ):
        load_checkpoint(path, ABC)
