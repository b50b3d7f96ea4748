"""The paper's numbers beside ours: where they belong, what was hard to read, never blended."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from bench.report.metric import Scoring, find_metric
from bench.report.model import ReportError, Row, Table
from bench.report.published import FOLDER, Published
from bench.report.tables.entry_text import format_entry
from bench.report.tables.joined import joined
from bench.report.tables.kinds import tables
from tests.helpers.fake_records import AUS, record


def paper(table: Table) -> dict[str, Row]:
    """The published rows by label."""
    return {row.label: row for row in table.rows if row.source == "paper"}


def printed(row: Row) -> list[str]:
    return [format_entry(cell) for cell in row.entries]


def one(kind: str, *records: object, **options: object) -> Table:
    (table,) = tables(kind, records, **options)  # type: ignore[arg-type]
    return table


def test_every_figure_of_table_1_is_read_once() -> None:
    with (FOLDER / "table1_ssl_f1.csv").open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) > 100
    for line in lines:
        cell = Published(line["dataset"]).ssl()[line["method"]][float(line["ratio"])]
        assert cell.value == (float(line["f1_percent"]) if line["f1_percent"] else None)
        assert cell.source == "paper"


def test_published_rows_stand_below_ours_with_their_own_labels() -> None:
    table = one("ssl", *(record("ks", r, dataset="bp4d") for r in (0.01, 0.03)), published=True)
    rows = paper(table)
    assert list(rows) == ["pseudo_label", "fixmatch", "tcl", "ks", "eac"]
    assert printed(rows["ks"]) == ["59.9", "–"]
    assert rows["ks"].heading == "ks (paper)"
    assert all(row.source == "paper" for row in table.rows[-5:])


def test_our_cells_are_the_same_with_and_without_the_paper() -> None:
    runs = [record("ks", 1.0, dataset="bp4d"), record("supervised", 1.0, dataset="bp4d")]
    for kind in ("ssl", "supervised", "per-au"):
        with_paper, without = (one(kind, *runs, published=wanted) for wanted in (True, False))
        assert not paper(without)
        assert paper(with_paper)
        ours = with_paper.rows[: len(without.rows)]
        bare = [replace(r, entries=tuple(replace(e, gap=None) for e in r.entries)) for r in ours]
        assert bare == list(without.rows)


def test_the_gap_to_the_paper_stands_beside_the_same_method_and_ratio() -> None:
    runs = [
        record(m, r, dataset="bp4d", f1=0.5) for m in ("ks", "supervised") for r in (0.01, 0.03)
    ]
    table = one("ssl", *runs, published=True)
    rows = {row.label: row.entries for row in table.rows if row.source == "measured"}
    assert rows["ks"][0].gap == pytest.approx(50.0 - 59.9)
    assert format_entry(rows["ks"][0]) == "50.0 (1) Δ-9.9"
    assert [entry.gap for entry in (rows["ks"][1], *rows["supervised"])] == [None] * 3
    assert any(note.startswith("Δ: measured minus") for note in table.notes)


def test_other_metrics_than_f1_have_no_published_numbers() -> None:
    kappa = Scoring("last", find_metric("kappa"))
    table = one("ssl", record("ks", 0.01, dataset="bp4d"), published=True, select=kappa)
    assert not paper(table)
    assert "published numbers left out: the paper prints F1, not kappa" in table.notes


def test_a_figure_hard_to_read_is_marked_an_unread_one_is_blank() -> None:
    table = one(
        "ssl",
        *(record("ks", r, dataset="mme", frames={"train": 94_000}) for r in (0.01, 0.02)),
        published=True,
    )
    assert printed(paper(table)["ks"]) == ["51.2 ?", ""]
    assert any(note.startswith("? hard to read") for note in table.notes)
    assert any(note.startswith("blank: could not be read") for note in table.notes)


def test_nothing_published_stands_beside_data_the_paper_does_not_know() -> None:
    for kind in ("ssl", "complexity"):
        table = one(kind, record("ks"), published=True)
        assert not paper(table)
        assert "no published numbers: the paper has none on synthetic" in table.notes


def test_nothing_published_stands_beside_other_frames_under_a_known_name() -> None:
    rendered = record("ks", dataset="bp4d", frames={"train": 12_000, "test": 5_000})
    table = one("ssl", rendered, published=True)
    assert not paper(table)
    (note,) = [note for note in table.notes if "published numbers left out" in note]
    assert "17000 frames" in note
    assert "140000" in note


def test_frames_near_the_published_count_are_the_paper_s_data() -> None:
    real = record(
        "ks", dataset="bp4d", frames={"train": 97_000, "validation": 1_000, "test": 48_847}
    )
    assert paper(one("ssl", real, published=True))


def test_supervised_methods_come_with_their_venue() -> None:
    rows = paper(
        one(
            "supervised",
            record("ks", 1.0, dataset="disfa", frames={"train": 130_815}),
            published=True,
        )
    )
    assert printed(rows["UGN"]) == ["AAAI 2021", "60.0"]
    assert printed(rows["ks"]) == ["", "62.8"]
    assert printed(rows["eac"]) == ["", "51.2"]


def test_the_paper_s_means_per_au_are_those_of_its_columns() -> None:
    aus = [1, 2, 4, 6, 9, 12, 25, 26]
    rows = {row.label: row for row in Published("disfa").per_au(1.0, aus)}
    mean = rows["UGN"].entries[-1].value
    assert mean == pytest.approx((43.3 + 48.1 + 63.4 + 49.5 + 48.2 + 72.9 + 90.8 + 59.0) / 8)
    assert printed(rows["UGN"])[-1] == "59.4"


def test_a_mean_over_other_aus_than_ours_is_not_shown() -> None:
    table = one("per-au", record("ks", 1.0, dataset="bp4d"), published=True)
    assert printed(paper(table)["ks"]) == ["55.3", "86.4", "–"]
    assert len(AUS) == 2


def test_a_ratio_without_published_aus_has_no_published_rows() -> None:
    table = one("per-au", record("ks", 0.02, dataset="bp4d"), published=True)
    assert not paper(table)
    assert not any("computed from its columns" in note for note in table.notes)


def ablation(ratio: float = 0.5, base: str = "ks") -> Table:
    runs = (record(name, ratio, dataset="bp4d") for name in (base, f"{base}:no_skd"))
    return one("ablation", *runs, published=True)


def test_published_ablations_stand_beside_the_variants_of_the_same_name() -> None:
    table = ablation()
    assert table.columns[-1] == "change in the paper"
    (variant,) = [row for row in table.rows if row.label == "ks:no_skd"]
    assert printed(variant)[-1] == "-1.3"
    assert printed(paper(table)["without S_a"]) == ["–", "–", "-1.3"]
    assert "without SKD" not in paper(table)


def test_published_ablations_belong_to_ks_at_half_of_the_labels() -> None:
    for table in (ablation(ratio=0.1), ablation(base="tcl")):
        assert table.columns == ("mean F1", "change")
        assert "published changes left out: the paper's are of ks at 50 % labels" in table.notes


def test_published_speed_is_marked_as_of_other_hardware() -> None:
    table = one("complexity", record("ks", dataset="bp4d"), published=True)
    assert printed(paper(table)["ks"]) == ["", "15.6", "156.3", "–", "–"]
    assert any("its own hardware" in note for note in table.notes)


def test_a_missing_file_of_published_numbers_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"table2_eac_vs_ks_f1\.csv.*restore the file"):
        Published("bp4d", folder=tmp_path).ssl()


# Without records --------------------------------------------------------------------------------


def test_without_records_the_papers_own_tables_are_printed() -> None:
    bp4d, disfa, mme = tables("ssl", [], published=True)
    (whole,) = joined([bp4d, disfa, mme])
    rows = {row.label: printed(row) for row in whole.rows}
    assert whole.columns[0] == "1 %"
    assert whole.columns[-1] == "100 %"
    assert rows["bp4d, ks"][0] == "59.9"
    assert rows["mme, ks"][:2] == ["51.2 ?", ""]
    assert rows["disfa, eac"][4] == "–"
    assert {row.source for row in whole.rows} == {"paper"}
    assert bp4d.context["dataset"] == "bp4d"


def test_every_number_of_the_papers_files_is_in_its_tables() -> None:
    shown = [
        entry.value
        for kind in ("ssl", "supervised", "per-au", "ablation", "complexity", "pseudo-labels")
        for table in tables(kind, [], published=True)
        for row in table.rows
        for entry in row.entries
        if entry.value is not None
    ]
    for path in FOLDER.glob("*.csv"):
        if path.name in ("coded_frames.csv", "data_structure.csv"):
            continue
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                for key, text in row.items():
                    number = key.startswith(("f1", "delta", "params", "samples", "accuracy"))
                    assert not (number and text) or float(text) in shown, (path.name, row)


def test_of_one_dataset_the_paper_has_one_table() -> None:
    (table,) = tables("ssl", [], published=True, dataset="disfa")
    assert table.context["dataset"] == "disfa"
    supervised, beside = tables("supervised", [], published=True, dataset="disfa")
    assert supervised.columns == ("venue", "disfa")
    assert [row.label for row in beside.rows] == ["eac, disfa", "ks, disfa"]


@pytest.mark.parametrize(
    ("kind", "dataset", "sentence"),
    [
        ("ranks", None, "the paper has no table ranks: it has ssl"),
        ("ssl", "synthetic", "the paper has no numbers on it: it has bp4d, disfa, mme"),
        ("ablation", "mme", "no ablation on this dataset"),
        ("pseudo-labels", "mme", "on bp4d only"),
    ],
)
def test_what_the_paper_does_not_have_is_said(kind, dataset, sentence) -> None:
    with pytest.raises(ReportError, match=sentence):
        tables(kind, [], published=True, dataset=dataset)


def test_datasets_stand_together_with_gaps_where_ratios_differ() -> None:
    runs = [record("ks", r, dataset=d) for d, r in (("bp4d", 0.1), ("bp4d", 1.0), ("mme", 0.02))]
    (table,) = joined(tables("ssl", runs))
    assert table.columns == ("2 %", "10 %", "100 %")
    rows = {row.label: [entry.state for entry in row.entries] for row in table.rows}
    assert rows["bp4d, ks"] == ["missing", "done", "done"]
    assert rows["mme, ks"] == ["done", "missing", "missing"]
    assert table.title.endswith("bp4d; mme, selected by last")


def test_equal_datasets_of_other_presets_are_named_by_them() -> None:
    runs = [record("ks", 0.1, preset=preset) for preset in ("quick", "paper")]
    (table,) = joined(tables("ssl", runs))
    names = {row.label for row in table.rows if row.label.endswith(", ks")}
    assert names == {"synthetic quick, ks", "synthetic paper, ks"}
