"""Films and pictures as recordings, and their faces from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import UsageError
from bench.inference.faces import faces_from_file, write_face_file
from bench.inference.recordings import Face, Recordings, find_recordings
from datasets._base import DatasetCorrupt
from datasets._files.video import frame_times
from tests.helpers.films import faces, landmark_file, write_pictures, write_video


@pytest.fixture(scope="module")
def face():
    return faces(6)


def test_a_video_counts_its_frames_from_one_and_knows_its_times(tmp_path, face):
    (film,) = find_recordings(write_video(tmp_path / "smile.mp4", face[0], fps=20))
    assert film.name == "smile"
    assert film.frames.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(film.times, np.arange(6) / 20, atol=1e-6)
    pixels = np.stack(list(film.source.read()))
    assert np.abs(pixels.astype(int) - face[0]).mean() < 3


def test_a_broken_video_among_others_is_left_out_and_told(tmp_path, face):
    write_video(tmp_path / "a.mp4", face[0])
    (tmp_path / "b.mp4").write_bytes(b"no video")
    notes: list[str] = []
    (film,) = find_recordings(tmp_path, note=notes.append)
    assert film.name == "a"
    (note,) = notes
    assert "b.mp4" in note
    assert note.endswith("; left out")
    with pytest.raises(DatasetCorrupt, match=r"b\.mp4"):
        find_recordings(tmp_path / "b.mp4")


def test_times_are_those_of_the_frames_shown_in_order(tmp_path, face):
    path = write_video(tmp_path / "smile.mkv", np.repeat(face[0], 10, axis=0))  # with B frames
    times = frame_times(path)
    assert len(times) == 60
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1.1e-3)


def test_numbered_pictures_are_a_film_in_the_order_of_their_numbers(tmp_path, face):
    write_pictures(tmp_path / "smile", face[0], first=8)
    (film,) = find_recordings(tmp_path / "smile", fps=50)
    assert film.frames.tolist() == [8, 9, 10, 11, 12, 13]
    np.testing.assert_allclose(film.times, np.arange(6) / 50)
    stills = find_recordings(tmp_path / "smile", stills=True)
    assert [still.name for still in stills] == [f"frame_{k:04d}" for k in range(8, 14)]


def test_pictures_of_other_sizes_or_names_stand_for_themselves(tmp_path):
    for name, size in (("a_1.png", (20, 20)), ("a_2.png", (20, 24))):
        Image.new("RGB", size).save(tmp_path / name)
    assert len(find_recordings(tmp_path)) == 2
    (tmp_path / "a_2.png").unlink()
    Image.new("RGB", (20, 20)).save(tmp_path / "b_2.png")
    assert [each.name for each in find_recordings(tmp_path)] == ["a_1", "b_2"]


@pytest.mark.parametrize("broken", [1, 4, 6])  # sizes are those of the first, middle and last
@pytest.mark.parametrize("damage", ["empty", "cut, and of another size"])
def test_a_broken_picture_leaves_a_film_one_film(tmp_path, face, broken, damage):
    folder, told = write_pictures(tmp_path / "smile", face[0]), []
    picture = folder / f"frame_{broken:04d}.png"
    Image.fromarray(np.tile(face[0][0], (2, 2, 1))).save(picture)
    picture.write_bytes(b"" if damage == "empty" else picture.read_bytes()[:2000])
    (film,) = find_recordings(folder, note=told.append)
    assert film.frames.tolist() == [1, 2, 3, 4, 5, 6]
    assert told == []


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a_1", "a_2"), "pictures differ in size (a_2.png)"),
        (("a_1", "b_2"), "names of pictures differ in more than a number (a_1.png, b_2.png)"),
        (("a_01", "a_1"), "pictures have the same number (a_01.png, a_1.png)"),
        (("1" * 19, "2" * 19), f"a number is too long for a frame ({'1' * 19}.png)"),
    ],
)
def test_why_pictures_are_stills_is_said(tmp_path, names, reason):
    for name, size in zip(names, ((20, 20), (20, 24)), strict=True):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    told = []
    assert len(find_recordings(tmp_path, note=told.append)) == 2
    assert told == [f"{tmp_path}: {reason}: taken as stills (--stills says that this is meant)"]
    told.clear()
    find_recordings(tmp_path, stills=True, note=told.append)
    (tmp_path / f"{names[0]}.png").unlink()
    find_recordings(tmp_path, note=told.append)
    assert told == []  # nobody wonders at stills that were asked for, nor at a single picture


def test_recordings_below_a_folder_are_named_by_their_paths(tmp_path, face, monkeypatch):
    for below in ("F001/T1.5", "F002/T1.5"):
        write_pictures(tmp_path / below, face[0])
    for below in ("smile.mp4", "x/smile.mp4", "x/smile.mkv"):
        write_video(tmp_path / below, face[0])
    paths = {each.name: each.path for each in find_recordings(tmp_path)}
    below = {name: path.relative_to(tmp_path).as_posix() for name, path in paths.items()}
    assert below == {
        "smile": "smile.mp4",
        "F001_T1.5": "F001/T1.5",
        "F002_T1.5": "F002/T1.5",
        "x_smile": "x/smile.mkv",
        "x_smile-2": "x/smile.mp4",  # in one folder: no path tells them apart
    }
    monkeypatch.chdir(tmp_path / "F001")
    assert [each.name for each in find_recordings(Path())] == ["T1.5"]
    monkeypatch.chdir("T1.5")
    assert [each.name for each in find_recordings(Path())] == ["T1.5"]


def test_what_cannot_be_a_recording_is_said(tmp_path):
    with pytest.raises(UsageError, match="there is no such video, picture or folder"):
        find_recordings(tmp_path / "nothing.mp4")
    with pytest.raises(UsageError, match="there is no video or picture in this folder"):
        find_recordings(tmp_path)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DatasetCorrupt, match="cannot be opened"):
        find_recordings(tmp_path / "text.mp4")


class TestFaces:
    def test_an_openface_file_is_about_the_only_recording(self, tmp_path, face):
        (film,) = find_recordings(write_video(tmp_path / "smile.mp4", face[0]))
        landmarks = face[1].copy()
        landmarks[2] = np.nan
        path = landmark_file(tmp_path / "openface.csv", landmarks)
        ((found,),) = faces_from_file(path, [film]).values()
        assert (found.id, found.first, len(found.confidence)) == (0, 0, 6)
        np.testing.assert_allclose(found.landmarks, landmarks, atol=1e-3)
        np.testing.assert_allclose(found.confidence[[0, 1]], 0.98)
        assert np.isnan(found.confidence[2])
        (sequence,) = Recordings([film], (1, 2), {"smile": [found]}).sequences()
        assert sequence.labels.tolist() == [[-1, -1]] * 6

    def test_several_faces_are_told_by_their_task(self, tmp_path, face):
        (film,) = find_recordings(write_video(tmp_path / "two.mp4", face[0]))
        boxes = np.tile(np.float32([[4, 5, 60, 70]]), (6, 1))
        early = Face(0, 0, np.full(3, 0.9, np.float32), boxes[:3])
        late = Face(3, 2, np.full(4, 0.7, np.float32), boxes[2:] + 9)
        write_face_file(tmp_path / "faces.csv", [film], {"two": [early, late]})
        one, other = faces_from_file(tmp_path / "faces.csv", [film])["two"]
        assert [(f.id, f.first, len(f.confidence)) for f in (one, other)] == [(0, 0, 3), (3, 2, 4)]
        np.testing.assert_allclose(other.boxes, late.boxes)
        np.testing.assert_allclose(other.confidence, 0.7)
        _, second = Recordings([film], (1,), {"two": [one, other]}).sequences()
        assert second.frames.tolist() == [3, 4, 5, 6]
        assert len(list(second.source.read())) == 4

    def test_the_offset_moves_the_files_frames(self, tmp_path, face):
        write_pictures(tmp_path / "film", face[0], first=0)
        films = find_recordings(tmp_path / "film")
        path = landmark_file(tmp_path / "openface.csv", face[1])
        ((found,),) = faces_from_file(path, films, offset=-1).values()
        assert (found.first, len(found.confidence)) == (0, 6)

    def test_a_file_about_something_else_is_refused(self, tmp_path, face):
        (film,) = find_recordings(write_video(tmp_path / "smile.mp4", face[0]))
        path = tmp_path / "faces.csv"
        path.write_text("subject,frame,x0,y0,x1,y1\nF001,1,0,0,9,9\n")
        with pytest.raises(UsageError, match=r"no row is about a frame of smile .* about F001"):
            faces_from_file(path, [film])
        with pytest.raises(UsageError, match="there is no such face file"):
            faces_from_file(tmp_path / "none.csv", [film])
