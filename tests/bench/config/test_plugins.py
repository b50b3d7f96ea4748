"""Plugin files and entry points from the command line: methods, datasets, broken ones."""

from __future__ import annotations

import copy
from importlib.metadata import EntryPoint

import pytest

from bench.config import registry
from bench.config.registry import Registry
from bench.frame_store.store import open_store
from tests.helpers.broken_methods import GOOD, MISTAKES
from tests.helpers.cli_driver import Person

DATASET = """
from datasets._base import Dataset, FoldList
class Faces(Dataset):
    '''No face at all.'''
    aus, fps, needs_root = (1,), 25.0, False
    def sequences(self):
        return []
    def folds(self):
        return FoldList("none", (), "0")
"""

SOURCE = """
from dataclasses import dataclass
import numpy as np
from datasets._base import Dataset, FoldList, Sequence

@dataclass(frozen=True)
class Grey:
    level: int
    def __len__(self):
        return 4
    def fingerprint(self):
        return f"grey {self.level}"
    def size(self):
        return 40, 40
    def read(self, min_side=None):
        yield from np.full((4, 40, 40, 3), self.level, np.uint8)

class Greys(Dataset):
    '''Three subjects without a face.'''
    aus, fps, needs_root = (1, 2), 25.0, False
    def sequences(self):
        labels = np.array([[0, 1], [1, 0]] * 2, np.int8)
        return [
            Sequence(subject=s, task="T1", frames=np.arange(4), labels=labels, source=Grey(ord(s)))
            for s in "ABC"
        ]
    def folds(self):
        return FoldList("greys", (("A",), ("B", "C")), "0")
"""

DRY = (
    "run --dry-run --preset smoke --ratios 0.5 --workers 1 --set data.size=32 "
    "--set synthetic.subjects=4 --set synthetic.tasks=T1 --set synthetic.frames=10"
)


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Person(tmp_path, tmp_path, tmp_path, monkeypatch, capsys)


@pytest.fixture
def plugin(tmp_path):
    def write(name, text):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return file

    return write


def test_a_plugin_files_kind_is_known_without_importing_it(plugin):
    marked = "raise SystemExit('imported')\n"
    files = (plugin("faces", marked + DATASET), plugin("small", marked + GOOD))
    known = Registry(files)
    assert "faces" in known.datasets()
    assert "faces" not in known.methods()
    assert "small" in known.methods()
    assert "small" not in known.datasets()


def test_a_dataset_plugin_is_loaded_by_its_file_name(plugin):
    cls = Registry((plugin("faces", DATASET),)).dataset("faces")
    assert cls.__name__ == "Faces"


def test_a_file_may_hold_one_of_each(plugin):
    known = Registry((plugin("both", GOOD + DATASET),))
    assert known.method("both").__name__ == "Small"
    assert known.dataset("both").__name__ == "Faces"


def test_a_dataset_may_come_by_an_entry_point(plugin, monkeypatch, tmp_path):
    plugin("vendor_of_faces", DATASET)
    monkeypatch.syspath_prepend(tmp_path)

    def entry_points(group):
        wanted = group == "au_ssl_bench.datasets"
        return [EntryPoint("theirs", "vendor_of_faces:Faces", group)] if wanted else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert Registry().dataset("theirs").__name__ == "Faces"
    assert "theirs" not in Registry().methods()


def test_datasets_of_plugins_are_listed(person, plugin):
    answer = person.types("list datasets --plugin", plugin("faces", DATASET))
    assert (answer.code, answer.err) == (0, "")
    (line,) = [line for line in answer.out.splitlines() if line.startswith("faces ")]
    assert "No face at all. (needs nothing)" in line


def test_the_source_of_a_dataset_plugin_is_read_in_processes_of_their_own(plugin, tmp_path):
    dataset = Registry((plugin("greys", SOURCE),)).dataset("greys")()
    two = open_store(dataset, name="greys", size=16, cache=tmp_path / "two", workers=2)
    one = open_store(dataset, name="greys", size=16, cache=tmp_path / "one", workers=1)
    assert two.content_hash == one.content_hash
    assert [int(image.mean()) for image in two.images] == [c for c in b"ABC" for _ in range(4)]


def test_a_copy_of_a_source_is_the_same_source(plugin):
    source = Registry((plugin("greys", SOURCE),)).dataset("greys")().sequences()[0].source
    assert copy.deepcopy(source) == source
    assert type(copy.deepcopy(source)) is type(source)


def test_a_run_of_all_methods_leaves_out_broken_ones_and_says_so(person, plugin):
    broken = plugin("broken", "import no_such_library")
    headless = plugin("headless", MISTAKES["no head"].text())
    small = plugin("small", GOOD)
    words = [word for file in (broken, headless, small) for word in ("--plugin", file)]
    answer = person.types(DRY, *words)
    assert answer.code == 0
    methods = {line.split("-")[1] for line in answer.out.splitlines()}
    assert {"small", "supervised", "ks"} <= methods
    assert not methods & {"broken", "headless"}
    notes = [line for line in answer.err.splitlines() if line.endswith("; it is left out")]
    assert notes == [
        f"note: {broken} cannot be imported: ModuleNotFoundError: No module named "
        "'no_such_library'; it is left out",
        f"note: {headless}: Small does not define head: the loop calls losses(), and fit() where a "
        "phase says so; evaluation calls "
        "encode() for each frame and head() for each clip; it is left out",
    ]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("no head", "bad.py: Small does not define head"),
        ("a knob without a default", "missing 1 required keyword-only argument: 'width'; every"),
        ("needs of another kind", "bad.py: Small.needs is a dict: write needs = Needs(...)"),
        ("clips and unlabelled frames", "Small.needs asks for clips and for unlabelled frames: "),
    ],
)
def test_a_method_that_is_asked_for_must_be_whole(person, plugin, mistake, sentence):
    file = plugin("bad", MISTAKES[mistake].text())
    answer = person.types(f"{DRY} --methods bad --plugin", file)
    assert answer.code == 2
    assert answer.error.startswith(str(file))
    assert sentence in answer.error
