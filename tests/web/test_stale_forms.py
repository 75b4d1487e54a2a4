"""A form does only what its confirmation has said, and only once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

pytest.importorskip("jinja2")

from huey import MemoryHuey

from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.web import Site
from huey_signals_kit.web._acts import once
from tests.support import tokens
from tests.web.acting import form_of, get, post, text_of


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


def test_the_ids_of_the_last_forms_are_kept(huey, site):
    """And no more of them, so that the list stays small."""
    pay, name = declare(huey)
    open_kit_store(huey, UPKEEP).put_if_absent(
        once.KEY, json.dumps([str(number) for number in range(200)]).encode()
    )
    pay.revoke()
    form = form_of(get(site, f"/act/resume?name={name}"))
    assert post(site, *form).status == 303
    (raw,) = open_kit_store(huey, UPKEEP).get([once.KEY])
    assert json.loads(raw)[-1] == form[1][once.FIELD]
    assert len(json.loads(raw)) == 200
