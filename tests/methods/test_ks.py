"""Knowledge-Spreader: its parts against loops and hand-made sums, its variants, its claims."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from methods._base import Batch, MethodError, Trunk
from methods._ks import KSOutputs
from methods._layers import ParallelLinear
from methods.ks import KnowledgeSpreader as KS
from tests.helpers.fake_tasks import make_batch, make_progress, make_task, predict, refusal, train

SMALL: dict[str, Any] = {"width": 16, "hidden": 16, "heads": 2}
LATE = 8
"""A step of ten in which the ramp has ended and pseudo labels are used."""


def build(**knobs: Any) -> KS:
    torch.manual_seed(0)
    return KS(KS.Config(**{**SMALL, **knobs}), make_task())


def parameters(aus: int, **knobs: Any) -> int:
    task = make_task(aus=tuple(range(aus)), trunk=Trunk(), positive_rates=(0.3,) * aus)
    return sum(p.numel() for p in KS(KS.Config(**knobs), task).parameters())


def test_the_default_has_the_size_that_the_paper_prints() -> None:
    trunk, heads, encoder = 11_176_512, 1_575_936, 1_054_208
    students, logits, embeddings = 656_640 + 15_420, 3 * 3_084 + 257, 3_072 + 1_280
    assert parameters(12) == trunk + heads + 2 * encoder + students + logits + embeddings
    assert 15.5e6 < parameters(12) < 15.6e6
    assert 15.0e6 < parameters(8) < 15.03e6


def test_the_clean_fit_k2_has_it_too() -> None:
    assert 15.605e6 < parameters(12, **KS.variants["k2"]) < 15.615e6


def test_a_bank_of_linear_maps_is_its_members_one_by_one() -> None:
    bank = ParallelLinear(3, 5, 2)
    own, shared = torch.randn(7, 3, 5), torch.randn(7, 5)
    for g in range(3):
        bias = bank.bias.view(3, 2)[g]
        torch.testing.assert_close(bank(own)[:, g], own[:, g] @ bank.weight[g] + bias)
        torch.testing.assert_close(bank(shared)[:, g], shared @ bank.weight[g] + bias)


def test_student_q_sees_slot_q_and_nothing_else() -> None:
    net = build().net.eval()
    clips = torch.randn(1, 5, net.heads[0].weight.shape[1])
    before = net.student_logits(net.students(clips))
    for q in range(5):
        other = clips.clone()
        other[:, q] += 1
        changed = (net.student_logits(net.students(other)) != before).any(2)[0]
        assert changed.tolist() == [slot == q for slot in range(5)]


def test_students_have_weights_of_their_own() -> None:
    net = build().net.eval()
    frame = torch.randn(1, 1, net.heads[0].weight.shape[1]).expand(-1, 5, -1)
    assert len(net.student_logits(net.students(frame))[0].unique(dim=0)) == 5


# The loss, term by term


def canned(rng: np.random.Generator, clips: int = 3, aus: int = 4) -> dict[str, np.ndarray]:
    shapes = {"z_h": (clips, aus), "z_a": (clips, aus), "z_q": (clips, 5, aus)}
    shapes |= {"z_b": (clips, 5, aus), "order": (2, clips)}
    return {name: rng.normal(0, 2, shape) for name, shape in shapes.items()}


def softplus(x: float) -> float:
    return float(np.log1p(np.exp(x)))


def bce(logit: float, target: float) -> float:
    return softplus(-logit) if target else softplus(logit)


def sigma(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def weighted(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    return float(np.mean([[w[j] * bce(z[i, j], y[i, j]) for j in range(4)] for i in range(len(z))]))


def distilled(a: np.ndarray, b: np.ndarray) -> float:
    total = 0.0
    for x, y in zip(a.ravel(), b.ravel(), strict=True):
        q = sigma((x + y) / 2)
        for p in (sigma(x), sigma(y)):
            total += q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    return total / a.size


def paper_losses(
    z: dict[str, np.ndarray], y: np.ndarray, w: np.ndarray, m: int, epoch: int
) -> dict[str, float]:
    """Equations 1 to 9, with the readings of methods.md 1.3, by loops."""
    late = 0.5 * min(1.0, np.exp(-2 * (1 - (epoch / 5) ** 2)))
    semi = 0.0
    for q in range(5):
        if q != m and epoch >= 2:
            for i in range(3):
                gate = sigma(z["order"][0, i]) < 0.5
                target = (sigma(z["z_q"][i : i + 1, q]) >= 0.5).astype(float)
                semi += gate * weighted(z["z_q"][i : i + 1, q], target, w) / 3
    order = [softplus(z["order"][0, i]) + softplus(-z["order"][1, i]) for i in range(3)]
    z_m, z_b = z["z_q"][:, m], z["z_b"][:, m]
    return {
        "au": weighted(z["z_h"], y, w),
        "spatial": weighted(z["z_a"], y, w) + weighted(z_m, y, w),
        "skd": 0.5 * distilled(z["z_a"], z_m),
        "temporal": late * (weighted(z_b, y, w) + weighted(z["z_a"], y, w)),
        "tkd": late * 0.5 * distilled(z_b, z["z_a"]),
        "order": late * float(np.mean(order)) / 2,
        "pseudo": late * semi,
    }


def with_outputs(method: KS, z: dict[str, np.ndarray]) -> KS:
    tensors = {name: torch.as_tensor(value) for name, value in z.items()}
    method.net.forward = lambda *_: KSOutputs(**tensors)  # type: ignore[method-assign]
    return method


@pytest.mark.parametrize("epoch", [0, 1, 2, 4, 5, 30])
@pytest.mark.parametrize("m", [0, 3])
def test_the_losses_are_the_papers_equations(epoch: int, m: int) -> None:
    z = canned(np.random.default_rng(epoch))
    method = with_outputs(build(), z)
    batch = replace(make_batch(KS.needs, clips=3), slot=m)
    losses = method.losses(batch, make_progress(epoch, 50))
    rates = np.array(method.task.positive_rates)
    weights = 4 / rates / (1 / rates).sum()
    expected = paper_losses(z, batch.labels.numpy(), weights, m, epoch)
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, rel=1e-6)


def test_the_mean_over_inactive_students_is_a_quarter_of_their_sum() -> None:
    z = canned(np.random.default_rng(30))
    method = with_outputs(build(semi="mean"), z)
    batch = replace(make_batch(KS.needs, clips=3), slot=3)
    found = method.losses(batch, make_progress(30, 50))
    weights = 4 / np.array(method.task.positive_rates)
    weights /= (1 / np.array(method.task.positive_rates)).sum()
    expected = paper_losses(z, batch.labels.numpy(), weights, 3, 30)
    expected["pseudo"] /= 4
    assert {k: v.item() for k, v in found.items()} == pytest.approx(expected, rel=1e-6)


def test_literal_sums_multiply_every_au_term_by_their_number() -> None:
    z = canned(np.random.default_rng(1))
    batch = make_batch(KS.needs, clips=3)
    mean = with_outputs(build(), z).losses(batch, make_progress(LATE))
    total = with_outputs(build(reduction="au_sum"), z).losses(batch, make_progress(LATE))
    for name in mean:
        factor = 1 if name == "order" else 4
        assert total[name].item() == pytest.approx(factor * mean[name].item()), name


def test_without_lambda_and_alpha_it_is_three_supervised_heads() -> None:
    method = build(lambda_=0.0, alpha=0.0)
    losses = method.losses(make_batch(KS.needs), make_progress(LATE))
    assert {name for name, loss in losses.items() if loss != 0} == {"au", "spatial"}


def test_a_clip_that_looks_shuffled_has_no_say() -> None:
    z = canned(np.random.default_rng(2))
    z["order"][0] = 1.0
    used: list[torch.Tensor] = []
    progress = make_progress(LATE, audit=lambda _, mask: used.append(mask))
    losses = with_outputs(build(), z).losses(make_batch(KS.needs, clips=3), progress)
    assert losses["pseudo"] == 0
    assert not used[0].any()


def test_the_audit_gets_the_inactive_frames_of_accepted_clips() -> None:
    z = canned(np.random.default_rng(2))
    z["order"][0] = [-1.0, 1.0, -1.0]
    seen: list[torch.Tensor] = []
    progress = make_progress(LATE, audit=lambda *pair: seen.extend(pair))
    batch = replace(make_batch(KS.needs, clips=3), slot=2)
    method = with_outputs(build(), z)
    method.losses(batch, progress)
    targets, used = seen
    expected = np.ones((3, 5, 4), bool)
    expected[1], expected[:, 2] = False, False
    assert np.array_equal(used.numpy(), expected.reshape(15, 4))
    assert np.array_equal(targets.numpy(), (z["z_q"] >= 0).reshape(15, 4))
    assert method.metrics["gate"].item() == pytest.approx(2 / 3)


def test_pseudo_labels_start_in_the_third_epoch_or_the_same_share() -> None:
    batch = make_batch(KS.needs)
    for schedule in ("share", "epochs"):
        method = build(gate="open", schedule=schedule)
        early = method.losses(batch, make_progress(39, 1000))["pseudo"]
        late = method.losses(batch, make_progress(40, 1000))["pseudo"]
        assert early == 0 < late, schedule
    assert [build().epoch(make_progress(step, 1000)) for step in (0, 19, 20, 999)] == [0, 0, 1, 49]


@pytest.mark.parametrize("slot", range(5))
def test_exactly_one_student_learns_from_the_label(slot: int) -> None:
    method = build(pseudo=False, gate="open", tkd=False, lambda_=0.0).train()
    batch = replace(make_batch(KS.needs), slot=slot)
    sum(method.losses(batch, make_progress(LATE)).values()).backward()
    moved = method.net.student_logits.weight.grad.abs().sum((1, 2)) > 0
    assert moved.tolist() == [q == slot for q in range(5)]


def test_one_way_teaching_leaves_the_teacher_alone() -> None:
    for teaching, moves in (("mutual", True), ("one_way", False)):
        method = build(teaching=teaching)
        teacher = torch.randn(3, 4, requires_grad=True)
        student = torch.randn(3, 4, requires_grad=True)
        method._distil(teacher, student).backward()
        assert (teacher.grad is not None) == moves
        assert student.grad.abs().sum() > 0


# Shuffling


def test_a_shuffle_is_never_the_identity_and_differs_between_clips() -> None:
    net = build().net
    clips = torch.arange(5.0)[None, :, None].expand(500, 5, 2)
    orders = net._permuted(clips)[:, :, 0]
    assert (orders.sort(1).values == torch.arange(5.0)).all()
    assert (orders != torch.arange(5.0)).any(1).all()
    assert len(orders.unique(dim=0)) > 100


def test_shuffled_features_get_the_embeddings_of_their_new_slots() -> None:
    """Were they added before the shuffle, a pooled transformer could not tell at all."""
    net = build(dropout=0.0).net.eval()
    with torch.no_grad():
        net.frame_positions.mul_(50)
    out = net(torch.randn(64, 64), torch.randn(64, 5, 64), "features")
    assert (out.order[0] - out.order[1]).abs().mean() > 1e-3


def test_frames_shuffled_before_the_students_carry_no_fingerprint() -> None:
    """Five equal frames: behind the students their order shows, before them it cannot."""
    net = build(dropout=0.0).net.eval()
    clips = torch.randn(8, 1, 64).expand(-1, 5, -1)
    order = net(torch.randn(8, 64), clips, "pre_student").order
    torch.testing.assert_close(order[0], order[1])
    order = net(torch.randn(8, 64), clips, "features").order
    assert not torch.allclose(order[0], order[1])


# The whole method


def test_every_row_of_the_papers_ablation_is_a_variant() -> None:
    path = Path(__file__).parents[2] / "results/published/ablation_50pct_delta_f1.csv"
    with path.open() as file:
        keys = {row["key"] for row in csv.DictReader(file)} - {""}
    assert keys <= set(KS.variants)


@pytest.mark.parametrize("variant", KS.variants)
def test_every_variant_trains_and_predicts(variant: str) -> None:
    trained = train(KS, make_task(), steps=3, **{**SMALL, **KS.variants[variant]})
    assert np.isfinite(trained.totals).all()
    assert predict(trained.method, torch.randn(2, 5, 3, 32, 32)).shape == (2, 4)


ABSENT = {
    "no_spatial_teacher": {"skd"},
    "no_temporal_teacher": {"temporal", "tkd"},
    "no_distillation": {"skd", "tkd"},
    "no_skd": {"skd"},
    "no_tkd": {"tkd"},
    "no_ppl": {"order", "pseudo"},
    "no_pseudo_label": {"pseudo"},
    "hard_threshold": {"order"},
}


@pytest.mark.parametrize("variant", ABSENT)
def test_a_variant_leaves_out_what_its_name_says(variant: str) -> None:
    terms = {"au", "spatial", "skd", "temporal", "tkd", "order", "pseudo"}
    losses = build(**KS.variants[variant]).losses(make_batch(KS.needs), make_progress(LATE))
    assert set(losses) == terms - ABSENT[variant]


KNOBS: list[dict[str, Any]] = [
    *({"kd": reading} for reading in "BCDF"),
    *({"labeller": labeller} for labeller in ("ensemble", "teacher", "temporal")),
    {"kd_target": "moving", "kd": "D"},
    {"temporal_pseudo": True},
    {"ramp": "laine_aila", "ramp_omega": 5.0},
    {"order_input": "features"},
    {"readout": "mean"},
    {"ensemble": "probabilities"},
    {"test_slots": "all"},
    {"batch_norm": "separate"},
    {"temperature": 2.0},
]


@pytest.mark.parametrize("knobs", KNOBS, ids=str)
def test_every_other_reading_changes_the_training_or_the_prediction(knobs: dict[str, Any]) -> None:
    open_gate = {"gate": "open"} if "labeller" in knobs or "temporal_pseudo" in knobs else {}
    clips = torch.randn(3, 5, 3, 32, 32)
    plain = train(KS, make_task(), steps=4, **SMALL, **open_gate)
    other = train(KS, make_task(), steps=4, **SMALL, **open_gate, **knobs)
    assert np.isfinite(other.totals).all()
    assert not torch.equal(predict(plain.method, clips), predict(other.method, clips))


def test_gradients_are_finite_and_reach_every_weight() -> None:
    method = build(gate="order").train()
    with torch.no_grad():
        method.net.order.bias.fill_(-3)  # every clip looks in order
    sum(method.losses(make_batch(KS.needs), make_progress(LATE)).values()).backward()
    for name, weight in method.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
    # Inside the trunk's blocks all gradients are zero at first: their last norm starts at zero.
    for name, weight in [*method.net.named_parameters(), ("stem", method.trunk.body.conv1.weight)]:
        assert weight.grad.abs().sum() > 0, name


def test_uncoded_labels_and_what_is_behind_them_have_no_say() -> None:
    def blind(batch: Batch, value: float = 0.0) -> Batch:
        labels = batch.labels.clone()
        labels[0], labels[:, 1] = value, value
        labels[0], labels[:, 1] = -1, -1
        return replace(batch, labels=labels)

    one = train(KS, make_task(), steps=3, spoil=blind, **SMALL)
    other = train(KS, make_task(), steps=3, spoil=lambda b: blind(b, 1.0), **SMALL)
    assert one.totals == other.totals
    empty = train(
        KS,
        make_task(),
        steps=2,
        spoil=lambda b: replace(b, labels=-torch.ones_like(b.labels)),
        **SMALL,
    )
    assert all(step["au"] == 0 for step in empty.losses)


def test_the_same_seed_gives_the_same_bits() -> None:
    one, other = (train(KS, make_task(), steps=4, **SMALL) for _ in range(2))
    assert one.totals == other.totals


def test_batch_mates_do_not_change_a_prediction() -> None:
    method = train(KS, make_task(), steps=2, **SMALL).method
    clips = torch.randn(4, 5, 3, 32, 32)
    alone = torch.cat([predict(method, clip[None]) for clip in clips])
    torch.testing.assert_close(predict(method, clips), alone, rtol=1e-4, atol=1e-5)


def test_the_prediction_is_the_mean_of_both_teachers_on_the_middle_frame() -> None:
    method = build().eval()
    features = torch.randn(2, 5, 64)
    _, z_a = method.net.classify_frames(features[:, 2])
    z_b = method.net.classify_clips(features)[:, 2]
    torch.testing.assert_close(method.head(features), (z_a + z_b) / 2)
    s = (z_a.sigmoid() + z_b.sigmoid()) / 2
    mixed = build(ensemble="probabilities").eval()
    torch.testing.assert_close(mixed.head(features).sigmoid(), s)


def test_slots_averaged_in_testing_see_the_frame_at_each_of_them() -> None:
    method = build(test_slots="all").eval()
    features = torch.randn(2, 9, 64)
    _, z_a = method.net.classify_frames(features[:, 4])
    z_b = [method.net.classify_clips(features[:, 4 - s : 9 - s])[:, s] for s in range(5)]
    expected = (z_a + torch.stack(z_b).mean(0)) / 2
    torch.testing.assert_close(method.head(features), expected)
    assert method.test_clip_len == 9
    assert build().test_clip_len == 5


def test_known_labels_take_the_place_of_pseudo_labels_and_pass_every_gate() -> None:
    """With each neighbour's label bought, L_semi is a BCE of the inactive students (0.5)."""
    batch = make_batch(KS.needs, seed=3)
    known = torch.randint(0, 2, (4, 5, 4), generator=torch.Generator().manual_seed(4)).float()
    known[0, 1, 2] = -1  # not bought, and no pseudo label is as sure as this threshold
    method = build(use_known_labels=True, gate="threshold", threshold=1.0)
    logits: list[torch.Tensor] = []
    method.net.student_logits.register_forward_hook(lambda *a: logits.append(a[2].detach()))
    found = method.losses(replace(batch, known=known), make_progress(50, 100))["pseudo"]
    z, y = logits[0].double().numpy(), known.double().numpy()
    bce = np.logaddexp(0, z) - y * z
    counted = (y >= 0) & (np.arange(5) != batch.slot)[None, :, None]
    weights = method.au_loss.weights
    assert weights is not None
    expected = (bce * counted * weights.double().numpy()).sum() / (4 * 4)
    assert found.item() == pytest.approx(method.config.lambda_ * expected, rel=1e-5)


