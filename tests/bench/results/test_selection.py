"""Which records a table takes: by knob, by hash, by the latest version of the code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.errors import UsageError
from bench.report.tables.kinds import tables
from bench.results.records import Record
from bench.results.selection import latest, only_matching
from tests.helpers.fake_records import record


def version(code: str, when: str, **place: object) -> Record:
    made = record(**{"method": "mine", **place})
    return replace(
        made,
        id=f"{made.id}-{code}",
        hashes={**made.hashes, "code": code},
        environment={"finished": when, "commit": f"{code}00+"},
    )


OLD = [version("aaaa1111", "2026-01-01T00:00:00", fold=fold) for fold in (0, 1)]
NEW = [version("bbbb2222", "2026-02-01T00:00:00")]
CONTROL = [version("cccc3333", "2025-01-01T00:00:00", method="supervised")]
ALL = [*OLD, *NEW, *CONTROL]


def test_the_latest_version_of_each_method_is_kept() -> None:
    assert latest(ALL) == [*NEW, *CONTROL]
    assert latest(OLD) == OLD


def test_a_version_can_be_chosen_by_the_first_digits_of_its_hash() -> None:
    assert only_matching(OLD + NEW, ["code=aaaa"]) == OLD
    assert only_matching(OLD + NEW, ["commit=bbbb222200+"]) == NEW
    assert only_matching(OLD + NEW, ["code=dddd"]) == []


def test_an_edited_plugin_has_a_row_a_version_until_one_is_chosen() -> None:
    def labels(records: list[Record]) -> list[str]:
        (table,) = tables("ssl", records)
        return [row.label for row in table.rows if row.source == "measured"]

    assert labels(ALL) == ["supervised", "mine (code=aaaa1111)", "mine (code=bbbb2222)"]
    assert labels(latest(ALL)) == ["supervised", "mine"]


def test_rows_can_be_chosen_by_a_knob_that_other_rows_lack() -> None:
    def with_width(width: int) -> Record:
        made = record(method="ks")
        return replace(made, config={**made.config, "method": {"width": width}})

    wide, narrow, control = with_width(256), with_width(64), record(method="supervised")
    assert only_matching([wide, narrow, control], ["width=64"]) == [narrow, control]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code", "--only code: write KEY=VALUE"),
        ("=3", "--only =3: write KEY=VALUE"),
        ("cod=1", "unknown key of --only 'cod': did you mean code?"),
    ],
)
def test_a_wrong_choice_is_said(text: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        only_matching(ALL, [text])
    assert words in str(refused.value)
    assert only_matching([], ["code=1"]) == []
