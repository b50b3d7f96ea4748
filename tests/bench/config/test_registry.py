"""Finding methods: files, entry points, plugins; a broken one stops only itself."""

from __future__ import annotations

import pickle
from importlib.metadata import EntryPoint

import pytest

from bench.config import registry
from bench.config.registry import Registry
from bench.errors import UsageError
from methods._base import Method

PLUGIN = """
from methods._base import Method
class {name}(Method):
    '''A method.'''
"""


@pytest.fixture
def plugin(tmp_path):
    def write(name, text=None):
        file = tmp_path / f"{name}.py"
        file.write_text(PLUGIN.format(name=name.title()) if text is None else text)
        return file

    return write


def refusal(call):
    with pytest.raises(UsageError) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_file_is_a_method_unless_it_starts_with_an_underscore():
    found = Registry().methods()
    assert {"supervised", "pseudo_label", "fixmatch"} <= found.keys()
    assert not any(name.startswith("_") for name in found)
    assert {"bp4d", "synthetic"} <= Registry().datasets().keys()
    assert Registry().method("supervised").__module__ == "methods.supervised"


def test_an_unknown_name_is_refused_with_the_closest():
    assert "did you mean fixmatch?" in refusal(lambda: Registry().method("fixmach"))
    assert "did you mean bp4d?" in refusal(lambda: Registry().dataset("bp4"))


def test_a_plugin_file_is_a_method_by_its_file_name(plugin):
    file = plugin("mine")
    cls = Registry((file, file)).method("mine")
    assert issubclass(cls, Method)
    assert cls.__name__ == "Mine"
    assert Registry((file,)).method("mine") is cls


def test_two_plugins_of_one_name_in_turn_are_not_mixed_up(plugin, tmp_path):
    first = Registry((plugin("twin"),)).method("twin")
    other = tmp_path / "elsewhere" / "twin.py"
    other.parent.mkdir()
    other.write_text(PLUGIN.format(name="Other"))
    assert Registry((other,)).method("twin").__name__ == "Other"
    assert first.__name__ == "Twin"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def f(:", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_plugin_stops_only_itself(plugin, text, why):
    file = plugin("broken", text)
    known = Registry((file,))
    assert known.method("supervised")
    assert refusal(lambda: known.method("broken")).startswith(f"{file} cannot be imported: {why}")
    # a second look says the same: nothing half-imported is left behind
    assert why in refusal(lambda: known.method("broken"))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from methods.supervised import Supervised", 0),
        (PLUGIN.format(name="One") + PLUGIN.format(name="Two"), 2),
    ],
)
def test_a_plugin_defines_exactly_one_method(plugin, text, count):
    file = plugin("several", text)
    sentence = refusal(lambda: Registry((file,)).method("several"))
    assert sentence == (
        f"{file} defines {count} classes deriving from Method: it must define exactly one"
    )


def test_a_duplicate_name_is_an_error_naming_both_files(plugin):
    file = plugin("supervised")
    sentence = refusal(Registry((file,)).methods)
    assert sentence.startswith("two methods are called 'supervised': methods.supervised and ")
    assert str(file) in sentence


def test_a_plugin_file_must_be_there_and_be_python(plugin, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("")
    for path in (tmp_path / "missing.py", tmp_path, text):
        assert refusal(Registry((path,)).methods) == (
            f"--plugin {path}: there is no such Python file"
        )
    assert Registry((text,)).datasets()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install a package `vendor` that offers two methods and a broken one by entry points."""
    package = tmp_path / "vendor_of_methods"
    package.mkdir()
    (package / "__init__.py").write_text("from .core import First, Second\n")
    (package / "core.py").write_text(PLUGIN.format(name="First") + PLUGIN.format(name="Second"))
    (package / "broken.py").write_text("import no_such_library")
    (package / "alone.py").write_text(PLUGIN.format(name="Alone"))
    monkeypatch.syspath_prepend(tmp_path)
    points = {
        "second": "vendor_of_methods:Second",
        "alone": "vendor_of_methods.alone",
        "bad": "vendor_of_methods.broken",
        "absent": "vendor_of_methods:Absent",
    }

    def entry_points(group):
        wanted = group == "au_ssl_bench.methods"
        return [EntryPoint(k, v, group) for k, v in points.items()] if wanted else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    return points


def test_an_installed_package_offers_methods_by_entry_points(installed):
    known = Registry()
    assert known.method("second").__name__ == "Second"
    assert known.method("alone").__name__ == "Alone"
    assert known.method("supervised")
    assert "synthetic" in known.datasets()


def test_a_broken_entry_point_stops_only_itself(installed):
    assert "No module named 'no_such_library'" in refusal(lambda: Registry().method("bad"))
    assert "defines 0 classes" in refusal(lambda: Registry().method("absent"))


def test_an_entry_point_may_not_take_the_name_of_another_method(installed):
    installed["supervised"] = "vendor_of_methods.alone"
    assert "two methods are called 'supervised'" in refusal(Registry().methods)


def test_the_installed_packages_are_looked_through_once(installed, monkeypatch):
    looks, look = [], registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda group: looks.append(group) or look(group))
    known = Registry()
    for name in ("supervised", "second", "supervised"):
        known.method(name)
    known.dataset("synthetic")
    assert sorted(looks) == ["au_ssl_bench.datasets", "au_ssl_bench.methods"]


def test_a_registry_travels_and_is_the_same_by_its_plugins(plugin):
    first, second = Registry((plugin("mine"),)), Registry((plugin("mine"),))
    first.methods()
    assert first == second
    assert hash(first) == hash(second)
    assert pickle.loads(pickle.dumps(first)).methods() == second.methods()
