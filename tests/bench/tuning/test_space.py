"""Search spaces: what is searched of a method, and which ranges cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bench.config.names import MethodName
from bench.config.presets import PRESETS
from bench.config.registry import Registry
from bench.errors import UsageError
from bench.study.study import Study, make_study
from bench.tuning.space import space_of
from tests.helpers.odd_methods import write_plugins

PLUGIN = """
from dataclasses import dataclass
from methods._base import Method, Range, Share

class Mine(Method):
    @dataclass(frozen=True, kw_only=True)
    class Config(Method.Config):
        weight: Share = 0.5
        many: int = 3
        name: str = "a"

    search_space = {space}

    def losses(self, batch, progress): ...
    def encode(self, frames, landmarks=None): ...
    def head(self, features): ...
"""


def planned(
    method: str, *knobs: str, preset: str = "quick", plugins: tuple[Path, ...] = ()
) -> Study:
    return make_study(methods=[method], knobs=knobs, preset=preset, plugins=plugins)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", [*Registry().methods(), "ceiling"])
def test_every_search_holds_the_optimiser_and_begins_untuned(method: str, preset: str) -> None:
    study = planned(method, preset=preset)
    space = space_of(study, MethodName(method))
    train = study.settings_of(MethodName(method)).train
    assert space.defaults[f"{method}.train.lr"] == train.lr
    assert space.defaults[f"{method}.train.weight_decay"] == train.weight_decay
    for key, distribution in space.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(space.defaults[key])), key


def test_a_methods_own_ranges_stand_beside_the_optimisers() -> None:
    space = space_of(planned("fixmatch"), MethodName("fixmatch"))
    assert list(space.distributions) == [
        "fixmatch.tau",
        "fixmatch.lambda_u",
        "fixmatch.train.lr",
        "fixmatch.train.weight_decay",
    ]
    assert space.distributions["fixmatch.tau"] == FloatDistribution(0.7, 0.99)
    decay = space.distributions["fixmatch.train.weight_decay"]
    assert isinstance(decay, CategoricalDistribution)


def test_what_a_person_or_a_variant_fixed_is_not_searched() -> None:
    study = planned("fixmatch:imagenet_scale", "fixmatch.train.lr=0.001")
    space = space_of(study, MethodName.parse("fixmatch:imagenet_scale"))
    assert list(space.distributions) == ["fixmatch.train.weight_decay"]
    assert (
        "fixmatch.tau"
        not in space_of(
            planned("fixmatch", "fixmatch.tau=0.9"), MethodName("fixmatch")
        ).distributions
    )


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (
            '{"weight": Range(0.0, 2.0)}',
            "the range to search holds what the knob cannot: mine.weight=2.0: it takes 0 to 1",
        ),
        (
            '{"wieght": Range(0.0, 1.0)}',
            "unknown knob to search 'mine.wieght': did you mean mine.weight?",
        ),
        (
            '{"many": Range(0.5, 4.5)}',
            "the range to search holds what the knob cannot: mine.many=0.5: it takes a whole",
        ),
        (
            '{"name": (1, 2)}',
            "the range to search of mine.name holds 1, which the knob takes for '1'",
        ),
        (
            '{"weight": Range(0.6, 1.0)}',
            "mine.weight=0.5 lies outside of the range to search, 0.6 to 1",
        ),
        ('{"weight": 5}', "the range to search of mine.weight is 5: write Range(low, high), or a"),
        ('{"name": ("b", "c")}', "mine.name=a lies outside of the range to search, b, c"),
    ],
)
def test_a_range_that_cannot_be_is_said_in_a_sentence(
    space: str, sentence: str, tmp_path: Path
) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(space=space))
    study = planned("mine", plugins=(plugin,))
    with pytest.raises(UsageError) as raised:
        space_of(study, MethodName("mine"))
    assert str(raised.value).startswith(sentence)


def test_a_method_that_declares_nothing_is_searched_by_its_optimiser(tmp_path: Path) -> None:
    (plugin,) = write_plugins(tmp_path, ["counted"])
    space = space_of(planned("counted", plugins=(plugin,)), MethodName("counted"))
    assert list(space.distributions) == ["counted.train.lr", "counted.train.weight_decay"]
