"""`data stats` as a person sees it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.helpers.cli_driver import Person
from tests.helpers.dataset_trees import BP4D_AUS, make_bp4d_tree


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    tree = tmp_path / "tree"
    truth = make_bp4d_tree(tree, subjects=("F001", "F003", "F004"), tasks=("T1",), size=(60, 48))
    one = Person(tmp_path, tmp_path / "cache", tree, monkeypatch, capsys)
    return one, truth


def asks(person, line):
    return person.types(f"data {line} --dataset bp4d --root", person.root)


def test_stats_are_tables_and_nothing_is_decoded(person):
    one, _ = person
    answer = asks(one, "stats --ratios 0.1,1")
    assert answer.code == 0
    for title in ("occurrence and events", "share (%) of an AU's frames", "a label budget keeps"):
        assert title in answer.out
    assert not one.cache.exists()


def test_stats_in_json_hold_what_the_label_files_say(person):
    one, truth = person
    content = json.loads(asks(one, "stats --ratios 1 --seeds 0 --format json").out)
    labels = [row for take in truth.values() for row in take.tolist()]
    known = [row[2] for row in labels if row[2] != -1]
    third = content["stats"]["aus"][2]
    assert third["au"] == BP4D_AUS[2]
    assert third["rate"] == pytest.approx(sum(known) / len(known))
    whole = {tuple(row) for row in labels if -1 not in row}
    assert content["stats"]["combinations"] == len(whole)
    assert {kept["rule"] for kept in content["sampling"]} == {"sparse", "contiguous", "random"}
    assert all(kept["combinations"] == len(whole) for kept in content["sampling"])


def test_stats_in_csv_are_one_table_for_programs(person):
    one, _ = person
    rows = list(csv.DictReader(io.StringIO(asks(one, "stats --ratios 0.1 --format csv").out)))
    assert {row["table"] for row in rows} == {"occurrence", "co-occurrence", "sampling"}
    rates = [row for row in rows if row["column"] == "present %"]
    assert [row["row"] for row in rates] == list(map(str, BP4D_AUS))


@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ("stats --ratios 2", 2, "label ratio '2' is outside (0, 1]"),
        ("stats --seeds x", 2, "--seeds x: give whole numbers"),
        ("stats --format yaml", 1, "no table format 'yaml'"),
    ],
)
def test_a_wrong_wish_is_one_sentence(person, line, code, sentence):
    one, _ = person
    answer = asks(one, line)
    assert answer.code == code
    assert sentence in answer.error
