"""Images in zip archives: the same pictures as unpacked, and nothing that harms is read."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets._base import BrokenFrame, DatasetCorrupt
from datasets._files.images import ImageFiles
from datasets._files.zip_images import ZipImages, images_in
from tests.helpers.dataset_trees import jpeg

CENTRAL = b"PK\x01\x02"
"""Begins a member's entry in a zip archive's table of contents."""


def pack(archive: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(archive, "w", method) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return archive


def picture(number: int) -> bytes:
    return jpeg((number * 8 % 256, 90, 160))


def source(archive: Path, subject: str = "F001", task: str = "T1") -> ZipImages:
    """Take a task's images, by number, from an archive that nothing is refused of."""
    found, refused = images_in(archive, subject, None)
    assert refused == []
    return ZipImages(archive.parent, archive.name, tuple(m for _, m in sorted_pairs(found[task])))


def sorted_pairs(pairs: Iterable) -> list:
    return sorted(pairs, key=lambda pair: pair[0])


def rewrite(archive: Path, member: int, offset: int, layout: str, value: int) -> None:
    """Change a field of the n-th member's entry in the table of contents, by its offset there."""
    data = bytearray(archive.read_bytes())
    at = -1
    for _ in range(member + 1):
        at = data.index(CENTRAL, at + 1)
    struct.pack_into(layout, data, at + offset, value)
    archive.write_bytes(data)


FLAGS, PACKED, FULL = (8, "<H"), (20, "<I"), (24, "<I")
"""Offset and layout of a member's flags, compressed and full size."""


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_pictures_are_those_of_the_unpacked_folder(method: int, tmp_path: Path) -> None:
    numbers = (3, 11, 2, 1)
    archive = pack(tmp_path / "F001.zip", {f"F001/T1/{n}.jpg": picture(n) for n in numbers}, method)
    with ZipFile(archive) as opened:
        opened.extractall(tmp_path / "unpacked")
    names = tuple(f"F001/T1/{n}.jpg" for n in sorted(numbers))
    plain = ImageFiles(tmp_path / "unpacked", names)
    packed = source(archive)
    assert len(packed) == 4
    assert packed.size() == plain.size() == (48, 40)
    for ours, theirs in zip(packed.read(8), plain.read(8), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_reading_writes_nothing(tmp_path: Path) -> None:
    archive = pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": picture(1), "../evil.jpg": picture(2)})
    before = archive.stat()
    images_in(archive, "F001", None)
    list(ZipImages(tmp_path, "F001.zip", ()).read())
    assert [path.name for path in tmp_path.iterdir()] == ["F001.zip"]
    assert archive.stat().st_mtime_ns == before.st_mtime_ns


def test_members_are_known_by_their_place_and_others_are_passed_over(tmp_path: Path) -> None:
    members = {
        "BP4D+/2D+3D/F001/T6/0000.JPG": b"x",
        "f001\\t1\\007.png": b"x",
        "F001_T8/12.jpeg": b"x",
        "T7/3.jpg": b"x",
        "F001/T1/0007.obj": b"x",
        "F001/T1/mean.jpg": b"x",
        "F001/T1/small/4.jpg": b"x",
        "F001/T1/._0007.jpg": b"x",
        "__MACOSX/F001/T1/0007.jpg": b"x",
        "F001/T1/5.jpg/": b"",
    }
    found, refused = images_in(pack(tmp_path / "F001.zip", members), "F001", None)
    numbers = {task: [number for number, _ in pairs] for task, pairs in found.items()}
    assert numbers == {"T6": [0], "T1": [7], "T8": [12], "T7": [3]}
    assert refused == []


def test_an_archive_of_one_task_needs_no_folders(tmp_path: Path) -> None:
    archive = pack(tmp_path / "F001_T1.zip", {"0002.jpg": b"x", "x/0001.jpg": b"x"})
    found, refused = images_in(archive, "F001", "T1")
    assert {task: sorted(n for n, _ in pairs) for task, pairs in found.items()} == {"T1": [1, 2]}
    assert refused == []
    assert images_in(archive, "F001", None) == ({}, [])


def test_of_a_member_written_twice_the_later_one_counts(tmp_path: Path) -> None:
    archive = pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": b"old"})
    with ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate name"):
        opened.writestr("F001/T1/1.jpg", picture(9))
    (frame,) = source(archive).read()
    assert isinstance(frame, np.ndarray)


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../F001/T1/2.jpg", "its path leads out of the archive"),
        ("F001/T1/../../../T1/2.jpg", "its path leads out of the archive"),
        ("..\\F001\\T1\\2.jpg", "its path leads out of the archive"),
        ("/F001/T1/2.jpg", "its path leads out of the archive"),
        ("C:\\F001\\T1\\2.jpg", "its path leads out of the archive"),
        ("F002/T1/2.jpg", "it is F002's, not F001's"),
    ],
)
def test_a_member_whose_path_is_foreign_is_refused_and_the_rest_is_read(
    name: str, why: str, tmp_path: Path
) -> None:
    archive = pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": picture(1), name: picture(2)})
    found, refused = images_in(archive, "F001", None)
    assert [number for number, _ in found["T1"]] == [1]
    assert refused == [f"{archive}: member {name!r} is refused: {why}"]


