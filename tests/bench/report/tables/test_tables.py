"""Tables of fabricated records: what a cell averages, what is never mixed, what stays visible."""

from __future__ import annotations

import dataclasses
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.report.metric import Scoring, find_metric
from bench.report.model import Entry, NothingToShow, ReportError, Table
from bench.report.notes import TRAININGS_ELSEWHERE
from bench.report.tables.ablation import ablation_table
from bench.report.tables.complexity import complexity_table
from bench.report.tables.entry_text import format_entry
from bench.report.tables.kinds import tables
from bench.report.tables.ranks import ranks_table
from bench.report.tables.scores import per_au_table, ssl_table, supervised_table
from bench.results.records import Record, read_records
from tests.helpers.fake_records import counted, record, sampled, unfinished


def row(table: Table, label: str, source: str = "measured") -> dict[str, Entry]:
    """The cells of the one row with this label and source, by column."""
    (found,) = [item for item in table.rows if (item.label, item.source) == (label, source)]
    return dict(zip(table.columns, found.entries, strict=True))


def labels(table: Table) -> list[str]:
    return [item.heading for item in table.rows]


def note(table: Table, words: str) -> str:
    """The one note that holds these words."""
    (found,) = [item for item in table.notes if words in item]
    return found


def variant(item: Record, **config: object) -> Record:
    """The same run under another config."""
    name = "-".join(f"{key}{value}" for key, value in config.items())
    hashes = {**item.hashes, "config": name}
    changed = {**item.config, "method": {"alpha": 0.5, **config}}
    return dataclasses.replace(item, id=f"{item.id}-{name}", config=changed, hashes=hashes)


# What a cell is ------------------------------------------------------------------------------


def test_an_entry_is_the_mean_over_folds_then_seeds_with_its_spread() -> None:
    runs = [record(fold=0, seed=0, f1=0.40), record(fold=1, seed=0, f1=0.50)]
    runs += [record(fold=0, seed=1, f1=0.60), record(fold=1, seed=1, f1=0.54)]
    cell = row(ssl_table(runs), "ks")["10 %"]
    assert cell.value == pytest.approx((45 + 57) / 2)
    assert cell.spread == pytest.approx(statistics.stdev([40, 50, 60, 54]))
    assert (cell.n, cell.state) == (4, "done")


def test_seeds_weigh_the_same_even_if_one_has_fewer_folds() -> None:
    runs = [record(fold=0, seed=0, f1=0.2), record(fold=1, seed=0, f1=0.4), record(seed=1, f1=0.9)]
    assert row(ssl_table(runs), "ks")["10 %"].value == pytest.approx(60)


def test_one_run_has_no_spread() -> None:
    cell = row(ssl_table([record(f1=0.44)]), "ks")["10 %"]
    assert (cell.spread, format_entry(cell)) == (None, "44.0 (1)")


def test_columns_are_the_ratios_in_rising_order() -> None:
    runs = [record(ratio=ratio) for ratio in (1.0, 0.02, 0.15, 0.005)]
    assert ssl_table(runs).columns == ("0.5 %", "2 %", "15 %", "100 %")


def test_the_interval_comes_from_subjects_and_only_when_asked_for() -> None:
    runs = [record(fold=0, f1=0.4), record(fold=1, f1=0.6)]
    assert row(ssl_table(runs), "ks")["10 %"].interval is None
    table = ssl_table(runs, intervals=True)
    assert row(table, "ks")["10 %"].interval == pytest.approx((50, 50))
    assert note(table, "95 % interval, for other test subjects")


def test_what_is_no_part_of_a_cell_tells_no_rows_apart() -> None:
    kept = record("ks", fold=0, config={"train": {"lr": 0.01, "keep_weights": "true"}})
    plain = record("ks", fold=1, config={"train": {"lr": 0.01, "keep_weights": "false"}})
    other = variant(plain, alpha=0.9)
    other = dataclasses.replace(other, config={**other.config, "train": plain.config["train"]})
    kept = dataclasses.replace(kept, config={**kept.config, "method": {"alpha": 0.5}})
    plain = dataclasses.replace(plain, config={**plain.config, "method": {"alpha": 0.5}})
    table = ssl_table([kept, plain, other])
    assert [label for label in labels(table) if "ks" in label] == [
        "ks (alpha=0.5)",
        "ks (alpha=0.9)",
    ]
    assert not [text for text in table.notes if "keep_weights" in text]


