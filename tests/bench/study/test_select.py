"""Which records are a study's: by place and knobs, on whatever dataset and however old."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.results.records import read_records
from bench.study.study import make_study
from tests.helpers import cells
from tests.helpers.cells import run
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import record as fabricated

ASKED = {"methods": ["supervised", "ks:no_skd"], "ratios": ["0.1", "1"], "preset": "smoke"}


def own(study, method, **place):
    """A record as a cell of the study would leave it."""
    told = {"method": method, "preset": study.context.preset, "ratio": 0.1, **place}
    return replace(fabricated(**told), config={})


def test_a_study_knows_the_records_that_its_own_cells_leave(tmp_path):
    asked = cells.study(tmp_path, knobs=["supervised.dropout=0.25"])
    (cell,) = cells.grid(asked)
    record = run(cell)
    assert asked.select(read_records(tmp_path)[0]) == [record]
    for knob in ("supervised.dropout=0.5", "train.lr=0.1", "trunk.width=0.5"):
        assert cells.study(tmp_path, knobs=[knob]).select([record]) == []
    late = ["supervised.dropout=0.25", "train.checkpoint_minutes=1"]
    assert cells.study(tmp_path, knobs=late).select([record]) == [record]


@pytest.mark.parametrize(
    "place",
    [
        {"method": "ks"},
        {"ratio": 0.2},
        {"rule": "random"},
        {"fold": 1},
        {"seed": 1},
        {"preset": "quick"},
    ],
)
def test_a_record_from_elsewhere_in_the_grid_is_not_its(place):
    study = make_study(**ASKED)
    inside = own(study, "ks:no_skd")
    outside = replace(inside, cell={**inside.cell, **place})
    assert study.select([inside, outside]) == [inside]
    other_faces = replace(inside, cell={**inside.cell, "dataset": "bp4d"})
    assert study.select([other_faces]) == [other_faces]


def test_a_knob_that_an_old_record_does_not_tell_tells_nothing_against_it():
    study = make_study(**ASKED)
    old = replace(
        own(study, "supervised"), config={"train": {"lr": study.context.settings.train.lr}}
    )
    assert study.select([old]) == [old]
    assert study.select([replace(old, config={"train": {"lr": 9.0}})]) == []


def test_a_table_of_a_study_file_holds_its_cells_and_no_others(tmp_path, monkeypatch, capsys):
    person = Person(tmp_path, tmp_path / "c", tmp_path, monkeypatch, capsys)
    for ratio in ("0.1", "0.2"):
        (cell,) = cells.grid(cells.study(person.results, ratios=[ratio]))
        run(cell)
    sets = "".join(f'"{knob}", ' for knob in cells.TINY)
    file = tmp_path / "study.toml"
    file.write_text(
        f"ratios = [0.2]\npreset = 'smoke'\nset = [{sets}]\nresults = '{person.results}'\n"
    )
    answer = person.types("table --format csv --config", file)
    assert answer.code == 0
    assert "0.2" in answer.out
    assert "0.1," not in answer.out
    everything = person.types("table --format csv --results", person.results)
    assert "0.1," in everything.out
    nothing = person.types("table --preset quick --config", file)
    folder = person.results / "runs"
    assert nothing.error == f"no record in {folder} is of preset quick: there are: smoke"
    file.write_text(file.read_text().replace("train.steps=6", "train.steps=7"))
    assert person.types("table --config", file).error == (
        f"no record in {folder} is of {file}: the closest differ in train.steps (6, "
        "not 7): leave out --config, or change the file"
    )


def test_a_table_can_be_narrowed_to_methods_and_ratios(tmp_path, monkeypatch, capsys):
    person = Person(tmp_path, tmp_path / "c", tmp_path, monkeypatch, capsys)
    for method, ratio in (("supervised", "0.1"), ("supervised", "0.2"), ("tcl", "0.2")):
        (cell,) = cells.grid(cells.study(person.results, methods=[method], ratios=[ratio]))
        run(cell)
    where = ("--results", person.results)
    answer = person.types("table --format csv --ratios 0.20 --methods supervised", *where)
    assert "0.2" in answer.out
    assert "0.1," not in answer.out
    assert "tcl" not in answer.out
    here = f"no record in {person.results / 'runs'} is of"
    for line, sentence in (
        ("--ratios 0.3", f"{here} ratio 0.3: there are: 0.1, 0.2"),
        ("--methods tcll", f"{here} method tcll: did you mean tcl? there are: supervised, tcl"),
        ("--dataset bp4", f"{here} dataset bp4: there are: synthetic"),
    ):
        assert person.types(f"table {line}", *where).error == sentence
    both = person.types("table --methods supervised,tcl --ratios 0.1", *where)
    assert both.code == 0
    assert f"note: {here} tcl there" in both.err
    nowhere = person.types("table --results", tmp_path / "nowhere")
    assert f"note: --results {tmp_path / 'nowhere'}: there is no such folder" in nowhere.err
    assert "outside (0, 1]" in person.types("table --ratios 3", *where).error