def test_known_labels_have_no_say_unless_asked_for() -> None:
    batch = make_batch(KS.needs, seed=3)
    found = []
    for label in (0.0, 1.0):
        method = build()
        torch.manual_seed(1)
        known = torch.full((4, 5, 4), label)
        found.append(method.losses(replace(batch, known=known), make_progress(50, 100))["pseudo"])
    assert torch.equal(*found)


def test_impossible_settings_are_named() -> None:
    with pytest.raises(MethodError, match="clips of 2 to 7 frames, not clip_len=1"):
        KS(KS.Config(), make_task(clip_len=1))
    with pytest.raises(MethodError, match="heads=8 does not divide width=20"):
        build(width=20, heads=8)
    with pytest.raises(MethodError, match="temporal=none leaves nothing for tkd, order_input"):
        build(temporal="none")
    assert refusal(KS, kd="E") == "unknown value of knob.kd 'E': known: A, B, C, D, F"
    assert refusal(KS, heads=0) == "knob.heads=0: it takes 1 or more"
    assert refusal(KS, alpha=-0.5) == "knob.alpha=-0.5: it takes 0 or more"


# L_self: who learns from it, and whether it selects


def moved(method: KS, term: str) -> dict[str, bool]:
    """Whether a term's gradient reaches each part of the network."""
    losses = method.losses(make_batch(KS.needs), make_progress(LATE))
    losses[term].backward()
    parts = {"trunk": method.trunk, "students": method.net.students}
    parts |= {"T_b": method.net.temporal_encoder, "head": method.net.order}
    return {
        name: any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
        for name, part in parts.items()
    }


