"""The audit of pseudo labels, against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    precision_score,
    recall_score,
)

from bench.results.pseudo_labels import DISCARDED, NEVER
from bench.training.loader import HiddenLabels
from bench.training.pseudo_label_audit import PseudoLabelAudit
from tests.helpers.fakes import hidden


def taken(audit, rng, frames=40):
    truth = rng.integers(-1, 2, (frames, 2)).astype(np.int8)
    targets, used = rng.integers(0, 2, (frames, 2)), rng.random((frames, 2)) > 0.3
    audit.expect(0, hidden(truth))
    audit.take(torch.from_numpy(targets).float(), torch.from_numpy(used))
    return truth, targets, used


def test_scores_are_those_of_scikit_learn_on_the_used_and_known_labels():
    audit, rng = PseudoLabelAudit(2, frames=400), np.random.default_rng(0)
    parts = [taken(audit, rng) for _ in range(3)]
    truth, targets, used = (np.concatenate(column) for column in zip(*parts, strict=True))
    summary = audit.summary()
    for au in range(2):
        chosen = used[:, au] & (truth[:, au] >= 0)
        pair = truth[chosen, au], targets[chosen, au]
        assert summary["accuracy"][au] == pytest.approx(accuracy_score(*pair))
        assert summary["precision"][au] == pytest.approx(precision_score(*pair))
        assert summary["recall"][au] == pytest.approx(recall_score(*pair))
        assert summary["balanced_accuracy"][au] == pytest.approx(balanced_accuracy_score(*pair))
        assert summary["used"][au] == pytest.approx(chosen.sum() / (truth[:, au] >= 0).sum())
        constant = DummyClassifier(strategy="most_frequent").fit(pair[1], pair[0])
        most = accuracy_score(pair[0], constant.predict(pair[1]))
        assert summary["majority_accuracy"][au] == pytest.approx(most)
    known = used & (truth >= 0)
    assert summary["overall_accuracy"] == pytest.approx((truth == targets)[known].mean())
    weights = known.sum(axis=0)
    assert summary["overall_majority_accuracy"] == pytest.approx(
        np.average(summary["majority_accuracy"], weights=weights)
    )
    assert summary["mean_balanced_accuracy"] == pytest.approx(np.mean(summary["balanced_accuracy"]))


def test_a_method_without_pseudo_labels_has_no_audit():
    audit = PseudoLabelAudit(2, frames=400)
    audit.look(20)
    assert audit.summary() == {}
    assert audit.rows == []


def test_each_look_scores_what_came_since_the_one_before():
    audit, rng = PseudoLabelAudit(2, frames=400), np.random.default_rng(1)
    for step in (20, 40):
        truth, targets, used = taken(audit, rng)
        audit.look(step)
        known = used & (truth >= 0)
        expected = (truth == targets)[known].mean()
        assert audit.rows[-1]["overall_accuracy"] == pytest.approx(expected, abs=1e-4)
    audit.look(60)  # nothing was pseudo-labelled since
    assert [row["step"] for row in audit.rows] == [20, 40]


def test_metrics_are_averaged_over_the_steps_that_logged_them():
    audit = PseudoLabelAudit(2, frames=400)
    audit.look(2, [{"gate": 0.5}, {"gate": math.nan}, {}])
    audit.look(4, [{"gate": 1.0, "order_accuracy": 0.25}, {"gate": 0.9}])
    found = audit.summary()["metrics"]
    assert found["gate"] == {"mean": pytest.approx(0.8), "last": pytest.approx(0.95)}
    assert found["order_accuracy"] == {"mean": 0.25, "last": 0.25}


def test_an_audit_goes_on_from_its_state_as_if_it_had_not_stopped():
    rng, other = np.random.default_rng(2), np.random.default_rng(2)
    whole, first = PseudoLabelAudit(2, frames=400), PseudoLabelAudit(2, frames=400)
    for audit, stream in ((whole, rng), (first, other)):
        taken(audit, stream)
        audit.look(20, [{"gate": 0.5}])
        taken(audit, stream)
    second = PseudoLabelAudit(2, frames=400)
    second.load_state_dict(first.state_dict())
    for audit, stream in ((whole, rng), (second, other)):
        taken(audit, stream)
        audit.look(40, [{"gate": 0.25}])
    assert whole.rows == second.rows
    assert whole.summary() == second.summary()
    for ours, theirs in zip(whole.last.arrays(), second.last.arrays(), strict=True):
        assert ours.tolist() == theirs.tolist()


def test_the_last_thing_said_of_a_frame_is_kept():
    audit = PseudoLabelAudit(2, frames=6)
    truth = np.array([[1, 0], [-1, -1], [0, -1], [1, 1]], dtype=np.int8)
    audit.expect(7, HiddenLabels(truth, np.array([4, 1, 2, 4])))
    targets = torch.tensor([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    used = torch.tensor([[True, True], [True, True], [True, True], [True, False]])
    audit.take(targets, used)
    codes, steps = audit.last.arrays()
    # row 4 was there twice; row 1 is a key frame; an AU that is not coded is left alone
    never = [NEVER, NEVER]
    assert codes.tolist() == [never, never, [0, NEVER], never, [0, DISCARDED], never]
    assert steps.tolist() == [NEVER, NEVER, 7, NEVER, 7, NEVER]
    audit.expect(8, HiddenLabels(truth[:1], np.array([4])))
    audit.take(targets[:1], used[:1])
    codes, steps = audit.last.arrays()
    assert codes[4].tolist() == [1, 1]
    assert steps[4] == 8


def test_an_au_that_was_never_used_has_no_accuracy():
    audit = PseudoLabelAudit(2, frames=400)
    audit.expect(0, hidden(np.ones((3, 2), dtype=np.int8)))
    audit.take(torch.ones(3, 2), torch.tensor([[True, False]] * 3))
    assert audit.summary()["accuracy"] == [1.0, None]
    assert audit.summary()["used"] == [1.0, 0.0]


def test_an_au_of_one_class_has_no_balanced_accuracy():
    audit = PseudoLabelAudit(2, frames=400)
    audit.expect(0, hidden(np.array([[1, 1], [1, 0], [1, 0]], dtype=np.int8)))
    audit.take(torch.tensor([[1, 1], [1, 0], [0, 1]]), torch.ones(3, 2, dtype=torch.bool))
    summary = audit.summary()
    assert summary["balanced_accuracy"] == [None, pytest.approx(0.75)]
    assert summary["majority_accuracy"] == [1.0, pytest.approx(2 / 3)]
    assert summary["mean_balanced_accuracy"] == pytest.approx(0.75)


def test_pseudo_labels_of_other_frames_than_the_batch_s_are_refused():
    audit = PseudoLabelAudit(2, frames=400)
    audit.expect(0, hidden(np.ones((3, 2), dtype=np.int8)))
    with pytest.raises(AssertionError, match="not the frames of this batch"):
        audit.take(torch.ones(4, 2), torch.ones(4, 2, dtype=torch.bool))
