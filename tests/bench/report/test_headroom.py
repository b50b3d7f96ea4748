"""Headroom: the share that methods won, its interval, and which settings tell nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.report.fold_counts import FoldCounts
from bench.report.headroom import headroom_sentences, setting_key
from bench.report.model import Entry, NothingToShow, ReportError, Table
from bench.report.statistics import estimate_share, scored_runs
from bench.report.tables.entry_text import format_entry
from bench.report.tables.headroom import headroom_tables
from bench.report.tables.ranks import ranks_table
from bench.report.tables.scores import ssl_table
from bench.results.records import Record
from tests.helpers.fake_records import record, sampled


def runs(control: float, ceiling: float, *seeds: int, **methods: float) -> list[Record]:
    """One run a seed of each, all subjects alike, so that only trainings tell of chance.

    Ceiling minus control is off by 1, -2 and 1 points with three seeds: its interval is +- 4.3.
    """
    found = []
    for method, f1 in {"supervised": control, "ceiling": ceiling, **methods}.items():
        for seed in seeds or (0, 1, 2):
            shift = SHIFTS["ceiling" if method == "ceiling" else "others"][seed] / 100
            found.append(record(method, seed=seed, f1=round(f1 + shift, 2)))
    return found


SHIFTS = {"others": (0, 1, -1), "ceiling": (1, -1, 0)}


def entry(table: Table, label: str) -> Entry:
    (found,) = [row.entries[0] for row in table.rows if row.label == label]
    return found


def people(method: str, skill: float, seed: int = 0, count: int = 9) -> Record:
    """A run on faces that differ in how well they are read, by chance of its own."""
    rng = np.random.default_rng([seed, len(method)])
    faces = np.random.default_rng(seed)
    subjects = [f"F{person:02d}" for person in range(count) for _ in range(60)]
    labels = (faces.random((len(subjects), 2)) < 0.4).astype(np.int8)
    ease = np.repeat(faces.normal(0, 0.08, count), 60)[:, None]
    right = rng.random(labels.shape) < skill + ease
    return sampled(labels, right, subjects, method=method)


def test_the_share_is_of_the_distance_from_control_to_ceiling() -> None:
    (table,) = headroom_tables(runs(0.50, 0.70, fixmatch=0.65, ks=0.45))
    assert entry(table, "headroom, points").value == pytest.approx(20)
    assert entry(table, "fixmatch, % won").value == pytest.approx(75)
    assert entry(table, "ks, % won").value == pytest.approx(-25)
    assert [row.heading for row in table.rows][:2] == [
        "supervised, F1",
        "ceiling, F1 (sees hidden labels)",
    ]


def test_the_ceiling_itself_would_have_won_all_of_it() -> None:
    one, two = people("supervised", 0.6), people("ceiling", 0.85)
    control, ceiling = (scored_runs([r], "last") for r in (one, two))
    share = estimate_share(ceiling, control, ceiling)
    assert share is not None
    assert share.mean == 1
    assert share.interval == pytest.approx((1, 1), abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_of_a_share_is_fiellers(seed: int) -> None:
    """Against the closed form: the two roots of (N - sD)^2 = t^2 var(N - sD)."""
    found = [people(m, f, seed) for m, f in (("aa", 0.7), ("supervised", 0.6), ("ceiling", 0.85))]
    share = estimate_share(*(scored_runs([r], "last") for r in found))
    method, control, ceiling = (FoldCounts.read(r.scores["last"].counts) for r in found)
    value = np.array([method.mean - control.mean, ceiling.mean - control.mean])
    gaps = np.stack(
        [method.without_one - control.without_one, ceiling.without_one - control.without_one]
    )
    count = gaps.shape[1]
    spread = gaps - gaps.mean(axis=1, keepdims=True)
    covariance = (count - 1) / count * spread @ spread.T
    t2 = stats.t.ppf(0.975, count - 1) ** 2
    roots = np.roots(
        [
            value[1] ** 2 - t2 * covariance[1, 1],
            -2 * (value[0] * value[1] - t2 * covariance[0, 1]),
            value[0] ** 2 - t2 * covariance[0, 0],
        ]
    )
    assert share is not None
    assert share.interval == pytest.approx(sorted(roots.real), abs=1e-4)
    assert share.mean == pytest.approx(value[0] / value[1])


def test_intervals_of_shares_hold_the_truth_as_often_as_they_say() -> None:
    """Gaps of many studies, drawn from a known share of 0.4, with the jackknife's own machinery."""
    rng = np.random.default_rng(5)
    held, studies, subjects = 0, 200, 10
    for _ in range(studies):
        ease = rng.normal(0, 60, (subjects, 1))
        hits = {
            name: np.clip(500 + ease + shift + rng.normal(0, 40, (subjects, 1)), 1, 999)
            for name, shift in (("control", 0), ("method", 48), ("ceiling", 120))
        }
        names = tuple(f"F{n}" for n in range(subjects))
        folds = {
            name: {POINT: FoldCounts.make(names, _counts(table))} for name, table in hits.items()
        }
        share = estimate_share(folds["method"], folds["control"], folds["ceiling"])
        assert share is not None
        assert share.interval is not None
        held += share.interval[0] <= 0.4 <= share.interval[1]
    assert 0.90 <= held / studies <= 0.99


