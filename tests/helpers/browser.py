"""A headless Chromium, if this machine has one, driven through a pipe: no port and no package.

The DevTools protocol as `--remote-debugging-pipe` speaks it: JSON messages that end in a zero byte,
read from the browser's file descriptor 3 and written to its 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0
"""Seconds for an answer, on a machine that others work on."""

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40}


def find_browser() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One tab, and all that it complained of or asked the network for."""

    def __init__(self, read: int, write: int):
        self.read, self.write = read, write
        self.buffer, self.number, self.session = b"", 0, ""
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.loads = 0

    def ask(self, method: str, **params: Any) -> Any:
        """Send a command and return its result; events that come before are taken in."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer.get("result", {})
            self._take(answer)

    def open(
        self, address: str, width: int = 1280, height: int = 900, *, dark: bool = False
    ) -> None:
        """Load a page in a window of this size and wait until it has been drawn."""
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=phone)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        before = self.loads
        if "loaderId" in self.ask("Page.navigate", url=address):  # else only the anchor differs
            self.wait_for_load(before)

    def wait_for_load(self, before: int) -> None:
        """Take in events until a page has been loaded since there were `before` loads."""
        while self.loads == before:
            self._take(self._next())

    def js(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, waiting for it if it is a promise."""
        told = self.ask("Runtime.evaluate", expression=expression, returnByValue=True,
                        awaitPromise=True)  # fmt: skip
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key, as a person at the keyboard does."""
        told = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        told |= {"modifiers": 8 if shift else 0}
        text = {"text": "\r"} if key == "Enter" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **told, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **told)

    def type(self, text: str) -> None:
        self.ask("Input.insertText", text=text)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what the window shows, or the whole page, as PNG."""
        told = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))

    def roles(self) -> list[tuple[str, str]]:
        """Return (role, name) of everything that a screen reader is told of."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "").strip())
            for node in nodes
            if not node.get("ignored") and "role" in node
        ]

    def _take(self, event: dict[str, Any]) -> None:
        name, params = event.get("method", ""), event.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        elif name == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(json.dumps(params["args"]))
        elif name == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif name == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif name == "Page.loadEventFired":
            self.loads += 1

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            left = until - time.monotonic()
            ready, _, _ = select.select([self.read], [], [], max(0, left))
            assert ready, "the browser does not answer"
            part = os.read(self.read, 1 << 16)
            assert part, "the browser has ended"
            self.buffer += part
        message, _, self.buffer = self.buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with a profile of its own; skips the test where there is none."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()

    def hand_over() -> None:
        # descriptors may be 3 or 4 themselves: through high ones first
        os.dup2(os.dup2(their_in, 50), 3)
        os.dup2(os.dup2(their_out, 51), 4)

    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--no-first-run", "--disable-extensions", f"--user-data-dir={profile}",
               "--remote-debugging-pipe", "about:blank")  # fmt: skip
    process = subprocess.Popen(
        [program, *options], preexec_fn=hand_over, close_fds=False,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(their_in), os.close(their_out)
    try:
        tab = Browser(our_in, our_out)
        target = tab.ask("Target.createTarget", url="about:blank")["targetId"]
        tab.session = tab.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            tab.ask(f"{domain}.enable")
        yield tab
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        os.close(our_in), os.close(our_out)
