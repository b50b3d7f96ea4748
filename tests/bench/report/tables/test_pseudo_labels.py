"""The table of pseudo labels: what a constant reaches beside, also from records that do not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.report.model import NothingToShow, Table
from bench.report.plots.kinds import pseudo_labels as figure_of
from bench.report.tables.entry_text import format_entry
from bench.report.tables.kinds import tables
from bench.report.tables.pseudo_labels import audit_figures
from bench.training.pseudo_label_audit import PseudoLabelAudit
from tests.helpers.fake_records import record
from tests.helpers.fakes import hidden

NEW = (
    "majority_accuracy",
    "balanced_accuracy",
    "overall_majority_accuracy",
    "mean_balanced_accuracy",
)


def audit(seed: int = 0, frames: int = 400, thinned: float = 0.3) -> dict[str, Any]:
    """What the runner writes of random pseudo labels for two AUs."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((frames, 2)) < (0.2, 0.6)).astype(np.int8)
    told = np.where(rng.random(truth.shape) < 0.7, truth, 1 - truth)
    used = rng.random((frames, 1)) >= thinned
    counts = PseudoLabelAudit(2, frames=400)
    counts.expect(0, hidden(truth))
    counts.take(torch.from_numpy(told), torch.from_numpy(np.repeat(used, 2, axis=1)))
    return counts.summary()


def earlier(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in NEW}


def texts(table: Table) -> dict[str, list[str]]:
    return {row.heading: [format_entry(entry) for entry in row.entries] for row in table.rows}


def test_what_an_earlier_record_does_not_say_follows_from_what_it_does() -> None:
    found = audit()
    implied = audit_figures(record(audit=earlier(found)))
    for key in NEW:
        assert implied[key] == pytest.approx(found[key]), key
    assert audit_figures(record(audit=found)) == found
    assert audit_figures(record()) == {}


def test_a_class_that_was_never_used_leaves_a_gap() -> None:
    truth, told = np.array([[0, 1], [0, 0], [0, 0]]), torch.tensor([[1, 1], [0, 0], [0, 1]])
    counts = PseudoLabelAudit(2, frames=400)
    counts.expect(0, hidden(truth.astype(np.int8)))
    counts.take(told, torch.ones(3, 2, dtype=torch.bool))
    implied = audit_figures(record(audit=earlier(counts.summary())))
    assert implied["balanced_accuracy"] == [None, pytest.approx(0.75)]
    assert implied["majority_accuracy"] == [1.0, pytest.approx(2 / 3)]


def test_an_overall_figure_that_equal_weights_do_not_give_is_not_guessed() -> None:
    found = {**earlier(audit()), "overall_accuracy": 0.123}
    assert audit_figures(record(audit=found))["overall_majority_accuracy"] is None
    (table,) = tables("pseudo-labels", [record("ks", audit=found)])
    assert texts(table)["ks: more frequent class"][-1] == "–"
    assert any("earlier version" in note for note in table.notes)


def test_the_table_shows_accuracy_beside_what_a_constant_reaches() -> None:
    found = audit()
    (table,) = tables("pseudo-labels", [record("ks", audit=found), record("supervised")])
    assert table.columns == ("AU1", "AU12", "all AUs")
    shown = texts(table)
    for row, per_au, overall in (
        ("ks: used", "used", "overall_used"),
        ("ks: right", "accuracy", "overall_accuracy"),
        ("ks: more frequent class", "majority_accuracy", "overall_majority_accuracy"),
        ("ks: balanced", "balanced_accuracy", "mean_balanced_accuracy"),
    ):
        values = [f"{100 * value:.1f}" for value in found[per_au]]
        assert shown[row] == [*values, f"{100 * found[overall]:.1f} (1)"], row
    assert len(shown) == 4
    assert not any("earlier version" in note for note in table.notes)


def test_the_papers_accuracies_stand_beside_at_ten_percent_of_bp4d() -> None:
    runs = [record("ks", ratio, dataset="bp4d", audit=audit()) for ratio in (0.1, 0.2)]
    ten, twenty = tables("pseudo-labels", runs, published=True)
    printed = {row.label: row.entries[-1].value for row in ten.rows if row.source == "paper"}
    assert printed == {"ppl: right": 76.35, "naive: right": 73.36}
    assert not any("paper" in heading for heading in texts(twenty))


def test_ratios_without_pseudo_labels_have_no_table() -> None:
    runs = [record("ks", 0.1, audit=audit()), record("ks", 1.0)]
    (table,) = tables("pseudo-labels", runs)
    assert table.context["ratio"] == "0.1"
    with pytest.raises(NothingToShow, match="no record has pseudo labels"):
        tables("pseudo-labels", runs[1:])


def test_the_figure_draws_what_a_constant_reaches_dashed() -> None:
    found = audit()
    drawn = figure_of([record("ks", audit=found)]).axes[0].lines
    (dashed,) = [line for line in drawn if line.get_linestyle() == "--"]
    assert list(dashed.get_ydata()) == [100 * found["overall_majority_accuracy"]]