POINT = next(iter(scored_runs([record()], "last")))


def _counts(hits: np.ndarray) -> np.ndarray:
    """Counts (S, 4, 1) whose F1 is hits / 1000 for each subject: of equal weight."""
    tp = hits
    missed = 1000 - hits
    return np.stack([tp, missed, missed, np.zeros_like(tp)], axis=1)


def test_shares_are_told_apart_as_differences_to_the_control_are() -> None:
    """The p-value of a share of 0 is that of the difference to the control: one family, Holm's."""
    skills = {"aa": 0.66, "bb": 0.64, "cc": 0.55, "supervised": 0.6, "ceiling": 0.9}
    found = [people(method, skill, seed=11) for method, skill in skills.items()]
    (table,) = headroom_tables(found)
    ranks = ranks_table(found, against="supervised")
    changes = {row.label: row.entries[1] for row in ranks.rows}
    raw = []
    for method in ("aa", "bb", "cc"):
        share = entry(table, f"{method}, % won")
        assert share.p == pytest.approx(changes[method].p)
        assert share.tied == changes[method].tied
        bounds = (scored_runs([r], "last") for r in (found[3], found[4]))
        alone = estimate_share(scored_runs([found["abc".index(method[0])]], "last"), *bounds)
        assert alone is not None
        raw.append(alone.p)
    corrected = [entry(table, f"{method}, % won").p for method in ("aa", "bb", "cc")]
    assert min(corrected) == pytest.approx(min(1, 3 * min(raw)))
    assert corrected != pytest.approx(raw)


def test_where_nothing_is_to_be_won_no_share_is_told() -> None:
    (table,) = headroom_tables(runs(0.50, 0.51, fixmatch=0.55))
    assert entry(table, "headroom, points").tied
    assert format_entry(entry(table, "fixmatch, % won")) == "nothing to win"
    assert any(note.startswith("nothing to win: the ceiling is not told") for note in table.notes)


def test_a_setting_is_uninformative_where_half_of_it_cannot_be_told() -> None:
    (note,) = uninformative(ssl_table(runs(0.50, 0.53)))
    assert note.startswith("uninformative about methods at 10 % labels: the ceiling is +3.0 points")
    assert uninformative(ssl_table(runs(0.50, 0.70))) == []
    assert uninformative(ranks_table(runs(0.50, 0.53, ks=0.4)))


def test_without_three_seeds_trainings_count_as_they_did_elsewhere() -> None:
    """2 trainings of one fold, spread 1.4: 1.96 * 1.4 * sqrt(2 / 1) is 3.9 points."""
    (note,) = uninformative(ssl_table(runs(0.50, 0.56, 0)))
    assert "could not be told from nothing (± 3.9)" in note
    assert uninformative(ssl_table(runs(0.50, 0.57, 0))) == []


