"""The arguments of tasks: hidden, unless the application gives a function that formats them."""

from __future__ import annotations

import json
import logging
import pickle
import sys
from decimal import Decimal
from functools import partial

import pytest
from huey import MemoryHuey
from huey.registry import Message

from huey_signals_kit.upkeep import explain
from huey_signals_kit.web import Site
from tests.support import run_all
from tests.web.acting import HOSTILE, get, text_of

pytest.importorskip("jinja2")

SECRET = "the card of a customer"


def site_of(huey, format_arguments=None):
    """Return the page of one queue, for users who may do everything."""
    return Site(huey, access=lambda request: "act", format_arguments=format_arguments)


def as_call(name, args, kwargs):
    """Return the arguments as they are written in a call."""
    parts = [*map(repr, args), *(f"{word}={value!r}" for word, value in kwargs.items())]
    return f"{name.rpartition('.')[2]}({', '.join(parts)})"


@pytest.fixture
def memory_huey():
    """A Huey where the storage makes no difference."""
    return MemoryHuey("shop")


def declare(huey):
    """Declare and return a task."""

    @huey.task()
    def pay(*args, **kwargs):
        pass

    return pay


def test_without_a_function_no_page_shows_arguments(any_huey):
    """Neither the pages of the task, their JSON, nor the explanation as text or JSON."""
    pay = declare(any_huey)
    task = pay(SECRET, card=SECRET)
    site = site_of(any_huey)
    for path in ("/task", "/task.json", "/act/revoke", "/act/revoke.json"):
        response = get(site, f"{path}?id={task.id}")
        assert response.status == 200
        assert SECRET not in response.body.decode()
    explanation = explain(any_huey, task.id, patience=0)
    assert SECRET not in repr(explanation)
    assert SECRET not in json.dumps(explanation.as_dict())
    assert explanation.arguments == ((SECRET,), {"card": SECRET})


def test_the_function_formats_the_arguments_of_a_task(any_huey):
    """On its page, in the JSON, and in confirmations: of a task that is queued or scheduled."""
    pay = declare(any_huey)
    site = site_of(any_huey, as_call)
    for task in (pay(1, "euro", order=7), pay.schedule((1, "euro"), {"order": 7}, delay=3600)):
        assert "pay(1, 'euro', order=7)" in text_of(get(site, f"/task?id={task.id}"))
        assert "pay(1, 'euro', order=7)" in text_of(get(site, f"/act/revoke?id={task.id}"))
        shown = json.loads(get(site, f"/task.json?id={task.id}").body)
        assert shown["arguments"] == "pay(1, 'euro', order=7)"


def test_a_later_stage_of_a_pipeline_has_its_own_arguments(memory_huey):
    """Those of the stage, and not those of the task that leads to it."""
    pay = declare(memory_huey)
    first = pay.s("first")
    last = first.then(pay, "last").on_complete
    memory_huey.enqueue(first)
    site = site_of(memory_huey, as_call)
    assert "pay('last')" in text_of(get(site, f"/task?id={last.id}"))


@pytest.mark.parametrize(
    "hide", [lambda name, args, kwargs: None, lambda name, args, kwargs: ""], ids=["None", "empty"]
)
def test_the_function_can_hide_the_arguments(memory_huey, hide):
    """As without a function, so it can show those of some tasks only."""
    task = declare(memory_huey)(SECRET)
    page = text_of(get(site_of(memory_huey, hide), f"/task?id={task.id}"))
    assert SECRET not in page
    assert "Arguments" not in page


def test_a_task_whose_message_is_gone_shows_no_arguments(memory_huey):
    """Huey deletes the message when a worker takes it."""
    task = declare(memory_huey)(SECRET)
    run_all(memory_huey)
    page = text_of(get(site_of(memory_huey, as_call), f"/task?id={task.id}"))
    assert "Arguments" not in page


class Trap:
    """An object whose unpickling is visible."""

    sprung = False

    def __reduce__(self):
        return spring, ()


def spring():
    """Run when a `Trap` is unpickled."""
    Trap.sprung = True


def test_arguments_are_not_unpickled(memory_huey):
    """The function gets a placeholder for an object of a class that the kit does not know."""
    task = declare(memory_huey)(Trap(), 1)
    page = text_of(get(site_of(memory_huey, as_call), f"/task?id={task.id}"))
    assert f"pay(<opaque {__name__}.spring>, 1)" in page
    assert not Trap.sprung


