"""Networks exported to ONNX, and the model card beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.errors import UsageError
from bench.inference import export
from bench.inference.network import load_network
from bench.results.records import read_record
from bench.runner.weights import made_up_film
from tests.helpers import cells
from tests.helpers.cli_driver import Person

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

METHODS = ("supervised", "tcl")
"""One whose graph takes any number of clips, one whose graph takes them one by one."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    knobs = ["train.keep_weights=true"]
    grid = cells.grid(cells.study(folder, methods=METHODS, knobs=knobs))
    for cell in grid:
        assert cells.run(cell).status == "done"
    return folder, {str(cell.method): cell.id for cell in grid}


@pytest.fixture
def person(trained, tmp_path, monkeypatch, capsys):
    found = Person(tmp_path, trained[0] / "cache", tmp_path, monkeypatch, capsys)
    found.results = trained[0]
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_graph_with_its_metadata_gives_the_networks_figures(person, trained, tmp_path, method):
    """A film of the test's own, prepared in numpy by what the metadata says alone."""
    folder, ids = trained
    told = person.asks(f"export {ids[method]}", "--onnx", tmp_path / "net.onnx")
    assert told.code == 0, told.err
    assert "checked against torch on 100 frames" in told.err
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    about = session.get_modelmeta().custom_metadata_map
    given = json.loads(about["input"])
    film = made_up_film(9, 32)[::-1].copy()
    pixels = (film / 255 - np.array(given["mean"])) / np.array(given["std"])
    length = session.get_inputs()[0].shape[1]
    around = np.arange(9)[:, None] + (np.arange(length) - given["key_frame"]) * given["stride"]
    clips = pixels.transpose(0, 3, 1, 2)[around.clip(0, 8)].astype(np.float32)
    found = np.concatenate([session.run(None, {"clips": clip[None]})[0] for clip in clips])
    network = load_network(folder, ids[method])
    np.testing.assert_allclose(found, network.predict(film), atol=1e-4)
    assert json.loads(about["aus"]) == list(network.aus)
    assert about["final_weights"] == network.description.final_weights
    assert json.loads(about["crop"])["side"] == 32


def test_the_card_says_what_the_record_says(person, trained, tmp_path):
    folder, ids = trained
    told = person.asks(f"export {ids['supervised']}", "--weights", tmp_path / "net.safetensors")
    assert told.code == 0, told.err
    kept = folder / "runs" / ids["supervised"] / "weights.safetensors"
    assert (tmp_path / "net.safetensors").read_bytes() == kept.read_bytes()
    card = (tmp_path / "net.safetensors.md").read_text()
    record = read_record(folder / "runs" / ids["supervised"] / "record.json")
    scores = record.scores["last"]
    assert f"mean F1 {100 * scores.mean_f1:.1f} %" in card
    assert f"On {len(scores.counts)} people who were not trained on" in card
    assert f"{record.frames['labelled']:,} of {record.frames['train']:,} coded frames" in card
    assert record.final_weights in card
    row = next(line for line in card.splitlines() if line.startswith("| AU12"))
    place = record.aus.index(12)
    shares = (scores.f1[place], scores.auc[place], record.baselines["always_positive"][place])
    printed = [cell.strip() for cell in row.strip("|").split("|")][1:]
    assert printed == ["not coded" if s is None else f"{100 * s:.1f}" for s in shares]
    assert "## Not for" in card
    assert "drawn ones" in card
    assert str(folder) not in card


def test_a_graph_that_says_something_else_is_not_written(trained, tmp_path, monkeypatch):
    network = load_network(trained[0], trained[1]["supervised"])
    monkeypatch.setattr(export, "_distance", lambda *_: 0.5)
    with pytest.raises(UsageError, match=r"says other than torch .* by up to 0.5, .*: nothing was"):
        export.export_onnx(network, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


def test_wrong_requests_are_said_in_a_sentence(person, trained, tmp_path):
    name = trained[1]["supervised"]
    assert "say what to write" in person.asks(f"export {name}").error
    assert "name ends in .onnx" in person.asks(f"export {name} --onnx net.pt").error
    (tmp_path / "net.onnx.md").write_text("mine")
    said = person.asks(f"export {name}", "--onnx", tmp_path / "net.onnx").error
    assert "net.onnx.md is there already" in said
    assert (tmp_path / "net.onnx.md").read_text() == "mine"
    assert "no cell's id begins with" in person.asks("export other --onnx net.onnx").error


def test_without_the_extra_the_way_out_is_said(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    network = load_network(trained[0], trained[1]["supervised"])
    with pytest.raises(UsageError, match="--onnx needs the extra `onnx`"):
        export.export_onnx(network, tmp_path / "net.onnx")
