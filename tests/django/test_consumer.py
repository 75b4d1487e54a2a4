"""Consumers of Django projects, with the lines that the page ``recipes/django.md`` tells to add."""

from __future__ import annotations

import json
import re

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("django")

from huey import SqliteHuey

from huey_signals_kit import upkeep
from tests.consumer.harness import ROOT
from tests.django.project import Project
from tests.support import hold, results, stored_errors

pytestmark = pytest.mark.slow
PAGE = (ROOT / "recipes" / "django.md").read_text()


def block(before):
    """Return the code on the page after the text *before*."""
    found = re.search(rf"{re.escape(before)}\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, before
    return found[1]


SETTINGS = block("Add to `shop/settings.py`:")
TASKS = block("Write `store/tasks.py`:")
ENQUEUE = block("Enqueue five tasks in another. One of them runs, and four cannot get the lock:")
HUEY = re.compile(r"^HUEY = \{.*?^\}\n", re.DOTALL | re.MULTILINE)
MORE_TASKS = """

@db_task()
def fail():
    raise ValueError("a real error")


@db_task()
def add(a, b):
    return a + b
"""
LOCKED = ("store.tasks.import_orders", "import")


def skips(counters):
    """Return the lock skips among the counters of a report, by task and lock."""
    return {
        (each["labels"]["task"], each["labels"]["lock"]): each["value"]
        for each in counters
        if each["metric"] == "huey_lock_skips_total"
    }


def shown(project, *words):
    """Return the report of ``manage.py``."""
    ran = project.manage("huey_signals", "report", "--json", *words)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_the_page_from_nothing_to_the_effect(tmp_path):
    """With its own settings, tasks and commands."""
    project = Project(tmp_path, SETTINGS.replace('"store", ', ""), TASKS)
    with project.consumer("run_huey") as consumer:
        project.run(["sh", "-c", ENQUEUE], check=True)
        huey = SqliteHuey("shop", filename=str(tmp_path / "queue.db"))
        consumer.wait_until(lambda: skips(upkeep.report(huey).counters) == {LOCKED: 4}, "the skips")
    assert shown(project)["kinds"]["error"]["keys"] == 0
    text = project.manage("huey_signals", "report", "--details").out
    for line in block("python manage.py huey_signals report --details\n```").splitlines():
        assert line in text


@pytest.mark.parametrize(
    ("worker", "kind", "is_instance"),
    [
        ("thread", "sqlite", True),
        ("process", "sqlite", False),
        ("thread", "redis", False),
        ("process", "redis", True),
    ],
)
def test_lock_errors_are_counted_and_not_stored(make_place, tmp_path, worker, kind, is_instance):
    """Real errors and results are stored as ever; the setting is a dict or a Huey."""
    place = make_place(kind)
    folder = tmp_path / "project"
    folder.mkdir()
    setting = f"HUEY = {settings_of(place)!r}\n"
    if is_instance:
        setting = f"from tests.support import Place\nHUEY = {place!r}.open()\n"
    settings = HUEY.sub(setting, SETTINGS.replace('"store", ', ""))
    project = Project(folder, settings, TASKS + MORE_TASKS)
    huey = place.open()
    hold(huey, "import")
    with project.consumer("run_huey", "-k", worker, "-w", "2") as consumer:
        project.python(
            "import shop.wsgi; from store.tasks import *\n"
            "for _ in range(5): import_orders()\n"
            "fail(), add(1, 2)"
        )
        consumer.wait_until(lambda: skips(upkeep.report(huey).counters) == {LOCKED: 5}, "the skips")
        consumer.wait_until(lambda: len(results(huey)) == 1, "the result")
    [error] = stored_errors(huey).values()
    assert error["error"] == "ValueError('a real error')"
    report = shown(project)
    assert report["kinds"]["error"]["keys"] == 1
    assert skips(report["counters"]) == {LOCKED: 5}


def settings_of(place, **more):
    """Return the setting of a Huey as a dict."""
    options = (
        {"huey_class": "huey.SqliteHuey", "filename": place.location}
        if place.kind == "sqlite"
        else {"connection": {"url": place.location}, "blocking": False}
    )
    return {**options, "name": place.name, "immediate": False, **more}
