"""Headroom from the command line: announced by `run`, shown by `table`, refused elsewhere."""

from __future__ import annotations

import pytest

from tests.helpers.cli_driver import Person
from tests.helpers.dataset_trees import make_bp4d_tree


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    make_bp4d_tree(tmp_path / "tree", subjects=("F001", "F002", "F003", "M001"), tasks=("T1",))
    return Person(tmp_path, tmp_path / "cache", tmp_path / "tree", monkeypatch, capsys)


def test_run_tells_of_the_headroom_before_and_after(person):
    asked = "--methods supervised,pseudo_label --ratios 0.2,1 --dry-run"
    unknown = "note: headroom unknown at 20 % labels: --methods supervised,ceiling tells how much"
    assert unknown in person.runs(asked).err
    first = person.runs("--methods supervised,ceiling --ratios 0.2")
    assert first.code == 0
    assert "unknown" not in first.err
    assert first.err.count("note: uninformative about methods at 20 % labels: the ceiling is") == 1
    again = person.runs(asked).err
    assert "note: uninformative about methods at 20 % labels" in again
    assert "headroom unknown" not in again
    assert "uninformative" not in person.runs("--methods supervised --ratios 0.1 --dry-run").err
    assert "headroom, points" in person.asks("table headroom").out
    assert "uninformative about methods at 20 % labels" in person.asks("table").out
    assert "It sees the labels that the budget did not pay for" in person.asks("explain bp4d-c").out


def test_the_ceiling_is_refused_where_methods_are_meant(person):
    sentence = person.types("check ceiling").error
    assert sentence.startswith("ceiling is a control of the runner's own that sees hidden labels")
    assert "a control of the runner's, no method" in person.types("list methods").out


def test_a_knob_that_it_does_not_take_is_named(person):
    wrong = person.runs("--methods ceiling --set ceiling.wieght=2")
    assert wrong.error.startswith("unknown key 'ceiling.wieght': did you mean ceiling.weight?")
