"""Weights taught on faces: what comes with the suite loads, is what its record says, is small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench.study.study import make_study
from bench.system.hashing import file_digest
from datasets._base import DatasetError
from datasets.synthetic import Synthetic, recording
from methods._base import MethodError, Trunk
from methods._trunks import FACES, build_trunk, faces_weights, save_weights, weights_path
from tests.helpers import cells

FILES = sorted(FACES.glob("*.safetensors"))


def ids(path: Path) -> str:
    return path.stem


def record_of(path: Path) -> dict:
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_there_are_some_and_they_are_small():
    assert FILES
    assert sum(path.stat().st_size for path in FILES) < 3e6


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_the_file_is_the_one_of_its_record(path):
    record = record_of(path)
    assert record["sha256"] == file_digest(path)
    assert record["plan"]["steps"] >= 2000
    assert record["held_out_error_px"] < 2


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_they_load_into_the_trunk_that_they_are_named_for(path):
    trunk = Trunk(width=record_of(path)["plan"]["width"], weights="faces")
    assert weights_path(trunk) == path
    torch.manual_seed(0)
    first = build_trunk(trunk, 64).eval()
    second = build_trunk(trunk, 64).eval()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(first(images), second(images))  # nothing is left at random
    assert float(first(images).detach().std()) > 0


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_their_faces_are_in_no_dataset(path):
    for cast in record_of(path)["casts"]:
        assert cast < 0
        with pytest.raises(DatasetError, match="seed"):
            Synthetic(seed=cast).sequences()


def test_a_cast_of_its_own_is_another_people():
    theirs, ours = (recording(seed, "F001", "T1", frames=10) for seed in (-1, 0))
    assert theirs.source.fingerprint() != ours.source.fingerprint()
    assert (theirs.landmarks[0] != ours.landmarks[0]).any()


def test_a_trunk_that_has_none_is_told_at_planning():
    with pytest.raises(MethodError, match=r"faces-resnet18-0\.25.*not for faces-resnet34-0\.25"):
        weights_path(Trunk(name="resnet34", width=0.25, weights="faces"))


def test_saved_weights_are_read_back_at_half_precision(tmp_path):
    trunk = Trunk(width=0.125)
    body = build_trunk(trunk, 64).body
    path = tmp_path / "weights.safetensors"
    save_weights(body, path)
    again = build_trunk(Trunk(width=0.125, weights=str(path)), 64).body
    for name, value in body.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    assert path.stat().st_size < 4e5


def test_the_name_of_the_file_tells_trunk_and_width():
    assert faces_weights(Trunk(width=0.25)).name == "faces-resnet18-0.25.safetensors"


def test_a_study_takes_them_by_name():
    study = make_study(methods=["supervised"], knobs=["trunk.weights=faces"])
    assert study.context.settings.trunk.weights == "faces"


def test_weights_that_are_made_anew_make_another_cell(tmp_path, monkeypatch):
    monkeypatch.setattr("methods._trunks.FACES", tmp_path)
    trunk = Trunk(width=0.125, weights="faces")
    hashes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_weights(build_trunk(Trunk(width=0.125), 64).body, faces_weights(trunk))
        (cell,) = cells.grid(cells.study(tmp_path / "r", knobs=["trunk.weights=faces"]))
        hashes.append(cell.hashes["weights"])
    assert len(set(hashes)) == 2


def test_a_missing_file_is_said_before_a_cell_is_planned(tmp_path, monkeypatch):
    monkeypatch.setattr("methods._trunks.FACES", tmp_path)
    with pytest.raises(MethodError, match=r"trunk\.weights=faces exists for none"):
        cells.grid(cells.study(tmp_path, knobs=["trunk.weights=faces"]))
