"""A form does only what its confirmation has said, and only once."""

from __future__ import annotations

import json
import logging
import threading
import time
from datetime import timedelta

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey, crontab
from huey.utils import Error

from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.upkeep import PurgeReport
from huey_signals_kit.web import Request, Site
from huey_signals_kit.web._acts import cleaning, once
from huey_signals_kit.web._switches import digest
from tests.locks import GONE, taken_by
from tests.support import run_all, tokens, wait_until
from tests.web.acting import SAME, confirm, form_of, get, notice_of, post, text_of


@pytest.fixture
def huey():
    """A Huey where the storage makes no difference."""
    return MemoryHuey("shop")


@pytest.fixture
def site(huey):
    """The page of that Huey, with all rights."""
    return Site(huey, access=lambda request: "act")


def declare(huey):
    """Declare a task; return it and the name of its class."""

    @huey.task()
    def pay(order):
        return order

    return pay, f"{__name__}.pay"


def send(site, form, choice="900"):
    """Return the response to a form, with a time for those that ask for one."""
    address, fields = form
    return post(site, address, {**fields, "choice": choice})


@pytest.mark.parametrize("act", ["pause", "revoke"])
def test_a_form_for_a_task_without_a_switch_replaces_none(any_huey, act):
    """A switch that another user has stored since stays as it is."""
    site = Site(any_huey, access=lambda request: "act")
    pay, name = declare(any_huey)
    form = form_of(get(site, f"/act/{act}?name={name}"))
    pay.revoke()
    response = send(site, form)
    assert response.status == 409
    assert "since the page was shown" in text_of(response)
    assert any_huey.get(f"rt:{name}", peek=True) == (None, False)


@pytest.mark.parametrize("act", ["pause", "revoke"])
def test_a_form_replaces_the_switch_that_it_has_shown(any_huey, act):
    """The confirmation says so; another switch than the shown one is not replaced."""
    site = Site(any_huey, access=lambda request: "act")
    pay, name = declare(any_huey)
    pay.revoke(revoke_until=any_huey._get_timestamp() + timedelta(days=9))
    first = get(site, f"/act/{act}?name={name}")
    assert "it replaces the present one" in text_of(first)
    second = form_of(get(site, f"/act/{act}?name={name}"))
    assert send(site, form_of(first)).status == 303
    assert send(site, second).status == 409
    until, _ = any_huey.get(f"rt:{name}", peek=True)
    assert (until is None) == (act == "revoke")


@pytest.mark.parametrize(
    ("act", "query"),
    [("restore", "name"), ("resume", "name"), ("restore", "id"), ("delete-token", "key")],
)
def test_a_form_for_one_token_does_not_delete_the_next_one(huey, site, act, query):
    """All endless tokens have the same bytes, so a form is also known by an id of its own."""
    pay, name = declare(huey)
    result = pay(1)
    revoke = pay.revoke if query == "name" else result.revoke
    revoke()
    value = {"name": name, "id": result.id, "key": f"r:{result.id}"}[query]
    form = form_of(get(site, f"/act/{act}?{query}={value}"))
    assert post(site, *form).status == 303
    revoke()
    response = post(site, *form)
    assert response.status == 409
    assert "already sent" in text_of(response)
    assert len(tokens(huey)) == 1


@pytest.mark.parametrize("query", ["key=r:", "id="])
def test_a_token_whose_task_was_enqueued_since_the_confirmation_stays(huey, site, query):
    """The confirmation has found no trace of the task, and now the token would stop it."""
    pay, _ = declare(huey)
    task = pay.s(1)
    huey.revoke_by_id(task.id)
    act = "restore" if query == "id=" else "delete-token"
    page = get(site, f"/act/{act}?{query}{task.id}")
    assert "No trace" in text_of(page)
    huey.enqueue(task)
    response = post(site, *form_of(page))
    assert response.status == 409
    assert "so it will run" in text_of(response)
    assert tokens(huey) == {f"r:{task.id}"}


