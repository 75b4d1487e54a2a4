"""The pytest plugin: the fixtures ``huey_signals`` and ``huey_lock``, and the mark of that name.

pytest loads this file in every run, so it imports the kit only when a fixture is used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from . import HeldLock, Recorder

__all__ = ["huey", "huey_lock", "huey_signals"]

INI = "huey_signals_huey"
MARK = "huey_signals"
_DJHUEY = "huey.contrib.djhuey"
_HOW = (
    "Define a fixture `huey` that returns it, "
    f"or write in pytest's configuration: {INI} = shop.tasks.huey, "
    f"or mark the test: @pytest.mark.{MARK}(huey=...)"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option that names the Huey."""
    parser.addini(INI, "the Huey of the fixtures huey_signals and huey_lock: module.attribute")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(preset, *, huey, ...): the options of the fixture huey_signals, which are those "
        "of install_handlers, and the Huey (or its module.attribute)",
    )


@pytest.fixture
def huey(request: pytest.FixtureRequest) -> Any:
    """Return the Huey of the mark, the ini option, or Django; override this to return another."""
    named = _options(request).get("huey") or request.config.getini(INI)
    if named:
        return _resolve(named)
    found = _huey_of_django()
    if found is None:
        pytest.fail(f"The fixtures of huey-signals-kit need a Huey. {_HOW}", pytrace=False)
    return found


@pytest.fixture
def huey_signals(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Record what the kit does in this test; its value is a `Recorder`."""
    from . import record

    options = _options(request)
    target = _huey_of(request, options)
    with record(target, options.pop("preset", None), **options) as recorder:
        yield recorder


@pytest.fixture
def huey_lock(request: pytest.FixtureRequest) -> Iterator[Callable[..., HeldLock]]:
    """Return a function that holds a lock until the end of the test, or of its ``with`` block.

    Its arguments are the name of the lock and, for another Huey, ``huey=``.
    """
    from . import held_lock

    with ExitStack() as stack:

        def hold(name: str, *, huey: Any = None) -> HeldLock:
            target = _huey_of(request, _options(request)) if huey is None else huey
            return stack.enter_context(held_lock(target, name))

        yield hold


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Explain a failed comparison with a number of a `Recorder`."""
    counts: Any = sys.modules.get("huey_signals_kit.testing._counts")
    lines: list[str] | None = counts and counts.explain_comparison(op, left, right)
    return lines


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the arguments of all marks of the test; the closest mark wins."""
    options: dict[str, Any] = {}
    for mark in reversed([*request.node.iter_markers(MARK)]):
        if len(mark.args) > 1:
            raise pytest.UsageError(
                f"the mark {MARK} takes one positional argument, the preset, got {mark.args!r}"
            )
        options |= {"preset": mark.args[0]} if mark.args else {}
        options |= mark.kwargs
    return options


def _huey_of(request: pytest.FixtureRequest, options: dict[str, Any]) -> Any:
    named = options.pop("huey", None)
    return request.getfixturevalue("huey") if named is None else _resolve(named)


def _resolve(named: object) -> Any:
    """Return the Huey, which may be given as ``module.attribute``."""
    if not isinstance(named, str):
        return named
    try:
        return resolve_name(named)
    except (ImportError, AttributeError, ValueError) as exc:
        return pytest.fail(
            f"{named!r} does not name a Huey ({exc}). Write module.attribute, as for "
            "huey_consumer; pytest's option `pythonpath = .` makes the modules of the folder "
            "importable",
            pytrace=False,
        )


def _huey_of_django() -> Any:
    """Return the Huey of djhuey, or the default queue of django-huey; None without Django."""
    loaded: Any = sys.modules.get("django.conf")
    is_named = "DJANGO_SETTINGS_MODULE" in os.environ and find_spec("django") is not None
    if not is_named and (loaded is None or not loaded.settings.configured):
        return None
    from django.conf import settings

    if getattr(settings, "HUEY", None) is not None or _DJHUEY in settings.INSTALLED_APPS:
        return resolve_name(f"{_DJHUEY}:HUEY")
    queues = getattr(settings, "DJANGO_HUEY", None) or {}
    default = queues.get("default")
    return default and resolve_name("django_huey:get_queue")(default)
