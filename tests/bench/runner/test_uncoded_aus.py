"""From labels with gaps to records and tables: AUs that a fold cannot be tested or trained on."""

from __future__ import annotations

import pytest

from bench.report.tables.entry_text import format_entry
from bench.report.tables.kinds import tables
from bench.results.records import Record, read_record
from tests.helpers import cells
from tests.helpers.manifest_tree import AUS, make

LABELS = {"P0": ("{}", "", "0"), "P1": ("{}", "", "0"), "P2": ("{}", "{}", "{}"), "P3": ("{}",) * 3}
"""Of the three AUs, by subject; `{}` changes from frame to frame."""

UNTAUGHT = "on no labelled training frame, so there was nothing to learn"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Two folds: AU 4 is coded for the subjects of fold 1 alone, AU 12 is present there alone."""
    folder = tmp_path_factory.mktemp("gaps")
    rows = make(folder / "data", frames=6)
    for row in rows:
        row["fold"] = str(int(row["subject"] in ("P2", "P3")))
        present = str(int(row["frame"]) % 2)
        texts = LABELS[row["subject"]]
        row |= {f"AU{au}": text.format(present) for au, text in zip(AUS, texts, strict=True)}
    grid = cells.manifest_grid(folder, rows, folds=(0, 1))
    return [read_record(cell.folder / "record.json") for cell in grid if cells.run(cell)]


def test_a_record_has_no_score_of_an_au_that_its_fold_does_not_code(records) -> None:
    first, second = (record.scores["last"] for record in records)
    assert first.uncoded == (1,)
    assert second.uncoded == ()
    assert first.mean_f1 == pytest.approx((first.f1[0] + first.f1[2]) / 2)
    assert [values[1] for values in records[0].baselines.values()] == [None, None]


def test_aus_that_nothing_was_learnt_of_are_a_warning(records) -> None:
    assert [text for text in records[0].warnings if text.endswith(UNTAUGHT)] == []
    assert [text for text in records[1].warnings if text.endswith(UNTAUGHT)] == [
        f"AU4: coded {UNTAUGHT}",
        f"AU12: present {UNTAUGHT}",
    ]


def test_the_table_shows_the_gap_and_names_au_and_fold(records) -> None:
    (table,) = tables("per-au", records[:1])
    (row,) = (row for row in table.rows if row.label == "supervised")
    assert format_entry(row.entries[1]) == "uncoded"
    assert format_entry(row.entries[-1]).endswith("(1) over 2 of 3 AUs")
    assert any(note.endswith(": AU4 in fold 0") for note in table.notes)
