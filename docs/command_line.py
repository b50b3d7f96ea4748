"""Writes `docs/command-line.md` from the commands' own help, or checks it (`--check`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from typer.testing import CliRunner

from bench.cli.app import COMMANDS, make_app

PAGE = Path(__file__).with_name("command-line.md")
ROOT = PAGE.parent.parent


def commands() -> Iterator[str]:
    """Yield every command as it is typed, those of a group one by one; first the program itself."""
    yield ""
    for name in COMMANDS:
        module = import_module(f"bench.cli.{name}")
        if hasattr(module, "app"):
            for command in module.app.registered_commands:
                yield f"{name} {command.name or command.callback.__name__}"
        else:
            yield name


def page() -> str:
    """Return the page's text."""
    parts = ["# Command line", "Made by `make docs` from the commands' own `--help`.", ""]
    for command in commands():
        title = f"python -m bench {command}".rstrip()
        parts += [f"## `{title}`", "", "```text", _help(command.split()), "```", ""]
    return "\n".join(parts)


def _help(words: list[str]) -> str:
    plain = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    told = plain.invoke(make_app(), [*words, "--help"], prog_name="python -m bench")
    if told.exit_code:
        sys.exit(f"{' '.join(words)} --help fails: {told.output}")
    return "\n".join(line.rstrip() for line in told.output.strip().splitlines())


def write_or_check(page: Path, text: str) -> None:
    """Write a page, or with `--check` end with an error if it is not what would be written."""
    if "--check" not in sys.argv:
        page.write_text(text, encoding="utf-8")
    elif not page.is_file() or page.read_text(encoding="utf-8") != text:
        sys.exit(f"{page.relative_to(ROOT)} is out of step with the code: run `make docs`")


if __name__ == "__main__":
    write_or_check(PAGE, page())
