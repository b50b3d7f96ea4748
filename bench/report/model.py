"""Table model: rows of entries that know value, spread, and why they may have none; for all tables.

Tables are built from records and rendered by `tables/render.py`; an entry keeps raw numbers, so
that a format only decides how they look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

State = Literal[
    "done",
    "partial",
    "missing",
    "failed",
    "skipped",
    "uncoded",
    "unstored",
    "check",
    "unread",
    "text",
]
"""`partial`: fewer runs than its neighbours. `uncoded`: no test frame is coded for the AU.
`unstored`: finished, and the records do not hold what the figure is made of. `check`, `unread`: a
paper's number that was hard, or impossible, to read. `text`: words, no number."""

Source = Literal["measured", "ceiling", "baseline", "paper"]
"""`ceiling`: the runner's control that sees hidden labels; a bound, and no method."""

SELECTIONS: Mapping[str, str] = {
    "last": "last step",
    "val": "validation-selected step",
    "test-peek": "test-peek (literature mode: the step is chosen on the test fold)",
}
"""Selection rule in a record -> what a title calls it."""


class ReportError(Exception):
    """Records cannot be put into one table: one sentence that says what to do."""


class NothingToShow(ReportError):
    """The records are in order, and none of them belongs into the table asked for."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a table; numbers are in the unit of the table, at full precision."""

    state: State = "done"
    value: float | None = None
    spread: float | None = None
    """Standard deviation over the runs behind `value`; None where there is only one."""
    n: int | None = None
    """Runs behind `value`."""
    terse: bool = False
    """Whether another entry of the row tells `n` already."""
    interval: tuple[float, float] | None = None
    """95 % interval of `value`."""
    trainings: bool = False
    """Whether interval and p are about other trainings too, not of other test subjects alone."""
    remark: str = ""
    """Why an interval that was asked for is not there."""
    beside: float | None = None
    """A second figure of the same runs, e.g. AUC beside F1; the title says which."""
    gap: float | None = None
    """`value` minus what the paper prints for the same method at the same place."""
    place: int | None = None
    """1: best of its column, 2: second; None: neither, or not compared."""
    aus: str = ""
    """Over how many AUs a mean is (`11 of 12`), where not over all of the table's."""
    p: float | None = None
    """Holm-corrected p-value of a paired difference."""
    tied: bool = False
    """Whether a difference is not told apart from none."""
    untested: bool = False
    """Whether the records do not hold what a test of the difference is made of."""
    text: str = ""
    digits: int = 1
    signed: bool = False
    source: Source | None = None
    """None: as the row says."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: its label as the records or the paper spell it, and an entry for each column."""

    label: str
    entries: tuple[Entry, ...]
    source: Source = "measured"

    @property
    def heading(self) -> str:
        """Name the row and, where it was not measured as a method here, what it is."""
        if self.source == "measured":
            return self.label
        what = "sees hidden labels" if self.source == "ceiling" else self.source
        return f"{self.label} ({what})"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table; `context` (dataset, rule, preset, ...) goes into every line of a CSV."""

    title: str
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    column_context: tuple[Mapping[str, str], ...] = ()
    """The same for the entries of each column, if any."""
    turned: str = ""
    """What heads the names of its columns if they become rows; empty if they must not."""
    remarks: tuple[str, ...] = ()
    """What people read in brackets behind each column's name, if anything."""

    @property
    def headings(self) -> tuple[str, ...]:
        """Name the columns as people read them."""
        remarks = self.remarks or ("",) * len(self.columns)
        pairs = zip(self.columns, remarks, strict=True)
        return tuple(f"{column} ({remark})" if remark else column for column, remark in pairs)

    def __post_init__(self) -> None:
        assert len(self.column_context) in (0, len(self.columns)), self.title
        for row in self.rows:
            assert len(row.entries) == len(self.columns), f"{self.title}: {row.label} has a gap"


MISSING = Entry(state="missing")
UNREAD = Entry(state="unread", source="paper")


def text_entry(text: str) -> Entry:
    """Make an entry of words."""
    return Entry(state="text", text=text)
