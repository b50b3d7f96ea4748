"""Mutated files of every kind: a sentence or a result, and nothing else.

No exception but the readers' own, no warning, no hang, nothing written outside the cache, no
process and no connection. A few cases of each kind here; `make nightly` tries thousands.
"""

from __future__ import annotations

import faulthandler
import io
import os
import shutil
import signal
import stat
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.frame_store.files import FrameStoreError
from bench.frame_store.store import open_store
from datasets._base import Dataset, DatasetError
from datasets._landmarks.with_face_file import WithFaces
from datasets.affwild2 import AffWild2
from datasets.bp4d import Bp4d
from datasets.bp4d_plus import Bp4dPlus
from datasets.ckplus import CkPlus
from datasets.disfa import Disfa
from datasets.disfa_plus import DisfaPlus
from datasets.manifest import Manifest
from tests.helpers import affwild2_tree, ckplus_tree, disfa_plus_tree, manifest_tree
from tests.helpers.dataset_trees import jpeg, make_bp4d_tree
from tests.helpers.disfa_trees import (
    drop_pictures,
    make_disfa_tree,
    make_video,
    write_landmarks,
)
from tests.helpers.file_mutations import BINARY, TEXT, Edit, edits
from tests.helpers.mat_files import track, write_mat5, write_mat73

CASES = int(os.environ.get("AU_BENCH_FUZZ_CASES", "0"))
"""Cases a kind of file; 0 = a few, always the same."""
CPU_SECONDS, PATIENCE = 60, 600
"""Processor time that no case needs; and seconds after which a blocked one is told and ended."""

FUZZ = settings(
    max_examples=CASES or 8,
    derandomize=not CASES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


# --- the cell that a reader is kept in ----------------------------------------------------------

_home: str | None = None
"""While a reader runs: the only folder that it may write to."""
_offences: list[str] = []

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink")
_NEVER = ("subprocess.Popen", "os.exec", "os.fork", "os.system", "socket.connect", "os.kill")


def _watch(name: str, args: tuple[Any, ...]) -> None:
    if _home is None:
        return
    if name in _NEVER:
        _offences.append(f"{name} {args!r}")
    elif name == "open" and isinstance(args[0], str | bytes):
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
        if (args[2] or 0) & writes:
            _judge(name, args[0])
    elif name in (*_CHANGES, "os.truncate", "os.chmod", "shutil.rmtree", "shutil.move"):
        for path in args[:2]:
            if isinstance(path, str | bytes | Path):
                _judge(name, path)


def _judge(name: str, path: str | bytes | Path) -> None:
    real = os.path.realpath(os.fsdecode(path))
    if real != os.devnull and not real.startswith(f"{_home}{os.sep}"):
        _offences.append(f"{name} {real}")


sys.addaudithook(_watch)


class Hang(BaseException):
    """A reader has used more processor time than any case needs."""


def _too_long(*_: object) -> None:
    raise Hang


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Watch what a reader does; it may write below `home` alone, and must end."""
    global _home
    before = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    _offences.clear()
    _home = os.path.realpath(home)
    try:
        yield
    finally:
        _home = None
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert _offences == []


def listing(root: Path) -> dict[str, tuple[int, int]]:
    """Map every file below a folder to its size and time of change."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in root.rglob("*")}


def use(dataset: Dataset) -> str:
    """Read a dataset to its last pixel as the suite does; say how that ended."""
    root = dataset.root
    assert root is not None
    before = listing(root)
    with TemporaryDirectory() as cache_, held(Path(cache_)):
        outcome = _outcome(dataset, Path(cache_))
    assert listing(root) == before, "the dataset was changed"
    return outcome


def _outcome(dataset: Dataset, cache_: Path) -> str:
    try:
        for sequence in dataset.sequences():
            assert np.isin(sequence.labels, (-1, 0, 1)).all()
            assert sequence.labels.shape == (len(sequence.frames), len(dataset.aus))
            assert np.isfinite(sequence.frames).all()
        folds = dataset.folds()
        assert len({s for group in folds.groups for s in group}) == sum(map(len, folds.groups))
        store = open_store(dataset, name="fuzz", size=16, cache=cache_, workers=1)
    except (DatasetError, FrameStoreError) as error:
        sentence = str(error)
        assert "Traceback" not in sentence
        assert len(sentence) < 2000, sentence
        return "refused"
    return "read, with problems" if dataset.problems or store.problems else "read"


def spin() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.05)
    while True:
        pass


