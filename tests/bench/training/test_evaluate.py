"""Evaluation: every coded frame once, its clip clamped, the same as predicting clip by clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.data.frame_table import clip_rows
from bench.frame_store.store import StoredSequence
from bench.training.augment import normalise
from bench.training.evaluate import NonFiniteOutput, predict
from methods._base import Needs
from tests.helpers import fakes as toys


class Temporal(toys.Toy):
    """Looks at the whole clip, in order; counts the frames it encodes."""

    needs = Needs(clip_len=5, key="cyclic", clips=True)

    def __init__(self):
        super().__init__(toys.Toy.Config(), toys.TASK)
        self.encoded = 0

    def encode(self, frames, landmarks=None):
        self.encoded += len(frames)
        return super().encode(frames)

    def head(self, features):
        weights = torch.tensor([0.1, -0.4, 1.0, 0.3, -0.2])
        return self.fc((features * weights[:, None]).sum(dim=1))


def sequences(labels):
    starts = np.cumsum([0, *toys.LENGTHS[:-1]])
    return [
        StoredSequence(
            subject=f"F00{k}",
            task="T1",
            name=f"F00{k}_T1",
            start=int(start),
            frames=np.arange(100, 100 + length),
            labels=labels[start : start + length],
            landmarks=None,
        )
        for k, (start, length) in enumerate(zip(starts, toys.LENGTHS, strict=True))
    ]


def test_predictions_are_those_of_clips_one_by_one():
    table, method = toys.table(), Temporal()
    predictions = predict(method, toys.pixels(), table, sequences(table.labels))
    rows = clip_rows(table, np.arange(59), 2, 5)
    frames = normalise(toys.pixels().gather(rows.ravel()))
    expected = method.eval().predict(frames.reshape(59, 5, *frames.shape[1:])).sigmoid()
    assert np.allclose(predictions.probabilities, expected.detach().numpy(), atol=1e-6)


def test_a_method_may_look_further_in_testing_than_in_training():
    class Far(Temporal):
        test_clip_len = 9

        def head(self, features):
            assert features.shape[1] == 9
            return self.fc(features.mean(dim=1))

    table, method = toys.table(), Far()
    predictions = predict(method, toys.pixels(), table, sequences(table.labels))
    rows = clip_rows(table, np.arange(59), 4, 9)
    colours = normalise(toys.pixels().gather(rows.ravel())).mean(dim=(2, 3)).reshape(59, 9, 3)
    expected = method.fc(colours.mean(dim=1)).sigmoid()
    assert np.allclose(predictions.probabilities, expected.detach().numpy(), atol=1e-6)


def test_each_frame_is_encoded_once():
    table, method = toys.table(), Temporal()
    predict(method, toys.pixels(), table, sequences(table.labels))
    assert method.encoded == 59


def test_uncoded_frames_are_context_and_not_judged():
    table = toys.table()
    table.labels[[0, 1, 30]] = -1
    predictions = predict(Temporal(), toys.pixels(), table, sequences(table.labels))
    assert set(range(59)) - set(predictions.rows.tolist()) == {0, 1, 30}
    assert predictions.frames[:2].tolist() == [102, 103]
    assert predictions.subjects[0] == "F000"
    assert len(predictions.tasks) == 56


def test_scores_keep_counts_for_every_subject():
    table = toys.table()
    predictions = predict(Temporal(), toys.pixels(), table, sequences(table.labels))
    scores = predictions.score(table, step=7)
    assert scores.step == 7
    totals = {name: np.sum(counts, axis=0).tolist() for name, counts in scores.counts.items()}
    assert totals == {"F000": [20] * 3, "F001": [9] * 3, "F002": [30] * 3}


def test_the_method_is_put_back_to_training_and_batch_statistics_stay():
    table, method = toys.table(), toys.Toy(toys.Toy.Config(), toys.TASK)
    before = method.norm.running_mean.clone()
    predict(method, toys.pixels(), table, sequences(table.labels))
    assert method.training
    assert torch.equal(before, method.norm.running_mean)


def test_a_prediction_that_is_not_finite_is_an_error():
    table, method = toys.table(), Temporal()
    with torch.no_grad():
        method.fc.weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteOutput, match="not finite"):
        predict(method, toys.pixels(), table, sequences(table.labels))