def test_where_all_are_equal_none_is_best() -> None:
    f1s = {"ks": [0.0, 0.5], "fixmatch": [0.0, 0.4], "supervised": [0.0, 0.3]}
    runs = [record(method, f1=values) for method, values in f1s.items()]
    table = per_au_table(runs)
    best = row(table, "ks")
    assert [best[column].place for column in table.columns[:2]] == [None, 1]


# What stays visible ---------------------------------------------------------------------------


def test_the_control_comes_first_and_shows_a_gap_where_it_was_not_run() -> None:
    table = ssl_table([record("ks"), record("fixmatch")])
    assert labels(table)[:3] == ["supervised", "fixmatch", "ks"]
    assert row(table, "supervised")["10 %"].state == "missing"
    assert note(table, "– not run")


def test_trivial_baselines_are_always_there_and_called_baselines() -> None:
    runs = [record(fold=0), record(fold=1, baselines={"always_positive": [0.5, 0.5]})]
    table = ssl_table(runs)
    assert labels(table)[-2:] == ["always positive (baseline)", "training prior (baseline)"]
    always = row(table, "always positive", "baseline")["10 %"]
    assert always.value == pytest.approx((40 + 50) / 2)
    assert always.n == 2
    assert row(table, "training prior", "baseline")["10 %"].state == "partial"


def test_baselines_count_a_fold_once_however_many_methods_ran() -> None:
    runs = [record(method, fold=fold) for method in ("ks", "tcl") for fold in (0, 1)]
    assert row(ssl_table(runs), "always positive", "baseline")["10 %"].n == 2


def test_failed_skipped_and_missing_cells_read_differently_and_say_why() -> None:
    runs = [record("ks", ratio) for ratio in (0.01, 0.02, 0.05)]
    runs += [record("tcl", 0.01)]
    runs += [unfinished("failed", "the loss is not finite at step 3", method="tcl", ratio=0.02)]
    runs += [unfinished("skipped", "no landmarks", method="tcl", ratio=0.05)]
    runs += [record("eac", 0.05)]
    table = ssl_table(runs)
    assert [format_entry(cell) for cell in row(table, "tcl").values()] == [
        "50.0 (1)",
        "failed",
        "skipped",
    ]
    assert [format_entry(cell) for cell in row(table, "eac").values()] == ["–", "–", "50.0 (1)"]
    assert note(table, "tcl at 2 %, fold 0, seed 0: the loss is not finite at step 3")
    assert note(table, "skipped: tcl at 5 %")


def test_equal_reasons_are_told_once_with_their_number() -> None:
    runs = [record()] + [unfinished("failed", "boom", fold=fold) for fold in (1, 2)]
    assert note(ssl_table(runs), "boom") == "failed: ks at 10 %, fold 1, seed 0 and 1 more: boom"


def test_an_entry_with_fewer_runs_than_its_column_is_partial() -> None:
    runs = [record("supervised", fold=fold) for fold in range(3)]
    runs += [record("ks", fold=0, f1=0.6), unfinished("failed", "boom", method="ks", fold=1)]
    table = ssl_table(runs)
    cell = row(table, "ks")["10 %"]
    assert (cell.state, cell.n) == ("partial", 1)
    assert format_entry(cell) == "60.0 (1) †"
    assert row(table, "supervised")["10 %"].state == "done"
    assert note(table, "† partial")


def test_a_run_that_failed_and_later_finished_counts_as_finished() -> None:
    failed = unfinished("failed", "boom", method="ks")
    runs = [failed, record("ks", id="again", f1=0.6)]
    assert format_entry(row(ssl_table(runs), "ks")["10 %"]) == "60.0 (1)"


def test_a_table_of_failures_alone_is_still_a_table() -> None:
    table = per_au_table([unfinished("failed", "boom", method="ks")])
    assert table.columns == ("mean",)
    assert format_entry(row(table, "ks")["mean"]) == "failed"


def test_the_title_names_dataset_rule_preset_selection_and_metric() -> None:
    title = ssl_table([record(dataset="bp4d", rule="random", preset="paper")]).title
    for words in ("Mean F1 (%)", "bp4d", "rule random", "preset paper", "last step"):
        assert words in title


def test_a_peek_at_the_test_fold_is_named_in_the_title() -> None:
    both = {"last": counted([0.5, 0.5]), "test-peek": counted([0.7, 0.7])}
    table = ssl_table([record(scores=both)], select="test-peek")
    assert "test-peek (literature mode" in table.title
    assert row(table, "ks")["10 %"].value == pytest.approx(70)
    assert row(ssl_table([record(scores=both)]), "ks")["10 %"].value == pytest.approx(50)


