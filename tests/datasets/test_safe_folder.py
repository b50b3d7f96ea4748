"""Names of files that may not leave their folder, whatever is tried."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets._files.folders import PathEscape, SafeFolder

PARTS = ["..", ".", "", "a", "b.jpg", "out", "loop", "up", "C:", "~", " ", "..a"]
PATHS = st.one_of(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("/".join),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("\\".join),
    st.text(max_size=10),
)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(PATHS)
def test_a_name_that_is_let_through_lies_within_its_folder(path: str) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "a").mkdir(parents=True)
        (home / "out").symlink_to(folder)
        (home / "up").symlink_to("..")
        (home / "loop").symlink_to("loop")
        (home / "a/b.jpg").symlink_to("../../secret.jpg")
        (Path(folder) / "secret.jpg").write_text("secret")
        safe = SafeFolder(home)
        try:
            name = safe.name(path)
        except PathEscape:
            return
        real, within = os.path.realpath(home / name), os.path.realpath(home)
        assert real == within or real.startswith(within + os.sep)
        assert not safe.holds(name)
        safe.alike(name)


def test_plain_names_pass_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.jpg").write_text("x")
    folder = SafeFolder(tmp_path)
    for given_ in ("a/b.jpg", "a\\b.jpg", "./a//b.jpg", str(tmp_path / "a/b.jpg")):
        assert folder.name(given_) == "a/b.jpg"
    assert folder.holds("a/b.jpg")
    assert not folder.holds("a")
    assert not folder.holds("a/c.jpg")
    assert not folder.holds("a" * 5000)


def test_a_file_that_is_exchanged_for_a_link_is_looked_at_each_time(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "secret.jpg").write_text("secret")
    (tmp_path / "home/b.jpg").write_text("x")
    folder = SafeFolder(tmp_path / "home")
    assert folder.name("b.jpg") == "b.jpg"
    (tmp_path / "home/b.jpg").unlink()
    (tmp_path / "home/b.jpg").symlink_to("../secret.jpg")
    with pytest.raises(PathEscape, match="is a link that leads out of"):
        folder.name("b.jpg")
