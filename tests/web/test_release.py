"""No request to the web interface releases a live lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey, RedisHuey

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import process_with_pid
from huey_signals_kit.upkeep import LockInspector
from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._switches import digest
from tests.locks import ELSEWHERE, GONE, key, taken_by, watched
from tests.support import locks, wait_until
from tests.web.acting import SAME, form_of, get, post, text_of


@pytest.fixture
def site(any_huey):
    """The page of one queue, with all rights."""
    return Site(any_huey, access=lambda request: "act")


@pytest.fixture
def memory_site():
    """A Huey where the storage makes no difference, and its page."""
    huey = MemoryHuey("shop")
    return huey, Site(huey, access=lambda request: "act")


@pytest.fixture
def living():
    """A process of this host that lives, named as the holder of a lock."""
    child = subprocess.Popen(["sleep", "60"])
    yield process_with_pid(child.pid)
    child.kill()
    child.wait()


def raw(huey, name="import"):
    return huey.storage.peek_data(key(huey, name))


def form_for(huey, name="import"):
    """Return the form that would release the present acquisition of a lock."""
    return {"name": name, "acquisition": digest(bytes(raw(huey, name)))}


def try_all(site, form):
    """Send a form in every way that a browser or a script could; return the codes."""
    codes = set()
    for path in ("/act/release", "/lock", "/locks", "/", "/act/release.json", "/act/delete-token"):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            request = Request(method, path, query=form, headers=SAME, form=form)
            codes.add(site.respond(request).status)
    return codes


def test_the_lock_of_a_living_process_of_this_host_stays(any_huey, site, living):
    """A form with its true acquisition, which no page has shown, is refused."""
    taken_by(any_huey, "import", living)
    page = get(site, "/lock?name=import")
    assert "held by a living process" in text_of(page)
    assert "/act/release" not in page.body.decode()
    assert form_of(get(site, "/act/release?name=import")) is None
    form = form_for(any_huey)
    assert 303 not in try_all(site, form)
    assert "which is alive" in text_of(post(site, "/act/release", form))
    assert locks(any_huey) == {"import"}


def test_the_lock_of_a_dead_process_goes(any_huey, site):
    """A POST to its own page releases it, so the test above can fail."""
    taken_by(any_huey, "import", GONE)
    form = form_of(get(site, "/act/release?name=import"))
    for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"):
        site.respond(Request(method, form[0], query=form[1], headers=SAME, form=form[1]))
    assert locks(any_huey) == {"import"}
    assert post(site, *form).status == 303
    assert locks(any_huey) == set()


def test_the_lock_of_a_process_that_is_killed_can_be_released(any_huey, site):
    """The form is refused before the process is dead, and accepted afterwards."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    taken_by(any_huey, "import", process_with_pid(child.pid))
    form = form_for(any_huey)
    assert post(site, "/act/release", form).status == 409
    os.kill(child.pid, signal.SIGSTOP)
    assert post(site, "/act/release", form).status == 409
    child.kill()
    child.wait()
    assert post(site, "/act/release", form).status == 303
    assert locks(any_huey) == set()


@pytest.mark.parametrize("beats", [True, False])
def test_the_lock_of_another_host_stays_while_nothing_proves_its_holder_dead(any_huey, site, beats):
    """With heartbeats in the ledger or without any: in doubt the page releases nothing."""
    taken_by(any_huey, "import", ELSEWHERE, beats=beats)
    assert 303 not in try_all(site, form_for(any_huey))
    assert form_of(get(site, "/act/release?name=import")) is None
    assert locks(any_huey) == {"import"}


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_lock_of_another_host_goes_after_a_watched_silence(make_huey, kind):
    """It stays until then, and if the process writes a heartbeat before the form is sent."""
    huey, clock = make_huey(kind), Clock()
    site = Site(huey, access=lambda request: "act")
    ledger = next(iter(site._queues.values()))._ledger
    ledger._clock = clock
    ledger._after_fork()
    other = open_ledger(make_huey(kind, huey.name))
    taken_by(huey, "import", ELSEWHERE)
    form = form_for(huey)
    other.write(Heartbeat("there", ELSEWHERE, sequence=1, locks=("import",)))
    with watched(ledger, clock) as go:
        silence(huey)
        go(115)
        response = post(site, "/act/release", form)
        assert response.status == 409
        assert "which may be alive" in text_of(response)
        go(10)
        assert [lock.alive for lock in LockInspector(huey, ledger).all()] == [False]
        other.write(Heartbeat("there", ELSEWHERE, sequence=2, locks=("import",)))
        assert 303 not in try_all(site, form)
        assert locks(huey) == {"import"}
        silence(huey)
        go(140)
        assert post(site, "/act/release", form).status == 303
    assert locks(huey) == set()


def silence(huey):
    """Delete the key that a heartbeat leaves on Redis for 15 seconds."""
    if isinstance(huey, RedisHuey):
        huey.storage.conn.delete(*huey.storage.conn.scan_iter("huey-signals.fresh.*"))


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_lock_that_names_no_holder_stays(any_huey, site):
    """A process without the kit may hold it, and two of its acquisitions have the same value."""
    any_huey.lock_task("import").__enter__()
    assert 303 not in try_all(site, form_for(any_huey))
    page = text_of(get(site, "/act/release?name=import"))
    assert "Its value names no holder" in page
    assert "locks release" in page
    assert locks(any_huey) == {"import"}


