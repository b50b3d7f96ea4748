"""Metrics of records: equal to scikit-learn's, with intervals by leaving out; gaps told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from bench.report.metric import METRICS, Scoring, find_metric
from bench.report.model import NothingToShow, ReportError
from bench.report.statistics import mean_interval, paired_difference
from bench.report.tables.entry_text import format_entry
from bench.report.tables.ranks import ranks_table
from bench.report.tables.scores import per_au_table, ssl_table
from bench.results.predictions import NAME, StoredPredictions
from bench.results.records import Record
from tests.helpers.fake_records import drawn, record, stored


def scoring(name: str, results: Path | None = None, select: str = "last") -> Scoring:
    return Scoring(select, find_metric(name), results)


def held_out(found: StoredPredictions) -> StoredPredictions:
    other = drawn(9, people=2)
    return dataclasses.replace(
        found, validation_probabilities=other.probabilities, validation_labels=other.labels
    )


def reference(found: StoredPredictions, name: str, keep: np.ndarray | None = None) -> list[float]:
    """What scikit-learn says of each AU, from frames that are kept."""
    assert found.labels is not None
    assert found.rates is not None
    values = []
    for place, rate in enumerate(found.rates):
        truth, share = found.labels[:, place], found.probabilities[:, place]
        use = (truth != -1) if keep is None else (truth != -1) & keep
        truth, share = truth[use], share[use]
        values.append(
            {
                "f1": lambda t, p: sklearn.f1_score(t, p >= 0.5),
                "f1-prior": lambda t, p, r=rate: sklearn.f1_score(t, p >= r),
                "auc": sklearn.roc_auc_score,
                "ap": sklearn.average_precision_score,
                "balanced-accuracy": lambda t, p: sklearn.balanced_accuracy_score(t, p >= 0.5),
                "kappa": lambda t, p: sklearn.cohen_kappa_score(t, p >= 0.5),
                "brier": sklearn.brier_score_loss,
            }[name](truth, share)
        )
    return values


OF_SKLEARN = ("f1", "f1-prior", "auc", "ap", "balanced-accuracy", "kappa", "brier")


@pytest.mark.parametrize("name", OF_SKLEARN)
def test_a_metric_of_a_record_is_scikit_learns(tmp_path: Path, name: str) -> None:
    found = drawn()
    made = stored(tmp_path, found)
    values = scoring(name, tmp_path).per_au(made)
    assert values == pytest.approx(reference(found, name), abs=1e-6)
    table = ssl_table([made], select=scoring(name, tmp_path))
    assert table.rows[1].entries[0].value == pytest.approx(100 * np.mean(values))
    assert METRICS[name].heading in table.title


@pytest.mark.parametrize("name", ["auc", "ap", "balanced-accuracy", "kappa", "brier"])
def test_an_interval_of_a_difference_leaves_subjects_out(tmp_path: Path, name: str) -> None:
    one, two = drawn(1), dataclasses.replace(drawn(2), labels=drawn(1).labels)
    a, b = stored(tmp_path, one, method="a"), stored(tmp_path, two, method="b")

    def gap(keep: np.ndarray | None = None) -> float:
        return float(np.mean(reference(one, name, keep)) - np.mean(reference(two, name, keep)))

    left = [gap(one.subject != person) for person in np.unique(one.subject)]
    error = np.sqrt((len(left) - 1) ** 2 / len(left) * np.var(left, ddof=1))
    low, high = stats.t.interval(0.95, len(left) - 1, gap(), error)
    found = paired_difference([a], [b], scoring(name, tmp_path))
    assert found.mean == pytest.approx(gap(), abs=1e-6)
    assert found.interval == pytest.approx((low, high), abs=1e-5)
    assert found.error == pytest.approx(error, abs=1e-6)


def test_thresholds_from_validation_subjects_are_used_on_test_subjects(tmp_path: Path) -> None:
    found = held_out(drawn())
    made = stored(tmp_path, found)
    labels, shares = found.validation_labels, found.validation_probabilities
    assert labels is not None
    assert shares is not None
    assert found.labels is not None
    for place, value in enumerate(scoring("f1-val", tmp_path).per_au(made) or ()):
        use = labels[:, place] != -1
        tried = {
            at: sklearn.f1_score(labels[use, place], shares[use, place] >= at)
            for at in np.unique(shares[use, place])
        }
        best = [at for at, f1 in tried.items() if f1 == max(tried.values())]
        at = min(best, key=lambda each: abs(each - 0.5))
        test = found.labels[:, place] != -1
        predicted = found.probabilities[test, place] >= at
        assert value == pytest.approx(sklearn.f1_score(found.labels[test, place], predicted))


def test_an_au_without_a_positive_training_frame_is_never_predicted(tmp_path: Path) -> None:
    made = stored(tmp_path, dataclasses.replace(drawn(), rates=np.array([0.0, np.nan, 0.3])))
    values = scoring("f1-prior", tmp_path).per_au(made) or ()
    assert values[0] == 0
    assert values[1] == pytest.approx(reference(drawn(), "f1")[1])


def rated(found: StoredPredictions) -> StoredPredictions:
    """Give every frame an intensity that follows its label, and none for the last AU."""
    assert found.labels is not None
    levels = np.maximum(found.labels, 0) * 3 + np.arange(len(found.labels))[:, None] % 3
    return dataclasses.replace(
        found, intensities=np.where(np.arange(3) == 2, np.nan, levels).astype(np.float32)
    )


def test_icc_needs_intensities_and_leaves_subjects_out(tmp_path: Path) -> None:
    found = rated(drawn())
    made = stored(tmp_path, found)
    first, second, third = scoring("icc", tmp_path).per_au(made) or ()

    def reference_icc(place: int, keep: np.ndarray | None = None) -> float:
        use = found.labels[:, place] != -1
        use = use if keep is None else use & keep
        x = 5 * found.probabilities[use, place].astype(np.float64)
        y = found.intensities[use, place].astype(np.float64)
        return 2 * np.cov(x, y)[0, 1] / (np.var(x, ddof=1) + np.var(y, ddof=1))

    assert [first, second] == pytest.approx([reference_icc(0), reference_icc(1)])
    assert third is None
    fold = scoring("icc", tmp_path).fold(made)
    people = np.unique(found.subject)
    expected = [
        np.mean([reference_icc(place, found.subject != who) for place in (0, 1)]) for who in people
    ]
    assert fold.without_one == pytest.approx(expected)
    table = ssl_table([made], select=scoring("icc", tmp_path), intervals=True)
    assert "ICC(3,1)" in table.title
    values = {row.label: row.entries[0].value for row in table.rows}
    assert values["chance"] == 0
    assert values["ks"] == pytest.approx(100 * (first + second) / 2)


def test_without_intensities_a_sentence_says_which_data_give_them(tmp_path: Path) -> None:
    made = stored(tmp_path, drawn())
    with pytest.raises(NothingToShow, match="no intensities, for the dataset gave none"):
        ssl_table([made], select=scoring("icc", tmp_path))


def test_events_end_with_their_recording_and_at_gaps(tmp_path: Path) -> None:
    found = drawn(people=2, frames=8, aus=1)
    always = np.ones((16, 1), dtype=np.int8)
    frame = np.array([1, 2, 3, 4, 1, 2, 9, 10] * 2)
    shown = dataclasses.replace(
        found, labels=always, probabilities=always.astype(np.float32), frame=frame
    )
    made = stored(tmp_path, shown)
    counts = scoring("f1-event", tmp_path).outcomes(made)
    assert counts is not None
    assert counts[:, 0].tolist() == [6, 0, 0, 0]


# What is not stored ----------------------------------------------------------------------------


def test_counts_give_old_records_metrics_without_predictions() -> None:
    for name in ("balanced-accuracy", "kappa"):
        assert ssl_table([record()], select=scoring(name)).rows[1].entries[0].value is not None


def test_no_predictions_is_one_sentence_that_names_a_record(tmp_path: Path) -> None:
    with pytest.raises(NothingToShow) as error:
        ssl_table([record("ks"), record("tcl")], select=scoring("ap", tmp_path))
    assert "ap is not known of synthetic-quick-ks-r0.1-f0-s0 and 1 more" in str(error.value)
    assert "there is no predictions.npz beside its record: run them again" in str(error.value)


def test_runs_that_lack_what_others_hold_say_so_in_their_place(tmp_path: Path) -> None:
    one = stored(tmp_path, drawn(), method="ks")
    old = stored(tmp_path, dataclasses.replace(drawn(), rates=None), method="tcl")
    broken = stored(tmp_path, drawn(), method="eac")
    (tmp_path / "runs" / broken.id / NAME).write_bytes(b"no archive")
    table = ssl_table([one, old, broken], select=scoring("f1-prior", tmp_path))
    states = {row.label: row.entries[0].state for row in table.rows}
    assert (states["ks"], states["tcl"], states["eac"]) == ("done", "unstored", "unstored")
    notes = "\n".join(table.notes)
    assert f"f1-prior is not known of {old.id}: predictions.npz holds no training rates" in notes
    assert f"f1-prior is not known of {broken.id}" in notes
    assert "holds no readable predictions" in notes


def test_validation_thresholds_need_validation_subjects(tmp_path: Path) -> None:
    made = stored(tmp_path, drawn())
    with pytest.raises(NothingToShow, match=r"run with --set data\.val_subjects"):
        ssl_table([made], select=scoring("f1-val", tmp_path))


def test_predictions_are_of_the_last_step_only(tmp_path: Path) -> None:
    made = stored(tmp_path, drawn())
    both = dataclasses.replace(made, scores={**made.scores, "val": made.scores["last"]})
    with pytest.raises(NothingToShow, match="stored of the last step, not by --select val"):
        ssl_table([both], select=scoring("brier", tmp_path, "val"))
    assert ssl_table([both], select=scoring("auc", tmp_path, "val")).rows[1].entries[0].value


def test_predictions_of_other_aus_are_not_this_records(tmp_path: Path) -> None:
    made = stored(tmp_path, drawn())
    other = dataclasses.replace(made, aus=[1, 2, 9])
    with pytest.raises(NothingToShow, match="holds other AUs than the record"):
        ssl_table([other], select=scoring("ap", tmp_path))


def test_an_auc_without_predictions_has_no_interval_and_says_why(tmp_path: Path) -> None:
    made = stored(tmp_path, drawn())
    known = mean_interval([made], scoring("auc", tmp_path))
    unknown = mean_interval([made], scoring("auc"))
    assert known.interval
    assert unknown.mean == pytest.approx(known.mean)
    assert unknown.interval is None
    assert "there is no predictions.npz" in unknown.reason


def test_an_unknown_metric_gets_the_closest_known_one() -> None:
    with pytest.raises(ReportError, match="did you mean kappa"):
        find_metric("kapa")


# In tables -------------------------------------------------------------------------------------


def test_auc_stands_beside_f1_where_every_run_has_one(tmp_path: Path) -> None:
    made = stored(tmp_path, drawn())
    none = record("tcl", aus=[1, 2, 3], f1=[0.5, 0.5, 0.5])
    table = ssl_table([made, none], select=scoring("f1", tmp_path))
    rows = {row.label: row.entries[0] for row in table.rows}
    assert rows["ks"].beside == pytest.approx(100 * np.mean(reference(drawn(), "auc")))
    assert rows["tcl"].beside is None
    assert "/ AUC (%)" in table.title
    assert "AUC" not in ssl_table([none]).title


def test_per_au_says_how_often_a_method_says_present(tmp_path: Path) -> None:
    found = drawn()
    made = stored(tmp_path, found)
    rows = {row.label: row.entries for row in per_au_table([made]).rows}
    assert found.labels is not None
    coded = found.labels != -1
    said = ((found.probabilities >= 0.5) & coded).sum(axis=0)
    true = (found.labels == 1).sum(axis=0)
    shares = [entry.value for entry in rows["ks: predicted / true"]]
    assert shares == pytest.approx([*(said / true), said.sum() / true.sum()])
    ranked = per_au_table([made], select=scoring("ap", tmp_path))
    assert [row.label for row in ranked.rows] == ["supervised", "ks", "chance"]


def test_chance_is_what_a_blind_prediction_reaches(tmp_path: Path) -> None:
    found = drawn()
    made = stored(tmp_path, found)
    assert found.labels is not None
    rates = [(c == 1).sum() / (c != -1).sum() for c in found.labels.T]
    expected = {
        "auc": [0.5] * 3,
        "ap": rates,
        "balanced-accuracy": [0.5] * 3,
        "kappa": [0.0] * 3,
        "brier": [r * (1 - r) for r in rates],
    }
    for name, values in expected.items():
        rows = per_au_table([made], select=scoring(name, tmp_path)).rows
        assert rows[-1].heading == "chance (baseline)"
        shown = [entry.value for entry in rows[-1].entries[:-1]]
        assert shown == pytest.approx([100 * value for value in values])


def test_the_lowest_brier_score_ranks_first_and_is_bold(tmp_path: Path) -> None:
    found = drawn()
    assert found.labels is not None
    runs: list[Record] = []
    for name, weight in (("ks", 0.2), ("tcl", 0.9), ("eac", 0.5)):
        truth = np.maximum(found.labels, 0).astype(np.float32)
        shares = (weight * truth + (1 - weight) * 0.5).astype(np.float32)
        better = dataclasses.replace(found, probabilities=shares)
        runs.append(stored(tmp_path, better, method=name))
    ranked = ranks_table(runs, select=scoring("brier", tmp_path)).rows
    assert {row.label: row.entries[0].value for row in ranked} == {"tcl": 1, "eac": 2, "ks": 3}
    table = per_au_table(runs, select=scoring("brier", tmp_path))
    places = {row.label: {entry.place for entry in row.entries} for row in table.rows[:4]}
    assert (places["tcl"], places["eac"], places["ks"]) == ({1}, {2}, {None})


def test_auc_without_predictions_is_untested_and_no_tie(tmp_path: Path) -> None:
    kept = [stored(tmp_path, drawn(n, fold=n), method="a", fold=n) for n in (0, 1)]
    lost = [dataclasses.replace(each, id=f"{each.id}-b") for each in kept]
    lost = [dataclasses.replace(r, cell={**r.cell, "method": "b"}) for r in lost]
    table = ranks_table([*kept, *lost], select=scoring("auc", tmp_path))
    entry = table.rows[0].entries[-1]
    assert (entry.tied, entry.untested, entry.p) == (False, True, None)
    assert format_entry(entry).endswith("◦")
    assert any(note.startswith("◦ untested: the records do not hold") for note in table.notes)
    (best,) = [note for note in table.notes if note.startswith("highest mean: ")]
    assert "tied" not in best
    assert "untested against it: " in best
    signs = ranks_table([*kept, *lost], select=scoring("auc", tmp_path), signs=True)
    assert signs.rows[1].entries[1].text == "◦"
