"""Networks scored on another dataset, and the table of it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.config.settings import DataConfig
from bench.data.dataset import DatasetSpec
from bench.errors import UsageError
from bench.inference.network import load_network
from bench.inference.transfer import transfer_record
from bench.report.model import NothingToShow
from bench.report.tables.render import render_all
from bench.report.tables.transfer import transfer_tables
from bench.results.records import Scores, read_records
from bench.results.transfer import TransferRecord, read_transfers, write_transfer
from tests.helpers import cells
from tests.helpers.cli_driver import Person
from tests.helpers.dataset_trees import make_bp4d_tree


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds trained on the embedded faces, and a small tree of BP4D's layout."""
    folder = tmp_path_factory.mktemp("trained")
    asked = cells.study(folder, knobs=["train.keep_weights=true"], seeds=(0, 1))
    ids = []
    for cell in cells.grid(asked):
        assert cells.run(cell).status == "done"
        ids.append(cell.id)
    make_bp4d_tree(folder / "tree", subjects=("F001", "F002", "M001", "M002"), tasks=("T1",))
    return folder, ids


@pytest.fixture
def person(trained, tmp_path, monkeypatch, capsys):
    found = Person(tmp_path, trained[0] / "cache", trained[0] / "tree", monkeypatch, capsys)
    found.results = trained[0]
    return found


def scores(person, name, *more):
    where = ("--root", person.root, "--results", person.results, "--cache", person.cache)
    line = f"predict '{name}' --dataset bp4d --score --device cpu --workers 1"
    return person.types(line, *where, *more)


def test_a_network_is_scored_on_the_aus_that_both_code(person, trained, tmp_path):
    folder, ids = trained
    told = scores(person, ids[0])
    assert told.code == 0, told.err
    records, problems = read_transfers(folder)
    record = next(each for each in records if list(each.cells) == [ids[0]])
    assert problems == []
    # the scores from the rows that `predict` writes and the label files, counted one by one
    out = ("--out", tmp_path / "out", "--root", person.root, "--cache", person.cache)
    line = f"predict {ids[0]} --dataset bp4d --device cpu --workers 1"
    assert person.types(line, *out, "--results", folder).code == 0
    store = DatasetSpec("bp4d", person.root).open(DataConfig(size=32), person.cache).store
    counts = np.zeros((len(record.aus), 4), int)
    for film in store.sequences:
        table = pd.read_csv(tmp_path / "out" / f"{film.name}.csv").set_index("frame")
        for row, au in enumerate(record.aus):
            truth = film.labels[:, store.aus.index(au)]
            said = table.loc[film.frames, f"AU{au:02d}_p"].to_numpy() >= 0.5
            for kind, match in enumerate(((1, 1), (0, 1), (1, 0), (0, 0))):
                counts[row, kind] += int(((truth == match[0]) & (said == match[1])).sum())
    expected = [
        2 * tp / (2 * tp + fp + fn) if 2 * tp + fp + fn else 0.0 for tp, fp, fn, _ in counts
    ]
    np.testing.assert_allclose(record.scores.f1, expected, atol=0.02)
    assert set(record.scores.counts) == {"F001", "F002", "M001", "M002"}
    assert f"F1 {100 * record.scores.mean_f1:.1f} over {len(record.aus)} AUs" in told.out
    assert record.environment["command"].startswith("python -m bench predict")


def test_a_score_comes_with_the_notes_of_run_each_once(person, trained, tmp_path):
    shutil.copytree(trained[0] / "runs", tmp_path / "results" / "runs")  # no record for others
    person.results = tmp_path / "results"
    person.root = shutil.copytree(person.root, tmp_path / "tree")
    (person.root / "Sequences" / "M002" / "T1").rename(person.root / "Sequences" / "M002" / "T2")
    told = scores(person, trained[1][0])
    assert told.code == 0, told.err
    notes = [line for line in told.err.splitlines() if line.startswith("note: ")]
    spec = DatasetSpec("bp4d", person.root)
    problems = spec.open(DataConfig(size=32), person.cache).problems  # what `run` prints
    assert notes == [f"note: {problem}" for problem in problems]
    assert sum("no face boxes or landmarks" in note for note in notes) == 1
    assert "note: M002_T1: label file without images, left out" in notes


