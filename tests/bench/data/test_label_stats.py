"""Label statistics against what can be counted by hand, and against plain loops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.data.label_budget import label_budgets, nearest_labels
from bench.data.label_stats import (
    combinations,
    cooccurrence,
    event_lengths,
    join_with_breaks,
    label_stats,
)
from datasets._base import FoldList
from datasets._splits.masks import label_mask

FOLDS = FoldList("two", (("A",), ("B",)), "")


@dataclass(frozen=True)
class Take:
    subject: str
    frames: NDArray[np.int64]
    labels: NDArray[np.int8]
    task: str = "T1"

    @property
    def name(self) -> str:
        return f"{self.subject}_{self.task}"

    @property
    def coded(self) -> NDArray[np.bool_]:
        coded: NDArray[np.bool_] = (self.labels >= 0).any(axis=1)
        return coded


def take(subject: str, tracks: list[str], first: int = 1) -> Take:
    """One string an AU, a sign a frame: 1, 0 or - for uncoded."""
    signs = {"1": 1, "0": 0, "-": -1}
    labels = np.array([[signs[sign] for sign in track] for track in tracks], np.int8).T
    return Take(subject, np.arange(first, first + len(labels)), labels)


def drawn(seed: int, length: int = 60, uncoded: float = 0.1) -> Take:
    rng = np.random.default_rng(seed)
    shares = [0.6 - uncoded, 0.4, uncoded]
    labels = rng.choice([0, 1, -1], (length, 3), p=shares).astype(np.int8)
    frames = np.cumsum(rng.integers(1, 3, length))
    return Take("AB"[seed % 2], frames, labels, f"T{seed}")


def test_a_small_dataset_is_counted_as_by_hand() -> None:
    stats = label_stats("toy", [take("A", ["0110-1", "000011"]), take("B", ["1100", "0000"])],
                        (1, 12), 2.0, FOLDS)  # fmt: skip
    assert (stats.subjects, stats.recordings, stats.frames) == (2, 2, 10)
    assert (stats.coded, stats.whole, stats.fold_coded) == (10, 9, (6, 4))
    assert stats.combinations == 3  # none, AU 1 alone, both
    assert stats.idle == 4 / 9
    assert stats.agreement == (1 + 4 + 2 + 3) / (3 + 5 + 3 + 3)
    one, twelve = stats.aus
    assert (one.au, one.coded, one.rate) == (1, 9, 5 / 9)
    assert one.fold_rates == (3 / 5, 2 / 4)
    assert (one.events, one.cut) == (3, 2)
    assert one.seconds == (0.75, 1.0, 1.0)
    assert (twelve.events, twelve.cut, twelve.seconds) == (1, 1, (1.0, 1.0, 1.0))


def test_how_often_a_label_stays_is_what_a_loop_over_neighbours_counts() -> None:
    recordings = [drawn(seed) for seed in range(4)]
    same = known = 0
    for r in recordings:
        for t in range(1, len(r.frames)):
            for a, b in zip(r.labels[t - 1], r.labels[t], strict=True):
                if r.frames[t] == r.frames[t - 1] + 1 and a >= 0 and b >= 0:
                    known, same = known + 1, same + (a == b)
    assert label_stats("toy", recordings, (1, 2, 4), 25, FOLDS).agreement == same / known


def test_an_event_ends_where_frames_are_missing_and_may_then_be_longer() -> None:
    frames = np.array([1, 2, 5, 6, 7])
    whole = Take("A", frames, np.array([[1], [1], [1], [1], [0]], np.int8))
    lengths, cut = event_lengths(join_with_breaks([whole])[:, 0])
    assert lengths.tolist() == [2, 2]
    assert cut.tolist() == [True, True]


def test_frames_numbered_by_fives_are_neighbours() -> None:
    frames = np.array([5, 10, 15, 30, 35, 40, 45])
    whole = Take("A", frames, np.array([[1], [1], [0], [1], [1], [0], [0]], np.int8))
    lengths, cut = event_lengths(join_with_breaks([whole])[:, 0])
    assert lengths.tolist() == [2, 2]
    assert cut.tolist() == [True, True]


def test_events_are_the_runs_that_a_loop_finds() -> None:
    track = drawn(3, 500).labels[:, 0]
    lengths, cut = event_lengths(track)
    text = "".join("-01"[value + 1] for value in track)
    runs = [run for part in text.split("-") for run in part.split("0") if run]
    assert lengths.tolist() == list(map(len, runs))
    ends = sum(bool(p) and p[0] == "1" for p in text.split("-"))
    begins = sum(bool(p) and p[-1] == "1" for p in text.split("-"))
    both = sum(bool(p) and set(p) == {"1"} for p in text.split("-"))
    assert cut.sum() == ends + begins - both


def test_combinations_and_co_occurrence_are_what_counting_gives() -> None:
    labels = np.concatenate([drawn(seed).labels for seed in range(3)])
    patterns = Counter(map(tuple, labels.tolist()))
    assert combinations(labels) == sum(-1 not in pattern for pattern in patterns)
    given = [row for row in labels.tolist() if row[0] == 1 and row[2] != -1]
    assert cooccurrence(labels)[0][2] == pytest.approx(np.mean([row[2] for row in given]))
    assert cooccurrence(labels)[1][1] == 1


def test_an_au_that_was_never_coded_has_no_rate_and_breaks_nothing() -> None:
    stats = label_stats("toy", [take("A", ["01", "--"])], (1, 12), 25, FOLDS)
    assert stats.aus[1].rate is None
    assert stats.aus[1].seconds is None
    assert stats.cooccurrence[1] == (None, None)
    assert (stats.combinations, stats.whole, stats.idle) == (0, 0, None)


def test_held_labels_are_those_of_the_nearest_key_frame_that_codes_the_au() -> None:
    r = drawn(5, 80, uncoded=0.4)
    keys = np.array([3, 20, 21, 50, 79])
    held = nearest_labels(r.frames, r.labels, keys)
    for t, frame in enumerate(r.frames):
        for au in range(3):
            known = [k for k in keys if r.labels[k, au] != -1]
            nearest = min(known, key=lambda k: (abs(r.frames[k] - frame), k))
            assert held[t, au] == r.labels[nearest, au]


def test_an_au_that_no_key_frame_codes_is_held_absent() -> None:
    r = take("A", ["0101", "---1"])
    assert nearest_labels(r.frames, r.labels, np.array([1])).tolist() == [[1, 0]] * 4


def test_all_labels_keep_everything_and_fewer_keep_less() -> None:
    recordings = [drawn(seed, 200, uncoded=0) for seed in range(4)]
    kept = label_budgets("toy", recordings, (0.02, 0.2, 1.0), seeds=(0, 1))
    assert len(kept) == 3 * 3 * 2
    for k in kept:
        mask = label_mask(recordings, k.ratio, k.rule, k.seed, dataset="toy")
        rows = np.concatenate([r.labels[mask.positions(r)] for r in recordings])
        assert (k.keys, k.combinations) == (mask.count, len({tuple(row) for row in rows.tolist()}))
        assert (k.held_f1 == 1) == (k.ratio == 1)
        assert (k.of_combinations, k.combinations == 8) == (8, k.ratio == 1 or k.combinations == 8)


def test_of_slow_labels_sparse_sampling_keeps_more_than_a_block() -> None:
    track = np.repeat(np.arange(10) % 2, 30)
    labels = np.stack([track, 1 - track, np.roll(track, 15)], axis=1).astype(np.int8)
    recording = Take("A", np.arange(300), labels)
    kept = {k.rule: k for k in label_budgets("toy", [recording], (0.05,))}
    assert kept["sparse"].held_f1 > 0.8 > kept["contiguous"].held_f1
    assert kept["sparse"].combinations > kept["contiguous"].combinations
