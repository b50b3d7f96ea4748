"""Searches: equal budgets, trials on validation subjects alone, and going on after a stop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.dataset import OpenedDataset
from bench.errors import UsageError
from bench.results.records import Scores, write_record
from bench.results.searches import SearchRecord, Trial, read_search, write_search
from bench.runner.record_builder import failure_record
from bench.runner.setup import build_experiment
from bench.study.cell import Cell, plan_cells
from bench.study.study import Study
from bench.tuning.search import (
    STARTUP,
    Execute,
    check_validation,
    open_searches,
    search,
    spaces_of,
)
from tests.helpers import cells
from tests.helpers.cells import run

METHODS = ("supervised", "fixmatch")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> OpenedDataset:
    return cells.opened(asked(tmp_path_factory.mktemp("faces")))


def asked(folder: Path, methods: Sequence[str] = METHODS, *knobs: str, ratio: str = "0.2") -> Study:
    return cells.study(
        folder, methods=methods, ratios=[ratio], knobs=("data.val_subjects=2", *knobs)
    )


def pretend(cell: Cell, best: float = 0.02) -> None:
    """Write a record as a cell might: the nearer the rate to `best`, the better."""
    lr = cell.settings.train.lr
    f1 = round(math.exp(-(math.log(lr / best) ** 2)), 6)
    scores = Scores(step=1, f1=[f1], auc=[None], accuracy=[None], counts={})
    record = replace(
        failure_record(cell, "done", ""), scores={"last": scores}, seconds={"total": 2.0}
    )
    write_record(cell.folder, record)


def carry_out(some: Sequence[Cell]) -> None:
    for cell in some:
        pretend(cell)


def searched(
    faces: OpenedDataset,
    folder: Path,
    *,
    trials: int = 8,
    execute: Execute = carry_out,
    **options: Any,
) -> dict[str, list[Trial]]:
    study = asked(folder)
    found = open_searches(study, faces, folder / "trials", spaces_of(study))
    search(found, faces, execute, trials=trials, **options)
    return {str(one.method): one.told(trials, faces) for one in found}


def test_every_method_gets_as_many_trials_and_begins_untuned(faces, tmp_path) -> None:
    found = searched(faces, tmp_path)
    assert {method: len(trials) for method, trials in found.items()} == dict.fromkeys(METHODS, 8)
    for method, trials in found.items():
        assert [trial.number for trial in trials] == list(range(8))
        assert trials[0].knobs[f"{method}.train.lr"] == 0.006
        assert len({trial.knobs[f"{method}.train.lr"] for trial in trials}) == 8
        assert all(trial.seconds == 2.0 for trial in trials)
    assert found["fixmatch"][0].knobs["fixmatch.tau"] == 0.95


def test_more_trials_later_go_on_from_those_there_are(faces, tmp_path) -> None:
    few = searched(faces, tmp_path, trials=3)
    more = searched(faces, tmp_path, trials=7)
    again = searched(faces, tmp_path, trials=3)
    for method in METHODS:
        assert more[method][:3] == few[method] == again[method]
        assert len(more[method]) == 7


def test_a_torn_record_of_a_trial_is_not_the_end_of_a_search(faces, tmp_path) -> None:
    first = searched(faces, tmp_path, trials=2)
    (place,) = tmp_path.glob(f"trials/runs/{first['fixmatch'][1].cells[0]}")
    (place / "record.json").write_text("{")
    again = searched(faces, tmp_path, trials=2)
    assert again["fixmatch"][1].reason == "it has no record"
    assert searched(faces, tmp_path, trials=3)["fixmatch"][0] == first["fixmatch"][0]


def test_a_smaller_budget_carries_out_nothing_that_a_larger_one_began(faces, tmp_path) -> None:
    rounds = 0

    def stopping_in_the_second(some: Sequence[Cell]) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 2:
            raise KeyboardInterrupt
        carry_out(some)

    with pytest.raises(KeyboardInterrupt):
        searched(faces, tmp_path, trials=4, at_once=2, execute=stopping_in_the_second)
    found = searched(faces, tmp_path, trials=2, at_once=2, execute=stopping_in_the_second)
    assert rounds == 2
    assert [len(trials) for trials in found.values()] == [2, 2]


def test_a_search_that_was_stopped_makes_the_trials_of_one_that_was_not(faces, tmp_path) -> None:
    whole = searched(faces, tmp_path / "whole")
    calls = 0

    def stopping(some: Sequence[Cell]) -> None:
        nonlocal calls
        calls += 1
        if calls % 2:
            pretend(some[0])  # one of two cells is over, and neither was told
            raise KeyboardInterrupt
        carry_out(some)

    folder, stops = tmp_path / "stopped", 0
    while True:
        try:
            stopped = searched(faces, folder, execute=stopping)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 3
    assert {m: [asdict(t) for t in ts] for m, ts in stopped.items()} == {
        m: [asdict(t) for t in ts] for m, ts in whole.items()
    }


def test_settings_side_by_side_stay_within_the_budget(faces, tmp_path) -> None:
    sizes: list[int] = []

    def counting(some: Sequence[Cell]) -> None:
        sizes.append(len(some))
        carry_out(some)

    found = searched(faces, tmp_path, trials=5, execute=counting, at_once=3)
    assert sizes == [6, 4]
    assert {len(trials) for trials in found.values()} == {5}


def test_the_sampler_goes_by_what_it_is_told_after_the_first_five(faces, tmp_path) -> None:
    def otherwise(some: Sequence[Cell]) -> None:
        for cell in some:
            pretend(cell, best=0.0004)

    high = searched(faces, tmp_path / "a", trials=12)["supervised"]
    low = searched(faces, tmp_path / "b", trials=12, execute=otherwise)["supervised"]
    assert [t.knobs for t in high[:STARTUP]] == [t.knobs for t in low[:STARTUP]]
    rates = [
        np.log([t.knobs["supervised.train.lr"] for t in some[STARTUP:]]) for some in (high, low)
    ]
    assert rates[0].mean() > rates[1].mean()


def test_a_trial_that_fails_counts_and_is_never_chosen(faces, tmp_path) -> None:
    def half(some: Sequence[Cell]) -> None:
        for cell in some:
            if cell.settings.train.lr > 0.004:
                write_record(cell.folder, failure_record(cell, "failed", "the loss is not finite"))
            else:
                pretend(cell)

    trials = searched(faces, tmp_path, trials=6, execute=half)["supervised"]
    assert (trials[0].value, trials[0].reason) == (None, "failed: the loss is not finite")
    assert len(trials) == 6
    record = as_record({"supervised": trials})
    assert record.best("supervised", 0).value is not None
    assert next(best for *_, best in record.curve("supervised", 0)) is None


def as_record(trials: dict[str, list[Trial]]) -> SearchRecord:
    return SearchRecord(
        name="x",
        command="",
        question={"trials": 6, "val_subjects": 2, "ratios": [0.2], "seeds": [0]},
        searched={},
        trials={method: {"0": tried} for method, tried in trials.items()},
    )


def test_best_is_the_first_of_equals_and_the_curve_never_falls() -> None:
    values = [0.2, None, 0.5, 0.4, 0.5]
    tried = [
        Trial(number=n, knobs={}, value=v, seconds=1.5, cells=[], device="cpu")
        for n, v in enumerate(values)
    ]
    record = as_record({"ks": tried})
    assert record.best("ks", 0).number == 2
    assert list(record.curve("ks", 0)) == [
        (1, 1.5, 0.2),
        (2, 3.0, 0.2),
        (3, 4.5, 0.5),
        (4, 6.0, 0.5),
        (5, 7.5, 0.5),
    ]
    with pytest.raises(UsageError, match="no trial of ks in fold 0 finished"):
        as_record({"ks": tried[1:2]}).best("ks", 0)


def test_a_search_record_is_read_back_as_it_was_written(faces, tmp_path) -> None:
    record = as_record(searched(faces, tmp_path, trials=2))
    write_search(tmp_path / "search.json", record)
    assert read_search(tmp_path / "search.json") == record
    (tmp_path / "torn.json").write_text('{"schema": 1}')
    with pytest.raises(UsageError, match=r"torn.json is no record of a search"):
        read_search(tmp_path / "torn.json")


# What a trial is scored on -----------------------------------------------------------------------


def trial_of(folder: Path, faces: OpenedDataset) -> Cell:
    (cell,) = plan_cells(asked(folder, ["supervised"]), faces, trial=True)
    return cell


def test_a_trial_is_scored_on_validation_key_frames_alone(faces, tmp_path) -> None:
    cell = trial_of(tmp_path, faces)
    record = run(cell)
    assert (record.status, record.trial) == ("done", True)
    split = faces.split(cell.point, 2)
    assert set(record.scores["last"].counts) == set(split.validation)
    assert not set(split.validation) & {*split.test, *split.train}
    with np.load(cell.folder / "predictions.npz") as predictions:
        scored = set(
            zip(*(predictions[k].tolist() for k in ("subject", "task", "frame")), strict=True)
        )
    mask = faces.labelled_split(cell.point, 2).mask
    keys = {
        (s.subject, s.task, int(frame))
        for s in faces.sequences_of(split.validation)
        for frame in mask.key_frames[s.name]
    }
    assert scored == keys
    assert record.frames["test"] == len(keys)
    assert record.frames["labelled"] == sum(map(len, mask.key_frames.values()))


def test_no_label_of_a_test_subject_changes_a_trial(faces, tmp_path) -> None:
    cell = trial_of(tmp_path / "a", faces)
    experiment = build_experiment(cell, torch.device("cpu"))
    test = set(faces.split(cell.point, 2).test)
    assert not test & {s.subject for s in experiment.test}
    assert not test & {s.subject for s in experiment.validation}
    rows = np.concatenate([experiment.train_keys, experiment.validation_keys, experiment.test_rows])
    of_test = [np.arange(s.start, s.start + len(s.frames)) for s in faces.sequences_of(tuple(test))]
    assert not np.isin(rows, np.concatenate(of_test)).any()


def test_a_trial_is_another_cell_than_the_run_it_is_like(faces, tmp_path) -> None:
    study = asked(tmp_path, ["supervised"])
    (real,), (trial,) = plan_cells(study, faces), plan_cells(study, faces, trial=True)
    assert real.id != trial.id
    assert "supervised-trial-r0.2" in trial.id
    assert real.hashes["mask"] == trial.hashes["mask"]


def test_validation_frames_that_show_no_au_can_choose_nothing(faces, tmp_path) -> None:
    check_validation(asked(tmp_path), faces)
    still = tuple(replace(s, labels=np.zeros_like(s.labels)) for s in faces.store.sequences)
    calm = replace(faces, store=replace(faces.store, sequences=still))
    with pytest.raises(
        UsageError, match=r"no choice can be tested in fold 0: on the \d+ key frames"
    ):
        check_validation(asked(tmp_path), calm)


def test_two_variants_of_a_method_have_no_common_recipe(tmp_path) -> None:
    with pytest.raises(UsageError, match="tune one of fixmatch and its variants at a time"):
        spaces_of(asked(tmp_path, ["fixmatch", "fixmatch:no_ema"]))