@pytest.mark.parametrize("act", ["pause", "revoke"])
def test_a_form_does_not_stop_a_task_a_second_time(huey, site, act):
    """After the switch that it has stored was deleted, such as by the button Back."""
    _, name = declare(huey)
    form = form_of(get(site, f"/act/{act}?name={name}"))
    assert send(site, form).status == 303
    huey.delete(f"rt:{name}")
    assert send(site, form).status == 409
    assert f"rt:{name}" not in tokens(huey)


def test_a_storage_that_is_busy_is_not_called_a_repeated_form(huey, site, monkeypatch):
    """The list of used forms could not be written, and the user can try again."""
    pay, name = declare(huey)
    pay.revoke()
    form = form_of(get(site, f"/act/resume?name={name}"))
    kit_store = open_kit_store(huey, UPKEEP)
    monkeypatch.setattr(type(kit_store), "put_if_absent", lambda *args: False)
    response = post(site, *form)
    assert response.status == 409
    assert "The storage is busy" in text_of(response)
    monkeypatch.undo()
    assert post(site, *form).status == 303


def test_a_form_works_once_also_after_many_others(huey, site, monkeypatch):
    """The list of used forms is bounded, and forms that are as old as a dropped one are refused."""
    monkeypatch.setattr(once, "_MAX_USED", 3)
    pay, name = declare(huey)

    def send_one():
        pay.revoke()
        form = form_of(get(site, f"/act/resume?name={name}"))
        return form, post(site, *form).status

    first, status = send_one()
    now = time.time()
    for second in range(1, 6):
        monkeypatch.setattr(once.time, "time", lambda second=second: now + second)
        assert (status, send_one()[1]) == (303, 303)
    pay.revoke()
    assert post(site, *first).status == 409
    (raw,) = open_kit_store(huey, UPKEEP).get([once.KEY])
    assert len(json.loads(raw)["used"]) == 3


def test_a_form_of_another_type_is_refused(huey, site):
    """It would be read as an empty one: a purge would take the classes that it takes by default."""
    headers = {**SAME, "content-type": "multipart/form-data; boundary=x"}
    request = Request("POST", "/act/purge", headers=headers)
    assert site.respond(request).status == 415


def test_a_purge_that_the_end_of_the_process_stops_says_what_it_has_done(
    huey, site, monkeypatch, caplog
):
    """Its thread is a daemon, so at exit it is asked to stop, and then logs its count."""
    caplog.set_level(logging.INFO, "huey_signals_kit")
    is_begun, may_go_on = threading.Event(), threading.Event()

    def purge(huey, classes, dry_run, *, on_progress):
        report = PurgeReport(scanned=9, deleted=3)
        if not dry_run:
            on_progress(report)
            is_begun.set()
            assert may_go_on.wait(20)
            on_progress(report)
        return report

    monkeypatch.setattr(cleaning, "purge_errors", purge)
    form = wait_until(lambda: form_of(get(site, "/act/purge")), 20, "the dry run")
    assert post(site, *form, user="ann").status == 303
    assert is_begun.wait(20)
    assert "by the user 'ann': started" in caplog.text
    acts = site._queues["shop"].background_acts
    stopping = threading.Thread(target=acts.stop)
    stopping.start()
    wait_until(lambda: acts.running.should_stop, 20, "the request to stop")
    may_go_on.set()
    stopping.join(20)
    assert acts.running is None
    assert "by the user 'ann': 3 changed" in caplog.text


