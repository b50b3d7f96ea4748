"""What makes two cells the same: hashes of data, split, mask, knobs and code."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_BENCH = Path(__file__).parent

LOOP = ("train", "loader", "sampler", "augment", "evaluate", "metrics", "seeds")
"""Modules of this package that decide a result; what they import of it is hashed with them."""

_ELSEWHERE = {"settings", "config", "records", "frames"}
"""Imported by the loop, but hashed as values (knobs, pixels) or no part of a result."""


def digest(value: Any) -> str:
    """Hash a JSON-able value, independent of the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_hash(method_file: Path) -> str:
    """Hash the code behind a method's result: its file, what it shares, and the loop."""
    files = {*closure([method_file]), *closure(_BENCH / f"{name}.py" for name in LOOP)}
    return digest(sorted((file.name, meaning(file)) for file in files))


def closure(files: Iterable[Path]) -> set[Path]:
    """Return `files` and every module of their own packages that they import, however far."""
    found: set[Path] = set()
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _neighbours(file)
    return found


def _neighbours(file: Path) -> list[Path]:
    """Return the modules beside `file` that it imports, relatively or by its package's name."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    package = file.parent.name
    names: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        if node.level == 1 or module.split(".")[0] == package:
            stem = module.removeprefix(package).lstrip(".") if node.level == 0 else module
            names |= {stem.split(".")[0]} if stem else {alias.name for alias in node.names}
    beside = [file.with_name(f"{name}.py") for name in names - _ELSEWHERE]
    return [path for path in beside if path.is_file()]


def meaning(file: Path) -> str:
    """Hash what a source file does: comments, docstrings and layout do not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
