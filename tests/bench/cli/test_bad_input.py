"""Bad input: one clear sentence, an exit code that is not 0, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bench.runner import run_cell as runner
from tests.helpers.cli_driver import Person, quoted
from tests.helpers.dataset_trees import BP4D_AUS, make_bp4d_tree, write_occurrence

TWO = "--methods supervised,pseudo_label --ratios 0.2"
SUBJECTS = ("F001", "F002", "F003", "M001")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    make_bp4d_tree(folder / "tree", subjects=SUBJECTS, tasks=("T1",))
    return folder


@pytest.fixture
def person(faces, tmp_path, monkeypatch, capsys):
    return Person(tmp_path, faces / "cache", faces / "tree", monkeypatch, capsys)


@pytest.fixture
def own_tree(person, tmp_path):
    """A copy of the tree that the test may spoil."""
    person.root, person.cache = tmp_path / "tree", tmp_path / "cache"
    make_bp4d_tree(person.root, subjects=SUBJECTS, tasks=("T1",))
    return person.root


def test_a_folder_whose_name_is_no_text_is_printed(person, tmp_path):
    """Bytes that are no UTF-8, which a terminal would refuse."""
    folder = tmp_path / os.fsdecode(b"vid\xe9o")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this disk holds UTF-8 names alone")
    command = [
        sys.executable,
        "-m",
        "bench",
        "data",
        "prepare",
        "--dataset",
        "bp4d",
        "--size",
        "16",
    ]
    done = subprocess.run(
        [*command, "--workers", "1", "--root", person.root, "--cache", folder],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 0, done.stderr
    assert rb"vid\udce9o" in done.stdout


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--dataset bp44d", "unknown dataset 'bp44d': did you mean bp4d? known: "),
        ("--methods fixmach", "unknown method 'fixmach': did you mean fixmatch? known: "),
        ("--methods ks:no_sk", "unknown variant of ks 'no_sk': did you mean no_skd? known: "),
        ("--preset quik", "unknown preset 'quik': did you mean quick? known: paper, quick, smoke"),
        ("--rule dense", "unknown rule 'dense': known: contiguous, random, sparse"),
        ("--set trian.lr=1", "unknown --set section 'trian': did you mean train? known: "),
        ("--set train.lrr=1", "unknown key 'train.lrr': did you mean train.lr? known: amp, "),
        ("--set fixmatch.tua=1", "unknown key 'fixmatch.tua': did you mean fixmatch.tau? known: "),
        ("--set bp4d.landmark=x", "unknown key 'bp4d.landmark': did you mean bp4d.landmarks?"),
        ("--set train.lr=nan", "train.lr=nan: it takes a number"),
        ("--set train.steps=many", "train.steps=many: it takes a whole number"),
        ("--set lr=1", "--set lr=1: write SECTION.KEY=VALUE, e.g. --set train.lr=0.003"),
        ("--ratios 0", "label ratio '0' is outside (0, 1]: 0.05 means 5 % of the coded frames"),
        ("--ratios 0.1,1.5", "label ratio '1.5' is outside (0, 1]"),
        ("--ratios 5%", "label ratio '5%' is outside (0, 1]"),
        ("--folds a", "--folds a: give whole numbers, e.g. 0,1,2"),
        ("--folds 0.5", "--folds 0.5: give whole numbers, e.g. 0,1,2"),
        ("--seeds 0,-1", "--seeds 0,-1: give whole numbers from 0 on, e.g. 0,1,2"),
        ("--seeds one", "--seeds one: give whole numbers, e.g. 0,1,2"),
        ("--device gpu", "--device gpu: it is one of auto, cpu, cuda, cuda:0, ..."),
        ("--device gpu --workers 2", "--device gpu: it is one of auto, cpu, cuda, cuda:0, ..."),
        ("--plugin nowhere.py", "--plugin "),
    ],
)
def test_a_wrong_word_is_one_sentence_and_exit_code_2(person, line, sentence):
    answer = person.runs(line)
    assert answer.error.startswith(sentence)
    assert answer.code == 2
    assert person.records() == {}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("table", "there are no records: run some cells first"),
        ("explain x", "there are no records in "),
        ("diff x y", "there are no records in "),
        ("table ssll", "no table 'ssll': did you mean ssl?"),
        ("list method", "unknown kind 'method': did you mean methods?"),
    ],
)
def test_commands_that_look_say_what_they_do_not_find(person, line, sentence):
    answer = person.types(line) if line.startswith("list") else person.asks(line)
    assert answer.error.startswith(sentence)
    assert answer.out == ""


def test_an_unknown_format_selection_or_cell_is_one_sentence(person):
    person.runs(TWO)
    assert person.asks("table --format markdwn").error.startswith("no table format 'markdwn'")
    assert person.asks("table --select best").error.startswith("no selection rule 'best'")
    assert person.asks("explain bp4d").error.startswith("'bp4d' is the beginning of 2 cells: ")
    assert person.asks("explain supervised").error.startswith(
        "no cell's id begins with 'supervised'; among the 2 in "
    )
    assert person.asks("status").out == "2 done\n"


def test_an_empty_status_says_where_it_looked(person):
    answer = person.asks("status")
    assert (answer.code, answer.out) == (0, f"no records in {person.results / 'runs'}\n")


@pytest.mark.parametrize("fold", ["7", "0,3"])
def test_a_fold_that_does_not_exist_is_said_before_anything_is_decoded(person, own_tree, fold):
    answer = person.runs(f"--methods supervised --folds {fold}")
    wrong = fold[-1]
    assert answer.error == f"fold {wrong} does not exist in fold list bp4d: it has folds 0, 1, 2"
    assert not person.cache.exists()


def test_a_root_that_is_missing_is_named_with_what_to_do(person, tmp_path):
    person.root = tmp_path / "nothing"
    assert person.runs().error == f"{person.root}: there is no such folder: check the root"
    assert person.types("run --dataset bp4d --results", person.results).error.startswith(
        "BP4D: say where its folder is (--root); expected are images "
    )


def test_a_folder_that_this_user_may_not_read_is_one_sentence(person, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/BP4D/AUCoding")

    monkeypatch.setattr("bench.study.study.make_study", refuse)
    sentence = "/data/BP4D/AUCoding: this user may not read or write it"
    assert person.runs().error == sentence


def test_an_error_in_a_plugin_is_told_by_its_line(person, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from methods.supervised import Supervised\n\n\n"
        "class Mine(Supervised):\n"
        "    @classmethod\n"
        "    def needs_for(cls, config):\n"
        "        return {}['clips']\n"
    )
    said = person.asks(
        f"run --dataset synthetic --methods mine --plugin {quoted(plugin)} --dry-run"
    ).error
    assert said == f"{plugin}, line 7 raises KeyError: 'clips'"


def test_a_plugin_that_ends_the_process_is_named(person, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from methods._base import Method\n\nraise SystemExit(3)\nclass M(Method): 0\n"
    )
    said = person.asks(f"run --dataset synthetic --methods mine --plugin {quoted(plugin)}").error
    assert f"{plugin} cannot be imported: SystemExit: 3" in said


def test_an_empty_root_is_told_what_should_lie_in_it(person, tmp_path):
    person.root = tmp_path / "empty"
    person.root.mkdir()
    error = person.runs().error
    assert error.startswith(str(person.root))
    assert "Sequences/F001/T1" in error


def test_a_root_that_is_a_file_is_one_sentence(person, tmp_path):
    person.root = tmp_path / "file"
    person.root.write_text("")
    assert str(person.root) in person.runs().error


def test_labels_without_images_and_the_reverse_are_named_and_left_out(person, own_tree):
    shutil.rmtree(own_tree / "Sequences" / "F002" / "T1")
    (own_tree / "AUCoding" / "AU_OCC" / "M001_T1.csv").unlink()
    answer = person.runs()
    assert answer.code == 0
    assert "note: F002_T1: label file without images, left out" in answer.err
    assert "note: M001_T1: images without a label file, left out" in answer.err
    assert len(person.records()) == 1


def test_a_truncated_jpeg_is_named_and_left_out(person, own_tree):
    picture = own_tree / "Sequences" / "F001" / "T1" / "0012.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    answer = person.runs()
    assert answer.code == 0
    (note,) = [line for line in answer.err.splitlines() if "0012.jpg" in line]
    assert note.startswith("note: ")
    assert "frame of F001_T1 left out" in note


def test_a_label_outside_the_code_is_named_by_file_and_line(person, own_tree):
    file = own_tree / "AUCoding" / "AU_OCC" / "F002_T1.csv"
    lines = file.read_text().splitlines()
    cells = lines[3].split(",")
    cells[1] = "5"
    lines[3] = ",".join(cells)
    file.write_text("\n".join(lines))
    answer = person.runs()
    assert answer.code == 1
    assert answer.error.startswith(f"{file}, line 4: ")
    assert "5" in answer.error.removeprefix(f"{file}, line 4: ")


def test_a_dataset_without_a_single_label_is_one_sentence(person, own_tree):
    for subject in SUBJECTS:
        file = own_tree / "AUCoding" / "AU_OCC" / f"{subject}_T1.csv"
        frames = range(10, 24)
        write_occurrence(file, frames, np.full((len(frames), len(BP4D_AUS)), -1))
    assert person.runs().error == "no label to choose from: no frame of bp4d is coded here"


@pytest.mark.parametrize("place", ["results", "runs", "masks"])
def test_a_results_folder_that_cannot_be_written_is_said_at_once(person, place):
    file = person.results if place == "results" else person.results / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a file in its place")
    error = person.runs().error
    assert error.startswith(f"cannot write {file}")
    assert error.endswith("choose another folder (--results, or --out where there is one)")


def test_a_cache_folder_that_cannot_be_written_is_said_with_its_option(person, tmp_path):
    person.cache = tmp_path / "cache"
    person.cache.write_text("a file in its place")
    assert "--cache" in person.runs().error


def test_a_disk_that_fills_up_costs_one_record_and_keeps_the_others(person, monkeypatch):
    write, written = runner.write_record, []

    def no_space(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def first_only(folder, record):
        with monkeypatch.context() as patch:
            if written:
                patch.setattr(os, "fsync", no_space)
            written.append(record.id)
            return write(folder, record)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_record", first_only)
        answer = person.runs(TWO)
    assert answer.code == 1
    last = answer.err.splitlines()[-1]
    assert last.startswith("error: cannot write ")
    assert "record.json: No space left on device; free space or choose another folder" in last
    assert "Traceback" not in answer.err
    before = person.records()
    assert list(before) == written[:1]

    assert "1 done, 1 to do" in person.runs(TWO).err
    assert before.items() < person.records().items()


EXPLODING = """
from methods._base import Method
from methods.supervised import Supervised as _Supervised
class Exploding(Method):
    Config, needs = _Supervised.Config, _Supervised.needs
    def __init__(self, config, task):
        super().__init__(config, task)
        self.inner = _Supervised(config, task)
    def losses(self, batch, progress):
        losses = self.inner.losses(batch, progress)
        return {"au": losses["au"] * (float("nan") if progress.step == 3 else 1)}
    def encode(self, frames, landmarks=None):
        return self.inner.encode(frames)
    def head(self, features):
        return self.inner.head(features)