def test_a_run_without_the_selection_asked_for_is_a_gap() -> None:
    both = {"last": counted([0.5, 0.5]), "val": counted([0.6, 0.6])}
    table = ssl_table([record("ks", scores=both), record("tcl")], select="val")
    assert row(table, "tcl")["10 %"].state == "missing"


def uncoded(method: str, fold: int, f1: float, missing: int | None = 1, **more: Any) -> Record:
    """A run of two AUs, of which one (by its place) is coded on no test frame."""
    whole = record(method, fold=fold, f1=f1, **more)
    if missing is None:
        return whole
    scores = whole.scores["last"]
    counts = {
        name: [[0 if place == missing else n for place, n in enumerate(row)] for row in table]
        for name, table in scores.counts.items()
    }
    values = [None if place == missing else f1 for place in range(2)]
    baselines = {
        name: [None if place == missing else value for place, value in enumerate(per_au)]
        for name, per_au in whole.baselines.items()
    }
    last = dataclasses.replace(scores, f1=values, counts=counts)
    return dataclasses.replace(whole, scores={"last": last}, baselines=baselines)


def test_an_au_that_nobody_coded_is_a_gap_with_a_note_and_in_no_mean() -> None:
    runs = [uncoded("supervised", 0, 0.6), uncoded("ks", 0, 0.4)]
    table = per_au_table(runs, intervals=True)
    assert [format_entry(cell) for cell in row(table, "ks").values()] == [
        "40.0",
        "uncoded",
        "40.0 (1) [40.0, 40.0] over 1 of 2 AUs",
    ]
    always = row(table, "always positive", "baseline")
    assert [format_entry(cell) for cell in always.values()] == [
        "30.0",
        "uncoded",
        "30.0 (1) over 1 of 2 AUs",
    ]
    assert note(table, "AU12 in fold 0") == (
        "no F1 where no test frame is coded (means are over the other AUs): AU12 in fold 0"
    )
    assert note(table, "uncoded: no test frame")
    change = row(ranks_table(runs), "ks")["over supervised"]
    assert change.value == pytest.approx(-20)
    assert note(ranks_table(runs), "AU12 in fold 0")


def test_an_au_coded_in_some_folds_has_the_mean_of_those() -> None:
    runs = [uncoded("ks", 0, 0.4), uncoded("ks", 1, 0.6, None), uncoded("ks", 2, 0.5, 0)]
    table = per_au_table(runs)
    au1, au12, mean = row(table, "ks").values()
    assert (au1.value, au12.value) == (pytest.approx(50), pytest.approx(55))
    assert (au1.state, au12.state) == ("done", "done")
    assert format_entry(mean) == "50.0 ± 10.0 (3) over 1 to 2 of 2 AUs"
    assert note(table, "no F1 where").endswith(": AU1 in fold 2; AU12 in fold 0")
    prior = row(table, "training prior", "baseline")
    assert prior["AU12"].value == pytest.approx(30)
    assert prior["mean"].value == pytest.approx((20 + 25 + 30) / 3)


def test_a_run_that_failed_says_nothing_of_the_aus_of_its_fold() -> None:
    runs = [uncoded("ks", 0, 0.4), uncoded("ks", 1, 0.6, None)]
    runs += [unfinished("failed", "boom", method="tcl", fold=0), uncoded("eac", 0, 0.5)]
    runs += [unfinished("failed", "boom", method="eac", fold=1)]
    table = per_au_table(runs)
    assert [format_entry(cell) for cell in row(table, "tcl").values()] == ["failed"] * 3
    assert row(table, "eac")["mean"].aus == "1 of 2"
    assert format_entry(row(table, "eac")["AU12"]) == "failed"
    assert not any("no F1 where" in text for text in complexity_table(runs).notes)


def test_rows_of_other_folds_are_over_other_aus_and_say_so() -> None:
    runs = [uncoded("ks", 0, 0.4), uncoded("ks", 1, 0.6, None), uncoded("tcl", 1, 0.5, None)]
    table = ssl_table(runs)
    assert row(table, "ks")["10 %"].aus == "1 to 2 of 2"
    assert row(table, "tcl")["10 %"].aus == ""


