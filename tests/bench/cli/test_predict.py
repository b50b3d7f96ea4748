"""`predict`: trained networks on films, pictures and datasets, as a person types it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.cli._predict_films import frames_seen
from bench.frame_store.crop import plan_crops, warp
from bench.frame_store.decode import frame_sizes
from bench.inference import prediction
from bench.inference.network import load_network
from bench.inference.recordings import Recordings, find_recordings
from bench.results.kept_weights import WEIGHTS
from tests.helpers import cells
from tests.helpers.cli_driver import Person, quoted
from tests.helpers.films import faces, landmark_file, write_pictures, write_video

KNOBS = ("train.keep_weights=true",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Networks of clips and of frames, two seeds each, and a film of 12 frames with its faces."""
    folder = tmp_path_factory.mktemp("trained")
    asked = cells.study(folder, methods=["supervised", "tcl"], knobs=KNOBS, seeds=(0, 1))
    grid = cells.grid(asked)
    for cell in grid:
        assert cells.run(cell).status == "done"
    frames, landmarks = faces(12)
    write_video(folder / "smile.mp4", frames)
    landmark_file(folder / "openface.csv", landmarks)
    return folder, frames, landmarks, [cell.id for cell in grid]


@pytest.fixture
def person(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    found.results = trained[0]
    return found


def asks(person, line, *more):
    return person.types(
        f"predict {line} --device cpu --workers 1",
        *more,
        *("--results", person.results, "--cache", person.cache),
    )


def crops_of(path, landmarks, size):
    """The crops that the frame store makes, one by one."""
    (recording,) = find_recordings(path)
    (sequence,) = Recordings([recording], (1,)).sequences()
    object.__setattr__(sequence, "landmarks", landmarks)
    sizes = frame_sizes(sequence.source)
    plan = plan_crops(sequence, "auto", sizes)
    frames = zip(sequence.source.read(), plan.transforms, sizes.tolist(), strict=True)
    return np.stack([warp(frame, at, size, tuple(of)) for frame, at, of in frames])


@pytest.mark.parametrize("method", ["supervised", "tcl"])
def test_a_film_gets_a_table_in_openfaces_form(person, trained, method, monkeypatch):
    folder, _, landmarks, ids = trained
    (name,) = [i for i in ids if f"-{method}-" in i and "-s0-" in i]
    monkeypatch.setattr(prediction, "WINDOW", 5)  # three windows, whose clips reach beyond them
    film = folder / "smile.mp4"
    told = asks(person, f"{name} {quoted(film)} --landmarks {quoted(folder / 'openface.csv')}")
    assert told.code == 0, told.err
    table = pd.read_csv("predictions/smile/smile.csv")
    network = load_network(folder, name)
    codes, shares = ([f"AU{au:02d}_{kind}" for au in network.aus] for kind in "cp")
    about = ["frame", "timestamp", "face_id", "confidence", "success"]
    assert list(table.columns) == [*about, *codes, *shares]
    assert table["frame"].tolist() == list(range(1, 13))
    np.testing.assert_allclose(table["timestamp"], np.arange(12) / 25, atol=1e-4)
    assert set(table["confidence"]) == {0.98}
    expected = network.predict(crops_of(film, landmarks, network.description.size))
    np.testing.assert_allclose(table[shares], expected, atol=2e-4)
    assert ((table[shares].to_numpy() >= 0.5) == table[codes].to_numpy().astype(bool)).all()
    assert "12 of 12 frames with a face" in told.out
    assert sorted(told.out.splitlines()[:-1]) == [
        "predictions/smile/smile.csv",
        "predictions/smile/smile.png",
    ]
    about = json.loads((person.cache.parent / "predictions/smile/about.json").read_text())
    assert about["cells"] == {name: network.description.final_weights}
    assert not list(person.cache.glob("predict-*"))  # private pictures do not stay


def test_a_face_that_is_not_known_is_a_gap(person, trained, tmp_path):
    folder, _, landmarks, ids = trained
    holes = landmarks.copy()
    holes[[0, 5, 6]] = np.nan
    told = asks(
        person,
        f"{ids[0]} {quoted(folder / 'smile.mp4')} --format csv,parquet,jsonl",
        *("--landmarks", landmark_file(tmp_path / "holes.csv", holes)),
    )
    assert told.code == 0, told.err
    table = pd.read_csv("predictions/smile/smile.csv")
    assert table["frame"].tolist() == list(range(1, 13))
    gaps = table[table["success"] == 0]
    assert gaps["frame"].tolist() == [1, 6, 7]
    aus = [column for column in table if column.startswith("AU")]
    assert gaps[aus].isna().all(axis=None)
    assert gaps["confidence"].tolist() == [0, 0, 0]
    assert table[table["success"] == 1][aus].notna().all(axis=None)
    text = (tmp_path / "predictions/smile/predictions.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["AU01_c"] is None for row in rows] == [row["success"] == 0 for row in rows]
    parquet = pd.read_parquet("predictions/smile/predictions.parquet")
    assert parquet["recording"].unique().tolist() == ["smile"]
    np.testing.assert_allclose(parquet["AU12_p"], table["AU12_p"])


@pytest.mark.parametrize(
    ("looked_for", "said"),
    [
        ((True, True), "5 of 6 frames with a face"),
        ((False, False), "5 of 6 frames predicted, faces not looked for"),
        (
            (True, False),
            "2 of 3 frames with a face; 3 of 3 frames predicted, faces not looked for",
        ),
    ],
)
def test_faces_are_counted_only_where_looked_for(looked_for, said):
    successes = np.array([[True, False, True], [True, True, True]])
    rows = (np.arange(3), np.zeros(3))
    found = [
        prediction.FacePrediction("film", 0, *rows, success, np.ones(3), np.ones((3, 1)), looked)
        for success, looked in zip(successes, looked_for, strict=True)
    ]
    assert frames_seen(found) == said


def test_several_cells_are_averaged(person, trained):
    folder, _, _, ids = trained
    film = folder / "smile.mp4"
    both = [i for i in ids if "-supervised-" in i]
    found = {}
    pattern = both[0].split("-s0-")[0] + "-s*"
    for name in (*both, ",".join(both), pattern):
        told = asks(person, f"'{name}' {quoted(film)} --overwrite")
        assert told.code == 0, told.err
        table = pd.read_csv("predictions/smile/smile.csv")
        found[name] = table[[c for c in table if c.endswith("_p")]].to_numpy()
    mean = (found[both[0]] + found[both[1]]) / 2
    np.testing.assert_allclose(found[",".join(both)], mean, atol=2e-4)
    np.testing.assert_allclose(found[pattern], mean, atol=2e-4)
    assert np.abs(found[both[0]] - found[both[1]]).max() > 1e-3


def test_the_film_is_drawn_on(person, trained, tmp_path):
    folder, frames, _, ids = trained
    told = asks(
        person,
        f"{ids[0]} {quoted(folder / 'smile.mp4')} --video drawn.mp4",
        *("--landmarks", folder / "openface.csv"),
    )
    assert told.code == 0, told.err
    with av.open(str(tmp_path / "drawn.mp4")) as container:
        shown = list(container.decode(video=0))
    np.testing.assert_allclose([frame.time for frame in shown], np.arange(12) / 25, atol=1e-3)
    drawn = [frame.to_ndarray(format="rgb24") for frame in shown]
    height, width = drawn[0].shape[:2]
    assert height == 360
    assert width > 360 + 150
    shrunk = np.asarray(Image.fromarray(drawn[3][:, :360]).resize(frames[3].shape[1::-1]))
    assert np.median(np.abs(shrunk.astype(int) - frames[3])) < 6
    panel = drawn[3][:, 365:].reshape(-1, 3).astype(int)
    blue = (panel[:, 2] > 150) & (panel[:, 0] < 140)
    assert blue.any()  # the face's name, and the bars of what is present


def test_pictures_and_datasets_are_predicted_too(person, trained, tmp_path):
    folder, frames, _, ids = trained
    write_pictures(tmp_path / "film", frames, first=7)
    told = asks(person, f"{ids[0]} {quoted(tmp_path / 'film')} --out pictures")
    assert told.code == 0, told.err
    assert "12 of 12 frames predicted, faces not looked for, " in told.out
    assert "with a face" not in told.out
    table = pd.read_csv("pictures/film.csv")
    assert table["frame"].tolist() == list(range(7, 19))
    assert table["confidence"].isna().all()  # nobody has looked for a face
    options = [knob for knob in cells.TINY if knob.startswith("synthetic.")]
    knobs = [word for knob in options for word in ("--set", knob)]
    told = asks(person, f"{ids[0]} --dataset synthetic --out whole", *knobs)
    assert told.code == 0, told.err
    assert "140 of 140 frames with a face, " in told.out  # landmarks are the dataset's own
    said = np.load(folder / "runs" / ids[0] / "predictions.npz")
    name = f"{said['subject'][0]}_{said['task'][0]}"
    mine = (said["subject"] == said["subject"][0]) & (said["task"] == said["task"][0])
    table = pd.read_csv(f"whole/{name}.csv").set_index("frame")
    shares = table[[c for c in table if c.endswith("_p")]]
    expected = said["probabilities"][mine]
    np.testing.assert_allclose(shares.loc[said["frame"][mine]], expected, atol=2e-4)


def test_outputs_tell_which_recording_they_are_of(person, trained, tmp_path):
    _, frames, landmarks, ids = trained
    for subject in ("F001", "F002"):
        write_pictures(tmp_path / "films" / subject / "T1", frames[:3])
    (tmp_path / "faces").mkdir()
    landmark_file(tmp_path / "faces" / "F002_T1.csv", landmarks[:3])
    told = asks(person, f"{ids[0]} films --format csv,jsonl --landmarks faces")
    assert told.code == 0, told.err
    out = tmp_path / "predictions" / "films"
    assert sorted(path.name for path in out.glob("*.csv")) == ["F001_T1.csv", "F002_T1.csv"]
    text = (out / "predictions.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    seen = {(row["recording"], row["success"]) for row in rows}
    assert seen == {("F001_T1", 0), ("F002_T1", 1)}
    assert "no row is about 1 of 2 recordings (F001_T1): all gap" in told.err
    assert "3 of 6 frames with a face, " in told.out
    about = json.loads((out / "about.json").read_text())
    assert about["recordings"] == {"F001_T1": "films/F001/T1", "F002_T1": "films/F002/T1"}


def test_a_broken_picture_is_named_and_a_gap_of_its_film(person, trained, tmp_path):
    folder = write_pictures(tmp_path / "film", trained[1])
    (folder / "frame_0007.png").write_bytes(b"")  # the middle one of 12
    told = asks(person, f"{trained[3][0]} {quoted(folder)}")
    assert told.code == 0, told.err
    assert [path.name for path in (tmp_path / "predictions/film").glob("*.csv")] == ["film.csv"]
    table = pd.read_csv("predictions/film/film.csv")
    assert table[table["success"] == 0]["frame"].tolist() == [7]
    assert "note: frame_0007.png: the file is empty" in told.err


def test_pictures_taken_as_stills_are_said_to_be(person, trained, tmp_path):
    folder = write_pictures(tmp_path / "film", trained[1][:3])
    Image.fromarray(trained[1][0][:40]).save(folder / "frame_0003.png")
    told = asks(person, f"{trained[3][0]} {quoted(folder)}")
    assert "pictures differ in size (frame_0003.png): taken as stills" in told.err
    assert len(list((tmp_path / "predictions/film").glob("*.csv"))) == 3


class TestRefusals:
    def said(self, person, line, *more):
        told = asks(person, line, *more)
        assert told.code in (1, 2)
        return told.error

    def test_of_what_is_asked(self, person, trained, tmp_path):
        folder, _, _, ids = trained
        film, name = folder / "smile.mp4", ids[0]
        assert "SOURCE (a video, picture or folder)" in self.said(person, name)
        assert "not both" in self.said(person, f"{name} {quoted(film)} --dataset synthetic")
        assert "unknown format 'xml'" in self.said(person, f"{name} {quoted(film)} --format xml")
        assert "leave out --landmarks" in self.said(
            person, f"{name} {quoted(film)} --detect --landmarks x.csv"
        )
        assert "name ends in .mp4" in self.said(person, f"{name} {quoted(film)} --video out.avi")
        assert "no such video" in self.said(person, f"{name} nothing.mp4")
        assert "no cell's id begins with 'bp4d'" in self.said(person, f"bp4d {quoted(film)}")
        assert "with weights is like" in self.said(person, f"'bp4d*' {quoted(film)}")
        mixed = f"{ids[0]},{ids[-1]} {quoted(film)} --video drawn.mp4"
        write_pictures(tmp_path / "a", faces(2)[0])
        write_pictures(tmp_path / "b", faces(2)[0])
        assert "holds 2" in self.said(person, mixed.replace(str(film), str(tmp_path)))

    def test_of_a_video_that_cannot_be_read(self, person, trained, tmp_path):
        (tmp_path / "text.mp4").write_text("no video at all")
        said = self.said(person, f"{trained[3][0]} {quoted(tmp_path / 'text.mp4')}")
        assert "text.mp4: this video cannot be opened" in said
        assert not (tmp_path / "predictions").exists()

    def test_of_a_video_without_a_face(self, person, trained, tmp_path):
        pytest.importorskip("dlib")
        noise = np.random.default_rng(0).integers(0, 255, (4, 120, 160, 3), np.uint8)
        write_video(tmp_path / "noise.mp4", noise)
        said = self.said(person, f"{trained[3][0]} {quoted(tmp_path / 'noise.mp4')} --detect")
        assert "no face was found in" in said
        assert not (tmp_path / "predictions").exists()

    def test_of_output_that_is_there(self, person, trained, tmp_path, monkeypatch):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("kept")
        film = trained[0] / "smile.mp4"
        said = self.said(person, f"{trained[3][0]} {quoted(film)} --out out")
        assert said == "out is there already: give another --out, or --overwrite"
        with monkeypatch.context() as patch:
            patch.setattr("os.access", lambda path, mode: (Path(path), mode) != (tmp_path, os.W_OK))
            said = self.said(person, f"{trained[3][0]} {quoted(film)} --out new")
            assert said == f"--out new: {tmp_path} cannot be written: give another --out"
        (tmp_path / "drawn.mp4").write_text("kept")
        said = self.said(person, f"{trained[3][0]} {quoted(film)} --video drawn.mp4")
        assert "give another --video" in said
        assert (tmp_path / "drawn.mp4").read_text() == "kept"

    def test_of_a_cell_without_weights(self, person, trained, tmp_path):
        weights = trained[0] / "runs" / trained[3][-1] / WEIGHTS
        weights.rename(tmp_path / "aside")
        try:
            said = self.said(person, f"{trained[3][-1]} {quoted(trained[0] / 'smile.mp4')}")
        finally:
            (tmp_path / "aside").rename(weights)
        assert "has no weights (its weights were not kept): `run --keep-weights`" in said
