"""A person at the command line: types a command in this process, reads what comes out."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cli.app import main

SMALL = (
    "--preset smoke --folds 0 --workers 1 --device cpu "
    "--set train.steps=3 --set train.batch_size=4 --set data.size=32"
)
"""A grid whose cells take a fraction of a second."""


def quoted(path: Path) -> str:
    """Spell a path as a person types it: in quotes if it has blanks."""
    return shlex.quote(str(path))


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence that a wrong command ends with; nothing like a traceback beside it."""
        doing = ("decoding frames", "predicting frames", "looking for faces", "drawing frames")
        progress = ("note: ", *(f"{what}: " for what in doing))
        lines = [line for line in self.err.splitlines() if not line.startswith(progress)]
        assert self.code != 0
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


class Person:
    def __init__(
        self,
        folder: Path,
        cache: Path,
        root: Path,
        patch: pytest.MonkeyPatch,
        captured: pytest.CaptureFixture[str],
    ):
        self.results = folder / "results"
        self.cache, self.root = cache, root
        self.patch, self.captured = patch, captured

    def types(self, line: str, *more: object) -> Answer:
        """Type `python -m bench LINE MORE...`."""
        words = [*shlex.split(line), *map(str, more)]
        self.patch.setattr(sys, "argv", ["bench", *words])
        self.captured.readouterr()
        try:
            main()
            code: object = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        assert isinstance(code, int)
        out, err = self.captured.readouterr()
        return Answer(code, out, err)

    def runs(self, line: str = "--methods supervised --ratios 0.2", *more: object) -> Answer:
        """Type a small `run` on the BP4D tree."""
        where = ("--root", self.root, "--results", self.results, "--cache", self.cache)
        return self.types(f"run --dataset bp4d {SMALL} {line}", *where, *more)

    def asks(self, line: str, *more: object) -> Answer:
        """Type a command that reads the records."""
        return self.types(line, *more, "--results", self.results)

    def records(self) -> dict[str, bytes]:
        """What is on disk: cell id -> the record's bytes."""
        files = self.results.glob("runs/*/record.json")
        return {file.parent.name: file.read_bytes() for file in files}

    def folders(self) -> Sequence[str]:
        return sorted(folder.name for folder in (self.results / "runs").iterdir())
