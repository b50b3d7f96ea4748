"""Cells in words: found by the beginning of their id, spelt out, and told apart."""

from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.results.compare import differences
from bench.results.explain import HASHED, explain_cell, find_cell
from bench.results.records import write_record
from bench.results.status import CellStatus
from bench.study.cell import request_grid
from bench.study.study import make_study
from tests.helpers.cells import planned as cell
from tests.helpers.fake_records import record as fabricated
from tests.helpers.fake_records import unfinished


def keep(results, *records):
    for record in records:
        write_record(results / "runs" / record.id, record)


def standing(record):
    return CellStatus(id=record.id, state=record.status, record=record)


def refusal(results, name):
    with pytest.raises(UsageError) as caught:
        find_cell(results, name)
    return str(caught.value)


def test_a_cell_is_found_by_the_beginning_of_its_id(tmp_path):
    one, other = fabricated(fold=0), fabricated(fold=1)
    keep(tmp_path, one, other)
    assert find_cell(tmp_path, one.id).record == one
    assert find_cell(tmp_path, "synthetic-quick-ks-r0.1-f1").record == other


def test_a_beginning_of_many_names_some_and_counts_the_rest(tmp_path):
    keep(tmp_path, *(fabricated(fold=fold) for fold in range(7)))
    sentence = refusal(tmp_path, "synthetic-")
    assert sentence.startswith("'synthetic-' is the beginning of 7 cells: ")
    assert sentence.endswith("-f4-s0 and 2 more")
    assert sentence.count("synthetic-quick") == 5


def test_a_beginning_of_none_names_the_closest_and_never_hundreds(tmp_path):
    keep(tmp_path, *(fabricated(method=f"m{n}") for n in range(30)), fabricated(method="fixmatch"))
    sentence = refusal(tmp_path, "synthetic-quick-fixmach-r0.1-f0-s0")
    assert "no cell's id begins with 'synthetic-quick-fixmach-r0.1-f0-s0'" in sentence
    assert "among the 31 in " in sentence
    assert " are synthetic-quick-fixmatch-r0.1-f0-s0" in sentence
    assert sentence.count("synthetic-quick") <= 6
    assert refusal(tmp_path, "zzz").count("synthetic-quick") == 5


def test_no_records_are_said_to_be_none(tmp_path):
    assert refusal(tmp_path, "x") == (
        f"there are no records in {tmp_path / 'runs'}: run some cells first"
    )


def test_a_record_is_spelt_out():
    lines = explain_cell(
        standing(fabricated(f1=[0.25, 0.75], warnings=["the sky falls"]))
    ).splitlines()
    assert lines[0] == "synthetic-quick-ks-r0.1-f0-s0"
    assert "  method = ks" in lines
    assert "status  done" in lines
    assert "F1 (last, step 10)  50.00" in lines
    assert "  method.alpha = 0.5" in lines
    assert "  train.lr = 0.01" in lines
    assert f"  mask = mask-0.1-0-0  {HASHED['mask']}" in lines
    assert lines[2].startswith("ks on synthetic: 10 % of the coded frames labelled (rule sparse)")
    assert "warning  the sky falls" in lines


def test_a_failed_record_comes_with_its_reason_and_its_traceback_last():
    text = explain_cell(
        standing(
            unfinished("failed", "it broke", seconds={}, traceback="Traceback: here\nand there")
        )
    )
    assert "status  failed\nreason  it broke" in text
    assert text.endswith("Traceback: here\nand there")
    assert "F1" not in text
    titles = [line for line in text.splitlines() if line in {"frames", "seconds", "rates"}]
    assert titles == ["frames"], "a title stands over what is known alone"


def test_a_cell_that_was_only_asked_for_is_spelt_out_too(tmp_path):
    planned = cell(tmp_path, "supervised", 0.05)
    request_grid(make_study(methods=["supervised"], results=tmp_path), [planned], "run")
    lines = explain_cell(find_cell(tmp_path, planned.id)).splitlines()
    assert "status  missing" in lines
    assert lines[2].startswith("supervised on synthetic: 5 % of the coded frames labelled")
    assert lines[3].startswith("Trained for 800 steps of 16 clips with adamw at 0.003 (one-cycle)")
    assert f"  cell = {planned.hashes['cell']}  {HASHED['cell']}" in lines


def test_a_cell_of_which_nothing_tells_is_said_to_be_one(tmp_path):
    (tmp_path / "runs" / "begun").mkdir(parents=True)
    (tmp_path / "runs" / "begun" / "checkpoint.pt").write_bytes(b"")
    assert refusal(tmp_path, "beg").startswith("begun has no record yet, and no file in grids/")


def test_changed_code_is_told_by_its_files():
    one, other = (
        fabricated(code={"methods/ks.py": code, "bench/train.py": "same"}) for code in ("a", "b")
    )
    assert differences(one, other) == ["code.methods/ks.py: a | b"]


def test_differences_are_knobs_hashes_and_versions_and_never_scores():
    one = fabricated(f1=0.5, environment={"device": "a", "versions": {"torch": "1"}, "host": "x"})
    other = fabricated(
        f1=0.9,
        seed=1,
        config={"method": {"alpha": 0.7, "beta": 1}, "train": {"lr": 0.01}},
        environment={"device": "a", "versions": {"torch": "2"}, "host": "y"},
    )
    assert differences(one, other) == [
        "seed: 0 | 1",
        "config.method.alpha: 0.5 | 0.7",
        "hashes.mask: mask-0.1-0-0 | mask-0.1-0-1",
        "environment.versions.torch: 1 | 2",
        "config.method.beta: (absent) | 1",
    ]
    assert differences(one, one) == []
