"""`bench check`: a good method passes, and each mistake fails its own check with a word on it."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
import torch

from bench.config.registry import Registry
from bench.conformance.suite import CHECKS, check_method
from bench.errors import UsageError
from bench.system.environment import one_thread
from tests.helpers.broken_methods import GOOD, MISTAKES
from tests.helpers.cli_driver import Person

FIRST = {mistake.check: name for name, mistake in reversed(MISTAKES.items())}
"""One mistake for each check."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Where checks write: the frames are decoded once for all of them."""
    one_thread()
    return tmp_path_factory.mktemp("check")


@pytest.fixture
def plugin(tmp_path):
    def write(text, name="bad"):
        file = tmp_path / f"{name}.py"
        file.write_text(text)
        return file

    return write


def outcomes(file, folder, name=None):
    return check_method(Registry((file,)), name or file.stem, folder)


@pytest.mark.parametrize("name", ["good", "good:wide"])
def test_a_good_method_passes_every_check(plugin, frames, name):
    found = list(outcomes(plugin(GOOD, "good"), frames, name))
    assert [outcome.check for outcome in found] == list(CHECKS)
    assert {o.check.name: o.message for o in found if o.status != "ok"} == {}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_by_its_own_check_and_no_earlier_one(plugin, frames, name):
    mistake = MISTAKES[name]
    for outcome in outcomes(plugin(mistake.text()), frames):
        if outcome.check.name == mistake.check:
            break
        assert outcome.status == "ok", (outcome.check.name, outcome.message)
    assert outcome.status == "FAILED"
    assert "\n" not in outcome.message
    assert re.search(mistake.sentence, outcome.message), outcome.message


@pytest.mark.parametrize("check", [check.name for check in CHECKS])
def test_a_mistake_fails_no_other_check(plugin, frames, check):
    found = list(outcomes(plugin(MISTAKES[FIRST[check]].text()), frames))
    assert {o.check.name: o.message for o in found if o.status == "FAILED"}.keys() == {check}
    for outcome in found:
        if outcome.status == "not tried":
            assert outcome.message.endswith("' comes first")
            assert outcome.check.after


def test_every_check_says_what_holds():
    assert all(re.fullmatch(r"[^\n]{20,90}\.", check.holds) for check in CHECKS)


def test_a_check_leaves_the_generators_as_they_were(plugin, frames):
    def states():
        numpy_state = np.random.get_state()  # noqa: NPY002  the very one that may not move
        return random.getstate(), numpy_state[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    list(outcomes(plugin(MISTAKES["numpy in a step"].text()), frames))
    assert states() == before


def test_what_cannot_be_imported_or_found_is_no_failed_check(plugin, frames):
    with pytest.raises(UsageError, match=r"bad.py cannot be imported: ModuleNotFoundError"):
        next(outcomes(plugin("import no_such_library"), frames))
    with pytest.raises(UsageError, match="unknown variant of good 'wid': did you mean wide"):
        next(outcomes(plugin(GOOD, "good"), frames, "good:wid"))


def test_the_command_prints_a_line_a_check_and_its_exit_code_tells(
    plugin, tmp_path, monkeypatch, capsys
):
    person = Person(tmp_path, tmp_path, tmp_path, monkeypatch, capsys)
    answer = person.types("check bad --plugin", plugin(MISTAKES["no head"].text()))
    assert (answer.code, answer.err) == (1, "")
    *lines, summary = answer.out.splitlines()
    assert len(lines) == len(CHECKS)
    assert lines[0].startswith("ok         imports          the file imports nothing of bench")
    assert lines[1].startswith("FAILED     hooks            Small does not define head: ")
    assert lines[3] == "not tried  construction     'hooks' comes first"
    assert re.fullmatch(r"bad: 2 ok, 1 FAILED, 16 not tried in \d+ s", summary)

    wrong = person.types("check god --plugin", plugin(GOOD, "good"))
    assert (wrong.code, wrong.out) == (2, "")
    assert "did you mean good?" in wrong.error
