"""Hashes of the code behind a cell's result, for its identity (used by `study/cell.py`).

What counts: the training wing, `runner/setup.py` and `runner/model_selection.py`, the method's own
file, and every module of ours that these import, however far. What does not count: wings whose
effect on a result has a hash of its own (`HASHED_OTHERWISE`), the names and places of modules, the
order of imports, comments, docstrings and layout.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from bench.system.hashing import digest

_ROOT = Path(__file__).resolve().parents[2]
_OURS = ("bench", "methods", "datasets")

ROOTS = ("bench/training", "bench/runner/setup.py", "bench/runner/model_selection.py")
"""Folders and files that decide a result; what they import is hashed with them."""

HASHED_OTHERWISE = (
    "bench/config",  # as the resolved settings
    "bench/frame_store",  # as the stored pixels and labels
    "bench/data/dataset.py",  # as the split and the label mask that it draws with ...
    "datasets/_splits",
    "datasets/_base.py",
    "bench/results",  # these describe, store and plan results, and decide none
    "bench/study",
    "bench/errors.py",
)
"""Folders and files that the loop imports and whose code is not hashed, and why."""


def code_hash(method_file: Path) -> str:
    """Hash the code behind a method's result: its file, what it shares, and the loop."""
    return digest(sorted(semantic_hash(file) for file in _behind(method_file)))


def code_files(method_file: Path) -> dict[str, str]:
    """Map the files that `code_hash` hashes, by their place in the checkout, to what they do."""
    return {_place_name(file): semantic_hash(file)[:12] for file in sorted(_behind(method_file))}


def _behind(method_file: Path) -> set[Path]:
    return import_closure([method_file, *_root_files()])


def _root_files() -> Iterator[Path]:
    for root in (_ROOT / name for name in ROOTS):
        yield from root.rglob("*.py") if root.is_dir() else [root]


def _place_name(file: Path) -> str:
    return file.relative_to(_ROOT).as_posix() if file.is_relative_to(_ROOT) else file.name


def import_closure(files: Iterable[Path]) -> set[Path]:
    """Return `files` and every module of theirs and of ours that they import, however far.

    Modules of `HASHED_OTHERWISE` are left out, with what only they import.
    """
    found: set[Path] = set()
    waiting = [file.resolve() for file in files]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += [other for other in imported_modules(file) if not _hashed_otherwise(other)]
    return found


@cache
def _hashed_otherwise(file: Path) -> bool:
    return any(file.is_relative_to(_ROOT / name) for name in HASHED_OTHERWISE)


def imported_modules(file: Path) -> set[Path]:
    """Return the modules that `file` imports: those of its own package, and those of ours."""
    named = _named_modules(file, file.read_text(encoding="utf-8"))
    return {module for module in named if module.is_file()}


@lru_cache(maxsize=1024)
def _named_modules(file: Path, text: str) -> frozenset[Path]:
    """Say where all that a source imports would lie, if it were a module."""
    places: set[Path] = set()
    for node in _parsed(text).imports:
        if isinstance(node, ast.Import):
            places |= {_place(file, alias.name, 0) for alias in node.names}
        else:
            package = _place(file, node.module or "", node.level)
            places |= {package, *(package / alias.name for alias in node.names)}
    return frozenset(place.with_suffix(".py") for place in places)


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


def semantic_hash(file: Path) -> str:
    """Hash what a source file does: comments, docstrings, layout and places of ours do not count.

    An import statement counts only by what it could change without a trace elsewhere: names of
    other projects, and new names (`as`) for ours.
    """
    return _parsed(file.read_text(encoding="utf-8")).meaning


@dataclass(frozen=True)
class _Source:
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    meaning: str


@lru_cache(maxsize=256)
def _parsed(text: str) -> _Source:
    tree = ast.parse(text)
    imports = tuple(n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
    for node in ast.walk(tree):
        for part in ("body", "orelse"):
            statements = getattr(node, part, None)
            if isinstance(statements, list):
                setattr(node, part, [item for item in statements if not _is_silent(item)])
    names = sorted({name for node in imports for name in _names(node)})
    meaning = "\n".join([*names, _spelt(tree)])
    return _Source(imports, hashlib.sha256(meaning.encode()).hexdigest())


def _spelt(part: object) -> str:
    """Spell a tree alike under every Python, without what is empty: nodes gain fields over time.

    `ast.unparse` does not: under 3.12 it puts other quotes into f-strings. Texts in f-strings are
    joined, since 3.12.1 cuts them up in a way of its own.
    """
    if isinstance(part, ast.JoinedStr):
        part = [*_joined(part.values)]
    if isinstance(part, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(part) if name != "kind"]
        told = (f"{name}={_spelt(value)}" for name, value in fields if value not in (None, []))
        return f"{type(part).__name__}({', '.join(told)})"
    if isinstance(part, list):
        return f"[{', '.join(map(_spelt, part))}]"
    return repr(part)


def _joined(values: Iterable[ast.expr]) -> Iterator[object]:
    """Yield the pieces of an f-string: its texts whole, none of them empty, and what is put in."""
    for constant, group in groupby(values, lambda value: isinstance(value, ast.Constant)):
        if not constant:
            yield from group
        elif text := "".join(
            str(piece.value) for piece in group if isinstance(piece, ast.Constant)
        ):
            yield text


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """Spell what an import statement binds, as far as it counts."""
    module = "" if isinstance(node, ast.Import) else f"{node.module}."
    ours = isinstance(node, ast.ImportFrom) and (
        node.level > 0 or str(node.module).partition(".")[0] in _OURS
    )
    for alias in node.names:
        if ours and alias.asname and alias.asname != alias.name:
            yield f"{alias.name} as {alias.asname}"
        elif not ours and alias.name.partition(".")[0] not in _OURS and module != "__future__.":
            yield f"{module}{alias.name} as {alias.asname or alias.name}"


def _is_silent(node: ast.AST) -> bool:
    """Tell whether a statement leaves no trace in what a file does by itself."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return text or typing or isinstance(node, ast.Import | ast.ImportFrom)
