"""Faces found and followed through a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.errors import UsageError
from bench.inference import detect
from bench.inference.detect import Detector, detect_faces, overlap
from bench.inference.recordings import Recording, find_recordings
from tests.helpers.films import write_video


class Shown:
    """A film whose frames are their own numbers (a `FrameSource`)."""

    def __init__(self, count, size=(200, 300)):
        self.count, self.shape = count, size

    def __len__(self):
        return self.count

    def size(self):
        return self.shape

    def read(self, min_side=None):
        for k in range(self.count):
            yield np.full((*self.shape, 3), k, np.uint8)


def film(count, fps=30.0):
    return shown_film(Shown(count), fps)


def shown_film(source, fps=30.0):
    frames = np.arange(len(source))
    return Recording("film", source, frames + 1, frames / fps, Path("film.mp4"))


def told(places):
    """A detector that knows the boxes of each frame, the largest first."""

    def look(frame):
        boxes = places(int(frame[0, 0, 0]))
        return np.array(boxes, np.float32).reshape(-1, 4), np.full(len(boxes), 1.0, np.float32)

    return look


def square(x, y=20, side=60):
    return (x, y, x + side, y + side)


def test_overlap_is_intersection_over_union():
    others = np.float32([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]])
    np.testing.assert_allclose(overlap(others[0], others), [1, 50 / 150, 0])


def test_a_face_moves_in_a_line_between_two_looks():
    (face,) = detect_faces(film(31), told(lambda k: [square(10 + 2 * k)]))
    assert (face.first, len(face.boxes)) == (0, 31)
    expected = np.array([square(10 + 2 * k) for k in range(31)])
    np.testing.assert_allclose(face.boxes, expected, atol=1e-4)  # smoothing moves no line
    assert (face.confidence > 0.8).all()


def test_looks_are_ten_a_second_and_the_last_frame():
    seen = []

    def look(frame):
        seen.append(int(frame[0, 0, 0]))
        return np.empty((0, 4), np.float32), np.empty(0, np.float32)

    assert detect_faces(film(32), look) == []
    assert seen == [*range(0, 32, 3), 31]


def test_a_large_face_is_followed_small_and_sought_in_whole_pictures():
    widths = []

    def look(frame):
        widths.append(frame.shape[1])
        unseen = int(frame[0, 0, 0]) == 9 and frame.shape[1] < 600
        box = np.float32([[0.2, 0.2, 0.6, 0.8]]) * np.tile(frame.shape[1::-1], 2)
        return (box[:0], np.ones(0, np.float32)) if unseen else (box, np.ones(1, np.float32))

    shown = shown_film(Shown(60, (400, 600)))
    (face,) = detect_faces(shown, look)
    np.testing.assert_allclose(face.boxes, np.tile([120, 80, 360, 320], (60, 1)), atol=1e-3)
    # one a second, one where the small one showed nobody
    assert [k for k, width in enumerate(widths) if width == 600] == [0, 4, 11]
    assert set(widths) == {600, 300}


def test_where_no_look_finds_it_there_is_a_gap():
    (face,) = detect_faces(film(61), told(lambda k: [] if 20 <= k <= 40 else [square(30)]))
    known = np.isfinite(face.boxes).all(axis=1)
    assert known[:19].all()
    assert not known[19:42].any()
    assert known[42:].all()
    assert np.isfinite(face.confidence).tolist() == known.tolist()


def test_jumps_of_the_detector_are_smoothed():
    (face,) = detect_faces(film(61), told(lambda k: [square(30 + 6 * (k // 3 % 2))]))
    assert np.ptp(face.boxes[10:50, 0]) < 2


def test_all_faces_are_followed_by_their_places():
    def places(k):
        walking, sitting = square(10 + k), square(200, 100, 50)
        return [walking, sitting] if k > 9 else [walking]

    first, second = detect_faces(film(61), told(places), all_of_them=True)
    assert (first.id, first.first, second.id, second.first) == (0, 0, 1, 12)
    np.testing.assert_allclose(first.boxes[:, 0], 10 + np.arange(61), atol=1e-3)
    np.testing.assert_allclose(second.boxes[:, 0], 200)


def test_the_largest_may_be_another_persons_from_a_look_on():
    near, far = square(10, 10, 80), square(200, 100, 50)
    (face,) = detect_faces(film(61), told(lambda k: [far] if k < 30 else [near, far]))
    assert set(face.boxes[np.isfinite(face.boxes[:, 0]), 0]) == {200.0, 10.0}
    assert np.isnan(face.boxes[28]).all()  # no box half way between two people


def test_a_face_that_comes_back_late_is_another():
    def away(k):
        return [] if 10 <= k < 70 else [square(30)]

    assert len(detect_faces(film(91), told(away), all_of_them=True)) == 2


def test_larger_frames_are_looked_at_in_a_smaller_size(monkeypatch):
    pytest.importorskip("dlib")
    detector = Detector()

    class Fake:
        def run(self, image, upsample, threshold):
            assert image.shape == (360, 640, 3)
            return [self], [1.5], [0]

        def left(self):
            return 100

        top = left

        def right(self):
            return 199

        bottom = right

    detector._detector = Fake()
    boxes, scores = detector(np.zeros((720, 1280, 3), np.uint8))
    assert boxes.tolist() == [[200, 200, 400, 400]]
    assert scores.tolist() == [1.5]


def test_the_real_detector_finds_nobody_in_noise(tmp_path):
    pytest.importorskip("dlib")
    noise = np.random.default_rng(0).integers(0, 255, (4, 120, 160, 3), np.uint8)
    (recording,) = find_recordings(write_video(tmp_path / "noise.mp4", noise))
    assert detect_faces(recording, Detector()) == []


def test_certainty_rises_with_the_score_from_one_half():
    values = [detect.certainty(score) for score in (0.0, 0.5, 1.0, 3.0)]
    assert values == sorted(values)
    assert values[0] == 0.5
    assert values[-1] < 1


def test_without_the_extra_the_way_out_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dlib", None)
    with pytest.raises(UsageError, match=r"--detect needs the extra `detect`: pip install"):
        Detector()
