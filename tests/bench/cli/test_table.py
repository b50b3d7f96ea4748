"""`table`: what is chosen on the command line is what the table is of."""

from __future__ import annotations

from bench.results.records import write_record
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import record


def test_ranks_against_one_method_need_not_name_it_twice(tmp_path, monkeypatch, capsys):
    person = Person(tmp_path, tmp_path, tmp_path, monkeypatch, capsys)
    for method, f1 in (("supervised", 0.5), ("ks", 0.6), ("tcl", 0.4)):
        write_record(person.results / "runs" / method, record(method, f1=f1))
    header = person.asks("table ranks --against supervised --methods ks").out.splitlines()[2]
    assert [text.strip() for text in header.strip("|").split("|")] == [
        "method",
        "mean rank",
        "over supervised",
    ]
    whole = person.asks("table ranks").out
    assert "over tcl" in whole
    assert person.asks("table --against supervised").error.startswith("only `ranks` and `settings`")


def test_the_ablation_of_a_method_is_of_its_variants(tmp_path, monkeypatch, capsys):
    person = Person(tmp_path, tmp_path, tmp_path, monkeypatch, capsys)
    for place, method in enumerate(("ks", "ks:no_skd", "tcl", "tcl:no_kd")):
        write_record(person.results / "runs" / str(place), record(method))
    told = person.asks("table ablation --methods ks").out
    assert "no_skd" in told
    assert "no_kd" not in told.replace("no_skd", "")
