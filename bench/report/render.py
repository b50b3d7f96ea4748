"""Rendering: tables -> markdown, LaTeX (booktabs), CSV and HTML; how numbers look is decided here.

CSV is for machines: one line an entry, raw numbers, a column for each of value, spread, n, interval
and state, so that lines of several tables go into one file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby

import jinja2
from markupsafe import Markup, escape
from tabulate import tabulate

from .layout import COLUMN_POINTS, POINTS, fit, limits
from .model import Entry, ReportError, Row, Table

FORMATS = ("markdown", "latex", "csv", "html")
MARKS: Mapping[str, str] = {"partial": "†", "check": "?"}
TIE = "≈"
EMPTY: Mapping[str, str] = {
    "missing": "–",
    "failed": "failed",
    "skipped": "skipped",
    "uncoded": "uncoded",
    "unstored": "not stored",
    "unread": "",
}
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
LATEX_EMPHASIS = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
HTML_EMPHASIS = {1: Markup("<b>{}</b>"), 2: Markup("<u>{}</u>")}
"""How the best (1) and the second (2) of a column stand out."""


def render(table: Table, style: str = "markdown", width: str = "full") -> str:
    """Render one table, HTML as a fragment; raises ReportError if there is no such format."""
    return _html(table) if style == "html" else render_all([table], style, width)


def render_all(tables: Iterable[Table], style: str = "markdown", width: str = "full") -> str:
    """Render tables one after another: CSV under a single header, HTML as a page of its own.

    Markdown and LaTeX are turned or broken to fit into a `width` of `report/layout.py`.
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
        return "\n".join(_latex(table, points, environment) for table in tables)
    return "\n".join(_markdown(table, characters) for table in tables)


def format_entry(entry: Entry) -> str:
    """Write an entry as a person reads it, e.g. `61.2 ± 0.8 (3) [58.0, 64.1] †`."""
    if entry.state == "text":
        return entry.text
    if entry.value is None:
        return EMPTY[entry.state]
    parts = [_number(entry.value, entry)]
    if entry.spread is not None and not entry.terse:
        parts.append(f"± {entry.spread:.{entry.digits}f}")
    if entry.n is not None and not entry.terse:
        parts.append(f"({entry.n})")
    if entry.interval is not None:
        low, high = (_number(bound, entry) for bound in entry.interval)
        parts.append(f"[{low}, {high}]")
    if entry.beside is not None:
        parts.append(f"/ {entry.beside:.{entry.digits}f}")
    if entry.gap is not None:
        parts.append(f"Δ{_number(entry.gap, replace(entry, signed=True))}")
    if entry.aus:
        parts.append(f"over {entry.aus} AUs")
    marks = MARKS.get(entry.state, "") + (TIE if entry.tied else "")
    return " ".join(parts) + (f" {marks}" if marks else "")


def _number(value: float, entry: Entry) -> str:
    """Write a number to the entry's digits; one that rounds to 0 has no sign."""
    rounded = round(value, entry.digits) + 0.0  # -0.0 becomes 0.0
    sign = "+" if entry.signed and rounded else ""
    return f"{rounded:{sign}.{entry.digits}f}"


def _markdown(table: Table, limit: float | None) -> str:
    body = "\n\n".join(map(_pipes, fit(table, _characters, limit)))
    notes = "".join(f"- {' '.join(note.split())}\n" for note in table.notes)
    return f"**{table.title}**\n\n{body}\n" + (f"\n{notes}" if notes else "")


def _pipes(table: Table) -> str:
    return tabulate(
        list(_texts(table, _piped, MARKDOWN)),
        [_piped(text) for text in (table.corner, *table.headings)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=("left", *("right" for _ in table.columns)),
    )


def _characters(table: Table) -> list[float]:
    """Measure the columns of a markdown table, with the sign and the blanks between them."""
    padded = replace(table, columns=tuple(f"{c}{PADDING}" for c in table.columns))
    first, *widths = (3.0 + width for width in _widest(padded, _piped, MARKDOWN))
    return [1 + first, *widths]


PADDING = "  "
"""What tabulate puts before a heading."""


def _points(table: Table) -> list[float]:
    """Estimate the columns of a LaTeX table in points."""
    plain = _widest(table, str, {})
    return [COLUMN_POINTS + POINTS * width for width in plain]


def _widest(table: Table, escape: Callable[[str], str], emphasis: Mapping[int, str]) -> list[int]:
    head = [escape(text) for text in (table.corner, *table.headings)]
    lines = [head, *_texts(table, escape, emphasis)]
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _texts(
    table: Table, escape: Callable[[str], str], emphasis: Mapping[int, str]
) -> Iterator[list[str]]:
    """Write each row, in the signs of a format."""
    for row in table.rows:
        yield [
            escape(row.heading),
            *(
                emphasis.get(e.place or 0, "{}").format(escape(format_entry(e)))
                for e in row.entries
            ),
        ]


def _piped(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def _latex(table: Table, limit: float | None, environment: str) -> str:
    r"""Draw a booktabs table, a rule between measured, trivial and published rows.

    It needs `\usepackage{booktabs}` and nothing else.
    """
    notes = "".join(f"{_tex(note)}\\par\n" for note in table.notes)
    return LATEX.format(
        environment=environment,
        caption=_tex(table.title),
        tabulars="\n\\par\\medskip\n".join(map(_tabular, fit(table, _points, limit))),
        notes=notes,
    )


def _tabular(table: Table) -> str:
    lines = zip(table.rows, _texts(table, _tex, LATEX_EMPHASIS), strict=True)
    blocks = [
        "\n".join(_latex_line(texts) for _, texts in block)
        for _, block in groupby(lines, key=lambda line: line[0].source)
    ]
    return TABULAR.format(
        columns="l" + "r" * len(table.columns),
        header=_latex_line(map(_tex, [table.corner, *table.headings])),
        body="\n\\midrule\n".join(blocks),
    )


def _latex_line(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def _tex(text: str) -> str:
    """Write text for TeX; what stands in backticks is typed letter by letter."""
    parts = " ".join(text.split()).split("`")
    escaped = [part.translate(TEX) for part in parts]
    if len(parts) % 2:
        escaped[1::2] = [rf"\texttt{{{part}}}" for part in escaped[1::2]]
    return "".join(escaped)


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
        "tied": "tied" if entry.tied else "",
        "text": entry.text,
    }


def _html(table: Table) -> str:
    every = _texts(table, escape, HTML_EMPHASIS)
    lines = [(row.source, texts) for row, texts in zip(table.rows, every, strict=True)]
    return FRAGMENT.render(table=table, lines=lines)


LATEX = r"""\begin{{{environment}}}[t]
\centering\footnotesize\setlength{{\tabcolsep}}{{3pt}}
\caption{{{caption}}}
{tabulars}
\par\smallskip
\begin{{minipage}}{{\linewidth}}\footnotesize
{notes}\end{{minipage}}
\end{{{environment}}}
"""

TABULAR = r"""\begin{{tabular}}{{{columns}}}
\toprule
{header}
\midrule
{body}
\bottomrule
\end{{tabular}}"""

# an opening bracket after a line's \\ would be read as its argument
TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "[": "{[}",
        "<": r"$<$",
        ">": r"$>$",
        "|": r"$|$",
        "±": r"$\pm$",
        "≈": r"$\approx$",
        "†": r"$^\dagger$",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "–": "--",
    }
)

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