def test_the_share_that_masks_hold_stands_beside_the_ratio() -> None:
    frames = {"train": 9000, "validation": 1000, "test": 5000, "labelled": 125}
    runs = [record("ks", 0.01, frames=frames), record("ks", 0.01, fold=1, frames=frames)]
    assert ssl_table(runs).headings == ("1 % (1.25 %)",)
    assert note(ssl_table(runs), "in brackets")
    (per_au,) = tables("per-au", runs)
    assert per_au.title.startswith("F1 (%) by action unit at 1 % (1.25 %) labels")
    assert (per_au.context["ratio"], per_au.context["share"]) == ("0.01", "0.0125")
    assert not any("in brackets" in text for text in ssl_table([record("ks", 0.01)]).notes)


def test_folds_of_one_subject_have_an_interval_together_and_none_alone() -> None:
    def single(method: str, fold: int, f1: float) -> Record:
        whole = record(method, fold=fold, f1=f1)
        scores = whole.scores["last"]
        name = min(scores.counts)
        last = dataclasses.replace(scores, counts={name: scores.counts[name]})
        return dataclasses.replace(whole, scores={"last": last})

    runs = [
        single(m, f, 0.4 + 0.1 * f + 0.02 * m.count("t")) for m in ("ks", "tcl") for f in (0, 1)
    ]
    cell = row(ssl_table(runs, intervals=True), "ks")["10 %"]
    assert cell.interval is not None
    assert cell.interval[1] - cell.interval[0] > 50
    table = ssl_table(runs[::2], intervals=True)
    assert format_entry(row(table, "ks")["10 %"]) == "40.0 (1)"
    assert note(table, "no interval: fold 0 has one test subject")
    ranks = ranks_table(runs[::2], intervals=True)
    assert format_entry(row(ranks, "ks")["over tcl"]) == "-2.0 (1) ◦"
    assert note(ranks, "no interval: fold 0 has one test subject")


def test_a_note_tells_whether_trainings_are_in_the_intervals() -> None:
    def trained(*seeds: int) -> list[Record]:
        return [
            record(m, seed=s, f1=0.5 + 0.01 * s + 0.02 * m.count("t"))
            for m in ("ks", "tcl")
            for s in seeds
        ]

    for make in (lambda runs: ssl_table(runs, intervals=True), ranks_table):
        assert note(
            make(trained(0, 1, 2)), "are about other trainings too: every fold has three seeds"
        )
        assert note(make(trained(0, 1)), "are not about other trainings")
    mixed = [*trained(0, 1, 2), record("eac")]
    assert note(ssl_table(mixed, intervals=True), "too where every fold has three seeds")
    assert not any("trainings" in text for text in ssl_table(trained(0, 1)).notes)


def test_what_trainings_did_elsewhere_is_what_the_records_say() -> None:
    root = Path(__file__).parents[4] / "results" / "studies" / "synthetic-difficulty"
    records, _ = read_records(root)
    by_ratio = defaultdict(list)
    for item in records:
        if item.config["train"]["steps"] == 800:  # the preset's; the others have one seed
            by_ratio[item.cell["ratio"]].append(100 * item.scores["last"].mean_f1)
    spreads = sorted(statistics.stdev(values) for values in by_ratio.values())
    assert [len(values) for values in by_ratio.values()] == [3, 3]
    assert tuple(round(spread, 1) for spread in spreads) == TRAININGS_ELSEWHERE


# What is never mixed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        record("tcl", dataset="bp4d"),
        record("tcl", rule="random"),
        record("tcl", preset="paper"),
        record("tcl", hashes={"data": "other pixels", "mask": "m"}),
        record("tcl", hashes={"data": "da7asynthetic", "folds": "other folds", "mask": "m"}),
    ],
    ids=["dataset", "rule", "preset", "pixels", "folds"],
)
def test_settings_get_a_table_each(other: Record) -> None:
    with pytest.raises(ReportError, match="one table shows one"):
        ssl_table([record("ks"), other])
    first, second = tables("ssl", [record("ks"), other])
    assert {"ks", "tcl"} == {
        item.label for table in (first, second) for item in table.rows if item.source == "measured"
    } - {"supervised"}
    assert first.context != second.context


def test_masks_that_disagree_are_refused_naming_both_records() -> None:
    one = record("ks")
    two = record("tcl", hashes={**one.hashes, "mask": "another"})
    with pytest.raises(ReportError) as refusal:
        tables("ssl", [one, two])
    assert one.id in str(refusal.value)
    assert two.id in str(refusal.value)
    assert "label masks at ratio 0.1, fold 0, seed 0" in str(refusal.value)