def test_a_score_that_is_there_stays(person, trained):
    scores(person, trained[1][0])
    path = next(trained[0].glob(f"transfer/{trained[1][0]}--bp4d-*.json"))
    before = path.read_bytes()
    assert "is there already: --overwrite scores it again" in scores(person, trained[1][0]).error
    assert path.read_bytes() == before
    assert scores(person, trained[1][0], "--overwrite").code == 0


def test_the_table_shows_where_trained_and_where_tested(person, trained):
    folder, ids = trained
    for name in (*ids, ",".join(ids)):
        scores(person, name, "--overwrite")
    told = person.asks("table transfer")
    assert told.code == 0, told.err
    transfers, _ = read_transfers(folder)
    single = [t.scores.mean_f1 * 100 for t in transfers if t.ensemble == 1]
    mean, spread = np.mean(single), np.std(single, ddof=1)
    (row,) = [line for line in told.out.splitlines() if line.startswith("| supervised, 20 % ")]
    assert f"{mean:.1f} ± {spread:.1f} (2)" in row
    records, _ = read_records(folder)
    aus = transfers[0].aus
    own = []
    for record in records:
        f1 = [record.scores["last"].f1[record.aus.index(au)] for au in aus]
        own.append(100 * np.mean([value for value in f1 if value is not None]))
    assert f"{np.mean(own):.1f} ± {np.std(own, ddof=1):.1f} (2)" in row
    assert "| supervised, 20 %, mean of 2 networks" in told.out
    assert "| always positive (baseline)" in told.out
    assert "[" in person.asks("table transfer --intervals").out
    # no other table knows of it
    assert "bp4d" not in person.asks("table").out
    assert "is of dataset bp4d: there" in person.asks("table transfer --dataset bp4d").error


def test_the_datasets_own_frames_are_not_a_transfer(person, trained):
    options = [word for k in cells.TINY if k.startswith("synthetic.") for word in ("--set", k)]
    said = person.types(
        f"predict {trained[1][0]} --dataset synthetic --score --device cpu --workers 1",
        *options,
        *("--results", person.results, "--cache", person.cache),
    ).error
    assert "was trained on these very frames" in said
    assert "--score needs labels" in person.asks(f"predict {trained[1][0]} x.mp4 --score").error


class TestRecord:
    def of(self, trained, labels, aus, subjects=("A", "B"), dataset="other"):
        """Score made-up probabilities on two films of three frames each."""
        folder, ids = trained
        network = load_network(folder, ids[0])
        store = cells.opened(cells.study(folder)).store
        films = [
            replace(
                film, subject=s, frames=np.arange(3), labels=labels[3 * k : 3 * k + 3], start=3 * k
            )
            for k, (s, film) in enumerate(zip(subjects, store.sequences, strict=False))
        ]
        store = replace(store, sequences=tuple(films), aus=aus, content_hash="0" * 64)
        shares = np.full((3, len(network.aus)), 0.9, np.float32)
        found = {film.name: shares for film in films}
        return transfer_record([network], store, dataset, found, started=0.0, command="c")

    def test_uncoded_frames_count_nowhere(self, trained):
        labels = np.array([[1], [0], [-1], [-1], [-1], [-1]], np.int8)
        record = self.of(trained, labels, (12,))
        assert (record.aus, record.frames) == ([12], 2)
        assert record.scores.f1 == [pytest.approx(2 / 3)]
        assert record.always_positive == [pytest.approx(2 / 3)]
        assert set(record.scores.counts) == {"A"}
        with pytest.raises(UsageError, match="none of its frames is coded for AU12"):
            self.of(trained, np.full((6, 1), -1, np.int8), (12,))

    def test_no_au_in_common_is_said(self, trained):
        labels = np.ones((6, 1), np.int8)
        with pytest.raises(UsageError, match=r"no AU in common: synthetic codes AU1, .* other AU9"):
            self.of(trained, labels, (9,))

    def test_another_version_of_the_same_dataset_is_warned_of(self, trained):
        labels = np.ones((6, 1), np.int8)
        record = self.of(trained, labels, (12,), dataset="synthetic")
        assert "the 2 people tested may have been trained on" in record.warnings[-1]


