"""EAC-Net: its layers against the definition, its two stages, landmarks or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision

from bench.frame_store.crop import canonical_face
from datasets._landmarks.markup import INNER_49
from methods._base import Batch, MethodError, Trunk
from methods._eac import CNet, ENet, crop_features, load_vgg
from methods._eac_attention import au_centres
from methods.eac import EAC
from tests.helpers.fake_tasks import make_batch, make_progress, make_task, predict, refusal, train


def with_face(batch: Batch, *, move: float = 0.0) -> Batch:
    points = torch.from_numpy(canonical_face()) * 32 + move
    return replace(batch, landmarks=points.expand(len(batch.key), -1, -1).clone())


def build(**knobs: Any) -> EAC:
    torch.manual_seed(0)
    return EAC(EAC.Config(**knobs), make_task())


def test_the_full_networks_have_their_published_layers() -> None:
    with torch.device("meta"):
        enet, cnet = ENet(12, 224, 1.0, batch_norm=False), CNet(12, 512, 1.0)
    vgg = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    assert [conv.out_channels for conv in enet.convolutions] == vgg
    shapes = [tuple(m.weight.shape) for m in enet.modules() if isinstance(m, torch.nn.Linear)]
    assert shapes == [(4096, 512 * 49), (2048, 4096), (12, 2048)]
    # 20 x (a 3 x 3 convolution 512 -> 512 and a dense layer 512 x 4 x 4 -> 150), 3000 -> 2048 -> 12
    local = 20 * (512 * 512 * 9 + 512 + 512 * 16 * 150 + 150)
    total = local + 3000 * 2048 + 2048 + 2048 * 12 + 12
    assert sum(p.numel() for p in cnet.parameters()) == total


def test_attention_adds_its_share_of_the_first_map_in_two_stages() -> None:
    net, frames = ENet(4, 32, 0.125, batch_norm=False).eval(), torch.randn(2, 3, 32, 32)
    attention = torch.rand(2, 32, 32)
    maps, x, index = {}, frames, 0
    for stage, count in enumerate((2, 2, 4, 4), start=1):
        x = F.max_pool2d(x, 2) if stage > 1 else x
        for layer in range(1, count + 1):
            conv = net.convolutions[index]
            x = F.relu(F.conv2d(x, conv.weight, conv.bias, padding=1))
            maps[stage, layer], index = x, index + 1
        if stage >= 3:
            pooled = attention
            for _ in range(stage - 1):
                pooled = F.max_pool2d(pooled, 2)
            x = maps[stage, 4] + maps[stage, 1] * pooled[:, None]
    torch.testing.assert_close(net.features(frames, attention), x)


def test_without_attention_the_network_is_vgg_19(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vgg = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"])
    state = {f"features.{name}": value for name, value in vgg.state_dict().items()}
    torch.save(state, tmp_path / "vgg19.pt")
    net = ENet(4, 32, 1.0, batch_norm=False)
    load_vgg(net, str(tmp_path / "vgg19.pt"))
    frames = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours = net.features(frames, torch.zeros(1, 64, 64))
        torch.testing.assert_close(ours, vgg[:27](frames))


def test_crops_are_three_by_three_cells_around_their_centres() -> None:
    features = torch.randn(2, 3, 28, 28)
    centres = torch.rand(2, 20, 2) * 120 - 10
    crops = crop_features(features, centres)
    for n in range(2):
        for k in range(20):
            x, y = (min(26, max(1, int(float(c) * 28 / 100))) for c in centres[n, k])
            expected = features[n, :, y - 1 : y + 2, x - 1 : x + 2]
            assert torch.equal(crops[n, k], expected)


def test_every_crop_has_a_network_of_its_own() -> None:
    net = CNet(4, 8, 0.05).eval()
    centres = torch.full((1, 20, 2), 50.0)
    features = torch.randn(1, 8, 8, 8)
    normal = features / (2 + 0.002 * _sums_over_five(features.square())) ** 0.75
    crop = normal[0, :, 3:6, 3:6].repeat_interleave(2, 1).repeat_interleave(2, 2)
    local = []
    for k in range(20):
        own = slice(8 * k, 8 * k + 8)
        mixed = F.relu(F.conv2d(crop[None], net.conv.weight[own], net.conv.bias[own])).flatten()
        width = net.local.weight.shape[2]
        bias = net.local.bias.view(20, width)[k]
        local.append(F.relu(mixed @ net.local.weight[k] + bias))
    expected = net.head(torch.cat(local)[None])
    torch.testing.assert_close(net(features, centres), expected)


def _sums_over_five(x: torch.Tensor) -> torch.Tensor:
    """Sums over the five channels around each: Lasagne's normalisation, alpha times the sum."""
    padded = torch.cat([torch.zeros_like(x[:, :2]), x, torch.zeros_like(x[:, :2])], 1)
    return sum(padded[:, i : i + x.shape[1]] for i in range(5))


