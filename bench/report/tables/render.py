"""Rendering: tables -> markdown, CSV and HTML, and LaTeX by `report/tables/latex.py`; for `table`.

CSV is for machines: one line an entry, raw numbers, a column for each of value, spread, n, interval
and state, so that lines of several tables go into one file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace

import jinja2
from markupsafe import Markup, escape
from tabulate import tabulate

from bench.report.model import Entry, ReportError, Row, Table

from .entry_text import table_texts, widest
from .latex import latex
from .layout import fit, limits

FORMATS = ("markdown", "latex", "csv", "html")
CSV_CONTEXT = (
    "table",
    "metric",
    "dataset",
    "rule",
    "preset",
    "data",
    "folds",
    "select",
    "ratio",
    "share",
)
CSV_NUMBERS = ("value", "spread", "n", "low", "high", "p", "beside", "gap")
CSV_PLACE = ("row", "column", "source", "state")
CSV_COLUMNS = (*CSV_CONTEXT, *CSV_PLACE, *CSV_NUMBERS, "trainings", "aus", "tied", "text")


MARKDOWN = {1: "**{}**", 2: "_{}_"}
HTML_EMPHASIS = {1: Markup("<b>{}</b>"), 2: Markup("<u>{}</u>")}
"""How the best (1) and the second (2) of a column stand out."""


def render(table: Table, style: str = "markdown", width: str = "full") -> str:
    """Render one table, HTML as a fragment; raises ReportError if there is no such format."""
    return _html(table) if style == "html" else render_all([table], style, width)


def render_all(tables: Iterable[Table], style: str = "markdown", width: str = "full") -> str:
    """Render tables one after another: CSV under a single header, HTML as a page of its own.

    Markdown and LaTeX are turned or broken to fit into a `width` of `report/tables/layout.py`.
    """
    if style not in FORMATS:
        raise ReportError(f"no table format {style!r}: choose one of {', '.join(FORMATS)}")
    characters, points = limits(width)
    if style == "csv":
        return _csv(tables)
    if style == "html":
        return PAGE.render(tables=[_html(table) for table in tables])
    if style == "latex":
        environment = "table*" if width == "page" else "table"
        return "\n".join(latex(table, points, environment) for table in tables)
    return "\n".join(_markdown(table, characters) for table in tables)


def _markdown(table: Table, limit: float | None) -> str:
    body = "\n\n".join(map(_pipes, fit(table, _characters, limit)))
    notes = "".join(f"- {' '.join(note.split())}\n" for note in table.notes)
    return f"**{table.title}**\n\n{body}\n" + (f"\n{notes}" if notes else "")


def _pipes(table: Table) -> str:
    return tabulate(
        list(table_texts(table, _piped, MARKDOWN)),
        [_piped(text) for text in (table.corner, *table.headings)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=("left", *("right" for _ in table.columns)),
    )


def _characters(table: Table) -> list[float]:
    """Measure the columns of a markdown table, with the sign and the blanks between them."""
    padded = replace(table, columns=tuple(f"{c}{PADDING}" for c in table.columns))
    first, *widths = (3.0 + width for width in widest(padded, _piped, MARKDOWN))
    return [1 + first, *widths]


PADDING = "  "
"""What tabulate puts before a heading."""


def _piped(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _csv(tables: Iterable[Table]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, CSV_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table.rows:
            for place, (column, entry) in enumerate(zip(table.columns, row.entries, strict=True)):
                more = table.column_context[place] if table.column_context else {}
                if entry.state != "text" or entry.text:
                    writer.writerow({**table.context, **more, **_csv_line(row, column, entry)})
    return stream.getvalue()


def _csv_line(row: Row, column: str, entry: Entry) -> dict[str, object]:
    low, high = entry.interval or (None, None)
    return {
        "row": row.label,
        "column": column,
        "source": entry.source or row.source,
        "state": entry.state,
        "value": entry.value,
        "spread": entry.spread,
        "n": entry.n,
        "low": low,
        "high": high,
        "p": entry.p,
        "beside": entry.beside,
        "gap": entry.gap,
        "trainings": "in" if entry.trainings else "",
        "aus": entry.aus,
        "tied": "untested" if entry.untested else "tied" if entry.tied else "",
        "text": entry.text,
    }


def _html(table: Table) -> str:
    every = table_texts(table, escape, HTML_EMPHASIS)
    lines = [(row.source, texts) for row, texts in zip(table.rows, every, strict=True)]
    return FRAGMENT.render(table=table, lines=lines)


_JINJA = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
)

FRAGMENT = _JINJA.from_string(
    """\
<table class="results">
<caption>{{ table.title }}</caption>
<thead><tr><th scope="col">{{ table.corner }}</th>
{%- for column in table.headings %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for source, texts in lines %}
<tr class="{{ source }}"><th scope="row">{{ texts[0] }}</th>
{%- for text in texts[1:] %}<td>{{ text }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% if table.notes %}
<ul class="notes">
{% for note in table.notes %}
<li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
"""
)

PAGE = _JINJA.from_string(
    """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Results</title>
<style>
body { font: 15px/1.4 sans-serif; margin: 2em; }
table { border-collapse: collapse; margin: 1em 0; }
caption { text-align: left; font-weight: bold; padding: .5em 0; }
th, td { padding: .2em .8em; text-align: right; white-space: nowrap; }
tr > :first-child { text-align: left; font-weight: normal; }
thead, tbody { border-top: 1px solid; border-bottom: 1px solid; }
.baseline, .paper { color: #666; }
.notes { font-size: .85em; }
</style>
</head>
<body>
{% for table in tables %}
{{ table | safe }}
{% endfor %}
</body>
</html>
"""
)
