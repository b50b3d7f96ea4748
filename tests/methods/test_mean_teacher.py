"""Mean Teacher: its loss in float64, its ramp, and who teaches whom."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from methods.mean_teacher import MeanTeacher, mean_teacher_loss
from methods.supervised import Supervised
from tests.helpers.fake_tasks import batch_of, make_progress, make_task, predict, train

RNG = np.random.default_rng(11)


def logits(*shape: int) -> torch.Tensor:
    return torch.as_tensor(RNG.normal(0, 3, shape))


def build(**knobs: object) -> MeanTeacher:
    torch.manual_seed(0)
    return MeanTeacher(MeanTeacher.Config(**knobs), make_task()).train()


def test_the_loss_is_the_published_one_on_two_class_problems() -> None:
    """Squared error between softmax vectors of two classes, averaged over classes."""
    student, teacher = logits(6, 3), logits(6, 3)
    total = 0.0
    for s, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        mine, its = (np.exp([0.0, z]) / np.exp([0.0, z]).sum() for z in (s, t))
        total += float(((mine - its) ** 2).mean())
    loss = mean_teacher_loss(student, teacher)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(total / 18, rel=1e-12)


def test_only_the_student_gets_a_gradient_and_it_is_not_nought() -> None:
    student, teacher = logits(6, 3).requires_grad_(), logits(6, 3).requires_grad_()
    mean_teacher_loss(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad != 0).all()


def test_no_rows_cost_nothing() -> None:
    assert mean_teacher_loss(torch.zeros(0, 4), torch.zeros(0, 4)) == 0


def test_the_weight_grows_to_the_end_of_the_ramp() -> None:
    linear = build().ramp
    assert [linear(x) for x in (0, 0.1, 0.4, 0.9)] == pytest.approx([0, 0.25, 1, 1])
    sigmoid = build(ramp_form="sigmoid").ramp
    assert [sigmoid(x) for x in (0, 0.2, 0.4, 0.9)] == pytest.approx(
        [math.exp(-5), math.exp(-5 / 4), 1, 1]
    )
    assert build(ramp=0.0).ramp(0) == 1


def test_the_term_compares_student_and_teacher_on_their_own_views() -> None:
    method, batch = build(), batch_of(MeanTeacher)
    for weight in method.teacher.network.parameters():
        weight.data += 0.05
    seen: list[torch.Tensor] = []
    losses = method.losses(batch, make_progress(9, audit=lambda *pair: seen.extend(pair)))
    with torch.no_grad():
        teacher = method.teacher.network(batch.unlabelled["weak"]).double().sigmoid()
        student = method.net(batch.unlabelled["weak2"]).double().sigmoid()
    expected = 50 * (student - teacher).square().mean()
    assert expected > 0
    assert losses["consistency"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert torch.equal(seen[0], teacher >= 0.5)
    assert seen[1].all()


def test_unlabelled_frames_leave_the_running_statistics_alone() -> None:
    method, batch = build(), batch_of(MeanTeacher)
    torch.manual_seed(0)
    control = Supervised(Supervised.Config(), make_task()).train()
    method.losses(batch, make_progress(9))
    control.losses(batch, make_progress(9))
    for (name, mine), its in zip(method.net.named_buffers(), control.net.buffers(), strict=True):
        assert name.endswith("tracked") or torch.equal(mine, its), name


def test_the_teacher_predicts_unless_the_student_is_asked_to() -> None:
    clips = torch.randn(2, 5, 3, 32, 32)
    teacher = train(MeanTeacher, make_task(), steps=5)
    student = train(MeanTeacher, make_task(), steps=5, inference="last")
    assert teacher.totals == student.totals
    for trained, network in (
        (teacher.method, teacher.method.teacher.network),
        (student.method, student.method.net),
    ):
        torch.testing.assert_close(predict(trained, clips), network(clips[:, 2]).detach())
    assert not torch.equal(predict(teacher.method, clips), predict(student.method, clips))


def test_more_unlabelled_frames_than_a_clip_has_make_it_longer() -> None:
    for asked, length in ((2, 5), (4, 5), (7, 8)):
        needs = MeanTeacher.needs_for(MeanTeacher.Config(unlabelled_ratio=asked))
        assert (needs.unlabelled_ratio, needs.clip_len) == (asked, length)