def test_e_net_learns_first_and_stays_as_it_is_while_c_net_learns() -> None:
    method = build().train()
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1, weight_decay=0.1)
    for step, learning in ((0, "enet"), (9, "cnet"), (9, "cnet")):
        before = {name: p.clone() for name, p in method.state_dict().items()}
        losses = method.losses(with_face(make_batch(EAC.needs)), make_progress(step, method=method))
        assert set(losses) == {learning}
        optimiser.zero_grad()
        losses[learning].backward()
        optimiser.step()
        after = method.state_dict()
        moved = {n.split(".")[0] for n in before if not torch.equal(before[n], after[n])}
        assert moved - {"stage_two"} == {learning}


def test_the_prediction_is_the_net_that_has_learnt_last() -> None:
    method, clips = build(), torch.randn(2, 1, 3, 32, 32)
    batch = with_face(make_batch(EAC.needs))
    with torch.no_grad():
        before = predict(method, clips)
        landmarks = method._landmarks(None, 2)
        torch.testing.assert_close(
            before, method.enet(clips[:, 0], method._attention(landmarks)), rtol=1e-4, atol=1e-5
        )
    method.train().losses(batch, make_progress(9, method=method))
    after = predict(method, clips)
    assert not torch.allclose(before, after)
    restored = build()
    restored.load_state_dict(method.state_dict())
    torch.testing.assert_close(predict(restored, clips), after)


def test_landmarks_steer_and_faces_without_them_get_the_mean_face() -> None:
    method, frames = build().eval(), torch.randn(2, 3, 32, 32)
    points = with_face(make_batch(EAC.needs, clips=2)).landmarks
    moved = points + torch.tensor([4.0, -3.0])
    with torch.no_grad():
        assert not torch.allclose(method.encode(frames, points), method.encode(frames, moved))
        half = points.clone()
        half[0] = torch.nan
        alone = method.encode(frames, None)
        torch.testing.assert_close(method.encode(frames, half)[0], alone[0])
        assert torch.isfinite(method.encode(frames, half)).all()
        inner = points[:, torch.from_numpy(INNER_49)]
        torch.testing.assert_close(method.encode(frames, inner), method.encode(frames, points))
        inner[1] = torch.nan
        torch.testing.assert_close(method.encode(frames, inner)[1], alone[1])


def test_a_dataset_without_landmarks_is_said_once() -> None:
    method = build()
    for _ in range(2):
        method.losses(make_batch(EAC.needs), make_progress())
    assert method.warnings == ["eac had no landmarks: its attention and crops are the mean face's"]
    chosen = build(fixed_map=True)
    chosen.losses(with_face(make_batch(EAC.needs)), make_progress())
    assert chosen.warnings == []


def test_a_fixed_map_sees_no_landmark() -> None:
    method, frames = build(fixed_map=True).eval(), torch.randn(2, 3, 32, 32)
    points = with_face(make_batch(EAC.needs, clips=2), move=3).landmarks
    with torch.no_grad():
        assert torch.equal(method.encode(frames, points), method.encode(frames))


def test_pretrained_weights_freeze_the_first_two_stages(tmp_path: Path) -> None:
    state = {}
    for index, conv in enumerate(ENet(4, 32, 1.0, batch_norm=False).convolutions):
        state[f"features.{index}.weight"] = conv.weight.detach()
        state[f"features.{index}.bias"] = conv.bias.detach()
    torch.save(state, tmp_path / "vgg.pt")
    task = make_task(trunk=Trunk(weights=str(tmp_path / "vgg.pt")))
    method = EAC(EAC.Config(), task)
    trainable = [conv.weight.requires_grad for conv in method.enet.convolutions]
    assert trainable == [False] * 4 + [True] * 12
    assert torch.equal(method.enet.convolutions[5].weight, state["features.5.weight"])
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in method.modules())


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "resnet.pt")
    with pytest.raises(MethodError, match=r"resnet.pt are not those of the VGG-19"):
        EAC(EAC.Config(), make_task(trunk=Trunk(weights=str(tmp_path / "resnet.pt"))))
    with pytest.raises(MethodError, match=r"need a width of 1"):
        EAC(EAC.Config(weights="imagenet"), make_task())


def test_impossible_settings_are_named() -> None:
    with pytest.raises(MethodError, match="images of 32 px or more, not 24"):
        EAC(EAC.Config(), make_task(image_size=24))
    assert refusal(EAC, attention="code").startswith("unknown value of knob.attention 'code'")
    assert refusal(EAC, width=0.0) == "knob.width=0.0: it takes 0.01 to 1"


@pytest.mark.parametrize("step", [0, 60])
def test_the_49_inner_points_train_and_predict_as_the_68_do(step: int) -> None:
    """One face of the batch has unknown landmarks, which the mean face stands in for."""
    batch = with_face(make_batch(EAC.needs), move=1.5)
    assert batch.landmarks is not None
    batch.landmarks[1] = torch.nan
    few = replace(batch, landmarks=batch.landmarks[:, INNER_49])
    found = []
    for given in (batch, few):
        method = build()
        torch.manual_seed(1)
        (loss,) = method.losses(given, make_progress(step, 100, method)).values()
        loss.backward()
        grads = [w.grad for w in method.parameters() if w.grad is not None]
        with torch.no_grad():
            logits = method.eval().encode(given.key, given.landmarks)
        found.append([loss.detach(), *grads, logits])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_another_number_of_landmarks_is_named() -> None:
    with pytest.raises(MethodError, match="68 or 49 landmarks a face, not 66"):
        build().encode(torch.zeros(2, 3, 32, 32), torch.zeros(2, 66, 2))


