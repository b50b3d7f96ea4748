"""Names as disks hold them: odd spaces, accents, case, bytes that are no UTF-8, sidecar files."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from datasets._base import DatasetCorrupt, DatasetError
from datasets._files.folders import files_below, match_names, printable
from datasets._landmarks.with_face_file import WithFaces
from datasets.affwild2 import AffWild2
from datasets.manifest import Manifest
from tests.helpers.affwild2_tree import make_tree
from tests.helpers.manifest_tree import make, write

ODD = [
    "at 9.41.01\u202fPM.jpg",
    "snímek v\xa01.jpg",
    "表情\u30001.jpg",
    "👩\u200d🦰.jpg",
    " a b .jpg",
]


@pytest.mark.parametrize("name", ODD, ids=map(ascii, ODD))
def test_a_picture_is_read_by_the_name_that_it_has(name: str, tmp_path: Path) -> None:
    rows = make(tmp_path, subjects=2)
    (tmp_path / rows[0]["path"]).rename(tmp_path / "pictures/P0" / name)
    rows[0]["path"] = f"pictures/P0/{name}"
    write(tmp_path, rows)
    dataset = Manifest(tmp_path)
    first = dataset.sequences()[0]
    assert dataset.problems == []
    assert first.source.size() == next(first.source.read()).shape[:2]


@pytest.mark.parametrize("letter", ["\0", "\n", "\x1b", "\x7f", "\x85"])
def test_a_control_character_in_a_path_is_refused(letter: str, tmp_path: Path) -> None:
    rows = make(tmp_path, subjects=2)
    rows[0]["path"] = f"pictures/P0/a{letter}b.jpg"
    write(tmp_path, rows)
    with pytest.raises(DatasetError, match=r"no file name|this is no"):
        Manifest(tmp_path).sequences()


@pytest.mark.parametrize("change", ["NFC", "NFD", "case of a folder", "case of the ending"])
def test_a_name_that_differs_in_accents_or_case_is_told(change: str, tmp_path: Path) -> None:
    rows = make(tmp_path, subjects=2)
    disk, table = {
        "NFC": (unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")),
        "NFD": (unicodedata.normalize("NFD", "é.jpg"), unicodedata.normalize("NFC", "é.jpg")),
        "case of a folder": ("1.jpg", "1.jpg"),
        "case of the ending": ("1.JPG", "1.jpg"),
    }[change]
    folder = "p0" if change == "case of a folder" else "P0"
    (tmp_path / rows[1]["path"]).rename(tmp_path / "pictures/P0" / disk)
    rows[1]["path"] = f"pictures/{folder}/{table}"
    write(tmp_path, rows)
    if (tmp_path / rows[1]["path"]).exists():
        pytest.skip("this disk knows neither case nor forms of accents")
    dataset = Manifest(tmp_path)
    assert len(dataset.sequences()) == 4
    assert dataset.problems == [
        f"P0_smile: the picture is not there, frame 2 (pictures/{folder}/{table}; "
        f"pictures/P0/{disk} is there: names must agree in case and in the form of accents)"
    ]


def test_subjects_that_may_be_one_person_are_told(tmp_path: Path) -> None:
    names = ["Zo\u00eb", "Zoe\u0308", "ada", "Ada", "ben"]
    rows = make(tmp_path, subjects=5)
    for row in rows:
        row["subject"] = names[int(row["subject"][1])]
    write(tmp_path, rows)
    dataset = Manifest(tmp_path)
    dataset.sequences()
    ends = "differ in case or in the form of accents alone: if they are one person, folds divide"
    assert dataset.notes == [
        f"subjects {pair} {ends} that person"
        for pair in ("'Ada' and 'ada'", r"'Zoe\u0308' and 'Zo\xeb'")
    ]


def test_a_link_out_of_the_folder_is_no_name_that_is_alike(tmp_path: Path) -> None:
    root = tmp_path / "root"
    rows = make(root, subjects=2)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.jpg").touch()
    (root / "Out").symlink_to(tmp_path / "secret")
    rows[0]["path"] = "out/A.jpg"
    write(root, rows)
    dataset = Manifest(root)
    dataset.sequences()
    assert dataset.problems == ["P0_smile: the picture is not there, frame 1 (out/A.jpg)"]


def bad_name(folder: Path, name: str) -> Path:
    """Make a path whose name is no UTF-8; skip where the disk has none."""
    path = folder / os.fsdecode(name.encode("latin-1"))
    try:
        path.mkdir()
    except OSError:
        pytest.skip("this disk holds UTF-8 names alone")
    path.rmdir()
    return path


def test_a_name_that_is_no_utf8_is_named_with_its_folder(tmp_path: Path) -> None:
    make_tree(tmp_path)
    labels = tmp_path / "annotations/AU_Set/Train_Set"
    file = next(labels.iterdir())
    file.rename(bad_name(labels, "vidéo.txt"))
    with pytest.raises(DatasetCorrupt) as caught:
        AffWild2(tmp_path).sequences()
    said = str(caught.value)
    assert said == f"{labels}: the name vid\\xe9o.txt in it is not UTF-8: rename it"
    assert said.isprintable()
    assert match_names(labels, "[a-z]+[.]csv") == [], "a name that nobody asks for does no harm"
    assert printable("vidéo 表情") == "vidéo 表情"


def face(tree: Path, name: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text("frame,x0,y0,x1,y1\n1,5,5,30,30\n2,5,5,30,30\n")


def test_a_folder_of_faces_is_read_as_folders_of_pictures_are(tmp_path: Path) -> None:
    """Endings in any case, links followed; what programs put beside files is passed over."""
    write(tmp_path, make(tmp_path, subjects=2, frames=2))
    faces, elsewhere = tmp_path / "faces", tmp_path / "elsewhere"
    face(faces, "P0_smile.CSV")
    face(faces, "P0/talk.Csv")
    face(elsewhere, "1_smile.csv")
    face(elsewhere, "P1/talk.csv")
    (faces / "P1_smile.csv").symlink_to(elsewhere / "1_smile.csv")
    (faces / "P1").symlink_to(elsewhere / "P1")
    (elsewhere / "P1/loop").symlink_to(faces)
    for sidecar in ("._P0_smile.csv", "~$P0_smile.csv", ".hidden/x.csv", "__MACOSX/P0/._talk.csv"):
        (faces / sidecar).parent.mkdir(parents=True, exist_ok=True)
        (faces / sidecar).write_bytes(b"\0\x05\x16\x07\xff not a table")
    (faces / "notes.csv").mkdir()
    (faces / "readme.txt").write_text("x")
    found = files_below(faces, r".*\.(?i:csv)")
    named = {str(file.relative_to(faces)) for file in found}
    assert named == {"P0_smile.CSV", "P0/talk.Csv", "P1_smile.csv", "P1/talk.csv"}
    dataset = WithFaces(Manifest(tmp_path), landmarks=str(faces))
    for sequence in dataset.sequences():
        assert sequence.boxes is not None
        assert (sequence.boxes == [5, 5, 30, 30]).all()
    assert dataset.problems == []


@pytest.mark.parametrize("name", ["manifest.CSV", "Manifest.csv", "MANIFEST.PARQUET"])
def test_the_manifest_is_found_in_any_case(name: str, tmp_path: Path) -> None:
    import pandas as pd

    file = write(tmp_path, make(tmp_path, subjects=2))
    if name.endswith("PARQUET"):
        pd.read_csv(file).to_parquet(tmp_path / name)
        file.unlink()
    else:
        file.rename(tmp_path / name)
    assert len(Manifest(tmp_path).sequences()) == 4


def test_the_face_file_beside_a_dataset_is_found_in_any_case(tmp_path: Path) -> None:
    write(tmp_path, make(tmp_path, subjects=2, frames=2))
    (tmp_path / "Boxes.CSV").write_text("subject,task,frame,x0,y0,x1,y1\nP0,smile,1,5,5,30,30\n")
    dataset = WithFaces(Manifest(tmp_path))
    assert dataset.sequences()[0].boxes is not None
    assert dataset.problems == ["Boxes.CSV: 7 of 8 frames have no face in it"]
