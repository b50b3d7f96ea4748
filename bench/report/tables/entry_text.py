"""How entries read: numbers to their digits, and signs for what is behind them; for all formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from bench.report.model import Entry, Table

MARKS: Mapping[str, str] = {"partial": "†", "check": "?"}
TIE = "≈"
UNTESTED = "◦"
EMPTY: Mapping[str, str] = {
    "missing": "–",
    "failed": "failed",
    "skipped": "skipped",
    "uncoded": "uncoded",
    "unstored": "not stored",
    "unread": "",
}


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
    marks = MARKS.get(entry.state, "") + verdict(entry)
    return " ".join(parts) + (f" {marks}" if marks else "")


def verdict(entry: Entry) -> str:
    """Write the sign of a difference that is not told apart, or of which nothing is known."""
    if entry.untested:
        return UNTESTED
    return TIE if entry.tied else ""


def _number(value: float, entry: Entry) -> str:
    """Write a number to the entry's digits; one that rounds to 0 has no sign."""
    rounded = round(value, entry.digits) + 0.0  # -0.0 becomes 0.0
    sign = "+" if entry.signed and rounded else ""
    return f"{rounded:{sign}.{entry.digits}f}"


def table_texts(
    table: Table, escape: Callable[[str], str], emphasis: Mapping[int, str]
) -> Iterator[list[str]]:
    """Write each row in the signs of a format; `emphasis` is for the best (1), the second (2)."""
    for row in table.rows:
        yield [
            escape(row.heading),
            *(
                emphasis.get(e.place or 0, "{}").format(escape(format_entry(e)))
                for e in row.entries
            ),
        ]


def widest(table: Table, escape: Callable[[str], str], emphasis: Mapping[int, str]) -> list[int]:
    """Return the widest text of each column, the names of the rows first."""
    head = [escape(text) for text in (table.corner, *table.headings)]
    lines = [head, *table_texts(table, escape, emphasis)]
    return [max(map(len, column)) for column in zip(*lines, strict=True)]
