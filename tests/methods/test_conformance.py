"""Every method in the folder keeps the contract: `bench check`, method by method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import methods
from bench.config.registry import Registry
from bench.conformance.suite import CHECKS, CheckResult, check_method
from bench.system.environment import one_thread

METHODS = [n for n, found in Registry().methods().items() if found.module.startswith("methods.")]

Outcomes = dict[str, CheckResult]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> Callable[[str], Outcomes]:
    """Check a method once, with the frames that the methods before it have decoded."""
    folder = tmp_path_factory.mktemp("conformance")
    done: dict[str, Outcomes] = {}
    one_thread()

    def of(method: str) -> Outcomes:
        if method not in done:
            found = check_method(Registry(), method, folder)
            done[method] = {outcome.check.name: outcome for outcome in found}
        return done[method]

    return of


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("check", [check.name for check in CHECKS])
def test_a_method_keeps_its_contract(outcomes, method, check):
    outcome = outcomes(method)[check]
    assert outcome.status == "ok", outcome.message


def test_all_methods_of_the_folder_are_checked():
    files = Path(methods.__path__[0]).glob("*.py")
    assert set(METHODS) == {file.stem for file in files if not file.name.startswith("_")}
