"""`run --keep-weights`, what `status` says of them, and `prune`."""

from __future__ import annotations

import pytest

from bench.results.kept_weights import WEIGHTS, KeptWeights, describe_size, remove_weights
from bench.system.files import RecordError
from tests.helpers.cli_driver import Person
from tests.helpers.dataset_trees import make_bp4d_tree

SUBJECTS = ("F001", "F002", "F003", "M001", "M002", "M003")


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    make_bp4d_tree(tmp_path / "tree", subjects=SUBJECTS, tasks=("T1",))
    return Person(tmp_path, tmp_path / "cache", tmp_path / "tree", monkeypatch, capsys)


def test_weights_are_kept_shown_and_pruned(person):
    line = "--methods supervised --ratios 0.2,0.5"
    assert person.runs(f"{line} --keep-weights").code == 0
    files = sorted(person.results.glob(f"runs/*/{WEIGHTS}"))
    assert len(files) == 2
    total = describe_size(sum(file.stat().st_size for file in files))
    assert f"weights  kept of 2 cells: {total}" in person.asks("status").out

    told = person.asks("prune")
    assert (told.code, told.out.splitlines()[-1]) == (0, f"{total} of 2 cells: --yes removes them")
    assert all(file.exists() for file in files)

    first = files[0].parent.name
    assert "of 1 cells" in person.asks(f"prune {first} --yes").out
    assert [file.exists() for file in files] == [False, True]
    assert "no cell in" in person.asks(f"prune {first} --yes").error
    assert person.asks("prune --yes").code == 0
    assert "no weights are kept" in person.asks("prune").out
    assert len(person.records()) == 2
    assert "weights" not in person.asks("status").out

    again = person.runs(f"{line} --keep-weights")
    assert "2 done cells have no weights kept: only --fresh can train for them" in again.err


def test_what_cannot_be_removed_is_said(tmp_path):
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(RecordError, match="cannot write"):
        remove_weights(KeptWeights(tmp_path / WEIGHTS, 0))
