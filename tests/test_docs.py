"""Docs in step with the code: commands, methods, links."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
HEADINGS = ["Overview", "Usage", "Metrics logged", "Differences from the paper", "Results"]
METHODS = sorted(f.stem for f in (ROOT / "methods").glob("*.py") if not f.name.startswith("_"))

LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def text(page):
    return page.read_text(encoding="utf-8")


def prose(page):
    """A page without its blocks of code, in which brackets are no links."""
    return FENCE.sub("", text(page))


def anchors(page):
    """The anchors of a page's headings, as the usual viewers make them."""
    titles = re.findall(r"^#+ +(.*?) *$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_command_is_on_the_command_lines_page():
    page = text(DOCS / "command-line.md")
    for command in COMMANDS:
        assert re.search(rf"^## `python -m bench {command}\b", page, re.MULTILINE), command


def test_the_command_lines_page_is_what_the_commands_say():
    command = [sys.executable, str(DOCS / "command_line.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_page_with_the_fixed_headings(method):
    page = DOCS / "methods" / f"{method}.md"
    assert page.is_file(), f"docs/methods/{method}.md is missing"
    assert re.findall(r"^## (.*?) *$", prose(page), re.MULTILINE) == HEADINGS
    usage = text(page).partition("## Usage")[2].partition("\n## ")[0]
    assert re.search(rf"--methods \S*\b{method}\b", usage), "its usage does not run it"


def test_no_page_is_left_of_a_method_that_is_gone():
    assert {page.stem for page in (DOCS / "methods").glob("*.md")} <= {*METHODS, "README"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    links = [link for link in LINK.findall(prose(page)) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leaves the project"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_holds_two_sides_of_a_merge(page):
    signs = ("<<<<<<<", "=======", ">>>>>>>")
    assert not [line for line in text(page).splitlines() if line.startswith(signs)]


def test_the_link_finder_finds_links():
    line = "see [a](b.md), ![c](<d/e.png> 'title') and [f](g.md#h)"
    assert LINK.findall(line) == ["b.md", "d/e.png", "g.md#h"]


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "gpu-check", "nightly"])
def test_make_calls_pythons_of_the_environment_alone(target):
    """make fills variables of its own, `AS` say, with the names of compilers."""
    alone = {"PATH": os.environ["PATH"]}  # without the variables of a make around this test
    told = ["make", "--dry-run", "--always-make", f"--directory={ROOT}", target]
    done = subprocess.run(told, env=alone, capture_output=True, text=True, check=True)
    commands = [line for line in done.stdout.splitlines() if not line.startswith("make: ")]
    programs = {re.sub(r"^(\w+=\S* )*", "", line).split()[0] for line in commands}
    ours = re.compile(r"\.venv/bin/(python|ruff|mypy)|python3|touch")
    assert [name for name in programs if not ours.fullmatch(name)] == []
