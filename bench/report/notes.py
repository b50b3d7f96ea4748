"""Notes under a table: what its signs mean, what went wrong, what its rows do not share.

Used by `report/aggregate.py` for every table of results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bench.results.compare import identity_knobs
from bench.results.records import Record, Status

from .grouping import percent, point_of
from .method_runs import MethodRuns
from .model import Entry, Row, Source, State

RUNS = "mean over folds, then over seeds ± standard deviation over folds and seeds (number of runs)"
INTERVAL = "[low, high]: 95 % interval, for other test subjects"

TRAININGS_IN = (
    "intervals and p-values are about other trainings too: every fold has three seeds or more, or "
    "a training for its one test subject"
)

TRAININGS_MIXED = (
    "intervals and p-values are about other trainings too where every fold has three seeds or more"
)

TRAININGS_ELSEWHERE = (0.9, 1.4)
"""Standard deviations over three seeds, in points of mean F1, in `synthetic-difficulty`."""

TRAININGS_OUT = (
    "intervals and p-values are not about other trainings: that takes three seeds of every fold; "
    "in results/studies/synthetic-difficulty the standard deviation over seeds was "
    "{:.1f} to {:.1f} points".format(*TRAININGS_ELSEWHERE)
)

SHARES = (
    "labels in brackets: the share of frames that the label masks hold, where it is not the one "
    "asked for (masks take whole frames of every sequence, and at least one)"
)

GAP = "Δ: measured minus what the paper prints for the same method at the same place"

TIED = "≈ tied: not told apart from no difference"

UNTESTED = "◦ untested: the records do not hold what an interval or a test of it is made of"

STATES: Mapping[State, str] = {
    "partial": "† partial: some of the runs that others have in this column are missing here",
    "missing": "– not run, or not in the paper",
    "uncoded": "uncoded: no test frame is coded for the AU",
    "unstored": "not stored: the runs finished, and do not hold what the figure is made of",
    "check": "? hard to read in the paper",
    "unread": "blank: could not be read in the paper",
}

SOURCES: Mapping[Source, str] = {
    "ceiling": "sees hidden labels: the control taught with the true labels of its unlabelled "
    "frames; it bounds what pseudo labels can win, is no method, and is never ranked",
    "baseline": "baseline: a trivial predictor that looks at no image",
    "paper": "paper: as printed by Li et al., ICCV 2023; other code, preparation and hardware",
}


def legend(rows: Iterable[Row]) -> Iterator[str]:
    """Explain the signs that stand in these rows, and no others."""
    entries = [entry for row in rows for entry in row.entries]
    yield from _signs(rows, entries)
    yield from _trainings(entries)
    yield from (f"no interval: {text}" for text in sorted({e.remark for e in entries} - {""}))


def _trainings(entries: Iterable[Entry]) -> Iterator[str]:
    """Say whether other trainings are in what is told of the uncertainty, if anything is."""
    known = {entry.trainings for entry in entries if entry.interval or entry.p is not None}
    if known:
        yield (
            {1: TRAININGS_IN, 0: TRAININGS_OUT}[min(known)] if len(known) == 1 else TRAININGS_MIXED
        )


def _signs(rows: Iterable[Row], entries: Sequence[Entry]) -> Iterator[str]:
    sources = {row.source for row in rows} | {entry.source for entry in entries}
    states = {entry.state for entry in entries}
    signs = [
        (any(entry.interval for entry in entries), INTERVAL),
        (any(entry.tied for entry in entries), TIED),
        (any(entry.untested for entry in entries), UNTESTED),
        (any(entry.gap is not None for entry in entries), GAP),
        *((state in states, note) for state, note in STATES.items()),
        *((source in sources, note) for source, note in SOURCES.items()),
    ]
    yield from (note for shown, note in signs if shown)


def uncoded_note(aus: Sequence[int], uncoded: Mapping[int, Collection[int]]) -> Iterator[str]:
    """Name the AUs and folds without a coded test frame; `uncoded` maps folds to places of AUs."""
    folds: dict[int, list[int]] = defaultdict(list)
    for fold in sorted(uncoded):
        for place in sorted(uncoded[fold]):
            folds[place].append(fold)
    if folds:
        parts = (
            f"AU{aus[place]} in fold{'s' * (len(of) > 1)} {', '.join(map(str, of))}"
            for place, of in sorted(folds.items())
        )
        names = "; ".join(parts)
        yield f"no F1 where no test frame is coded (means are over the other AUs): {names}"


def troubles(failures: Iterable[tuple[str, Record]]) -> Iterator[str]:
    """Say why runs have no result: one sentence for each reason, with the first and how many."""
    reasons: dict[tuple[Status, str], list[str]] = defaultdict(list)
    for label, record in failures:
        point = point_of(record)
        where = f"{label} at {percent(point.ratio)}, fold {point.fold}, seed {point.seed}"
        reasons[record.status, record.reason or "no reason was recorded"].append(where)
    for (status, reason), places in sorted(reasons.items()):
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        yield f"{status}: {places[0]}{more}: {reason}"


def config_differences(lines: Sequence[MethodRuns]) -> Iterator[str]:
    """Say which shared knobs (trunk, training, data) the lines do not share.

    The knobs of a recipe of a method's own are no difference: `recipe_notes` tells them.
    """
    known = {line.label: identity_knobs(line.records[0].config) for line in lines if line.records}
    known = {label: flat for label, flat in known.items() if flat}
    own = {line.label for line in lines if line.records and line.records[0].recipe != "common"}
    for key in sorted({key for flat in known.values() for key in flat}):
        users: dict[str, list[str]] = defaultdict(list)
        for label, flat in known.items():
            if key.startswith("train.") and label in own:
                continue
            users[str(flat.get(key, "unset"))].append(label)
        if len(users) > 1 and not key.startswith("method."):
            parts = "; ".join(f"{value} ({', '.join(rows)})" for value, rows in users.items())
            yield f"not shared by all rows: {key} = {parts}"
