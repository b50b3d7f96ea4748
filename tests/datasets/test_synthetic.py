"""The procedural dataset: statistics on labels alone, pixels on a few recordings."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context

import numpy as np
import pytest

from bench.frame_store.crop import align_transform
from datasets._base import DatasetError, Sequence
from datasets._landmarks.markup import MIRROR_68
from datasets._synthetic import performance, render
from datasets._synthetic import subjects as people
from datasets._synthetic.geometry import AUS
from datasets.synthetic import Synthetic

BP4D_RATES = dict(
    zip(AUS, (21.1, 17.1, 20.3, 46.1, 54.9, 59.4, 56.2, 46.6, 16.9, 34.3, 16.5, 15.1), strict=True)
)
TOGETHER = [(1, 2), (6, 7), (6, 10), (7, 10), (6, 12), (7, 12), (10, 12), (17, 24)]
APART = [(1, 6), (1, 7), (2, 6), (2, 7), (10, 17), (10, 23), (10, 24), (12, 15), (12, 17)]
APART += [(12, 23), (12, 24), (15, 23), (15, 24), (23, 24)]


@pytest.fixture(scope="module", params=[0, 1])
def whole(request) -> list[Sequence]:
    return Synthetic(seed=request.param).sequences()


@pytest.fixture(scope="module")
def labels(whole) -> np.ndarray:
    return np.vstack([sequence.labels for sequence in whole])


def runs(column: np.ndarray) -> np.ndarray:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], column, [0]])))
    return edges[1::2] - edges[::2]


def still(levels: dict[int, float], who: people.Person, **extra: float) -> performance.Performance:
    """One frame, facing the camera: the given action units, and the given other shapes."""
    acts = np.array([[levels.get(au, 0.0) for au in AUS]], np.float32)
    others = {name: np.array([weight]) for name, weight in extra.items()}
    return performance.pose(who, acts, **others)


def moved(levels: dict[int, float], **extra: float) -> np.ndarray:
    """How far the 68 landmarks move from rest, in pixels of a 100 px frame."""
    who = people.person(0, "F005")
    rest, acting = (
        render.landmarks(who, still(a, who, **b), 100)[0] for a, b in (({}, {}), (levels, extra))
    )
    return acting - rest


def test_the_cast_is_bp4ds(whole):
    assert len(whole) == 328
    assert {s.subject for s in whole} == {f"F{n:03d}" for n in range(1, 24)} | {
        f"M{n:03d}" for n in range(1, 19)
    }
    assert [s.name for s in whole] == sorted(s.name for s in whole)
    assert all(65 <= len(s.frames) <= 95 for s in whole)


def test_occurrence_rates_are_within_three_points_of_bp4ds(labels):
    rates = 100 * labels.mean(0)
    for au, rate in zip(AUS, rates, strict=True):
        assert rate == pytest.approx(BP4D_RATES[au], abs=3.0), f"AU{au}"


def test_action_units_co_occur_and_exclude_each_other_as_in_bp4d(labels):
    correlation = dict(np.ndenumerate(np.corrcoef(labels.T.astype(float))))
    at = {au: i for i, au in enumerate(AUS)}
    for a, b in TOGETHER:
        assert correlation[at[a], at[b]] > 0.1, (a, b)
    for a, b in APART:
        assert correlation[at[a], at[b]] < 0, (a, b)


def test_labels_change_slowly(whole):
    agreement = [np.mean(np.diff(s.labels, axis=0) == 0) for s in whole]
    assert np.mean(agreement) > 0.98
    assert min(agreement) > 0.94


def test_events_last_as_long_as_events_of_their_action_unit_do(whole):
    lengths = {
        au: np.median(np.concatenate([runs(s.labels[:, i]) for s in whole]))
        for i, au in enumerate(AUS)
    }
    assert all(10 <= lengths[au] <= 37 for au in (1, 2, 15, 23, 24))
    assert all(lengths[au] >= 50 for au in (6, 7, 10, 12, 14))


def test_subjects_differ_in_how_often_they_show_an_action_unit(whole):
    rates = np.array(
        [
            np.vstack([s.labels for s in whole if s.subject == who]).mean(0)
            for who in performance.SUBJECTS
        ]
    )
    assert (rates.std(0) > 0.06).all()


def test_distinct_patterns_are_few_and_fewer_than_in_all_of_bp4d(labels):
    assert 400 < len(np.unique(labels, axis=0)) < 1693


def test_tasks_bring_their_emotion(whole):
    def rate(task: str, au: int) -> float:
        return np.vstack([s.labels for s in whole if s.task == task])[:, AUS.index(au)].mean()

    assert min(rate("T1", 6), rate("T1", 12)) > 0.7
    assert rate("T2", 15) > rate("T1", 15)
    assert rate("T3", 2) > 2 * rate("T1", 2)
    assert rate("T7", 23) > 2 * rate("T1", 23)


def test_intensities_are_the_true_ones_on_the_scale_of_facs(whole):
    levels = np.concatenate([s.intensities for s in whole])
    labels = np.concatenate([s.labels for s in whole])
    assert levels.dtype == np.float32
    assert levels.min() == 0
    assert 4 < levels.max() <= 5
    begins = 5 * performance.LEVEL_B
    assert ((levels >= begins) == labels).mean() > 0.97  # but for the coders' edges
    take = whole[0].source.recipe.take()
    np.testing.assert_allclose(whole[0].intensities, np.minimum(5 * take.intensity, 5), atol=1e-6)


def test_coders_miss_an_events_edge_by_a_frame_or_few():
    wrong = []
    for subject in ("F001", "M001", "F008"):
        for task in performance.TASKS:
            take = performance.perform(0, subject, task, people.person(0, subject), 110)
            truth = take.intensity >= performance.LEVEL_B - 1e-4
            wrong.append((truth != take.labels).mean())
            for column in (truth != take.labels).T:
                assert runs(column.astype(int)).max(initial=0) <= 8
    assert 0.001 < np.mean(wrong) < 0.03


def test_landmarks_lie_in_the_frame_and_give_a_crop(whole):
    points = np.concatenate([s.landmarks for s in whole])
    assert points.dtype == np.float32
    assert points[:, 17:].min() > 0
    assert points[:, 17:].max() < 88
    assert np.mean((points > 0) & (points < 88)) > 0.999
    sides = 1 / np.sqrt(np.abs(np.linalg.det(align_transform(points)[:, :, :2])))
    assert 45 < sides.min() < sides.max() < 105


def test_landmarks_of_an_even_face_are_its_mirror_image():
    who = replace(people.person(3, "M002"), lean=np.zeros(len(AUS), np.float32))
    points = render.landmarks(who, still({12: 0.0}, who), 200)[0]
    mirrored = points[MIRROR_68] * (-1, 1) + (200, 0)
    np.testing.assert_allclose(points, mirrored, atol=0.05)


@pytest.mark.parametrize(
    ("au", "points", "axis", "sign"),
    [
        (1, [21, 22], 1, -1),
        (2, [18, 25], 1, -1),
        (4, [20, 21, 22, 23], 1, 1),
        (10, [50, 51, 52], 1, -1),
        (12, [48, 54], 1, -1),
        (12, [54], 0, 1),
        (14, [54], 0, 1),
        (15, [48, 54], 1, 1),
        (17, [56, 57, 58, 8], 1, -1),
        (23, [54], 0, -1),
        (23, [48], 0, 1),
        (24, [56, 57, 58], 1, -1),
        (24, [50, 51, 52], 1, 1),
    ],
)
def test_an_action_unit_moves_the_points_that_facs_says(au, points, axis, sign):
    assert (sign * moved({au: 1.0})[points, axis] > 0.4).all()


def test_action_units_add_up():
    together = moved({1: 0.6, 12: 0.8})
    np.testing.assert_allclose(together, moved({1: 0.6}) + moved({12: 0.8}), atol=0.3)


def test_a_lowered_lid_shuts_the_eye_and_a_dropped_jaw_opens_the_mouth():
    who = people.person(0, "F005")
    eye = render.landmarks(who, still({}, who, lid=1.0), 100)[0]
    assert np.abs(eye[[37, 38]] - eye[[41, 40]])[:, 1].max() < 0.8
    assert (moved({}, jaw=1.0)[[57, 66, 8], 1] > 5).all()
    assert np.abs(moved({}, jaw=1.0)[27:48]).max() < 0.5


def test_turning_the_head_moves_near_points_with_the_turn():
    who = people.person(0, "F001")
    take = still({}, who)
    turned = render.rotation(np.radians([[20.0, 0.0, 0.0]]))
    np.testing.assert_allclose(turned[0] @ turned[0].T, np.eye(3), atol=1e-6)
    before = render.landmarks(who, take, 100)[0]
    take.pose[0, 0] = np.radians(20)
    after = render.landmarks(who, take, 100)[0]
    assert after[30, 0] - before[30, 0] > after[39, 0] - before[39, 0] + 1


def test_pixels_follow_the_landmarks():
    """A pupil is dark and an eye's white is bright where the eye corners say they are."""
    who = people.person(0, "F002")
    take = still({}, who)
    frame = next(render.Renderer(who, 200).film(take)).mean(-1)
    eye = render.landmarks(who, take, 200)[0][36:42]
    x, y = eye.mean(0)
    pupil = frame[int(y) - 2 : int(y) + 2, int(x) - 2 : int(x) + 2].min()
    white = frame[int(y), int(eye[0, 0]) + 2 : int(eye[3, 0]) - 1].max()
    assert pupil < 70
    assert white > pupil + 80


