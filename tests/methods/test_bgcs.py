"""BGCS: its mean field against plain loops in float64, its fit, and what few data leave of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from methods._bgcs import (
    GroupSparseCode,
    Noise,
    Updates,
    best_threshold,
    infer_labels,
    iterate_weights,
    label_groups,
    sensing_matrix,
    solve_weights,
    whitening,
)
from methods.bgcs import BGCS
from methods.supervised import Supervised
from tests.helpers.fake_tasks import batch_of, make_progress, make_task, predict, train

RNG = np.random.default_rng(11)
NOISE = Noise(0.3, 0.2)
GROUPS = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.bool)
Matrix = NDArray[np.float64]


def tensor(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(size=shape))


def loops(means: Matrix, phi: Matrix, noise: Noise, updates: Updates) -> tuple[Matrix, list[int]]:
    """Infer labels row by row with whole inverses; returns them and each row's updates."""
    members = [np.flatnonzero(group) for group in GROUPS.numpy()]
    of_copy = np.concatenate(members)
    copies = np.split(np.arange(len(of_copy)), np.cumsum([len(m) for m in members])[:-1])
    wide, s2, c2 = phi[:, of_copy], noise.sigma**2, noise.chi**2
    found, counts = np.zeros((len(means), phi.shape[1])), [0] * len(means)
    for row, mean in enumerate(means):
        a, b = np.full(len(members), 1e-6), np.full(len(members), 1e-6)
        y_g, before = np.zeros(len(of_copy)), np.concatenate([np.zeros(phi.shape[1]), mean])
        for _ in range(updates.most):
            counts[row] += 1
            z = (mean / s2 + wide @ y_g / c2) / (1 / s2 + 1 / c2)
            alpha = np.zeros(len(of_copy))
            for g, own in enumerate(copies):
                alpha[own] = min(1e10, max(1e-10, a[g] / b[g]))
            covariance = np.linalg.inv(np.diag(alpha) + wide.T @ wide / c2)
            y_g = covariance @ wide.T @ z / c2
            growth = [
                (y_g[own] @ y_g[own] + np.trace(covariance[np.ix_(own, own)])) / 2 for own in copies
            ]
            if updates.b_update == "released":
                growth = [sum(growth)] * len(growth)
            a = np.array([1e-6 + len(own) / 2 for own in copies])
            b = 1e-6 + np.array(growth)
            y = np.zeros(phi.shape[1])
            for copy, au in enumerate(of_copy):
                y[au] += y_g[copy]
            after = np.concatenate([y, z])
            if np.abs(after - before).max() < updates.tolerance:
                break
            before = after
        found[row] = y
    return found, counts


@pytest.mark.parametrize("b_update", ["corrected", "released"])
def test_inferred_labels_are_those_of_the_plain_updates(b_update: Any) -> None:
    updates = Updates(b_update, tolerance=0.01, most=100)
    means, phi = tensor(12, 5), sensing_matrix(5, 4)
    expected, counts = loops(means.numpy(), phi.numpy(), NOISE, updates)
    assert len(set(counts)) > 1
    found = infer_labels(means, phi, GROUPS, NOISE, updates)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-10)


def test_the_two_updates_of_b_differ() -> None:
    means, phi = tensor(3, 5), sensing_matrix(5, 4)
    one, other = (
        infer_labels(means, phi, GROUPS, NOISE, Updates(b)) for b in ("corrected", "released")
    )
    assert (one - other).abs().max() > 0.05


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    means, phi = tensor(6, 5), sensing_matrix(5, 4)
    together = infer_labels(means, phi, GROUPS, NOISE, Updates())
    alone = [infer_labels(row[None], phi, GROUPS, NOISE, Updates()) for row in means]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-9, atol=1e-12)
    assert infer_labels(means[:0], phi, GROUPS, NOISE, Updates()).shape == (0, 4)


def test_a_group_that_explains_nothing_is_switched_off() -> None:
    """The corrected update alone shrinks what the data do not ask for, which is the sparsity."""
    phi = torch.eye(4, dtype=torch.float64)
    means = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    groups = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
    inference = infer_labels(means, phi, groups, Noise(0.1, 0.1), Updates(tolerance=1e-9))
    assert inference[0, :2].min() > 0.9
    assert inference[0, 2:].abs().max() < 1e-12


def test_the_fixed_point_is_where_the_training_updates_lead() -> None:
    features, labels, phi = tensor(20, 6), (tensor(20, 4) > 0).double(), sensing_matrix(5, 4)
    x, t = features.numpy(), labels.numpy() @ phi.numpy().T
    s2, c2 = NOISE.sigma**2, NOISE.chi**2
    z = np.zeros_like(t)
    covariance = np.linalg.inv(x.T @ x / s2 + np.eye(6))
    for _ in range(3000):
        weights = covariance @ x.T @ z / s2
        z = (x @ weights / s2 + t / c2) / (1 / s2 + 1 / c2)
    found = solve_weights(features, labels @ phi.T, NOISE)
    np.testing.assert_allclose(found.numpy(), weights, rtol=1e-8, atol=1e-10)
    iterated = iterate_weights(features, labels @ phi.T, NOISE, Updates(tolerance=0.0, most=3000))
    np.testing.assert_allclose(iterated.numpy(), weights, rtol=1e-8, atol=1e-10)


