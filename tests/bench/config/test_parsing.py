"""Typed knobs: what a person types becomes the field's type, or one sentence that helps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config.parsing import override_fields, parse_value, split_settings
from bench.errors import UsageError, pick, unknown_name


@dataclass(frozen=True, kw_only=True)
class Knobs:
    lr: float = 0.1
    steps: int = 5
    peek: bool = False
    crop: Literal["auto", "box"] = "auto"
    k: Literal[1, 2] = 1
    sides: tuple[float, ...] = (1.0,)
    tau: float | None = 0.9
    power: int | Literal["auto"] = 1
    note: str = ""
    shared: ClassVar[int] = 3


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("lr", "3e-4", 3e-4),
        ("lr", 2, 2.0),
        ("steps", "12", 12),
        ("peek", "True", True),
        ("peek", "false", False),
        ("crop", "box", "box"),
        ("k", "2", 2),
        ("sides", "0.5+2", (0.5, 2.0)),
        ("sides", [1, 2], (1.0, 2.0)),
        ("tau", "none", None),
        ("tau", None, None),
        ("tau", "0.5", 0.5),
        ("power", "3", 3),
        ("power", "auto", "auto"),
        ("note", "a=b", "a=b"),
    ],
)
def test_a_text_becomes_the_type_of_its_field(key, text, value):
    got = getattr(override_fields(Knobs(), {key: text}, "x"), key)
    assert (got, type(got)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("lr", "fast", "train.lr=fast: it takes a number"),
        ("lr", "nan", "train.lr=nan: it takes a number"),
        ("lr", "-inf", "train.lr=-inf: it takes a number"),
        ("steps", "2.5", "train.steps=2.5: it takes a whole number"),
        ("steps", 2.5, "train.steps=2.5: it takes a whole number"),
        ("steps", "", "train.steps=: it takes a whole number"),
        ("peek", "yes", "unknown value of train.peek 'yes': known: false, true"),
        ("crop", "bxo", "unknown value of train.crop 'bxo': did you mean box? known: auto, box"),
        ("sides", "1+x", "train.sides=x: it takes a number"),
        ("tau", "much", "train.tau=much: it takes a number"),
        ("power", "atuo", "unknown value of train.power 'atuo': did you mean auto? known: auto"),
    ],
)
def test_a_value_that_does_not_fit_is_one_sentence_naming_the_key(key, text, sentence):
    with pytest.raises(UsageError) as caught:
        override_fields(Knobs(), {key: text}, "train")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("key", ["lrr", "shared", "__doc__"])
def test_only_fields_are_keys_and_the_closest_is_named_as_it_is_typed(key):
    with pytest.raises(UsageError, match=rf"^unknown key 'train\.{key}': .*known: crop, k, lr, "):
        override_fields(Knobs(), {key: "1"}, "train")
    assert "did you mean train.lr?" in str(unknown_name("key", "lrr", ["lr", "k"], "train"))


def test_what_is_not_overridden_stays():
    assert override_fields(Knobs(note="n"), {}, "x") == Knobs(note="n")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_its_own_spelling(value):
    assert parse_value(repr(value), float, "x") == value
    assert math.isfinite(parse_value(value, float, "x"))


def test_settings_are_sorted_by_section_and_the_last_of_two_counts():
    texts = ["train.lr=1", "ks:no_skd.alpha=a.b=c", " train.steps = 3 ", "train.lr=2"]
    assert split_settings(texts) == {
        "train": {"lr": "2", "steps": "3"},
        "ks:no_skd": {"alpha": "a.b=c"},
    }


@pytest.mark.parametrize("text", ["", "lr", "lr=1", "train.lr", ".lr=1", "train.=1", "="])
def test_a_setting_of_another_form_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"write SECTION\.KEY=VALUE, e\.g\. --set train\.lr"):
        split_settings([text])


def test_an_unknown_name_lists_all_and_guesses_only_near_ones():
    assert pick("preset", "quick", {"quick": 1}) == 1
    with pytest.raises(UsageError) as far:
        pick("preset", "zzz", {"quick": 1, "paper": 2})
    assert str(far.value) == "unknown preset 'zzz': known: paper, quick"
    assert str(unknown_name("preset", "x", [])) == "unknown preset 'x': known: none"
