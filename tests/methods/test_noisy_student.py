"""Noisy Student: its phases, its labels of the pool, its balance, its noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.runner.record_builder import weights_hash
from methods._nets import ImageClassifier
from methods.noisy_student import NoisyStudent, balance_weights, stochastic_depth, student_loss
from methods.supervised import Supervised
from tests.helpers.fake_tasks import POOL, batch_of, make_progress, make_task, predict, train

RNG = np.random.default_rng(17)
NO_NOISE = {"dropout": 0.0, "drop_depth": 0.0}


def build(**knobs: object) -> NoisyStudent:
    torch.manual_seed(0)
    return NoisyStudent(NoisyStudent.Config(**knobs), make_task()).train()


def label_pool(method: NoisyStudent) -> torch.Tensor:
    """Let the method fit on random features of 3 labelled frames and the pool; return these."""
    torch.manual_seed(1)
    features = torch.randn(3 + POOL, method.nets[0].fc.in_features)
    with torch.no_grad():
        method.eval().fit(features, torch.full((3 + POOL, 4), -1))
    method.train()
    return features[3:]


def test_the_loss_is_a_weighted_cross_entropy_with_soft_labels() -> None:
    logits, pseudo = RNG.normal(0, 3, (6, 3)), RNG.random((6, 3))
    balance, total = RNG.uniform(0.2, 3, (2, 3)), 0.0
    for i, j in np.ndindex(6, 3):
        s = 1 / (1 + math.exp(-logits[i, j]))
        present = balance[1, j] * pseudo[i, j] * math.log(s)
        total -= present + balance[0, j] * (1 - pseudo[i, j]) * math.log(1 - s)
    loss = student_loss(*map(torch.as_tensor, (logits, pseudo, balance)))
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(total / 18, rel=1e-12)


def test_balanced_pseudo_labels_have_the_rates_asked_for() -> None:
    pseudo, rates = torch.as_tensor(RNG.random((50, 3))), torch.tensor([0.1, 0.5, 0.3]).double()
    absent, present = balance_weights(pseudo, rates)
    positives, negatives = (present * pseudo).sum(0), (absent * (1 - pseudo)).sum(0)
    torch.testing.assert_close(positives / 50, rates)
    torch.testing.assert_close(positives + negatives, torch.full((3,), 50.0).double())


def test_an_au_that_is_never_seen_gets_finite_weights() -> None:
    absent, present = balance_weights(torch.zeros(50, 1), torch.tensor([0.1]))
    assert present.item() == pytest.approx(5)
    assert absent.item() == pytest.approx(0.9 / 0.98)


def test_phases_are_a_teacher_and_students_alike() -> None:
    phases = NoisyStudent.phases(NoisyStudent.Config(rounds=3, teacher_share=0.4))
    assert [phase.name for phase in phases] == ["teacher", "student1", "student2", "student3"]
    assert [phase.share for phase in phases] == pytest.approx([0.4, 0.2, 0.2, 0.2])
    assert [phase.fit for phase in phases] == [True, True, True, False]
    assert [phase.labelled_only for phase in phases] == [True, False, False, False]


def test_the_teacher_is_the_control_bit_for_bit() -> None:
    trained = train(NoisyStudent, make_task(), steps=10, teacher_share=0.5)
    control = train(Supervised, make_task(), steps=5)
    assert trained.totals[:5] == control.totals
    for mine, its in zip(
        trained.method.nets[0].state_dict().values(),
        control.method.net.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(mine, its)


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_the_teacher_labels_the_pool(labels: str) -> None:
    method = build(labels=labels, balance="none")
    pool = label_pool(method)
    answers = method.nets[0].eval().fc(pool).detach().double().sigmoid()
    expected = answers if labels == "soft" else (answers >= 0.5).double()
    torch.testing.assert_close(method.pseudo.double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(method.balance, torch.ones(2, 4))


@pytest.mark.parametrize("balance", ["labelled", "equal"])
def test_labels_of_the_pool_are_weighted_to_the_rates(balance: str) -> None:
    method = build(balance=balance)
    label_pool(method)
    rates = make_task().positive_rates if balance == "labelled" else (0.5,) * 4
    shares = (method.balance[1] * method.pseudo).mean(0)
    torch.testing.assert_close(shares, torch.tensor(rates))


def test_a_student_learns_its_teachers_labels_by_the_frames_numbers() -> None:
    method, batch = build(**NO_NOISE), batch_of(NoisyStudent)
    label_pool(method)
    seen: list[torch.Tensor] = []
    audit = lambda *pair: seen.extend(pair)  # noqa: E731
    losses = method.losses(batch, make_progress(5, 10, method, audit=audit))
    labels = method.pseudo[batch.ids]
    net = method.nets[1].train()
    logits = net(torch.cat([batch.key, batch.unlabelled["strong"]])).detach()
    expected = student_loss(logits[4:].double(), labels.double(), method.balance.double())
    assert losses["student"].item() == pytest.approx(expected.item(), rel=1e-4)
    expected = method.au_loss(logits[:4], batch.labels)
    assert losses["au"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert torch.equal(seen[0], (labels >= 0.5).float())
    assert seen[1].all()


def test_each_phase_trains_its_own_network_and_that_one_predicts() -> None:
    method, clips = build(), torch.randn(2, 5, 3, 32, 32)
    for step, turn in ((0, 0), (3, 1), (9, 2)):
        method.train().zero_grad()
        losses = method.losses(batch_of(NoisyStudent), make_progress(step, 10, method))
        sum(losses.values()).backward()
        trained = [net.fc.weight.grad is not None for net in method.nets]
        assert trained == [number == turn for number in range(3)]
        alone = method.nets[turn].eval()(clips[:, 2]).detach()
        torch.testing.assert_close(predict(method, clips), alone)


def test_a_warm_student_begins_as_its_teacher_and_a_cold_one_does_not() -> None:
    for warm in (True, False):
        method = build(warm_start=warm)
        method.losses(batch_of(NoisyStudent), make_progress(0, 10, method))
        label_pool(method)
        teacher, student = method.nets[0].fc.weight, method.nets[1].fc.weight
        assert torch.equal(teacher, student) == warm


def test_blocks_are_dropped_more_often_the_deeper_they_lie() -> None:
    torch.manual_seed(0)
    net = ImageClassifier(make_task()).train()
    count = stochastic_depth(net.trunk, 0.2)
    rates = [m.drop_prob for m in net.modules() if type(m).__name__ == "DropPath"]
    assert rates == pytest.approx([0.2 * (i + 1) / count for i in range(count)])
    for weights in net.trunk.parameters():
        if weights.dim() == 1:  # timm begins with branches that add nothing
            weights.data.fill_(1.0)
    frames = torch.randn(16, 3, 32, 32)
    assert not torch.equal(net(frames), net(frames))
    assert torch.equal(net.eval()(frames), net(frames))


def test_a_trunk_without_blocks_to_drop_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("methods.noisy_student.stochastic_depth", lambda *_: 0)
    assert build().warnings == [
        "noisy_student had no stochastic depth: resnet18 has no residual branches that can be "
        "dropped"
    ]
    assert build(drop_depth=0.0).warnings == []


def test_with_every_frame_labelled_the_noise_is_what_is_left() -> None:
    task = make_task(unlabelled_frames=0)
    trained = train(NoisyStudent, task, pool=False)
    assert all(set(step) == {"au"} for step in trained.losses)
    features = torch.randn(5, trained.method.nets[0].fc.in_features)
    trained.method.fit(features, torch.zeros(5, 4))
    assert torch.equal(trained.method.balance, torch.ones(2, 4))


def test_whose_turn_it_is_travels_with_the_state_and_is_hashed() -> None:
    method, other = (NoisyStudent(NoisyStudent.Config(), make_task()) for _ in range(2))
    other.load_state_dict(method.state_dict())
    assert weights_hash(method) == weights_hash(other)
    method.turn = 2
    assert weights_hash(method) != weights_hash(other)
    other.load_state_dict(method.state_dict())
    assert other.turn == 2
