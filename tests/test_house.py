"""The house: who may import whom, and how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("bench", "methods", "datasets")
FILES = sorted(file for package in OURS for file in (ROOT / package).rglob("*.py"))
LONGEST_FUNCTION, LONGEST_MODULE = 45, 320


def name(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def tree(file):
    return ast.parse(file.read_text(encoding="utf-8"))


def imports(file):
    """Absolute names that a file imports, at the top or anywhere; `from . import` resolved."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                home = ".".join(file.relative_to(ROOT).parts[: -node.level])
                base = f"{home}.{base}".rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)


def within(imported, package):
    return imported == package or imported.startswith(f"{package}.")


def allowed(home, imported):
    """Whether a module of wing `home` may import this name of ours; others' are nobody's matter."""
    package, *rest = imported.split(".")
    if package == "bench":
        return not rest or rest[0] in {home, *WINGS.get(home, "").split()}
    if package in ("methods", "datasets"):
        return any(within(imported, contract) for contract in CONTRACTS.get(home, "").split())
    return True


WINGS = {
    # wing of bench: the wings it may import beside itself
    "errors": "",
    "system": "errors",
    "config": "errors system",
    "frame_store": "errors system",
    "results": "errors system config",
    "metrics": "results",
    "data": "errors system config frame_store results metrics",
    "study": "errors system config frame_store results metrics data",
    "training": "errors system config frame_store results metrics data",
    "report": "errors system config results metrics data",
    "runner": "errors system config frame_store results metrics data study training",
    "executors": "errors system config results data study runner",
    "tuning": "errors system config results data study",
    "conformance": "errors system config frame_store metrics data study training runner",
    "inference": (
        "errors system config frame_store results metrics data study training report runner"
    ),
    "doctor": "errors system config results",
    "cli": (
        "errors system config results data study report runner executors tuning conformance "
        "inference doctor"
    ),
    "__main__": "cli",
}
CONTRACTS = {
    # wing: what it may import of the other two packages
    "config": "methods methods._base datasets datasets._base",
    "frame_store": "datasets._base datasets._landmarks",
    "data": "datasets._base datasets._landmarks datasets._splits",
    "study": "methods._base methods._trunks datasets._splits",
    "training": "methods._base methods._trunks datasets._base datasets._landmarks",
    "runner": (
        "methods._base methods._losses methods._nets methods._packaged_weights "
        "methods._published_weights methods._trunks datasets._base datasets._landmarks "
        "datasets._splits"
    ),
    "inference": "methods._base datasets._base datasets._files datasets._landmarks",
    "tuning": "methods._base",
    "conformance": "methods._base methods._trunks datasets._base",
    "doctor": "datasets._base",
    "cli": "datasets._base",
}


def wing(place):
    """The wing of `bench` that a module, by its parts, belongs to."""
    return place[1] if len(place) > 1 else "bench"


def test_the_table_of_wings_is_in_order_and_complete():
    order = list(WINGS)
    for place, (name_, allowed) in enumerate(WINGS.items()):
        assert set(allowed.split()) <= set(order[:place]), f"{name_} may import what comes after it"
    files = (file.relative_to(ROOT / "bench").parts for file in (ROOT / "bench").rglob("*.py"))
    assert {parts[0].removesuffix(".py") for parts in files} == {*WINGS, "__init__"}


