"""The page beside real consumers: a lock goes when its holder is dead, and not a moment earlier."""

from __future__ import annotations

import os
import signal

import pytest

from huey_signals_kit.web import Site
from huey_signals_kit.web._switches import digest
from tests.consumer.locks_app import GATES, HOST
from tests.consumer.test_locks import STALE_AFTER, Setting
from tests.locks import key
from tests.support import locks, wait_until
from tests.web.acting import confirm, form_of, get, post, text_of

pytest.importorskip("jinja2")
pytestmark = pytest.mark.slow


@pytest.fixture
def setting(request, make_place, make_huey, tmp_path, monkeypatch):
    """On the storage that the test asks for."""
    monkeypatch.setenv(GATES, str(tmp_path))
    place = make_place(request.param)
    return Setting(place, make_huey(request.param, place.name), tmp_path)


def form_for(huey, name):
    """Return the form that would release the present acquisition of a lock."""
    raw = bytes(huey.storage.peek_data(key(huey, name)))
    return {"name": name, "acquisition": digest(raw)}


@pytest.mark.parametrize("setting", ["sqlite", "redis"], indirect=True)
def test_the_lock_of_a_killed_worker_is_released_from_the_page(setting):
    """And that of a living one is not; the next task gets the released lock."""
    site = Site(setting.huey, access=lambda request: "act")
    with (
        setting.consumer("killed", "process", 1) as killed,
        setting.consumer("alive", "process", 1) as alive,
    ):
        first, second = setting.take(killed, "first"), setting.take(alive, "second")
        forms = [form_for(setting.huey, name) for name in ("first", "second")]
        assert [post(site, "/act/release", form).status for form in forms] == [409, 409]
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: form_of(get(site, "/act/release?name=first")), 20, "the page to know it")
        dead = first.pid
        assert confirm(site, "/act/release?name=first").status == 303
        assert post(site, "/act/release", forms[1]).status == 409
        assert locks(setting.huey) == {"second"}
        setting.let_go(second)
        again = setting.take(alive, "first")
        assert again.pid != dead
        assert post(site, "/act/release", forms[0]).status == 409
        setting.let_go(again)
        assert again.result.get(blocking=True, timeout=20) == again.pid


@pytest.mark.timeout(240)
@pytest.mark.parametrize("setting", ["redis"], indirect=True)
def test_the_lock_of_another_host_is_released_when_its_silence_was_watched(setting, monkeypatch):
    """While its consumer lives, and until it has been silent for long enough, nothing does."""
    site = Site(setting.huey, access=lambda request: "act")
    monkeypatch.setenv(HOST, "another-host")
    with setting.consumer("away", "thread", 1) as away:
        setting.take(away, "import")  # before there is another consumer that could take it
        monkeypatch.delenv(HOST)
        with setting.consumer("watcher", "thread", 1):
            form = form_for(setting.huey, "import")
            page = text_of(wait_until(lambda: lock_page(site), 20, "the lock"))
            assert "another-host" in page
            away.wait_until(lambda: setting.looks()["import"].alive, "its heartbeat")
            assert post(site, "/act/release", form).status == 409
            away.kill()
            assert post(site, "/act/release", form).status == 409
            assert locks(setting.huey) == {"import"}
            page = wait_until(
                lambda: form_of(get(site, "/act/release?name=import")),
                STALE_AFTER + 60,
                "the silence",
            )
            assert page[1]["acquisition"] == form["acquisition"]
            assert post(site, *page).status == 303
            assert locks(setting.huey) == set()


def lock_page(site):
    page = get(site, "/lock?name=import")
    return page if page.status == 200 else None
