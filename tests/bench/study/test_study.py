"""Studies: a grid that is checked before anything is done, and cells with an identity."""

from __future__ import annotations

import pickle
import typing
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from bench.config.names import MethodName, parse_ratio, spell_ratio
from bench.config.parsing import field_hints
from bench.config.presets import PRESETS
from bench.config.registry import Registry
from bench.config.resolve import method_config
from bench.config.settings import AugmentConfig, Settings
from bench.data.dataset import OpenedDataset
from bench.errors import UsageError
from bench.frame_store.store import FrameStore, StoredSequence
from bench.study.cell import plan_cells
from bench.study.study import make_study
from bench.system.files import RecordError
from bench.training.augment_ops import POOL
from datasets._base import DatasetError, FoldList

AUS = (1, 2, 4)


def sequence(subject, start):
    labels = np.tile(np.array([[0], [1]], np.int8), (20, len(AUS)))
    return StoredSequence(subject, "T1", f"{subject}_T1", start, np.arange(40), labels, None)


def data(content="content"):
    """Four subjects in two folds; no pixel."""
    sequences = tuple(sequence(f"F00{n}", 40 * n) for n in range(4))
    nothing = np.zeros((160, 1, 1, 3), np.uint8)
    store = FrameStore(Path("store"), nothing, sequences, AUS, content, (), "centre", 64, 0)
    folds = FoldList("toy", (("F000", "F001"), ("F002", "F003")), "hash of folds")
    return OpenedDataset("synthetic", store, folds, ())


def grid(tmp_path, content="content", **asked):
    asked = {"methods": ["supervised"], "ratios": ["0.1"], "results": tmp_path, **asked}
    return plan_cells(make_study(**asked), data(content))


def only(tmp_path, **asked):
    (cell,) = grid(tmp_path, **asked)
    return cell


def refusal(**asked):
    with pytest.raises(UsageError) as caught:
        make_study(**asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("0.10", "0.1"),
        (".1", "0.1"),
        ("1e-1", "0.1"),
        ("1.0", "1"),
        ("1", "1"),
        ("0.123456789", "0.123456789"),
        ("1e-7", "1e-07"),
    ],
)
def test_a_ratio_has_one_spelling(text, ratio):
    assert spell_ratio(parse_ratio(text)) == ratio
    assert float(ratio) == float(text)


@pytest.mark.parametrize("text", ["0", "-0.1", "1.01", "nan", "inf", "5%", "a", ""])
def test_a_ratio_outside_0_to_1_is_refused(text):
    sentence = refusal(ratios=[text])
    assert sentence.startswith(f"label ratio '{text}' is outside (0, 1]: 0.05 means 5 %")


def test_nothing_asked_means_the_preset_and_every_method():
    asked = make_study()
    assert asked.methods == tuple(map(MethodName, Registry().methods()))
    quick = PRESETS["quick"]
    assert (asked.ratios, asked.folds, asked.seeds) == (quick.ratios, quick.folds, quick.seeds)
    assert asked.context.settings == quick.settings


def test_a_method_whose_knobs_lack_defaults_is_one_sentence_naming_it(tmp_path):
    file = tmp_path / "bare.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from methods._base import Method\n"
        "class Bare(Method):\n"
        "    @dataclass(frozen=True, kw_only=True)\n"
        "    class Config(Method.Config):\n"
        "        width: int\n"
    )
    sentence = refusal(methods=["bare"], plugins=[file])
    assert sentence.startswith(f"{file}: Config() raises TypeError: ")
    assert sentence.endswith("'width'; every knob needs a default")


