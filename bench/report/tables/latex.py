"""LaTeX tables (booktabs), for one column of a paper or across its page; for `render.py`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from bench.report.model import Table

from .entry_text import table_texts, widest
from .layout import COLUMN_POINTS, POINTS, fit

EMPHASIS = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}


def latex(table: Table, limit: float | None, environment: str) -> str:
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
    lines = zip(table.rows, table_texts(table, _tex, EMPHASIS), strict=True)
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


def _points(table: Table) -> list[float]:
    """Estimate the columns of a LaTeX table in points."""
    plain = widest(table, str, {})
    return [COLUMN_POINTS + POINTS * width for width in plain]


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
        "◦": r"$\circ$",
        "†": r"$^\dagger$",
        "×": r"$\times$",
        "Δ": r"$\Delta$",
        "–": "--",
    }
)
