"""Networks at planning: what cannot be trained is said, and published weights are fetched once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from bench.errors import UsageError
from bench.runner import planning
from bench.runner.planning import with_networks_checked
from bench.runner.setup import build_experiment
from bench.study.cell import plan_cells
from bench.study.study import Study, make_study
from bench.system.hashing import file_digest
from methods import _published_weights
from methods._base import MethodError
from tests.helpers import cells
from tests.helpers.cells import run
from tests.helpers.odd_methods import write_plugins

IMAGENET = ("trunk.name=resnet18.tv_in1k", "trunk.width=1", "trunk.weights=imagenet")
CPU = torch.device("cpu")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A hub that holds a ResNet-18 of our own; gives the names that were fetched from it."""
    torch.manual_seed(7)
    file = tmp_path / "hub.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), file)
    asked: list[str] = []

    def fetch(name: str, source: str) -> Path:
        asked.append(f"{name} {source}")
        return file

    monkeypatch.setattr(planning, "fetch_published_weights", fetch)
    return asked


def offline(*_: object, **__: object) -> None:
    raise ConnectionError("no network is reached in tests")


def asked_for(folder: Path, *methods: str) -> Study:
    return cells.study(folder, methods=methods or ("supervised",), knobs=IMAGENET)


def test_published_weights_are_fetched_once_and_copied_beside_the_frames(hub, tmp_path) -> None:
    study = with_networks_checked(asked_for(tmp_path, "supervised", "fixmatch"))
    assert hub == ["resnet18.tv_in1k timm/resnet18.tv_in1k"]
    with_networks_checked(asked_for(tmp_path))
    assert len(hub) == 1, "what is in the cache needs no hub"
    (found,) = study.context.weights["fixmatch"]
    assert found.file.is_relative_to(study.context.cache)
    assert found.sha256 == file_digest(tmp_path / "hub.safetensors") == file_digest(found.file)


def test_a_cell_begins_with_them_and_its_record_names_them(hub, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(_published_weights, "hf_hub_download", offline)
    study = with_networks_checked(asked_for(tmp_path))
    data = cells.opened(study)
    (cell,) = plan_cells(study, data)
    weights = timm.create_model("resnet18", checkpoint_path=str(tmp_path / "hub.safetensors"))
    body = build_experiment(cell, CPU).method.net.trunk.body
    assert torch.equal(body.layer3[0].conv1.weight, weights.layer3[0].conv1.weight)
    digest = file_digest(tmp_path / "hub.safetensors")
    assert cell.hashes["weights"] == digest
    assert run(cell).first_weights == {"timm/resnet18.tv_in1k": digest}
    (other,) = plan_cells(asked_for(tmp_path), data)
    assert other.id != cell.id, "their content is part of what a cell is"


def test_a_file_that_changed_since_is_refused(hub, tmp_path) -> None:
    study = with_networks_checked(asked_for(tmp_path))
    (cell,) = plan_cells(study, cells.opened(study))
    (found,) = study.context.weights["supervised"]
    save_file({"x": torch.zeros(1)}, found.file)
    record = run(cell)
    assert record.status == "skipped"
    assert "is not the file of timm/resnet18.tv_in1k that was there when this run" in record.reason


def test_without_a_network_it_is_said_at_planning(tmp_path, monkeypatch) -> None:
    def not_cached(**where: object) -> str:
        raise _published_weights.LocalEntryNotFoundError("not there")

    class Session:
        head = staticmethod(offline)

    monkeypatch.setattr(_published_weights, "hf_hub_download", not_cached)
    monkeypatch.setattr(_published_weights, "get_session", Session)
    with pytest.raises(UsageError) as raised:
        with_networks_checked(asked_for(tmp_path))
    assert str(raised.value) == (
        "the ImageNet weights of resnet18.tv_in1k cannot be downloaded (ConnectionError): "
        "give --set trunk.weights=PATH|none"
    )
    with pytest.raises(MethodError):
        _published_weights.fetch_published_weights("x", "timm/x")


def test_eac_asks_for_its_own_network_beside_the_trunk(hub, tmp_path) -> None:
    study = make_study(
        methods=["eac"], preset="paper", knobs=["data.size=64"], cache=tmp_path, results=tmp_path
    )
    found = with_networks_checked(study).context.weights["eac"]
    assert [weights.name for weights in found] == ["vgg19"]


def test_random_weights_ask_for_nothing(hub, tmp_path) -> None:
    study = with_networks_checked(cells.study(tmp_path, methods=["supervised", "ks"]))
    assert (hub, study.context.weights) == ([], {})


def test_a_trunk_that_a_method_cannot_carry_is_said_at_planning(tmp_path) -> None:
    knobs = ("trunk.name=densenet121", "trunk.width=1")
    with_networks_checked(cells.study(tmp_path, methods=["supervised"], knobs=knobs))
    with pytest.raises(UsageError, match=r"^tcl: .* none in trunk densenet121: .* leave tcl out"):
        with_networks_checked(cells.study(tmp_path, methods=["supervised", "tcl"], knobs=knobs))


def test_planning_draws_nothing_and_leaves_other_faults_to_the_cells(tmp_path) -> None:
    state = torch.get_rng_state()
    plugins = write_plugins(tmp_path, ["counted"])
    plugins[0].write_text(plugins[0].read_text().replace("self.fc =", "self.fc = 1 / 0 #"))
    study = cells.study(tmp_path, methods=["supervised", "counted"], plugins=plugins)
    assert replace(study.context) == with_networks_checked(study).context
    assert torch.equal(state, torch.get_rng_state())
