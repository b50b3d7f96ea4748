"""The audit of pseudo labels, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, precision_score, recall_score

from bench.audit import Audit
from bench.loader import HiddenLabels


def taken(audit, rng, frames=40):
    truth = rng.integers(-1, 2, (frames, 2)).astype(np.int8)
    targets, used = rng.integers(0, 2, (frames, 2)), rng.random((frames, 2)) > 0.3
    audit.expect(HiddenLabels(truth))
    audit.take(torch.from_numpy(targets).float(), torch.from_numpy(used))
    return truth, targets, used


def test_scores_are_those_of_scikit_learn_on_the_used_and_known_labels():
    audit, rng = Audit(2), np.random.default_rng(0)
    parts = [taken(audit, rng) for _ in range(3)]
    truth, targets, used = (np.concatenate(column) for column in zip(*parts, strict=True))
    summary = audit.summary()
    for au in range(2):
        chosen = used[:, au] & (truth[:, au] >= 0)
        pair = truth[chosen, au], targets[chosen, au]
        assert summary["accuracy"][au] == pytest.approx(accuracy_score(*pair))
        assert summary["precision"][au] == pytest.approx(precision_score(*pair))
        assert summary["recall"][au] == pytest.approx(recall_score(*pair))
        assert summary["used"][au] == pytest.approx(chosen.sum() / (truth[:, au] >= 0).sum())
    known = used & (truth >= 0)
    assert summary["overall_accuracy"] == pytest.approx((truth == targets)[known].mean())


def test_a_method_without_pseudo_labels_has_no_audit():
    assert Audit(2).summary() == {}


def test_an_au_that_was_never_used_has_no_accuracy():
    audit = Audit(2)
    audit.expect(HiddenLabels(np.ones((3, 2), dtype=np.int8)))
    audit.take(torch.ones(3, 2), torch.tensor([[True, False]] * 3))
    assert audit.summary()["accuracy"] == [1.0, None]
    assert audit.summary()["used"] == [1.0, 0.0]


def test_pseudo_labels_of_other_frames_than_the_batch_s_are_refused():
    audit = Audit(2)
    audit.expect(HiddenLabels(np.ones((3, 2), dtype=np.int8)))
    with pytest.raises(AssertionError, match="not the frames of this batch"):
        audit.take(torch.ones(4, 2), torch.ones(4, 2, dtype=torch.bool))