def test_an_action_unit_changes_pixels_where_it_acts_and_hardly_elsewhere():
    who = people.person(0, "M003")
    studio = render.Renderer(who, 88)
    rest, brows, mouth = (
        next(studio.film(still(levels, who))).astype(int) for levels in ({}, {1: 1.0}, {15: 1.0})
    )
    points = render.landmarks(who, still({}, who), 88)[0]
    middle = int(points[33, 1])
    assert np.abs(brows - rest)[:middle].mean() > 10 * np.abs(brows - rest)[middle:].mean()
    assert np.abs(mouth - rest)[middle:].mean() > 10 * np.abs(mouth - rest)[:middle].mean()


def frames_of(sequence: Sequence) -> np.ndarray:
    return np.stack(list(sequence.source.read()))


def test_frames_are_the_same_in_another_process_and_however_they_are_read():
    sequences = Synthetic(subjects="F004,M001", tasks="T1,T3", frames=10).sequences()
    here = [frames_of(s) for s in reversed(sequences)][::-1]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = list(pool.map(frames_of, pickle.loads(pickle.dumps(sequences))))
    for mine, theirs, sequence in zip(here, there, sequences, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert mine.shape == (len(sequence.frames), 88, 88, 3)
        np.testing.assert_array_equal(mine[:3], list(islice(sequence.source.read(), 3)))


def test_a_recording_does_not_depend_on_which_others_are_wanted():
    one = Synthetic(subjects="M007", tasks="T5").sequences()[0]
    (same,) = (s for s in Synthetic(subjects="F002,M007").sequences() if s.name == "M007_T5")
    np.testing.assert_array_equal(one.labels, same.labels)
    np.testing.assert_array_equal(one.landmarks, same.landmarks)
    assert one.source.fingerprint() == same.source.fingerprint()


def test_the_fingerprint_tells_recipes_apart():
    def fingerprint(**options: object) -> str:
        return Synthetic(subjects=1, tasks="T1", **options).sequences()[0].source.fingerprint()

    prints = [fingerprint(), fingerprint(seed=1), fingerprint(size=64), fingerprint(frames=50)]
    assert len(set(prints)) == 4


def test_a_sequence_is_listed_without_drawing(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a pixel was drawn")

    monkeypatch.setattr(render.Renderer, "__init__", refuse)
    assert len(Synthetic(subjects=3).sequences()) == 24


def test_few_subjects_still_reach_every_fold():
    groups = Synthetic(subjects=6).folds().groups
    assert all(groups)
    assert sum(map(len, groups)) == 6


def test_folds_are_bp4ds():
    folds = Synthetic().folds()
    assert [len(group) for group in folds.groups] == [14, 14, 13]
    assert "F001" in folds.test_subjects(0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"subject": 3}, "no option subject"),
        ({"subjects": "F001,F099"}, "no F099"),
        ({"subjects": 42}, "from 1 to 41"),
        ({"subjects": " , "}, "names nothing"),
        ({"tasks": "T9"}, "no T9"),
        ({"frames": "many"}, "whole number"),
        ({"size": 8}, "from 48 to 512"),
    ],
)
def test_a_wrong_option_is_one_clear_sentence(options, says):
    with pytest.raises(DatasetError, match=says):
        Synthetic(**options).sequences()
