"""Parts of the web interface by themselves: its ASGI scopes, access, searches and long actions."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime
from types import SimpleNamespace

import pytest

pytest.importorskip("jinja2", exc_type=ImportError)

from huey import MemoryHuey

from huey_signals_kit.web import _lookups as lookups_module
from huey_signals_kit.web import asgi, wsgi
from huey_signals_kit.web._acts.targets import pause_facts
from huey_signals_kit.web._background_act import BackgroundActs, Run
from huey_signals_kit.web._lookups import Lookups
from tests.web.adapters import call_wsgi


def talk(scope, *messages):
    """Send *messages* to the ASGI application in one *scope*; return what it answers."""
    incoming, answers = iter(messages), []

    async def receive():
        return next(incoming)

    async def send(message):
        answers.append(message)

    application = asgi(MemoryHuey("scopes"), access=lambda request: "read")
    asyncio.run(application({"type": scope}, receive, send))
    return [(each["type"], each.get("code")) for each in answers]


def test_a_server_that_starts_and_stops_the_application_is_answered():
    """By the protocol of ASGI: uvicorn waits for both answers."""
    assert talk("lifespan", {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}) == [
        ("lifespan.startup.complete", None),
        ("lifespan.shutdown.complete", None),
    ]


def test_a_web_socket_is_closed():
    """The page has none."""
    assert talk("websocket", {"type": "websocket.connect"}) == [("websocket.close", 1000)]


def test_another_scope_is_left_alone():
    """A later version of ASGI may add one."""
    assert talk("another") == []


@pytest.mark.parametrize("granted", [True, 1, ["release"]])
def test_an_access_that_is_none_of_the_documented_values_opens_nothing(granted):
    """A truthy value must not mean everything."""
    application = wsgi(MemoryHuey("access"), access=lambda request: granted)
    assert call_wsgi(application, "GET", "/", []).status == 500


@pytest.mark.parametrize(
    ("pause", "state"),
    [
        (None, "not paused"),
        ({"is_readable": False}, "the pause switch cannot be read; workers that read it may fail"),
        (
            {"is_over": True, "until": datetime(2026, 1, 2)},
            "not paused; the last pause ended at 2026-01-02 00:00:00 (UTC)",
        ),
        ({"once": True}, "the next run is skipped"),
        ({}, "paused forever"),
        ({"until": datetime(2026, 1, 2)}, "paused until 2026-01-02 00:00:00 (UTC)"),
    ],
)
def test_a_confirmation_says_whether_the_task_is_paused(pause, state):
    """And until when, in the time of the Huey."""
    usual = {"is_readable": True, "is_over": False, "once": False, "until": None}
    visit = SimpleNamespace(queue=SimpleNamespace(huey=MemoryHuey("pauses", utc=True)))
    found = None if pause is None else SimpleNamespace(**{**usual, **pause})
    assert pause_facts(visit, found) == [("State", state)]


def test_one_long_action_runs_at_a_time():
    """The second is refused, and runs once the first has ended."""
    acts, go_on = BackgroundActs(), threading.Event()
    first, second = (Run("sweep", key, False, "user") for key in ("1", "2"))
    acts.stop()  # there is nothing to stop
    assert acts.start(first, lambda run: go_on.wait(30))
    assert not acts.start(second, lambda run: "done")
    go_on.set()
    acts.wait(30)
    assert acts.start(second, lambda run: "done")
    acts.wait(30)
    assert (first.report, second.report, acts.running) == (True, "done", None)


def test_an_answer_that_was_found_before_a_change_is_looked_for_again():
    """Else a page would show for some seconds what an action has just removed."""
    lookups, found = Lookups(), []

    def find():
        found.append(len(found))
        if len(found) == 1:
            lookups.clear("key")
        return found[-1]

    value, _ = lookups.get("key", find, 30)
    assert (value, found) == (1, [0, 1])


def test_few_answers_are_kept(monkeypatch):
    """Those that were not asked for the longest time are forgotten."""
    monkeypatch.setattr(lookups_module, "_MAX_ANSWERS", 2)
    lookups = Lookups()
    for number in range(4):
        assert lookups.get(str(number), lambda number=number: number, 30)[0] == number
    assert set(lookups._answers) == {"2", "3"}
