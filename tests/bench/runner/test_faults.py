"""What may go wrong around a cell: the disk, the clock, the method, the data, another user.

Whatever it is, no file is half written, and once it is over the same cell comes to the same end.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench.results.claims import claim, read_claim
from bench.study.cell import plan_cells as cells_of
from bench.study.plan import make_plan
from bench.study.study import make_study
from bench.system.files import CannotRead, RecordError
from tests.helpers import cells
from tests.helpers.cells import run
from tests.helpers.dataset_trees import make_bp4d_tree

FILES = ("checkpoint.pt", "predictions.npz", "history.jsonl", "record.json")
SAVING = ["train.checkpoint_steps=2"]


def result(record):
    return record.status, record.final_weights, record.scores, record.warnings


def fail(number):
    raise OSError(number, os.strerror(number))


class Filling:
    """A file on a disk that is full after a few bytes."""

    def __init__(self, file, number):
        self.file, self.number, self.room = file, number, 20

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        return self.file.write(data) if self.room > 0 else fail(self.number)

    def writelines(self, lines):
        for line in lines:
            self.write(line)


class Trouble:
    """Lets one step fail of writing the files of one name."""

    def __init__(self, monkeypatch, name, number=errno.ENOSPC):
        self.patch, self.name, self.number = monkeypatch, name, number

    def meant(self, path):
        return Path(path).name.startswith(f".{self.name}.")

    def open(self):
        real = Path.open
        self.patch.setattr(
            Path,
            "open",
            lambda p, *a, **k: fail(self.number) if self.meant(p) else real(p, *a, **k),
        )

    def write(self):
        real = Path.open

        def filling(path, *args, **more):
            file = real(path, *args, **more)
            return Filling(file, self.number) if self.meant(path) else file

        self.patch.setattr(Path, "open", filling)

    def fsync(self):
        real = os.fsync

        def failing(handle):
            meant = self.meant(Path(f"/proc/self/fd/{handle}").readlink())
            return fail(self.number) if meant else real(handle)

        self.patch.setattr(os, "fsync", failing)

    def rename(self):
        for owner, name in ((Path, "replace"), (os, "link")):
            real = getattr(owner, name)
            self.patch.setattr(
                owner,
                name,
                lambda p, *a, real=real: fail(self.number) if self.meant(p) else real(p, *a),
            )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    (cell,) = cells.grid(cells.study(tmp_path_factory.mktemp("whole"), knobs=SAVING))
    return result(run(cell))


@pytest.mark.parametrize("step", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("name", FILES)
def test_a_disk_that_fills_up_at_any_step_costs_no_more_than_time(
    tmp_path, monkeypatch, whole, name, step
):
    (cell,) = cells.grid(cells.study(tmp_path, knobs=SAVING))
    with monkeypatch.context() as patch:
        getattr(Trouble(patch, name), step)()
        with pytest.raises(
            RecordError, match=rf"cannot write .*{name}: No space left on device; free"
        ):
            run(cell)
    left = {path.name for path in cell.folder.iterdir()}
    assert left <= ({"checkpoint.pt", "predictions.npz"} - {name}) | {"history.jsonl"}
    if "history.jsonl" in left:  # it grows while the cell trains, and what is there is whole
        for line in (cell.folder / "history.jsonl").read_text().splitlines():
            json.loads(line)
    assert result(run(cell)) == whole


def test_results_that_become_read_only_stop_the_run_and_are_called_so(tmp_path, monkeypatch, whole):
    (cell,) = cells.grid(cells.study(tmp_path, knobs=SAVING))
    with monkeypatch.context() as patch:
        Trouble(patch, "checkpoint.pt", errno.EROFS).open()
        with pytest.raises(RecordError, match="the disk is read-only: choose another folder"):
            run(cell)
    assert result(run(cell)) == whole


def test_a_checkpoint_that_cannot_be_removed_is_told_and_its_cell_is_done(tmp_path, monkeypatch):
    (cell,) = cells.grid(cells.study(tmp_path, knobs=SAVING))
    real = Path.unlink

    def unlink(path, *args, **more):
        return fail(errno.EACCES) if path.name == "checkpoint.pt" else real(path, *args, **more)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(RecordError, match=r"checkpoint\.pt: Permission denied"):
        run(cell)
    assert make_plan([cell]).todo == []


def test_a_clock_that_jumps_changes_nothing_but_the_times_told(tmp_path, monkeypatch, whole):
    (cell,) = cells.grid(cells.study(tmp_path, knobs=SAVING))
    jumps = iter([1e9, 3e9, -5.0, 2e9, 0.0] * 10_000)
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    record = run(cell)
    assert result(record) == whole
    assert all(0 <= seconds < 600 for seconds in record.seconds.values())


RAISING = """
import sys
from methods._base import Method
from methods.supervised import Supervised as _Supervised

def raises(hook):
    if hook == {hook!r}:
        {what}