def test_masks_may_differ_where_ratio_fold_or_seed_does() -> None:
    runs = [record(ratio=r, fold=f, seed=s) for r in (0.1, 0.2) for f in (0, 1) for s in (0, 1)]
    assert row(ssl_table(runs), "ks")["10 %"].n == 4


def test_two_configs_of_a_method_are_two_rows_named_by_what_differs() -> None:
    runs = [record("supervised"), record("ks", f1=0.5)]
    runs += [variant(record("ks", f1=0.6), alpha=0.9), variant(record("ks", 0.2), alpha=0.9)]
    table = ssl_table(runs)
    assert row(table, "ks (alpha=0.5)")["10 %"].value == pytest.approx(50)
    assert row(table, "ks (alpha=0.9)")["10 %"].value == pytest.approx(60)
    assert row(table, "ks (alpha=0.5)")["20 %"].state == "missing"


def test_two_versions_of_a_method_s_code_are_two_rows() -> None:
    old = record("ks", fold=0)
    old.hashes["code"] = "0123456789abcdef"
    new = record("ks", fold=1, hashes={**old.hashes, "code": "fedcba9876543210", "mask": "m1"})
    names = [item.label for item in ssl_table([old, new]).rows if item.source == "measured"]
    assert names == ["supervised", "ks (code=01234567)", "ks (code=fedcba98)"]


def test_a_failure_under_older_code_gives_way_to_the_run_that_finished() -> None:
    old = unfinished("failed", "boom", method="ks", fold=0, id="a")
    new = [record("ks", fold=f, id=f"n{f}") for f in (0, 1)]
    for item in new:
        item.hashes["code"] = "fixed"
    table = ssl_table([old, *new])
    assert row(table, "ks")["10 %"].n == 2
    assert not any("boom" in text for text in table.notes)


def test_a_failure_under_older_code_stays_visible_where_nothing_finished() -> None:
    old = unfinished("failed", "boom", method="ks", fold=1)
    new = record("ks", fold=0)
    new.hashes["code"] = "fixed"
    table = ssl_table([old, new])
    assert format_entry(row(table, "ks")["10 %"]) == "50.0 (1) †"
    assert note(table, "boom")


def test_a_failure_under_another_config_keeps_a_row_of_its_own() -> None:
    table = ssl_table([record("ks"), variant(unfinished("failed", "boom", method="ks"), alpha=0.9)])
    assert format_entry(row(table, "ks (alpha=0.9)")["10 %"]) == "failed"
    assert note(table, "boom").startswith("failed: ks (alpha=0.9) at 10 %")


def test_a_knob_that_is_no_part_of_the_identity_splits_nothing() -> None:
    one, two = record(fold=0), record(fold=1, config={"train": {"checkpoint_minutes": 1.0}})
    assert row(ssl_table([one, two]), "ks")["10 %"].n == 2


def test_a_run_skipped_before_it_had_a_config_joins_its_methods_row() -> None:
    early = unfinished("skipped", "no root", method="ks", fold=1, config={}, hashes={})
    (table,) = tables("ssl", [early, record("ks", fold=0)])
    assert row(table, "ks")["10 %"].state == "partial"
    assert note(table, "no root")


def test_the_same_run_twice_is_refused_by_name() -> None:
    with pytest.raises(ReportError, match="a1 and a2 are the same"):
        ssl_table([record(id="a1"), record(id="a2")])


def test_knobs_that_rows_do_not_share_are_told() -> None:
    other = record("tcl", config={"train": {"lr": 0.1}})
    text = note(ssl_table([record("ks"), other]), "train.lr")
    assert text == "not shared by all rows: train.lr = 0.01 (ks); 0.1 (tcl)"


def test_records_of_different_aus_are_refused() -> None:
    with pytest.raises(ReportError, match="different AUs"):
        ssl_table([record("ks"), record("tcl", aus=[1, 2])])


def test_a_record_with_too_few_scores_is_named() -> None:
    with pytest.raises(ReportError, match="broken has not one last F1"):
        ssl_table([record(id="broken", aus=[1, 2, 4])])


def test_a_record_without_its_place_in_the_grid_is_named() -> None:
    with pytest.raises(ReportError, match="record lost does not say its dataset"):
        tables("ssl", [dataclasses.replace(record(), id="lost", cell={"method": "ks"})])


# The other tables -----------------------------------------------------------------------------


