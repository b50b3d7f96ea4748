"""From a dataset with intensities to ICC(3,1) in a table: stored for test frames, and in no id."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.report.metric import Scoring, find_metric
from bench.results.predictions import NAME, StoredPredictions, read_predictions
from bench.results.records import Record, read_record
from bench.study.cell import Cell
from tests.helpers import cells
from tests.helpers.cli_driver import Person
from tests.helpers.manifest_tree import make


def run(folder: Path, rows: list[dict[str, str]]) -> tuple[Cell, Record]:
    (cell,) = cells.manifest_grid(folder, rows, folds=(0,))
    cells.run(cell)
    return cell, read_record(cell.folder / "record.json")


def predictions(cell: Cell) -> StoredPredictions:
    found = read_predictions(cell.folder / NAME)
    assert found is not None
    return found


def test_intensities_are_stored_and_change_nothing_else(tmp_path, monkeypatch, capsys) -> None:
    rows = make(tmp_path / "a/data", frames=6)
    for row in rows:
        row |= {"fold": str(int(row["subject"] in ("P2", "P3"))), "AU1": row["AU1"] or "0"}
    plain, before = run(tmp_path / "a", rows)
    assert predictions(plain).intensities is None
    make(tmp_path / "b/data", frames=6)
    for place, row in enumerate(rows):
        row["AU1_intensity"] = str(place % 6)
    told, after = run(tmp_path / "b", rows)
    assert told.id == plain.id
    for one in (before, after):
        one.seconds.clear()
    assert json.dumps(before.scores["last"].counts) == json.dumps(after.scores["last"].counts)
    assert before.final_weights == after.final_weights
    found = predictions(told)
    at = {(r["subject"], r["sequence"], int(r["frame"])): r["AU1_intensity"] for r in rows}
    keys = zip(found.subject, found.task, found.frame.tolist(), strict=True)
    assert found.intensities is not None
    assert found.intensities[:, 0].tolist() == [float(at[key]) for key in keys]
    assert np.isnan(found.intensities[:, 1:]).all()
    x, y = 5 * found.probabilities[:, 0].astype(float), found.intensities[:, 0].astype(float)
    agreement = 2 * np.cov(x, y)[0, 1] / (np.var(x, ddof=1) + np.var(y, ddof=1))
    scoring = Scoring("last", find_metric("icc"), tmp_path / "b")
    assert scoring.per_au(after) == (pytest.approx(agreement), None, None)
    person = Person(tmp_path, tmp_path, tmp_path, monkeypatch, capsys)
    answer = person.types("table --metric icc --results", tmp_path / "b")
    assert "ICC(3,1) (x 100)" in answer.out
    assert f"{100 * agreement:.1f}" in answer.out
    refused = person.types("table --metric icc --results", tmp_path / "a")
    assert "holds no intensities" in refused.error
