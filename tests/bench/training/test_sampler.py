"""The sampler: who is seen when, as a function of (pairing, step) and of nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from bench.config.names import GridPoint
from bench.config.settings import DataConfig
from bench.data.frame_table import FrameTable, clip_rows
from bench.errors import UsageError
from bench.training.sampler import Sampler, StreamKey, window_rows
from methods._base import Needs

LENGTHS = (20, 9, 30)
STREAM_KEY = StreamKey("toy", GridPoint(ratio=0.1, fold=0, seed=0))
IMAGE = Needs()
FRAMES = Needs(clip_len=5, key="cyclic", views=("weak", "strong"), unlabelled_ratio=4)
CLIPS = Needs(clip_len=5, key="cyclic", key_view="weak2", clips=True)


def table(lengths=LENGTHS, uncoded=()):
    starts = np.cumsum([0, *lengths[:-1]])
    first = np.repeat(starts, lengths)
    last = np.repeat(starts + np.array(lengths) - 1, lengths)
    labels = np.zeros((sum(lengths), 3), dtype=np.int8)
    labels[list(uncoded)] = -1
    return FrameTable(labels, first, last, None)


def sampler(keys, needs=FRAMES, frames=None, batch=4, key=STREAM_KEY, **data):
    frames = frames or table()
    rows = np.arange(len(frames.labels))
    config = DataConfig(**data)
    return Sampler(
        frames,
        np.array(keys),
        rows,
        needs=needs,
        data=config,
        batch_size=batch,
        key=key,
    )


KEYS = [0, 10, 20, 29, 39, 49]


def test_clips_stand_around_their_key_frame_and_stop_at_the_sequence_ends():
    rows = clip_rows(table(), np.array([0, 19, 20, 28, 40]), slot=1, length=5, stride=2)
    expected = [[0, 0, 2, 4, 6], [17, 19, 19, 19, 19], [20, 20, 22, 24, 26]]
    expected += [[26, 28, 28, 28, 28], [38, 40, 42, 44, 46]]
    assert rows.tolist() == expected


@pytest.mark.parametrize("slot", range(5))
def test_window_clips_are_distinct_sorted_frames_within_half_a_step(slot):
    frames = table((400,))
    rng = np.random.default_rng(1)
    rows = window_rows(frames, np.full(200, 200), slot, 5, 50, rng)
    assert (np.diff(rows, axis=1) > 0).all()
    assert (rows[:, slot] == 200).all()
    assert rows.min() >= 150
    assert rows.max() <= 250
    assert rows.min() < 160 or slot == 0
    assert rows.max() > 240 or slot == 4


def test_an_epoch_shows_every_key_frame_once():
    plan = sampler(range(0, 48, 2), needs=IMAGE, batch=6)
    seen = np.concatenate([plan.indices(step).keys for step in range(4)])
    assert sorted(seen) == list(range(0, 48, 2))
    assert plan.steps_per_epoch == 4


def test_batches_run_on_across_epochs_at_full_size():
    plan = sampler(KEYS, needs=IMAGE, batch=4)
    assert all(len(plan.indices(step).keys) == 4 for step in range(7))
    seen = np.concatenate([plan.indices(step).keys for step in range(3)])
    assert sorted(seen) == sorted(KEYS * 2)


def test_the_order_does_not_depend_on_what_a_method_needs():
    plans = [sampler(KEYS, needs=needs) for needs in (IMAGE, FRAMES, CLIPS)]
    for step in range(9):
        keys = [plan.indices(step).keys.tolist() for plan in plans]
        assert keys[0] == keys[1] == keys[2]


def test_another_seed_is_another_order():
    other = StreamKey("toy", GridPoint(ratio=0.1, fold=0, seed=1))
    keys = range(0, 48, 2)
    assert (
        sampler(keys).indices(0).keys.tolist() != sampler(keys, key=other).indices(0).keys.tolist()
    )


def test_a_step_asked_for_out_of_turn_is_the_same_step():
    plan, again = sampler(KEYS), sampler(KEYS)
    in_turn = [plan.indices(step) for step in range(8)]
    for step in (5, 2, 7, 7, 0):
        assert again.indices(step).keys.tolist() == in_turn[step].keys.tolist()
        assert again.indices(step).extra.tolist() == in_turn[step].extra.tolist()


def test_the_key_slot_goes_round_and_is_one_for_the_whole_batch():
    plan = sampler(KEYS)
    assert [plan.indices(step).slot for step in range(7)] == [0, 1, 2, 3, 4, 0, 1]
    centred = sampler(KEYS, needs=Needs(clip_len=5, clips=True))
    assert {centred.indices(step).slot for step in range(7)} == {2}


def test_unlabelled_frames_are_the_clips_others() -> None:
    where = sampler([10, 40], batch=2).indices(2)
    expected = {10: [8, 9, 11, 12], 40: [38, 39, 41, 42]}
    assert where.extra.tolist() == [row for key in where.keys for row in expected[key]]


@pytest.mark.parametrize("pool", ["clip", "all"])
def test_unlabelled_frames_have_draws_of_their_own(pool: str) -> None:
    where = sampler([10, 40], batch=2, pool=pool).indices(2)
    assert where.draw_of_extra.tolist() == list(range(2, 10))
    assert where.draws == 10


def test_the_frames_of_a_clip_share_its_draw() -> None:
    where = sampler([10, 40], needs=CLIPS, batch=2).indices(2)
    assert where.draw_of_extra.tolist() == [0] * 5 + [1] * 5
    assert where.draws == 2


def test_the_pool_counts_the_frames_that_come_in_clips() -> None:
    plan = sampler([5, 40], needs=CLIPS)
    steps = [sampler([5, 40], needs=CLIPS, batch=2).indices(step) for step in range(5)]
    seen = set(np.concatenate([where.extra for where in steps]).tolist())
    assert len(plan.unlabelled_rows) == len(seen - {5, 40}) == 16
    assert len(sampler([5, 40], needs=IMAGE).unlabelled_rows) == 0


@pytest.mark.parametrize("needs", [CLIPS, FRAMES])
def test_the_pool_of_a_window_is_what_the_window_reaches(needs: Needs) -> None:
    plan = sampler([25], needs=needs, batch=1, neighbours="window")
    seen = {row for step in range(400) for row in plan.indices(step).extra.tolist()}
    assert len(plan.unlabelled_rows) == len(seen - {25})


def test_clips_are_tested_as_they_are_trained_on_average() -> None:
    frames = table(lengths=(2001,))
    one_percent = StreamKey("toy", GridPoint(ratio=0.01, fold=0, seed=0))
    plan = sampler(
        [1000], frames=frames, needs=Needs(clip_len=5, clips=True), batch=1, key=one_percent,
        neighbours="window",
    )  # fmt: skip
    offsets = np.mean([plan.indices(step).extra - 1000 for step in range(2000)], axis=0)
    assert plan.test_stride == 17
    assert offsets == pytest.approx(17 * np.arange(-2, 3), abs=1)
    assert sampler(KEYS).test_stride == 1
    assert sampler(KEYS, stride=3).test_stride == 3


def test_a_neighbour_whose_label_is_paid_for_is_not_unlabelled():
    plan = sampler([10, 11], batch=2)
    where = plan.indices(2)
    assert sorted(where.extra.tolist()) == [8, 9, 9, 12, 12, 13]


def test_a_clamped_clip_gives_its_end_frame_once():
    plan = sampler([1], batch=1)
    assert plan.indices(4).extra.tolist() == [0]


def test_nothing_is_unlabelled_when_every_coded_frame_is_labelled():
    frames = table(uncoded=range(15, 29))
    keys = np.flatnonzero(frames.coded)
    plan = sampler(keys, frames=frames)
    assert len(plan.unlabelled_rows) == 0
    assert all(len(plan.indices(step).extra) == 0 for step in range(20))
    assert len(sampler(keys, frames=frames, pool="all").unlabelled_rows) == 0
    assert len(sampler(keys, frames=frames, pool="all").indices(0).extra) == 0


def test_the_pool_is_counted_frame_by_frame():
    plan = sampler([5, 40])
    seen = np.concatenate([sampler([5, 40], batch=2).indices(step).extra for step in range(5)])
    assert len(plan.unlabelled_rows) == len(set(seen.tolist())) == 16


def test_the_pool_of_all_takes_any_unlabelled_coded_frame():
    frames = table(uncoded=[3, 4])
    plan = sampler(KEYS, frames=frames, pool="all", batch=4)
    where = [plan.indices(step) for step in range(60)]
    seen = {row for indices in where for row in indices.extra.tolist()}
    assert seen == set(range(59)) - set(KEYS) - {3, 4}
    assert all(len(indices.extra) == 16 for indices in where)


def test_distinct_batches_hold_one_clip_of_a_sequence_and_forget_none():
    needs = Needs(clip_len=5, clips=True, one_clip_per_sequence=True)
    keys = np.arange(59)
    plan = sampler(keys, needs=needs, batch=2)
    batches = [plan.indices(step).keys for step in range(200)]
    first = table().first
    assert all(len(set(first[batch])) == 2 for batch in batches)
    assert set(np.concatenate(batches).tolist()) == set(range(59))
    assert plan.indices(120).keys.tolist() == batches[120].tolist()


def test_distinct_batches_larger_than_the_sequences_are_refused():
    needs = Needs(clip_len=5, clips=True, one_clip_per_sequence=True)
    with pytest.raises(UsageError, match=r"4 clips of different sequences.*3 have key frames"):
        sampler(KEYS, needs=needs, batch=4).indices(0)


@pytest.mark.parametrize(("needs", "frames"), [(IMAGE, 1), (FRAMES, 9), (CLIPS, 6)])
def test_frames_a_step_count_every_view(needs, frames):
    plan = sampler(KEYS, needs=needs, batch=4)
    assert plan.frames_per_step() == 4 * frames
    assert plan.frames_per_step(labelled_only=True) == 4