def test_per_au_has_a_column_for_each_au_and_their_mean() -> None:
    runs = [record(f1=[0.2, 0.8], fold=0), record(f1=[0.4, 0.8], fold=1)]
    table = per_au_table(runs)
    assert table.columns == ("AU1", "AU12", "mean")
    assert [cell.value for cell in row(table, "ks").values()] == pytest.approx([30, 80, 55])
    always = row(table, "always positive", "baseline")
    assert [cell.value for cell in always.values()] == pytest.approx([30, 50, 40])


def test_per_au_shows_one_ratio_and_tables_gives_them_all() -> None:
    runs = [record(ratio=0.1), record(ratio=0.02)]
    with pytest.raises(ReportError, match="choose one label ratio"):
        per_au_table(runs)
    with pytest.raises(ReportError, match=r"no record has label ratio 0\.5; there are 0\.02, 0\.1"):
        per_au_table(runs, ratio=0.5)
    assert [table.context["ratio"] for table in tables("per-au", runs)] == ["0.02", "0.1"]


def test_supervised_shows_all_labels_only() -> None:
    table = supervised_table([record("supervised", 1.0, f1=0.6), record("supervised", 0.1)])
    assert row(table, "supervised")["mean F1"].value == pytest.approx(60)
    with pytest.raises(NothingToShow, match=r"--ratios 1\.0"):
        supervised_table([record(ratio=0.1)])


def test_complexity_keeps_devices_apart() -> None:
    fast = {"samples_per_second": 900.0, "frames_per_second": 4500.0}
    runs = [record(fold=0), record(fold=1, rates={"samples_per_second": 120.0})]
    runs += [record(fold=2, environment={"device": "NVIDIA H100"}, rates=fast)]
    table = complexity_table(runs)
    rows = [item.entries for item in table.rows if item.label == "ks"]
    assert [[format_entry(cell) for cell in cells[:4]] for cells in rows] == [
        ["NVIDIA H100", "2.80 (1)", "900.0 (1)", "4500.0 (1)"],
        ["cpu", "2.80 (2)", "110.0 ± 14.1 (2)", "500.0 (1)"],
    ]


def ablated(*, change: float) -> list[Record]:
    runs = []
    for fold in range(3):
        f1 = 0.60 + 0.02 * fold
        runs.append(record("ks", fold=fold, f1=f1, ratio=0.5))
        runs.append(record("ks:no_skd", fold=fold, f1=f1 + change, ratio=0.5))
    return runs


def test_ablation_gives_the_paired_change_to_the_full_method() -> None:
    table = ablation_table(ablated(change=-0.05))
    assert labels(table) == ["ks", "ks:no_skd"]
    change = row(table, "ks:no_skd")["change"]
    assert change.value == pytest.approx(-5)
    assert change.interval == pytest.approx((-5, -5))
    assert (change.n, change.tied) == (3, False)
    assert format_entry(change) == "-5.0 (3) [-5.0, -5.0]"


def test_an_ablation_without_effect_is_marked_as_tied() -> None:
    table = ablation_table(ablated(change=0.0))
    assert format_entry(row(table, "ks:no_skd")["change"]).endswith("≈")
    assert note(table, "≈ tied")


def test_an_ablation_pairs_only_what_both_finished_and_says_so() -> None:
    runs = [item for item in ablated(change=-0.05) if item.id != "synthetic-quick-ks-r0.5-f2-s0"]
    assert row(ablation_table(runs), "ks:no_skd")["change"].state == "partial"


def test_an_ablation_without_its_full_method_has_no_change() -> None:
    table = ablation_table([record("ks:no_skd", ratio=0.5)])
    assert [format_entry(cell) for cell in row(table, "ks").values()] == ["–", ""]
    assert row(table, "ks:no_skd")["change"].state == "missing"


def test_no_variants_is_one_clear_sentence() -> None:
    with pytest.raises(NothingToShow, match="--methods ks,ks:no_skd"):
        tables("ablation", [record("ks")])


def test_two_versions_of_the_full_method_leave_no_one_to_compare_with() -> None:
    runs = [*ablated(change=0.1), variant(record("ks", 0.5), alpha=0.9)]
    with pytest.raises(ReportError, match="more than one version"):
        ablation_table(runs)


def test_ranks_share_equal_places_and_use_the_runs_that_all_have() -> None:
    runs = [record("a", fold=f, f1=0.7) for f in range(3)]
    runs += [record("b", fold=f, f1=0.5) for f in range(3)]
    runs += [record("c", fold=f, f1=0.5) for f in range(2)]
    table = ranks_table(runs)
    ranks = {item.label: item.entries[0] for item in table.rows}
    assert {name: cell.value for name, cell in ranks.items()} == {"a": 1.0, "b": 2.5, "c": 2.5}
    assert {(cell.n, cell.state) for cell in ranks.values()} == {(2, "partial")}


