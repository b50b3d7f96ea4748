"""Image files as frames: what is read is right, what cannot be read is named, nothing is raised."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile

from datasets._base import BrokenFrame, DatasetCorrupt
from datasets._files.images import ImageFiles


def smooth(height: int = 96, width: int = 80) -> NDArray[np.uint8]:
    """Draw a picture with a gradient in each channel and a bright left eye: no symmetry."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    picture = np.stack([255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 9)], axis=-1)
    picture[height // 4 : height // 2, width // 8 : width // 3] = 250
    return picture.astype(np.uint8)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def write(root: Path, **files: bytes) -> ImageFiles:
    """Write files of the given names (`a_jpg` becomes `a.jpg`) and list them in that order."""
    names = tuple(name.replace("_", ".") for name in files)
    for name, data in zip(names, files.values(), strict=True):
        (root / name).write_bytes(data)
    return ImageFiles(root, names)


def broken(root: Path, data: bytes) -> BrokenFrame:
    (frame,) = write(root, F001_jpg=data).read(16)
    assert isinstance(frame, BrokenFrame), "the file was taken for a whole picture"
    assert frame.name == "F001.jpg"
    return frame


JPEG = encoded(Image.fromarray(smooth()), "JPEG", quality=95)
PNG = encoded(Image.fromarray(smooth()), "PNG")


def test_frames_come_in_order_as_rgb_bytes(tmp_path: Path) -> None:
    dark = encoded(Image.new("RGB", (80, 96), (1, 2, 3)), "PNG")
    source = write(tmp_path, b_png=PNG, a_png=dark, c_jpg=JPEG)
    first, second, third = source.read()
    assert len(source) == 3
    assert isinstance(third, np.ndarray)
    np.testing.assert_array_equal(first, smooth())
    np.testing.assert_array_equal(second, np.broadcast_to([1, 2, 3], (96, 80, 3)))
    assert third.dtype == np.uint8
    assert third.flags.writeable
    assert np.abs(third.astype(float) - smooth()).mean() < 3
    assert source.size() == (96, 80)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_pictures_of_other_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    picture = Image.fromarray(smooth()[..., 0]).convert(mode)
    (frame,) = write(tmp_path, a_png=encoded(picture, "PNG")).read()
    grey = np.asarray(picture.convert("L"))
    np.testing.assert_array_equal(frame, np.stack([grey] * 3, axis=-1))
    assert grey.std() > 50


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG", quality=95)
    (frame,) = write(tmp_path, a_jpg=data).read()
    assert isinstance(frame, np.ndarray)
    assert np.abs(frame.astype(float) - smooth()).mean() < 3


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    deep = smooth()[..., 0].astype(np.uint16) * 257
    (frame,) = write(tmp_path, a_png=encoded(Image.fromarray(deep), "PNG")).read()
    np.testing.assert_array_equal(frame, np.repeat(smooth()[..., :1], 3, axis=-1))


def test_palette_transparency_makes_no_noise(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth()).convert("P")
    (frame,) = write(tmp_path, a_png=encoded(picture, "PNG", transparency=b"\0\x80")).read()
    np.testing.assert_array_equal(frame, np.asarray(picture.convert("RGB")))


def test_exif_orientation_is_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.fromarray(smooth()), "JPEG", quality=95, exif=exif)
    source = write(tmp_path, a_jpg=data)
    (frame,) = source.read()
    assert isinstance(frame, np.ndarray)
    assert frame.shape[:2] == source.size() == (96, 80)
    assert np.abs(frame.astype(float) - smooth()).mean() < 3


