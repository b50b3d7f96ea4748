"""Stored predictions: written and read back, older files and broken ones."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bench.results.predictions import StoredPredictions, read_predictions
from bench.system.files import RecordError
from tests.helpers.fake_records import drawn


def saved(path: Path, predictions: StoredPredictions) -> Path:
    with path.open("wb") as stream:
        predictions.save(stream)
    return path


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    held_out = drawn(3, people=2)
    written = dataclasses.replace(
        drawn(),
        validation_probabilities=held_out.probabilities,
        validation_labels=held_out.labels,
        intensities=np.full(drawn().probabilities.shape, 2.5, np.float32),
    )
    found = read_predictions(saved(tmp_path / "a.npz", written))
    assert found is not None
    for item in dataclasses.fields(StoredPredictions):
        assert np.array_equal(getattr(found, item.name), getattr(written, item.name)), item.name


def test_a_file_of_an_earlier_version_has_no_labels(tmp_path: Path) -> None:
    old = dataclasses.replace(drawn(), labels=None, rates=None)
    found = read_predictions(saved(tmp_path / "a.npz", old))
    assert found is not None
    assert found.labels is None
    assert found.validation_labels is None
    assert found.intensities is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_predictions(tmp_path / "a.npz") is None


@pytest.mark.parametrize("cut", [0, 10, 500])
def test_half_a_file_is_named(tmp_path: Path, cut: int) -> None:
    path = saved(tmp_path / "a.npz", drawn())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RecordError, match=r"a\.npz holds no readable predictions"):
        read_predictions(path)


def test_a_byte_gone_wrong_anywhere_is_an_error_of_the_record(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.npz", drawn()).read_bytes()
    rng, path = np.random.default_rng(0), tmp_path / "b.npz"
    for at in rng.choice(len(whole), 300, replace=False):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        with suppress(RecordError):  # a few bytes mean nothing: a date, say
            read_predictions(path)


def test_nobody_is_told_to_load_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("rubbish")
    with pytest.raises(RecordError, match=r"predictions \(it is not a whole \.npz file\)"):
        read_predictions(tmp_path / "a.npz")


def test_arrays_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    wrong = dataclasses.replace(drawn(), frame=np.arange(3))
    with pytest.raises(RecordError, match="3 frames and 3 AUs"):
        read_predictions(saved(tmp_path / "a.npz", wrong))
    short = dataclasses.replace(drawn(), intensities=np.zeros((2, 3), np.float32))
    with pytest.raises(RecordError, match=r"intensities of shape \(2, 3\)"):
        read_predictions(saved(tmp_path / "b.npz", short))
    one_task = dataclasses.replace(drawn(), task=np.array(["T1"]))
    with pytest.raises(RecordError, match="not every frame"):
        read_predictions(saved(tmp_path / "b.npz", one_task))


def test_a_file_without_probabilities_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", frame=np.arange(3))
    with pytest.raises(RecordError, match="probabilities"):
        read_predictions(tmp_path / "a.npz")
