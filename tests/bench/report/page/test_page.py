"""The report page: it holds what the tables hold, needs nothing else, and trusts no name."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bench.report.aggregate import RunMatrix
from bench.report.model import ReportError
from bench.report.page.build import as_json, page
from bench.report.page.cells import CELL_BYTES, HISTORY_POINTS, Pool, cell_rows
from bench.report.page.tables import TAKEN_OVER
from bench.report.tables.entry_text import format_entry
from bench.report.tables.kinds import tables
from bench.results.requests import RequestedCell, write_request
from bench.results.status import read_status
from tests.helpers.cli_driver import Person, quoted
from tests.helpers.fake_records import counted, record
from tests.helpers.results_folders import AUDIT, RATIOS, small_study, write_records

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def person(tmp_path, monkeypatch, capsys):
    return Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)


def page_of(results, **options):
    return page(read_status(results), results, **options)


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


class Tags(HTMLParser):
    """The tags of a page, as a browser sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_entries_are_those_of_the_tables(tmp_path) -> None:
    records = small_study()
    data = data_of(page_of(write_records(tmp_path, records)))
    found = data["conditions"][0]["selections"]["last"]
    matrix = RunMatrix.of(records, "last")
    assert [line["label"] for line in found["lines"]] == [line.label for line in matrix.lines]
    assert found["ratios"] == list(RATIOS)
    for line, row in zip(matrix.lines, found["metrics"]["f1"]["entries"], strict=True):
        for ratio, (value, spread, n, low, high, state, cells) in zip(RATIOS, row, strict=True):
            expected = matrix.score(line, ratio, intervals=True)
            assert (n, state) == (expected.n, expected.state)
            assert value == pytest.approx(expected.value, abs=0.0051)
            assert spread == pytest.approx(expected.spread, abs=0.0051)
            assert (low, high) == pytest.approx(expected.interval, abs=0.0051)
            behind = {data["cells"][place]["id"] for place in cells}
            assert behind == {each.id for each in line.at(ratio).values()}
    assert found["metrics"]["f1"]["aus"][0][0][1] == [60.0, "done"]


def test_subjects_have_the_f1_of_their_pooled_counts(tmp_path) -> None:
    runs = [record("ks", 0.1, seed=seed, f1=f1) for seed, f1 in ((0, [0.4, 0.8]), (1, [0.6, 0.8]))]
    found = data_of(page_of(write_records(tmp_path, runs)))["conditions"][0]["selections"]["last"]
    ks = [line["label"] for line in found["lines"]].index("ks")
    told = found["subjects"][ks][0]
    assert set(told) == set(counted([0.4, 0.8]).counts)
    assert told["F000"] == [65.0, 50.0, 80.0]


def test_pseudo_labels_are_metrics_of_those_who_used_them(tmp_path) -> None:
    found = data_of(page_of(write_records(tmp_path, small_study())))
    metrics = found["conditions"][0]["selections"]["last"]["metrics"]
    labels = [line["label"] for line in found["conditions"][0]["selections"]["last"]["lines"]]
    right = dict(zip(labels, metrics["pseudo-right"]["entries"], strict=True))
    assert right["ks"][0][0] == pytest.approx(100 * AUDIT["overall_accuracy"])
    assert right["supervised"][0][0] is None


def test_every_cell_tells_how_it_was_made_and_what_became_of_it(tmp_path) -> None:
    records = small_study(environment={"device": "cpu", "commit": "c0ffee", "command": "run it"})
    data = data_of(page_of(write_records(tmp_path, records)))
    cells = {cell["id"]: cell for cell in data["cells"]}
    assert set(cells) == {each.id for each in records}
    done = next(cell for cell in cells.values() if cell["state"] == "done")
    pool = data["pool"]
    assert pool[done["environment"]] == {"device": "cpu", "commit": "c0ffee", "command": "run it"}
    assert ["method.alpha", 0.5] in pool[done["knobs"]]
    assert pool[done["hashes"]["folds"]] == "f01d"
    assert pool[done["history"]["columns"]] == ["step", "epoch", "lr", "au"]
    assert done["history"]["rows"][-1] == [60, 1, 0.01, 0.01667]
    (failed,) = [cell for cell in cells.values() if cell["state"] == "failed"]
    assert failed["reason"] == "out of memory"