@pytest.mark.parametrize(
    ("order_gradient", "learns"),
    [
        ("joint", ("trunk", "students", "T_b", "head")),
        ("temporal", ("T_b", "head")),
        ("head", ("head",)),
    ],
)
@pytest.mark.parametrize("order_input", ["tokens", "features"])
def test_l_self_teaches_those_that_the_knob_names(
    order_gradient: str, learns: tuple[str, ...], order_input: str
) -> None:
    found = moved(build(order_gradient=order_gradient, order_input=order_input), "order")
    if order_input == "features":
        assert not found.pop("T_b")
    expected = {name: name in learns for name in found}
    assert found == expected


def test_l_self_can_be_kept_without_selecting() -> None:
    plain, kept = build(**KS.variants["naive_pseudo_label"]), build(**KS.variants["no_selection"])
    batch, late = make_batch(KS.needs), make_progress(LATE)
    assert "order" not in plain.losses(batch, late)
    losses = kept.losses(batch, late)
    assert losses["order"] > 0
    assert kept.metrics["gate"] == 1
    assert "order_accuracy" in kept.metrics


def test_a_gate_by_order_needs_an_order_head() -> None:
    assert "gate=order needs order_loss=true" in refusal(KS, order_loss=False)
    KS.Config(order_loss=False, pseudo=False)


def test_the_parts_predict_apart_and_together_as_the_method_does() -> None:
    method, clips = build().eval(), torch.randn(3, 5, 3, 32, 32)
    features = method.encode(clips.flatten(0, 1)).view(3, 5, -1)
    members = method.members(features)
    assert list(members) == ["AU heads", "S_a", "student", "T_b"]
    torch.testing.assert_close((members["S_a"] + members["T_b"]) / 2, method.head(features))
    student = method.net.student_logits(method.net.students(features))[:, 2]
    torch.testing.assert_close(members["student"], student)
    assert "T_b" not in build(**KS.variants["no_temporal_teacher"]).eval().members(features)


def test_tables_of_embeddings_do_not_decay() -> None:
    spared = [n for n, _ in build().named_parameters() if n.endswith(KS.no_decay)]
    assert spared == ["net.au_positions", "net.frame_positions"]
