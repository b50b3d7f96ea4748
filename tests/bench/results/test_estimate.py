"""Forecasts: by cells alike, scaled by their work, and silent where nothing is known."""

from __future__ import annotations

from typing import Any

import pytest

from bench.results.estimate import Estimate, Estimator, estimate
from tests.helpers.fake_records import record as fabricated

STEPS = {"train": {"steps": 100, "batch_size": 8}, "trunk": {"name": "a"}, "data": {"size": 64}}
EPOCHS = {"train": {"epochs": 50.0, "batch_size": 8}}


def timed(total, train=0.0, config: Any = STEPS, memory=0.0, finished="", **place):
    return fabricated(
        seconds={"train": train, "total": total},
        config=config,
        peak_memory_mib=memory,
        environment={"finished": finished},
        **place,
    )


def place(**changes):
    return {**fabricated().cell, **changes}


def test_time_is_guessed_from_cells_of_the_same_kind():
    records = [
        timed(10.0, method="ks"),
        timed(30.0, method="ks", fold=1),
        timed(2.0, method="supervised"),
        timed(900.0, method="ks", preset="paper"),
        timed(900.0, method="supervised", dataset="bp4d"),
    ]
    todo = [(place(method=name), STEPS, 1.0) for name in ("ks", "ks", "supervised")]
    one, two, many = (estimate(todo, records, slots) for slots in (1, 2, 64))
    assert [one.seconds, two.seconds] == pytest.approx([42, 21])
    assert many.seconds == pytest.approx(20)  # the longest cell is not to be split
    assert one.unknown == ()


def test_training_is_scaled_by_its_work_and_the_rest_is_not():
    guess = Estimator([timed(30.0, train=20.0)])
    longer = {**STEPS, "train": {"steps": 300, "batch_size": 8}}
    assert guess.seconds(place(), longer) == pytest.approx(10 + 60)
    epochs = Estimator([timed(30.0, train=20.0, config=EPOCHS, ratio=0.1)])
    assert epochs.seconds(place(ratio=1.0), EPOCHS) == pytest.approx(10 + 200)


def test_steps_tell_nothing_of_epochs():
    assert Estimator([timed(30.0)]).seconds(place(), EPOCHS) is None


def test_a_cell_with_the_same_trunk_tells_more_than_others():
    other = {**STEPS, "trunk": {"name": "b"}}
    records = [timed(10.0), timed(90.0, config=other)]
    assert Estimator(records).seconds(place(), other) == pytest.approx(90)
    third = {**STEPS, "trunk": {"name": "c"}}
    assert Estimator(records).seconds(place(), third) == pytest.approx(50)


def test_the_latest_cells_tell_of_the_machines_in_use():
    old = [timed(1000.0, finished="2026-01-01") for _ in range(5)]
    new = [timed(10.0, finished=f"2026-02-{day:02d}") for day in range(1, 21)]
    assert Estimator([*new, *old]).seconds(place(), STEPS) == pytest.approx(10)


def test_memory_is_the_highest_peak_of_cells_alike():
    records = [timed(1.0, memory=500.0), timed(1.0, memory=800.0), timed(1.0, memory=9e9, fold=1)]
    found = estimate([(place(), STEPS, 1.0)], records[:2], 1)
    assert found
    assert found.memory_mib == 800


def test_what_is_new_is_named_and_nothing_is_guessed_from_nothing():
    todo = [(place(method="ks"), STEPS, 1.0), (place(method="new"), STEPS, 1.0)]
    found = estimate(todo, [timed(10.0, method="ks")], 1)
    assert found
    assert (found.seconds, found.unknown) == (10.0, ("new",))
    assert estimate(todo[1:], [timed(10.0, method="ks")], 1) is None
    assert estimate([], [timed(10.0)], 1) is None


def test_what_is_half_done_takes_half_the_time():
    found = estimate([(place(), STEPS, 0.25)], [timed(40.0)], 1)
    assert found
    assert found.seconds == pytest.approx(10)


def test_a_forecast_reads_well():
    assert Estimate(42.0, 0.0, ()).describe(1) == "about 42 s on 1 worker, going by earlier cells"
    assert Estimate(600.0, 1234.5, ("ks",)).describe(2) == (
        "at least 10 min on 2 workers, 1,234 MiB each, going by earlier cells; without ks, new here"
    )
    many = Estimate(600, 0, ("a", "b", "c", "d", "e")).describe(1)
    assert many.endswith("; without 5 methods, new here")
    assert Estimate(9000.0, 0.0, ()).describe(1).startswith("about 2.5 h on")