def test_what_is_asked_twice_is_done_once():
    asked = make_study(
        methods=["ks", "ks", "supervised"], ratios=["0.1", "0.10"], folds=[1, 1], seeds=[2, 2]
    )
    assert (asked.methods, asked.ratios) == ((MethodName("ks"), MethodName("supervised")), (0.1,))
    assert (asked.folds, asked.seeds) == ((1,), (2,))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"dataset": "sintetic"}, "unknown dataset 'sintetic': did you mean synthetic?"),
        ({"methods": ["fixmach"]}, "unknown method 'fixmach': did you mean fixmatch?"),
        ({"methods": [""]}, "unknown method ''"),
        ({"methods": ["ks:no_sk"]}, "unknown variant of ks 'no_sk': did you mean no_skd?"),
        ({"methods": ["ks:"]}, "unknown variant of ks '':"),
        ({"preset": "quik"}, "unknown preset 'quik': did you mean quick?"),
        ({"rules": ["sprase"]}, "unknown rule 'sprase': did you mean sparse?"),
        ({"knobs": ["trian.lr=1"]}, "unknown --set section 'trian': did you mean train?"),
        ({"knobs": ["bp4d.landmarks=x"]}, "unknown --set section 'bp4d': known: augment,"),
        ({"knobs": ["train.lrr=1"]}, "unknown key 'train.lrr': did you mean train.lr?"),
        ({"knobs": ["fixmatch.tua=1"]}, "unknown key 'fixmatch.tua': did you mean fixmatch.tau?"),
        ({"knobs": ["train.lr=x"]}, "train.lr=x: it takes a number"),
        ({"knobs": ["fixmatch.tau=x"]}, "fixmatch.tau=x: it takes a number"),
        ({"knobs": ["fixmatch.tau=7"]}, "fixmatch.tau=7: it takes 0.5 to 1"),
        ({"knobs": ["augment.rotate=200"]}, "augment.rotate=200: it takes 0 to 180"),
        ({"knobs": ["ks.heads=3"]}, "ks: heads=3 does not divide width=64"),
        ({"knobs": ["pseudo_label.t1=0.9"]}, "pseudo_label: t1=0.9 lies after t2=0.5"),
        ({"knobs": ["tcl.contrast_from=0.9"]}, "tcl: contrast_until=0.88 lies before"),
    ],
)
def test_what_does_not_exist_is_refused_before_anything_is_read(asked, sentence):
    assert refusal(**asked).startswith(sentence)


@pytest.mark.parametrize(
    ("knob", "limit"),
    [
        ("train.batch_size=0", "1 or more"),
        ("train.steps=-5", "0 or more"),
        ("train.epochs=0", "0.001 or more"),
        ("train.lr=-1", "0 or more"),
        ("train.momentum=1.5", "0 to 1"),
        ("train.weight_decay=-0.1", "0 or more"),
        ("train.clip_norm=-1", "0 or more"),
        ("train.evaluate_every=-1", "0 or more"),
        ("train.checkpoint_minutes=-1", "0 or more"),
        ("trunk.width=0", "0.01 or more"),
        ("data.size=0", "8 to 4096"),
        ("data.size=100000", "8 to 4096"),
        ("data.stride=0", "1 or more"),
        ("data.val_subjects=-1", "0 or more"),
    ],
)
def test_a_number_that_would_train_nonsense_is_refused(knob, limit):
    assert refusal(knobs=[knob]) == f"{knob}: it takes {limit}"


def bounds(hint):
    """The limits that an annotation sets, of every member of a union."""
    members = typing.get_args(hint) if type(None) in typing.get_args(hint) else [hint]
    found = {
        getattr(constraint, name)
        for member in members
        for constraint in getattr(member, "__metadata__", ())
        for name in ("gt", "ge", "lt", "le")
        if hasattr(constraint, name)
    }
    return found - {None}


CONFIGS = {item.name: type(getattr(Settings(), item.name)) for item in fields(Settings)}
CONFIGS |= {name: Registry().method(name).Config for name in Registry().methods()}


@pytest.mark.parametrize("section", CONFIGS)
def test_every_number_has_a_range(section):
    config = CONFIGS[section]()
    numbers = [n for n in field_hints(type(config)) if type(getattr(config, n)) in (int, float)]
    assert numbers
    assert [name for name in numbers if not bounds(field_hints(type(config))[name])] == []


def test_strong_views_draw_no_more_operations_than_the_pool_has():
    assert max(bounds(field_hints(AugmentConfig)["strong_ops"])) == len(POOL)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_lie_within_their_ranges(preset):
    assert make_study(preset=preset).context.settings == PRESETS[preset].settings


def test_the_knobs_of_a_method_that_does_not_run_are_checked_too():
    sentence = refusal(methods=["supervised"], knobs=["fixmatch.tua=1"])
    assert sentence.startswith("unknown key 'fixmatch.tua'")


def test_a_method_may_not_have_a_knob_that_no_record_can_hold(tmp_path):
    plugin = tmp_path / "endless.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom methods._base import Method\n"
        "class Endless(Method):\n"
        "    @dataclass(frozen=True, kw_only=True)\n"
        "    class Config(Method.Config):\n"
        "        tau: float = float('inf')\n"
    )
    assert "a knob of endless cannot be kept" in refusal(methods=["endless"], plugins=[plugin])


