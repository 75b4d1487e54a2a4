"""A storage that cannot be used: the page says so, shows what it knows, and tries again."""

from __future__ import annotations

import json
import threading

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey

from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._acts import runs
from huey_signals_kit.web._queue import Queue
from tests.support import hold, wait_until
from tests.web.acting import SAME, form_of, get, text_of

REASON = "connection to redis://user:secret@db refused"


@pytest.fixture
def huey():
    """A Huey whose storage a test breaks."""
    return MemoryHuey("shop")


@pytest.fixture
def site(huey):
    """The page of that Huey, with all rights."""
    return Site(huey, access=lambda request: "act")


def break_method(monkeypatch, huey, name):
    """Let a method of the storage raise as if a server was down."""

    def fail(*args, **options):
        raise ConnectionError(REASON)

    monkeypatch.setattr(huey.storage, name, fail)


def test_a_storage_that_is_down_is_named_and_asked_again(huey, site, monkeypatch, caplog):
    """With a status that monitors know, and one line in the log."""
    break_method(monkeypatch, huey, "queue_size")
    for path in ("/", "/locks", "/store.json"):
        response = site.respond(Request("GET", path))
        assert response.status == 503
        assert ("Refresh", "2") in response.headers
        assert "Cannot use the MemoryStorage: connection to redis://***@db" in text_of(response)
    assert json.loads(response.body)["error"] == "The storage cannot be used"
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None
    monkeypatch.undo()
    assert wait_until(lambda: site.respond(Request("GET", "/")).status == 200, 10, "the page")


def test_what_is_known_stays_with_its_age(huey, site, monkeypatch):
    """Operators still see the last state, and that it is old."""
    hold(huey, "import")
    wait_until(lambda: "import" in text_of(get(site, "/locks")), 10, "the lock")
    break_method(monkeypatch, huey, "queue_size")
    site._queues["shop"].refresh()
    page = wait_until(
        lambda: "Cannot use" in (text := text_of(get(site, "/locks"))) and text, 10, "the failure"
    )
    assert "What is shown was read" in page
    assert "import" in page
    assert "secret" not in page


def test_an_act_that_the_storage_refuses_may_have_been_done(huey, site, monkeypatch):
    """A command that timed out can still be executed, so the user must look."""

    @huey.task()
    def pay():
        pass

    form = form_of(get(site, f"/act/revoke?name={__name__}.pay"))
    break_method(monkeypatch, huey, "put_if_empty")
    address, fields = form
    response = site.respond(Request("POST", address, headers=SAME, form=fields))
    assert response.status == 503
    assert "It is not known whether this was done" in text_of(response)
    assert "Refresh" not in dict(response.headers)


def test_every_age_grows_while_the_storage_is_down(huey, monkeypatch):
    """Also those of the store and of the search for locks, which are older than the rest."""
    clock = [0.0]
    queue = Queue(huey, lambda: clock[0])
    wait_until(lambda: queue.state().snapshot.complete, 10, "the store")
    before = queue.state().snapshot
    break_method(monkeypatch, huey, "queue_size")
    clock[0] += 600
    queue.refresh()
    state = wait_until(lambda: (now := queue.state()).error and now, 10, "the failure")
    assert state.snapshot.store_age >= before.store_age + 600
    assert state.snapshot.locks_age >= before.locks_age + 600


def test_a_confirmation_of_run_again_does_not_wait_for_the_storage(huey, site, monkeypatch):
    """Its record is read in the background, so a storage that hangs holds up no request."""
    may_end = threading.Event()
    site.respond(Request("GET", "/task", query={"id": "a"}))
    request = Request("GET", "/act/run-again", query={"id": "a"})
    wait_until(lambda: site._queues["shop"].find_task("a"), 10, "the task")
    monkeypatch.setattr(runs, "_read_record", lambda visit, task_id: may_end.wait(20) and None)
    assert site.respond(request).status == 503
    may_end.set()
    assert wait_until(lambda: site.respond(request).status == 200, 10, "the record")