def test_ranks_show_paired_differences_both_ways_and_mark_ties() -> None:
    runs = [record("a", fold=f, f1=0.7) for f in range(3)]
    runs += [record("b", fold=f, f1=0.5) for f in range(3)]
    runs += [record("c", fold=f, f1=0.5) for f in range(3)]
    table = ranks_table(runs)
    assert format_entry(row(table, "a")["over b"]) == "+20.0 (3)"
    assert format_entry(row(table, "b")["over a"]) == "-20.0 (3)"
    assert format_entry(row(table, "b")["over c"]).endswith("≈")
    assert format_entry(row(table, "a")["over a"]) == ""


def test_the_interval_of_a_difference_turns_with_it() -> None:
    runs = [record("a", fold=f, f1=0.7) for f in range(2)]
    runs += [record("b", fold=f, f1=0.5 + 0.1 * f) for f in range(2)]
    table = ranks_table(runs, intervals=True)
    assert format_entry(row(table, "a")["over b"]) == "+15.0 (2) [+15.0, +15.0]"
    assert format_entry(row(table, "b")["over a"]) == "-15.0 (2) [-15.0, -15.0]"


def test_p_values_are_corrected_for_the_number_of_pairs() -> None:
    runs = [record("a", fold=f, f1=0.7) for f in range(3)]
    runs += [record("b", fold=f, f1=0.6) for f in range(3)]
    alone = row(ranks_table(runs), "a")["over b"].p
    runs += [record("c", fold=f, f1=0.5) for f in range(3)]
    among_three = row(ranks_table(runs), "a")["over b"].p
    assert alone is not None
    assert among_three == pytest.approx(3 * alone)


def test_ranks_against_one_method_are_a_smaller_family() -> None:
    rng = np.random.default_rng(0)
    names = ["supervised", *(f"m{n:02d}" for n in range(15))]
    runs = []
    for place, name in enumerate(names):
        labels = (np.random.default_rng(1).random((240, 2)) < 0.4).astype(np.int8)
        right = rng.random(labels.shape) < 0.6 + 0.02 * place
        runs.append(sampled(labels, right, [f"F{n // 20:02d}" for n in range(240)], method=name))
    whole, family = ranks_table(runs), ranks_table(runs, against="supervised", intervals=True)
    assert family.columns == ("mean rank", "over supervised")
    assert format_entry(row(family, "supervised")["over supervised"]) == ""
    for name in names[1:]:
        one, other = row(family, name)["over supervised"], row(whole, name)["over supervised"]
        assert one.value == other.value
        assert one.p is not None
        assert other.p is not None
        assert one.p <= other.p
    best, all_pairs = (row(table, names[-1])["over supervised"] for table in (family, whole))
    assert not best.tied
    assert not all_pairs.tied  # 120 pairs, and no bound on how small a p-value can be


def test_the_method_to_compare_with_must_be_there_and_be_one() -> None:
    runs = [record("a", f1=0.7), record("b", f1=0.6)]
    with pytest.raises(NothingToShow, match=r"no finished run of 'supervised'.*are a, b"):
        tables("ranks", runs, against="supervised")
    with pytest.raises(ReportError, match="only `ranks` and `settings`"):
        tables("ssl", runs, against="a")
    runs.append(variant(record("a", f1=0.5), alpha=0.9))
    with pytest.raises(ReportError, match="more than one version"):
        ranks_table(runs, against="a")
    table = ranks_table(runs, against="a (alpha=0.9)")
    assert table.columns == ("mean rank", "over a (alpha=0.9)")
    assert format_entry(row(table, "a (alpha=0.5)")["over a (alpha=0.9)"]) == "+20.0 (1)"


def test_ranks_keep_a_method_visible_that_has_no_result() -> None:
    runs = [record("a", f1=0.7), record("b"), unfinished("failed", "boom", method="c")]
    table = ranks_table(runs)
    assert format_entry(row(table, "c")["mean rank"]) == "failed"
    assert note(table, "boom")


def test_ranks_need_two_methods() -> None:
    with pytest.raises(NothingToShow, match="two methods"):
        ranks_table([record("ks"), unfinished("failed", "boom", method="tcl")])


# The front door -------------------------------------------------------------------------------


def test_an_unknown_table_gets_the_closest_known_one() -> None:
    with pytest.raises(ReportError, match="did you mean per-au"):
        tables("perau", [record()])


