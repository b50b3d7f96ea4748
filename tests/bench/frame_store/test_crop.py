"""Crops against hand-made geometry: ramps, block means and markers, never the code's own warp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.frame_store.crop import (
    GREY,
    align_transform,
    box_transform,
    canonical_face,
    centre_transform,
    plan_crops,
    sufficient_side,
    transform_points,
    warp,
)
from datasets._base import Sequence
from datasets._landmarks.markup import Floats

SIZE = (200, 300)
SIZES = np.tile(SIZE, (5, 1))
ROUNDING = 1.51
"""Half a grey level for the frame made here, and one for Pillow, which rounds samples down."""


class Blank:
    """A source whose pixels nobody reads."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def fingerprint(self) -> str:
        return "blank"

    def size(self) -> tuple[int, int]:
        return SIZE

    def read(self, min_side: int | None = None) -> Any:
        raise AssertionError("planning a crop must not decode")


def face(x: float, y: float, width: float, roll: float = 0.0) -> NDArray[np.float32]:
    """Return 68 landmarks of a face about (x, y), as large as a crop of `width` pixels."""
    points = canonical_face().astype(np.float64) - 0.5
    turned = (points[:, 0] + 1j * points[:, 1]) * np.exp(1j * roll) * width
    return np.stack([turned.real + x, turned.imag + y], axis=1).astype(np.float32)


def sequence(
    landmarks: NDArray[np.float32] | None = None,
    boxes: NDArray[np.float32] | None = None,
    frames: tuple[int, ...] = (10, 11, 12, 13, 14),
) -> Sequence:
    return Sequence(
        subject="F001",
        task="T1",
        frames=np.array(frames),
        labels=np.zeros((len(frames), 2), np.int8),
        source=Blank(len(frames)),
        landmarks=landmarks,
        boxes=boxes,
    )


def crop_centres(side: int) -> Floats:
    """Return the pixel centres of a crop in its unit square, (S * S, 2), row by row."""
    steps = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)


def to_source(transform: Floats, points: Floats) -> Floats:
    """Take crop points back to the frame by solving the linear system."""
    return np.linalg.solve(transform[:, :2], (points - transform[:, 2]).T).T.astype(np.float64)


def ramp(points: Floats) -> Floats:
    """Return the brightness of a frame that grows to the right and downwards: (n, 3)."""
    x, y = points[:, 0], points[:, 1]
    return np.stack([20 + 0.7 * x, 30 + 0.9 * y, 10 + 0.3 * x + 0.4 * y], axis=1)


def ramp_frame(size: tuple[int, int], scale: float = 1.0) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    points = np.stack([columns.ravel(), rows.ravel()], axis=1) * scale
    return np.round(ramp(points)).reshape(*size, 3).astype(np.uint8)


@pytest.mark.parametrize(("width", "side"), [(170, 16), (170, 64), (60, 128), (100, 100)])
@pytest.mark.parametrize("roll", [0.0, 0.2, -0.15])
def test_a_ramp_stays_the_ramp_that_the_transform_says(
    width: float, side: int, roll: float
) -> None:
    transform = align_transform(face(150, 100, width, roll))
    expected = ramp(to_source(transform, crop_centres(side))).reshape(side, side, 3)
    found = warp(ramp_frame(SIZE), transform, side, SIZE)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_a_crop_of_the_frames_own_size_is_the_frame_itself() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    np.testing.assert_array_equal(
        warp(frame, centre_transform(np.array([48, 48])), 48, (48, 48)), frame
    )


def test_shrinking_by_a_whole_number_averages_the_pixels_of_each_block() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    blocks = frame[:, 10:70].reshape(12, 5, 12, 5, 3).mean(axis=(1, 3))
    found = warp(frame, centre_transform(np.array([60, 80])), 12, (60, 80))
    np.testing.assert_allclose(found, blocks, atol=ROUNDING)


def test_shrinking_turns_a_fine_checkerboard_into_grey_not_moire() -> None:
    checks = (np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)
    frame = np.repeat(checks[..., None], 3, axis=2)
    transform = align_transform(face(200, 200, 330, roll=0.1))
    found = warp(frame, transform, 60, (400, 400))[2:-2, 2:-2]
    assert np.abs(found.astype(int) - 127).max() < 16


def test_a_marker_lands_where_the_transform_takes_its_point() -> None:
    point = np.array([[171.3, 88.6]])
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    blob = 255 * np.exp(-((columns - point[0, 0]) ** 2 + (rows - point[0, 1]) ** 2) / 18)
    frame = np.repeat(np.round(blob).astype(np.uint8)[..., None], 3, axis=2)
    transform = align_transform(face(150, 100, 150, roll=0.25))
    for side in (32, 64, 256):
        crop = warp(frame, transform, side, SIZE)[..., 0].astype(np.float64)
        mass = (crop * (crop > 10)).ravel()
        centroid = (crop_centres(side) * mass[:, None]).sum(axis=0) / mass.sum()
        expected = transform_points(transform, point)[0]
        np.testing.assert_allclose(centroid * side, expected * side, atol=0.15)