def test_hostile_arguments_are_shown_escaped(memory_huey):
    """In a confirmation, too; lines stay lines."""
    task = declare(memory_huey)(HOSTILE)
    site = site_of(memory_huey, lambda name, args, kwargs: f"{args[0]}\n{args[0]}")
    for path in ("task", "act/revoke"):
        body = get(site, f"/{path}?id={task.id}").body.decode()
        assert "<script>alert" not in body
        assert body.count(r"\x1b[31m\u202e{{7*7}}") == 2


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda name, args, kwargs: 1 / 0, "raised ZeroDivisionError"),
        (lambda name, args, kwargs: {SECRET}, "returned a set in place of a str"),
    ],
)
def test_a_function_that_fails_is_named_without_its_text(memory_huey, caplog, function, problem):
    """The rest of the page is there, and the log has no arguments either."""
    task = declare(memory_huey)(SECRET)
    with caplog.at_level(logging.WARNING):
        page = text_of(get(site_of(memory_huey, function), f"/task?id={task.id}"))
    assert f"not shown: the function format_arguments {problem}" in page
    assert "Queued" in page
    assert problem in caplog.text
    assert SECRET not in page + caplog.text


def test_the_function_gets_arguments_of_its_own(memory_huey):
    """It may change them, as to hide a password: each search gives it new ones."""
    task = declare(memory_huey)(password=SECRET, order=7)

    def without_password(name, args, kwargs):
        del kwargs["password"]
        return repr(kwargs)

    site = site_of(memory_huey, without_password)
    for _ in range(3):
        assert "{'order': 7}" in text_of(get(site, f"/task?id={task.id}"))
    site._queues["shop"].refresh()
    assert "{'order': 7}" in text_of(get(site, f"/task?id={task.id}"))


@pytest.mark.parametrize("formatter", [None, as_call])
def test_arguments_are_not_kept(memory_huey, formatter):
    """Large ones would fill the memory of the server: only the text is kept."""
    site = site_of(memory_huey, formatter)
    task = declare(memory_huey)(SECRET * 1000)
    assert get(site, f"/task?id={task.id}").status == 200
    found, _ = site._queues["shop"].find_task(task.id)
    assert found.explanation.arguments is None
    assert len(found.arguments) <= 2001


def test_an_id_among_arguments_is_no_suggestion(any_huey):
    """It may be a token to reset a password, and its first characters may be in a log."""
    secret = "7f3a9c11-5e0b-4c1d-8e2f-0c4f6b1d2e88"
    task = declare(any_huey)(secret)
    explanation = explain(any_huey, secret[:8], patience=0)
    assert explanation.alike == []
    assert explain(any_huey, task.id[:8], patience=0).alike == [task.id]


def test_many_lines_are_cut(memory_huey):
    """The button of a confirmation stays near."""
    task = declare(memory_huey)("\n" * 1900)
    site = site_of(memory_huey, lambda name, args, kwargs: args[0])
    assert get(site, f"/act/revoke?id={task.id}").body.count(b"\n") < 200


def test_a_number_with_a_huge_exponent_is_not_formatted(memory_huey):
    """To write all its digits would take much memory."""
    task = declare(memory_huey)(Decimal("1E+300000"))
    site = site_of(memory_huey, lambda name, args, kwargs: f"{args[0]:.2f}")
    assert "not shown: they have more than" in text_of(get(site, f"/task?id={task.id}"))


def test_a_function_that_ends_the_process_ends_nothing(memory_huey):
    """The search for tasks goes on."""
    pay = declare(memory_huey)
    site = site_of(memory_huey, lambda name, args, kwargs: sys.exit(3))
    for task in (pay(), pay()):
        page = text_of(get(site, f"/task?id={task.id}"))
        assert "not shown: the function format_arguments raised SystemExit" in page


def test_long_arguments_are_cut(memory_huey):
    """A text of the function has at most 2,000 characters on the page."""
    task = declare(memory_huey)("x" * 5000)
    page = text_of(get(site_of(memory_huey, as_call), f"/task?id={task.id}"))
    assert 1900 < page.count("x") <= 2010
    assert "x…" in page


def test_arguments_that_would_be_endless_are_not_formatted(memory_huey):
    """A small pickle can refer to the same parts so often that its repr would not end."""
    parts = []
    for _ in range(60):
        parts = [parts, parts]
    message = Message("an-id", "shop.pay", None, 0, 0, None, (parts,), {}, None, None)
    memory_huey.storage.enqueue(pickle.dumps(message))
    page = text_of(get(site_of(memory_huey, as_call), "/task?id=an-id"))
    assert "not shown: they have more than 100,000 parts or characters" in page


async def coroutine(name, args, kwargs):
    """Return nothing; a coroutine function."""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("ops.format", r"must be a function \(name, args, kwargs\); got 'ops.format'"),
        (lambda task: "", "must take three arguments"),
        (coroutine, "coroutine function"),
        (partial(coroutine), "coroutine function"),
        (dict, "class"),
    ],
)
def test_a_function_that_cannot_work_is_refused(memory_huey, function, message):
    """When it is given."""
    with pytest.raises(TypeError, match=message):
        site_of(memory_huey, function)
