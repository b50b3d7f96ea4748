"""What makes two cells the same: hashes of data, split, mask, knobs and code."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_BENCH = Path(__file__).parent
_ROOT = _BENCH.parent
_OURS = ("bench", "methods", "datasets")

LOOP = ("assembly", "train", "evaluate", "selection", "seeds")
"""Modules of this package that decide a result; what they import of ours is hashed with them."""

ELSEWHERE = {
    "bench/settings.py",  # hashed as the knobs it makes
    "bench/data.py",  # as the split and the mask that it draws with ...
    "datasets/_split.py",
    "datasets/_folds.py",
    "datasets/_masks.py",
    "bench/frames.py",  # as the stored pixels and labels
    "datasets/_base.py",  # no part of a result, like all that follow
    "bench/config.py",
    "bench/records.py",
    "bench/registry.py",
    "bench/study.py",
}
"""Imported by the loop and not hashed as code."""


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
    return digest(sorted((file.name, meaning(file)) for file in _behind(method_file)))


def code_files(method_file: Path) -> dict[str, str]:
    """Map the files that `code_hash` hashes, by their place in the checkout, to what they do."""
    return {_place_name(file): meaning(file)[:12] for file in sorted(_behind(method_file))}


def _behind(method_file: Path) -> set[Path]:
    return {*closure([method_file]), *closure(_BENCH / f"{name}.py" for name in LOOP)}


def _place_name(file: Path) -> str:
    return file.relative_to(_ROOT).as_posix() if file.is_relative_to(_ROOT) else file.name


def closure(files: Iterable[Path]) -> set[Path]:
    """Return `files` and every module of theirs and of ours that they import, however far."""
    found: set[Path] = set()
    excluded = {_ROOT / name for name in ELSEWHERE}
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += imported(file) - excluded
    return found


def imported(file: Path) -> set[Path]:
    """Return the modules that `file` imports: those of its own package, and those of ours."""
    places: set[Path] = set()
    for node in _parsed(file.read_text(encoding="utf-8")).imports:
        if isinstance(node, ast.Import):
            places |= {_place(file, alias.name, 0) for alias in node.names}
        else:
            package = _place(file, node.module or "", node.level)
            places |= {package, *(package / alias.name for alias in node.names)}
    modules = {place.with_suffix(".py") for place in places}
    return {module for module in modules if module.is_file()}


def _place(file: Path, module: str, level: int) -> Path:
    """Say where a module that `file` imports would lie, without `.py`, if it is its own or ours."""
    first, *rest = module.split(".")
    top = file.parents[max(0, level - 1)]
    if level:
        return top.joinpath(first, *rest)
    while (top / "__init__.py").is_file() and top.name != first:
        top = top.parent
    own = top.name == first and first not in _OURS
    return (top.parent if own else _ROOT).joinpath(first, *rest)


def meaning(file: Path) -> str:
    """Hash what a source file does: comments, docstrings and layout do not count."""
    return _parsed(file.read_text(encoding="utf-8")).meaning


@dataclass(frozen=True)
class _Source:
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    meaning: str


@lru_cache(maxsize=256)
def _parsed(text: str) -> _Source:
    tree = ast.parse(text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return _Source(tuple(imports), hashlib.sha256(ast.unparse(tree).encode()).hexdigest())


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
