"""Landmark tables and face transforms, held against the field's tables and hand-made geometry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.frame_store import crop
from datasets._landmarks import markup as lm
from datasets._landmarks.markup import Floats

# The 49-point mirror table that AU work publishes (1-based), group by group.
PUBLISHED_MIRROR_49 = [
    *(10, 9, 8, 7, 6, 5, 4, 3, 2, 1),
    *(11, 12, 13, 14, 19, 18, 17, 16, 15),
    *(29, 28, 27, 26, 31, 30, 23, 22, 21, 20, 25, 24),
    *(38, 37, 36, 35, 34, 33, 32, 43, 42, 41, 40, 39, 46, 45, 44, 49, 48, 47),
]
MODE = pytest.mark.parametrize("mirror", [lm.MIRROR_68, lm.MIRROR_49], ids=["68", "49"])


def similarity(
    angle: float, scale: float, shift: tuple[float, float], points: NDArray[Any]
) -> Floats:
    """Turn (complex multiplication, not a matrix), scale and shift points."""
    moved = (points[..., 0] + 1j * points[..., 1]) * scale * np.exp(1j * angle)
    return np.stack([moved.real + shift[0], moved.imag + shift[1]], axis=-1)


def unit(points: NDArray[Any]) -> Floats:
    """Put points through their own aligned crop."""
    return crop.transform_points(crop.align_transform(points), points)


def test_the_49_points_are_the_68_without_jaw_and_inner_mouth_corners() -> None:
    numbered = np.stack([np.arange(68), np.arange(68)], axis=-1)
    expected = [*range(17, 60), *range(61, 64), *range(65, 68)]
    assert lm.to_49(numbered)[:, 0].tolist() == expected


def test_disfas_66_points_lack_inner_mouth_corners_and_give_the_same_49() -> None:
    face = crop.canonical_face()
    of_66 = np.array([point for k, point in enumerate(face) if k not in (60, 64)])
    assert of_66.shape == (66, 2)
    np.testing.assert_array_equal(lm.to_49(of_66), lm.to_49(face))
    np.testing.assert_array_equal(crop.align_transform(of_66), crop.align_transform(face))


@pytest.mark.parametrize("shape", [(67, 2), (49, 3), (2, 68), (98,), (0, 2)])
def test_49_points_pass_through_and_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    assert lm.to_49(np.ones((3, 49, 2))).shape == (3, 49, 2)
    with pytest.raises(ValueError, match=r"must end in \(68, 2\), \(66, 2\) or \(49, 2\)"):
        lm.to_49(np.ones(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e7])
def test_a_face_with_an_impossible_point_is_unknown_and_the_others_stay(value: float) -> None:
    faces = np.random.default_rng(0).uniform(0, 200, (3, 49, 2))
    faces[1, 7, 0] = value
    faces[2] = 0  # no face was found
    points = lm.mask_implausible(faces)
    assert points.dtype == np.float32
    assert np.isnan(points).all(axis=(1, 2)).tolist() == [False, True, True]
    np.testing.assert_array_equal(points[0], faces[0].astype(np.float32))


def test_the_49_point_mirror_is_the_published_table() -> None:
    assert (lm.MIRROR_49 + 1).tolist() == PUBLISHED_MIRROR_49


@MODE
def test_mirroring_twice_changes_nothing(mirror: NDArray[np.int64]) -> None:
    assert sorted(mirror) == list(range(len(mirror)))
    assert (mirror[mirror] == np.arange(len(mirror))).all()


def test_the_mean_face_mirrored_is_itself_and_its_parts_lie_as_in_a_face() -> None:
    face = crop.canonical_face()
    flipped = face[lm.MIRROR_68] * (-1, 1) + (1, 0)
    np.testing.assert_allclose(flipped, face, atol=1e-6)
    jaw, brows, nose, eyes, mouth = np.split(face, [17, 27, 36, 48])
    assert face.min() > 0.02
    assert face.max() < 0.98
    heights = [part[:, 1].mean() for part in (brows, eyes, nose, mouth)]
    assert heights == sorted(heights)
    assert jaw[8, 1] == face[:, 1].max()
    assert jaw[0, 0] == face[:, 0].min()


@given(
    angle=st.floats(-0.6, 0.6),
    scale=st.floats(5, 2000),
    x=st.floats(-500, 2000),
    y=st.floats(-500, 2000),
)
def test_alignment_undoes_any_roll_zoom_and_shift(
    angle: float, scale: float, x: float, y: float
) -> None:
    face = crop.canonical_face().astype(np.float64)
    np.testing.assert_allclose(unit(similarity(angle, scale, (x, y), face)), face, atol=1e-6)


def test_the_49_points_of_a_face_give_the_crop_of_its_68() -> None:
    face = crop.canonical_face() * 200 + 31
    np.testing.assert_array_equal(crop.align_transform(lm.to_49(face)), crop.align_transform(face))


def test_alignment_keeps_angles_and_equal_scales() -> None:
    linear = crop.align_transform(similarity(0.3, 150, (400, 300), crop.canonical_face()))[:, :2]
    product = linear @ linear.T
    assert product[0, 0] == pytest.approx(product[1, 1])
    assert product[0, 1] == pytest.approx(0, abs=1e-12)
    assert np.linalg.det(linear) > 0


def test_a_raised_brow_and_a_dropped_jaw_stay_inside_the_crop() -> None:
    face = crop.canonical_face().astype(np.float64)
    face[17:27, 1] -= 0.03
    face[4:13, 1] += 0.03
    moved = unit(face * 300)
    assert moved.min() > 0
    assert moved.max() < 1


def test_frames_are_aligned_one_by_one_and_unknown_ones_stay_unknown() -> None:
    face = crop.canonical_face().astype(np.float64)
    poses = [(0.1, 90, (10, 20)), (-0.2, 400, (300, 100))]
    clip = np.stack([similarity(*pose, face) for pose in poses] + [np.full((68, 2), np.nan)])
    together = crop.align_transform(clip)
    assert together.shape == (3, 2, 3)
    for index in range(2):
        np.testing.assert_array_equal(together[index], crop.align_transform(clip[index]))
    assert np.isnan(together[2]).all()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_face_without_extent_has_no_crop(value: float) -> None:
    assert np.isnan(crop.align_transform(np.full((68, 2), value))).all()


def test_a_box_becomes_a_square_around_its_centre_with_a_margin() -> None:
    transform = crop.box_transform(np.array([[100, 50, 180, 250]], dtype=np.float32))
    corners = np.array([[[140 - 110, 150 - 110], [140 + 110, 150 + 110]]])
    np.testing.assert_allclose(
        crop.transform_points(transform, corners), [[[0, 0], [1, 1]]], atol=1e-12
    )


@pytest.mark.parametrize("box", [(np.nan,) * 4, (5, 5, 5, 9), (9, 0, 2, 8)])
def test_an_unknown_or_empty_box_has_no_crop(box: tuple[float, ...]) -> None:
    assert np.isnan(crop.box_transform(np.array(box))).all()


def test_the_centre_crop_is_the_largest_square_amid_the_frame() -> None:
    corners = np.array([[(1392 - 1040) / 2, 0], [(1392 + 1040) / 2, 1040]])
    moved = crop.transform_points(crop.centre_transform(np.array([1040, 1392])), corners)
    np.testing.assert_allclose(moved, [[0, 0], [1, 1]], atol=1e-12)
