"""Transfer table: networks by where they were trained and where they were tested; for `table`.

Never beside in-domain tables: it stands on records of its own kind, and only the column of the
cells' own test folds is taken from their records, on the same AUs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from bench.config.names import GridPoint
from bench.report.fold_counts import FoldCounts
from bench.report.grouping import percent
from bench.report.model import Entry, NothingToShow, Row, Table
from bench.report.notes import INTERVAL
from bench.report.statistics import estimate_mean
from bench.results.records import Record
from bench.results.transfer import TransferRecord

Tested = tuple[str, str]
"""A tested dataset's name, and the hash of its frames and labels."""

Trained = tuple[str, ...]
"""What the runs of one row share: method, ratio, rule, config, code, networks averaged."""

PerAu = Sequence[float | None]
"""A share for each AU; None where there is none (AUC of an AU that is never present)."""


def transfer_tables(
    transfers: Iterable[TransferRecord], records: Iterable[Record], *, intervals: bool = False
) -> list[Table]:
    """Build a table for each preset and training dataset; NothingToShow if there is no record."""
    groups: dict[tuple[str, str], list[TransferRecord]] = defaultdict(list)
    for each in transfers:
        groups[str(each.cell["preset"]), str(each.cell["dataset"])].append(each)
    if not groups:
        raise NothingToShow(
            "there are no transfer records: `predict CELL --dataset NAME --root DIR --score` makes "
            "them"
        )
    own = {record.id: record for record in records if record.status == "done"}
    return [_table(*group, found, own, intervals) for group, found in sorted(groups.items())]


def _table(
    preset: str,
    dataset: str,
    transfers: Sequence[TransferRecord],
    own: Mapping[str, Record],
    intervals: bool,  # noqa: FBT001  as asked
) -> Table:
    tested = sorted({_tested(each) for each in transfers})
    rows: dict[Trained, list[TransferRecord]] = defaultdict(list)
    for each in transfers:
        rows[_trained(each)].append(each)
    return Table(
        title=(
            "Mean F1 (%) / AUC (%) on other datasets than the one trained on: "
            f"{dataset}, preset {preset}"
        ),
        corner=f"trained on {dataset}",
        columns=tuple(c for name in _headings(tested) for c in (name, "own test folds, same AUs")),
        rows=(
            *(
                Row(label=label, entries=_entries(rows[key], tested, own, intervals))
                for label, key in _labels(rows)
            ),
            _baseline(transfers, tested),
        ),
        notes=_notes(intervals=intervals),
        context={"table": "transfer", "preset": preset, "dataset": dataset},
    )


def _notes(*, intervals: bool) -> tuple[str, ...]:
    return (
        "mean over runs (folds and seeds of the training) ± standard deviation (number of runs); "
        "every run is tested on all people of the other dataset",
        "own test folds: the same runs on the people whom their own dataset held out, over the "
        "AUs that both datasets code",
        "after the stroke: AUC (%), which knows no threshold; a guess that never looks has 50",
        "baseline: a predictor that sees every AU on every frame, on those AUs",
        *([INTERVAL] if intervals else []),
    )


def _tested(record: TransferRecord) -> Tested:
    return record.dataset, record.hashes["data"]


def _trained(record: TransferRecord) -> Trained:
    place, versions = record.cell, record.versions
    about = (str(place["method"]), f"{float(place['ratio']):.6f}", str(place["rule"]))
    return (*about, versions["config"], versions["code"], str(record.ensemble))


def _headings(tested: Sequence[Tested]) -> list[str]:
    """Name the tested datasets; those of one name by the beginning of their hash too."""
    names = [name for name, _ in tested]
    return [f"{n} ({h[:6]})" if names.count(n) > 1 else n for n, h in tested]


