"""`doctor` on one screen: what is there, what is wrong, what to type next."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench import doctor
from bench.doctor import diagnose
from tests.helpers.cli_driver import Person, quoted
from tests.helpers.dataset_trees import make_bp4d_tree
from tests.helpers.fake_records import record, unfinished


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_bp4d_tree(tmp_path / "data" / "mine", subjects=("F001", "F003"), tasks=("T1",))
    return tmp_path / "data"


def page(roots, tmp_path, records=()):
    return diagnose(roots, tmp_path / "results", tmp_path / "cache", list(records)).page()


def unwrapped(text: str) -> str:
    """The page as one line: where it wraps depends on the length of the folder's path."""
    return " ".join(text.split())


def lines_of(text: str, heading: str) -> list[str]:
    found, current = [], ""
    for line in text.splitlines():
        current = line[:10].strip() or current
        if current == heading:
            found.append(line[11:])
    return found


def test_it_fits_on_a_screen_and_names_what_it_looked_at(tree: Path, tmp_path: Path) -> None:
    text = page([tree], tmp_path)
    assert len(text.splitlines()) < 40
    headings = [line[:10].strip() for line in text.splitlines() if line[0] != " "]
    assert headings == ["suite", "packages", "extras", "device", "disk", "datasets", "stores",
                        "results", "next"]  # fmt: skip
    assert any(line.startswith("torch 2") for line in lines_of(text, "packages"))


def test_a_dataset_is_found_below_a_folder_with_what_to_type(tree: Path, tmp_path: Path) -> None:
    text = page([tree], tmp_path)
    found = " ".join(lines_of(text, "datasets"))
    assert f"{tree / 'mine'}: 2 subjects, 2 recordings, 28 coded frames" in found
    where = f"--dataset bp4d --root {quoted(tree / 'mine')}"
    assert f"python -m bench data prepare {where}" in lines_of(text, "next")
    assert f"python -m bench run {where} --preset smoke" in lines_of(text, "next")


def test_a_dataset_is_found_where_the_variable_or_an_earlier_run_says(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = f"python -m bench run --dataset bp4d --root {quoted(tree / 'mine')}"
    ran = record("ks", dataset="bp4d", environment={"command": command})
    assert "2 recordings" in unwrapped(page([], tmp_path, [ran]))
    monkeypatch.setenv(doctor.DATA_FOLDERS, f"{tmp_path / 'nowhere'}:{tree}")
    assert "2 recordings" in unwrapped(page([], tmp_path))


def test_without_any_dataset_it_says_how_to_name_one(tmp_path: Path) -> None:
    text = page([tmp_path / "nowhere"], tmp_path)
    assert any("--root DIR, or in AU_BENCH_DATA" in line for line in lines_of(text, "next"))
    assert "python -m bench run" in text


def test_a_store_that_is_there_is_counted_and_not_asked_for(tree: Path, tmp_path: Path) -> None:
    store = tmp_path / "cache" / "bp4d-auto-224px-0123456789ab"
    store.mkdir(parents=True)
    (store / "manifest.json").write_text("{}")
    text = page([tree], tmp_path)
    assert lines_of(text, "stores") == ["1 of decoded frames, 0.0 GB: bp4d-auto-224px"]
    assert "data prepare" not in text


def test_failed_cells_come_with_the_command_that_says_why(tmp_path: Path) -> None:
    records = [record("ks"), unfinished("failed", "broken", method="tcl")]
    text = page([], tmp_path, records)
    assert lines_of(text, "results") == ["1 done, 1 failed"]
    assert any("bench status" in line for line in lines_of(text, "next"))


def test_a_package_that_is_missing_or_too_old_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\ndependencies = ["numpy>=1", "no-such-package", "pillow>=999"]\n'
        '[project.optional-dependencies]\nfast = ["numpy"]\nslow = ["no-such-package"]\n'
    )
    monkeypatch.setattr(doctor, "PROJECT", project)
    text = page([], tmp_path)
    wrong = " ".join(lines_of(text, "packages"))
    assert "WRONG: no-such-package (not installed), pillow (not >=999)" in wrong
    assert lines_of(text, "extras") == ["installed fast; not installed slow"]
    assert lines_of(text, "next")[0].startswith("python -m pip install -c constraints.txt")


def test_a_folder_that_takes_long_to_read_is_passed_over(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> list[object]:
        time.sleep(0.5)
        return []

    monkeypatch.setattr(doctor, "READ_TIMEOUT", 0.01)
    monkeypatch.setattr(doctor, "_read", slow)
    text = page([tree / "mine" / "AUCoding"], tmp_path)
    assert "slow to read, not waited for" in " ".join(lines_of(text, "datasets"))


def test_the_command_runs(tree, tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tree, monkeypatch, capsys)
    answer = person.asks("doctor", "--root", tree)
    assert (answer.code, answer.err) == (0, "")
    assert "2 recordings" in unwrapped(answer.out)