@pytest.mark.parametrize("file", FILES, ids=name)
class TestEveryModule:
    def test_imports_run_one_way(self, file):
        package = file.relative_to(ROOT).parts[0]
        forbidden = {
            "datasets": ("bench", "methods", "torch", "torchvision", "timm"),
            "methods": ("bench", "datasets"),
            "bench": (),
        }[package]
        wrong = [i for i in imports(file) if any(within(i, package) for package in forbidden)]
        assert wrong == []
        if package == "bench":
            assert [i for i in imports(file) if not allowed(wing(name(file).split(".")), i)] == []

    def test_no_relative_import_leaves_its_package(self, file):
        levels = [n.level for n in ast.walk(tree(file)) if isinstance(n, ast.ImportFrom)]
        assert max(levels, default=0) <= 1

    def test_nothing_is_longer_than_it_should_be(self, file):
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        functions = [node for node in ast.walk(tree(file)) if isinstance(node, kinds)]
        # a command's signature is the list of its options, and as long as that
        command = file.parent.name == "cli"
        lengths = {
            node.name: node.end_lineno + 1 - (node.body[0] if command else node).lineno
            for node in functions
        }
        assert {n: count for n, count in lengths.items() if count > LONGEST_FUNCTION} == {}
        assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_rooms_of_the_report_are_entered_one_way():
    """Shared numbers, then tables, then figures, then the page that shows both."""
    rooms = ["", "tables", "plots", "page"]
    home = ROOT / "bench" / "report"
    for file in home.rglob("*.py"):
        inner = [i.split(".")[2] for i in imports(file) if within(i, "bench.report")]
        after = rooms[rooms.index(file.parent.relative_to(home).as_posix().strip(".")) + 1 :]
        assert [room for room in inner if room in after] == [], name(file)
    assert {folder.parent.name for folder in home.glob("*/__init__.py")} == set(rooms[1:])


@pytest.mark.parametrize("package", ["methods", "datasets"])
def test_no_method_and_no_dataset_imports_another(package):
    public = [f for f in (ROOT / package).glob("*.py") if not f.name.startswith("_")]
    assert len(public) >= 2
    names = {name(file) for file in public}
    for file in (ROOT / package).glob("*.py"):
        wrong = [i for i in imports(file) if any(within(i, n) for n in names - {name(file)})]
        assert wrong == [], f"{name(file)} imports a concrete one"


def test_the_checks_above_see_imports_of_every_form(tmp_path, monkeypatch):
    file = tmp_path / "methods" / "mine.py"
    file.parent.mkdir()
    file.write_text(
        "import bench.train as t\nfrom bench import study\nfrom . import _nets\n"
        "from ._losses import AuLoss\ndef late():\n    from torch import nn\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert set(imports(file)) == {
        "bench.train",
        "bench.study",
        "methods._nets",
        "methods._losses.AuLoss",
        "torch.nn",
    }


def test_packages_hold_no_logic():
    """Nothing but a docstring; `bench` itself looks whether the other two packages are there."""
    for file in (f for f in FILES if f.name == "__init__.py" and f.parent.name != "bench"):
        assert [type(node) for node in tree(file).body] == [ast.Expr], file
        assert ast.get_docstring(tree(file)), file


def test_no_test_imports_a_test_module_and_names_stay_short():
    for file in (ROOT / "tests").rglob("*.py"):
        assert not [i for i in imports(file) if i.rpartition(".test_")[1]], file
        functions = [n for n in ast.walk(tree(file)) if isinstance(n, ast.FunctionDef)]
        assert [n.name for n in functions if n.name.startswith("test_") and len(n.name) >= 70] == []


def loaded(script):
    command = [sys.executable, "-c", f"{script}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_command_line_is_there_before_torch_is():
    script = (
        "from bench.cli.app import make_app\nimport typer.main\ntyper.main.get_command(make_app())"
    )
    modules = loaded(script)
    assert {"bench.cli.run", "bench.cli.table", "bench.cli.data"} <= modules
    assert not modules & {"torch", "timm", "torchvision", "numpy", "pandas", "methods._base"}


def test_records_become_tables_and_pages_without_torch():
    ends = ("tables.kinds", "plots.kinds", "page.build")
    modules = loaded("import " + ", ".join(f"bench.report.{end}" for end in ends))
    assert not modules & {"torch", "timm", "torchvision", "methods._base"}


def test_datasets_are_read_without_torch():
    modules = loaded("import datasets.bp4d, datasets.synthetic")
    assert not modules & {"torch", "bench", "methods"}


def test_the_suite_says_so_when_it_is_not_whole(tmp_path):
    (tmp_path / "bench").mkdir()
    source = (ROOT / "bench" / "__init__.py").read_text(encoding="utf-8")
    (tmp_path / "bench" / "__init__.py").write_text(source)
    command = [sys.executable, "-c", "import bench"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the folder methods/ does not lie beside bench/" in done.stderr
    assert "clone the whole project and run `python -m bench` from its root" in done.stderr
