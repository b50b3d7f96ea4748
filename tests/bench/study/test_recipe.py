"""A method's own recipe: whose it is, which cells it changes, and what a table says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.config.presets import PRESETS
from bench.errors import UsageError
from bench.report.recipes import recipe_notes, spell_recipe
from bench.report.tables.kinds import tables
from bench.results.records import read_records
from bench.study.study import make_study
from tests.helpers import cells
from tests.helpers.cells import run
from tests.helpers.fake_records import record

BOTH = ["supervised", "fixmatch"]


def test_a_recipe_of_its_own_changes_the_cells_of_that_method_alone(tmp_path: Path) -> None:
    common = cells.grid(cells.study(tmp_path, methods=BOTH))
    own = cells.grid(cells.study(tmp_path, methods=BOTH, knobs=["fixmatch.train.lr=0.5"]))
    assert [cell.recipe for cell in own] == ["common", "own"]
    assert [cell.settings.train.lr for cell in own] == [0.006, 0.5]
    assert own[0].id == common[0].id
    assert own[1].id != common[1].id
    assert own[1].config()["train"]["lr"] == 0.5


def test_the_paper_preset_trains_eac_by_its_own_publication(tmp_path: Path) -> None:
    study = make_study(methods=["eac", "ks"], preset="paper", results=tmp_path)
    eac, ks = (study.settings_of(name).train for name in study.methods)
    assert (eac.optimiser, eac.lr, eac.weight_decay, eac.batch_size) == ("nesterov", 1e-4, 0, 50)
    assert ks == PRESETS["paper"].settings.train
    assert eac.epochs == ks.epochs


def test_what_was_set_for_all_holds_where_no_recipe_says_otherwise(tmp_path: Path) -> None:
    knobs = ["train.lr=0.3", "train.epochs=2", "eac.train.batch_size=7"]
    study = make_study(methods=["eac"], preset="paper", results=tmp_path, knobs=knobs)
    train = study.settings_of(study.methods[0]).train
    assert (train.lr, train.epochs, train.batch_size) == (1e-4, 2, 7)


@pytest.mark.parametrize(
    ("knob", "words"),
    [
        ("fixmatch.train.rate=1", "fixmatch.train"),
        ("fixmatch.train.lr=-1", "fixmatch.train.lr=-1: it takes 0 or more"),
        ("fixmach.train.lr=1", "did you mean fixmatch"),
        ("fixmatch.trunk.width=1", "unknown --set section 'fixmatch.trunk'"),
    ],
)
def test_a_wrong_recipe_is_said_at_planning(tmp_path: Path, knob: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_study(methods=["supervised"], results=tmp_path, knobs=[knob])
    assert words in str(refused.value)


def test_a_record_and_the_tables_tell_common_from_own(tmp_path: Path) -> None:
    knobs = ["fixmatch.train.lr=0.002"]
    for cell in cells.grid(cells.study(tmp_path, methods=BOTH, knobs=knobs)):
        run(cell)
    records, _ = read_records(tmp_path)
    told = {r.cell["method"]: r.recipe for r in records}
    assert told == {"supervised": "common", "fixmatch": "own"}
    (table,) = tables("ssl", records)
    said = [note for note in table.notes if "recipe" in note]
    assert [note.partition(":")[0] for note in said] == [
        "the common recipe",
        "own recipe of fixmatch",
    ]
    assert "adamw, lr 0.006, one-cycle" in said[0]
    assert "lr 0.002" in said[1]
    assert not any("not shared by all rows: train" in note for note in table.notes)


def test_a_recipe_reads_as_in_a_paper() -> None:
    assert spell_recipe(
        {
            "optimiser": "nesterov",
            "lr": 1e-4,
            "schedule": "cosine",
            "warmup": 0.05,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "batch_size": 50,
            "epochs": 2.5,
            "steps": 0,
            "clip_norm": 1.0,
            "group_lr": ["trunk=0.1", "head=2"],
        }
    ) == (
        "nesterov, lr 0.0001, cosine, warm-up 5% of the steps, momentum 0.9, batch 50, 2.5 epochs, "
        "gradients clipped at 1, rates of groups trunk=0.1, head=2"
    )


def test_records_that_tell_no_recipe_give_no_note() -> None:
    old = [replace(record(method=method), config={}) for method in BOTH]
    (table,) = tables("ssl", old)
    assert not any("recipe" in note for note in table.notes)
    assert list(recipe_notes([])) == []
