"""A real Sentry client whose transport keeps what it is given, and no trace of it afterwards."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from huey.api import Huey
from sentry_sdk import integrations, scope

from huey_signals_kit import Kit, install_handlers
from huey_signals_kit.integrations import sentry_events
from tests.sentry.transport import DSN, Recorder, integrations_for

# What integrations put in the place of other code, for the life of the process.
PATCHED = [(Huey, "_execute"), (Huey, "enqueue"), (logging.Logger, "callHandlers")]
REMEMBERED = [
    scope.global_event_processors,
    integrations._processed_integrations,
    getattr(integrations, "_installed_integrations", set()),  # came after Sentry 2.0
]


@pytest.fixture
def pristine() -> Iterator[None]:
    """Sentry is as it was before the first `sentry_sdk.init`, and is so again afterwards."""
    sentry_events._processor.kits.clear()  # of Hueys that other tests have left to the collector
    sentry_events._processor.remove()
    code = [(owner, name, getattr(owner, name)) for owner, name in PATCHED]
    contents = [list(each) for each in REMEMBERED]
    with scope.isolation_scope():
        yield
    sentry_sdk.get_client().close()
    scope.Scope.get_global_scope().set_client(None)
    for owner, name, found in code:
        setattr(owner, name, found)
    for container, content in zip(REMEMBERED, contents, strict=True):
        container.clear()
        (container.extend if isinstance(container, list) else container.update)(content)


@pytest.fixture(params=["integration", "logging"])
def setup(request: pytest.FixtureRequest) -> str:
    """Each way in which the exceptions of tasks come to Sentry: by HueyIntegration or the log."""
    return request.param


@pytest.fixture
def start(pristine: None, setup: str) -> Callable[..., Recorder]:
    """`start(**options)`: has Sentry set up in the test's way; returns what keeps its events."""

    def start(**options: Any) -> Recorder:
        recorder = Recorder()
        given = {"integrations": integrations_for(setup), **options}
        sentry_sdk.init(DSN, transport=recorder, default_integrations=False, **given)
        return recorder

    return start


@pytest.fixture
def install() -> Iterator[Callable[..., Kit]]:
    """`install_handlers`, undone after the test."""
    kits = []

    def install(*args: Any, **options: Any) -> Kit:
        kits.append(install_handlers(*args, **options))
        return kits[-1]

    yield install
    for kit in kits:
        kit.uninstall()