def test_a_member_of_another_task_than_its_archive_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path / "F001_T1.zip", {"F001/T2/1.jpg": b"x", "F001/T2/2.jpg": b"x"})
    _, (refused,) = images_in(archive, "F001", "T1")
    assert refused.endswith("'F001/T2/1.jpg' is refused: it is of T2, not of T1 (so are 1 more)")


def test_a_symbolic_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(picture(1))
    link = ZipInfo("F001/T1/1.jpg")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with ZipFile(tmp_path / "F001.zip", "w") as opened:
        opened.writestr(link, str(secret))
    found, (refused,) = images_in(tmp_path / "F001.zip", "F001", None)
    assert found == {}
    assert "it is a symbolic link" in refused


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        (FLAGS, 1, "it is encrypted"),
        (FULL, 50_000_001, "it would grow to 50,000,001 bytes, which no frame has"),
        (FULL, 1_000_001, "it would grow to 1,000,001 bytes, which no frame has"),
    ],
)
def test_a_member_that_says_it_is_no_frame_is_refused(
    field: tuple[int, str], value: int, why: str, tmp_path: Path
) -> None:
    archive = pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": picture(1), "F001/T1/2.jpg": b"x" * 99})
    rewrite(archive, 1, *field, value)
    found, (refused,) = images_in(archive, "F001", None)
    assert [number for number, _ in found["T1"]] == [1]
    assert refused == f"{archive}: member 'F001/T1/2.jpg' is refused: {why}"