def test_its_own_width_narrows_it_further_than_the_trunk() -> None:
    assert build().enet.channels == 512 * make_task().trunk.width
    assert build(width=0.0625).enet.channels == 32


@pytest.mark.parametrize("variant", [None, *EAC.variants])
def test_it_learns_what_it_is_shown(variant: str | None) -> None:
    knobs = EAC.variants[variant] if variant else {}
    same = lambda _: with_face(make_batch(EAC.needs, seed=1))  # noqa: E731
    trained = train(EAC, make_task(), steps=8, spoil=same, **knobs)
    assert np.isfinite(trained.totals).all()
    assert trained.totals[-1] < trained.totals[0]
    assert predict(trained.method, torch.randn(2, 1, 3, 32, 32)).shape == (2, 4)


@pytest.mark.parametrize("step", [0, 9])
def test_gradients_are_finite_and_reach_every_weight_of_the_stage(step: int) -> None:
    method = build().train()
    losses = method.losses(with_face(make_batch(EAC.needs)), make_progress(step, method=method))
    sum(losses.values()).backward()
    net = method.cnet if step else method.enet
    for name, weight in net.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


def test_uncoded_labels_have_no_say() -> None:
    def blind(value: float) -> Any:
        def spoil(batch: Batch) -> Batch:
            labels = batch.labels.clone()
            labels[:, 1] = value
            labels[:, 1] = -1
            return with_face(replace(batch, labels=labels))

        return spoil

    one, other = (train(EAC, make_task(), steps=4, spoil=blind(v)) for v in (0.0, 1.0))
    assert one.totals == other.totals


def test_batch_mates_do_not_change_a_prediction() -> None:
    method = train(EAC, make_task(), steps=2, spoil=with_face).method
    clips = torch.randn(4, 1, 3, 32, 32)
    alone = torch.cat([predict(method, clip[None]) for clip in clips])
    torch.testing.assert_close(predict(method, clips), alone, rtol=1e-4, atol=1e-5)


def test_centres_of_the_mean_face_lie_on_the_face() -> None:
    centres = au_centres(torch.from_numpy(canonical_face())[None], (1, 1))[0]
    assert centres.min() > 0
    assert centres.max() < 100


# E-Net on the benchmark's trunk


def test_attention_enhances_the_trunks_stages_of_a_quarter_and_an_eighth() -> None:
    method = build(body="trunk").double().eval()
    body, frames = method.enet.trunk.body, torch.randn(2, 3, 64, 64, dtype=torch.float64)
    attention = torch.rand(2, 64, 64, dtype=torch.float64)
    x = body.maxpool(body.act1(body.bn1(body.conv1(frames))))
    for stage, side in ((body.layer1, 4), (body.layer2, 8)):
        first = stage[0](x)
        pooled = attention.view(2, 64 // side, side, 64 // side, side).amax((2, 4))
        x = stage[1](first) + first * pooled[:, None]
    features = method.enet.features(frames, attention)
    torch.testing.assert_close(features, x)
    assert features.shape[1:] == (method.enet.channels, 8, 8)
    without = torch.zeros_like(attention)
    expected = method.enet.head(method.enet.trunk(frames))
    torch.testing.assert_close(method.enet(frames, without), expected)


def test_on_the_trunk_c_net_learns_from_fixed_features() -> None:
    method = build(body="trunk", stage_two_from=0.5).train()
    batch = with_face(make_batch(EAC.needs))
    assert set(method.losses(batch, make_progress(4, 10, method))) == {"enet"}
    method.losses(batch, make_progress(5, 10, method))["cnet"].backward()
    assert all(p.grad is None for p in method.enet.parameters())
    assert method.cnet.local.weight.grad.any()


def test_a_trunk_that_is_no_resnet_is_refused() -> None:
    task = make_task(trunk=Trunk(name="mobilenetv3_small_050", weights="none"))
    with pytest.raises(MethodError, match="trunk mobilenetv3_small_050 has none, resnet18 has"):
        EAC(EAC.Config(body="trunk"), task)


def test_each_net_has_a_rate_schedule_of_its_own() -> None:
    def shares(**knobs: Any) -> list[tuple[str, float]]:
        return [(phase.name, phase.share) for phase in EAC.phases(EAC.Config(**knobs))]

    assert shares() == [("enet", 0.5), ("cnet", 0.5)]
    assert shares(stage_two_from=1.0) == [("enet", 1.0)]
    assert shares(stage_two_from=0.0) == [("cnet", 1.0)]
