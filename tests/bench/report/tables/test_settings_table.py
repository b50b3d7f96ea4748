"""One method in several settings, and the change of each, run by run, from one of them."""

from __future__ import annotations

import pytest

from bench.report.model import NothingToShow, ReportError, Table
from bench.report.tables.kinds import tables
from bench.report.tables.settings import settings_tables
from bench.results.records import Record
from tests.helpers.fake_records import record


def runs(**f1: float) -> list[Record]:
    """Three seeds of KS under each stride, and the control under one; all subjects alike."""
    found = [record("supervised", seed=seed, f1=0.6) for seed in range(3)]
    for stride, value in f1.items():
        for seed, shift in enumerate((0, 1, -1)):
            config = {"data": {"stride": stride}, "method": {}}
            f1, name = value + shift / 100, f"ks-{stride}-{seed}"
            found.append(record("ks", seed=seed, f1=f1, config=config, id=name))
            found[-1].hashes["config"] = stride
    return found


def values(table: Table) -> dict[str, tuple[float | None, ...]]:
    return {row.label: tuple(e.value for e in row.entries) for row in table.rows}


def test_each_setting_s_change_from_the_first_is_paired() -> None:
    (table,) = settings_tables(runs(near=0.50, wide=0.60))
    assert table.title.startswith("ks in 2 settings, mean F1")
    assert table.columns == ("10 %", "change")
    near, wide = values(table)["ks (data.stride=near)"], values(table)["ks (data.stride=wide)"]
    assert near == (pytest.approx(50), None)
    assert wide == (pytest.approx(60), pytest.approx(10))
    # the seeds' shifts fall out of a paired difference: nothing of it is left to chance
    assert table.rows[1].entries[1].interval == pytest.approx((10, 10))
    assert table.rows[1].entries[1].n == 3


def test_another_setting_can_be_what_they_are_compared_with() -> None:
    (table,) = settings_tables(runs(near=0.50, wide=0.60), against="wide")
    assert list(values(table)) == ["ks (data.stride=wide)", "ks (data.stride=near)"]
    assert values(table)["ks (data.stride=near)"][1] == pytest.approx(-10)


def test_a_name_that_fits_no_setting_or_several_is_a_sentence() -> None:
    with pytest.raises(ReportError, match=r"'far' is in none of the settings of ks: ks "):
        settings_tables(runs(near=0.50, wide=0.60), against="far")
    with pytest.raises(ReportError, match=r"'stride' fits several of the settings"):
        settings_tables(runs(near=0.50, wide=0.60), against="stride")


def test_methods_with_one_setting_have_no_table() -> None:
    with pytest.raises(NothingToShow, match="no method was run in two settings"):
        settings_tables(runs(near=0.50))


def test_only_ranks_and_settings_take_a_row_to_compare_with() -> None:
    (table,) = tables("settings", runs(near=0.50, wide=0.60), against="near")
    assert table.rows[0].label == "ks (data.stride=near)"
    with pytest.raises(ReportError, match="only `ranks` and `settings` compare with one row"):
        tables("ssl", runs(near=0.50), against="ks")