def test_a_large_picture_that_does_not_shrink_is_let_through(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1_500_000)
    assert len(source(pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": noise}))) == 1


def test_a_bomb_that_lies_about_its_size_yields_no_more_than_it_said(tmp_path: Path) -> None:
    archive = pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": bytes(30_000_000)})
    rewrite(archive, 0, *FULL, 1000)
    (frame,) = source(archive).read()
    assert isinstance(frame, BrokenFrame)
    assert "CRC" in frame.why


def test_an_archive_whose_members_overlap_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(1000)
    archive = pack(tmp_path / "F001.zip", {f"F001/T1/{n}.jpg": noise for n in range(3)})
    images_in(archive, "F001", None)
    for member in range(3):
        rewrite(archive, member, *PACKED, 2000)
    with pytest.raises(DatasetCorrupt, match=r"F001\.zip: its members overlap"):
        images_in(archive, "F001", None)


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_archive_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "F001.zip").write_bytes(data)
    with pytest.raises(DatasetCorrupt, match=r"F001\.zip: it is no zip archive that can be read"):
        images_in(tmp_path / "F001.zip", "F001", None)


# --- what cannot be read ------------------------------------------------------------------------


def test_a_damaged_member_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    members = {f"F001/T1/{n}.jpg": picture(n) for n in range(4)}
    members["F001/T1/1.jpg"] = b""
    members["F001/T1/2.jpg"] = picture(2)[:200]
    archive = pack(tmp_path / "F001.zip", members, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[data.index(b"F001/T1/3.jpg") + 300] ^= 255
    archive.write_bytes(data)
    whole, empty, cut, flipped = source(archive).read()
    assert isinstance(whole, np.ndarray)
    assert empty == BrokenFrame("F001.zip:F001/T1/1.jpg", "the file is empty")
    assert isinstance(cut, BrokenFrame)
    assert isinstance(flipped, BrokenFrame)
    assert "CRC" in flipped.why


def test_an_archive_that_has_gone_or_changed_is_named_for_every_frame(tmp_path: Path) -> None:
    archive = pack(tmp_path / "F001.zip", {f"F001/T1/{n}.jpg": picture(n) for n in range(3)})
    frames = source(archive)
    pack(archive, {"F001/T1/0.jpg": picture(0), "F001/T1/1.jpg": picture(7)})
    whole, changed, missing = frames.read()
    assert isinstance(whole, np.ndarray)
    assert changed == BrokenFrame(
        "F001.zip:F001/T1/1.jpg", "the archive has been changed since it was listed"
    )
    assert isinstance(missing, BrokenFrame)
    archive.unlink()
    assert [type(frame) for frame in frames.read()] == [BrokenFrame] * 3
    with pytest.raises(DatasetCorrupt, match=r"F001\.zip: the file is not there"):
        frames.size()


def test_a_way_of_compression_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Explorer packs by deflate64 whatever is large; nothing but its number differs here."""
    archive = pack(tmp_path / "F001.zip", {"F001/T1/0.jpg": picture(1)}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    for header, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(header) + at] = 9
    archive.write_bytes(data)
    why = "compression method 9 (deflate64) is not supported: unpack the archive"
    assert list(source(archive).read()) == [BrokenFrame("F001.zip:F001/T1/0.jpg", why)]
    with pytest.raises(DatasetCorrupt, match=re.escape(f"F001.zip: {why}; none of 1 images")):
        source(archive).size()


def test_the_size_is_that_of_the_first_readable_member(tmp_path: Path) -> None:
    members = {"F001/T1/0.jpg": b"", "F001/T1/1.jpg": jpeg((1, 2, 3), (30, 20))}
    frames = source(pack(tmp_path / "F001.zip", members))
    assert frames.size() == (30, 20)
    with pytest.raises(DatasetCorrupt, match="none of 1 images of the sequence is readable"):
        frames.pick([0]).size()


# --- identity -----------------------------------------------------------------------------------


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    members = {f"F001/T1/{n}.jpg": picture(n) for n in range(3)}
    archive = pack(tmp_path / "F001.zip", members)
    frames = source(archive)
    copy = tmp_path / "elsewhere/F001.zip"
    copy.parent.mkdir()
    shutil.copy(archive, copy)
    os.utime(copy, (0, 0))
    assert source(copy).fingerprint() == frames.fingerprint()
    other = pack(tmp_path / "other.zip", {**members, "F001/T1/1.jpg": picture(5)})
    assert source(other).fingerprint() != frames.fingerprint()
    assert frames.pick([0, 1]).fingerprint() != frames.fingerprint()
    assert len(frames.pick([2])) == 1


def test_a_source_travels_to_a_worker(tmp_path: Path) -> None:
    frames = source(pack(tmp_path / "F001.zip", {"F001/T1/1.jpg": picture(1)}))
    assert pickle.loads(pickle.dumps(frames)) == frames


# --- damage of any kind -------------------------------------------------------------------------


@settings(deadline=None, max_examples=120)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=5),
    late=st.booleans(),
    cut=st.floats(0.5, 1),
)
def test_no_damage_raises_anything_else(
    changes: list[tuple[float, int]],
    late: bool,
    cut: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    archive = pack(folder / "F001.zip", {f"F001/T1/{n}.jpg": picture(n) for n in range(3)})
    data = bytearray(archive.read_bytes())
    table = data.index(CENTRAL)
    for share, value in changes:
        low = table if late else 0
        data[low + int(share * (len(data) - low))] = value
    archive.write_bytes(data[: int(len(data) * cut)] if not changes else data)
    try:
        found, _ = images_in(archive, "F001", None)
    except DatasetCorrupt:
        return
    for pairs in found.values():
        frames = ZipImages(folder, archive.name, tuple(member for _, member in pairs))
        assert len(list(frames.read(8))) == len(frames)
