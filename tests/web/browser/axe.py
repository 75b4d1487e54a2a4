"""axe-core, fetched from npm, and the accessibility violations that it finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import NoServer
from tests.web.browser.webdriver import Browser

PACKAGE = "axe-core@4.14.1"
TARBALL = "HUEY_SIGNALS_KIT_AXE_CORE"
"""Environment variable with the path of the package, if it was fetched; ``missing`` skips."""
_SECONDS = 60
_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_RUN = """
const found = await axe.run(document, {runOnly: arguments[0], resultTypes: ["violations"]});
return found.violations.map(each => `${each.id}: ${each.help}; ${each.nodes[0].html}`);
"""


@contextmanager
def fetched_axe() -> Iterator[str]:
    """Yield the script, from the package that `TARBALL` names or from npm."""
    if os.environ.get(TARBALL) == "missing":
        pytest.skip("axe-core could not be fetched")
    with tempfile.TemporaryDirectory() as folder:
        tarball = Path(os.environ.get(TARBALL) or _fetch(folder))
        with tarfile.open(tarball) as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script is not None
            yield script.read().decode()


def _fetch(folder: str) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NoServer("no axe-core: apt install npm, which fetches it")
    command = [npm, "pack", "--silent", PACKAGE]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if ended.returncode:
        raise NoServer(f"no axe-core: {' '.join(command)} failed: {ended.stderr.strip()[:300]}")
    return next(Path(folder).glob("*.tgz"))


def violations(browser: Browser, script: str) -> list[str]:
    """Return the accessibility violations (WCAG A and AA) of the page that the browser shows."""
    browser.run(f"if (!window.axe) {{ {script}\n }}")
    found: list[str] = browser.run(_RUN, _TAGS)
    return found