def test_the_released_stop_halts_far_from_the_fixed_point() -> None:
    """With its sigma of 0.01 and chi of 0.1, an update moves z by a hundredth of the way."""
    features, labels, phi = tensor(200, 6), (tensor(200, 4) > 0).double(), sensing_matrix(4, 4)
    noise = Noise(0.01, 0.1)
    stopped = iterate_weights(features, labels @ phi.T, noise, Updates())
    exact = solve_weights(features, labels @ phi.T, noise)
    assert stopped.norm() < 0.2 * exact.norm()


def test_groups_are_of_aus_that_follow_each_other_and_single_ones() -> None:
    together = torch.tensor([[1, 0.7, 0.1], [0.7, 1, 0.6], [0, 0, 0]], dtype=torch.float64)
    found = {tuple(group) for group in label_groups(together, 0.6).int().tolist()}
    assert found == {(1, 1, 0), (1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1)}
    assert len(label_groups(torch.eye(3, dtype=torch.float64), 0.6)) == 3
    assert len(label_groups(torch.eye(3, dtype=torch.float64), 0.0)) == 4


def test_sensing_columns_have_length_one() -> None:
    phi = sensing_matrix(7, 4)
    assert phi.shape == (7, 4)
    np.testing.assert_allclose(np.linalg.norm(phi.numpy(), axis=0), 1)


def test_the_threshold_is_the_lowest_of_the_best_by_f1() -> None:
    values, labels = tensor(40, 3) * 0.5 + 0.5, torch.from_numpy(RNG.integers(-1, 2, (40, 3)))
    scores = []
    for threshold in np.arange(0, 2.001, 0.05):
        said, coded = values.numpy() > threshold, labels.numpy() >= 0
        truth = labels.numpy() > 0
        hits = (said & truth & coded).sum()
        scores.append(2 * hits / ((said & coded).sum() + truth.sum()))
    expected = 0.05 * int(np.argmax(scores))
    assert best_threshold(values, labels) == pytest.approx(expected, abs=1e-12)
    clear = torch.tensor([[0.2], [0.9]], dtype=torch.float64)
    assert best_threshold(clear, torch.tensor([[0], [1]])) == pytest.approx(0.2)


def test_whitened_features_are_uncorrelated_and_of_variance_one() -> None:
    features = tensor(50, 6) @ tensor(6, 6) + 3
    mean, axes = whitening(features, 1.0)
    whitened = (features - mean) @ axes
    covariance = np.cov(whitened.numpy().T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(6), atol=1e-9)
    variances = np.sort(np.linalg.eigvalsh(np.cov(features.numpy().T)))[::-1].cumsum()
    assert whitening(features, 0.9)[1].shape[1] == 1 + (variances < 0.9 * variances[-1]).sum()


def test_few_frames_give_no_more_directions_than_they_span() -> None:
    assert whitening(tensor(3, 6), 1.0)[1].shape[1] == 2
    mean, axes = whitening(torch.ones(4, 6, dtype=torch.float64), 0.95)
    assert torch.equal((torch.ones(4, 6) - mean) @ axes, torch.zeros(4, 1, dtype=torch.float64))


def code(rounds: int = 2) -> GroupSparseCode:
    return GroupSparseCode(sensing_matrix(5, 4), GROUPS, NOISE, Updates(), rounds=rounds)


def test_unlabelled_rows_join_with_the_labels_inferred_for_them() -> None:
    model, features = code(), tensor(30, 6)
    labels = torch.from_numpy((RNG.random((30, 4)) < 0.4).astype(np.int8))
    labels[20:] = -1
    labels[0, 1] = -1
    known = labels.double().numpy()
    rate = known[:20, 1][1:].mean()
    assert (labels[:20, 1] > 0).sum() / 19 == pytest.approx(rate)
    first = np.where(known < 0, rate, known)[:20]
    phi, x = model.phi.numpy(), features.numpy()
    ridge = NOISE.sigma**2 + NOISE.chi**2

    def solve(rows: int, targets: Matrix) -> Matrix:
        gram = x[:rows].T @ x[:rows] + ridge * np.eye(6)
        return np.linalg.solve(gram, x[:rows].T @ targets @ phi.T)

    weights = solve(20, first)
    for _ in range(2):
        inferred, _ = loops(x @ weights, phi, NOISE, Updates())
        weights = solve(30, np.where(known < 0, inferred, known))
    np.testing.assert_allclose(model.learn(features, labels).numpy(), weights, rtol=1e-7, atol=1e-9)


def test_held_out_labels_are_inferred_from_the_other_frames() -> None:
    model, features = code(rounds=0), tensor(14, 6)
    labels = torch.from_numpy((RNG.random((14, 4)) < 0.5).astype(np.int8))
    labels[12:] = -1
    inferred, truth = model.held_out(features, labels)
    assert torch.equal(truth, labels[:12])
    block = list(range(3))  # a fifth of twelve, rounded up
    weights = model.learn(features[3:], labels[3:])
    torch.testing.assert_close(inferred[:3], model.infer(features[block] @ weights))
    nothing, none = model.held_out(features, labels.index_fill(0, torch.arange(1, 14), -1))
    assert len(nothing) == len(none) == 0