def test_a_variant_sets_its_knobs_and_set_has_the_last_word():
    cls = Registry().method("fixmatch")
    (variant, knobs), *_ = cls.variants.items()
    (key, value), *_ = knobs.items()
    assert getattr(method_config(cls, MethodName("fixmatch", variant), {}), key) == value
    tau = {"fixmatch": {"tau": "0.7"}}
    assert method_config(cls, MethodName("fixmatch", variant), tau).tau == 0.7
    assert method_config(cls, MethodName("fixmatch"), tau).tau == 0.7
    assert (
        method_config(cls, MethodName("fixmatch"), {"supervised": {"dropout": "1"}}) == cls.Config()
    )


def test_sections_of_settings_are_set_and_others_stay():
    settings = make_study(
        knobs=["train.lr=0.5", "trunk.width=0.5", "data.size=32"]
    ).context.settings
    quick = PRESETS["quick"].settings
    assert (settings.train.lr, settings.trunk.width) == (0.5, 0.5)
    assert settings.train.steps == quick.train.steps
    assert settings.augment == quick.augment


def test_an_id_says_what_the_cell_is(tmp_path):
    assert only(tmp_path).id.startswith("synthetic-supervised-r0.1-f0-s0-")
    cell = only(tmp_path, methods=["ks:no_skd"], rules=["random"], folds=[1], seeds=[3])
    assert cell.id.startswith("synthetic-ks.no_skd-r0.1-random-f1-s3-")
    assert cell.folder == tmp_path / "runs" / cell.id
    assert cell.coordinates["method"] == "ks:no_skd"


@pytest.mark.parametrize(
    "other",
    [
        {"methods": ["supervised:unweighted"]},
        {"methods": ["pseudo_label"]},
        {"ratios": ["0.2"]},
        {"folds": [1]},
        {"seeds": [1]},
        {"rules": ["contiguous"]},
        {"preset": "smoke"},
        {"knobs": ["train.lr=0.5"]},
        {"knobs": ["supervised.dropout=0.5"]},
        {"knobs": ["data.val_subjects=1"]},
        {"knobs": ["trunk.width=0.125"]},
        {"content": "other pixels"},
    ],
)
def test_cells_that_may_come_out_differently_differ_in_id(tmp_path, other):
    assert only(tmp_path, **other).hashes["cell"] != only(tmp_path).hashes["cell"]


def test_seeds_draw_masks_of_their_own_and_methods_share_them(tmp_path):
    many = grid(tmp_path, methods=["supervised", "fixmatch"], seeds=[0, 1])
    masks = {(c.method.base, c.point.seed): c.hashes["mask"] for c in many}
    assert masks["supervised", 0] == masks["fixmatch", 0] != masks["supervised", 1]
    assert len({c.mask_file for c in many}) == 2
    assert all(c.mask_file.is_file() for c in many)


@pytest.mark.parametrize(
    "other",
    [
        {"results": "elsewhere"},
        {"cache": Path("elsewhere")},
        {"knobs": ["train.checkpoint_minutes=1"]},
        {"deterministic": True},
        {"knobs": ["fixmatch.tau=0.5"]},
        {"knobs": ["synthetic.frames=50"]},
        {"ratios": ["0.10"]},
    ],
)
def test_how_a_cell_is_carried_out_and_where_is_no_part_of_its_id(tmp_path, other):
    if "results" in other:
        other = {"results": tmp_path / "elsewhere"}
    assert only(tmp_path, **other).id == only(tmp_path).id


def test_where_a_dataset_lies_is_no_part_of_a_cells_id(tmp_path):
    here, there = (only(tmp_path, dataset="bp4d", root=tmp_path / name) for name in "ab")
    assert here.id == there.id


def test_a_folder_for_a_dataset_that_reads_none_is_refused():
    with pytest.raises(UsageError, match=r"--root X: dataset synthetic reads no folder: name by"):
        make_study(root=Path("X"))


def test_a_grid_of_several_rules_is_the_grids_of_each(tmp_path):
    rules = ["sparse", "random", "contiguous"]
    asked = {"methods": ["supervised", "ks"], "ratios": ["0.1", "0.5"]}
    together = grid(tmp_path, rules=[*rules, "sparse"], **asked)
    alone = [cell for rule in rules for cell in grid(tmp_path, rules=[rule], **asked)]
    assert len(together) == 12
    assert {cell.id for cell in together} == {cell.id for cell in alone}