def made(seed, f1=(0.5,), **changes):
    counts = {name: [[3], [1], [seed], [5]] for name in "ABCDEF"}
    about = {"dataset": "x", "method": "m", "ratio": 0.1, "rule": "sparse", "preset": "quick"}
    values = {
        "id": f"x-{seed}",
        "cells": {f"x-{seed}": "w"},
        "cell": {**about, "fold": 0, "seed": seed},
        "versions": {"config": "c" * 64, "code": "d" * 64},
        "trained_aus": [1, 2],
        "dataset": "y",
        "hashes": {"data": "h" * 64},
        "aus": [1],
        "scores": Scores(step=0, f1=list(f1), auc=[None], accuracy=[0.5], counts=counts),
        "always_positive": [0.25],
        "frames": 9,
    }
    return TransferRecord(**{**values, **changes})


def test_records_are_read_back_and_bad_ones_named(tmp_path):
    record = made(0)
    path = write_transfer(tmp_path, record)
    (tmp_path / "transfer" / "torn.json").write_text(path.read_text()[:50])
    other = json.loads(path.read_text()) | {"schema": 9}
    (tmp_path / "transfer" / "version.json").write_text(json.dumps(other))
    found, problems = read_transfers(tmp_path)
    assert found == [record]
    assert len(problems) == 2
    assert "torn.json is not a readable transfer record" in problems[0]
    assert "it is not a transfer record of schema 1" in problems[1]


def test_runs_of_other_code_or_knobs_are_other_rows():
    runs = [made(0), made(1, versions={"config": "e" * 64, "code": "d" * 64})]
    (table,) = transfer_tables(runs, [])
    assert [row.label for row in table.rows] == [
        "m, 10 %, config cccccc, code dddddd",
        "m, 10 %, config eeeeee, code dddddd",
        "always positive",
    ]
    assert table.rows[0].entries[0].value == 50
    assert table.rows[0].entries[0].aus == "1 of 2"
    assert table.rows[0].entries[1].state == "missing"
    assert table.rows[-1].entries[0].value == 25
    assert "over 1 of 2 AUs" in render_all([table])


def test_each_training_dataset_has_a_table_of_its_own():
    place = {**made(0).cell, "dataset": "y"}
    back = made(1, cell=place, dataset="x", aus=[1, 2], f1=(0.25, 0.5))
    tables = transfer_tables([made(0), back], [])
    assert [(table.corner, table.columns[0]) for table in tables] == [
        ("trained on x", "y"),
        ("trained on y", "x"),
    ]
    entry = tables[1].rows[0].entries[0]
    assert (entry.value, entry.aus) == (37.5, "")  # over all that it was trained on
    assert entry.beside is None  # AUC is not known


def test_auc_stands_beside_f1():
    scores = replace(made(0).scores, auc=[0.75])
    (table,) = transfer_tables([made(0, scores=scores), made(1, scores=scores)], [])
    assert table.rows[0].entries[0].beside == 75


def test_runs_share_their_people_so_more_runs_narrow_no_interval():
    one, many = (
        transfer_tables([made(seed) for seed in seeds], [], intervals=True)[0]
        .rows[0]
        .entries[0]
        .interval
        for seeds in ((1,), (1, 11))
    )
    assert one is not None
    assert many is None or many[1] - many[0] >= 0.5 * (one[1] - one[0])


def test_two_datasets_of_one_name_are_two_columns():
    runs = [made(0), made(1, hashes={"data": "k" * 64})]
    (table,) = transfer_tables(runs, [])
    assert table.columns[::2] == ("y (hhhhhh)", "y (kkkkkk)")
    with pytest.raises(NothingToShow, match="there are no transfer records"):
        transfer_tables([], [])
