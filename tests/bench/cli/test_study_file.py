"""Study files: the options of `run` in a file; what is typed wins, what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.config.presets import PRESETS
from tests.helpers.cli_driver import Person, quoted

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "studies").glob("*.toml"))
TINY = (
    "--set synthetic.subjects=6 --set synthetic.tasks=T1 --set synthetic.frames=12 "
    "--set synthetic.size=48 --set data.size=32 --set trunk.weights=none --set eac.weights=none"
)
"""Small, and without published weights: a plan fetches them, and a test has no network."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


@pytest.fixture
def person(tmp_path, cache, monkeypatch, capsys):
    return Person(tmp_path, cache, tmp_path, monkeypatch, capsys)


@pytest.fixture
def dry(person, tmp_path):
    """Ask what a study file would do; returns the answer."""

    def run(text, line=""):
        file = tmp_path / "study.toml"
        file.write_text(text)
        return run_file(person, file, line)

    return run


def run_file(person, file, line=""):
    where = ("--results", person.results, "--cache", person.cache)
    return person.types(f"run --dry-run --device cpu {TINY} {line} --config", file, *where)


def cells(answer):
    """Cells to do: (method, ratio, rule, fold, seed)."""
    assert answer.code == 0, answer.err
    place = re.compile(
        r"^to do +synthetic-(.+?)-r([\d.]+)(?:-(random|contiguous))?-f(\d)-s(\d+)-\w{10}\b"
    )
    found = [place.match(line) for line in answer.out.splitlines()]
    assert all(found), answer.out
    return [tuple(match.groups()) for match in found]


def ids(answer):
    return sorted(line.split()[2] for line in answer.out.splitlines())


