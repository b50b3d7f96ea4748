"""`tune` as a person types it: a search, its study file, the run of that, and wrong questions."""

from __future__ import annotations

import json
import tomllib

import pytest

from tests.helpers import manifest_tree
from tests.helpers.broken_methods import GOOD, put
from tests.helpers.cli_driver import SMALL, Person, quoted
from tests.helpers.dataset_trees import make_bp4d_tree

SUBJECTS = ("F001", "F002", "F003", "F004", "M001", "M002")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    make_bp4d_tree(folder / "tree", subjects=SUBJECTS, tasks=("T1",))
    return folder


@pytest.fixture
def person(faces, tmp_path, monkeypatch, capsys):
    return Person(tmp_path, faces / "cache", faces / "tree", monkeypatch, capsys)


def tunes(person, line):
    where = ("--root", person.root, "--results", person.results, "--cache", person.cache)
    return person.types(f"tune --dataset bp4d {SMALL} {line}", *where)


def test_a_search_leads_to_a_study_file_whose_cells_are_tuned(person):
    asked = "--methods fixmatch --trials 2 --val-subjects 1 --ratio 0.5 --ratios 0.2"
    answer = tunes(person, asked)
    assert answer.code == 0, answer.err
    assert "note: supervised is searched too" in answer.err
    assert "2 methods x 1 fold x 2 trials of 1 cell; 0 of 4 begun" in answer.err
    (folder,) = person.results.glob("searches/bp4d-*")
    search = json.loads((folder / "search.json").read_text())
    assert {m: len(folds["0"]) for m, folds in search["trials"].items()} == {
        "supervised": 2,
        "fixmatch": 2,
    }
    assert (folder / "curves.png").stat().st_size > 10_000
    study = tomllib.loads((folder / "tuned-f0.toml").read_text())
    assert (study["folds"], study["ratios"]) == ([0], [0.2])
    assert study["set"]["train"]["steps"] == 3
    assert {"lr", "weight_decay"} == set(study["set"]["fixmatch"]["train"])
    assert person.records() == {}, "trials are no results"

    again = tunes(person, asked)
    assert "4 of 4 begun" in again.err
    assert again.out == answer.out
    file = folder / "tuned-f0.toml"
    ran = person.types(f"run --workers 1 --cache {quoted(person.cache)}", "--config", file)
    assert ran.code == 0, ran.err
    records = [json.loads(text) for text in person.records().values()]
    assert {r["recipe"] for r in records} == {"tuned"}
    assert {r["tuning"]["search"] for r in records} == {folder.name}
    assert all(r["config"]["data"]["val_subjects"] == 0 for r in records)
    table = person.asks("table").out
    assert "| supervised (tuned)" in table
    assert "| fixmatch (tuned)" in table
    assert "tuned: the best of 2 trials each at 50 % labels, by F1 on 1 validation" in table

    for more, sentence in (
        ("--folds 1", "it chose for fold 0, and test subjects of fold 1 may be among"),
        ("--set fixmatch.tau=0.71", "and here it is 0.71: take that fold's study file"),
        ("--preset paper", "it was searched on preset smoke, not on paper"),
        ("--methods pseudo_label", "it is of supervised, fixmatch, and none is here"),
    ):
        wrong = person.types(
            f"run --dry-run --cache {quoted(person.cache)} {more}", "--config", file
        )
        assert sentence in wrong.error
    trials = person.types("table --results", person.results / "searches" / "trials")
    assert trials.error.startswith("these are trials of a search")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A manifest, whose folds are drawn, so that another draw has other test subjects."""
    tree = tmp_path_factory.mktemp("pictures")
    manifest_tree.write(tree, manifest_tree.make(tree, subjects=6))
    return tree


def searches_pictures(pictures, folder, monkeypatch, capsys, methods, *more):
    """Search a manifest; returns the person who did, the answer and the search's folder."""
    person = Person(folder, folder / "cache", pictures, monkeypatch, capsys)
    answer = person.types(
        f"tune --dataset manifest {SMALL} --trials 1 --val-subjects 1 --ratio 0.5 --ratios 0.5",
        *("--methods", methods, "--root", pictures, "--results", person.results),
        *("--cache", person.cache, *more),
    )
    assert answer.code in {0, 1}, answer.err
    (found,) = person.results.glob("searches/manifest-*")
    return person, answer, found


def test_recipes_serve_under_the_folds_that_they_were_chosen_in(
    pictures, tmp_path, monkeypatch, capsys
):
    person, _, found = searches_pictures(pictures, tmp_path, monkeypatch, capsys, "supervised")
    line = f"run --workers 1 --cache {quoted(person.cache)} --config"
    file = found / "tuned-f0.toml"
    assert person.types(line, file, "--dry-run").code == 0
    other = person.types(line, file, "--dry-run", "--set", "manifest.fold_seed=1")
    refused = (
        "--tuned: the search chose under another fold list (no options; here "
        "manifest.fold_seed=1), so that test subjects may be among those that it chose on"
    )
    assert refused in other.error
    record = json.loads((found / "search.json").read_text())
    del record["question"]["folds"]  # as searches before had it
    (found / "search.json").write_text(json.dumps(record))
    assert person.types(line, file, "--dry-run").code == 0
    other = person.types(line, file, "--dry-run", "--set", "manifest.fold_seed=1")
    assert refused in other.error

    assert person.types(line, file, "--set", "train.steps=2").code == 0
    note = f"validation subjects of each fold (search {found.name}, which had train.steps=3): "
    assert note in person.asks("table").out


def test_a_method_that_never_finishes_costs_the_others_nothing(
    pictures, tmp_path, monkeypatch, capsys
):
    plugin = tmp_path / "breaks.py"
    old, new = put("step", "raise RuntimeError('boom')")
    plugin.write_text(GOOD.replace(old, new).replace("class Small", "class Breaks"))
    _, answer, found = searches_pictures(
        pictures, tmp_path, monkeypatch, capsys, "supervised,breaks", "--plugin", plugin
    )
    assert answer.code == 1
    assert (
        "error: no trial of breaks in fold 0 finished: failed: RuntimeError: boom; " in answer.err
    )
    text = (found / "tuned-f0.toml").read_text()
    assert "# left out: no trial of breaks in fold 0 finished" in text
    assert tomllib.loads(text)["methods"] == ["supervised"]
    assert (found / "curves.png").is_file()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--methods supervised", "tune chooses on validation subjects: give --val-subjects 1"),
        ("--methods fixmach --val-subjects 1", "unknown method 'fixmach': did you mean fixmatch?"),
        (
            "--methods ks,ks:no_skd --val-subjects 1",
            "tune one of ks and its variants at a time",
        ),
        ("--methods supervised --val-subjects 9", "9 validation subjects cannot be taken from"),
        (
            "--methods supervised --val-subjects 1 --set train.weight_decay=0.07",
            "supervised.train.weight_decay=0.07 lies outside of the range to search",
        ),
        ("--methods supervised --val-subjects 1 --ratio 7", "label ratio '7' is outside (0, 1]"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_a_sentence(line, sentence, person):
    assert sentence in tunes(person, f"{line} --trials 1").error


def test_a_file_that_is_no_search_is_named(person, tmp_path):
    (tmp_path / "x.json").write_text("{}")
    wrong = person.runs("--methods supervised --dry-run", "--tuned", tmp_path / "x.json")
    assert wrong.error.endswith("x.json is no record of a search ('schema')")
    wrong = person.runs("--methods supervised --dry-run", "--tuned", tmp_path / "y.json")
    assert "y.json: No such file" in wrong.error
