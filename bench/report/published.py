"""The paper's numbers, read from `results/published/`: what measured results stand beside.

They belong to the real recordings of BP4D, DISFA and MME and are shown beside nothing else. A
figure that was hard to read keeps its `check`; one that could not be read has no value.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.results.records import Record

from .model import MISSING, UNREAD, Entry, ReportError, Row, text_entry

FOLDER = Path(__file__).resolve().parents[2] / "results" / "published"

TOLERANCE = 0.1
"""How far a dataset's frames may be from the published count (the paper rounds to thousands)."""

ABLATED, ABLATION_RATIO = "ks", 0.5
"""What the paper's ablations took apart, and at which share of labels."""

Figures = dict[str, dict[float, Entry]]
"""label of the paper -> ratio -> entry, mean F1 in percent."""


@dataclass(frozen=True)
class Published:
    """The published numbers of one dataset."""

    dataset: str
    folder: Path = FOLDER

    def ssl(self) -> Figures:
        """Return table 1, and EAC from table 2: methods by label ratio."""
        figures: Figures = {}
        eac = [row for row in self._rows("table2_eac_vs_ks_f1.csv") if row["method"] == "eac"]
        for row in [*self._rows("table1_ssl_f1.csv"), *eac]:
            figures.setdefault(row["method"], {})[float(row["ratio"])] = _entry(row)
        return figures

    def supervised(self) -> list[Row]:
        """Return the methods of table 2 at 100 % labels: venue, mean F1."""
        rows = [
            Row(
                label=row["method"], source="paper", entries=(text_entry(row["venue"]), _entry(row))
            )
            for row in self._rows("table2_supervised_f1.csv")
        ]
        for method, ratios in self.ssl().items():
            entries = (text_entry(""), ratios.get(1.0, MISSING))
            rows.append(Row(label=method, source="paper", entries=entries))
        return rows

    def per_au(self, ratio: float, aus: Iterable[int]) -> list[Row]:
        """Return table 3 at one ratio: a column for each AU, then the mean of the paper's columns.

        The means are computed, since two of the averages that the paper prints do not equal theirs.
        """
        methods: dict[str, dict[int, Entry]] = {}
        for row in self._rows("table3_per_au_f1.csv"):
            if float(row["ratio"]) == ratio:
                methods.setdefault(row["method"], {})[int(row["au"])] = _entry(row)
        wanted = tuple(aus)
        return [
            Row(
                label=method,
                source="paper",
                entries=(*(entries.get(au, MISSING) for au in wanted), _mean(entries, wanted)),
            )
            for method, entries in methods.items()
        ]

    def per_au_places(self) -> list[tuple[float, tuple[int, ...]]]:
        """Return (ratio, AUs) of each part of table 3, the most labels first."""
        aus: dict[float, dict[int, None]] = {}
        for row in self._rows("table3_per_au_f1.csv"):
            aus.setdefault(float(row["ratio"]), {})[int(row["au"])] = None
        return [(ratio, tuple(aus[ratio])) for ratio in sorted(aus, reverse=True)]

    def ablation(self) -> list[tuple[str, str, Entry]]:
        """Return (the paper's words, the variant's name, change of mean F1) for each ablation.

        They are of ABLATED at ABLATION_RATIO; the full method's name is empty.
        """
        column = f"delta_f1_{self.dataset}"
        rows = self._rows("ablation_50pct_delta_f1.csv", every_dataset=True)
        return [
            (row["variant"], row["key"], _number(row[column], signed=True))
            for row in rows
            if column in row
        ]

    def pseudo_labels(self, ratio: float) -> list[tuple[str, Entry]]:
        """Return (rule, accuracy of its pseudo labels in percent) at one ratio."""
        rows = self._rows("pseudo_label_accuracy.csv")
        return [
            (row["rule"], replace(_number(row["accuracy_percent"]), digits=2))
            for row in rows
            if float(row["ratio"]) == ratio
        ]

    def complexity(self) -> list[tuple[str, Entry, Entry]]:
        """Return (model, million parameters, samples a second at 224 x 224)."""
        return [
            (row["model"], _number(row["params_million"]), _number(row["samples_per_second"]))
            for row in self._rows("complexity.csv", every_dataset=True)
        ]

    def frames(self) -> int | None:
        """Return how many frames the paper counts in this dataset; None if it does not know it."""
        rows = self._rows("data_structure.csv")
        return int(rows[0]["frames"]) if rows else None

    def why_not(self, records: Iterable[Record]) -> str | None:
        """Say why these records are not of the data the paper used; None if they may be."""
        expected = self.frames()
        if expected is None:
            return f"no published numbers: the paper has none on {self.dataset}"
        for record in records:
            found = sum(record.frames.get(part, 0) for part in ("train", "validation", "test"))
            if record.status == "done" and abs(found - expected) > TOLERANCE * expected:
                return (
                    f"published numbers left out: {record.id} counts {found} frames and "
                    f"{self.dataset} has about {expected}, so this is not the data of the paper"
                )
        return None

    def _rows(self, name: str, *, every_dataset: bool = False) -> list[dict[str, str]]:
        path = self.folder / name
        try:
            with path.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
        except OSError as error:
            raise ReportError(
                f"cannot read the published numbers in {path}: {error.strerror}; restore the file"
            ) from error
        return [row for row in rows if every_dataset or row["dataset"] == self.dataset]


def _entry(row: dict[str, str]) -> Entry:
    return _number(row["f1_percent"], check=row.get("status") == "check")


def _number(text: str, *, check: bool = False, signed: bool = False) -> Entry:
    if not text.strip():
        return UNREAD
    figure = Entry(value=float(text), signed=signed, source="paper")
    return replace(figure, state="check") if check else figure


def _mean(entries: dict[int, Entry], wanted: tuple[int, ...]) -> Entry:
    """Average the paper's columns, if they are the columns shown."""
    values = [entry.value for entry in entries.values() if entry.value is not None]
    if set(entries) != set(wanted) or len(values) < len(entries):
        return MISSING
    return Entry(value=float(np.mean(values)), source="paper")
