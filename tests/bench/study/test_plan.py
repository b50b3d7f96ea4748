"""Plans: what is done stays done, the longest first, and a guess of how long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.config.presets import PRESETS
from bench.results.records import write_record
from bench.study.plan import (
    archive,
    estimated_cost,
    load_or_quarantine,
    make_plan,
    outdated,
    record_of,
)
from bench.system.files import RecordError
from tests.helpers.cells import planned as cell
from tests.helpers.fake_records import record as fabricated
from tests.helpers.fake_records import unfinished


def over(one, record):
    """Put a record into a cell's folder."""
    write_record(one.folder, replace(record, id=one.id))
    return replace(record, id=one.id)


def test_cells_are_parted_by_what_became_of_them(tmp_path):
    grid = [cell(tmp_path, fold=fold) for fold in range(4)]
    done = over(grid[0], fabricated())
    failed = over(grid[1], unfinished("failed", "why"))
    over(grid[2], unfinished("skipped", "no weights"))
    plan = make_plan(grid)
    assert (plan.done, plan.failed) == ([done], [failed])
    assert plan.todo == [grid[2], grid[3]]
    again = make_plan(grid, retry_failed=True)
    assert (again.done, again.failed) == ([done], [])
    assert again.todo == grid[1:]
    fresh = make_plan(grid, fresh=True)
    assert (fresh.todo, fresh.done, fresh.failed) == (grid, [], [])


def test_the_shortest_cell_comes_first_and_then_the_longest(tmp_path):
    grid = [
        cell(tmp_path, "supervised"),
        cell(tmp_path, "ks"),
        cell(tmp_path, "supervised", steps=4000),
        cell(tmp_path, "fixmatch"),
    ]
    first, *rest = make_plan(grid).todo
    assert first is grid[0]
    assert sorted(one.id for one in (first, *rest)) == sorted(one.id for one in grid)
    costs = [estimated_cost(one) for one in rest]
    assert costs == sorted(costs, reverse=True)
    train = PRESETS["quick"].settings.train
    assert estimated_cost(first) == train.steps * train.batch_size


def test_epochs_cost_by_their_share_of_labels(tmp_path):
    tenth, half = (cell(tmp_path, ratio=ratio, steps=0, epochs=2.0) for ratio in (0.1, 0.5))
    assert estimated_cost(half) == pytest.approx(5 * estimated_cost(tenth))


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b""])
def test_a_record_that_cannot_be_read_is_named_and_its_cell_done_again(tmp_path, content):
    one = cell(tmp_path)
    assert record_of(one) is None
    one.folder.mkdir(parents=True)
    path = one.folder / "record.json"
    path.write_bytes(content)
    plan = make_plan([one])
    assert plan.todo == [one]
    assert [sentence.partition(" (")[0] for sentence in plan.damaged] == [
        f"{path} is not a readable record"
    ]
    assert path.read_bytes() == content
    record, (note,) = load_or_quarantine(one)
    assert record is None
    assert note.endswith("set aside as record.json.bad-1")
    assert (one.folder / "record.json.bad-1").read_bytes() == content
    assert load_or_quarantine(one) == (None, [])


def test_a_record_of_another_cell_is_none_of_this(tmp_path):
    one, other = cell(tmp_path), cell(tmp_path, fold=1)
    over(other, fabricated())
    other.folder.rename(one.folder)
    (sentence,) = make_plan([one]).damaged
    assert sentence.endswith(f"is the record of another cell, {other.id}")


def test_an_old_folder_is_put_aside_whole_and_none_is_replaced(tmp_path):
    one = cell(tmp_path)
    assert archive(one) is None
    for number in (1, 2):
        over(one, fabricated())
        (one.folder / "predictions.npz").write_text(str(number))
        place = archive(one)
        assert place == tmp_path / "replaced" / f"{one.id}-{number}"
        assert (place / "predictions.npz").read_text() == str(number)
        assert (place / "record.json").is_file()
        assert not one.folder.exists()


def test_a_folder_that_cannot_be_put_aside_is_one_sentence(tmp_path):
    one = cell(tmp_path)
    over(one, fabricated())
    (tmp_path / "replaced").write_text("a file in its place")
    with pytest.raises(RecordError, match=r"cannot write .*replaced/synthetic-supervised"):
        archive(one)
    assert record_of(one) is not None


def done_before(one, **changes):
    """A done record of the cell's place under another id."""
    record = fabricated(code={"methods/a.py": "1", "bench/b.py": "2"})
    fields = {"id": "old", "cell": one.coordinates, "hashes": {**one.hashes, "cell": "x"}}
    return replace(record, **{**fields, **changes})


def test_records_of_other_code_are_told_of_not_those_of_other_knobs(tmp_path):
    one = replace(cell(tmp_path), code={"methods/a.py": "1", "bench/b.py": "3"})
    other = cell(tmp_path, fold=1)
    before = done_before(one)
    assert outdated([one, other], [before]) == {"bench/b.py": 1}
    assert outdated([one], [replace(before, code={})]) == {"the hash of its cell": 1}
    assert outdated([one], [replace(before, id=one.id)]) == {}
    assert outdated([one], [replace(before, status="failed")]) == {}
    assert outdated([one], [done_before(one, hashes={"config": "other", "cell": "x"})]) == {}


def test_changed_frames_are_told_by_their_hash(tmp_path):
    one = replace(cell(tmp_path), hashes={"data": "a", "cell": "y" * 10})
    before = done_before(one, hashes={"data": "b", "cell": "x"}, code={})
    assert outdated([one], [before]) == {"the hash of its data": 1}
