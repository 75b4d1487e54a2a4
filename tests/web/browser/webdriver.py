"""A headless Chromium, driven by the WebDriver protocol of W3C.

The tests need a dozen of its commands, which the standard library can send. So no package has to
keep up with the browser: Debian releases Chromium and its driver together.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import NoServer, free_port
from tests.support import wait_until

PHONE, DESKTOP = (390, 844), (1200, 820)
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The name that W3C gave to references to elements."""
_SECONDS = 60
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # refuses to start as root otherwise; it loads nothing but the tests' own pages
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


class BrowserError(Exception):
    """The browser could not do what it was asked for; the message is its own."""


class Browser:
    """One window of a browser.

    Args:
        server: The address of the driver.
        binary: The path of the browser.
        folder: Folder for its profile.
    """

    def __init__(self, server: str, binary: str, folder: Path) -> None:
        self._url = server
        options = {"binary": binary, "args": [*_ARGUMENTS, f"--user-data-dir={folder}"]}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        session = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._url = f"{server}/session/{session['sessionId']}"

    def open(self, url: str) -> None:
        """Load a page, and wait for it."""
        self._post("/url", url=url)

    def look(self, *, dark: bool = False, size: tuple[int, int] = DESKTOP) -> None:
        """Set the color scheme that the user prefers, and the width and height of the window."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])
        width, height = size
        measures = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", **measures)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function of JavaScript returns, also by a promise."""
        text = f"return (async function() {{ {script} }}).apply(null, arguments)"
        return self._post("/execute/sync", script=text, args=arguments)

    def find(self, css: str) -> str:
        """Return a reference to the first element; raise `BrowserError` if there is none."""
        found: dict[str, str] = self._post("/element", using="css selector", value=css)
        return found[_ELEMENT]

    def click(self, css: str) -> None:
        """Click on the first element, which must be visible, as a person does."""
        self._post(f"/element/{self.find(css)}/click")

    def press(self, keys: str) -> None:
        """Press keys, where the focus is."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": strokes}])

    @property
    def url(self) -> str:
        """The address of the page."""
        return str(self._send("GET", "/url"))

    @property
    def text(self) -> str:
        """What the page shows."""
        return str(self.run("return document.body.innerText"))

    @property
    def status(self) -> int:
        """The status of HTTP with which the page came."""
        return int(self.run("return performance.getEntriesByType('navigation')[0].responseStatus"))

    def console(self) -> list[str]:
        """Return what was written to the console since the last call, also by the browser."""
        return [entry["message"] for entry in self._post("/se/log", type="browser")]

    def cdp(self, command: str, **parameters: Any) -> Any:
        """Send a command of Chromium's own protocol."""
        return self._post("/goog/cdp/execute", cmd=command, params=parameters)

    @contextmanager
    def without(self, *patterns: str) -> Iterator[None]:
        """Load no file whose address matches during the block."""
        self.cdp("Network.enable")
        self.cdp("Network.setBlockedURLs", urls=patterns)
        try:
            yield
        finally:
            self.cdp("Network.setBlockedURLs", urls=[])

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page, down to its end unless `whole` is False."""
        shot = self.cdp("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        root = "document.scrollingElement"
        width, height = self.run(f"return [innerWidth, Math.max({root}.scrollHeight, 200)]")
        return {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}

    def close(self) -> None:
        """End the browser."""
        self._send("DELETE", "")

    def _post(self, path: str, **content: Any) -> Any:
        return self._send("POST", path, content)

    def _send(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        request = urllib.request.Request(self._url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            problem = json.load(error)["value"]
            raise BrowserError(f"{problem['error']}: {problem['message']}") from None


@contextmanager
def running_browser(folder: Path) -> Iterator[Browser]:
    """Run a browser during the block.

    Args:
        folder: An empty folder for its profile and the log of its driver.
    """
    driver, binary = shutil.which("chromedriver"), _binary()
    if driver is None or binary is None:
        raise NoServer("no Chromium with its driver: apt install chromium chromium-driver")
    port, log = free_port(), folder / "driver.log"
    with log.open("wb") as output:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=output, stderr=output)
    server = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _is_ready(server), _SECONDS, "the driver of the browser", log)
        browser = Browser(server, binary, folder / "profile")
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _binary() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


def _is_ready(server: str) -> bool:
    try:
        with urllib.request.urlopen(f"{server}/status", timeout=_SECONDS) as answer:
            return bool(json.load(answer)["value"]["ready"])
    except OSError:
        return False