def test_an_unknown_selection_rule_lists_the_known_ones() -> None:
    with pytest.raises(ReportError, match="last, val, test-peek"):
        tables("ssl", [record()], select="best")


def test_no_records_at_all_is_one_clear_sentence() -> None:
    with pytest.raises(NothingToShow, match="no records"):
        tables("ssl", [])


def test_no_scores_of_a_selection_rule_is_one_clear_sentence() -> None:
    with pytest.raises(NothingToShow, match="selected by 'val'"):
        tables("ssl", [record()], select="val")


def test_a_condition_without_rows_is_named_beside_those_that_have() -> None:
    runs = [record(ratio=1.0), record(ratio=0.1, dataset="bp4d")]
    (table,) = tables("supervised", runs)
    assert "synthetic" in table.title
    assert note(table, "not shown: bp4d, sparse, quick")


def test_tables_do_not_depend_on_the_order_of_records() -> None:
    runs = [record(m, r, f) for m in ("ks", "tcl") for r in (0.1, 0.2) for f in (0, 1)]
    runs.append(unfinished("failed", "boom", method="ks", ratio=0.1, fold=2))
    assert tables("ssl", runs) == tables("ssl", runs[::-1])


def test_variants_stand_in_ablations_alone_unless_asked_for() -> None:
    runs = [record(method) for method in ("supervised", "ks", "ks:no_skd")]
    (hidden,) = tables("ssl", runs)
    assert [row.label for row in hidden.rows[:3]] == ["supervised", "ks", "always positive"]
    assert hidden.notes[-1].startswith("variants left out: ks:no_skd (`--variants` shows")
    (shown,) = tables("ssl", runs, variants=True)
    assert "ks:no_skd" in [row.label for row in shown.rows]
    assert not any("left out" in note for note in shown.notes)
    (against,) = tables("ranks", runs, against="ks:no_skd")
    assert "over ks:no_skd" in against.columns
    (alone,) = tables("ssl", runs[2:])
    assert "ks:no_skd" in [row.label for row in alone.rows]


def test_signs_are_a_triangle_of_who_is_better() -> None:
    f1s = {"a": 0.6, "b": 0.5, "c": 0.5}
    runs = [record(m, fold=f, f1=f1) for m, f1 in f1s.items() for f in (0, 1)]
    (table,) = tables("ranks", runs, signs=True)
    assert table.columns == ("mean rank", "1", "2")
    assert {row.label: [entry.text for entry in row.entries[1:]] for row in table.rows} == {
        "1 a": ["", ""],
        "2 b": ["-", ""],
        "3 c": ["-", "≈"],
    }
    assert "highest mean: a; no other is tied with it" in table.notes
    (numbers,) = tables("ranks", runs[2:])
    assert "highest mean: b; tied with it: c" in numbers.notes


def test_ranks_by_ratio_are_a_table_each() -> None:
    runs = [record(m, r) for m in "ab" for r in (0.1, 1.0)] + [record("a", 0.5)]
    made = tables("ranks", runs, by_ratio=True)
    assert ["at 10 % labels" in made[0].title, "at 100 % labels" in made[1].title] == [True, True]
    assert all("at 50 % labels: ranks need" in " ".join(table.notes) for table in made)


def test_power_stands_under_every_comparison() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 2)) < 0.4).astype(np.int8)
    subjects = [f"F{n // 40:03d}" for n in range(400)]
    runs = [
        sampled(labels, rng.random(labels.shape) < 0.7, subjects, method=m)
        for m in ("supervised", "ks", "ks:no_skd")
    ]
    for kind in ("ranks", "ablation"):
        (table,) = tables(kind, runs)
        (note,) = [note for note in table.notes if note.startswith("power: a true difference of")]
        assert "in 80 of 100 studies" in note


@pytest.mark.parametrize(
    ("kind", "asked", "sentence"),
    [
        ("ssl", {"signs": True}, "only `table ranks` has --signs"),
        ("per-au", {"by_ratio": True}, "only `table ranks` has --by-ratio"),
        ("ranks", {"signs": True, "against": "ks"}, "--signs is of all pairs"),
        ("headroom", {"select": Scoring("last", find_metric("auc"))}, "has no auc: leave out"),
    ],
)
def test_options_that_a_table_does_not_have_are_refused(kind, asked, sentence) -> None:
    with pytest.raises(ReportError, match=sentence):
        tables(kind, [record("ks"), record("tcl")], **asked)