class Raising(Method):
    Config, needs = _Supervised.Config, _Supervised.needs

    def __init__(self, config, task):
        super().__init__(config, task)
        self.inner = _Supervised(config, task)
        raises("init")

    def losses(self, batch, progress):
        raises("losses")
        return self.inner.losses(batch, progress)

    def encode(self, frames, landmarks=None):
        raises("encode")
        return self.inner.encode(frames)

    def head(self, features):
        raises("head")
        return self.inner.head(features)

    def after_step(self, progress):
        raises("after_step")
"""


def raising(folder, hook, what):
    plugin = folder / "raising.py"
    plugin.write_text(RAISING.format(hook=hook, what=what))
    (cell,) = cells.grid(cells.study(folder, methods=["raising"], plugins=[plugin]))
    return cell


@pytest.mark.parametrize("hook", ["init", "losses", "encode", "head", "after_step"])
def test_a_method_may_raise_anywhere_and_its_record_says_where(tmp_path, hook):
    record = run(raising(tmp_path, hook, "raise KeyError('oh', 'no')"))
    assert record.status == "failed"
    assert record.reason == "KeyError: ('oh', 'no')"
    assert "raising.py\", line 8, in raises\n    raise KeyError('oh', 'no')" in record.traceback
    assert f'raises("{hook}")' in record.traceback


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("sys.exit('enough')", "SystemExit: enough"),
        ("raises(hook)", "RecursionError: maximum recursion depth exceeded"),
        ("raise type('Odd', (Exception,), {'__str__': lambda s: 'a\\n b'})", "Odd: a b"),
        ("raise ValueError('\\udcff')", "ValueError: \udcff"),
    ],
)
def test_whatever_a_method_raises_fails_its_cell_alone(tmp_path, what, reason):
    record = run(raising(tmp_path, "losses", what))
    assert record.status == "failed"
    assert record.reason.startswith(reason)


def test_an_error_that_cannot_tell_itself_is_told_by_its_kind(tmp_path):
    what = "raise type('Mute', (Exception,), {'__str__': lambda s: 1 / 0})"
    record = run(raising(tmp_path, "losses", what))
    assert (record.status, record.reason) == ("failed", "Mute: (it cannot tell more)")


@pytest.fixture
def faces(tmp_path):
    """A BP4D tree, the study on it and the cell that was planned before anything vanished."""
    root = tmp_path / "tree"
    make_bp4d_tree(root, subjects=("F001", "F002", "F003", "M001"), tasks=("T1",))
    asked = make_study(
        dataset="bp4d",
        root=root,
        methods=["supervised"],
        ratios=["0.2"],
        preset="smoke",
        knobs=["data.size=32", "train.steps=4", "train.batch_size=4"],
        results=tmp_path / "results",
        cache=tmp_path / "cache",
    )
    (cell,) = cells_of(asked, cells.opened(asked))
    return root, asked, cell


def test_data_that_vanish_after_the_plan_skip_the_cell_and_are_named(faces):
    root, _, cell = faces
    shutil.rmtree(root)
    record = run(cell)
    assert (record.status, record.traceback) == ("skipped", None)
    assert record.reason == f"{root}: there is no such folder: check the root"


def test_a_label_file_that_vanishes_after_the_plan_skips_the_cell(faces):
    root, _, cell = faces
    (root / "AUCoding" / "AU_OCC" / "F002_T1.csv").unlink()
    record = run(cell)
    assert (record.status, record.traceback) == ("skipped", None)
    assert record.reason == "the frames of bp4d have changed since this run was planned"


def test_frames_that_vanish_while_a_cell_trains_on_them_cost_nothing(faces):
    _, asked, cell = faces
    elsewhere = replace(cell.context, results=cell.context.results.parent / "other")
    kept = result(run(replace(cell, context=elsewhere)))

    def stop():
        shutil.rmtree(asked.context.cache, ignore_errors=True)
        return False

    assert result(run(cell, should_stop=stop)) == kept


def test_a_label_mask_that_vanishes_after_the_plan_is_named(faces):
    _, _, cell = faces
    cell.mask_file.unlink()
    record = run(cell)
    assert record.status != "done"
    assert str(cell.mask_file) in record.reason


def let_none_read(monkeypatch, name):
    for way in ("read_text", "read_bytes"):
        real = getattr(Path, way)

        def read(path, *args, real=real, **more):
            return fail(errno.EACCES) if path.name.startswith(name) else real(path, *args, **more)

        monkeypatch.setattr(Path, way, read)


def test_a_record_that_only_another_user_may_read_stays_as_it_is(tmp_path, monkeypatch):
    (cell,) = cells.grid(cells.study(tmp_path))
    run(cell)
    before = (cell.folder / "record.json").read_bytes()
    with monkeypatch.context() as patch:
        let_none_read(patch, "record.json")
        for attempt in (lambda: make_plan([cell]), lambda: run(cell)):
            with pytest.raises(
                CannotRead, match=r"cannot read .*: Permission denied; it is .*'s: "
            ):
                attempt()
    assert (cell.folder / "record.json").read_bytes() == before


def test_a_claim_that_only_another_user_may_read_is_respected(tmp_path, monkeypatch):
    assert claim(tmp_path / "cell") is not None
    let_none_read(monkeypatch, "claim-")
    assert claim(tmp_path / "cell") is None
    assert read_claim(tmp_path / "cell") is not None
