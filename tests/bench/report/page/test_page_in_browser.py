"""The report page in a real browser: no complaint, no request, by keyboard, at two widths."""

from __future__ import annotations

from importlib.resources import files

import pytest

from bench.report.model import Entry
from bench.report.page.build import page, write_page
from bench.report.tables.entry_text import format_entry
from bench.results.status import read_status
from tests.helpers.browser import browser
from tests.helpers.fake_records import counted, record
from tests.helpers.results_folders import small_study, write_records

EVIL = "<script>window.evil=1</script><img src=x onerror=window.evil=1>"


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    scores = counted([0.5, 0.5])
    scores.counts[EVIL] = scores.counts["F000"]
    evil = record(EVIL, id="evil", scores={"last": scores}, warnings=[EVIL])
    results = write_records(folder, [*small_study(), evil])
    write_page(folder / "page.html", page(read_status(results), results, command=EVIL))
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The address of a page whose records can all be compared."""
    folder = tmp_path_factory.mktemp("compared")
    results = write_records(folder, small_study())
    write_page(folder / "page.html", page(read_status(results), results))
    return (folder / "page.html").as_uri()


@pytest.fixture
def opened(tab, address):
    """A fresh page; whatever a test does, nothing may be complained of or asked for."""
    tab.open("about:blank")
    tab.complaints.clear()
    tab.requests.clear()
    tab.open(address)
    yield tab
    assert tab.complaints == []
    assert {request.partition("#")[0] for request in tab.requests} <= {address}
    assert tab.js("window.evil") is None


def test_numbers_are_rounded_as_the_tables_round_them(opened):
    values = [47.05, 31.25, 31.75, -31.25, 0.25, -0.04, 0.05, 62.449999, 62.45, 8.0, 99.95]
    values += [0.375, 0.125, 50.005]
    script = (files("bench.report.page") / "assets" / "elements.js").read_text(encoding="utf-8")
    function = script[script.index("const isNumber") : script.index("const percent")]
    told = opened.js(f"{{{function} {values}.map((x) => [fixed(x), fixed(x, 2)])}}")
    assert told == [[format_entry(Entry(value=v, digits=d)) for d in (1, 2)] for v in values]


def numbers(tab, section="scores"):
    """The values that a section's first table shows in its first row."""
    return tab.js(
        f"[...document.querySelectorAll('#{section} tbody tr:first-child td')].map(x => "
        "(x.querySelector('a') ?? x).textContent)"
    )


def focused(tab):
    return tab.js(
        "(e => e.getAttribute('aria-label') ?? e.name ?? e.id ?? e.textContent)"
        "(document.activeElement)"
    )


def test_all_sections_are_drawn(opened) -> None:
    empty = "[...document.querySelectorAll('main .body')].filter(b => !b.children.length)"
    assert opened.js(f"{empty}.length") == 0
    assert opened.js("document.querySelectorAll('#curves a.point').length") == 3 * 3 + 1
    assert opened.js("document.querySelector('#failures .body').textContent").startswith("failed: ")


def test_metric_variants_and_filter_change_what_is_shown(opened) -> None:
    rows = "document.querySelectorAll('#scores tbody tr:not(.baseline)').length"
    assert opened.js(rows) == 4
    opened.js("document.querySelector('[name=variants]').click()")
    assert opened.js(rows) == 5
    opened.js("document.querySelector('[name=methods]').focus()")
    opened.type("fixm")
    assert opened.js(rows) == 1
    assert opened.js("document.activeElement.name") == "methods"
    before = numbers(opened)
    opened.js(
        "(s => { s.value = 'kappa'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('[name=metric]'))"
    )
    assert len(set(numbers(opened)) - set(before)) == 3
    assert "metric=kappa" in opened.js("location.hash")


def test_a_heading_sorts_its_table(opened) -> None:
    press = "document.querySelectorAll('#scores thead button')[1].click()"
    names = "[...document.querySelectorAll('#scores tbody th')].map(x => x.textContent)"
    before = opened.js(names)
    opened.js(press)
    assert opened.js("document.querySelectorAll('#scores thead th')[1].ariaSort") == "descending"
    down = opened.js(names)
    opened.js(press)
    assert opened.js(names) != down
    assert sorted(down) == sorted(before)


def test_a_taken_over_table_is_sorted_by_the_keyboard(tab, compared) -> None:
    tab.open(compared)
    names = "[...document.querySelectorAll('#more table')][0].querySelectorAll('tbody th')"
    order = f"[...{names}].map(x => x.textContent)"
    before = tab.js(order)
    assert before[0] == "supervised"
    tab.js("document.querySelectorAll('#more thead button')[1].focus()")
    tab.press("Enter")
    assert tab.js("document.querySelectorAll('#more thead th')[1].ariaSort") == "descending"
    falling = tab.js(order)
    tab.press("Enter")
    assert tab.js(order) == falling[::-1]
    assert sorted(falling) == sorted(before)
    assert tab.js("document.activeElement.textContent") == "mean rank ▲"


