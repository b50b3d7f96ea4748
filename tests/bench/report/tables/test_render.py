"""Formats: the same table as markdown, LaTeX, CSV and HTML, read back by machine where one can."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.report.model import SELECTIONS, Entry, ReportError, Row, Table
from bench.report.tables.entry_text import EMPTY, MARKS, TIE, format_entry
from bench.report.tables.kinds import KINDS, tables
from bench.report.tables.render import FORMATS, render, render_all
from bench.results.records import Record
from tests.helpers.fake_records import record, unfinished


def grid() -> list[Record]:
    runs = [record("supervised", r, f, f1=0.5 + 0.01 * f) for r in (0.02, 1.0) for f in (0, 1)]
    runs += [record("pseudo_label", 0.02, 0, f1=0.6)]
    return [*runs, unfinished("failed", "loss is nan at 50 % of step_3", method="ks", ratio=1.0)]


def sample(**cell: object) -> Table:
    one = Entry(**cell)  # type: ignore[arg-type]
    return Table(title="t", corner="m", columns=("c",), rows=(Row(label="r", entries=(one,)),))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Entry(value=61.25, spread=0.81, n=3), "61.2 ± 0.8 (3)"),
        (Entry(value=61.25, n=1), "61.2 (1)"),
        (Entry(value=1.25, n=3, signed=True, interval=(-0.5, 3.0)), "+1.2 (3) [-0.5, +3.0]"),
        (Entry(value=-1.26, signed=True, tied=True), "-1.3 ≈"),
        (Entry(value=-1.26, signed=True, untested=True), "-1.3 ◦"),
        (Entry(value=59.4, state="check"), "59.4 ?"),
        (Entry(value=59.4, n=2, state="partial", tied=True), "59.4 (2) †≈"),
        (Entry(value=59.4, n=2, terse=True), "59.4"),
        (Entry(state="missing"), "–"),
        (Entry(state="failed"), "failed"),
        (Entry(state="skipped"), "skipped"),
        (Entry(state="unread"), ""),
        (Entry(state="text", text="CVPR 2021"), "CVPR 2021"),
        (Entry(value=2.0, digits=2), "2.00"),
        (Entry(value=-0.0, signed=True, interval=(-0.0, -0.001)), "0.0 [0.0, 0.0]"),
        (Entry(value=0.04, signed=True, interval=(-0.04, 0.06)), "0.0 [0.0, +0.1]"),
        (Entry(state="uncoded"), "uncoded"),
        (Entry(value=42.9, n=1, aus="1 of 2"), "42.9 (1) over 1 of 2 AUs"),
    ],
)
def test_a_cell_reads_as_a_person_expects(cell: Entry, text: str) -> None:
    assert format_entry(cell) == text


def test_markdown_looks_like_this() -> None:
    (table,) = tables("ssl", grid())
    head, body, notes = render(table).split("\n\n")
    assert head == (
        "**Mean F1 (%) by share of labelled frames: "
        "synthetic, rule sparse, preset quick, selection: last step**"
    )
    assert body == (
        "| method                     |            2 % |          100 % |\n"
        "|:---------------------------|---------------:|---------------:|\n"
        "| supervised                 | 50.5 ± 0.7 (2) | 50.5 ± 0.7 (2) |\n"
        "| ks                         |              – |         failed |\n"
        "| pseudo_label               |     60.0 (1) † |              – |\n"
        "| always positive (baseline) | 40.0 ± 0.0 (2) | 40.0 ± 0.0 (2) |\n"
        "| training prior (baseline)  | 25.0 ± 0.0 (2) | 25.0 ± 0.0 (2) |"
    )
    assert "- failed: ks at 100 %, fold 0, seed 0: loss is nan at 50 % of step_3\n" in notes


def test_markdown_cells_cannot_break_out_of_their_column() -> None:
    body = render(sample(state="text", text="a|b\nc"))
    assert body.splitlines()[-1].split(" | ")[-1].strip() == r"a\|b c |"


def test_latex_rows_have_the_same_columns_and_braces_balance() -> None:
    for table in [*tables("ssl", grid()), *tables("per-au", grid()), *tables("complexity", grid())]:
        text = render(table, "latex")
        begin = text.index(r"\begin{tabular}")
        body = text[begin : text.index(r"\end{tabular}")].splitlines()
        columns = body[0].split("{")[-1].rstrip("}")
        lines = [line for line in body if line.endswith(r"\\")]
        assert len(lines) == 1 + len(table.rows)
        assert {line.replace(r"\&", "").count("&") for line in lines} == {len(columns) - 1}
        bare = text.replace(r"\{", "").replace(r"\}", "")
        assert bare.count("{") == bare.count("}")
        assert text.count("$") % 2 == 0
        assert text.count(r"\begin{") == text.count(r"\end{") == 3
        assert [text.count(rule) for rule in (r"\toprule", r"\bottomrule")] == [1, 1]


def test_latex_escapes_what_tex_would_eat() -> None:
    text = render(
        sample(state="text", text=r"50 % of a_b & {c} #1 $x ~ ^ \d ± ≈ ◦ † – [low"), "latex"
    )
    assert (
        r"50 \% of a\_b \& \{c\} \#1 \$x \textasciitilde{} \textasciicircum{} "
        r"\textbackslash{}d $\pm$ $\approx$ $\circ$ $^\dagger$ -- {[}low \\"
    ) in text
    assert r"ks at 100 \%" in render_all(tables("ssl", grid()), "latex")
    assert render_all(tables("ssl", grid()), "latex").isascii()


def test_latex_draws_a_rule_between_measured_and_trivial_rows() -> None:
    text = render_all(tables("ssl", grid()), "latex")
    assert "\\midrule\nalways positive (baseline) &" in text
    assert text.count(r"\midrule") == 2


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_gives_raw_numbers_back_with_their_place() -> None:
    lines = read(render_all(tables("ssl", grid(), intervals=True), "csv"))
    (cell,) = [line for line in lines if (line["row"], line["ratio"]) == ("supervised", "0.02")]
    assert float(cell["value"]) == pytest.approx(50.5, abs=1e-12)
    assert float(cell["spread"]) == pytest.approx(0.5**0.5, abs=1e-12)
    assert (cell["n"], cell["state"], cell["source"]) == ("2", "done", "measured")
    assert float(cell["low"]) <= 50.5 <= float(cell["high"])
    assert (cell["dataset"], cell["rule"], cell["preset"]) == ("synthetic", "sparse", "quick")
    assert (cell["select"], cell["table"]) == ("last", "ssl")


def shared() -> list[Record]:
    """At 1 %, masks hold 1.25 %; at 50 %, what was asked for."""
    frames = {"train": 8000, "validation": 2000, "test": 5000}
    labelled = {0.01: 125, 0.5: 5001}
    return [record("ks", r, frames={**frames, "labelled": n}) for r, n in labelled.items()]


def test_people_read_the_true_share_and_csv_has_a_column_for_it() -> None:
    (table,) = tables("ssl", shared())
    header = render(table).splitlines()[2]
    assert [text.strip() for text in header.strip("|").split("|")] == [
        "method",
        "1 % (1.25 %)",
        "50 %",
    ]
    assert r"1 \% (1.25 \%) & 50 \%" in render(table, "latex")
    assert '<th scope="col">1 % (1.25 %)</th>' in render(table, "html")
    lines = read(render_all([table], "csv"))
    assert {(line["ratio"], line["share"], line["column"]) for line in lines} == {
        ("0.01", "0.0125", "1 %"),
        ("0.5", "0.5001", "50 %"),
    }


def test_csv_keeps_gaps_as_gaps() -> None:
    states = {
        (line["row"], line["ratio"]): (line["state"], line["value"], line["n"])
        for line in read(render_all(tables("ssl", grid()), "csv"))
    }
    assert states["ks", "1"] == ("failed", "", "")
    assert states["ks", "0.02"] == ("missing", "", "")
    assert states["pseudo_label", "0.02"][0] == "partial"


def test_several_tables_make_one_csv_file_with_one_header() -> None:
    many = [*grid(), record("ks", dataset="bp4d")]
    lines = read(render_all(tables("ssl", many), "csv"))
    assert {line["dataset"] for line in lines} == {"synthetic", "bp4d"}
    assert all(line["row"] != "row" for line in lines)


class Reader(HTMLParser):
    """Collect a page's cells, and check that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        if tag in ("td", "th"):
            self.entries.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.entries[-1] += data