@pytest.mark.parametrize("value", [b"'1'", b"no pickle"])
def test_what_is_no_token_is_not_deleted_and_not_replaced(huey, site, value):
    """Two Hueys can share a storage, so the lock of one can look like a token of the other."""
    _, name = declare(huey)
    raw = huey.serializer.serialize("1") if value == b"'1'" else value
    for key in ("r:q.lock.import", f"rt:{name}"):
        huey.storage.put_data(key, raw)
        page = get(site, f"/act/delete-token?key={key}")
        assert "is not a readable token" in text_of(page)
        assert form_of(page) is None
        fields = {"key": key, "value": digest(raw), "trace": "2", once.FIELD: once.new_form_id()}
        assert post(site, "/act/delete-token", fields).status == 409
    fields = {"name": name, "value": digest(raw), once.FIELD: once.new_form_id()}
    for act in ("revoke", "pause", "resume", "restore"):
        assert send(site, (f"/act/{act}", fields)).status == 409
    assert huey.storage.peek_data(f"rt:{name}") == raw
    assert huey.storage.peek_data("r:q.lock.import") == raw


def test_a_task_that_was_paused_since_the_confirmation_is_not_run(huey, site):
    """A worker would skip the run, and a switch for one run would be used up by it."""

    @huey.periodic_task(crontab(minute="0"))
    def nightly():
        pass

    form = form_of(get(site, f"/act/run-now?name={__name__}.nightly"))
    nightly.revoke(revoke_once=True)
    response = post(site, *form)
    assert response.status == 409
    assert "is paused" in text_of(response)
    assert huey.pending_count() == 0


def test_a_notice_is_shown_for_a_minute(huey, site):
    """The URL stays in bookmarks and links, where it would be false."""
    taken_by(huey, "import", GONE)
    response = confirm(site, "/act/release?name=import")
    assert notice_of(site, response) == "The lock was released."
    for query in ("done=release", "done=release&at=1700000000", "done=release&at=x"):
        assert "was released" not in text_of(get(site, f"/locks?{query}"))


def test_the_page_of_a_purge_shows_no_other_purge(huey, site):
    """Another user may purge other classes at the same time."""

    def purge(classes):
        path = f"/act/purge?classes={classes}"
        form = wait_until(lambda: form_of(get(site, path)), 20, "the dry run")
        assert post(site, *form).status == 303
        ended = f"{path}&done=purge"
        return ended, wait_until(
            lambda: ": done" in (text := text_of(get(site, ended))) and text, 20, "the purge"
        )

    huey.put_result("a", Error({"error": "ValueError(1)"}))
    first, page = purge("ValueError")
    assert "Deleted1" in page
    purge("KeyError")
    assert ": done" not in text_of(get(site, first))


def test_a_path_writes_no_line_of_its_own_into_the_log(huey, monkeypatch, caplog):
    """And an origin that no URL can have is another origin."""
    site = Site(huey, access=lambda request: "act")
    headers = {"host": "ops.example", "origin": "http://["}
    assert site.respond(Request("POST", "/act/pause", headers=headers)).status == 403
    site = Site(huey, access=lambda request: 1 / 0)
    assert site.respond(Request("GET", "/a\nFAKE LOG")).status == 500
    assert "\nFAKE" not in caplog.text
    assert "FAKE LOG" in caplog.text


@pytest.mark.parametrize(
    ("act", "form"),
    [("revoke", {"id": "q.lock.import"}), ("delete-token", {"key": "r:q.lock.import"})],
)
def test_a_key_of_a_lock_is_not_taken_for_that_of_a_token(act, form):
    """In a queue whose name begins like the key of a token."""
    huey = MemoryHuey("r:q")
    site = Site(huey, access=lambda request: "act")
    form = {**form, "value": "", once.FIELD: once.new_form_id()}
    response = post(site, f"/act/{act}", form)
    assert response.status == 409
    assert "'r:q.lock.import' is not the key of a revoke token" in text_of(response)
    with huey.lock_task("import"):
        pass


def test_a_form_to_revoke_a_task_that_has_ended_since_stores_no_token(any_huey):
    """A token that stops nothing would stay for ever."""
    site = Site(any_huey, access=lambda request: "act")
    pay, _ = declare(any_huey)
    task = pay(1)
    form = form_of(get(site, f"/act/revoke?id={task.id}"))
    run_all(any_huey)
    response = send(site, form)
    assert response.status == 409
    assert "The task has ended" in text_of(response)
    assert tokens(any_huey) == set()