def test_a_form_from_before_the_lock_was_acquired_again_does_nothing(any_huey, site, living):
    """It does not matter whether the new holder is alive or dead: that is another decision."""
    taken_by(any_huey, "import", GONE)
    form = form_of(get(site, "/act/release?name=import"))
    for holder in (living, GONE):
        any_huey.lock_task("import").clear()
        taken_by(any_huey, "import", holder)
        response = post(site, *form)
        assert response.status == 409
        assert "acquired by another task, since the page was shown" in text_of(response)
        assert locks(any_huey) == {"import"}


def test_the_form_of_another_lock_does_nothing(any_huey, site, living):
    """The acquisition of a dead lock with the name of a live one, and the other way round."""
    taken_by(any_huey, "dead", GONE)
    taken_by(any_huey, "live", living)
    dead, live = form_for(any_huey, "dead"), form_for(any_huey, "live")
    for form in ({**dead, "name": "live"}, {**live, "name": "dead"}, live):
        assert post(site, "/act/release", form).status == 409
    assert locks(any_huey) == {"dead", "live"}


def test_a_repeated_form_does_nothing(any_huey, site, living):
    """A form sent again is refused, whether the lock is free or held again."""
    taken_by(any_huey, "import", GONE)
    form = form_of(get(site, "/act/release?name=import"))
    assert post(site, *form).status == 303
    assert post(site, *form).status == 409
    taken_by(any_huey, "import", living)
    assert post(site, *form).status == 409
    assert locks(any_huey) == {"import"}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"name": "import"},
        {"name": "import", "acquisition": ""},
        {"name": "import", "acquisition": "0" * 32},
        {"name": "*", "acquisition": "*"},
        {"name": "import\0", "acquisition": ""},
        {"acquisition": "x" * 60_000},
    ],
)
def test_a_forged_form_does_nothing(memory_site, form):
    """A form must name the acquisition, also for the lock of a dead process."""
    huey, site = memory_site
    taken_by(huey, "import", GONE)
    assert post(site, "/act/release", form).status == 409
    assert locks(huey) == {"import"}


def test_a_lock_that_is_acquired_between_look_and_release_stays(any_huey, site, monkeypatch):
    """The last step compares the stored value, so the acquisition of a moment ago survives."""
    from huey_signals_kit.web._acts import locks as act

    taken_by(any_huey, "import", GONE)
    form = form_of(get(site, "/act/release?name=import"))
    validate = act.validate_not_held

    def validate_slowly(huey, lock):
        validate(huey, lock)
        any_huey.lock_task("import").clear()
        taken_by(any_huey, "import", ELSEWHERE)

    monkeypatch.setattr(act, "validate_not_held", validate_slowly)
    response = post(site, *form)
    assert response.status == 409
    assert "acquired by another task just now" in text_of(response)
    assert locks(any_huey) == {"import"}


def test_no_race_releases_a_live_lock(any_huey, site, thorough):
    """Tasks acquire and release; meanwhile forms for every acquisition are sent as fast as can be.

    Each task finds its lock held by itself until it releases it.
    """
    if any_huey.storage.__class__.__name__ == "FileStorage" and not hasattr(
        any_huey.storage.lock, "_local"
    ):
        pytest.skip("this Huey's file lock is none between threads")
    rounds = 200 if thorough else 10
    forms, broken, is_over, codes = [], [], threading.Event(), set()
    tried, ended = set(), []

    @any_huey.task()
    def work():
        with any_huey.lock_task("import"):
            form = form_for(any_huey)
            forms.append(form)
            wait_until(lambda: form["acquisition"] in tried, 20, "a request")
            if raw(any_huey) is None or form_for(any_huey) != form:
                broken.append(form)
        ended.append(form)

    def attack():
        while not is_over.is_set():
            for form in forms[-5:]:
                codes.add(post(site, "/act/release", form).status)
                tried.add(form["acquisition"])

    with install_handlers(any_huey):
        threads = [threading.Thread(target=attack) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(rounds):
                work()
                any_huey.execute(any_huey.dequeue())
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    assert (len(ended), broken, codes) == (rounds, [], {409})
    assert len(tried) == rounds
    assert locks(any_huey) == set()


def test_a_lock_that_the_last_search_has_not_found_has_a_page(any_huey, site, monkeypatch):
    """The store is searched for at most a tenth of the time, so the list may be old."""
    monkeypatch.setattr(LockInspector, "all", lambda inspector: [])
    assert get(site, "/lock?name=import").status == 404
    taken_by(any_huey, "import", GONE)
    page = wait_until(
        lambda: form_of(get(site, "/act/release?name=import")), 10, "the page to know it"
    )
    assert get(site, "/lock?name=import").status == 200
    assert post(site, *page).status == 303
    assert locks(any_huey) == set()