FIELD = [
    "mean_teacher",
    "fixmatch",
    "uda",
    "flexmatch",
    "freematch",
    "softmatch",
    "noisy_student",
    "mlcr",
    "bgcs",
    "daur",
]
PAPER = ["pseudo_label", "fixmatch", "tcl", "ks", "eac"]
WORDS = {12: "twelve"}
GRIDS = {
    # study: cells, methods, folds
    "ablation": (30, None, {"0", "1", "2"}),
    "demo": (12, {"supervised", *PAPER}, {"0"}),
    "equal-tuning": (189, {"supervised", "ceiling-sees-hidden-labels", *PAPER}, {"0", "1", "2"}),
    "field-methods": (72, {"supervised", "ceiling-sees-hidden-labels", *FIELD}, {"0"}),
    "label-budget": (96, {"supervised", "pseudo_label", "fixmatch", "ks"}, {"0", "1", "2"}),
    "sampling": (72, {"supervised", "ks"}, {"0", "1", "2"}),
    "table1": (180, {"supervised", "pseudo_label", "fixmatch", "tcl", "ks"}, {"0", "1", "2"}),
    "table2": (54, {"supervised", "eac", "ks"}, {"0", "1", "2"}),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_shipped_study_is_the_grid_that_it_says(person, name):
    file = ROOT / "studies" / f"{name}.toml"
    count, methods, folds = GRIDS[name]
    found = cells(run_file(person, file))
    assert len(found) == len(set(found)) == count
    assert re.search(rf"\b({count}|{WORDS.get(count)})\s(#\s)?cells", file.read_text())
    assert methods is None or {cell[0] for cell in found} == methods
    assert {cell[3] for cell in found} == folds


def test_every_shipped_study_is_looked_at_here():
    assert {file.stem for file in SHIPPED} == GRIDS.keys()


def test_the_ratios_of_table_1_are_those_of_the_preset(person):
    found = cells(run_file(person, ROOT / "studies" / "table1.toml"))
    assert {float(cell[1]) for cell in found} == set(PRESETS["paper"].ratios)


def test_the_ablation_has_every_row_of_the_papers(person):
    found = cells(run_file(person, ROOT / "studies" / "ablation.toml"))
    text = (ROOT / "results" / "published" / "ablation_50pct_delta_f1.csv").read_text()
    rows = [line.split(",")[1] for line in text.splitlines()[1:]]
    wanted = {f"ks.{key}".replace(">", "-").replace("--", "-") if key else "ks" for key in rows}
    assert {cell[0].replace("--", "-") for cell in found} == wanted


def test_sampling_holds_the_rules_side_by_side(person):
    found = cells(run_file(person, ROOT / "studies" / "sampling.toml"))
    assert {cell[2] for cell in found} == {None, "random", "contiguous"}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_study_runs_small_by_another_preset(person, file):
    small, large = (run_file(person, file, line) for line in ("--preset smoke", ""))
    assert set(cells(small)) == set(cells(large))
    assert not set(ids(small)) & set(ids(large))


def test_a_file_asks_for_what_its_options_would(dry, person):
    text = """
        methods = ["supervised", "ks:no_skd"]
        ratios = [0.10, 1]
        seeds = [0, 3]
        preset = "smoke"
        val-subjects = 1
        [set]
        train = { lr = 1e-3, test_peek = true }
        ks.alpha = 0.25
    """
    typed = (
        "--methods supervised,ks:no_skd --ratios 0.1,1 --seeds 0,3 --preset smoke --val-subjects 1 "
        "--set train.lr=1e-3 --set train.test_peek=true --set ks.alpha=0.25"
    )
    assert ids(dry(text)) == ids(dry("", typed))
    assert len(ids(dry(text))) == 8


def test_knobs_may_be_a_list_of_what_one_would_type(dry):
    asked = 'methods = "supervised"\npreset = "smoke"\n'
    listed = dry(asked + 'set = ["train.lr=0.5", "train.steps=3"]')
    assert ids(listed) == ids(dry(asked + "set.train = { lr = 0.5, steps = 3 }"))
    assert ids(listed) == ids(dry(asked, "--set train.lr=0.5 --set train.steps=3"))


def test_what_is_typed_wins_option_by_option_and_knob_by_knob(dry):
    text = """
        methods = ["supervised", "ks"]
        ratios = [0.1]
        preset = "smoke"
        [set.train]
        lr = 0.5
        steps = 7
    """
    answer = dry(text, "--methods fixmatch --set train.lr=0.25")
    assert [cell[:2] for cell in cells(answer)] == [("fixmatch", "0.1")]
    typed = "--preset smoke --ratios 0.1 --methods fixmatch --set train.lr=0.25"
    assert ids(answer) == ids(dry("", f"{typed} --set train.steps=7"))
    assert ids(answer) != ids(dry("", f"{typed} --set train.steps=8"))


def test_plugins_of_the_file_and_of_the_command_line_add_up(dry, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(
            (ROOT / "methods" / "supervised.py").read_text().replace("from ._", "from methods._")
        )
    text = f'methods = ["one", "two"]\nplugin = "{tmp_path / "one.py"}"\nratios = [0.1]'
    answer = dry(text, f"--plugin {quoted(tmp_path / 'two.py')}")
    assert [cell[0] for cell in cells(answer)] == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("rations = [0.1]", "unknown key 'rations': did you mean ratios? known: "),
        ("config = 'x'", "unknown key 'config': "),
        (
            "[set.train]\nlrr = 1",
            "set train.lrr=1: unknown key 'train.lrr': did you mean train.lr?",
        ),
        ("[set.trian]\nlr = 1", "set trian.lr=1: unknown --set section 'trian': did you mean"),
        ("set = ['lr=1']", "set lr=1: --set lr=1: write SECTION.KEY=VALUE"),
        ("methods = ['fixmach']", "methods: unknown method 'fixmach': did you mean fixmatch?"),
        ("preset = 'papr'", "preset: unknown preset 'papr': did you mean paper?"),
        ("rule = ['sparse', 'dense']", "rule: unknown rule 'dense': known: contiguous,"),
        ("ratios = [0.1, 1.5]", "ratios: label ratio '1.5' is outside (0, 1]"),
        ("folds = 'a'", "folds: --folds a: give whole numbers"),
        ("workers = 'two'", "workers = 'two': "),
        ("workers = -1", "workers = -1: "),
        ("dry-run = 'yes'", "dry-run = 'yes': it takes true or false"),
        ("methods = { ks = 1 }", "methods = {'ks': 1}: it takes texts and numbers"),
        ("ratios = [[0.1]]", "ratios = [['0.1']]: it takes texts and numbers"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file(dry, tmp_path, text, sentence):
    answer = dry(text)
    assert answer.error.startswith(f"{tmp_path / 'study.toml'}: {sentence}")
    assert answer.code == 2


def test_a_file_is_not_blamed_for_what_was_typed(dry):
    text = 'preset = "smoke"\nratios = [0.1]\nset.train.lr = 0.5'
    answer = dry(text, "--set train.lrr=1")
    assert answer.error.startswith("unknown key 'train.lrr': did you mean train.lr?")


def test_what_is_no_toml_is_one_sentence(person, tmp_path):
    file = tmp_path / "study.toml"
    file.write_bytes(b"ratios = [")
    error = run_file(person, file).error
    assert error.startswith(f"--config {file} is no TOML file: Invalid")


def test_a_file_that_is_not_there_is_one_sentence(person, tmp_path):
    file = tmp_path / "nowhere.toml"
    assert run_file(person, file).error == f"--config {file}: No such file or directory"
    assert run_file(person, tmp_path).error == f"--config {tmp_path}: Is a directory"


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8-sig", ""),
        ("utf-16", "study.toml is UTF-16 text: save it as UTF-8"),
        ("latin-1", "study.toml is not UTF-8 text (line 2): save it as UTF-8"),
    ],
)
def test_a_study_file_is_read_as_editors_save_it(encoding, said, person, tmp_path):
    file = tmp_path / "study.toml"
    text = "# grid\r\n# für alle\r\nmethods = 'supervised'\r\nratios = '0.1'\r\n"
    file.write_bytes(text.encode(encoding))
    answer = run_file(person, file)
    assert (answer.code, said in answer.err) == ((2, True) if said else (0, True)), answer.err
