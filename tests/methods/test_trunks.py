"""Trunks: any timm network, narrowed ResNets, weights from a file, and the sentences of failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from methods._base import MethodError, Trunk
from methods._trunks import build_trunk


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_published_trunk_has_its_published_size() -> None:
    trunk = build_trunk(Trunk())
    assert (parameters(trunk), trunk.num_features) == (11_176_512, 512)


@pytest.mark.parametrize(
    ("name", "features"),
    [
        ("resnet26", 512),
        ("wide_resnet50_2", 512),
        ("resnet18", 128),
        ("resnet18.tv_in1k", 128),
        ("seresnet18", 128),
    ],
)
def test_a_narrow_resnet_is_narrow_from_its_stem_on(name: str, features: int) -> None:
    trunk = build_trunk(Trunk(name=name, width=0.25))
    assert trunk(torch.randn(2, 3, 32, 32)).shape == (2, features)
    assert trunk.num_features == features
    assert trunk.body.conv1.out_channels == 16


def test_a_narrow_resnet_differs_from_the_published_one_in_channels_only() -> None:
    full, narrow = timm.create_model("resnet18", num_classes=0), build_trunk(Trunk(width=0.5)).body
    assert list(full.state_dict()) == list(narrow.state_dict())
    for name, weight in full.state_dict().items():
        expected = [size if size in (1, 3, 7) else size // 2 for size in weight.shape]
        assert list(narrow.state_dict()[name].shape) == expected, name


def test_channels_are_rounded_to_a_multiple_of_eight_and_never_vanish() -> None:
    trunk = build_trunk(Trunk(width=0.01))
    assert {c.out_channels for c in trunk.modules() if isinstance(c, torch.nn.Conv2d)} == {8}
    wider = build_trunk(Trunk(width=0.3))
    assert wider.num_features == 152  # 512 x 0.3 = 153.6


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mobilenetv3_small_050", "convnext_atto"])
def test_any_timm_network_gives_as_many_features_as_it_says(name: str) -> None:
    trunk = build_trunk(Trunk(name=name), image_size=64).eval()
    with torch.no_grad():
        assert trunk(torch.randn(2, 3, 64, 64)).shape == (2, trunk.num_features)


@pytest.mark.parametrize("name", ["convnext_atto", "resnet18d", "resnext50_32x4d", "vgg11"])
def test_width_on_another_family_names_those_that_take_it(name: str) -> None:
    with pytest.raises(MethodError, match=f"{name} takes no width: resnet18"):
        build_trunk(Trunk(name=name, width=0.5))


def test_an_unknown_name_is_told_its_neighbours() -> None:
    with pytest.raises(MethodError, match=r"no trunk 'resnet81'.*resnet18"):
        build_trunk(Trunk(name="resnet81"))
    with pytest.raises(MethodError, match=r"no weights 'resnet18.tv'.*resnet18.tv_in1k"):
        build_trunk(Trunk(name="resnet18.tv"))


def test_an_image_size_that_a_transformer_cannot_take_is_named() -> None:
    for name in ("maxvit_pico_rw_256", "xcit_nano_12_p16_224"):
        with pytest.raises(MethodError, match=f"trunk {name} .* for 100 px"):
            build_trunk(Trunk(name=name), image_size=100)


def test_a_failing_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host\nand a page of advice")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(MethodError, match=r"--set trunk.weights=PATH\|none$") as caught:
        build_trunk(Trunk(weights="imagenet"))
    assert "\n" not in str(caught.value)


def test_imagenet_weights_do_not_fit_a_narrow_trunk() -> None:
    with pytest.raises(MethodError, match="width=1 only"):
        build_trunk(Trunk(weights="imagenet", width=0.5))


@pytest.mark.parametrize("wrap", ["state_dict", "model", None])
def test_weights_come_from_a_file_without_their_classifier(
    tmp_path: Path, wrap: str | None
) -> None:
    source = timm.create_model("resnet10t", num_classes=7)
    state = source.state_dict()
    torch.save({wrap: state} if wrap else state, tmp_path / "w.pt")
    trunk = build_trunk(Trunk(name="resnet10t", weights=str(tmp_path / "w.pt")))
    for name, weight in trunk.body.state_dict().items():
        assert torch.equal(weight, state[name]), name


def test_weights_come_from_safetensors_too(tmp_path: Path) -> None:
    source = build_trunk(Trunk(width=0.125)).body
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    trunk = build_trunk(Trunk(width=0.125, weights=str(tmp_path / "w.safetensors")))
    assert torch.equal(trunk.body.conv1.weight, source.conv1.weight)


def test_weights_that_are_not_there_or_not_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"nowhere.pt: no such weights file"):
        build_trunk(Trunk(weights=str(tmp_path / "nowhere.pt")))
    (tmp_path / "text.pt").write_text("not a checkpoint")
    with pytest.raises(MethodError, match=r"text.pt is not a readable state dict"):
        build_trunk(Trunk(weights=str(tmp_path / "text.pt")))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(MethodError, match=r"list.pt is not a state dict"):
        build_trunk(Trunk(weights=str(tmp_path / "list.pt")))
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "other.pt")
    with pytest.raises(MethodError, match=r"other.pt holds weights of another network"):
        build_trunk(Trunk(weights=str(tmp_path / "other.pt")))


def test_weights_see_images_in_their_own_normalisation(tmp_path: Path) -> None:
    name = "vit_tiny_patch16_224"
    source = timm.create_model(name, num_classes=0, img_size=64).eval()
    torch.save(source.state_dict(), tmp_path / "vit.pt")
    trunk = build_trunk(Trunk(name=name, weights=str(tmp_path / "vit.pt")), 64).eval()
    pixels = torch.rand(1, 3, 64, 64)
    ours = (pixels - torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).reshape(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(trunk(ours), source((pixels - 0.5) / 0.5))


def test_one_image_that_leaves_batch_norm_one_value_is_named() -> None:
    trunk = build_trunk(Trunk(width=0.125), 32).train()
    with pytest.raises(MethodError, match=r"batch of one image of 32 px .* data.size=33 or more"):
        trunk(torch.zeros(1, 3, 32, 32))
    assert trunk(torch.zeros(1, 3, 33, 33)).shape == trunk(torch.zeros(2, 3, 32, 32))[:1].shape
    assert trunk.eval()(torch.zeros(1, 3, 32, 32)).isfinite().all()


def test_a_trunk_without_batch_norm_takes_one_image() -> None:
    trunk = build_trunk(Trunk(name="test_vit"), 160).train()
    assert trunk(torch.zeros(1, 3, 160, 160)).shape == (1, trunk.num_features)
