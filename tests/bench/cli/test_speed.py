"""`bench speed`, typed: rows on the screen, in the folder, and in `table complexity`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli.speed import _small
from bench.results.speed_rows import PARTS, read_rows
from datasets.synthetic import Synthetic
from tests.helpers.cli_driver import Answer, Person

TINY = (
    "speed --preset smoke --steps 4 --repeats 1 --device cpu "
    "--set synthetic.tasks=T1 --set synthetic.frames=12 --set data.size=32"
)


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Person:
    return Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)


def asked(person: Person, line: str) -> Answer:
    return person.asks(f"{TINY} {line}", "--cache", person.cache)


def test_every_part_is_measured_and_the_row_kept(person):
    (found,) = json.loads(asked(person, "--methods supervised --format json").out)
    assert set(found["rates"]) == set(PARTS)
    assert all(rate["median"] > 0 for rate in found["rates"].values())
    (kept,) = read_rows(person.results)
    assert kept.method == "supervised"
    assert not (person.results / "masks").exists()
    shown = person.asks("table complexity")
    assert "share of bare" in shown.out


def test_sizes_alone_need_no_frames(person):
    shown = person.types("speed --methods supervised --preset smoke --params-only")
    assert "parameters (M)" in shown.out
    assert shown.err == ""
    assert not person.results.exists()


def test_a_method_that_the_trunk_cannot_carry_is_left_out_with_its_reason(person):
    shown = asked(person, "--methods supervised,tcl --trunks test_byobnet --set trunk.width=1")
    assert "tcl is left out: tcl shifts channels inside residual blocks" in shown.err
    assert "supervised" in shown.out


def test_a_batch_that_is_too_large_leaves_the_other_methods_rows(person):
    line = "--methods tcl,supervised --set synthetic.subjects=6 --set train.batch_size=4"
    shown = asked(person, line)
    assert "tcl is left out: 4 clips of different sequences need as many" in shown.err
    assert "supervised" in shown.out


@pytest.mark.parametrize("batch", [8, 16, 32, 64])
def test_the_small_dataset_has_recordings_for_every_clip_of_a_batch(batch):
    options = dict(text.removeprefix("synthetic.").split("=") for text in _small(batch))
    dataset = Synthetic(**options)
    tested = set(dataset.folds().groups[0])
    recordings = dataset.sequences()
    assert sum(r.subject not in tested for r in recordings) >= batch
    assert sum(len(r.frames) for r in recordings) < 2500
