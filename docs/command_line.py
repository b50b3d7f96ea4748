"""Writes `docs/command-line.md` from the commands' own help, or checks it (`--check`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("command-line.md")
ROOT = PAGE.parent.parent
COMMANDS = (
    "",
    "run",
    "status",
    "table",
    "plot",
    "list",
    "check",
    "explain",
    "diff",
    "doctor",
    "data prepare",
    "data audit",
    "data stats",
)


def page() -> str:
    """Return the page's text."""
    parts = ["# Command line", "Made by `make docs` from the commands' own `--help`.", ""]
    for command in COMMANDS:
        title = f"python -m bench {command}".rstrip()
        parts += [f"## `{title}`", "", "```text", _help(command.split()), "```", ""]
    return "\n".join(parts)


def _help(words: list[str]) -> str:
    environment = {**os.environ, "COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def main() -> None:
    """Write the page, or check that it is what would be written."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.relative_to(ROOT)} is out of step with the commands: run `make docs`")


if __name__ == "__main__":
    main()