@pytest.mark.parametrize("reduction", [2, 4])
def test_a_frame_that_was_decoded_smaller_gives_the_same_crop(reduction: int) -> None:
    odd = (201, 299)
    smaller = (-(-odd[0] // reduction), -(-odd[1] // reduction))
    transform = align_transform(face(150, 100, 150, roll=-0.2))
    expected = ramp(to_source(transform, crop_centres(24))).reshape(24, 24, 3)
    found = warp(ramp_frame(smaller, scale=reduction), transform, 24, odd)
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


def test_what_lies_beyond_the_frame_is_grey() -> None:
    white = np.full((*SIZE, 3), 255, np.uint8)
    half_out = warp(white, box_transform(np.array([-50, 50, 50, 150])), 22, SIZE)
    assert (half_out[:, :10] == GREY).all()
    assert (half_out[:, 12:] == 255).all()
    far_out = warp(white, box_transform(np.array([900, 900, 950, 950])), 22, SIZE)
    assert (far_out == GREY).all()


def test_frames_may_be_decoded_smaller_only_as_far_as_no_crop_is_enlarged() -> None:
    landmarks = np.stack([face(150, 100, width) for width in (80, 120, 160, 100, 90)])
    plan = plan_crops(sequence(landmarks), "auto", SIZES)
    assert sufficient_side(plan, 40, SIZES) in (100, 101)


def test_auto_takes_landmarks_then_the_box_then_the_nearest_known_frame() -> None:
    landmarks = np.stack([face(150, 100, 100)] * 5)
    boxes = np.tile(np.array([[100, 50, 200, 150]], np.float32), (5, 1))
    landmarks[1:] = np.nan
    boxes[[2, 3]] = np.nan
    plan = plan_crops(sequence(landmarks, boxes, frames=(10, 11, 12, 19, 20)), "auto", SIZES)
    by_landmarks, by_box = align_transform(landmarks[0]), box_transform(boxes[0])
    expected = [by_landmarks, by_box, by_box, by_box, by_box]
    np.testing.assert_array_equal(plan.transforms, expected)
    assert not plan.centred
    assert plan.doubtful == 0
    assert plan.known.tolist() == [True, True, False, False, True]


def test_the_nearest_known_frame_is_the_nearest_in_time_on_either_side() -> None:
    landmarks = np.full((5, 68, 2), np.nan, np.float32)
    landmarks[1], landmarks[4] = face(100, 100, 90), face(200, 100, 120)
    plan = plan_crops(sequence(landmarks, frames=(1, 2, 3, 8, 9)), "auto", SIZES)
    early, late = align_transform(landmarks[1]), align_transform(landmarks[4])
    np.testing.assert_array_equal(plan.transforms, [early, early, early, late, late])


def test_an_explicit_crop_looks_at_nothing_else() -> None:
    landmarks = np.stack([face(150, 100, 100)] * 5)
    boxes = np.tile(np.array([[100, 50, 200, 150]], np.float32), (5, 1))
    given = sequence(landmarks, boxes)
    for crop, expected in (
        ("align", align_transform(landmarks)),
        ("box", box_transform(boxes)),
        ("centre", np.stack([centre_transform(np.array(SIZE))] * 5)),
    ):
        np.testing.assert_array_equal(plan_crops(given, crop, SIZES).transforms, expected)
    assert plan_crops(given, "centre", SIZES).known.all()
    assert plan_crops(sequence(), "auto", SIZES).known.all()  # nobody looks for a face


@pytest.mark.parametrize("crop", ["auto", "align", "box"])
def test_a_sequence_without_any_face_is_cropped_in_the_centre(
    crop: str,
) -> None:
    plan = plan_crops(sequence(np.full((5, 49, 2), np.nan, np.float32)), crop, SIZES)
    assert plan.centred
    assert not plan.known.any()
    np.testing.assert_array_equal(plan.transforms, np.stack([centre_transform(np.array(SIZE))] * 5))


@pytest.mark.parametrize(
    "wrong",
    [face(1500, 1000, 1000), canonical_face(), face(150, 100, 1300), face(150, 100, 1e30)],
    ids=["other-resolution", "unit-square", "vast", "absurd"],
)
def test_face_positions_measured_at_another_size_are_not_used(wrong: NDArray[np.float32]) -> None:
    landmarks = np.stack([face(150, 100, 100), wrong, wrong, wrong, wrong])
    plan = plan_crops(sequence(landmarks), "auto", SIZES)
    assert plan.doubtful == 4
    assert plan.known.tolist() == [True, False, False, False, False]
    np.testing.assert_array_equal(plan.transforms, [align_transform(landmarks[0])] * 5)


def test_positions_are_judged_by_the_size_of_their_own_picture() -> None:
    """Pictures of one recording may differ in size, and so may what their pixels mean."""
    sizes = np.array([(200, 300), (2000, 3000), (200, 300), (400, 200), (2000, 3000)])
    boxes = np.full((5, 4), np.nan, np.float32)
    boxes[0], boxes[1] = (100, 50, 200, 150), (1000, 500, 2000, 1500)
    plan = plan_crops(sequence(boxes=boxes), "auto", sizes)
    assert (plan.doubtful, plan.alone) == (0, 1)
    first, large = box_transform(boxes[:2])
    alone = centre_transform(sizes[3])  # no picture of its size has a known face
    np.testing.assert_array_equal(plan.transforms, [first, large, first, alone, large])
    # 40 pixels of a 110-pixel crop in 200, or of an 1100-pixel crop in 2000: as many pixels
    assert sufficient_side(plan, 40, sizes) == math.ceil(200 * 40 / 110)
