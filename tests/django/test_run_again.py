"""A failed task of Django's own is run again from the page, with the arguments of its record."""

from __future__ import annotations

import re
import sqlite3
import sys
from html import unescape

import pytest

from huey_signals_kit.web import Request, Site
from tests.support import run_all
from tests.web.acting import SAME, form_of, get, notice_of, post, text_of

pytest.importorskip("jinja2")
own_tasks = pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)

SECRET = "4111-1111"


@pytest.fixture
def huey(any_kind, make_huey):
    """A Huey on each storage that runs the Django tasks."""
    huey = make_huey(any_kind)
    with own_tasks.tasks_on(huey):
        yield huey


@pytest.fixture
def site(huey):
    """Its page."""
    return Site(huey, access=lambda request: "act")


def failed(huey, *args):
    """Have a task fail; return its id."""
    task_id = own_tasks.fails_with.enqueue(*args, number=7).id
    run_all(huey)
    assert own_tasks.record(huey, task_id)["status"] == "FAILED"
    return task_id


def test_a_failed_task_is_run_again_with_its_arguments(huey, site):
    """Under an id of its own; the arguments are shown nowhere, and the old record stays."""
    task_id = failed(huey, SECRET)
    before = own_tasks.record(huey, task_id)
    page = get(site, f"/task?id={task_id}")
    assert "Failed with ValueError" in text_of(page)
    assert f"/act/run-again?id={task_id}" in page.body.decode()
    confirmation = get(site, f"/act/run-again?id={task_id}")
    for each in (page, confirmation, get(site, f"/task.json?id={task_id}")):
        assert SECRET.encode() not in each.body
    shown = re.search(r"from tests.django.own_tasks import.*?</", confirmation.body.decode(), re.S)
    response = post(site, *form_of(confirmation))
    assert notice_of(site, response) == "The task was enqueued again, with a new id."
    task = huey.dequeue()
    assert task.id != task_id
    assert task.args[1:] == ([SECRET], {"number": 7})
    assert own_tasks.record(huey, task_id) == before
    assert post(site, *form_of(confirmation)).status == 409
    assert huey.pending_count() == 0
    exec(unescape(shown[0].removesuffix("</")))
    assert huey.dequeue().args[1:] == ([SECRET], {"number": 7})


def test_a_task_that_has_not_failed_is_not_run_again(huey, site):
    """Neither one that waits nor one that succeeded."""
    waiting = own_tasks.greet.enqueue(SECRET).id
    assert form_of(get(site, f"/act/run-again?id={waiting}")) is None
    run_all(huey)
    assert form_of(get(site, f"/act/run-again?id={waiting}")) is None
    assert huey.pending_count() == 0


def test_a_record_that_has_changed_is_not_used(huey, site):
    """The form is about the record that its page has shown."""
    task_id = failed(huey, SECRET)
    form = form_of(get(site, f"/act/run-again?id={task_id}"))
    changed = {**own_tasks.record(huey, task_id), "args": ["other"]}
    huey.put(f"djt.{task_id}", changed)
    assert post(site, *form).status == 409
    assert huey.pending_count() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expires": 1e10}, "no arguments that can be read"),
        ({"args": "x"}, "no arguments that can be read"),
        ({"kwargs": {"a": {1, 2}}}, "no arguments that can be read"),
        ({"task_path": "os.system"}, "has not imported the task"),
        ({"task_path": "antigravity.fly"}, "has not imported the task"),
        ({"task_path": "tests.django.own_tasks.failed"}, "has not imported the task"),
        ({"status": "SUCCESSFUL"}, "does not say that it failed"),
    ],
)
def test_a_record_that_cannot_be_trusted_is_refused(make_huey, change, reason):
    """Nothing is imported or called that the store names, unless it is a task of Django."""
    huey = make_huey("memory")
    with own_tasks.tasks_on(huey):
        site = Site(huey, access=lambda request: "act")
        task_id = failed(huey, SECRET)
        form = form_of(get(site, f"/act/run-again?id={task_id}"))
        huey.put(f"djt.{task_id}", {**own_tasks.record(huey, task_id), **change})
        site = Site(huey, access=lambda request: "act")
        page = get(site, f"/act/run-again?id={task_id}")
        assert reason in text_of(page)
        assert post(site, *form).status == 409
    assert "antigravity" not in sys.modules
    assert huey.pending_count() == 0


def test_the_tasks_of_another_huey_are_not_run_again(make_huey):
    """The backend of Django would enqueue them there."""
    huey, other = make_huey("memory"), make_huey("memory")
    with own_tasks.tasks_on(huey):
        task_id = failed(huey, SECRET)
    with own_tasks.tasks_on(other):
        page = get(Site(huey, access=lambda request: "act"), f"/act/run-again?id={task_id}")
    assert "use another Huey" in text_of(page)
    assert form_of(page) is None


def test_a_lost_answer_of_the_storage_is_no_refusal(make_huey, monkeypatch):
    """The storage may have enqueued the task, so the page says that it is not known."""
    huey = make_huey("sqlite")
    with own_tasks.tasks_on(huey):
        site = Site(huey, access=lambda request: "act")
        form = form_of(get(site, f"/act/run-again?id={failed(huey, SECRET)}"))
        enqueue = huey.storage.enqueue

        def enqueue_and_lose_the_answer(*args, **options):
            enqueue(*args, **options)
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(huey.storage, "enqueue", enqueue_and_lose_the_answer)
        response = site.respond(
            Request("POST", form[0].partition("?")[0], headers=SAME, form=form[1])
        )
    assert response.status == 503
    assert "It is not known whether this was done" in text_of(response)
    assert huey.pending_count() == 1


def test_the_record_decides_what_is_shown(make_huey):
    """A message can have another task with this id inside, which is not what is run again."""
    huey = make_huey("memory")
    with own_tasks.tasks_on(huey):
        task_id = failed(huey, SECRET)
        outer, other = huey.task(name="outer")(print), huey.task(name="other")(print)
        first = outer.s()
        first.on_complete = other.s("harmless", id=task_id)
        huey.enqueue(first)
        shown = Site(huey, access=lambda request: "act", format_arguments=str_of)
        page = text_of(get(shown, f"/act/run-again?id={task_id}"))
    assert SECRET in page
    assert "harmless" not in page


def str_of(name, args, kwargs):
    """Return the arguments as a text."""
    return f"{name} {args} {kwargs}"
