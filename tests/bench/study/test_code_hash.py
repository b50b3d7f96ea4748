"""What makes two runs the same: what the code does counts, how it is written does not."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path

import pytest

from bench.study import code_hash as identity
from bench.study.code_hash import (
    HASHED_OTHERWISE,
    code_files,
    code_hash,
    import_closure,
    imported_modules,
    semantic_hash,
)
from bench.system.hashing import digest, file_digest

ROOT = Path(__file__).parents[3]

METHOD = '''"""A method."""
from ._shared import scale  # shared

LIMIT = 3

class Method:
    """Says what it is."""

    knob: int = 2
    """What it means."""

    def losses(self, batch):
        """Return the loss."""
        return scale(batch) * 2
'''
SHARED = "from . import _deep\n\ndef scale(x):\n    return _deep.DEPTH * x\n"


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "pack"
    folder.mkdir()
    texts = {
        "__init__": "",
        "mine": METHOD,
        "_shared": SHARED,
        "_deep": "DEPTH = 1\n",
        "other": "from ._shared import scale\n",
        "_unused": "A = 1\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_comments_docstrings_and_layout_do_not_count(package):
    before = code_hash(package / "mine.py")
    written_anew = METHOD.replace("Says", "Tells").replace("# shared", "# is shared")
    written_anew = written_anew.replace("LIMIT = 3", "LIMIT  =  (\n    3\n)")
    written_anew = written_anew.replace('"""Return the loss."""', "'''Other words.'''")
    assert written_anew != METHOD
    (package / "mine.py").write_text(written_anew)
    assert code_hash(package / "mine.py") == before


@pytest.mark.parametrize(
    ("old", "new"), [("* 2", "* 3"), ("LIMIT = 3", "LIMIT = 4"), ("knob: int = 2", "knob: int = 1")]
)
def test_a_changed_number_counts(package, old, new):
    before = code_hash(package / "mine.py")
    (package / "mine.py").write_text(METHOD.replace(old, new))
    assert code_hash(package / "mine.py") != before


@pytest.mark.parametrize("name", ["_shared", "_deep"])
def test_what_is_imported_counts_however_far(package, name):
    before = code_hash(package / "mine.py")
    file = package / f"{name}.py"
    file.write_text(file.read_text() + "MORE = 1\n")
    assert code_hash(package / "mine.py") != before


@pytest.mark.parametrize("name", ["other", "_unused", "__init__"])
def test_what_is_not_imported_does_not_count(package, name):
    before = code_hash(package / "mine.py")
    (package / f"{name}.py").write_text("B = 2\n")
    assert code_hash(package / "mine.py") == before


@pytest.mark.parametrize(
    "line",
    [
        "from methods._losses import AuLoss",
        "from methods import _losses",
        "import methods._losses",
        "def late():\n    from methods._losses import AuLoss",
    ],
)
def test_a_plugin_is_hashed_with_what_it_imports_of_ours(tmp_path, line):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(f"import torch.nn.functional as F\nimport numpy\n{line}\n")
    assert imported_modules(plugin) == {ROOT / "methods" / "_losses.py"}
    assert ROOT / "methods" / "_base.py" in import_closure([plugin])


def test_a_package_elsewhere_is_hashed_with_its_own_modules(package):
    (package / "mine.py").write_text("from pack._deep import DEPTH\nimport pack.other\n")
    found = {file.name for file in import_closure([package / "mine.py"])}
    assert found == {"mine.py", "_deep.py", "other.py", "_shared.py"}


def behind(name):
    return set(code_files(ROOT / "methods" / f"{name}.py"))


def test_methods_share_what_they_share_and_no_more():
    of_ks, of_supervised = behind("ks"), behind("supervised")
    assert of_ks - of_supervised == {"methods/ks.py", "methods/_ks.py", "methods/_layers.py"}
    assert of_supervised - of_ks == {"methods/supervised.py", "methods/_nets.py"}
    assert {"methods/_losses.py", "bench/training/trainer.py"} <= of_supervised


def ours(module):
    """Modules of ours that a loaded module's names come from: another way to find imports."""
    homes = [getattr(value, "__module__", None) or value.__name__ for value in named(module)]
    packages = ("bench", "methods", "datasets")
    return {h for h in homes if h.split(".")[0] in packages and h != module.__name__}


