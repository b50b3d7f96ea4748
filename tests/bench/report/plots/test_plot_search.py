"""The figure of a search: a line a method and fold, named where no line is."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bench.report.plots.search import search_figure
from bench.results.searches import SearchRecord, Trial

VALUES = {"supervised": (0.4, 0.5, 0.45), "fixmatch": (None, 0.55, 0.6), "ceiling": (0.7, 0.7, 0.8)}


def searched() -> SearchRecord:
    """Three methods in two folds; the control's trials are the shortest."""
    trials = {
        method: {
            str(fold): [
                Trial(number=n, knobs={}, value=value, seconds=each, cells=[], device="cpu")
                for n, value in enumerate(values)
            ]
            for fold in (0, 1)
        }
        for (method, values), each in zip(VALUES.items(), (1.0, 5.0, 2.0), strict=True)
    }
    question = {"val_subjects": 2, "dataset": "synthetic", "rule": "sparse", "preset": "quick"}
    return SearchRecord(name="s", command="", question=question, searched={}, trials=trials)


def test_lines_are_the_best_so_far_over_trials_and_seconds() -> None:
    made = search_figure(searched())
    for axes, steps in zip(made.axes, ([2, 3], [10, 15]), strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
        assert [list(line.get_xdata()) for line in lines] == [steps, steps]
        np.testing.assert_allclose([line.get_ydata() for line in lines], [[55, 60], [55, 60]])


def test_methods_are_named_once_below_and_nothing_runs_across_the_lines() -> None:
    made = search_figure(searched())
    FigureCanvasAgg(made).draw()
    (legend,) = made.legends
    assert [text.get_text() for text in legend.get_texts()] == list(VALUES)
    control, _, ceiling = legend.get_lines()
    assert control.get_color() == ceiling.get_color() == "#000000"
    assert (control.get_linestyle(), ceiling.get_linestyle()) == ("-", "--")
    panels = [axes.get_window_extent() for axes in made.axes]
    assert not any(legend.get_window_extent().overlaps(panel) for panel in panels)
    assert [axes.texts[:] for axes in made.axes] == [[], []]
