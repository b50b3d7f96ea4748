"""The environment that a record tells: whose commit it is, and whether it is the code that ran."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.system import environment


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository that keeps a copy of the module's file, and takes its place."""
    home = tmp_path / "suite"
    file = home / "bench" / "system" / "environment.py"
    file.parent.mkdir(parents=True)
    (home / "methods").mkdir()
    file.write_text("")
    git(home, "init", "-q")
    git(home, "add", ".")
    git(home, "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
    monkeypatch.setattr(environment, "__file__", str(file))
    environment.commit.cache_clear()
    yield home
    environment.commit.cache_clear()


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_is_told_whole(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert len(head) == 40
    assert environment.commit() == head
    (checkout / "results").mkdir()
    (checkout / "results" / "record.json").write_text("{}")
    environment.commit.cache_clear()
    assert environment.commit() == head


@pytest.mark.parametrize("where", ["bench/system/environment.py", "methods/mine.py"])
def test_code_that_differs_from_it_or_is_new_is_marked(checkout: Path, where: str) -> None:
    (checkout / where).write_text("x = 1\n")
    assert environment.commit() == git(checkout, "rev-parse", "HEAD") + "+"


def test_a_repository_that_does_not_keep_the_suite_has_no_say(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv" / "bench" / "environment.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    monkeypatch.setattr(environment, "__file__", str(installed))
    assert environment.commit() is None


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert environment.commit() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux forgets a peak")
def test_a_peak_is_of_what_came_after_it_was_forgotten() -> None:
    """A cell's peak is not that of a larger one before it, though freed memory is kept."""
    cpu = torch.device("cpu")
    environment.keep_freed_memory()
    environment.forget_peak_memory(cpu)
    before = environment.peak_memory_mib(cpu)
    block = torch.ones(50, 2**20)  # 200 MiB
    del block
    large = environment.peak_memory_mib(cpu)
    assert large > before + 150
    environment.forget_peak_memory(cpu)
    assert environment.peak_memory_mib(cpu) < large - 150