def named(module):
    return [v for v in vars(module).values() if isinstance(v, type) or hasattr(v, "__name__")]


def test_all_that_the_loop_imports_is_hashed_or_left_out_on_purpose():
    hashed = {ROOT / name for name in behind("supervised")}
    assert {"trainer.py", "loader.py", "sampler.py", "augment.py", "evaluate.py", "setup.py"} <= {
        file.name for file in hashed
    }
    left_out = [ROOT / name for name in HASHED_OTHERWISE]
    assert all(place.exists() for place in left_out)
    for file in hashed:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for used in ours(importlib.import_module(name)):
            home = ROOT.joinpath(*used.split(".")).with_suffix(".py")
            elsewhere = any(home.is_relative_to(place) for place in left_out)
            assert home in hashed or elsewhere, f"{name} uses {used}"


MOVES = {
    "methods/_nets.py": ("_nets", "_networks"),
    "bench/training/augment_ops.py": ("augment_ops", "operations"),
    "bench/system/seeds.py": ("seeds", "streams"),
}


@pytest.mark.parametrize("moved", MOVES)
def test_a_module_that_moves_or_is_renamed_changes_no_identity(moved, tmp_path, monkeypatch):
    old, new = MOVES[moved]
    for package in ("bench", "methods", "datasets"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    monkeypatch.setattr(identity, "_ROOT", tmp_path)
    before = code_hash(tmp_path / "methods" / "fixmatch.py")
    files = set(code_files(tmp_path / "methods" / "fixmatch.py"))
    assert moved in files
    home = (tmp_path / moved).rename((tmp_path / moved).with_name(f"{new}.py"))
    for file in tmp_path.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        text = re.sub(rf"(from \S*\.){old} import", rf"\g<1>{new} import", text)
        file.write_text(text, encoding="utf-8")
    after = set(code_files(tmp_path / "methods" / "fixmatch.py"))
    assert after - files == {home.relative_to(tmp_path).as_posix()}
    assert code_hash(tmp_path / "methods" / "fixmatch.py") == before


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("import a\nimport b\n", "import b\nimport a\n", True),
        ("from a import b\n", "from a import c as b\n", False),
        ("from ._near import b\n", "from ._far import b\n", True),
        ("from ._near import b\n", "from ._near import c as b\n", False),
        ("X = 1\n", "from typing import TYPE_CHECKING\nX = 1\n", False),
        ("def f():\n    from a import b\n", "from a import b\ndef f():\n    pass\n", False),
    ],
)
def test_an_import_counts_by_what_it_may_change(one, other, same, tmp_path):
    for name, text in (("one", one), ("other", other)):
        (tmp_path / f"{name}.py").write_text(text)
    hashes = {semantic_hash(tmp_path / f"{name}.py") for name in ("one", "other")}
    assert (len(hashes) == 1) == same


def test_every_python_gives_the_same_hash(tmp_path):
    """Found equal under CPython 3.11 to 3.14; `ast.unparse` of 3.12 writes this f-string otherwise.

    A grid that moves to a machine with another Python goes on instead of beginning anew.
    """
    file = tmp_path / "said.py"
    file.write_text(
        "def said(x, /, *names, sep=', ', **more) -> str:\n"
        "    return f\"{x!r:>{len(names)}} is none of {', '.join(names)}{{}}\" '.' + u'!' * -1\n"
    )
    assert semantic_hash(file).startswith("941c29a7e94230c1")


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys():
    assert digest({"a": 1, "b": (1, 2)}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_every_module_of_ours_can_be_hashed():
    for file in [*ROOT.glob("bench/**/*.py"), *ROOT.glob("methods/*.py")]:
        assert len(semantic_hash(file)) == 64