def test_the_watch_sees_what_it_is_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for offence in (
        lambda: (tmp_path / "out.txt").write_text("x"),
        lambda: (tmp_path / "new").mkdir(),
        lambda: (tmp_path / "b").symlink_to("a"),
    ):
        with pytest.raises(AssertionError), held(tmp_path / "in"):
            offence()
    with held(tmp_path / "in"):
        (tmp_path / "in/fine.txt").write_text("x")
        (tmp_path / "out.txt").read_text()
    with pytest.raises(Hang), held(tmp_path):
        spin()


# --- kinds of files -----------------------------------------------------------------------------


def small_bp4d(root: Path) -> None:
    make_bp4d_tree(root, subjects=["F001"], tasks=["T1"], images=range(3, 9), coded=range(4, 8))


def picture_png(file: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)


def bp4d_png(root: Path) -> None:
    small_bp4d(root)
    folder = root / "Sequences/F001/T1"
    (folder / "0005.jpg").unlink()
    picture_png(folder / "0005.png")


def bp4d_zip(root: Path) -> None:
    small_bp4d(root)
    folder = root / "Sequences/F001/T1"
    with zipfile.ZipFile(root / "Sequences/F001.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"F001/T1/{file.name}")
    shutil.rmtree(root / "Sequences/F001")


def bp4d_boxes(root: Path) -> None:
    small_bp4d(root)
    header = "subject,task,frame,confidence,x0,y0,x1,y1," + ",".join(
        f"p{k}_{axis}" for k in range(49) for axis in "xy"
    )
    face = ",".join(f"{10 + k % 7 * 3},{8 + k % 11 * 2}" for k in range(49))
    rows = [f"F001,T1,{frame},0.9,5,5,35,35,{face}" for frame in range(3, 9)]
    (root / "boxes.csv").write_text("\n".join([header, *rows]))


def bp4d_tracks(root: Path, write: Callable[..., Path]) -> None:
    small_bp4d(root)
    write(root / "2DFeatures/F001_T1.mat", list(track(10) / 40))


def disfa(root: Path) -> None:
    make_disfa_tree(root, subjects=["SN001"], frames=4)
    names = [f"SN001_{k:04}_lm.mat" for k in range(4)]
    write_landmarks(root / "Landmark_Points/SN001/tmp_frame_lm", names)


def manifest(root: Path) -> None:
    rows = manifest_tree.make(root, subjects=3, frames=2)
    for at, row in enumerate(rows):
        row |= {"fold": row["subject"][1:], "AU6_intensity": str(at % 6)}
        row |= {"x0": "5", "y0": "4", "x1": "30", "y1": "33.5"}
    manifest_tree.write(root, rows)


def manifest_of_video(root: Path, name: str = "film.avi", **film: Any) -> None:
    rows = manifest_tree.video_rows(root, range(1, 5), name)
    manifest_tree.write(root, [{**row, "subject": who} for who in "ABC" for row in rows])
    make_video(root / "videos" / name, 6, gop=3, **film)


def manifest_of_dropped_pictures(root: Path) -> None:
    manifest_of_video(root)
    drop_pictures(root / "videos/film.avi", [0, 3])


def manifest_with_folds(root: Path) -> None:
    manifest(root)
    (root / "mine.csv").write_text("subject,fold\nP0,0\nP1,1\nP2,0\n")


def phone_jpeg(root: Path) -> None:
    """A picture with a film behind it, which asks to be turned, among smaller ones."""
    small_bp4d(root)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (96, 72, 3), dtype=np.uint8)
    file = root / "Sequences/F001/T1/0005.jpg"
    Image.fromarray(noise).save(file, exif=exif)
    file.write_bytes(file.read_bytes() + b"\0\0\0\x18ftypmp42\xff\xda" + bytes(200))


