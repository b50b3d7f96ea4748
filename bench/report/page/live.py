"""Serves the report page on this machine while a grid runs; for `bench report --serve`.

The page is made anew when a record, a claim or a grid has appeared since it was made; an open page
asks for the folder's version every few seconds and loads itself again. Only this machine is served.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.errors import UsageError
from bench.report.model import ReportError
from bench.system.hashing import digest

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""What a browser on this machine may call it: a foreign name that leads here is not answered."""

WAITING = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" \
content="3"><title>Waiting</title><p>{}</p></html>"""


def folder_version(results: Path) -> str:
    """Return a hash of which records, claims and grids there are, and of when they were written.

    Of claims only that they are there: their heartbeats are no news.
    """
    told = []
    for pattern in ("runs/*/record.json", "grids/*.json"):
        for path in sorted(results.glob(pattern)):
            try:
                stat = path.stat()
            except OSError:  # replaced at this moment: the next look sees the new one
                continue
            told.append([str(path.relative_to(results)), stat.st_mtime_ns, stat.st_size])
    claims = sorted(str(path.relative_to(results)) for path in results.glob("runs/*/claim-*.json"))
    return digest([told, claims])


class LivePage:
    """The page as it was last made; made again where the folder has changed."""

    def __init__(self, results: Path, make: Callable[[], str]):
        self.results, self.make = results, make
        self._lock = threading.Lock()
        self._made: tuple[str, str] | None = None

    def text(self) -> str:
        """Return the page; a sentence that loads itself again where there is nothing to show."""
        with self._lock:
            version = folder_version(self.results)
            if self._made is None or self._made[0] != version:
                try:
                    self._made = version, self.make()
                except (ReportError, UsageError) as error:
                    return WAITING.format(escape(str(error)))
            return self._made[1]


def live_server(live: LivePage, port: int) -> ThreadingHTTPServer:
    """Open a port (0 = any free one) of this machine; raises UsageError if it cannot be had."""

    class Handler(_Handler):
        page = live

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"port {port} cannot be had ({reason}): choose another --port") from None


class _Handler(BaseHTTPRequestHandler):
    page: LivePage

    def do_GET(self) -> None:
        """Answer `/` with the page and `/version` with the folder's; nothing else is there."""
        name = (self.headers.get("Host") or "").partition(":")[0]  # port 80 goes without saying
        if name not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._answer(self.page.text(), "text/html")
        elif self.path == "/version":
            self._answer(folder_version(self.page.results), "text/plain")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Say nothing of requests."""