def test_a_file_that_a_methods_knob_names_counts_by_its_content(tmp_path):
    hashes = []
    for folder, content in (("a", "1"), ("b", "1"), ("b", "2")):
        file = tmp_path / folder / "vgg.pt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        cell = only(tmp_path, methods=["eac"], knobs=[f"eac.weights={file}"])
        hashes.append(cell.hashes)
    assert hashes[0] == hashes[1]
    assert hashes[0]["method.weights"] != hashes[2]["method.weights"]
    assert hashes[0]["config"] == hashes[2]["config"]
    assert hashes[0]["cell"] != hashes[2]["cell"]


def test_a_word_that_happens_to_name_a_file_stays_a_word(tmp_path, monkeypatch):
    before = only(tmp_path, knobs=["trunk.weights=none"]).id
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").write_text("a file")
    assert only(tmp_path, knobs=["trunk.weights=none"]).id == before


def test_a_choice_that_happens_to_name_a_file_stays_a_choice(tmp_path, monkeypatch):
    before = only(tmp_path, knobs=["data.neighbours=window"]).id
    monkeypatch.chdir(tmp_path)
    (tmp_path / "window").write_text("a file")
    assert only(tmp_path, knobs=["data.neighbours=window"]).id == before


def test_weights_count_by_their_content_and_not_by_their_place(tmp_path):
    ids = []
    for folder, content in (("a", "1"), ("b", "1"), ("b", "2")):
        file = tmp_path / folder / "weights.pt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
        ids.append(only(tmp_path, knobs=[f"trunk.weights={file}"]).id)
    assert ids[0] == ids[1] != ids[2]


def test_the_same_grid_asked_in_another_order_has_the_same_cells(tmp_path):
    asked = {"methods": ["supervised", "ks"], "ratios": ["0.1", "0.5"], "seeds": [0, 1]}
    there = grid(tmp_path, **asked)
    back = grid(tmp_path, **{name: values[::-1] for name, values in asked.items()})
    assert {cell.id for cell in there} == {cell.id for cell in back}
    assert len({cell.id for cell in there}) == len(there) == 8


def test_a_cell_survives_the_way_to_a_worker(tmp_path):
    cell = only(tmp_path)
    again = pickle.loads(pickle.dumps(cell))
    assert again == cell
    assert again.id == cell.id


def test_other_landmarks_are_another_cell_where_they_are_seen(tmp_path):
    ids = {}
    for value in (None, 10.0, 20.0):
        given = data()
        marked = [
            replace(s, landmarks=None if value is None else np.full((40, 49, 2), value, np.float32))
            for s in given.store.sequences
        ]
        given = replace(given, store=replace(given.store, sequences=tuple(marked)))
        for method in ("eac", "supervised"):
            study = make_study(methods=[method], ratios=["0.1"], results=tmp_path)
            ids.setdefault(method, set()).add(plan_cells(study, given, save=False)[0].id)
    assert (len(ids["eac"]), len(ids["supervised"])) == (3, 1)


def test_the_id_follows_the_hash_and_nothing_else(tmp_path):
    cell = only(tmp_path)
    elsewhere = replace(cell.context, cache=Path("x"))
    assert replace(cell, context=elsewhere).id == cell.id
    assert replace(cell, hashes={**cell.hashes, "cell": "0" * 64}).id.endswith("-0000000000")


def test_a_fold_that_does_not_exist_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(DatasetError, match=r"fold 2 does not exist in fold list toy: .* 0, 1"):
        grid(tmp_path, folds=[0, 2])


def test_a_mask_that_cannot_be_saved_is_one_sentence(tmp_path):
    (tmp_path / "masks").write_text("a file in its place")
    with pytest.raises(RecordError, match=r"cannot write .*masks/synthetic-f0-r0\.1-sparse-s0"):
        grid(tmp_path)


def test_a_mask_that_was_edited_is_refused(tmp_path):
    cell = only(tmp_path)
    text = cell.mask_file.read_text()
    cell.mask_file.write_text(text.replace("[0, 10", "[1, 10"))
    with pytest.raises(DatasetError, match="the label mask was edited"):
        grid(tmp_path)


def test_a_preset_s_knobs_of_a_method_give_way_to_those_that_are_set():
    cls = Registry().method("ks")
    narrow = PRESETS["quick"].methods["ks"]["width"]
    assert method_config(cls, MethodName("ks"), {}).width == cls.Config().width != narrow
    assert method_config(cls, MethodName("ks", "no_skd"), {}, "quick").width == narrow
    assert method_config(cls, MethodName("ks"), {"ks": {"width": "32"}}, "quick").width == 32