def test_cells_that_were_asked_for_and_never_begun_are_told(tmp_path) -> None:
    results = write_records(tmp_path, small_study())
    place = {**record("tcl", 0.5).cell}
    asked = RequestedCell(id="tcl-somewhere", cell=place, hashes={}, config={}, code={})
    write_request(results / "grids" / "a.json", [asked], "python -m bench run --methods tcl")
    data = data_of(page_of(results))
    (cell,) = [cell for cell in data["cells"] if cell["state"] == "missing"]
    assert (cell["id"], cell["condition"]) == ("tcl-somewhere", 0)
    assert data["pool"][cell["asked"]] == "python -m bench run --methods tcl"


def test_names_are_text_wherever_they_come_from(tmp_path) -> None:
    scores = counted([0.5, 0.5])
    scores.counts[EVIL] = scores.counts["F000"]
    evil = record(EVIL, id="evil", scores={"last": scores}, rule=EVIL, warnings=[EVIL])
    text = page_of(write_records(tmp_path, [evil]), command=EVIL)
    scripts = [attributes for tag, attributes in Tags(text).tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert EVIL in json.dumps(data_of(text))
    assert "alert(1)</script>" not in text


def test_the_page_asks_for_nothing_and_runs_no_script_but_its_own(tmp_path) -> None:
    text = page_of(write_records(tmp_path, small_study()))
    tags = Tags(text).tags
    assert not [a for _, a in tags for name in ("src", "action", "srcset", "poster") if name in a]
    assert [a["href"] for tag, a in tags if tag == "link"] == ["data:,"]
    policy = next(a["content"] for tag, a in tags if a.get("http-equiv"))
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"'sha256-{digest}'" in policy
    assert "connect-src" not in policy


def test_the_page_has_one_heading_a_section_and_a_way_past_the_menu(tmp_path) -> None:
    tags = Tags(page_of(write_records(tmp_path, small_study()))).tags
    ids = {attributes["id"] for _, attributes in tags if "id" in attributes}
    sections = [attributes for tag, attributes in tags if tag == "section"]
    assert len(sections) == 10
    assert {section["aria-labelledby"] for section in sections} <= ids
    assert ("a", {"class": "skip", "href": "#main"}) in tags
    assert dict(tags)["html"] == {"lang": "en"}


def test_json_in_a_page_has_no_sign_that_html_reads() -> None:
    text = as_json({"a": "</script><!-- & é \u2028"})
    assert not re.search("[<>&]", text)
    assert json.loads(text) == {"a": "</script><!-- & é \u2028"}


def test_equal_folders_give_equal_pages(tmp_path) -> None:
    one, other = (write_records(tmp_path / name, small_study()) for name in "ab")
    assert page_of(one) == page_of(other)


def test_records_that_cannot_be_compared_are_told_and_the_rest_is_shown(tmp_path) -> None:
    foreign = record("tcl", 0.1, hashes={**record().hashes, "mask": "another"})
    other = small_study(dataset="disfa")
    data = data_of(page_of(write_records(tmp_path, [*small_study(), foreign, *other])))
    told = {condition["name"][0]: condition for condition in data["conditions"]}
    assert "different label masks" in told["synthetic"]["problems"][0]
    assert told["synthetic"]["selections"] == {}
    assert "last" in told["disfa"]["selections"]


def test_histories_are_thinned_and_at_last_left_out(tmp_path, monkeypatch) -> None:
    results = write_records(tmp_path, [record("ks")])
    line = '{"step": %d, "epoch": 1.0, "lr": 0.1, "au": 0.123456789}\n'
    path = results / "runs" / record("ks").id / "history.jsonl"
    path.write_text("".join(line % step for step in range(1, 1001)) + '{"step": 10')
    cells = read_status(results).cells
    (cell,) = cell_rows(cells, results, Pool())
    rows = cell["history"]["rows"]
    assert (len(rows), cell["history"]["of"]) == (HISTORY_POINTS, 1000)
    assert rows[-1] == [1000, 1, 0.1, 0.1235]
    monkeypatch.setattr("bench.report.page.cells.CELL_BYTES", 10)
    (cell,) = cell_rows(cells, results, Pool())
    assert "history" not in cell
    assert cell["unshown"] == 1000
    assert CELL_BYTES < 8_000_000


def test_nothing_to_show_is_said(tmp_path) -> None:
    with pytest.raises(ReportError, match=r"there are no records in .*runs: run some cells first"):
        page_of(tmp_path)


@pytest.mark.parametrize("typed", ["--results 'my runs'", "'--results=my runs'"])
def test_the_page_says_how_to_print_its_numbers(tmp_path, typed: str) -> None:
    status = read_status(write_records(tmp_path, small_study()))
    text = page(status, tmp_path, command=f"python -m bench report {typed} --only lr=1")
    told = "python -m bench table --results 'my runs' --format csv"
    assert data_of(text)["csv"] == told


def test_a_person_gets_a_file(person: Person, tmp_path) -> None:
    assert person.asks("report").error.startswith("there are no records in")
    write_records(person.results, small_study())
    answer = person.asks("report", "--out", tmp_path / "new" / "page.html")
    assert answer.code == 0, answer.err
    assert answer.out.startswith(str(tmp_path / "new" / "page.html"))
    data = data_of((tmp_path / "new" / "page.html").read_text())
    assert "--out" in data["command"]
    assert data["csv"].endswith(f"{quoted(person.results)} --format csv")
    (person.results / "runs" / small_study()[0].id / "record.json").write_text("{")
    again = person.asks("report --methods ks,supervised")
    assert "left out" in again.err
    labels = data_of((person.results / "report.html").read_text())["conditions"][0]
    assert {line["label"] for line in labels["selections"]["last"]["lines"]} == {"ks", "supervised"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("report --methods ksx", "no cell is of method ksx: did you mean ks"),
        ("report --port 9000", "--port is of --serve"),
        ("report --only lr", "--only lr: write KEY=VALUE"),
        ("report --out .", "is a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(person: Person, line, error) -> None:
    write_records(person.results, small_study())
    assert error in person.asks(line).error


def test_tables_are_taken_over_with_the_numbers_behind_their_texts(tmp_path) -> None:
    records = small_study()
    data = data_of(page_of(write_records(tmp_path, records)))
    ranks, ablation, speed = data["tables"]
    assert [part["heading"] for part in (ranks, ablation, speed)] == list(TAKEN_OVER.values())
    (expected,) = tables("ranks", records, against="supervised")
    (found,) = ranks["tables"]
    assert (found["title"], found["columns"]) == (expected.title, list(expected.headings))
    assert found["ratio"] == ""
    for row, own in zip(found["rows"], expected.rows, strict=True):
        assert row["label"] == own.label
        for (text, value), entry in zip(row["entries"], own.entries, strict=True):
            assert text == format_entry(entry)
            assert value == (None if entry.value is None else pytest.approx(entry.value, abs=1e-4))
    assert {table["ratio"] for table in ablation["tables"]} == {f"{ratio:g}" for ratio in RATIOS}


def test_a_table_that_cannot_be_made_says_why(tmp_path) -> None:
    """Two versions of the control: a comparison with it must be told which."""
    other = [
        replace(
            r, id=f"{r.id}-x", hashes={**r.hashes, "config": "other"}, config={"train": {"lr": 1}}
        )
        for r in small_study()
        if r.cell["method"] == "supervised"
    ]
    ranks = data_of(page_of(write_records(tmp_path, [*small_study(), *other])))["tables"][0]
    assert (ranks["heading"], ranks["tables"]) == (TAKEN_OVER["ranks"], [])
    assert "bench table ranks: supervised was run in more than one version" in ranks["why"]


def test_published_numbers_and_gaps_are_those_of_the_table(tmp_path) -> None:
    frames = {"train": 97_000, "validation": 1_000, "test": 48_847}
    records = small_study(dataset="bp4d", frames=frames)
    data = data_of(page_of(write_records(tmp_path, records)))
    paper = data["conditions"][0]["selections"]["last"]["paper"]
    (expected,) = tables("ssl", records, published=True, variants=True)
    rows = {(row.label, row.source): row.entries for row in expected.rows}
    lines = data["conditions"][0]["selections"]["last"]["lines"]
    for line, gaps in zip(lines, paper["gaps"], strict=True):
        told = [entry.gap for entry in rows[line["label"], "measured"]]
        assert gaps == [None if gap is None else pytest.approx(gap, abs=1e-4) for gap in told]
    assert any(gap is not None for gaps in paper["gaps"] for gap in gaps)
    for label, printed in paper["rows"].items():
        assert printed == [[entry.value, entry.state] for entry in rows[label, "paper"]]
    assert {"ks", "fixmatch", "eac"} <= set(paper["rows"])


def test_data_that_are_not_the_papers_say_why_it_is_not_beside(tmp_path) -> None:
    data = data_of(page_of(write_records(tmp_path, small_study())))
    paper = data["conditions"][0]["selections"]["last"]["paper"]
    assert paper == {"note": "no published numbers: the paper has none on synthetic"}
