"""Frames out of video files: whole, cut, damaged, foreign."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from datasets._base import BrokenFrame, DatasetCorrupt
from datasets._files import video as _video
from datasets._files.video import VideoFrames, frame_count
from tests.helpers.disfa_trees import avi_chunk, drop_pictures, make_video, position_of
from tests.helpers.films import write_video

COUNT = 30


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video whose every picture stands alone, so that damage to one harms no other."""
    file = tmp_path / "a" / "v.avi"
    make_video(file, COUNT, gop=1)
    return file


def frames(file: Path, positions: range = range(COUNT)) -> VideoFrames:
    return VideoFrames(file.parents[1], f"a/{file.name}", tuple(positions))


def read(source: VideoFrames) -> list[int | BrokenFrame]:
    """Each frame's position as its picture shows it, or why there is none."""
    return [f if isinstance(f, BrokenFrame) else position_of(f) for f in source.read()]


def test_every_frame_comes_once_and_in_order(video: Path) -> None:
    assert read(frames(video)) == list(range(COUNT))
    picture = next(frames(video).read())
    assert isinstance(picture, np.ndarray)
    assert (picture.shape, picture.dtype) == ((24, 32, 3), np.uint8)
    assert frames(video).size() == (24, 32)
    assert frame_count(video) == COUNT


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "mpeg4"), ("v.mkv", "mpeg4")])
def test_other_containers_are_read_too(name: str, codec: str, tmp_path: Path) -> None:
    make_video(tmp_path / "a" / name, COUNT, codec=codec, gop=12)
    assert read(frames(tmp_path / "a" / name)) == list(range(COUNT))


def test_only_the_wanted_frames_are_kept(video: Path) -> None:
    assert read(frames(video, range(3, 20, 4))) == [3, 7, 11, 15, 19]
    assert read(frames(video, range(0))) == []


