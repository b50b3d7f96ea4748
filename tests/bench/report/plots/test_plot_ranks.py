"""Critical-difference diagram: it draws the ranks, groups and distance that `table ranks` names."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.report.aggregate import RunMatrix
from bench.report.model import NothingToShow
from bench.report.plots.ranks import rank_figure
from bench.report.plots.style import PAGE_WIDTH, WIDTH
from bench.report.rank_statistics import critical_difference
from bench.report.tables.ranks import ranks_table
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import record
from tests.helpers.results_folders import small_study, write_records


def study(f1s, folds=12):
    return [record(name, 0.1, fold, f1=f1) for name, f1 in f1s.items() for fold in range(folds)]


def drawn(records, metric="last"):
    made = rank_figure(RunMatrix.of(records, metric))
    FigureCanvasAgg(made).draw()
    return made, made.axes[0]


def bars(axes):
    return [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 3]


def names(axes):
    return {text.get_text() for text in axes.texts}


def test_methods_stand_at_their_mean_ranks_with_their_names() -> None:
    records = study({"ks": 0.6, "tcl": 0.5, "supervised": 0.4})
    records[0] = record("ks", 0.1, 0, f1=0.45)  # second there, and tcl first
    made, axes = drawn(records)
    assert {"ks  1.08", "tcl  1.92", "3.00  supervised"} <= names(axes)
    places = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() in "osD^vP")
    assert places == pytest.approx([13 / 12, 23 / 12, 3])
    assert made.get_figwidth() == WIDTH


def test_bars_join_the_groups_that_table_ranks_names() -> None:
    records = study({"a": 0.6, "b": 0.5, "c": 0.4, "d": 0.3})
    _, axes = drawn(records)
    reach = 0.04
    assert [end for bar in bars(axes) for end in bar] == pytest.approx(
        [1 - reach, 2 + reach, 2 - reach, 3 + reach, 3 - reach, 4 + reach]
    )
    (note,) = [each for each in ranks_table(records).notes if "Nemenyi" in each]
    assert note.endswith("not told apart by ranks: a, b; b, c; c, d")
    distance = critical_difference(4, 12)
    assert f"critical difference {distance:.2f}" in note
    assert f" critical difference {distance:.2f}" in names(axes)
    assert [1, 1 + distance] in [list(line.get_xdata()) for line in axes.lines]


def test_the_title_says_when_ranks_tell_nobody_apart() -> None:
    same = study({"a": 0.5, "b": 0.5, "c": 0.5}, folds=2)
    made, axes = drawn(same)
    assert "p = 1: ranks tell no method from the others" in made.get_suptitle()
    assert any(text.endswith("longer than the axis") for text in names(axes))
    assert len(bars(axes)) == 1
    apart, _ = drawn(study({"a": 0.7, "b": 0.5, "c": 0.3}))
    assert "Nemenyi" in apart.get_suptitle()


def test_many_methods_take_both_columns_and_no_text_leaves_the_figure() -> None:
    records = study({f"method_{n}": 0.3 + n / 100 for n in range(15)})
    made, axes = drawn(records)
    assert made.get_figwidth() == PAGE_WIDTH
    whole = made.bbox
    for text in axes.texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, text.get_text()
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, text.get_text()


def test_one_method_or_one_shared_block_is_no_diagram() -> None:
    with pytest.raises(NothingToShow, match="at least two methods"):
        drawn(study({"ks": 0.5}))
    with pytest.raises(NothingToShow, match="two blocks"):
        drawn([record("ks", 0.1), record("tcl", 0.1), record("tcl", 0.5)])


def test_a_person_draws_ranks_of_a_few_ratios(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    write_records(person.results, small_study())
    answer = person.asks("plot ranks --format svg")
    assert answer.code == 0, answer.err
    (path,) = answer.out.splitlines()
    assert "<svg" in (person.results / "plots" / path.rpartition("/")[2]).read_text()
    assert "synthetic, sparse, quick: ranks need" in person.asks("plot ranks --methods ks").error
