"""The overview and the lists: the same problems as `report`, bounded, and only what is known."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey

from huey_signals_kit.ledger import Heartbeat, HistoryWriter, open_ledger
from huey_signals_kit.metrics.names import LOCK_REFUSALS, SIGNALS_TOTAL, TASK_SECONDS
from huey_signals_kit.metrics.values import Durations
from huey_signals_kit.runtime.process_id import process_with_pid, this_process
from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.upkeep import LockInspector, report
from huey_signals_kit.upkeep.reports.problems import find_problems
from huey_signals_kit.web import Site
from tests.locks import GONE, taken_by
from tests.support import hold, wait_until
from tests.web.acting import get, text_of


@pytest.fixture
def huey():
    """A Huey where the storage makes no difference."""
    return MemoryHuey("shop")


@pytest.fixture
def site(huey):
    """The page of that Huey, for readers."""
    return Site(huey, access=lambda request: "read")


def shown(site, path="/"):
    """Return the JSON of a page, when the store was read and searched."""

    def known():
        content = json.loads(get(site, f"{path.rstrip('/') or '/overview'}.json").body)
        return content if content["locks_held"] is not None else None

    return wait_until(known, 20, "the search for locks")


def test_the_overview_has_the_problems_of_the_report(huey, site):
    """One function decides what needs attention, and what is only garbage."""
    huey.task(name="present")(lambda: None)
    taken_by(huey, "import", GONE)
    huey.storage.put_data("broken", b"no pickle")
    huey.storage.enqueue(b"no message")
    huey.put(f"rt:{__name__}.gone", (None, False))
    names = [problem.name for problem in find_problems(report(huey))]
    assert names == [
        "1 value that cannot be read",
        "1 message that cannot be read",
        "1 lock held by dead processes",
        "1 pause switch without a task",
    ]
    wait_until(lambda: json.loads(get(site, "/store.json").body)["report"], 20, "the report")
    wait_until(lambda: len(shown(site)["problems"]) == len(names), 20, "the problems")
    page = text_of(get(site, "/"))
    assert "4 things need attention" in page
    assert "The lock import is held by a dead process" in page
    assert "1 message cannot be read, so no sweep and no purge deletes anything." in page
    assert "1 pause switch has no effect, because this Huey does not have the task." in page


def test_two_schedulers_of_one_periodic_task_need_attention(make_huey):
    """As of the last heartbeats, not of the last read of the store."""
    huey = make_huey("sqlite")
    site = Site(huey, access=lambda request: "read")
    assert shown(site)["problems"] == []
    for place in (this_process(), process_with_pid(os.getppid())):
        record = Heartbeat(str(place.pid), place, "thread", 1.0, 1, periodic=("shop.nightly",))
        open_ledger(huey).write(record)
    (problem,) = wait_until(lambda: shown(site)["problems"], 20, "the problem")
    assert problem.startswith("2 consumers enqueue the same periodic task")
    assert problem.endswith("Start all consumers but one with --no-periodic.")


def test_garbage_needs_no_attention(huey, site):
    """A sweep deletes it, and the overview leads there."""
    huey.revoke_by_id("5f0c1f7e-0d4c-4c55-9d53-1f3f5b9c3a10")
    page = wait_until(
        lambda: "Can be deleted" in (text := text_of(get(site, "/"))) and text, 20, "the report"
    )
    assert "1 orphaned token" in page
    assert "Nothing needs attention" in page


def test_nothing_is_said_of_locks_before_they_were_searched(huey, monkeypatch):
    """On a large store the first search takes half a minute."""
    may_end, search = threading.Event(), LockInspector.all
    monkeypatch.setattr(LockInspector, "all", lambda self: may_end.wait(20) and search(self))
    hold(huey, "import")
    site = Site(huey, access=lambda request: "read")
    page = text_of(get(site, "/"))
    assert "Locks held–being searched for" in page
    assert "Nothing needs attention so far" in page
    for path in ("/", "/locks"):
        text = text_of(get(site, path))
        assert "Locks are still being searched for" in text
        assert "No lock is held" not in text
    for path in ("/overview.json", "/locks.json"):
        content = json.loads(get(site, path).body)
        assert content["locks_held"] is None
        assert content["locks_age_seconds"] is None
    assert json.loads(get(site, "/lock.json?name=import").body)["state"] == "unknown"
    may_end.set()
    assert shown(site)["locks_held"] == 1


def test_many_locks_are_shown_in_part(huey, site):
    """With the number of the others; the overview has one sentence for all dead ones."""
    for number in range(230):
        taken_by(huey, f"media-{number:03}", GONE)
    content = shown(site, "/locks")
    assert (len(content["locks"]), content["locks_held"]) == (200, 230)
    page = get(site, "/locks").body.decode()
    assert page.count("<tr>") == 1 + 200
    assert "And 30 more" in page
    overview = shown(site)
    assert overview["problems"] == ["230 locks are held by dead processes."]
    assert len(overview["locks"]) == 10
    assert "All 230 locks" in text_of(get(site, "/"))
    assert json.loads(get(site, "/lock.json?name=media-229").body)["state"] == "dead"


def write(huey, counts):
    HistoryWriter(lambda: open_kit_store(huey, UPKEEP), lambda: time.time() - 120).add(counts)


def test_an_attempt_that_is_retried_counts_once(huey, site):
    """Huey sends two signals for it; and a timed attempt may have no signal that is counted."""
    write(
        huey,
        {
            (SIGNALS_TOTAL, "shop", "shop.pay", "error"): 3,
            (SIGNALS_TOTAL, "shop", "shop.pay", "retrying"): 3,
            (SIGNALS_TOTAL, "shop", "shop.pay", "timeout"): 1,
            (SIGNALS_TOTAL, "shop", "shop.scan", "complete"): 2,
            (TASK_SECONDS, "shop", "shop.scan"): Durations(5, 1.0),
        },
    )
    assert sum(json.loads(get(site, "/overview.json").body)["attempts_by_minute"]) == 4 + 5


def test_long_names_have_their_counts(huey, site):
    """The history shortens them."""
    name, lock = "shop." + "p" * 90, "l" * 90
    huey.put(f"rt:{name}", (None, False))
    taken_by(huey, lock, GONE)
    write(
        huey,
        {(SIGNALS_TOTAL, "shop", name, "error"): 3, (LOCK_REFUSALS, "shop", lock): 7},
    )
    assert "Last error2 min ago" in text_of(get(site, f"/task?name={name}"))
    assert json.loads(get(site, f"/lock.json?name={lock}").body)["refused_last_hour"] == 7