def test_numbers_of_taken_over_tables_lead_to_their_cells(tab, compared) -> None:
    tab.open(compared)
    links = "[...document.querySelectorAll('#detail tbody a')].map(x => x.textContent)"
    title = "document.querySelector('#detail-h').textContent"
    second = "[...document.querySelectorAll('#more tbody tr')][1]"
    tab.js(f"{second}.querySelectorAll('td a')[1].click()")
    tab.js("new Promise(done => setTimeout(done, 100))")
    assert tab.js(title) == "fixmatch and supervised at all shares of labels"
    found = tab.js(links)
    assert len(found) == 2 * 3 * 3 * 2
    assert sum("-fixmatch-" in name for name in found) == 3 * 3 * 2
    tab.press("Escape")
    tab.js("[...document.querySelectorAll('#more .scroll')][1].querySelector('td a').click()")
    tab.js("new Promise(done => setTimeout(done, 100))")
    assert tab.js(title) == "ks at 1 % labels"
    assert len(tab.js(links)) == 3 * 2


def test_the_papers_numbers_stand_below_with_the_gaps(tab, tmp_path) -> None:
    frames = {"train": 97_000, "validation": 1_000, "test": 48_847}
    results = write_records(tmp_path, small_study(dataset="bp4d", frames=frames))
    write_page(tmp_path / "page.html", page(read_status(results), results))
    tab.open("about:blank")
    tab.complaints.clear()
    tab.open((tmp_path / "page.html").as_uri(), 390)
    assert tab.js("document.documentElement.scrollWidth") <= 390
    printed = "[...document.querySelectorAll('#scores tr.paper th')].map(x => x.textContent)"
    assert {"ks (paper)", "eac (paper)"} <= set(tab.js(printed))
    assert "Δ" in tab.js("document.querySelector('#scores tbody').textContent")
    tab.js(
        "(s => { s.value = 'kappa'; s.dispatchEvent(new Event('change')); })"
        "(document.querySelector('[name=metric]'))"
    )
    assert tab.js(printed) == []
    assert tab.complaints == []


def test_a_number_leads_to_its_cells_and_a_cell_to_all_that_is_known(opened) -> None:
    opened.js("document.querySelector('#scores tbody td a').click()")
    opened.js("new Promise(done => setTimeout(done, 100))")
    links = "[...document.querySelectorAll('#detail tbody a')]"
    assert opened.js(f"{links}.length") == 6
    opened.js(f"{links}[0].click()")
    opened.js("new Promise(done => setTimeout(done, 100))")
    text = opened.js("document.querySelector('#detail').textContent")
    assert "Knobs" in text
    assert "method.alpha" in text
    opened.press("Escape")
    opened.js("new Promise(done => setTimeout(done, 100))")
    assert opened.js("document.querySelector('#detail').open") is False
    assert "cell=" not in opened.js("location.hash")


def test_the_keyboard_reaches_the_points_and_opens_one(opened) -> None:
    opened.press("Tab")
    assert focused(opened) == "Skip to the results" or "Skip" in opened.js(
        "document.activeElement.textContent"
    )
    opened.js("document.querySelector('#curves a.point').focus()")
    first = focused(opened)
    opened.press("ArrowRight")
    assert focused(opened) != first
    opened.press("ArrowDown")
    assert not focused(opened).startswith("supervised")
    assert opened.js("document.querySelector('#curves .tip').hidden") is False
    opened.press("Enter")
    opened.js("new Promise(done => setTimeout(done, 100))")
    assert opened.js("document.querySelector('#detail').open") is True


def test_an_action_unit_and_a_subject_can_be_looked_into(opened, address) -> None:
    opened.open(f"{address}#/au=12&subject=F000")
    opened.js("new Promise(done => setTimeout(done, 100))")
    assert "of AU12" in opened.js("document.querySelector('#curves svg[role]').ariaLabel")
    assert "Subject F000" in opened.js("document.querySelector('#subjects caption').textContent")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_window(opened, address, width, dark) -> None:
    opened.open("about:blank")
    opened.open(address, width, dark=dark)
    assert opened.js("document.documentElement.scrollWidth") <= width
    ground = opened.js("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 23, 26)" if dark else "rgb(255, 255, 255)")


def test_screen_readers_are_told_what_things_are(opened) -> None:
    roles = opened.roles()
    assert {"main", "navigation", "table", "columnheader", "rowheader"} <= {r for r, _ in roles}
    unnamed = {"link", "button", "combobox", "checkbox", "searchbox", "region"}
    assert [role for role, name in roles if role in unnamed and not name] == []
    assert ("combobox", "Metric") in roles
