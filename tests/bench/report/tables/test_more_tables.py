"""Areas under label budgets, pooled folds, women and men, single subjects: against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.report.metric import Scoring, find_metric
from bench.report.model import NothingToShow, Table
from bench.report.tables.budget import budget_table, log_weights
from bench.report.tables.people import sex_table, subject_table
from bench.report.tables.pooling import pooling_table
from bench.results.records import Record
from tests.helpers.fake_records import record, sampled

PEOPLE = [f"{'FM'[n % 2]}{n:03d}" for n in range(8)]
FRAMES = 40


def run(method: str, luck: int, right: float = 0.75, **place: object) -> Record:
    labels = (np.random.default_rng(7).random((len(PEOPLE) * FRAMES, 2)) < 0.4).astype(np.int8)
    hits = np.random.default_rng(luck).random(labels.shape) < right
    subjects = [name for name in PEOPLE for _ in range(FRAMES)]
    return sampled(labels, hits, subjects, method=method, **place)


def rows(table: Table) -> dict[str, tuple]:
    return {row.label: row.entries for row in table.rows}


def counts(item: Record, names: list[str]) -> np.ndarray:
    return np.sum([item.scores["last"].counts[name] for name in names], axis=0)


def f1(item: Record, names: list[str]) -> float:
    """Mean F1 over the AUs, of some subjects' frames."""
    tp, fp, fn, _ = counts(item, names)
    return float(np.mean(2 * tp / (2 * tp + fp + fn)))


# Areas -----------------------------------------------------------------------------------------


def test_the_area_is_numpys_trapezoid_over_the_logarithm() -> None:
    f1s = {0.01: 0.4, 0.1: 0.55, 1.0: 0.6}
    table = budget_table([record("supervised", ratio, f1=f1) for ratio, f1 in f1s.items()])
    places = np.log10(list(f1s))
    expected = np.trapezoid(list(f1s.values()), places) / (places[-1] - places[0])
    assert rows(table)["supervised"][0].value == pytest.approx(100 * expected)
    assert sum(log_weights([0.01, 0.05, 1.0]).values()) == pytest.approx(1)


def test_a_difference_of_areas_leaves_people_out_of_all_ratios() -> None:
    ratios = (0.1, 1.0)
    a = {r: run("ks", 1, 0.8, ratio=r) for r in ratios}
    b = {r: run("supervised", 2, ratio=r) for r in ratios}

    def gap(names: list[str]) -> float:
        return float(np.mean([f1(a[r], names) - f1(b[r], names) for r in ratios]))

    left = [gap([other for other in PEOPLE if other != name]) for name in PEOPLE]
    error = math.sqrt((len(left) - 1) ** 2 / len(left) * np.var(left, ddof=1))
    low, high = stats.t.interval(0.95, len(left) - 1, gap(PEOPLE), error)
    found = rows(budget_table([*a.values(), *b.values()]))["ks"][1]
    assert found.value == pytest.approx(100 * gap(PEOPLE))
    assert found.interval == pytest.approx((100 * low, 100 * high))


def test_areas_are_over_the_ratios_that_all_curves_have() -> None:
    runs = [record("supervised", r, f1=r) for r in (0.01, 0.1, 1.0)]
    runs += [record("ks", r, f1=0.5) for r in (0.1, 1.0)] + [record("tcl", 0.1)]
    table = budget_table(runs)
    assert rows(table)["supervised"][0].value == pytest.approx(55)
    assert rows(table)["tcl"][0].state == "missing"
    assert any("from 10 % to 100 %" in note for note in table.notes)


def test_areas_whose_common_runs_miss_a_ratio_have_no_difference() -> None:
    """Not that of the ratios that are left, and no end of the table."""
    control = [run("supervised", 2, ratio=r, seed=0) for r in (0.1, 1.0)]
    partly = [run("ks", 1, ratio=r, seed=s) for r, s in ((0.1, 0), (1.0, 1))]
    never = [run("tcl", 3, ratio=r, seed=1) for r in (0.1, 1.0)]
    whole = [run("eac", 4, ratio=r, seed=0) for r in (0.1, 1.0)]
    found = rows(budget_table([*control, *partly, *never, *whole]))
    known = {label for label, (_, change) in found.items() if change.value is not None}
    assert known == {"eac"}


def test_one_ratio_has_no_area() -> None:
    with pytest.raises(NothingToShow, match="an area needs two label ratios"):
        budget_table([record("ks")])


