"""Landmark tracks in MATLAB files: each frame gets its own points, and no other's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from datasets._base import DatasetCorrupt, DatasetError
from datasets._landmarks.landmark_files import read_track
from tests.helpers.mat_files import track, write_mat5, write_mat73

WRITERS = [write_mat73, write_mat5]
Writer = Callable[..., Path]


@pytest.mark.parametrize("write", WRITERS)
def test_every_frame_gets_its_entry(write: Writer, tmp_path: Path) -> None:
    points = track(9)
    file = write(tmp_path / "F001_T1.mat", list(points))
    frames = np.array([2, 3, 7])
    np.testing.assert_allclose(read_track(file, frames), points[frames - 1], rtol=1e-6)


@pytest.mark.parametrize("write", WRITERS)
def test_a_frame_without_face_or_without_entry_is_unknown(write: Writer, tmp_path: Path) -> None:
    entries = [*track(4), None, np.zeros((49, 2)), np.full((49, 2), np.nan)]
    file = write(tmp_path / "F001_T1.mat", entries)
    found = read_track(file, np.array([0, 4, 5, 6, 7, 8, 900]))
    assert found.shape == (7, 49, 2)
    assert np.isfinite(found).all(axis=(1, 2)).tolist() == [False, True, *[False] * 5]


def test_entries_of_the_later_format_say_which_frame_they_are_about(tmp_path: Path) -> None:
    points = track(3)
    file = write_mat5(tmp_path / "F001_T1.mat", list(points), frames=[5, 300, 6])
    found = read_track(file, np.array([1, 5, 6, 300]))
    np.testing.assert_allclose(found[1:], points[[0, 2, 1]], rtol=1e-6)
    assert np.isnan(found[0]).all()


@pytest.mark.parametrize("write", WRITERS)
def test_points_stored_the_other_way_round_are_turned(write: Writer, tmp_path: Path) -> None:
    points = track(2)
    file = write(tmp_path / "F001_T1.mat", [points[0].T, points[1]])
    np.testing.assert_allclose(read_track(file, np.array([1, 2])), points, rtol=1e-6)


@pytest.mark.parametrize("write", WRITERS)
def test_another_number_of_points_is_named_with_its_frame(write: Writer, tmp_path: Path) -> None:
    file = write(tmp_path / "F001_T1.mat", [track(1)[0], np.ones((66, 2))])
    what = r"F001_T1\.mat: the landmarks of frame 2 are 66 x 2 numbers, not 49 x 2"
    with pytest.raises(DatasetCorrupt, match=what):
        read_track(file, np.array([1, 2]))


def test_files_that_hold_no_track_are_named(tmp_path: Path) -> None:
    file = tmp_path / "F001_T1.mat"
    for data, what in ((b"", "it is empty"), (b"x" * 600, "it does not begin as a MATLAB file")):
        file.write_bytes(data)
        with pytest.raises(DatasetCorrupt, match=rf"F001_T1\.mat: it is no landmark .*{what}"):
            read_track(file, np.array([1]))
    savemat(file, {"other": np.ones(3)})
    with pytest.raises(DatasetCorrupt, match="it is no landmark track"):
        read_track(file, np.array([1]))
    savemat(file, {"fit": np.ones(3)})
    with pytest.raises(DatasetCorrupt, match="`fit` has neither pred nor pts_2d"):
        read_track(file, np.array([1]))
    write_mat73(file, [track(1)[0]], field="other")
    with pytest.raises(DatasetCorrupt, match="`fit` has neither pred nor pts_2d"):
        read_track(file, np.array([1]))
    with pytest.raises(DatasetCorrupt, match=r"gone\.mat: .*the file is not there"):
        read_track(tmp_path / "gone.mat", np.array([1]))


@pytest.mark.parametrize(("write", "package"), [(write_mat73, "h5py"), (write_mat5, "scipy")])
def test_a_missing_package_is_asked_for_by_name(
    write: Writer, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "F001_T1.mat", [track(1)[0]])
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DatasetError, match=rf"needs {package}: install it .*features=none"):
        read_track(file, np.array([1]))


@settings(deadline=None, max_examples=60)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6
    ),
    write=st.sampled_from(WRITERS),
    cut=st.booleans(),
)
def test_no_damage_raises_anything_else(
    changes: list[tuple[float, int]],
    write: Writer,
    cut: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = write(tmp_path_factory.mktemp("damage") / "F001_T1.mat", list(track(2)))
    data = bytearray(file.read_bytes())
    for share, value in changes:
        data[int(share * len(data))] = value
    file.write_bytes(data[: int(changes[0][0] * len(data))] if cut else data)
    try:
        assert read_track(file, np.array([1, 2])).shape == (2, 49, 2)
    except DatasetCorrupt as error:
        assert "F001_T1.mat" in str(error)  # noqa: PT017  either outcome is right
