"""A headless Chromium, driven by its own protocol: pages as a person sees and uses them."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

needs_chromium = pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
PATIENCE = 60.0  # seconds; other tests may hold the cores


_PLAYED = """
<script>
const file = new Promise((resolve) => {
  URL.createObjectURL = (blob) => { resolve(blob.text()); return "#"; };
});
const press = (key, target = document) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const told = (found) => {
  const shown = document.createElement("pre");
  shown.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
  document.body.replaceChildren(shown);
};
CODE</script></body>
"""


def played(page: str, code: str, folder: Path) -> Any:
    """What a script finds that is put at the end of a page that stands alone, without its policy.

    Args:
        page: HTML.
        code: JavaScript; has `press` (a key), `file` (a promise of what the page exports), and `told`, which
            takes what it found.
        folder: for the copy and the browser's profile.
    """
    page = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", page)
    (folder / "page.html").write_text(page.replace("</body>", _PLAYED.replace("CODE", code)))
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
        "--virtual-time-budget=5000", "--dump-dom", (folder / "page.html").as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    return json.loads(base64.b64decode(re.search(r"<pre>(.*?)</pre>", shown, re.DOTALL)[1]))


class Tab:
    """One page."""

    def __init__(self, socket: Any) -> None:
        self._socket, self._n = socket, 0
        self.problems: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **params: Any) -> Any:
        self._n += 1
        self._socket.send(json.dumps({"id": self._n, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == self._n:
                assert "error" not in said, said
                return said["result"]
            if said.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(json.dumps(said["params"])[:600])

    def js(self, code: str) -> Any:
        """The value of an expression."""
        found = self("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, code: str) -> None:
        """Wait until an expression is true; on a page that is not there yet it may fail."""
        end = time.monotonic() + PATIENCE
        while not self.js(f"(() => {{ try {{ return Boolean({code}) }} catch {{ return false }} }})()"):
            assert time.monotonic() < end, (
                f"never true: {code}; the page says: {self.js('document.body.innerText')[:800]}"
            )
            time.sleep(0.05)

    def open(self, address: str, ready: str) -> None:
        """Go to an address and wait until it is there."""
        self("Page.navigate", url="about:blank")
        self("Page.navigate", url=address)
        self.until(ready)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """Be a screen of this size."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )

    def press(self, key: str) -> None:
        """Press and let go of a key."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        codes = {"Enter": 13, "Tab": 9, "Escape": 27}
        about = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        self("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self("Input.dispatchKeyEvent", type="keyUp", **about)

    def write(self, text: str) -> None:
        """Write into what has the focus."""
        self("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click in the middle of an element with the mouse."""
        self.js(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        x, y = self.js(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect(); "
            "return [b.x + Math.min(b.width / 2, 40), b.y + Math.min(b.height / 2, 12)]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> None:
        """Keep what is seen."""
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot")["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """A browser with one empty page, its profile in a folder.

    Args:
        folder: empty.
    """
    websocket = pytest.importorskip("websocket")
    command = [
        "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--disable-features=IsolateSandboxedIframes",
        f"--user-data-dir={folder}", "--remote-debugging-port=0", "about:blank",
    ]  # fmt: skip
    left = tempfile.mkdtemp()  # it leaves a socket where temporary files lie, whose path must be short
    own = os.environ | {"TMPDIR": left}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own)
    try:
        port = _waited(lambda: (folder / "DevToolsActivePort").read_text().split()[0])
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def first() -> str:
            with opener.open(f"http://127.0.0.1:{port}/json") as found:
                return next(tab["webSocketDebuggerUrl"] for tab in json.load(found) if tab["type"] == "page")

        address = _waited(first)
        socket = websocket.create_connection(
            address, suppress_origin=True, timeout=2 * PATIENCE, http_no_proxy=["127.0.0.1"]
        )
        try:
            yield Tab(socket)
        finally:
            socket.close()
    finally:
        process.terminate()
        process.wait(PATIENCE)
        shutil.rmtree(left, ignore_errors=True)


def _waited(ask: Any) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (OSError, IndexError, StopIteration, ValueError):
            assert time.monotonic() < end, "chromium does not start"
            time.sleep(0.1)
