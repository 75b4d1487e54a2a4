"""One task: the page that says where it is and why it does not run."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import timedelta
from urllib.parse import quote

import pytest
from huey import MemoryHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import HistoryWriter
from huey_signals_kit.metrics.names import SIGNALS_TOTAL
from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.upkeep import explain
from huey_signals_kit.upkeep.monitor.background_read import ReadTimeout
from huey_signals_kit.web import Request, Site, _lookups, _switches
from tests.locks import GONE, taken_by
from tests.support import run_all, wait_until
from tests.web.acting import HOSTILE, get, text_of

pytest.importorskip("jinja2")


@pytest.fixture
def site(any_huey):
    """The page of one queue, for readers."""
    return Site(any_huey, access=lambda request: "read")


@pytest.fixture
def memory_huey():
    """A Huey where the storage makes no difference."""
    return MemoryHuey("shop")


def test_a_task_is_explained_as_by_the_command(any_huey, site):
    """The page has the sentences of the command, and its JSON the same keys."""

    @any_huey.task()
    def pay(order):
        return order

    second = pay.schedule((2,), delay=3600)
    run_all(any_huey)
    first = pay(1)
    second.revoke()
    assert "Queued: no task comes before it." in text_of(get(site, f"/task?id={first.id}"))
    page = text_of(get(site, f"/task?id={second.id}"))
    assert "Scheduled for" in page
    assert f"Revoked by its own token, r:{second.id}" in page
    shown = json.loads(get(site, f"/task.json?id={second.id}").body)
    expected = json.loads(json.dumps(explain(any_huey, second.id, patience=0).as_dict()))
    assert shown["explanation"] == {**expected, "now": shown["explanation"]["now"]}
    assert shown["name"].endswith(".pay")
    run_all(any_huey)
    site._queues[next(iter(site._queues))].refresh()
    assert "Succeeded: its result has the class int and" in text_of(
        get(site, f"/task?id={first.id}")
    )


def test_a_task_that_is_not_known_is_said_so(any_huey, site):
    """With status 200, because the answer may change; without an id it is 404."""
    page = get(site, "/task?id=nothing")
    assert page.status == 200
    assert "No trace of this task was found." in text_of(page)
    assert json.loads(get(site, "/task.json?id=nothing").body)["explanation"]["known"] is False
    assert get(site, "/task").status == 404
    assert get(site, "/task?name=a.b").status == 404


@pytest.mark.parametrize("any_kind", ["sqlite", "redis"])
def test_all_runs_of_a_task_are_summed_up(any_huey, site):
    """The page of its name has counts, the last error, running tasks and the pause."""

    @any_huey.task()
    def pay(fails):
        if fails:
            raise ValueError("the card of a customer")
        kit.report()  # writes a heartbeat, which names this task
        site._queues[next(iter(site._queues))].refresh()
        return get(site, f"/task?name={name}").body.decode()

    name = f"{__name__}.pay"
    with install_handlers(any_huey, sinks=[]) as kit:
        for fails in (True, True, False):
            result = pay(fails)
            run_all(any_huey)
        assert "Running" in result.get()
        assert f'href="/task?id={result.id}"' in result.get()
        kit.flush()
        pay.revoke(any_huey._get_timestamp() + timedelta(hours=1))
        site._queues[next(iter(site._queues))].refresh()
        page = wait_until(lambda: has(get(site, f"/task?name={name}"), "Errors2"), 20, "counts")
    assert "paused until" in page
    assert "the card of a customer" not in page
    shown = json.loads(get(site, f"/task.json?name={name}").body)
    assert (shown["counts"]["runs"], shown["counts"]["errors"]) == (1, 2)


def test_the_last_error_is_dated_by_the_counts_of_each_minute(memory_huey):
    """Neither an attempt that ended well nor one that a lock refused and that is retried counts."""
    minute = [time.time() - 300]
    writer = HistoryWriter(lambda: open_kit_store(memory_huey, UPKEEP), lambda: minute[0])
    writer.add({(SIGNALS_TOTAL, "shop", "shop.pay", "timeout"): 2})
    minute[0] += 60
    for signal in ("complete", "locked", "retrying"):
        writer.add({(SIGNALS_TOTAL, "shop", "shop.pay", signal): 1})
    minute[0] += 120
    writer.add({(SIGNALS_TOTAL, "shop", "shop.pay", "canceled"): 1})
    memory_huey.put("rt:shop.pay", (None, False))
    page = text_of(get(Site(memory_huey, access=lambda request: "read"), "/task?name=shop.pay"))
    assert re.search("Last attempt(2|3) min ago", page)
    assert re.search("Last error(5|6) min ago", page)


def has(response, text):
    return text in text_of(response) and text_of(response)


def test_pages_lead_to_their_tasks(any_huey):
    """Holders of locks, tokens and names are links, where a link can name them."""
    site = Site(any_huey, access=lambda request: "act")
    taken_by(any_huey, "import", GONE, task_id="a-task")
    any_huey.revoke_by_id("b/c")
    any_huey.put("rt:shop.pay", (None, False))
    any_huey.revoke_by_id("x" * 600)

    def has(path, link):
        return wait_until(lambda: link in get(site, path).body.decode(), 10, link)

    assert has("/locks", 'href="/task?id=a-task"')
    assert has("/lock?name=import", 'href="/task?id=a-task"')
    assert has("/tokens", 'href="/task?id=b%2Fc"')
    assert has("/tokens", 'href="/task?name=shop.pay"')
    assert has("/tokens", 'href="/act/delete-token?key=r%3Ab%2Fc"')
    body = get(site, "/tokens").body.decode()
    assert "x" * 600 not in body
    assert "x" * 299 + "…" in body
    listed = json.loads(get(site, "/tokens.json").body)["tokens"]
    assert {token["key"]: token["state"] for token in listed} == {
        "rt:shop.pay": "active",
        "r:b/c": "custom",
        "r:" + "x" * 600: "custom",
    }


def test_hostile_tokens_are_listed_escaped(any_huey):
    """Their links name them exactly."""
    any_huey.revoke_by_id(HOSTILE)
    any_huey.put(f"rt:{HOSTILE}", (None, False))
    site = Site(any_huey, access=lambda request: "act")
    body = wait_until(
        lambda: "alert" in (found := get(site, "/tokens").body.decode()) and found, 10, "tokens"
    )
    assert "<script>alert" not in body
    assert "\x1b" not in body
    assert f'href="/act/delete-token?key=r%3A{quote(HOSTILE, safe="")}"' in body


def test_many_tokens_are_listed_in_part(memory_huey):
    """The page says that there are more."""
    for number in range(_switches.MAX_LISTED + 5):
        memory_huey.revoke_by_id(f"task-{number}")
    site = Site(memory_huey, access=lambda request: "read")
    page = wait_until(lambda: "The first 100" in text_of(get(site, "/tokens")), 10, "the list")
    assert page
    assert len(json.loads(get(site, "/tokens.json").body)["tokens"]) == 100


def test_a_read_only_user_sees_no_action(memory_huey):
    """No page of a task, of its name, or of a list has a link to an action."""

    @memory_huey.task()
    def pay():
        pass

    result = pay()
    result.revoke()
    pay.revoke()
    name = f"{__name__}.pay"
    taken_by(memory_huey, "import", GONE)
    reader = Site(memory_huey, access=lambda request: "read")
    actor = Site(memory_huey, access=lambda request: "act")
    for path in (f"/task?id={result.id}", f"/task?name={name}", "/tokens", "/lock?name=import"):
        assert "/act/" not in get(reader, path).body.decode()
        assert "/act/" in get(actor, path).body.decode()


def test_a_request_does_not_wait_for_a_long_search(memory_huey, monkeypatch):
    """It gets a page that asks again; meanwhile one thread searches, once for all requests."""
    may_end, searches = threading.Event(), []

    def search(huey, task_id, **options):
        searches.append(task_id)
        assert may_end.wait(20)
        return explain(huey, task_id, **options)

    monkeypatch.setattr(_switches, "explain", search)
    site = Site(memory_huey, access=lambda request: "act")
    request = Request("GET", "/task", query={"id": "a"})
    for _ in range(3):
        response = site.respond(request)
        assert response.status == 503
        assert ("Refresh", "2") in response.headers
    assert searches == ["a"]
    may_end.set()
    assert wait_until(lambda: site.respond(request).status == 200, 10, "the answer")
    assert site.respond(request).status == 200
    assert searches == ["a"]


def test_only_the_request_that_starts_a_search_waits_for_it(monkeypatch):
    """The others get what is known at once, so a long search does not slow down every request."""
    monkeypatch.setattr(_lookups, "_FIRST_WAIT_SECONDS", 30)
    lookups, is_begun, may_end = _lookups.Lookups(), threading.Event(), threading.Event()
    answers = []

    def find():
        is_begun.set()
        assert may_end.wait(20)
        return "found"

    first = threading.Thread(target=lambda: answers.append(lookups.get("a", find)[0]))
    first.start()
    assert is_begun.wait(20)
    started = time.monotonic()
    with pytest.raises(ReadTimeout):
        lookups.get("a", find)
    assert time.monotonic() - started < 10
    may_end.set()
    first.join(20)
    assert answers == ["found"]


def test_a_search_that_fails_is_the_page_that_fails(memory_huey, monkeypatch, caplog):
    """The next request searches again, when the storage is back."""
    site = Site(memory_huey, access=lambda request: "act")
    site.respond(Request("GET", "/locks"))
    monkeypatch.setattr(_switches, "explain", lambda *args, **options: 1 / 0)
    assert get(site, "/task?id=a").status == 500
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    site._queues["shop"].refresh()
    assert get(site, "/task?id=a").status == 200


def test_the_thread_of_searches_ends_when_it_is_idle(monkeypatch):
    """It would keep a connection to the storage; the next search starts another one."""
    monkeypatch.setattr(_lookups, "_IDLE_SECONDS", 0.05)
    lookups, threads = _lookups.Lookups(), []
    for answer in ("first", "second"):
        found, _ = lookups.get(
            answer, lambda answer=answer: threads.append(threading.current_thread()) or answer, 20
        )
        assert found == answer
        threads[-1].join(20)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]
