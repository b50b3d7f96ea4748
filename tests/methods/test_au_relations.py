"""Relations between AUs, against counts made by hand and numpy's own statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods._au_relations import (
    are_enough,
    co_occurrence,
    complete_vectors,
    correlations,
    gaps,
    labelled_vectors,
)
from tests.helpers.fake_tasks import make_task


def random_labels(frames: int = 60, aus: int = 4, *, uncoded: float = 0.0) -> torch.Tensor:
    rng = np.random.default_rng(0)
    labels = (rng.random((frames, aus)) < [0.3, 0.5, 0.2, 0.6][:aus]).astype(float)
    labels[:, 1] = np.where(rng.random(frames) < 0.8, labels[:, 0], labels[:, 1])
    labels[rng.random((frames, aus)) < uncoded] = -1
    return torch.from_numpy(labels)


def test_correlations_are_numpys_where_all_is_coded() -> None:
    labels = random_labels()
    expected = np.corrcoef(labels.numpy().T)
    np.testing.assert_allclose(correlations(labels).numpy(), expected, rtol=0, atol=1e-12)


def test_a_pair_is_correlated_over_the_frames_that_code_both() -> None:
    labels = random_labels(uncoded=0.3)
    found = correlations(labels).numpy()
    for i in range(4):
        for j in range(i):
            both = labels[(labels[:, i] >= 0) & (labels[:, j] >= 0)].numpy()
            assert 10 < len(both) < 60
            expected = np.corrcoef(both[:, i], both[:, j])[0, 1]
            assert found[i, j] == pytest.approx(expected, abs=1e-12)
            assert found[j, i] == pytest.approx(expected, abs=1e-12)


def test_an_au_that_never_changes_is_correlated_with_itself_alone() -> None:
    labels = random_labels()
    labels[:, 2], labels[:, 3] = 0, 1
    found = correlations(labels)
    assert found[2].tolist() == [0, 0, 1, 0]
    assert found[3].tolist() == [0, 0, 0, 1]


def test_co_occurrence_counts_among_frames_that_code_both() -> None:
    labels = torch.tensor([[1, 1, -1], [1, 0, 1], [1, -1, 1], [0, 1, 0], [-1, 1, 0]])
    found = co_occurrence(labels)
    expected = [[1, 1 / 2, 1], [1 / 2, 1, 0], [1, 0, 1]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_an_au_that_is_never_present_co_occurs_with_none() -> None:
    labels = random_labels()
    labels[:, 2] = 0
    found = co_occurrence(labels)
    assert found[2].tolist() == [0, 0, 0, 0]
    assert found[:, 2].tolist() == [0, 0, 0, 0]


def test_complete_vectors_lack_no_au_that_anybody_coded() -> None:
    labels = torch.tensor([[1, 0, -1], [1, -1, -1], [0, 1, -1]])
    rows, coded = complete_vectors(labels)
    assert rows.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert coded.tolist() == [True, True, False]
    nothing, _ = complete_vectors(torch.full((3, 2), -1))
    assert len(nothing) == 0


def test_more_vectors_than_aus_are_enough() -> None:
    labels = random_labels(5)
    assert are_enough(labels)
    assert not are_enough(labels[:4])
    labels[0] = -1
    assert not are_enough(labels)


def test_a_task_without_a_label_matrix_has_no_vectors() -> None:
    assert labelled_vectors(make_task(labels=None)).shape == (0, 4)


def test_aus_that_no_frame_shows_are_named() -> None:
    labels = random_labels()
    labels[:, 1], labels[:, 3] = 0, -1
    sentences = list(gaps("name", make_task(), labels))
    assert [sentence.partition(":")[2] for sentence in sentences] == [
        " no labelled frame shows AU 2: what goes with it is not known",
        " no labelled frame shows AU 6: what goes with it is not known",
    ]
