"""Writes `docs/code-map.md` from the first lines of the modules, or checks it (`--check`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from command_line import write_or_check

PAGE = Path(__file__).with_name("code-map.md")
ROOT = PAGE.parent.parent
PACKAGES = ("bench", "methods", "datasets")

INTRODUCTION = """\
# Code map

Made by `make docs` from the first lines of the modules. Wings of `bench` stand in the order
in which they may import: each only from those above it. `datasets` imports nothing of ours and no
torch, `methods` imports torch and its own `_` modules, nobody imports `bench`, and no method or
dataset imports another. `tests/test_house.py` holds all of it, as a table.
"""

WINGS = (
    "errors",
    "system",
    "config",
    "frame_store",
    "results",
    "metrics",
    "data",
    "study",
    "training",
    "report",
    "tables",
    "plots",
    "page",
    "runner",
    "executors",
    "tuning",
    "conformance",
    "inference",
    "doctor",
    "cli",
)
"""The order of `bench`, as the import test has it, and within `report` that of its rooms."""


def page() -> str:
    """Return the page's text."""
    parts = [INTRODUCTION]
    for package in PACKAGES:
        parts += [f"## {package}/", "", _first_paragraph(ROOT / package / "__init__.py"), ""]
        parts += [*_lines(_modules(ROOT / package)), ""]
        for folder in _folders(ROOT / package):
            parts += _wing(folder, "###")
            for room in _folders(folder):
                parts += _wing(room, "####")
    return "\n".join(parts).rstrip() + "\n"


def _wing(folder: Path, sign: str) -> list[str]:
    title = f"{sign} {folder.relative_to(ROOT).as_posix()}/"
    return [title, "", _first_paragraph(folder / "__init__.py"), "", *_lines(_modules(folder)), ""]


def _modules(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.py") if file.name != "__init__.py")


def _folders(package: Path) -> list[Path]:
    folders = [path.parent for path in package.glob("*/__init__.py")]
    order = {name: place for place, name in enumerate(WINGS)}
    return sorted(folders, key=lambda folder: (order.get(folder.name, 99), folder.name))


def _lines(files: list[Path]) -> Iterator[str]:
    for file in files:
        place = f"../{file.relative_to(ROOT).as_posix()}"
        yield f"- [`{file.name}`]({place}): {_first_paragraph(file)}"


def _first_paragraph(file: Path) -> str:
    """Return the first paragraph of a module's docstring, as one line."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


if __name__ == "__main__":
    write_or_check(PAGE, page())