def _labels(rows: Mapping[Trained, object]) -> list[tuple[str, Trained]]:
    """Name each row; rows that would look alike by the beginning of their config and code."""
    named = [(_label(key), key) for key in sorted(rows)]
    labels = [label for label, _ in named]
    return [
        (f"{label}, config {key[3][:6]}, code {key[4][:6]}", key)
        if labels.count(label) > 1
        else (label, key)
        for label, key in named
    ]


def _label(key: Trained) -> str:
    method, ratio, rule, _, _, networks = key
    label = f"{method}, {percent(float(ratio))}"
    label += "" if rule == "sparse" else f", {rule}"
    return label if networks == "1" else f"{label}, mean of {networks} networks"


def _entries(
    runs: Sequence[TransferRecord],
    tested: Sequence[Tested],
    own: Mapping[str, Record],
    intervals: bool,  # noqa: FBT001
) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    for place in tested:
        here = [run for run in runs if _tested(run) == place]
        entries += [_entry(here, intervals), _own_entry(here, own)]
    return tuple(entries)


def _entry(runs: Sequence[TransferRecord], intervals: bool) -> Entry:  # noqa: FBT001
    """Make the entry of all runs of a row on one dataset: other trainings, the same people."""
    if not runs:
        return Entry(state="missing")
    common, trained = len(runs[0].aus), len(runs[0].trained_aus)
    over = "" if common == trained else f"{common} of {trained}"
    entry = _mean([(run.scores.f1, run.scores.auc) for run in runs], over)
    if not intervals:
        return entry
    ratio = float(runs[0].cell["ratio"])
    known = estimate_mean(
        {
            GridPoint(ratio=ratio, fold=0, seed=seed): FoldCounts.read(run.scores.counts)
            for seed, run in enumerate(runs)
        }
    )
    if known.interval is None:
        return replace(entry, remark=known.reason)
    low, high = known.interval
    return replace(entry, interval=(100 * low, 100 * high), trainings=known.trainings)


def _own_entry(runs: Sequence[TransferRecord], own: Mapping[str, Record]) -> Entry:
    """Make the entry of the same runs on their own test folds; missing where a mean was tested."""
    found = [_own_scores(run, own[next(iter(run.cells))]) for run in runs if _has_own(run, own)]
    return _mean(found, "") if runs and len(found) == len(runs) else Entry(state="missing")


def _has_own(run: TransferRecord, own: Mapping[str, Record]) -> bool:
    return run.ensemble == 1 and next(iter(run.cells)) in own


def _own_scores(run: TransferRecord, record: Record) -> tuple[PerAu, PerAu]:
    """Return F1 and AUC of a run's cell on its own test fold, for the AUs of the run."""
    scores, places = record.scores["last"], [record.aus.index(au) for au in run.aus]
    return [scores.f1[k] for k in places], [scores.auc[k] for k in places]


def _mean(runs: Sequence[tuple[PerAu, PerAu]], over: str) -> Entry:
    """Make an entry of the F1 and AUC of runs; AUs that have none are left out of a run's mean."""
    f1, auc = ([_percent(shares) for shares in each] for each in zip(*runs, strict=True))
    spread = float(np.std(f1, ddof=1)) if len(f1) > 1 else None
    beside = float(np.mean(auc)) if np.isfinite(auc).all() else None
    return Entry(value=float(np.mean(f1)), spread=spread, n=len(f1), aus=over, beside=beside)


def _percent(shares: PerAu) -> float:
    known = [share for share in shares if share is not None]
    return 100 * float(np.mean(known)) if known else float("nan")


def _baseline(transfers: Iterable[TransferRecord], tested: Sequence[Tested]) -> Row:
    """Give what always seeing every AU scores on each tested dataset."""
    found: dict[Tested, Entry] = {}
    for run in transfers:
        found[_tested(run)] = Entry(value=_percent(run.always_positive))
    missing = Entry(state="missing")
    return Row(
        label="always positive",
        source="baseline",
        entries=tuple(e for place in tested for e in (found[place], missing)),
    )