# Pooling ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f1", "kappa", "balanced-accuracy"])
def test_pooled_scores_are_of_all_folds_outcomes_together(name: str) -> None:
    scoring = Scoring("last", find_metric(name))
    runs = [run("ks", 10 * s + f, 0.6 + 0.1 * f, fold=f, seed=s) for f in (0, 1) for s in (0, 1)]
    measure = scoring.metric.of_outcomes
    assert measure is not None
    pooled = [
        np.mean(measure(sum(counts(item, PEOPLE) for item in runs if item.cell["seed"] == seed)))
        for seed in (0, 1)
    ]
    entry = rows(pooling_table(runs, select=scoring))["ks"][0]
    assert entry.value == pytest.approx(100 * np.mean(pooled))
    means = [np.mean(scoring.per_au(item)) for item in runs]
    assert entry.beside == pytest.approx(100 * np.mean(means))


def test_rankings_are_not_pooled() -> None:
    with pytest.raises(NothingToShow, match="auc is no metric of counts"):
        pooling_table([run("ks", 1)], select=Scoring("last", find_metric("auc")))


# People ----------------------------------------------------------------------------------------


def test_women_and_men_are_scored_apart_and_their_gap_has_an_interval() -> None:
    item = run("ks", 3)
    women, men = PEOPLE[::2], PEOPLE[1::2]

    def gap(names: list[str]) -> float:
        return f1(item, [n for n in names if n in women]) - f1(item, [n for n in names if n in men])

    parts = []
    for own in (women, men):  # two samples of people: Welch's error and degrees of freedom
        left = [gap([other for other in PEOPLE if other != name]) for name in own]
        parts.append((len(own) - 1) ** 2 / len(own) * np.var(left, ddof=1))
    df = sum(parts) ** 2 / sum(part**2 / (len(women) - 1) for part in parts)
    low, high = stats.t.interval(0.95, df, gap(PEOPLE), math.sqrt(sum(parts)))
    found = rows(sex_table([item]))
    assert found["ks: women"][0].value == pytest.approx(100 * f1(item, women))
    assert found["ks: men"][0].value == pytest.approx(100 * f1(item, men))
    assert found["ks: women - men"][0].value == pytest.approx(100 * gap(PEOPLE))
    assert found["ks: women - men"][0].interval == pytest.approx((100 * low, 100 * high))


def test_gaps_of_few_women_and_many_men_hold_none_as_often_as_they_say() -> None:
    """No true gap, three women and nine men: each of their F1 from the same people."""
    rng, held, studies = np.random.default_rng(2), 0, 150
    names = [*(f"F{n}" for n in range(3)), *(f"M{n}" for n in range(9))]
    labels = np.ones((len(names) * FRAMES, 1), dtype=np.int8)
    labels[::2] = 0
    for _ in range(studies):
        skill = np.repeat(rng.beta(8, 3, len(names)), FRAMES)[:, None]
        item = sampled(labels, rng.random(labels.shape) < skill, np.repeat(names, FRAMES).tolist())
        (entry,) = rows(sex_table([item]))["ks: women - men"]
        held += entry.interval[0] <= 0 <= entry.interval[1]
    assert 0.91 <= held / studies <= 0.99


def test_the_gap_to_a_single_woman_is_untested() -> None:
    labels = np.ones((12, 1), dtype=np.int8)
    names = ["F1", *(f"M{n}" for n in range(2))]
    item = sampled(labels, labels.astype(bool), [name for name in names for _ in range(4)])
    (entry,) = rows(sex_table([item]))["ks: women - men"]
    assert entry.untested
    assert entry.remark == "only one of the test subjects is of the women"


def test_names_that_tell_no_sex_are_one_sentence() -> None:
    labels = np.ones((4, 1), dtype=np.int8)
    item = sampled(labels, labels.astype(bool), ["SN001", "SN001", "SN002", "SN002"])
    with pytest.raises(NothingToShow, match="names of subjects have to begin with F or M"):
        sex_table([item])


def test_subjects_are_listed_from_the_worst_served() -> None:
    runs = [run("ks", 1), run("tcl", 2)]
    table = subject_table(runs)
    means = []
    for row in table.rows:
        values = []
        for item, entry in zip(runs, row.entries, strict=True):
            tp, fp, fn, _ = counts(item, [row.label]).sum(axis=1)
            assert entry.value == pytest.approx(100 * 2 * tp / (2 * tp + fp + fn))
            values.append(entry.value)
        means.append(float(np.mean(values)))
    assert means == sorted(means)
    assert {row.label for row in table.rows} == set(PEOPLE)
    assert table.columns == ("ks", "tcl")
