"""Calibration and co-occurrence: equal to other ways to compute them, from stored predictions."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.report.aggregate import RunMatrix
from bench.report.metric import Scoring
from bench.report.model import NothingToShow
from bench.report.plots.calibration import calibration_figure, reliability
from bench.report.plots.cooccurrence import cooccurrence_figure, correlations
from bench.report.stored_frames import PooledFrames, pooled_frames
from bench.results.predictions import NAME, StoredPredictions
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import AUS, record
from tests.helpers.results_folders import write_records


def stored(seed, count=400, **changes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 2, (count, len(AUS))).astype(np.int8)
    shares = np.clip(0.5 * (labels == 1) + rng.uniform(0, 0.5, labels.shape), 0, 1)
    fields = {
        "probabilities": shares.astype(np.float32),
        "subject": np.array(["F001"] * count),
        "task": np.array(["T1"] * count),
        "frame": np.arange(count),
        "aus": np.array(AUS),
        "labels": labels,
    }
    return StoredPredictions(**{**fields, **changes})


def write(results, records, **changes):
    write_records(results, records)
    for seed, each in enumerate(records):
        with (results / "runs" / each.id / NAME).open("wb") as stream:
            stored(seed, **changes).save(stream)
    return RunMatrix.of(records, Scoring(results=results))


def test_runs_of_a_method_are_pooled(tmp_path) -> None:
    records = [record("ks", 0.1, fold=0), record("ks", 0.1, fold=1), record("tcl", 0.1)]
    found = pooled_frames(write(tmp_path, records), 0.1)
    assert set(found) == {"ks", "tcl"}
    both = [stored(0), stored(1)]
    np.testing.assert_array_equal(found["ks"].labels, np.vstack([each.labels for each in both]))


def test_runs_without_labels_are_no_figure(tmp_path) -> None:
    matrix = write(tmp_path, [record("ks", 0.1)], labels=None)
    for draw in (calibration_figure, cooccurrence_figure):
        with pytest.raises(NothingToShow, match="holds labels: run it again"):
            draw(matrix, 0.1)


def test_reliability_is_that_of_every_bin_by_itself() -> None:
    each = stored(5)
    frames = PooledFrames(each.labels, each.probabilities.astype(float))
    found = reliability(frames)
    told, true, error, total = [], [], 0.0, (frames.labels != -1).sum()
    for low in np.arange(10) / 10:
        inside = (frames.probabilities >= low) & (frames.probabilities < low + 0.1)
        inside &= frames.labels != -1
        if inside.any():
            told.append(frames.probabilities[inside].mean())
            true.append((frames.labels[inside] == 1).mean())
            error += inside.sum() / total * abs(told[-1] - true[-1])
    np.testing.assert_allclose(found.told, told)
    np.testing.assert_allclose(found.true, true)
    assert found.weight.sum() == pytest.approx(1)
    assert found.error == pytest.approx(error)


def test_a_certain_network_that_is_right_is_calibrated() -> None:
    labels = np.array([[1, 0], [0, 1], [1, -1]], dtype=np.int8)
    assert reliability(PooledFrames(labels, np.maximum(labels, 0).astype(float))).error == 0
    assert reliability(PooledFrames(labels, 1.0 - np.maximum(labels, 0))).error == 1


def test_correlations_are_of_the_frames_where_both_are_coded() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 3))
    values[:, 1] += values[:, 0]
    coded = rng.random((60, 3)) < 0.7
    found = correlations(values, coded)
    for i in range(3):
        for j in range(3):
            both = coded[:, i] & coded[:, j]
            a, b = (
                values[both, i] - values[both, i].mean(),
                values[both, j] - values[both, j].mean(),
            )
            expected = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
            assert found[i, j] == pytest.approx(expected)
    assert np.isnan(correlations(np.ones((5, 2)), np.ones((5, 2), dtype=bool))).all()


def test_the_figures_name_their_lines_and_panels(tmp_path) -> None:
    matrix = write(tmp_path, [record("supervised", 0.1), record("ks", 0.1)])
    made = cooccurrence_figure(matrix, 0.1)
    FigureCanvasAgg(made).draw()
    titles = [axes.get_title(loc="left") for axes in made.axes if axes.get_visible()]
    assert [each.partition(" ")[0] for each in titles if each] == ["labels", "supervised", "ks"]
    made = calibration_figure(matrix, 0.1)
    FigureCanvasAgg(made).draw()
    names = [text.get_text().partition(" ")[0] for text in made.legends[0].get_texts()]
    assert names == ["supervised", "ks"]


@pytest.mark.parametrize("kind", ["calibration", "co-occurrence", "timeline"])
def test_files_that_a_figure_lacks_are_named(tmp_path, monkeypatch, capsys, kind) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    records = [record(method, r) for r in (0.1, 0.5) for method in ("supervised", "ks", "tcl")]
    write(person.results, records)
    files = {each.id: person.results / "runs" / each.id / NAME for each in records}
    gone, *broken = [files[each.id] for each in records[:3]]
    gone.unlink()
    for path in broken:
        path.write_text("rubbish")
    files[records[4].id].unlink()
    answer = person.asks(f"plot {kind}")
    assert answer.code == 0
    (drawn,) = answer.out.splitlines()
    assert drawn.endswith("-r0.5.png")
    none, fewer = answer.err.splitlines()
    assert none.startswith("note: no figure of synthetic, sparse, quick: no run at ratio 0.1 has ")
    assert f"{gone} is missing; " in none
    assert all(f"{path} holds no readable predictions" in none for path in broken)
    what = "synthetic, sparse, quick at ratio 0.5: drawn without 1 run, to be run again"
    assert fewer == f"note: {what} ({files[records[4].id]} is missing)"


def test_of_many_files_the_first_are_named(tmp_path) -> None:
    records = [record("ks", 0.1, fold=fold) for fold in range(6)]
    matrix, notes = write(tmp_path, records), list[str]()
    for each in records[1:]:
        (tmp_path / "runs" / each.id / NAME).unlink()
    calibration_figure(matrix, 0.1, notes)
    (note,) = notes
    assert "without 5 runs" in note
    assert note.count(NAME) == 3
    assert note.endswith("is missing; and 2 more)")


@pytest.mark.parametrize("kind", ["calibration", "co-occurrence"])
def test_a_person_draws_them(tmp_path, monkeypatch, capsys, kind) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    write(person.results, [record("supervised", 0.1), record("ks", 0.1)])
    answer = person.asks(f"plot {kind} --format pdf")
    assert answer.code == 0, answer.err
    (path,) = (person.results / "plots").iterdir()
    assert path.read_bytes().startswith(b"%PDF")