def test_html_is_a_page_of_its_own_with_the_same_cells() -> None:
    (table,) = tables("ssl", grid())
    page = Reader()
    page.feed(render_all([table], "html"))
    expected = [table.corner, *table.columns]
    for row in table.rows:
        expected += [row.heading, *map(format_entry, row.entries)]
    assert page.entries == expected
    assert page.open == []


def test_html_escapes_what_a_record_says() -> None:
    runs = [unfinished("failed", "<script>alert(1)</script>", method="ks")]
    (table,) = tables("ssl", runs)
    assert "<script>" not in render(table, "html")
    assert "&lt;script&gt;" in render_all([table], "html")


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(ReportError, match="markdown, latex, csv, html"):
        render(sample(state="missing"), "excel")


@pytest.mark.parametrize("style", FORMATS)
def test_every_table_can_be_drawn_in_every_format(style: str) -> None:
    audit = {"overall_accuracy": 0.7, "accuracy": [0.8, 0.6], "majority_accuracy": [0.8, 0.5]}
    methods = ("ks", "ks:no_skd", "tcl", "supervised", "ceiling")
    runs = [record(m, r, dataset="bp4d", audit=audit) for m in methods for r in (0.5, 1.0)]
    again = record("ks:no_skd", 0.5, dataset="bp4d", seed=1)
    again.hashes["config"] = "another setting"
    for kind in KINDS:
        found = [*runs, again] if kind == "settings" else runs
        text = render_all(tables(kind, found, published=True, variants=True), style)
        assert "no_skd" in text.replace("\\_", "_")
        assert text.endswith("\n")


