"""Follow pages from an empty folder to the effect, the installation included; print the times.

``python -m tests.recipes flask.md cron.md``; without a name: all pages.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.recipes.pages import alternatives, reader_in, sections_of, without_others

PAGES = ("flask.md", "fastapi.md", "script.md", "cron.md", "web.md")


def follow(page: str) -> float:
    """Follow the first part of a page up to its first effect; return how many seconds it took."""
    blocks = next(iter(sections_of(page).values()))
    blocks = without_others(blocks, next(iter(alternatives(blocks)), None))
    # The effect is in the first text that is shown with every server up.
    up = max((n for n, block in enumerate(blocks) if block.terminal), default=0)
    end = next(n for n, block in enumerate(blocks) if n > up and block.language == "text")
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        with reader_in(Path(folder), installs=True) as reader:
            reader.follow(blocks[: end + 1])
            return time.monotonic() - start


for name in sys.argv[1:] or PAGES:
    print(f"{name:<12}{follow(name):6.1f} s", flush=True)
