"""The live page: made anew when the folder changes, for this machine alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from html import unescape
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.report.page.build import page
from bench.report.page.live import LivePage, folder_version, live_server
from bench.results.status import read_status
from tests.helpers.browser import browser
from tests.helpers.cli_driver import Person
from tests.helpers.fake_records import record
from tests.helpers.results_folders import write_records

ROOT = Path(__file__).parents[4]


@pytest.fixture
def served(tmp_path):
    """A folder with one record, and the address that its page is served at."""
    results = write_records(tmp_path, [record("ks", 0.1)])
    live = LivePage(results, lambda: page(read_status(results), results, live=True))
    with live_server(live, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield results, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def get(address, **headers):
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def cells(text):
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    return [cell["id"] for cell in data["cells"]]


def test_a_new_record_is_on_the_next_page(served) -> None:
    results, address = served
    before, version = get(address), get(f"{address}version")
    assert cells(before) == [record("ks", 0.1).id]
    assert "connect-src 'self'" in unescape(before)
    assert get(f"{address}version") == version
    write_records(results, [record("tcl", 0.1)])
    assert get(f"{address}version") != version
    assert len(cells(get(address))) == 2


def test_an_unchanged_folder_is_not_read_again(tmp_path) -> None:
    made = []
    live = LivePage(write_records(tmp_path, [record()]), lambda: made.append(1) or "a page")
    assert live.text() == live.text() == "a page"
    assert len(made) == 1


def test_a_heartbeat_is_no_news_and_a_claim_is(tmp_path) -> None:
    results = write_records(tmp_path, [record()])
    (folder,) = (results / "runs").iterdir()
    before = folder_version(results)
    (folder / "claim-1.json").write_text("{}")
    claimed = folder_version(results)
    assert claimed != before
    (folder / "claim-1.json").write_text('{"step": 3}')
    assert folder_version(results) == claimed


def test_what_is_not_there_and_who_is_not_here_get_no_answer(served) -> None:
    _, address = served
    for path, headers, code in (("runs", {}, 404), ("", {"Host": "evil.example:80"}, 403)):
        with pytest.raises(urllib.error.HTTPError) as error:
            get(address + path, **headers)
        assert error.value.code == code
        error.value.close()


def test_port_80_goes_without_saying(served) -> None:
    _, address = served
    assert get(address, Host="localhost")


def test_an_empty_folder_waits(tmp_path) -> None:
    live = LivePage(tmp_path, lambda: page(read_status(tmp_path), tmp_path, live=True))
    assert "run some cells first" in live.text()
    assert 'http-equiv="refresh"' in live.text()


def test_a_port_that_is_taken_is_a_sentence(served, tmp_path) -> None:
    port = int(served[1].rsplit(":", 1)[1].rstrip("/"))
    with pytest.raises(UsageError, match=f"port {port} cannot be had"):
        live_server(LivePage(tmp_path, str), port)
    with pytest.raises(UsageError, match="port 99999 cannot be had"):
        live_server(LivePage(tmp_path, str), 99999)


def test_serving_and_writing_exclude_each_other(tmp_path, monkeypatch, capsys) -> None:
    person = Person(tmp_path, tmp_path / "cache", tmp_path, monkeypatch, capsys)
    assert "leave out --out" in person.asks("report --serve --out page.html").error


def test_the_command_serves_until_it_is_stopped(tmp_path) -> None:
    results = write_records(tmp_path, [record("ks", 0.1)])
    command = [sys.executable, "-m", "bench", "report", "--serve", "--port", "0", "--results"]
    with subprocess.Popen(
        [*command, str(results)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        assert cells(get(address)) == [record("ks", 0.1).id]
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "ended\n"
        assert process.wait(60) == 0


def test_an_open_page_loads_itself_again(served, tmp_path_factory) -> None:
    results, address = served
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        tab.open(f"{address}#/metric=kappa")
        assert "1 cells" in tab.js("document.querySelector('#summary').textContent")
        known = "document.documentElement.dataset.version"
        look = f"const timer = setInterval(() => {known} && done(clearInterval(timer)), 20)"
        tab.js(f"new Promise(done => {{ {look} }})")
        loads = tab.loads
        write_records(results, [record("tcl", 0.1)])
        tab.wait_for_load(loads)
        assert "2 cells" in tab.js("document.querySelector('#summary').textContent")
        assert "metric=kappa" in tab.js("location.hash")
        assert tab.complaints == []
