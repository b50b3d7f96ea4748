"""MATLAB 5 files: read if whole, and refused before scipy sees what it would crash on."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from datasets._files.matlab import check, read_mat5
from tests.helpers.mat_files import track, write_mat5

FLAGS_AT, NAME_AT, DATA_AT = 144, 168, 176
"""Where in a file of one matrix `pts` its flags are, and its name's and data's elements begin."""


def written(folder: Path, *, compressed: bool = False, **variables: object) -> Path:
    file = folder / "some.mat"
    savemat(file, variables, do_compression=compressed)
    return file


@pytest.fixture
def pts(tmp_path: Path) -> bytearray:
    content = bytearray(written(tmp_path, pts=np.arange(132.0).reshape(66, 2)).read_bytes())
    assert struct.unpack_from("<I", content, DATA_AT) == (9,)  # doubles
    return content


@pytest.mark.parametrize("compressed", [False, True])
def test_every_class_of_matrix_comes_back(tmp_path: Path, compressed: bool) -> None:
    values = {
        "numbers": np.arange(6.0).reshape(2, 3),
        "bytes": np.array([[1, 2, 255]], np.uint8),
        "complexes": np.array([[1 + 2j]]),
        "truths": np.array([[True, False]]),
        "empty": np.empty((0, 0)),
        "text": "a face",
    }
    cells = np.array([[np.ones((2, 2)), np.empty((0, 0)), "text"]], object)
    record = {"x": 1.0, "name": "left", "inner": {"y": np.eye(2)}}
    file = written(tmp_path, compressed=compressed, **values, cells=cells, record=record)
    for name, value in values.items():
        np.testing.assert_array_equal(np.squeeze(read_mat5(file, name)), np.squeeze(value))
    assert read_mat5(file, "cells").shape == (1, 3)
    np.testing.assert_array_equal(read_mat5(file, "record")["inner"][0, 0]["y"][0, 0], np.eye(2))


def test_a_track_of_structs_with_lost_faces_comes_back(tmp_path: Path) -> None:
    points = track(5)
    fit = read_mat5(write_mat5(tmp_path / "some.mat", [points[0], None, points[2]]), "fit").ravel()
    assert [entry["pts_2d"].size for entry in fit] == [98, 0, 98]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (DATA_AT, 118),  # no data type
        (DATA_AT, 14),  # a matrix where numbers should be
        (DATA_AT + 5, 200),  # longer than the file
        (FLAGS_AT + 1, 8),  # said to be complex, without imaginary numbers
        (NAME_AT + 2, 24),  # a name longer than its place
        (126, 0),  # neither order of bytes
        (128, 9),  # a variable that is no matrix
    ],
)
def test_damage_that_scipy_does_not_survive_is_refused(pts: bytearray, at: int, value: int) -> None:
    check(bytes(pts))
    pts[at] = value
    with pytest.raises(ValueError, match=r"^(an element of |a matrix of |a variable of |)it\b"):
        check(bytes(pts))


def test_a_file_cut_anywhere_is_refused(pts: bytearray) -> None:
    for length in range(129, len(pts)):
        with pytest.raises(ValueError, match="it"):
            check(bytes(pts[:length]))


def test_whatever_byte_is_damaged_nothing_but_a_sentence_comes_of_it(pts: bytearray) -> None:
    for at in range(len(pts)):
        for flip in (1, 2, 8, 128, 255):
            content = bytearray(pts)
            content[at] ^= flip
            try:
                check(bytes(content))
            except ValueError as error:
                assert str(error)  # noqa: PT017


def test_a_file_without_the_variable_says_which_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no `pts` in it"):
        read_mat5(written(tmp_path, points=np.eye(2)), "pts")
