"""Two queues of django-huey, each with its consumer, and django-huey-monitor beside the kit."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing

import huey as huey_package
import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("django")

from tests.django.project import Project
from tests.django.test_consumer import settings_of, shown, skips
from tests.support import hold, results, stored_errors

pytestmark = [pytest.mark.slow, pytest.mark.storage("redis")]
SETTINGS = """
INSTALLED_APPS += ["bx_django_utils", "huey_monitor", "django_huey"]
DJANGO_HUEY = {{"queues": {{"mails": {mails!r}, "orders": {orders!r}}}}}
DATABASES["default"]["OPTIONS"] = {{"timeout": 60, "transaction_mode": "IMMEDIATE"}}
LOGGING = {{"version": 1, "loggers": {{"huey_monitor": {{"level": "WARNING"}}}}}}
"""
APP = 'INSTALLED_APPS += ["huey_signals_kit.contrib.django"]\n'
TASKS = """
from django_huey import db_task, lock_task


def declare(queue):
    @db_task(queue=queue, name=f"{queue}_guarded")
    @lock_task("held", queue=queue)
    def guarded():
        pass

    @db_task(queue=queue, name=f"{queue}_fail")
    def fail():
        raise ValueError("a real error")

    @db_task(queue=queue, name=f"{queue}_add")
    def add(a, b):
        return a + b

    return lambda: (guarded(), fail(), add(1, 2))


enqueue_mails, enqueue_orders = declare("mails"), declare("orders")
"""
QUEUES = {"mails": "thread", "orders": "process"}
MONITORED = """
select task.name, signal.signal_name, signal.exception_line
from huey_monitor_signalinfomodel signal join huey_monitor_taskmodel task using (task_id)
order by task.name, signal.create_dt
"""
REAL = "ValueError('a real error')"
EXPECTED = [
    (f"{queue}_{task}", signal, line)
    for queue in QUEUES
    for task, signals in {
        "add": {"enqueued": "", "executing": "", "complete": ""},
        "fail": {"enqueued": "", "executing": "", "error": "a real error"},
        "guarded": {"enqueued": "", "executing": "", "locked": ""},
    }.items()
    for signal, line in signals.items()
]


def monitored(project):
    """Return what django-huey-monitor has stored, without times, processes and ids."""
    with closing(sqlite3.connect(project.path / "db.sqlite3")) as database:
        return database.execute(MONITORED).fetchall()


def run_both_queues(make_place, folder, more_settings):
    """Run three tasks on each queue; return the project, its Hueys, and what the monitor has."""
    folder.mkdir()
    places = {"mails": make_place("redis"), "orders": make_place("redis")}
    settings = SETTINGS.format(**{name: settings_of(place) for name, place in places.items()})
    project = Project(folder, settings + more_settings, TASKS)
    assert project.manage("migrate").code == 0
    hueys = {name: place.open() for name, place in places.items()}
    with ExitStack() as stack:
        for name, worker in QUEUES.items():
            hold(hueys[name], "held")
            words = ("djangohuey", "--queue", name, "-k", worker, "-w", "2")
            consumer = stack.enter_context(project.consumer(*words))
        project.python(
            "import shop.wsgi; from store import tasks; tasks.enqueue_mails(); "
            "tasks.enqueue_orders()"
        )
        consumer.wait_until(lambda: len(monitored(project)) == len(EXPECTED), "the signals")
    return project, hueys


def test_two_queues_with_a_monitor(make_place, tmp_path):
    """The monitor shows what it shows for bare Huey; the kit stores no lock errors."""
    if huey_package.__version__.startswith("2.5."):
        pytest.skip("the monitor misses signals of bare Huey 2.5")
    bare, hueys = run_both_queues(make_place, tmp_path / "bare", "")
    assert monitored(bare) == EXPECTED
    assert [len(stored_errors(huey)) for huey in hueys.values()] == [2, 2]
    project, hueys = run_both_queues(make_place, tmp_path / "kit", APP)
    assert monitored(project) == EXPECTED
    for name, huey in hueys.items():
        assert [error["error"] for error in stored_errors(huey).values()] == [REAL]
        assert list(results(huey).values()) == [3]
        report = shown(project, "--queue", name)
        assert skips(report["counters"]) == {(f"store.tasks.{name}_guarded", "held"): 1}