@pytest.mark.parametrize(("min_side", "factor"), [(400, 1), (201, 1), (200, 2), (100, 4), (9, 8)])
def test_a_large_jpeg_comes_reduced_but_never_below_the_side_asked_for(
    min_side: int, factor: int, tmp_path: Path
) -> None:
    data = encoded(Image.fromarray(smooth(560, 400)), "JPEG", quality=95)
    source = write(tmp_path, a_jpg=data)
    (frame,) = source.read(min_side)
    assert isinstance(frame, np.ndarray)
    assert frame.shape == (560 // factor, 400 // factor, 3)
    boxes = smooth(560, 400).reshape(560 // factor, factor, 400 // factor, factor, 3)
    assert np.abs(frame - boxes.mean(axis=(1, 3))).mean() < 3
    assert source.size() == (560, 400)


def test_an_empty_or_missing_or_foreign_file_is_named_with_its_reason(tmp_path: Path) -> None:
    gif = encoded(Image.fromarray(smooth()), "GIF")
    source = write(tmp_path, a_jpg=b"", b_jpg=b"# not a picture\n", c_jpg=gif, d_jpg=JPEG)
    source = ImageFiles(tmp_path, (*source.names, "gone/e.jpg"))
    (tmp_path / "folder.jpg").mkdir()
    source = ImageFiles(tmp_path, (*source.names, "folder.jpg"))
    *broken, gone, folder = source.read(16)
    assert broken[0] == BrokenFrame("a.jpg", "the file is empty")
    assert broken[1] == BrokenFrame("b.jpg", "the file is not a JPEG or PNG image")
    assert broken[2] == BrokenFrame("c.jpg", "the file is not a JPEG or PNG image but GIF")
    assert isinstance(broken[3], np.ndarray)
    assert gone == BrokenFrame("gone/e.jpg", "the file is not there")
    assert folder == BrokenFrame("folder.jpg", "Is a directory")


@settings(deadline=None, max_examples=30)
@given(share=st.floats(0, 0.999), whole=st.sampled_from([JPEG, PNG]), lenient=st.booleans())
def test_a_cut_file_is_broken_and_never_half_grey(
    share: float, whole: bytes, lenient: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient  # another library in the process may set it
    try:
        broken(tmp_path_factory.mktemp("cut"), whole[: int(share * (len(whole) - 8))])
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def test_a_jpeg_whose_tail_was_never_written_is_broken(tmp_path: Path) -> None:
    half = len(JPEG) // 2
    frame = broken(tmp_path, JPEG[:half] + bytes(len(JPEG) - half))
    assert "truncated" in frame.why


def test_a_cut_jpeg_with_a_whole_thumbnail_inside_is_broken(tmp_path: Path) -> None:
    segment = b"Exif\0\0" + encoded(Image.fromarray(smooth(16, 16)), "JPEG")
    app1 = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    whole = JPEG[:2] + app1 + JPEG[2:]
    (frame,) = write(tmp_path, a_jpg=whole).read()
    assert isinstance(frame, np.ndarray)
    assert "truncated" in broken(tmp_path, whole[:-200] + bytes(200)).why


FILM = b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 9 + bytes(64) + b"\xff\xd8 moov"


@pytest.mark.parametrize(
    "behind",
    [bytes(512), FILM, JPEG, JPEG[: len(JPEG) // 2], b"\xff\xda", b"\xff", b"SEFH\xff\xd8\xff\xda"],
    ids=["zeros", "film", "picture", "half-a-picture", "scan-marker", "byte", "notes"],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_bytes_after_the_end_marker_do_no_harm(
    behind: bytes, progressive: bool, tmp_path: Path
) -> None:
    whole = encoded(Image.fromarray(smooth()), "JPEG", quality=95, progressive=progressive)
    (plain,) = write(tmp_path, a_jpg=whole).read()
    (padded,) = write(tmp_path, b_jpg=whole + behind).read()
    assert isinstance(padded, np.ndarray), padded
    np.testing.assert_array_equal(padded, plain)


def test_half_a_jpeg_with_a_whole_one_behind_is_broken(tmp_path: Path) -> None:
    assert "truncated" in broken(tmp_path, JPEG[: len(JPEG) // 2] + JPEG).why


@pytest.mark.parametrize("side", [9_000, 10_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int, tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    bomb = b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")
    assert "pixels" in broken(tmp_path, bomb).why


@settings(deadline=None, max_examples=150)
@given(
    whole=st.sampled_from([JPEG, PNG]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    early=st.booleans(),
)
def test_no_damage_raises(
    whole: bytes,
    changes: list[tuple[float, int]],
    early: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data = bytearray(whole)
    for where, value in changes:
        data[int(where * (200 if early else len(data)))] = value
    source = write(tmp_path_factory.mktemp("damage"), a_jpg=bytes(data))
    (frame,) = source.read(16)
    assert isinstance(frame, np.ndarray | BrokenFrame)


def test_the_size_is_that_of_the_first_readable_file(tmp_path: Path) -> None:
    assert write(tmp_path, a_jpg=b"", b_jpg=b"x", c_jpg=JPEG).size() == (96, 80)
    said = r"a\.jpg: the file is empty; none of 2 images of the sequence is readable"
    with pytest.raises(DatasetCorrupt, match=said):
        write(tmp_path, a_jpg=b"", b_jpg=b"x").size()


def test_pictures_of_several_sizes_have_a_size_each(tmp_path: Path) -> None:
    small = encoded(Image.fromarray(smooth(30, 50)), "PNG")
    sizes = write(tmp_path, a_jpg=JPEG, b_jpg=b"x", c_png=small).size()
    np.testing.assert_array_equal(sizes, [(96, 80), (96, 80), (30, 50)])


@pytest.mark.parametrize(
    ("begin", "told"),
    [
        (b"BM" + bytes(60), "BMP"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1", "HEIC"),
        (b"II*\0" + bytes(60), "TIFF"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\n<!DOCTYPE html><title>Sign in", "web page"),
    ],
)
def test_a_picture_of_another_format_is_told_by_its_name(
    begin: bytes, told: str, tmp_path: Path
) -> None:
    frame = broken(tmp_path, begin)
    assert frame.why.startswith("the file is not a JPEG or PNG image but ")
    assert told in frame.why


def test_a_picture_that_asks_to_be_turned_is_read_as_stored_and_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(smooth())
    phone = encoded(picture, "JPEG", quality=95, exif=exif)
    upright = encoded(picture, "JPEG", quality=95, exif=Image.Exif())
    source = write(tmp_path, a_jpg=upright, b_jpg=phone, c_jpg=phone, d_jpg=b"x")
    assert source.size() == (96, 80)
    plain, as_stored, *_ = source.read()
    np.testing.assert_array_equal(as_stored, plain)
    (said,) = source.remarks()
    assert said.startswith("b.jpg and 1 more ask to be shown turned (EXIF orientation)")
    assert write(tmp_path, a_jpg=upright).remarks() == []


def test_the_fingerprint_sees_names_sizes_times_and_absence(tmp_path: Path) -> None:
    source = write(tmp_path, a_jpg=JPEG, b_png=PNG)
    seen = [source.fingerprint()]
    assert ImageFiles(tmp_path, source.names).fingerprint() == seen[0]
    seen.append(ImageFiles(tmp_path, source.names[::-1]).fingerprint())
    os.utime(tmp_path / "a.jpg", ns=(0, 1_000_000_007))
    seen.append(source.fingerprint())
    (tmp_path / "a.jpg").write_bytes(JPEG + b"\0")
    os.utime(tmp_path / "a.jpg", ns=(0, 1_000_000_007))
    seen.append(source.fingerprint())
    (tmp_path / "a.jpg").unlink()
    seen.append(source.fingerprint())
    assert len(set(seen)) == 5


def test_the_fingerprint_survives_a_move_of_the_whole_dataset(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    source = write(tmp_path / "old", a_jpg=JPEG)
    before = source.fingerprint()
    (tmp_path / "old").rename(tmp_path / "new")
    assert ImageFiles(tmp_path / "new", source.names).fingerprint() == before


def test_a_source_travels_to_a_worker(tmp_path: Path) -> None:
    source = write(tmp_path, a_png=PNG)
    assert pickle.loads(pickle.dumps(source)) == source