def fitted(**changes: Any) -> tuple[BGCS, torch.Tensor, torch.Tensor]:
    """A method whose features tell two pairs of AUs, fitted to labelled frames and a pool.

    `changes` are a task's, and `knobs` the method's.
    """
    knobs = changes.pop("knobs", {})
    causes = np.random.default_rng(1).random((150, 2)) < 0.4
    truth = torch.from_numpy(causes[:, [0, 0, 1, 1]].astype(np.int8))
    torch.manual_seed(0)
    method = BGCS(BGCS.Config(**knobs), make_task(**{"labels": truth[:100], **changes})).eval()
    features = tensor(150, method.net.fc.in_features).float() * 0.2
    features[:, :2] += torch.from_numpy(causes).float() * 3
    labels = truth.clone()
    labels[100:] = -1
    method.fit(features, labels)
    return method, features, truth


@pytest.mark.parametrize("variant", [None, "labelled_only", "released_b", "expanded"])
def test_labels_of_unlabelled_frames_are_found_again(variant: str | None) -> None:
    # a square code of four AUs may be too ill-conditioned to tell them apart
    knobs = {"compression": 2.0, **(BGCS.variants[variant] if variant else {})}
    method, features, truth = fitted(knobs=knobs)
    with torch.no_grad():
        said = method.head(features[100:, None]) >= 0
    assert ((said == (truth[100:] > 0)).float().mean()) > 0.97
    assert 0 < method.threshold < 1


def test_before_the_fit_the_control_answers() -> None:
    task = make_task()
    trained, control = train(BGCS, task), train(Supervised, task)
    clips = torch.randn(3, 5, 3, 32, 32)
    assert trained.totals == control.totals
    assert torch.equal(predict(trained.method, clips), predict(control.method, clips))
    method, features, _ = fitted()
    with torch.no_grad():
        alone = method.members(features[:3, None])["control"]
        assert torch.equal(alone, method.net.head(features[:3, None]))


def test_validation_subjects_choose_the_threshold() -> None:
    method, features, truth = fitted(validation_frames=30)
    assert method.threshold == 0.5
    assert method.warnings == []
    method.calibrate(features[:30], 1 - truth[:30])
    with torch.no_grad():
        inferred = method.head(features[:30, None]) * method.config.chi + 0.5
    assert float(method.threshold) == best_threshold(inferred.double(), 1 - truth[:30])
    assert method.threshold != 0.5


def test_without_validation_subjects_the_record_says_so() -> None:
    method = BGCS(BGCS.Config(), make_task())
    assert method.warnings == [
        "bgcs: no validation subjects (--val-subjects): its threshold was chosen on the training "
        "subjects"
    ]


def test_an_au_without_positives_is_absent_and_is_named() -> None:
    labels = make_task().labels.clone()
    labels[:, 1] = 0
    method, features, truth = fitted(labels=labels, validation_frames=1)
    assert method.warnings == ["bgcs: no labelled frame shows AU 2: what goes with it is not known"]
    truth[:, 1] = 0
    method.fit(features, truth)
    with torch.no_grad():
        assert (method.head(features[:, None])[:, 1] < 0).all()


def test_too_few_labelled_frames_leave_each_au_alone() -> None:
    labels = torch.ones(4, 4, dtype=torch.int8)
    method = BGCS(BGCS.Config(), make_task(labels=labels, validation_frames=1))
    alone = torch.eye(4, dtype=torch.bool)
    assert torch.equal(method.groups, torch.cat([alone, torch.zeros_like(alone)]))
    assert method.warnings == [
        "bgcs: 4 labelled frames are too few for groups of 4 AUs (more frames than AUs are asked "
        "for): each AU stands alone"
    ]


@pytest.mark.parametrize("frames", [1, 2, 6])
def test_few_frames_and_an_empty_pool_still_give_a_fit(frames: int) -> None:
    method = BGCS(BGCS.Config(), make_task(unlabelled_frames=0)).eval()
    features = tensor(frames, method.net.fc.in_features).float()
    method.fit(features, torch.ones(frames, 4, dtype=torch.int8).tril())
    with torch.no_grad():
        assert method.head(features[:, None]).isfinite().all()


def test_frames_that_nobody_coded_give_a_fit_that_knows_nothing() -> None:
    method = BGCS(BGCS.Config(), make_task()).eval()
    features = tensor(8, method.net.fc.in_features).float()
    method.fit(features, torch.full((8, 4), -1, dtype=torch.int8))
    with torch.no_grad():
        assert (method.head(features[:, None]) < 0).all()


def test_a_step_needs_no_unlabelled_frame() -> None:
    method = BGCS(BGCS.Config(), make_task()).train()
    (phase,) = method.phases(method.config)
    assert phase.labelled_only
    assert phase.fit
    losses = method.losses(batch_of(BGCS), make_progress(0, 10, method))
    assert list(losses) == ["au"]