def bp4d_face_folder(root: Path) -> None:
    bp4d_boxes(root)
    (root / "faces").mkdir()
    (root / "boxes.csv").rename(root / "faces/F001_T1.CSV")


def manifest_parquet(root: Path) -> None:
    import pandas as pd

    manifest(root)
    table = pd.read_csv(root / "manifest.csv").set_index(["subject", "AU4"])
    table.to_parquet(root / "manifest.parquet")
    (root / "manifest.csv").unlink()


def ckplus(root: Path) -> None:
    ckplus_tree.make_tree(root)
    ckplus_tree.add_landmarks(root)


@dataclass(frozen=True)
class Kind:
    """A kind of file: a small dataset, which of its files is mutated, and its reader."""

    make: Callable[[Path], object]
    victim: str
    reader: Callable[[Path], Dataset]
    kinds: tuple[str, ...] = TEXT


KINDS = {
    "bp4d labels": Kind(small_bp4d, "AUCoding/AU_OCC/F001_T1.csv", Bp4d),
    "bp4d jpeg": Kind(small_bp4d, "Sequences/F001/T1/0005.jpg", Bp4d, BINARY),
    "bp4d png": Kind(bp4d_png, "Sequences/F001/T1/0005.png", Bp4d, BINARY),
    "bp4d archive": Kind(bp4d_zip, "Sequences/F001.zip", Bp4d, BINARY),
    "bp4d tracks 7.3": Kind(
        lambda root: bp4d_tracks(root, write_mat73), "2DFeatures/F001_T1.mat", Bp4d, BINARY
    ),
    "bp4d+ tracks 5": Kind(
        lambda root: bp4d_tracks(root, write_mat5), "2DFeatures/F001_T1.mat", Bp4dPlus, BINARY
    ),
    "face file": Kind(bp4d_boxes, "boxes.csv", lambda root: WithFaces(Bp4d(root))),
    "face folder": Kind(
        bp4d_face_folder,
        "faces/F001_T1.CSV",
        lambda root: WithFaces(Bp4d(root), landmarks=str(root / "faces")),
    ),
    "phone jpeg": Kind(phone_jpeg, "Sequences/F001/T1/0005.jpg", Bp4d, BINARY),
    "disfa labels": Kind(disfa, "ActionUnit_Labels/SN001/SN001_au4.txt", Disfa),
    "disfa video": Kind(disfa, "Videos_LeftCamera/LeftVideoSN001_comp.avi", Disfa, BINARY),
    "disfa landmarks": Kind(
        disfa, "Landmark_Points/SN001/tmp_frame_lm/SN001_0001_lm.mat", Disfa, BINARY
    ),
    "disfa+ labels": Kind(
        disfa_plus_tree.make_tree, "Labels/SN001/A1_AU1_TrailNo_1/AU4.txt", DisfaPlus
    ),
    "ck+ labels": Kind(ckplus, "FACS/S005/001/S005_001_00000004_facs.txt", CkPlus),
    "ck+ landmarks": Kind(ckplus, "Landmarks/S005/001/S005_001_00000002_landmarks.txt", CkPlus),
    "aff-wild2 labels": Kind(
        affwild2_tree.make_tree, "annotations/AU_Set/Train_Set/video5_left.txt", AffWild2
    ),
    "manifest": Kind(manifest, "manifest.csv", Manifest),
    "manifest parquet": Kind(manifest_parquet, "manifest.parquet", Manifest, BINARY),
    "manifest of video": Kind(manifest_of_video, "videos/film.avi", Manifest, BINARY),
    "dropped pictures": Kind(manifest_of_dropped_pictures, "videos/film.avi", Manifest, BINARY),
    "film with a cover": Kind(
        lambda root: manifest_of_video(root, "film.mp4", cover=(48, 64)),
        "videos/film.mp4",
        Manifest,
        BINARY,
    ),
    "fold list": Kind(
        manifest_with_folds,
        "mine.csv",
        lambda root: Manifest(root, folds=str(root / "mine.csv")),
    ),
}


