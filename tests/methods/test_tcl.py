"""TCL: phases, pathways, where gradients go, and which frames see each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from methods._base import Batch, MethodError, Trunk
from methods._tcl import class_vectors, group_contrast, nt_xent
from methods.tcl import TCL, _equal_pairs
from tests.helpers.fake_tasks import make_batch, make_progress, make_task, predict, refusal, train


def build(**knobs: Any) -> TCL:
    torch.manual_seed(0)
    return TCL(TCL.Config(**knobs), make_task())


def test_the_network_is_the_controls_plus_nothing_to_learn() -> None:
    task = make_task(aus=tuple(range(12)), trunk=Trunk(), positive_rates=(0.3,) * 12)
    method = TCL(TCL.Config(), task)
    assert sum(p.numel() for p in method.parameters()) == 11_176_512 + 512 * 12 + 12


def test_labels_alone_then_contrasts_then_pseudo_labels() -> None:
    method, batch = build().train(), make_batch(TCL.needs)
    terms = [
        set(method.losses(batch, make_progress(step, 100))) for step in (0, 11, 12, 87, 88, 99)
    ]
    contrast, fine = {"au", "instance", "group"}, {"au", "pseudo"}
    assert terms == [{"au"}, {"au"}, contrast, contrast, fine, fine]


def test_the_contrasts_are_those_of_the_two_pathways() -> None:
    method, batch = build(dropout=0.0, scale="literal").eval(), make_batch(TCL.needs)
    losses = method.losses(batch, make_progress(50, 100))
    scaled = build(dropout=0.0).eval().losses(batch, make_progress(50, 100))
    fast = method._frame_logits(batch.clips["weak"]).mean(1)
    slow = method._frame_logits(batch.clips["weak2"][:, [0, 2, 4]]).mean(1)
    instance = 9 * nt_xent(class_vectors(fast), class_vectors(slow), 0.5)
    torch.testing.assert_close(losses["instance"], instance)
    torch.testing.assert_close(losses["group"], group_contrast(fast, slow, 0.5))
    for name in ("instance", "group"):
        torch.testing.assert_close(scaled[name], losses[name] / 4)


def test_only_the_slow_pathway_learns_from_contrasts() -> None:
    method, batch = build(threshold=0.5).eval(), make_batch(TCL.needs)
    for step, names in ((50, ("instance", "group")), (95, ("pseudo",))):
        views = {v: clips.clone().requires_grad_() for v, clips in batch.clips.items()}
        losses = method.losses(replace(batch, clips=views), make_progress(step, 100))
        sum(losses[name] for name in names).backward()
        assert views["weak"].grad is None
        touched = views["weak2"].grad.abs().sum((0, 2, 3, 4)) > 0
        assert touched.tolist() == [True, False, True, False, True]


def test_random_slow_frames_keep_their_order() -> None:
    method = build(slow="random")
    clips = torch.arange(5.0).expand(200, 5)[..., None]
    slow = method._slow(clips)[..., 0]
    assert slow.shape == (200, 3)
    assert (slow.diff(dim=1) > 0).all()
    assert len(slow.unique(dim=0)) == 10


def test_frames_of_a_clip_see_each_other_and_clips_do_not() -> None:
    method = build().eval()
    with torch.no_grad():  # a fresh residual branch ends in a norm of zeros and passes nothing
        for name, weight in method.trunk.named_parameters():
            if name.endswith("bn2.weight"):
                weight.fill_(1.0)
    clips = torch.randn(2, 5, 3, 32, 32)
    other = clips.clone()
    other[0, 4] += 1
    changed = (method._frame_logits(clips) != method._frame_logits(other)).any(2)
    assert changed[0, 3]
    assert not changed[1].any()


def test_a_pathway_tells_the_shift_how_long_its_clips_are() -> None:
    method = build().eval()
    alone = method._frame_logits(torch.ones(1, 3, 3, 32, 32))
    method._frame_logits(torch.ones(1, 5, 3, 32, 32))
    torch.testing.assert_close(method._frame_logits(torch.ones(1, 3, 3, 32, 32)), alone)


def test_the_prediction_is_the_fast_pathways_clip_average() -> None:
    method, clips = build().eval(), torch.randn(40, 5, 3, 32, 32)
    logits = method._frame_logits(clips)
    torch.testing.assert_close(predict(method, clips), logits.mean(1), rtol=1e-4, atol=1e-5)
    centre = build(readout="centre").eval()
    torch.testing.assert_close(predict(centre, clips), logits[:, 2], rtol=1e-4, atol=1e-5)


def test_the_audit_gets_a_clips_answer_for_each_of_its_frames() -> None:
    method, seen = build(threshold=0.5).train(), []
    progress = make_progress(95, 100, audit=lambda *pair: seen.extend(pair))
    method.losses(make_batch(TCL.needs), progress)
    assert seen[0].shape == (20, 4)
    assert (seen[0].view(4, 5, 4).diff(dim=1) == 0).all()
    assert method.metrics["accepted"] == 1


def test_pairs_with_the_same_labels_are_counted_as_false_negatives() -> None:
    labels = torch.tensor([[1.0, 0], [1, 0], [0, 0]])
    assert _equal_pairs(labels).item() == pytest.approx(2 / 6)
    assert _equal_pairs(labels[:1]) == 0


@pytest.mark.parametrize("variant", TCL.variants)
def test_every_variant_trains_and_predicts(variant: str) -> None:
    trained = train(TCL, make_task(), steps=9, **TCL.variants[variant])
    assert np.isfinite(trained.totals).all()
    assert predict(trained.method, torch.randn(2, 5, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize(
    "knobs",
    [{"representation": r} for r in ("sigma", "signed", "softmax")] + [{"groups": "argmax"}],
    ids=str,
)
def test_every_other_reading_changes_the_training(knobs: dict[str, Any]) -> None:
    plain, other = train(TCL, make_task(), steps=4), train(TCL, make_task(), steps=4, **knobs)
    assert np.isfinite(other.totals).all()
    assert plain.totals != other.totals


@pytest.mark.parametrize("step", [0, 50, 95])
def test_gradients_are_finite_and_the_stem_gets_one(step: int) -> None:
    method = build().train()
    losses = method.losses(make_batch(TCL.needs), make_progress(step, 100))
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters())
    assert method.trunk.body.conv1.weight.grad.abs().sum() > 0


def test_uncoded_labels_have_no_say() -> None:
    def blind(value: float) -> Any:
        def spoil(batch: Batch) -> Batch:
            labels = batch.labels.clone()
            labels[:, 1] = value
            labels[:, 1] = -1
            return replace(batch, labels=labels)

        return spoil

    one, other = (train(TCL, make_task(), steps=4, spoil=blind(v)) for v in (0.0, 1.0))
    assert one.totals == other.totals


def test_batch_mates_do_not_change_a_prediction() -> None:
    method = train(TCL, make_task(), steps=2).method
    clips = torch.randn(4, 5, 3, 32, 32)
    alone = torch.cat([predict(method, clip[None]) for clip in clips])
    torch.testing.assert_close(predict(method, clips), alone, rtol=1e-4, atol=1e-5)


def test_a_batch_of_one_clip_is_finite() -> None:
    method = build().train()
    losses = method.losses(make_batch(TCL.needs, clips=1), make_progress(50, 100))
    assert losses["instance"] == 0  # no negative is there
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_impossible_settings_are_named() -> None:
    with pytest.raises(MethodError, match="clips of 3 frames or more, not clip_len=1"):
        TCL(TCL.Config(), make_task(clip_len=1))
    with pytest.raises(
        MethodError, match=r"none in trunk densenet121: give --set trunk\.name=resnet18"
    ):
        TCL(TCL.Config(), make_task(trunk=Trunk(name="densenet121")))
    assert refusal(TCL, groups="clip").startswith(
        "unknown value of knob.groups 'clip': known: argmax, au,"
    )
    assert refusal(TCL, shift_divisor=0) == "knob.shift_divisor=0: it takes 2 or more"
    with pytest.raises(MethodError, match=r"contrast_until=0.1 lies before .* it takes 0.12 to 1"):
        build(contrast_until=0.1)


def test_the_key_frame_goes_round_unless_it_is_centred() -> None:
    assert TCL.needs_for(TCL.Config()).key == "cyclic"
    assert TCL.needs_for(TCL.Config(**TCL.variants["centred"])).key == "centre"


def test_contrasts_are_taken_in_full_precision_under_autocast() -> None:
    method, batch = build(dropout=0.0).eval(), make_batch(TCL.needs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method.losses(batch, make_progress(50, 100))
        fast = method._clip_logits(batch.clips["weak"]).float()
        slow = method._clip_logits(batch.clips["weak2"][:, ::2]).float()
    assert losses["instance"].dtype == losses["group"].dtype == torch.float32
    expected = 9 / 4 * nt_xent(class_vectors(fast), class_vectors(slow), 0.5)
    torch.testing.assert_close(losses["instance"], expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(losses["group"], group_contrast(fast, slow, 0.5) / 4)