"""


def test_a_loss_that_is_not_finite_fails_its_cell_naming_the_step(person, tmp_path):
    plugin = tmp_path / "exploding.py"
    plugin.write_text(EXPLODING)
    line = "--methods exploding,supervised --ratios 0.2 --set train.steps=6"
    answer = person.runs(line, "--plugin", plugin)
    assert answer.code == 1
    assert "1 failed: the loss is not finite at step 3 (au nan): try a lower train.lr" in answer.err
    assert "Traceback" not in answer.err
    found = {r["cell"]["method"]: r for r in map(json.loads, person.records().values())}
    assert found["supervised"]["status"] == "done"
    assert found["exploding"]["status"] == "failed"
    assert "step 3" in found["exploding"]["reason"]
    assert found["exploding"]["traceback"] is None
    assert "exploding" in person.asks("table").out


def test_weights_that_cannot_be_downloaded_are_said_at_planning(person, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    line = "--methods supervised --ratios 0.2 --set trunk.width=1 --set trunk.weights=imagenet"
    answer = person.runs(line)
    assert answer.error.startswith("the ImageNet weights of resnet18 cannot be downloaded")
    assert answer.error.endswith("give --set trunk.weights=PATH|none")
    assert person.records() == {}


def test_a_weights_file_that_is_not_there_is_said_at_planning(person, tmp_path):
    wrong = person.runs("--methods supervised --set trunk.weights=nowhere.pt").error
    assert wrong.startswith("supervised: nowhere.pt: no such weights file")


def test_an_unreadable_record_is_set_aside_and_its_cell_done_again(person):
    person.runs()
    ((name, whole),) = person.records().items()
    file = person.results / "runs" / name / "record.json"
    file.write_text("{")
    looked = person.runs("--methods supervised --ratios 0.2 --dry-run")
    assert f"note: {file} is not a readable record" in looked.err
    assert file.read_text() == "{"
    assert person.runs().code == 0
    assert file.with_name("record.json.bad-1").read_text() == "{"
    again = json.loads(file.read_text())
    assert again["final_weights"] == json.loads(whole)["final_weights"]
    assert again["warnings"][0].endswith("set aside as record.json.bad-1")