@cache
def pristine(name: str) -> TemporaryDirectory[str]:
    """Make a kind's dataset once; whoever mutates a file of it puts it back."""
    folder = TemporaryDirectory()
    KINDS[name].make(Path(folder.name))
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_the_datasets_that_are_mutated_are_read_to_begin_with(name: str) -> None:
    kind, root = KINDS[name], Path(pristine(name).name)
    assert (root / kind.victim).is_file()
    assert use(kind.reader(root)).startswith("read")


@pytest.mark.parametrize("name", KINDS)
@FUZZ
@given(data=st.data())
def test_a_mutated_file_is_read_or_refused_in_a_sentence(name: str, data: st.DataObject) -> None:
    kind, root = KINDS[name], Path(pristine(name).name)
    victim = root / kind.victim
    whole = mutated = victim.read_bytes()
    changes: list[Edit] = data.draw(edits(*kind.kinds))
    for change in changes:
        mutated = change.apply(mutated)
    victim.write_bytes(mutated)
    try:
        event(use(kind.reader(root)))
    finally:
        victim.write_bytes(whole)


# --- names that lead elsewhere ------------------------------------------------------------------

PARTS = st.sampled_from(["..", ".", "", "F001", "T1", "0005.jpg", "0006.JPG", "a", "é", "C:", "~"])
PATHS = st.one_of(
    st.lists(PARTS, min_size=1, max_size=6).map("/".join),
    st.lists(PARTS, min_size=1, max_size=6).map("\\".join),
    st.text(min_size=1, max_size=12),
)


@FUZZ
@given(st.lists(st.tuples(PATHS, st.booleans()), max_size=4))
def test_an_archive_may_hold_any_names_and_links(members: list[tuple[str, bool]]) -> None:
    root = Path(pristine("bp4d archive").name)
    victim = root / KINDS["bp4d archive"].victim
    whole = victim.read_bytes()
    stream = io.BytesIO(whole)
    with zipfile.ZipFile(stream, "a") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # it writes them all the same
        for name, is_link in members:
            info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
            info.external_attr = (stat.S_IFLNK | 0o777 if is_link else 0o644) << 16
            archive.writestr(info, b"/etc/hostname" if is_link else jpeg((1, 2, 3)))
    victim.write_bytes(stream.getvalue())
    try:
        event(use(Bp4d(root)))
    finally:
        victim.write_bytes(whole)


NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not {*b"\0/"} & {*name} and name not in (b".", b"..")
)


@FUZZ
@given(st.lists(st.tuples(NAMES, st.sampled_from(["", ".txt", ".csv", "/1.jpg"])), max_size=5))
def test_folders_may_hold_files_of_any_name(names: list[tuple[bytes, str]]) -> None:
    """Label files, folders of images and face files with names that are no text."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        affwild2_tree.make_tree(root)
        homes = ("annotations/AU_Set/Train_Set", "cropped_aligned", "faces")
        for home in homes:
            (root / home).mkdir(exist_ok=True)
            for name, ending in names:
                file = root / home / (os.fsdecode(name) + ending)
                file.parent.mkdir(exist_ok=True)
                if not file.exists():
                    file.write_text("frame,x0,y0,x1,y1\n1,2,3,30,30\n")
        event(use(WithFaces(AffWild2(root), landmarks=str(root / "faces"))))


@FUZZ
@given(PATHS)
def test_a_manifest_may_name_any_path(path: str) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        rows = manifest_tree.make(root, subjects=3, frames=2)
        rows[1]["path"] = path.encode("utf-8", "replace").decode()
        manifest_tree.write(root, rows)
        event(use(Manifest(root)))
