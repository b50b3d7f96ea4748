"""Tables too wide for a page: turned or broken, and LaTeX that compiles and fits."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.report.model import Entry, ReportError, Row, Table
from bench.report.tables.kinds import KINDS, tables
from bench.report.tables.layout import WIDTHS, fit, turn
from bench.report.tables.render import render, render_all
from tests.helpers.fake_records import record


def wide(columns: int, rows: int = 3, turned: str = "") -> Table:
    return Table(
        title="a table",
        corner="method",
        columns=tuple(f"column {n}" for n in range(columns)),
        rows=tuple(
            Row(
                label=f"row {r}",
                entries=tuple(Entry(value=float(10 * r + n)) for n in range(columns)),
                source="paper" if r else "measured",
            )
            for r in range(rows)
        ),
        notes=("a note",),
        column_context=tuple({"ratio": str(n)} for n in range(columns)),
        turned=turned,
    )


def values(table: Table) -> list[list[float | None]]:
    return [[entry.value for entry in row.entries] for row in table.rows]


def tens(table: Table) -> list[float]:
    return [10.0] * (1 + len(table.columns))


def test_a_table_that_fits_stays_as_it_is() -> None:
    table = wide(4)
    assert fit(table, tens, 50) == [table]
    assert fit(table, tens, None) == [table]


def test_a_wide_table_is_broken_between_columns() -> None:
    parts = fit(wide(5), tens, 30)
    assert [part.columns for part in parts] == [
        ("column 0", "column 1"),
        ("column 2", "column 3"),
        ("column 4",),
    ]
    assert [row.label for row in parts[2].rows] == ["row 0", "row 1", "row 2"]
    assert values(parts[1]) == [[2, 3], [12, 13], [22, 23]]
    assert parts[1].column_context == ({"ratio": "2"}, {"ratio": "3"})


def test_a_column_wider_than_the_page_has_a_part_of_its_own() -> None:
    parts = fit(wide(2), lambda t: [10.0] + [100.0] * len(t.columns), 50)
    assert [part.columns for part in parts] == [("column 0",), ("column 1",)]


def test_a_table_that_may_be_turned_is_where_that_needs_no_more_parts() -> None:
    (found,) = fit(wide(9, rows=2, turned="labels"), tens, 50)
    assert found.corner == "labels"
    assert found.columns == ("row 0", "row 1 (paper)")
    assert [row.label for row in found.rows][:2] == ["column 0", "column 1"]
    assert values(found)[:2] == [[0, 10], [1, 11]]
    assert [entry.source for entry in found.rows[0].entries] == ["measured", "paper"]
    assert fit(wide(9, rows=30, turned="labels"), tens, 50)[0].corner == "method"


def test_turning_twice_gives_the_same_numbers() -> None:
    table = wide(3, turned="labels")
    assert values(turn(turn(table))) == values(table)


def many(kind: str) -> list[Table]:
    methods = ("supervised", "ks", "ks:no_skd", "tcl", "fixmatch", "pseudo_label", "ceiling")
    audit = {"overall_accuracy": 0.7, "accuracy": [0.8, 0.6], "majority_accuracy": [0.8, 0.5]}
    ratios = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 1.0)
    runs = [record(m, r, dataset="bp4d", audit=audit) for m in methods for r in ratios]
    if kind == "settings":
        config = {"data": {"stride": 5, "neighbours": "window"}, "method": {}}
        runs += [record("ks", r, dataset="bp4d", seed=1, config=config) for r in ratios]
        for run in runs[-len(ratios) :]:
            run.hashes["config"] = "another setting"
    return tables(kind, runs, published=True)


@pytest.mark.parametrize(("width", "limit"), [("column", 80), ("page", 120)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_line_of_a_table_is_wider_than_asked_for(kind: str, width: str, limit: int) -> None:
    text = render_all(many(kind), "markdown", width)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    parts = [line for line in lines if line.count("|") > 3]  # one column has to be as it is
    assert max(map(len, parts), default=0) <= limit


def test_notes_stand_once_below_all_parts() -> None:
    text = render(wide(30), width="column")
    assert text.count("**a table**") == 1
    assert text.count("- a note") == 1
    assert text.count("| method") > 2


def test_an_unknown_width_lists_the_known_ones() -> None:
    with pytest.raises(ReportError, match="did you mean column"):
        render(wide(1), width="colum")
    assert set(WIDTHS) == {"column", "page", "full"}


# LaTeX -----------------------------------------------------------------------------------------

ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+\*?)\}")
TABULAR = re.compile(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", re.DOTALL)


def check_structure(text: str) -> None:
    """Raise AssertionError unless environments close and rows have as many cells as columns."""
    opened: list[str] = []
    for what, name in ENVIRONMENT.findall(text):
        if what == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for columns, body in TABULAR.findall(text):
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        for row in rows:
            assert len(re.split(r"(?<!\\)&", row)) == len(columns), row
    assert not re.search(r"(?<!\\)[#~%]", text)
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert (text.count("$") - text.count(r"\$")) % 2 == 0
    assert not set(text) & set("±≈†Δ×")


@pytest.mark.parametrize("width", ["column", "page", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_latex_tables_are_whole(kind: str, width: str) -> None:
    text = render_all(many(kind), "latex", width)
    check_structure(text)
    assert (r"\begin{table*}" in text) == (width == "page")


def test_typed_words_are_typed_in_latex() -> None:
    table = Table(title="t", corner="m", columns=("a",), rows=(), notes=("see `table --x_y`",))
    assert r"see \texttt{table --x\_y}" in render(table, "latex")


LATEX = shutil.which("pdflatex")


@pytest.mark.skipif(LATEX is None, reason="no pdflatex here")
@pytest.mark.parametrize("width", ["column", "page"])
def test_a_real_latex_sets_every_table_without_overflow(tmp_path: Path, width: str) -> None:
    body = "\n".join(render_all(many(kind), "latex", width) + "\\clearpage\n" for kind in KINDS)
    source = (
        "\\documentclass[twocolumn]{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs}\n"
        "\\setlength{\\textwidth}{496pt}\\setlength{\\columnsep}{22pt}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )
    (tmp_path / "paper.tex").write_text(source, encoding="utf-8")
    command = [str(LATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    overfull = re.findall(r"Overfull \\hbox \((\d+)", done.stdout)
    assert all(int(points) < 15 for points in overfull)
