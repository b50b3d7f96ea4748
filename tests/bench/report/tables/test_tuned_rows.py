"""Tables name tuned and untuned apart, and take a search's recipes of all folds together."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.report.model import Table
from bench.report.tables.headroom import headroom_tables
from bench.report.tables.scores import ssl_table
from bench.results.records import Record
from tests.helpers.fake_records import record

SEARCH = {"search": "abc", "trials": 20, "val_subjects": 2, "ratios": [0.01], "seeds": [0]}


def tuned(method: str, fold: int = 0, search: str = "abc", **place: Any) -> Record:
    """A record under a recipe that a search found for its fold."""
    plain = record(method, fold=fold, **place)
    return dataclasses.replace(
        plain,
        id=f"{plain.id}-{search}",
        recipe="tuned",
        tuning={**SEARCH, "search": search, "searched": [f"{method}.train.lr", f"{method}.alpha"]},
        config={"method": {"alpha": 0.1 * fold}, "train": {"lr": 0.001 * (fold + 1)}},
        hashes={**plain.hashes, "config": f"{method} {fold} {search}"},
    )


def labels(table: Table) -> list[str]:
    return [row.label for row in table.rows if row.source != "baseline"]


def notes(table: Table, begin: str) -> list[str]:
    return [note for note in table.notes if note.startswith(begin)]


def test_recipes_of_several_folds_are_one_row() -> None:
    table = ssl_table([tuned("ks", fold, f1=0.4 + 0.1 * fold) for fold in range(3)])
    assert labels(table) == ["supervised", "ks (tuned)"]
    (row,) = [row for row in table.rows if row.label == "ks (tuned)"]
    assert row.entries[0].n == 3


def test_tuned_and_untuned_are_rows_apart_and_named_in_notes() -> None:
    table = ssl_table([record("supervised"), tuned("supervised"), record("tcl"), tuned("ks")])
    assert labels(table) == ["supervised", "supervised (tuned)", "ks (tuned)", "tcl"]
    assert notes(table, "tuned: ") == [
        "tuned: the best of 20 trials each at 1 % labels, by F1 on 2 validation subjects of each "
        "fold (search abc): supervised (tuned), ks (tuned)"
    ]
    assert notes(table, "not tuned: ") == ["not tuned: supervised, tcl"]


def test_two_searches_are_two_rows() -> None:
    table = ssl_table([tuned("ks"), tuned("ks", search="other")])
    assert len(labels(table)) == len({*labels(table)}) == 3


def test_without_a_search_nothing_is_said_of_tuning() -> None:
    table = ssl_table([record("supervised"), record("ks")])
    assert not notes(table, "tuned") + notes(table, "not tuned")


def test_the_headroom_of_tuned_methods_is_that_of_a_tuned_control() -> None:
    untuned = [record(m, f1=f) for m, f in (("supervised", 0.3), ("ceiling", 0.9))]
    found = [tuned(m, f1=f) for m, f in (("supervised", 0.5), ("ceiling", 0.7), ("ks", 0.6))]
    first, second = headroom_tables([*untuned, *found])
    assert "with recipe=not tuned:" in first.title
    assert "with recipe=tuned:" in second.title
    shares = {row.label: row.entries[0].value for row in second.rows}
    assert round(shares["ks (tuned), % won"] or 0) == 50
