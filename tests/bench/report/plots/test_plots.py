"""Figures: what is drawn is what the records hold, named, and readable at a column's width."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from bench.data.label_budget import LabelBudget
from bench.report.model import NothingToShow, ReportError
from bench.report.plots.curves import curves, pseudo_labels
from bench.report.plots.kinds import figures
from bench.report.plots.sampling import measured_kept, sampling_figure
from bench.report.plots.sampling import sampling_figures as by_preset
from bench.report.plots.style import COLOURS, WIDTH, save
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import record, unfinished
from tests.helpers.results_folders import write_records

RATIOS = (0.01, 0.1, 1.0)
METHODS = ("supervised", "ks", "fixmatch", "tcl", "pseudo_label")


def grid(methods=METHODS, **changes):
    return [
        record(method, ratio, fold=fold, f1=0.4 + 0.05 * m + 0.02 * r + 0.01 * fold, **changes)
        for (m, method), (r, ratio), fold in itertools.product(
            enumerate(methods), enumerate(RATIOS), (0, 1)
        )
    ]


def kept(rules=("sparse", "contiguous", "random")):
    return [
        LabelBudget(
            rule=rule,
            ratio=ratio,
            seed=seed,
            keys=5,
            share=ratio,
            combinations=c + seed,
            of_combinations=100,
            held_f1=c / 100,
        )
        for r, rule in enumerate(rules)
        for ratio, c in zip(RATIOS, (10, 40 + 20 * r, 100), strict=True)
        for seed in (0, -2)
    ]


def drawn(figure, panel=0):
    """Draw it and return the marked lines of a panel, by colour: heights by rank of the ratio."""
    FigureCanvasAgg(figure).draw()
    lines = [line for line in figure.axes[panel].lines if line.get_marker() not in ("", "None")]
    return {line.get_color(): np.round(line.get_ydata(), 6).tolist() for line in lines}


def texts(figure, panel=0):
    return {text.get_text(): text for text in figure.axes[panel].texts}


def test_curves_draw_every_methods_mean_f1_and_name_it() -> None:
    figure = curves(grid())
    lines = drawn(figure)
    assert set(texts(figure)) == set(METHODS)
    for m, method in enumerate(METHODS):
        colour = texts(figure)[method].get_color()
        expected = [100 * (0.4 + 0.05 * m + 0.02 * r + 0.005) for r in range(3)]
        np.testing.assert_allclose(lines[colour], expected, atol=1e-6)
    assert texts(figure)["supervised"].get_color() == "#000000"


def test_no_two_names_overlap_and_none_leaves_the_paper() -> None:
    records = [record(method, 0.1, f1=0.5) for method in METHODS]
    records += [record(method, 0.01, f1=0.49) for method in METHODS]
    figure = curves(records)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not (one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1)
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)
    assert figure.get_figwidth() == WIDTH


def test_the_title_tells_dataset_rule_preset_and_selection() -> None:
    title = curves(grid()).get_suptitle()
    assert "synthetic, rule sparse, preset quick, selection: last step" in title


def test_ticks_are_the_ratios_and_their_numbers_do_not_overlap() -> None:
    ratios = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    figure = curves([record("ks", ratio) for ratio in ratios])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    labels = figure.axes[0].get_xticklabels()
    assert {"1", "10", "100"} <= {label.get_text() for label in labels}
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_one_ratio_alone_is_drawn_as_points() -> None:
    assert all(len(line) == 1 for line in drawn(curves([record("ks"), record("tcl")])).values())


def test_the_ceiling_at_one_ratio_is_seen_too() -> None:
    (axes,) = curves([record("supervised", f1=0.5), record("ceiling", f1=0.7)]).axes
    marked = [line for line in axes.lines if line.get_marker() not in ("", "None")]
    assert [list(line.get_ydata()) for line in marked] == [[50], [70]]


def test_what_failed_is_no_point_and_without_any_there_is_no_figure() -> None:
    broken = unfinished("failed", "out of memory", method="tcl", ratio=0.1)
    assert "tcl" not in texts(curves([*grid(("ks",)), broken]))
    with pytest.raises(NothingToShow):
        curves([broken])


def test_pseudo_labels_draw_the_audit() -> None:
    records = [
        record(m, r, audit={"overall_accuracy": a, "overall_used": u})
        for m, r, a, u in (("ks", 0.1, 0.75, 0.5), ("tcl", 0.1, 0.9, 0.25), ("ks", 0.01, 0.7, 1.0))
    ]
    figure = pseudo_labels([*records, record("supervised", 0.1)])
    right, used = drawn(figure, 0), drawn(figure, 1)
    assert set(texts(figure)) == {"ks", "tcl"}
    colour = texts(figure)["ks"].get_color()
    assert (right[colour], used[colour]) == ([70, 75], [100, 50])
    with pytest.raises(NothingToShow, match="no record has pseudo labels"):
        pseudo_labels(grid(("supervised",)))


def test_a_method_looks_the_same_in_both_panels_of_pseudo_labels() -> None:
    none = {"overall_accuracy": None, "overall_used": 0.0}
    some = {"overall_accuracy": 0.7, "overall_majority_accuracy": 0.8, "overall_used": 1.0}
    figure = pseudo_labels([record("fixmatch", audit=none), record("pseudo_label", audit=some)])
    above, below = texts(figure, 0), texts(figure, 1)
    assert (set(above), set(below)) == ({"pseudo_label"}, {"fixmatch", "pseudo_label"})
    colour = above["pseudo_label"].get_color()
    assert below["pseudo_label"].get_color() == colour != below["fixmatch"].get_color()
    right, constant = figure.axes[0].lines
    used = next(line for line in figure.axes[1].lines if line.get_color() == colour)
    assert (right.get_marker(), constant.get_color()) == (used.get_marker(), colour)


def test_sampling_draws_means_over_seeds_of_what_each_rule_keeps() -> None:
    figure = sampling_figure("toy", kept())
    lines = drawn(figure, 0)
    keys = {line.get_label(): line.get_color() for line in figure.legends[0].get_lines()}
    assert lines[keys["random"]] == [9, 79, 99]
    assert "toy" in figure.axes[0].get_title(loc="left")
    dashed = [line for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    assert [round(line.get_ydata()[1]) for line in dashed] == [40, 60, 80]
    assert "solid" not in figure.axes[1].get_title(loc="left")


def test_sampling_names_rules_where_no_line_is_and_titles_whole() -> None:
    figure = sampling_figure("affwild2_au", kept())
    FigureCanvasAgg(figure).draw()
    names = {text.get_text(): text.get_window_extent() for text in figure.legends[0].get_texts()}
    assert set(names) == {"sparse", "contiguous", "random"}
    panels = [axes.get_window_extent() for axes in figure.axes]
    assert not [name for name, box in names.items() if any(box.overlaps(p) for p in panels)]
    whole = [axes.get_tightbbox() for axes in figure.axes]  # with its title
    assert all(panel.x1 <= figure.bbox.x1 for panel in whole)


def test_measured_f1_is_a_share_of_the_f1_with_all_labels() -> None:
    records = [record("supervised", 1.0, f1=0.8), record("supervised", 0.1, f1=0.4)]
    records += [record("supervised", 0.1, f1=0.2, rule="random"), record("ks", 0.1, f1=0.7)]
    assert measured_kept(records) == {"sparse": {0.1: 50, 1.0: 100}, "random": {0.1: 25}}
    assert measured_kept(records[1:]) == {}
    figure = sampling_figure("toy", kept(), records)
    assert drawn(figure, 1) == {COLOURS[0]: [50, 100], COLOURS[2]: [25]}
    assert "solid: supervised" in figure.axes[1].get_title(loc="left")


def test_figures_come_one_a_setting_with_a_name_each() -> None:
    records = [*grid(("ks",)), *grid(("ks",), preset="smoke"), *grid(("ks",), dataset="bp4d")]
    names = [name for name, _ in figures("curves", records)]
    assert names == [
        "curves-bp4d-sparse-quick-da7abp",
        "curves-synthetic-sparse-quick-da7asy",
        "curves-synthetic-sparse-smoke-da7asy",
    ]
    with pytest.raises(NothingToShow, match="there are no records"):
        list(figures("curves", []))
    with pytest.raises(NothingToShow, match="bp4d, sparse, quick: no record has pseudo labels"):
        list(figures("pseudo-labels", grid(("ks",), dataset="bp4d")))


def test_sampling_without_records_of_the_dataset_is_of_labels_alone() -> None:
    others = grid(("supervised",), dataset="bp4d")
    assert [name for name, _ in by_preset("synthetic", kept(), others)] == ["sampling-synthetic"]
    own = grid(("supervised",))
    names = [name for name, _ in by_preset("synthetic", kept(), own)]
    assert names == ["sampling-synthetic-quick-da7asy"]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_figure_is_saved_the_same_each_time(tmp_path, kind) -> None:
    first, second = tmp_path / f"a.{kind}", tmp_path / "new" / f"b.{kind}"
    save(curves(grid()), first)
    save(curves(grid()), second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 5000


def test_a_figure_that_cannot_be_saved_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ReportError, match=r"ends in one of \.png, \.pdf, \.svg"):
        save(curves(grid()), tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot write"):
        save(curves(grid()), tmp_path / "file" / "a.png")


def test_the_command_prints_the_names_of_what_it_drew(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    few = "--set synthetic.subjects=3 --set synthetic.tasks=T1 --ratios 0.1,1 --seeds 0"
    answer = person.asks(f"plot sampling {few}")
    assert (answer.code, answer.err) == (0, "")
    path = person.results / "plots" / "sampling-synthetic.png"
    assert answer.out == f"{path}\n"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "there are no records" in person.asks("plot curves").error
    assert "did you mean sampling" in person.asks("plot samplings").error
    assert "did you mean png" in person.asks("plot curves --format pnh").error
    for option, kind in (
        ("--seeds 0", "sampling"),
        ("--au 1", "timeline"),
        ("--faces", "timeline"),
    ):
        said = f"{option.split()[0]} is of `plot {kind}`: leave it out of `plot curves`"
        assert said in person.asks(f"plot curves {option}").error


def test_the_command_draws_the_datasets_asked_for_alone(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    write_records(person.results, [*grid(("ks",)), *grid(("ks",), dataset="disfa")])
    answer = person.asks("plot curves --dataset disfa")
    assert answer.out.split("/")[-1] == "curves-disfa-sparse-quick-da7adi.png\n"
    assert len(list((person.results / "plots").iterdir())) == 1
    for wrong in ("--dataset bp4d --ratios 0.1", "--methods tcl"):
        told = [person.asks(f"{command} {wrong}").error for command in ("plot curves", "table ssl")]
        assert told[0] == told[1]
        assert told[0].startswith("no record in ")
