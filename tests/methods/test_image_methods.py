"""The image-level methods: equal where nothing is unlabelled, and each itself elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from methods._base import Batch, Method, MethodError
from methods.fixmatch import FixMatch
from methods.flexmatch import FlexMatch
from methods.freematch import FreeMatch
from methods.mean_teacher import MeanTeacher
from methods.pseudo_label import PseudoLabel
from methods.softmatch import SoftMatch
from methods.supervised import Supervised
from methods.uda import UDA
from tests.helpers.fake_tasks import (
    Trained,
    batch_of,
    make_progress,
    make_task,
    predict,
    refusal,
    train,
)

UNLABELLED_TERM: dict[type[Method], str] = {
    PseudoLabel: "pseudo",
    MeanTeacher: "consistency",
    FixMatch: "fixmatch",
    UDA: "uda",
    FlexMatch: "flexmatch",
    FreeMatch: "freematch",
    SoftMatch: "softmatch",
}
SEMI = [*UNLABELLED_TERM]
METHODS = [Supervised, *SEMI]


def same_bits(one: Trained, other: Trained) -> bool:
    mine, its = one.method.state_dict(), other.method.state_dict()
    clips = torch.randn(3, 5, 3, 32, 32)
    return (
        one.totals == other.totals
        and list(mine) == list(its)
        and all(torch.equal(mine[name], its[name]) for name in mine)
        and torch.equal(predict(one.method, clips), predict(other.method, clips))
    )


@pytest.mark.parametrize("kind", SEMI)
def test_with_every_frame_labelled_a_method_is_the_control_bit_for_bit(kind: type[Method]) -> None:
    task = make_task(unlabelled_frames=0)
    control = train(Supervised, task, pool=False)
    trained = train(kind, task, pool=False)
    assert same_bits(trained, control)
    assert all(set(step) == {"au"} for step in trained.losses)


@pytest.mark.parametrize("kind", SEMI)
def test_it_draws_no_random_number_more_than_the_control(kind: type[Method]) -> None:
    train(Supervised, make_task(unlabelled_frames=0), pool=False)
    expected = torch.rand(1)
    train(kind, make_task())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("kind", SEMI)
def test_unlabelled_frames_change_what_is_learnt(kind: type[Method]) -> None:
    control, trained = (
        train(Supervised, make_task()),
        train(kind, make_task(), **EAGER.get(kind, {})),
    )
    assert not torch.equal(
        control.method.net.fc.weight,
        trained.method.net.fc.weight,
    )


EAGER: dict[type[Method], dict[str, Any]] = {FixMatch: {"tau": 0.5}, UDA: {"threshold": 0.5}}


@pytest.mark.parametrize("kind", METHODS)
def test_hidden_labels_of_uncoded_aus_have_no_say(kind: type[Method]) -> None:
    def blind(batch: Batch) -> Batch:
        labels = batch.labels.clone()
        labels[:, 1] = -1
        return replace(batch, labels=labels)

    def scrambled(batch: Batch) -> Batch:
        labels = batch.labels.clone()
        labels[:, 1] = 1 - labels[:, 1]
        return blind(replace(batch, labels=labels))

    assert same_bits(
        train(kind, make_task(), steps=3, spoil=blind),
        train(kind, make_task(), steps=3, spoil=scrambled),
    )


@pytest.mark.parametrize("kind", METHODS)
def test_a_batch_without_any_label_gives_a_finite_step(kind: type[Method]) -> None:
    spoil = lambda batch: replace(batch, labels=torch.full_like(batch.labels, -1))  # noqa: E731
    trained = train(kind, make_task(), steps=2, spoil=spoil)
    assert all(float(step["au"]) == 0 for step in trained.losses)
    assert all(torch.isfinite(p).all() for p in trained.method.parameters())


@pytest.mark.parametrize("kind", METHODS)
def test_gradients_are_finite_and_reach_every_weight(kind: type[Method]) -> None:
    method = kind(kind.Config(**EAGER.get(kind, {})), make_task()).train()
    losses = method.losses(batch_of(kind), make_progress(6))
    sum(losses.values()).backward()
    for name, weight in method.net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
    assert method.net.trunk.body.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", METHODS)
def test_batch_mates_do_not_change_a_prediction(kind: type[Method]) -> None:
    trained = train(kind, make_task(), steps=2)
    clips = torch.randn(4, 5, 3, 32, 32)
    alone = torch.cat([predict(trained.method, clip[None]) for clip in clips])
    torch.testing.assert_close(predict(trained.method, clips), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", METHODS)
def test_a_single_clip_is_a_batch(kind: type[Method]) -> None:
    method = kind(kind.Config(), make_task()).train()
    losses = method.losses(batch_of(kind, clips=1, size=64), make_progress(6))
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize(
    ("kind", "variant"), [(kind, variant) for kind in METHODS for variant in kind.variants]
)
def test_every_variant_trains(kind: type[Method], variant: str) -> None:
    trained = train(kind, make_task(), steps=3, **kind.variants[variant])
    assert all(torch.isfinite(torch.tensor(trained.totals)))


@pytest.mark.parametrize("kind", METHODS)
def test_a_knob_with_an_impossible_value_is_named(kind: type[Method]) -> None:
    sentence = refusal(kind, weighting="aus")
    assert sentence.startswith("unknown value of knob.weighting 'aus': did you mean au? known: au,")
    assert refusal(kind, dropout=1.5) == "knob.dropout=1.5: it takes 0 to 1"


# Pseudo-label alone


def test_the_pseudo_label_weight_rises_from_t1_to_t2() -> None:
    ramp = PseudoLabel(PseudoLabel.Config(a_f=3), make_task()).ramp
    assert [ramp(x) for x in (0, 0.1, 0.3, 0.5, 0.99)] == pytest.approx([0, 0, 1.5, 3, 3])
    at_once = PseudoLabel(PseudoLabel.Config(t1=0, t2=0), make_task()).ramp
    assert at_once(0) == 1


def test_up_to_t1_pseudo_label_is_the_control() -> None:
    control = train(Supervised, make_task(), steps=4)
    trained = train(PseudoLabel, make_task(), steps=4, t1=1.0, t2=1.0)
    assert same_bits(trained, control)


def test_the_pseudo_label_term_teaches_the_networks_own_answers() -> None:
    task = make_task(positive_rates=(0.5,) * 4)
    method = PseudoLabel(PseudoLabel.Config(), task).train()
    batch = batch_of(PseudoLabel)
    seen: list[torch.Tensor] = []
    losses = method.losses(batch, make_progress(9, audit=lambda *pair: seen.extend(pair)))
    logits = method.net(torch.cat([batch.key, batch.unlabelled["weak"]])).detach()[4:]
    torch.testing.assert_close(seen[0], (logits >= 0).float())
    assert seen[1].all()
    # -log of the larger class probability, everywhere: what a hard label of one's own costs
    expected = -torch.log(torch.maximum(logits.sigmoid(), 1 - logits.sigmoid())).mean()
    assert losses["pseudo"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_threshold_leaves_doubtful_pseudo_labels_out() -> None:
    method = PseudoLabel(PseudoLabel.Config(threshold=1.0), make_task()).train()
    losses = method.losses(batch_of(PseudoLabel), make_progress(9))
    assert losses["pseudo"] == 0


def test_separate_batch_norm_keeps_the_statistics_of_labelled_frames() -> None:
    task = make_task()
    torch.manual_seed(0)
    method = PseudoLabel(PseudoLabel.Config(batch_norm="separate"), task).train()
    torch.manual_seed(0)
    control = Supervised(Supervised.Config(), task).train()
    batch = batch_of(PseudoLabel)
    method.losses(batch, make_progress(9))
    control.losses(batch, make_progress(9))
    for (name, mine), its in zip(method.named_buffers(), control.buffers(), strict=True):
        assert name.endswith("tracked") or torch.equal(mine, its), name


def test_a_ramp_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(MethodError, match=r"t1=0.6 lies after t2=0.5"):
        PseudoLabel(PseudoLabel.Config(t1=0.6), make_task())


# FixMatch alone


def test_fixmatch_predicts_by_its_average_or_its_last_weights() -> None:
    clips = torch.randn(2, 5, 3, 32, 32)
    averaged = train(FixMatch, make_task(), steps=5)
    last = train(FixMatch, make_task(), steps=5, inference="last")
    assert averaged.totals == last.totals
    assert not torch.equal(predict(averaged.method, clips), predict(last.method, clips))
    torch.testing.assert_close(
        predict(last.method, clips), averaged.method.net.eval()(clips[:, 2]).detach()
    )
    torch.testing.assert_close(
        predict(averaged.method, clips), averaged.method.average.network(clips[:, 2])
    )


def test_fixmatch_accounts_for_the_labels_it_accepted() -> None:
    method = FixMatch(FixMatch.Config(tau=0.6), make_task()).train()
    seen: list[torch.Tensor] = []
    batch = batch_of(FixMatch)
    losses = method.losses(batch, make_progress(audit=lambda *pair: seen.extend(pair)))
    targets, used = seen
    assert targets.shape == used.shape == (16, 4)
    assert 0 < used.float().mean() < 1
    assert method.metrics["accepted"].item() == pytest.approx(used.float().mean().item())
    assert set(losses) == {"au", "fixmatch"}


def test_an_audit_changes_nothing() -> None:
    outcomes = []
    for audit in (None, lambda *_: None):
        torch.manual_seed(0)
        method = FixMatch(FixMatch.Config(), make_task()).train()
        outcomes.append(method.losses(batch_of(FixMatch), make_progress(audit=audit)))
    assert all(torch.equal(outcomes[0][name], outcomes[1][name]) for name in outcomes[0])


def test_a_batch_without_unlabelled_frames_still_logs_its_term() -> None:
    for kind, name in UNLABELLED_TERM.items():
        method = kind(kind.Config(), make_task()).train()
        losses = method.losses(batch_of(kind, pool=False), make_progress(9))
        assert losses[name] == 0


def test_the_weak_view_alone_gives_the_same_labels_without_batch_norm() -> None:
    terms = []
    for weak_forward in ("joint", "no_grad"):
        task = make_task(trunk=replace(make_task().trunk, name="vit_tiny_patch16_224", width=1))
        torch.manual_seed(0)
        method = FixMatch(FixMatch.Config(tau=0.5, weak_forward=weak_forward), task).train()
        losses = method.losses(batch_of(FixMatch, clips=1), make_progress())
        sum(losses.values()).backward()
        terms.append((losses["fixmatch"].detach(), method.net.fc.weight.grad))
    torch.testing.assert_close(terms[0], terms[1])