def test_every_sign_and_every_table_is_explained_in_the_docs() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reading-the-results.md").read_text("utf-8")
    for sign in (*MARKS.values(), TIE, *filter(None, EMPTY.values())):
        assert f"| `{sign}` |" in page
    for kind in KINDS:
        assert f"| `table {kind}` |" in page
    for rule in SELECTIONS:
        assert f"- `{rule}`" in page


def test_best_and_second_stand_out_in_every_format_but_csv() -> None:
    entries = (Entry(value=3.0, place=1), Entry(value=2.0, place=2), Entry(value=1.0))
    table = Table(
        title="t", corner="m", columns=("a", "b", "c"), rows=(Row(label="x", entries=entries),)
    )
    assert "**3.0** |" in render(table)
    assert "_2.0_ |" in render(table)
    assert r"\textbf{3.0} & \underline{2.0} & 1.0" in render(table, "latex")
    assert "<b>3.0</b></td><td><u>2.0</u></td><td>1.0" in render(table, "html")
    assert "*" not in render(table, "csv")


def test_names_stay_text_in_html_where_they_stand_out() -> None:
    entry = Entry(state="text", text="<script>", place=1)
    table = Table(title="t", corner="m", columns=("a",), rows=(Row(label="<i>", entries=(entry,)),))
    drawn = render(table, "html")
    assert "<script>" not in drawn
    assert "<b>&lt;script&gt;</b>" in drawn
    assert "&lt;i&gt;" in drawn
