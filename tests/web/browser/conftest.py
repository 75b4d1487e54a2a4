"""A browser, axe-core, and queues with their page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("typer", exc_type=ImportError)

from tests.servers import served
from tests.web.browser.axe import fetched_axe
from tests.web.browser.shop import Shop, filled_shop
from tests.web.browser.webdriver import Browser, running_browser


@pytest.fixture(scope="session")
def session_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    yield from served(lambda: running_browser(tmp_path_factory.mktemp("browser")))


@pytest.fixture
def browser(session_browser: Browser) -> Browser:
    """A browser that shows nothing yet, in its usual look, with an empty console."""
    session_browser.open("about:blank")
    session_browser.look()
    session_browser.console()
    return session_browser


@pytest.fixture(scope="session")
def axe() -> Iterator[str]:
    """The script of axe-core, which finds accessibility violations."""
    yield from served(fetched_axe)


@pytest.fixture
def make_shop(redis_url: str, tmp_path: Path) -> Iterator[Callable[[], Shop]]:
    """`make_shop()`: a queue on Redis with a dead holder, garbage and a history."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(filled_shop(redis_url, tmp_path))