def test_nothing_is_decoded_ahead_of_what_is_asked_for(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded, genuine = [], _video._frames

    def counted(file: Path) -> Iterator[object]:
        for frame in genuine(file):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(_video, "_frames", counted)
    stream = frames(video).read()
    next(stream)
    assert len(decoded) == 1
    assert len(list(frames(video, range(5)).read())) == 5
    assert len(decoded) <= 1 + 6


def test_frames_beyond_the_end_are_named_by_the_video(video: Path) -> None:
    beyond = read(frames(video, range(28, 33)))
    assert beyond == [28, 29] + [BrokenFrame("a/v.avi", "the video ends after 30 frames")] * 3


def test_a_truncated_video_keeps_what_is_whole(video: Path) -> None:
    data = video.read_bytes()
    video.write_bytes(data[: avi_chunk(data, 20)[0]])
    got = read(frames(video))
    assert got[:20] == list(range(20))
    assert got[20:] == [BrokenFrame("a/v.avi", "the video ends after 20 frames")] * 10


def test_a_picture_that_cannot_be_decoded_keeps_its_place(video: Path) -> None:
    data = bytearray(video.read_bytes())
    start, stop = avi_chunk(bytes(data), 10)
    data[start + 8 : stop] = bytes(stop - start - 8)
    video.write_bytes(data)
    got = read(frames(video))
    assert got[10] == BrokenFrame("a/v.avi, frame 11", "it cannot be decoded")
    assert got[:10] + got[11:] == [k for k in range(COUNT) if k != 10]


def test_after_a_hole_nothing_moves_up(video: Path) -> None:
    data = bytearray(video.read_bytes())
    start, stop = avi_chunk(bytes(data), 10)[0], avi_chunk(bytes(data), 12)[1]
    data[start:stop] = bytes(stop - start)
    video.write_bytes(data)
    got = read(frames(video))
    assert got[:10] == list(range(10))
    assert set(got[13:]) == {
        BrokenFrame("a/v.avi", "the video is damaged at frame 11: the rest has lost its place")
    }


def test_where_bytes_are_missing_nothing_moves_up(video: Path) -> None:
    """The index at the end of the file then points nowhere, and FFmpeg does without."""
    data = video.read_bytes()
    start, stop = avi_chunk(data, 10)
    for cut in (slice(start, stop), slice(start + 5, stop + 40)):
        video.write_bytes(data[: cut.start] + data[cut.stop :])
        got = read(frames(video))
        assert got[:10] == list(range(10))
        assert not any(isinstance(frame, int) and frame != k for k, frame in enumerate(got))


DROPPED = [0, 3, 4, 17, COUNT - 1]


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("junk", [b"", b"JUNK\4\0\0\0abcd", b"junk "])
def test_pictures_that_the_camera_dropped_keep_their_place(
    video: Path, *, index: bool, junk: bytes
) -> None:
    """The last kind of junk is no chunk: nothing but FFmpeg's index tells the pictures' places."""
    drop_pictures(video, DROPPED, index=index)
    data = video.read_bytes()
    at = data.index(b"movi") + 4
    video.write_bytes(data[:at] + junk + data[at:])
    got = read(frames(video))
    dropped = [BrokenFrame("a/v.avi", _video.DROPPED)] * len(DROPPED)
    shown = {k: frame for k, frame in enumerate(got) if isinstance(frame, int)}
    assert all(frame == k for k, frame in shown.items()), "a label meets its neighbour's picture"
    if junk != b"junk ":
        assert [got[k] for k in DROPPED] == dropped
        assert len(shown) == COUNT - len(DROPPED)
    assert frame_count(video) == COUNT


def boxes(data: bytes) -> list[bytes]:
    """Split an MP4's bytes into its boxes."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(data[:size])
        data = data[size:]
    return found


def test_a_cover_picture_is_no_frame(tmp_path: Path) -> None:
    file = tmp_path / "a" / "v.mp4"
    make_video(file, COUNT, cover=(48, 64))
    *before, moov = boxes(file.read_bytes())
    assert moov[4:8] == b"moov"
    parts = sorted(boxes(moov[8:]), key=lambda box: [b"mvhd", b"udta", b"trak"].index(box[4:8]))
    file.write_bytes(b"".join([*before, moov[:8], *parts]))  # programs for music put covers first
    with av.open(str(file)) as container:
        assert [stream.height for stream in container.streams.video] == [48, 24]
    assert frames(file).size() == (24, 32)
    assert read(frames(file)) == list(range(COUNT))
    file.write_bytes(
        b"".join([*before, (len(moov) - len(parts[2])).to_bytes(4, "big"), moov[4:8], *parts[:2]])
    )
    with pytest.raises(DatasetCorrupt, match=r"there is no video but a cover picture in this file"):
        frames(file).size()


def test_a_video_that_asks_to_be_turned_is_read_as_stored_and_told(tmp_path: Path) -> None:
    file = tmp_path / "a" / "v.mp4"
    make_video(file, COUNT)
    assert frames(file).remarks() == []
    data = bytearray(file.read_bytes())
    matrix = data.index(b"tkhd") + 44
    quarter = [0, 1 << 16, 0, (1 << 32) - (1 << 16), 0]
    data[matrix : matrix + 20] = b"".join(number.to_bytes(4, "big") for number in quarter)
    file.write_bytes(data)
    (said,) = frames(file).remarks()
    assert said.startswith("a/v.mp4 asks to be shown turned by ")
    assert "degrees: it is read as it is stored" in said
    assert frames(file).size() == (24, 32)
    assert read(frames(file)) == list(range(COUNT))
    file.unlink()
    assert frames(file).remarks() == []


def test_pictures_of_another_size_than_the_first_are_left_out_and_told(tmp_path: Path) -> None:
    file = tmp_path / "changes.ts"
    parts = [tmp_path / f"{side}.ts" for side in (64, 32)]
    for part, side in zip(parts, (64, 32), strict=True):
        shades = np.broadcast_to(np.uint8([90]), (5, side, side, 3))
        write_video(part, np.ascontiguousarray(shades))
    file.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = list(VideoFrames(tmp_path, file.name, tuple(range(10))).read())
    assert [getattr(frame, "shape", None) for frame in found[:5]] == [(64, 64, 3)] * 5
    told = BrokenFrame("changes.ts", "a picture of 32x32 pixels in a video of 64x64")
    assert found[5:] == [told] * 5


def test_sound_between_the_pictures_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "a" / "v.avi"
    make_video(file, COUNT, sound=True)
    assert read(frames(file)) == list(range(COUNT))


def test_a_codec_that_nobody_knows_is_told(video: Path) -> None:
    data = video.read_bytes()
    video.write_bytes(data.replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(DatasetCorrupt, match=r"v\.avi: .* coded in a way that no decoder knows"):
        frames(video).size()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no video at all",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile 'v2.avi'\n",
        b"RIFF\xff\xff\xff\xffAVI LIST",
    ],
)
def test_a_file_that_is_no_video_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "v.avi"
    file.write_bytes(data)
    for attempt in (frames(file).size, lambda: frame_count(file)):
        with pytest.raises(DatasetCorrupt, match=r"v\.avi: this video cannot be opened \(.+\)"):
            attempt()


def test_a_missing_video_and_one_without_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetCorrupt, match=r"v\.avi: .* \(No such file or directory\)"):
        frames(tmp_path / "a" / "v.avi").size()
    assert (
        read(frames(tmp_path / "a" / "v.avi", range(2)))
        == [BrokenFrame("a/v.avi", "this video cannot be opened (No such file or directory)")] * 2
    )


def test_the_fingerprint_follows_file_and_choice_and_not_the_place(video: Path) -> None:
    first = frames(video).fingerprint()
    assert frames(video).fingerprint() == first
    assert frames(video, range(5)).fingerprint() != first
    moved = video.parents[1].with_name("elsewhere")
    video.parents[1].rename(moved)
    file = moved / "a" / "v.avi"
    assert frames(file).fingerprint() == first
    os.utime(file, (1, 1))
    assert frames(file).fingerprint() != first
    file.unlink()
    assert frames(file).fingerprint() != first


def test_a_source_travels_to_another_process(video: Path) -> None:
    assert read(pickle.loads(pickle.dumps(frames(video, range(2))))) == [0, 1]
