"""Pictures of every page of the demo: ``python -m tests.web.browser.screenshots FOLDER``.

Each page is taken in light, in dark, and 390 pixels wide. With ``--publish``, those that the README
shows are written to `.github/` as well.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import wait_until
from tests.web.browser.walk import walk
from tests.web.browser.webdriver import DESKTOP, PHONE, Browser, running_browser

PUBLISHED = Path(__file__).parents[3] / ".github"
_DEMO = [sys.executable, "-m", "huey_signals_kit", "demo", "--web", "--port", "0"]
LOOKS = {"light": (False, DESKTOP), "dark": (True, DESKTOP), "phone": (False, PHONE)}
_WORK_SECONDS = 25
"""How long the consumers work before the first picture."""


@contextmanager
def running_demo() -> Iterator[str]:
    """Run the demo during the block, and yield the address of its page."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(_DEMO, stderr=log)

        def address() -> str | None:
            log.seek(0)
            found = re.search(r"Serving (\S+)", log.read())
            return found and found[1]

        try:
            yield str(wait_until(address, 60, "the demo"))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def take(folder: Path, publish: bool) -> None:
    """Take all pictures.

    Args:
        folder: Where they go.
        publish: Whether the pictures of the README are written too.
    """
    with (
        running_demo() as url,
        tempfile.TemporaryDirectory() as home,
        running_browser(Path(home)) as browser,
    ):
        time.sleep(_WORK_SECONDS)
        for number, (name, address) in enumerate(walk(browser, url)):
            for look, (dark, size) in LOOKS.items():
                browser.look(dark=dark, size=size)
                browser.open(address)
                browser.screenshot(folder / f"{number:02}-{name.replace('/', '-')}-{look}.png")
                if publish and name == "overview" and size == DESKTOP:
                    wait_until(lambda: _has_all_states(browser), 60, "a held lock of each state")
                    browser.screenshot(PUBLISHED / f"page-{look}.png", whole=False)


def _has_all_states(browser: Browser) -> bool:
    browser.open(browser.url)
    return all(state in browser.text for state in ("dead", "unknown", "alive"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    take(arguments.folder, arguments.publish)
