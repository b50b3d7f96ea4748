"""Tables as saved: words for missing, indices, times, blank lines, separators, encodings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasets._base import UNCODED, DatasetError, Sequence
from datasets._files.text import read_text
from datasets._splits.folds import load_folds
from datasets.manifest import Manifest
from tests.helpers.manifest_tree import make, write

Row = dict[str, str]


def read(root: Path, **options: object) -> dict[str, Sequence]:
    dataset = Manifest(root, **options)
    sequences = {sequence.name: sequence for sequence in dataset.sequences()}
    assert dataset.problems == []
    return sequences


def complaint(root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        Manifest(root).sequences()
    return str(caught.value)


def renamed(rows: list[Row], column: str, names: dict[str, str]) -> list[Row]:
    return [row | {column: names.get(row[column], row[column])} for row in rows]


WORDS = ["NA", "None", "null", "nan", "N/A", "n/a", "NULL", "NaN", "<NA>", "#N/A", "-nan", "True"]


@pytest.mark.parametrize("word", WORDS)
def test_words_for_missing_are_names_where_names_stand(word: str, tmp_path: Path) -> None:
    rows = renamed(make(tmp_path, subjects=2), "subject", {"P0": word})
    rows = renamed(rows, "sequence", {"smile": word})
    write(tmp_path, rows)
    assert set(read(tmp_path)) == {f"{word}_{word}", f"{word}_talk", f"P1_{word}", "P1_talk"}
    assert {*Manifest(tmp_path, folds="2").folds().groups} == {(word,), ("P1",)}


@pytest.mark.parametrize("word", [word for word in WORDS if word != "True"])
def test_words_for_missing_are_unknown_where_numbers_stand(word: str, tmp_path: Path) -> None:
    rows = make(tmp_path, subjects=2)
    rows[0]["AU4"] = word
    write(tmp_path, rows)
    assert read(tmp_path)["P0_smile"].labels[0, 1] == UNCODED
    rows[0]["frame"] = word
    write(tmp_path, rows)
    assert complaint(tmp_path).endswith("manifest.csv, line 2: there is no frame number")


@pytest.mark.parametrize("infinity", ["inf", "-inf", "Infinity", "1e999"])
@pytest.mark.parametrize("parquet", [False, True])
def test_an_infinite_label_or_frame_is_refused(
    infinity: str, tmp_path: Path, *, parquet: bool
) -> None:
    for column, said in (
        ("AU4", "AU4 is -?inf; a label is 1 or 0"),
        ("frame", "-?inf is no frame"),
    ):
        rows = make(tmp_path, subjects=2)
        rows[3][column] = infinity
        file = write(tmp_path, rows)
        if parquet:
            kinds = {column: float}
            pd.read_csv(file, dtype=kinds).to_parquet(tmp_path / "manifest.parquet")
            file.unlink()
        with pytest.raises(DatasetError, match=rf"line {5 - parquet}: {said}"):
            Manifest(tmp_path).sequences()


@pytest.mark.parametrize("index", [["subject"], ["frame"], ["AU4"], ["subject", "frame"], None])
def test_an_index_of_a_parquet_table_is_a_column(index: list[str] | None, tmp_path: Path) -> None:
    rows = make(tmp_path, subjects=2)
    file = write(tmp_path, rows)
    plain = read(tmp_path)
    table = pd.read_csv(file)
    if index is None:
        table.index = pd.Index(range(7, 7 + len(table)))
    else:
        table = table.set_index(index)
    table.to_parquet(tmp_path / "manifest.parquet")
    file.unlink()
    dataset = Manifest(tmp_path)
    for sequence in dataset.sequences():
        np.testing.assert_array_equal(sequence.frames, plain[sequence.name].frames)
        np.testing.assert_array_equal(sequence.labels, plain[sequence.name].labels)
    assert dataset.aus == (1, 4, 12)


@pytest.mark.parametrize("kind", ["timedelta64[ns]", "datetime64[ns]"])
def test_a_frame_that_is_a_time_is_refused(kind: str, tmp_path: Path) -> None:
    file = write(tmp_path, make(tmp_path, subjects=2))
    table = pd.read_csv(file)
    table["frame"] = (table["frame"] * 40_000_000).astype(kind)
    table.to_parquet(tmp_path / "manifest.parquet")
    file.unlink()
    with pytest.raises(DatasetError, match=r"line 1: frame is '.*00:00:00\.04.*', not a number"):
        Manifest(tmp_path).sequences()


def test_texts_may_be_bytes_or_categories_in_parquet(tmp_path: Path) -> None:
    file = write(tmp_path, make(tmp_path, subjects=2))
    plain = read(tmp_path)
    table = pd.read_csv(file, dtype={"sequence": "category", "AU4": "category"})
    table["subject"] = [text.encode() for text in table["subject"]]
    table.to_parquet(tmp_path / "manifest.parquet")
    file.unlink()
    found = read(tmp_path)
    assert found.keys() == plain.keys()
    np.testing.assert_array_equal(found["P1_talk"].labels, plain["P1_talk"].labels)


@pytest.mark.parametrize("before", ["\n", "\n\n  \n", ",,,,,\n", "\r\n\r\n"])
def test_blank_lines_before_the_header_are_passed_over(before: str, tmp_path: Path) -> None:
    file = write(tmp_path, make(tmp_path, subjects=2))
    plain, text = read(tmp_path), file.read_text()
    file.write_text(before + text)
    found = read(tmp_path)
    for name, sequence in plain.items():
        np.testing.assert_array_equal(found[name].labels, sequence.labels)
    file.write_text(before + text.replace("P0,smile,1,", "P0,smile,x,"))
    blank = before.count("\n")
    assert f"line {blank + 2}: frame is 'x', not a number" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_another_separator_is_named(separator: str, name: str, tmp_path: Path) -> None:
    file = write(tmp_path, make(tmp_path, subjects=2))
    file.write_text(file.read_text().replace(",", separator))
    said = f"manifest.csv, line 1: its cells are separated by {name}: save it with commas"
    assert complaint(tmp_path).endswith(said)
    folds = tmp_path / "mine.csv"
    folds.write_text(f"subject{separator}fold\nP0{separator}0\n")
    with pytest.raises(DatasetError, match=f"must be subject,fold; its cells .* by {name}"):
        load_folds(str(folds))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "cp1252"])
def test_byte_order_marks_pass_and_other_encodings_are_named(encoding: str, tmp_path: Path) -> None:
    rows = renamed(make(tmp_path, subjects=2), "subject", {"P1": "Zoë"})
    file, folds = write(tmp_path, rows), tmp_path / "mine.csv"
    folds.write_text("subject,fold\nP0,0\nZoë,1\n")
    for each in (file, folds):
        each.write_bytes(each.read_text(encoding="utf-8").encode(encoding))
    if encoding == "utf-8-sig":
        assert "Zoë_smile" in read(tmp_path)
        assert load_folds(str(folds)).groups == (("P0",), ("Zoë",))
        return
    named = {
        "utf-16": "this is UTF-16 text",
        "utf-16-be": "this is no text, or UTF-16",
        "utf-32": "this is UTF-32 text",
        "cp1252": r"line \d+: this is not plain text \(UTF-8; byte 0xeb is none\)",
    }[encoding]
    for read_it in (Manifest(tmp_path).sequences, lambda: load_folds(str(folds))):
        with pytest.raises(DatasetError, match=rf"\.csv.*{named}.*: save it as UTF-8"):
            read_it()


def test_line_ends_of_any_system_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    for end in ("\n", "\r\n", "\r"):
        file.write_bytes(f"\ufeffa{end}b{end}".encode())
        assert read_text(file) == "a\nb\n"


def test_a_fold_list_may_have_blanks_and_any_case_of_its_ending(tmp_path: Path) -> None:
    for name in ("mine.csv", "mine.CSV"):
        (tmp_path / name).write_text("\nsubject, fold\r\n P0 ,0\n\nNA, 1\n,\n")
        assert load_folds(str(tmp_path / name)).groups == (("P0",), ("NA",))
    write(tmp_path, make(tmp_path, subjects=2))
    (tmp_path / "mine.CSV").write_text("subject,fold\nP0,0\nP1,1\n")
    given = Manifest(tmp_path, folds=str(tmp_path / "mine.CSV")).folds()
    assert given.groups == (("P0",), ("P1",))
