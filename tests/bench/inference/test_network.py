"""Trained weights kept beside a record, and the network that is built from them again."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.config.registry import Registry
from bench.errors import UsageError
from bench.inference.network import load_network
from bench.results.kept_weights import WEIGHTS, kept_weights
from bench.runner import weights
from bench.runner.weights import read_description
from bench.study.plan import record_of
from methods._base import Method
from tests.helpers import cells
from tests.helpers.cells import run

KEPT = "train.keep_weights=true"
METHODS = ("supervised", "fixmatch", "tcl", "ks", "eac")


def trained(tmp_path, *knobs, methods=("supervised",)):
    grid = cells.grid(cells.study(tmp_path, methods=methods, knobs=(KEPT, *knobs)))
    for cell in grid:
        assert run(cell).status == "done", record_of(cell).reason
    return grid


@pytest.mark.parametrize("method", METHODS)
def test_a_kept_network_predicts_what_the_record_says(tmp_path, method):
    """Every test frame of every method, from the file alone, beside `predictions.npz`."""
    (cell,) = trained(tmp_path, methods=[method])
    network = load_network(tmp_path, cell.id[:30])
    said = np.load(cell.folder / "predictions.npz")
    assert network.aus == tuple(said["aus"])
    store = cells.opened(cells.study(tmp_path)).store
    assert set(said["subject"]) < {s.subject for s in store.sequences}
    for film in store.sequences:
        mine = (said["subject"] == film.subject) & (said["task"] == film.task)
        if mine.any():
            crops = np.array(store.images[film.start : film.start + len(film.frames)])
            sees = network.description.landmarks > 0
            found = network.predict(crops, film.landmarks if sees else None)
            assert np.isin(said["frame"][mine], film.frames).all()
            np.testing.assert_allclose(found[film.coded], said["probabilities"][mine], atol=1e-5)


def test_the_hash_of_what_is_stored_is_the_records(tmp_path):
    (cell,) = trained(tmp_path)
    description = read_description(cell.folder / WEIGHTS)
    assert description.final_weights == record_of(cell).final_weights
    assert description.stored_weights == description.final_weights
    assert description.id == cell.id
    assert [kept.cell for kept in kept_weights(tmp_path)] == [cell.id]


def test_weights_are_kept_on_request_only_and_change_no_cell(tmp_path):
    (plain,) = cells.grid(cells.study(tmp_path))
    (kept,) = cells.grid(cells.study(tmp_path, knobs=[KEPT]))
    assert plain.id == kept.id
    run(plain)
    assert not (plain.folder / WEIGHTS).exists()


def test_half_the_size_is_close_and_hashed_as_rounded(tmp_path):
    (cell,) = trained(tmp_path / "whole")
    (half,) = trained(tmp_path / "half", "train.keep_weights=bfloat16")
    sizes = [(c.folder / WEIGHTS).stat().st_size for c in (cell, half)]
    assert sizes[1] < 0.6 * sizes[0]
    assert record_of(half).final_weights == record_of(cell).final_weights
    crops = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    exact = load_network(tmp_path / "whole", cell.id)
    rounded = load_network(tmp_path / "half", half.id)
    assert rounded.description.stored_weights != rounded.description.final_weights
    for name, value in exact.method.state_dict().items():
        expected = value.bfloat16().float() if value.is_floating_point() else value
        assert torch.equal(rounded.method.state_dict()[name].float(), expected.float()), name
    np.testing.assert_allclose(rounded.predict(crops), exact.predict(crops), atol=0.05)


def test_first_weights_are_not_needed_again(tmp_path):
    first = cells.study(tmp_path / "first", knobs=[KEPT])
    (cell,) = cells.grid(first)
    run(cell)
    body = {
        name.removeprefix("net.trunk.body."): value
        for name, value in load_network(tmp_path / "first", cell.id).method.state_dict().items()
        if name.startswith("net.trunk.body.")
    }
    torch.save(body, tmp_path / "body.pt")
    (cell,) = trained(tmp_path / "then", f"trunk.weights={tmp_path / 'body.pt'}")
    (tmp_path / "body.pt").unlink()
    network = load_network(tmp_path / "then", cell.id)
    assert network.description.trunk.weights == "body.pt"
    assert str(tmp_path) not in json.dumps(network.description.config)


def test_a_landmark_method_sees_landmarks_in_its_probe(tmp_path):
    (cell,) = trained(tmp_path, methods=["eac"])
    described = load_network(tmp_path, cell.id).description
    assert described.landmarks == 68
    method = load_network(tmp_path, cell.id).method
    without = weights.probe(method, replace(described, landmarks=0))
    assert np.abs(without - np.array(described.probe)).max() > 0


class TestRefusals:
    def refused(self, tmp_path, name="synthetic"):
        with pytest.raises(UsageError) as error:
            load_network(tmp_path, name)
        return str(error.value)

    def test_a_cell_without_weights(self, tmp_path):
        (cell,) = cells.grid(cells.study(tmp_path))
        run(cell)
        assert "its weights were not kept" in self.refused(tmp_path)
        assert "no cell's id begins with 'disfa'" in self.refused(tmp_path, "disfa")

    def test_a_damaged_file(self, tmp_path):
        (cell,) = trained(tmp_path)
        path = cell.folder / WEIGHTS
        whole = path.read_bytes()
        path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 64]) + whole[-4:])
        assert "is damaged" in self.refused(tmp_path)
        path.write_bytes(whole[:1000])
        assert "is not a readable file of weights" in self.refused(tmp_path)

    def test_another_trainings_file(self, tmp_path):
        (cell,) = trained(tmp_path)
        (other,) = trained(tmp_path / "other", "train.lr=0.5")
        (other.folder / WEIGHTS).replace(cell.folder / WEIGHTS)
        assert "is not of this cell's training" in self.refused(tmp_path)

    def test_a_format_of_another_version(self, tmp_path):
        (cell,) = trained(tmp_path)
        path = cell.folder / WEIGHTS
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = content[8 : 8 + length].replace(b'"format":"1"', b'"format":"9"')
        path.write_bytes(content[:8] + header + content[8 + length :])
        assert "weights of format 9, and this version reads format 1" in self.refused(tmp_path)
        header = content[8 : 8 + length].replace(b"stored_as", b"stored_at")
        path.write_bytes(content[:8] + header + content[8 + length :])
        assert "was written by another version" in self.refused(tmp_path)

    def test_code_that_computes_something_else(self, tmp_path, monkeypatch):
        (cell,) = trained(tmp_path)
        cls = Registry().method("supervised")
        monkeypatch.setattr(cls, "head", lambda self, x: 1 - self.net.head(x))
        said = self.refused(tmp_path)
        assert "no longer fit the code of supervised: the same weights give other" in said
        assert cell.id in said

    def test_code_that_knows_other_knobs_or_weights(self, tmp_path, monkeypatch):
        trained(tmp_path)
        cls = Registry().method("supervised")
        before = cls.__init__

        def wider(self, config, task):
            before(self, config, task)
            self.more = torch.nn.Linear(2, 2)

        with monkeypatch.context() as patch:
            patch.setattr(cls, "__init__", wider)
            assert "the weights do not fit its network (Missing key(s)" in self.refused(tmp_path)
        monkeypatch.setattr(cls, "Config", Method.Config)
        assert "unknown key 'supervised." in self.refused(tmp_path)

    def test_crops_of_another_size(self, tmp_path):
        trained(tmp_path)
        network = load_network(tmp_path, "synthetic")
        with pytest.raises(ValueError, match="takes uint8 of shape \\(frames, 32, 32, 3\\)"):
            network.predict(np.zeros((3, 64, 64, 3), np.uint8))


def test_a_failed_training_keeps_no_weights(tmp_path, monkeypatch):
    (cell,) = cells.grid(cells.study(tmp_path, knobs=[KEPT, "train.lr=1e30"]))
    assert run(cell).status == "failed"
    assert not (cell.folder / WEIGHTS).exists()
