"""Heat map, subjects, cost and training: what is drawn is what records and histories hold."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.report.aggregate import RunMatrix
from bench.report.model import Entry, NothingToShow
from bench.report.plots.cost import cost_figure, pareto_front
from bench.report.plots.curves import curves
from bench.report.plots.heat_map import heat_map
from bench.report.plots.kinds import KINDS
from bench.report.plots.style import PAGE_WIDTH, WIDTH
from bench.report.plots.subjects import subject_dots
from bench.report.plots.training import mean_curves, training_figure
from bench.report.published import Published
from bench.report.subject_scores import subject_f1
from bench.results.selection import without_variants
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import counted, record, unfinished
from tests.helpers.results_folders import small_study, write_records


def matrix_of(records):
    return RunMatrix.of(records, "last")


def labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_the_heat_map_writes_every_f1_in_its_field() -> None:
    records = [record("supervised", 0.1, f1=[0.2, 0.9]), record("ks", 0.1, f1=[0.4, 0.8])]
    made = heat_map(matrix_of(records), 0.1)
    FigureCanvasAgg(made).draw()
    axes = made.axes[0]
    told = {text.get_position(): text.get_text() for text in axes.texts}
    rows = {(0, 0): "20.0", (1, 0): "90.0", (2, 0): "55.0"}
    assert told == rows | {(0, 1): "40.0", (1, 1): "80.0", (2, 1): "60.0"}
    assert labels(axes) == ["supervised", "ks"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["AU1", "AU12", "mean"]
    assert made.get_figwidth() == PAGE_WIDTH
    np.testing.assert_allclose(axes.images[0].get_array(), [[20, 90, 55], [40, 80, 60]])


def test_a_field_without_a_score_stays_empty_and_no_score_is_no_figure() -> None:
    broken = unfinished("failed", "out of memory", method="tcl", ratio=0.1)
    made = heat_map(matrix_of([record("ks", 0.1), broken]), 0.1)
    FigureCanvasAgg(made).draw()
    assert labels(made.axes[0]) == ["ks", "tcl"]
    assert {text.get_position()[1] for text in made.axes[0].texts} == {0}
    with pytest.raises(NothingToShow):
        heat_map(matrix_of([broken]), 0.1)


def test_a_subjects_f1_is_of_its_outcomes_pooled_over_runs_and_aus() -> None:
    table = {"A": [[8, 0], [2, 0], [4, 6], [1, 9]], "B": [[0, 0], [0, 0], [0, 0], [5, 5]]}
    scores = counted([0.5, 0.5])
    first = record("ks", seed=0, scores={"last": scores})
    scores.counts.clear()
    scores.counts.update(table)
    found = subject_f1([first, record("ks", seed=1, scores=first.scores)], "last")
    assert found["A"] == pytest.approx([100 * 16 / 28, 100 * 16 / 22, 0])
    assert found["B"] == [None, None, None]


def test_subjects_are_dots_and_the_worst_are_named() -> None:
    scores = counted([0.5, 0.5])
    scores.counts["worst"] = [[1, 1], [9, 9], [9, 9], [0, 0]]
    records = [record("ks", 0.1, scores={"last": scores}), record("supervised", 0.1)]
    made = subject_dots(matrix_of(records), 0.1)
    FigureCanvasAgg(made).draw()
    axes = made.axes[0]
    assert labels(axes) == ["supervised", "ks"]
    dots = [collection.get_offsets()[:, 0] for collection in axes.collections]
    np.testing.assert_allclose(sorted(dots[1]), [10, *[50] * 8])
    assert "worst" in {text.get_text() for text in axes.texts}
    assert made.get_figwidth() == WIDTH


@pytest.mark.parametrize("name", ["F1", "F013", "a_film_of_a_woman_who_smiles.mp4"])
def test_the_name_of_the_worst_subject_lies_beside_the_axis(name) -> None:
    scores = counted([0.5, 0.5])
    scores.counts[name] = [[1, 1], [9, 9], [9, 9], [0, 0]]
    made = subject_dots(matrix_of([record("ks", 0.1, scores={"last": scores})]), 0.1)
    FigureCanvasAgg(made).draw()
    (axes,) = made.axes
    text = next(text for text in axes.texts if text.get_text() == name)
    assert text.get_window_extent().x0 > axes.get_window_extent().x0
    assert axes.get_xlim()[0] < 10 < 50 < axes.get_xlim()[1]


def test_the_front_holds_what_nothing_cheaper_equals() -> None:
    points = [(3, 50), (1, 40), (2, 40), (4, 45), (5, 60), (1, 30), (6, 60)]
    front = pareto_front(points)
    assert front == [(1, 40), (3, 50), (5, 60)]
    for cost, score in points:
        beaten = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points)
        assert ((cost, score) in front) == (not beaten)


def test_costs_are_labels_and_seconds_of_one_device() -> None:
    def run(method, ratio, labelled, seconds, device="a GPU"):
        frames = {**record().frames, "labelled": labelled}
        told = {"frames": frames, "seconds": {"train": seconds}, "environment": {"device": device}}
        return record(method, ratio, f1=0.4 + ratio / 2, **told)

    records = [
        run("supervised", 0.1, 10, 5.0),
        run("supervised", 0.5, 50, 6.0),
        run("ks", 0.1, 10, 20.0),
        run("ks", 0.5, 50, 30.0, device="another"),
    ]
    ceiling = run("ceiling", 0.1, 10, 7.0)  # its labels nobody paid for
    made = cost_figure(matrix_of([*records, ceiling]))
    FigureCanvasAgg(made).draw()
    above, below = made.axes
    drawn = [
        {line.get_label(): line.get_xdata() for line in axes.lines if line.get_marker() != "None"}
        for axes in (above, below)
    ]
    assert {name: list(xs) for name, xs in drawn[0].items()} == {
        "supervised": [10, 50],
        "ks": [10, 50],
    }
    assert {name: list(xs) for name, xs in drawn[1].items()} == {"supervised": [5, 6], "ks": [20]}
    assert below.get_xlabel() == "seconds of training a run, on a GPU"


def test_names_below_a_figure_stay_within_it() -> None:
    frames = {**record().frames, "labelled": 10}
    short = ("ks", "tcl", "uda", "eac", "supervised")
    for names in (short, [f"{name}:a_variant_of_a_long_name" for name in short]):
        records = [record(name, frames=frames) for name in names]
        made = cost_figure(matrix_of(records))
        canvas = FigureCanvasAgg(made)
        canvas.draw()
        box = made.legends[0].get_window_extent(canvas.get_renderer())
        assert box.x0 >= 0
        assert box.x1 <= made.bbox.x1


def test_histories_are_lined_up_by_step() -> None:
    one = [{"step": 20, "lr": 1.0, "au": 1.0}, {"step": 40, "lr": 1.0, "au": 0.5, "skd": 0.1}]
    two = [{"step": 20, "lr": 1.0, "au": 3.0}, {"step": 60, "lr": 1.0, "au": 0.25, "audit": {}}]
    found = mean_curves([one, two])
    assert set(found) == {"au", "skd"}
    steps, values = found["au"]
    assert steps.tolist() == [20, 40, 60]
    np.testing.assert_array_equal(values, [[1.0, 0.5, np.nan], [3.0, np.nan, 0.25]])
    np.testing.assert_array_equal(found["skd"][1], [[0.1], [np.nan]])


def test_training_has_a_panel_for_each_method_with_a_history(tmp_path) -> None:
    results = write_records(tmp_path, [record("supervised", 0.1), record("ks", 0.1)])
    made = training_figure(matrix_of([record("supervised", 0.1), record("ks", 0.1)]), 0.1, results)
    FigureCanvasAgg(made).draw()
    assert [axes.get_title(loc="left") for axes in made.axes] == ["supervised", "ks"]
    np.testing.assert_allclose(made.axes[0].lines[0].get_ydata(), [1 / 20, 1 / 40, 1 / 60])
    with pytest.raises(NothingToShow, match=r"history\.jsonl"):
        training_figure(matrix_of([record("ks", 0.1)]), 0.1, tmp_path / "elsewhere")


def test_a_loss_logged_once_is_a_marker_at_a_whole_step(tmp_path) -> None:
    results = write_records(tmp_path, [record("supervised", 0.1), record("ks", 0.1)])
    once = results / "runs" / record("supervised", 0.1).id / "history.jsonl"
    once.write_text('{"step": 20, "epoch": 1.0, "lr": 0.01, "au": 0.5}\n')
    made = training_figure(matrix_of([record("supervised", 0.1)]), 0.1, results)
    FigureCanvasAgg(made).draw()
    (axes,) = made.axes
    assert axes.lines[0].get_marker() == "o"
    assert all(tick == int(tick) for tick in axes.get_xticks())
    whole = training_figure(matrix_of([record("ks", 0.1)]), 0.1, results)
    assert whole.axes[0].lines[0].get_marker() == ""


def test_published_points_are_hollow_and_named_where_the_data_are_theirs(monkeypatch) -> None:
    printed = {
        "ks": {0.1: Entry(value=61.0), 1.0: Entry(value=63.0)},
        "old": {0.1: Entry(value=50)},
    }
    monkeypatch.setattr(Published, "ssl", lambda self: printed)
    monkeypatch.setattr(Published, "why_not", lambda self, records: None)
    notes: list[str] = []
    made = curves([record("ks", r) for r in (0.1, 1.0)], published=True, notes=notes)
    FigureCanvasAgg(made).draw()
    hollow = [x for x in made.axes[0].lines if x.get_markerfacecolor() == "none"]
    assert [list(line.get_ydata()) for line in hollow] == [[61, 63], [50]]
    names = {text.get_text() for text in made.axes[0].texts}
    assert names == {"ks", "ks (paper)", "old (paper)"}
    assert notes == []


def test_published_points_that_do_not_belong_are_a_note() -> None:
    notes: list[str] = []
    curves([record("ks")], published=True, notes=notes)
    assert len(notes) == 1


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    return Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("kind", sorted({"curves", "heat-map", "subjects", "cost", "training"}))
def test_a_person_draws_each_kind(person: Person, kind) -> None:
    assert kind in KINDS
    told = {"frames": {"labelled": 10}, "seconds": {"train": 2.0}}
    write_records(person.results, small_study(**told))
    answer = person.asks(f"plot {kind} --ratios 0.1 --format svg")
    assert answer.code == 0, answer.err
    (path,) = answer.out.splitlines()
    drawn = (person.results / "plots" / path.rpartition("/")[2]).read_text()
    assert "<svg" in drawn
    whole = person.asks(f"plot {kind} --ratios 0.1 --variants")
    assert whole.code == 0, whole.err


def test_variants_are_left_out_unless_there_is_nothing_else() -> None:
    whole = {each.cell["method"] for each in without_variants(small_study())}
    assert whole == {"supervised", "fixmatch", "ks"}
    alone = [record("ks:no_skd")]
    assert without_variants(alone) == alone


def test_what_cannot_be_drawn_is_one_sentence(person: Person) -> None:
    write_records(person.results, [unfinished("failed", "out of memory", method="ks")])
    for kind in ("heat-map", "subjects", "cost", "training"):
        assert "synthetic, sparse, quick: no " in person.asks(f"plot {kind}").error
    assert "did you mean heat-map" in person.asks("plot heatmap").error
    assert list(person.results.glob("plots/*")) == []