def test_with_all_labels_no_headroom_is_looked_for() -> None:
    found = [record(method, ratio=1.0) for method in ("supervised", "ceiling", "ks")]
    assert uninformative(ssl_table(found)) == []


def uninformative(table: Table) -> list[str]:
    return [note for note in table.notes if note.startswith("uninformative")]


def test_the_ceiling_is_never_ranked() -> None:
    table = ranks_table(runs(0.5, 0.7, ks=0.6))
    assert [row.label for row in table.rows] == ["supervised", "ks"]
    assert not [name for name in table.columns if "ceiling" in name]
    with pytest.raises(NothingToShow, match="never ranked"):
        ranks_table(runs(0.5, 0.7, ks=0.6), against="ceiling")


def test_in_other_tables_it_comes_last_and_says_what_it_is() -> None:
    table = ssl_table(runs(0.5, 0.7, ks=0.6))
    assert [row.heading for row in table.rows][:3] == [
        "supervised",
        "ks",
        "ceiling (sees hidden labels)",
    ]
    assert any(note.startswith("sees hidden labels: the control taught") for note in table.notes)


def with_knobs(found: list[Record], recipe: Any = "common", **train: Any) -> list[Record]:
    """The same runs under another training."""
    name = "-".join(map(str, train.values()))
    return [
        dataclasses.replace(
            r,
            id=f"{r.id}-{name}",
            recipe=recipe,
            config={**r.config, "train": {**r.config["train"], **train}},
            hashes={**r.hashes, "config": f"{r.hashes['config']} {name}"},
        )
        for r in found
    ]


def test_every_setting_has_a_table_of_its_own() -> None:
    found = runs(0.5, 0.7, ks=0.6) + with_knobs(runs(0.5, 0.52, ks=0.6), lr=0.1)
    first, second = headroom_tables(found)
    assert "with train.lr=0.01:" in first.title
    assert "with train.lr=0.1:" in second.title
    assert entry(first, "headroom, points").value == pytest.approx(20)
    assert entry(second, "headroom, points").value == pytest.approx(2)


def test_a_setting_does_not_depend_on_where_its_files_lie() -> None:
    """Two machines, one results folder: the same weights and landmarks under other folders."""
    found = runs(0.5, 0.7, ks=0.6)
    moved = [
        dataclasses.replace(
            item,
            config={
                **item.config,
                "trunk": {"name": "resnet18", "weights": f"/{item.cell['method']}/w.pt"},
                "dataset": {"landmarks": f"/{item.cell['method']}/faces.csv"},
            },
            hashes={**item.hashes, "config": "same for all"},
        )
        for item in found
    ]
    (table,) = headroom_tables(moved)
    assert entry(table, "ks, % won").value == pytest.approx(50)


def test_a_method_with_a_recipe_of_its_own_stands_beside_the_control() -> None:
    found = runs(0.5, 0.7) + with_knobs(
        [record("eac", seed=s, f1=0.6) for s in range(3)], "own", lr=1
    )
    (table,) = headroom_tables(found)
    assert entry(table, "eac, % won").value == pytest.approx(50)


def test_several_versions_of_the_control_must_be_told_apart() -> None:
    found = runs(0.5, 0.7)
    other = dataclasses.replace(found[0], id="other", hashes={**found[0].hashes, "code": "another"})
    with pytest.raises(ReportError, match="supervised was run in more than one version"):
        headroom_tables([*found, other])


def test_without_a_ceiling_the_table_says_what_to_run() -> None:
    with pytest.raises(NothingToShow, match="run with --methods supervised,ceiling"):
        headroom_tables([record("supervised"), record("ks")])


def test_run_says_what_is_known_and_what_is_not_of_its_setting() -> None:
    found = runs(0.50, 0.51)
    key = setting_key(found[0].config, "common")
    said = list(headroom_sentences([key], [0.1, 0.2, 1.0], found, unknown=True))
    assert said[0].startswith("uninformative about methods at 10 % labels")
    assert said[1].startswith("headroom unknown at 20 % labels: --methods supervised,ceiling")
    other = setting_key({"train": {"lr": 5}}, "common")
    assert list(headroom_sentences([other], [0.1], found, unknown=False)) == []
