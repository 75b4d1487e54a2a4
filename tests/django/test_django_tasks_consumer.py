"""Django's own tasks in projects with real consumers, each count, lock, record and command."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
# Needs Django with its tasks, and Huey 3.5.
pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)

from huey_signals_kit import upkeep
from huey_signals_kit.huey_internals.django_tasks import RUN_TASK_NAME
from tests.django.project import Project
from tests.support import hold, store, stored_errors, tokens

pytestmark = pytest.mark.slow

SETTINGS = """
INSTALLED_APPS += ["huey.contrib.djhuey", "huey_signals_kit.contrib.django"]
TASKS = {"default": {"BACKEND": "huey.contrib.djhuey.tasks_backend.HueyBackend"}}
"""
TASKS = """
import time
from pathlib import Path

try:
    from django.tasks import default_task_backend, task
    from django.tasks.signals import task_finished
except ImportError:
    from django_tasks import default_task_backend, task
    from django_tasks.signals import task_finished
from huey.contrib.djhuey import HUEY
from huey_signals_kit.contrib.django import lock_errors

@task_finished.connect
def note(task_result, **named):
    with Path("finished").open("a") as file:
        file.write(f"{task_result.id} {task_result.status}\\n")

@task
@HUEY.lock_task("import")
def import_orders():
    return "done"

@task
@lock_errors("keep")
@HUEY.lock_task("import")
def kept():
    return "done"

@task
@lock_errors(3600)
@HUEY.lock_task("import")
def expires():
    return "done"

@task(takes_context=True)
@HUEY.lock_task("import")
def with_context(context, number):
    return [context.attempt, number]

@task
def add(a, b):
    return a + b

@task
def fail():
    raise ValueError("a real error")

@task
def holds():
    with HUEY.lock_task("mine"):
        while not Path("enough").exists():
            time.sleep(0.05)
"""
HANDLERS = """
from pathlib import Path
from huey_signals_kit import on
from store.tasks import add, import_orders

def note(name):
    def handler(event):
        with Path("events").open("a") as file:
            file.write(f"{name} {event.signal} {event.task_name}\\n")
    return handler

on("locked", tasks=import_orders)(note("task"))
on("complete", tasks=add.func)(note("function"))
on("error", "revoked", tasks="store.tasks.*")(note("glob"))
"""
ENQUEUE = """
import django, json
django.setup()
from store.tasks import *
ids = {name: globals()[name].enqueue().id for name in ("kept", "expires", "fail", "holds")}
ids["locked"] = [import_orders.enqueue().id for _ in range(3)]
ids["add"], ids["revoked"] = add.enqueue(1, 2).id, add.enqueue(3, 4).id
HUEY.revoke_by_id(ids["revoked"])
print(json.dumps(ids))
"""
COMBINATIONS = [
    ("thread", "sqlite"),
    ("process", "sqlite"),
    ("thread", "redis"),
    ("process", "redis"),
]


def project_of(place, folder, settings, handlers):
    """Return a project whose Huey is at `place`."""
    options = (
        {"huey_class": "huey.SqliteHuey", "filename": place.location}
        if place.kind == "sqlite"
        else {"connection": {"url": place.location}, "blocking": False}
    )
    huey = {**options, "name": place.name, "immediate": False}
    folder.mkdir()
    project = Project(folder, f"{SETTINGS}\n{settings}\nHUEY = {huey!r}\n", TASKS)
    project.write("store/huey_handlers.py", handlers)
    return project


def lines(project, file):
    """Return the lines of a file, sorted."""
    path = project.path / file
    return sorted(path.read_text().splitlines()) if path.exists() else []


def counts(report, metric):
    """Return the counts of a metric by task and its last label."""
    return {
        (each["labels"]["task"], list(each["labels"].values())[-1]): each["value"]
        for each in report.counters
        if each["metric"] == metric
    }


@pytest.mark.parametrize(("worker", "kind"), COMBINATIONS)
def test_each_counts_as_itself_and_its_record_follows_the_verdict(
    make_place, tmp_path, worker, kind
):
    """The project has two lines of settings, the decorator and handlers."""
    place = make_place(kind)
    settings = 'HUEY_SIGNALS = {"sinks": ["memory"], "quiet_logs": True}'
    project = project_of(place, tmp_path / "project", settings, HANDLERS)
    huey = place.open()
    hold(huey, "import")
    ids = json.loads(project.python(ENQUEUE).out)
    waiting = upkeep.explain(huey, ids["kept"], patience=0)
    assert (waiting.task_name, waiting.places[0].where) == ("store.tasks.kept", "queue")
    skips = {
        ("store.tasks.import_orders", "import"): 3,
        ("store.tasks.kept", "import"): 1,
        ("store.tasks.expires", "import"): 1,
    }
    with project.consumer("run_huey", "-k", worker, "-w", "2") as consumer:
        consumer.wait_until(
            lambda: counts(upkeep.report(huey), "huey_lock_skips_total") == skips, "the skips"
        )
        consumer.wait_until(lambda: upkeep.LockInspector(huey).all(), "the lock")
        lock = next(each for each in upkeep.LockInspector(huey).all() if each.name == "mine")
        assert (lock.task_name, lock.task_id) == ("store.tasks.holds", ids["holds"])
        consumer.wait_until(
            lambda: (
                [
                    each["task"]
                    for process in upkeep.report(huey).consumers
                    for each in process.running
                ]
                == ["store.tasks.holds"]
            ),
            "the running task",
        )
        running = upkeep.explain(huey, ids["holds"], patience=0)
        assert (running.task_name, running.places[0].where) == ("store.tasks.holds", "running")
        shown = project.manage("huey_signals", "top", "--json").out
        assert "store.tasks.holds" in shown
        assert "djtasks.run" not in shown
        skipped = upkeep.explain(huey, ids["locked"][0], patience=0).skipped
        assert [attempt.lock for attempt in skipped] == ["import"]
        (project.path / "enough").touch()
        ends = {(f"store.tasks.{name}", "complete") for name in ("add", "holds")}
        consumer.wait_until(
            lambda: ends <= counts(upkeep.report(huey), "huey_signals_total").keys(), "the ends"
        )
    assert lines(project, "events") == [
        "function complete store.tasks.add",
        "glob error store.tasks.fail",
        "glob revoked store.tasks.add",
        *["task locked store.tasks.import_orders"] * 3,
    ]
    check_records(project, huey, ids)
    if (worker, kind) in (COMBINATIONS[0], COMBINATIONS[-1]):
        check_commands(project, huey, ids)


def check_records(project, huey, ids):
    """Each record is as its verdict says, and Django has sent ``task_finished`` for each task."""
    records = {name: huey.get(f"djt.{ids[name]}", peek=True) for name in ids if name != "locked"}
    statuses = {name: record["status"] for name, record in records.items()}
    failed = dict.fromkeys(("kept", "expires", "fail", "revoked"), "FAILED")
    assert statuses == {**failed, "add": "SUCCESSFUL", "holds": "SUCCESSFUL"}
    assert not [each for each in ids["locked"] if f"djt.{each}" in store(huey)]
    assert records["kept"]["kept"] is True
    assert records["expires"]["errors"] == [["huey.exceptions.TaskLockedException", ""]]
    assert records["revoked"]["errors"][0][0] == "huey.exceptions.CancelExecution"
    assert set(stored_errors(huey)) == {ids["kept"], ids["expires"], ids["fail"]}
    assert tokens(huey) == set()
    finished = {**statuses, **dict.fromkeys(ids["locked"], "FAILED")}
    assert lines(project, "finished") == sorted(
        f"{ids.get(name, name)} {status}" for name, status in finished.items()
    )
    result = project.python(
        "import django; django.setup(); from store.tasks import default_task_backend as backend\n"
        f"print(backend.get_result({ids['add']!r}).return_value)\n"
        f"print(*[backend.get_result(each).errors[0].exception_class.__name__ for each in "
        f"({ids['kept']!r}, {ids['expires']!r}, {ids['revoked']!r})])"
    )
    locked = "TaskLockedException"
    assert result.out.split() == ["3", locked, locked, "CancelExecution"]


def check_commands(project, huey, ids):
    """``manage.py huey_signals`` names the functions, and a purge deletes old errors alone."""
    report = json.loads(project.manage("huey_signals", "report", "--json").out)
    assert {each["labels"].get("task") for each in report["counters"]}.isdisjoint({RUN_TASK_NAME})
    kinds = {kind: total["keys"] for kind, total in report["kinds"].items() if total["keys"]}
    assert kinds == {"error": 3, "django_result": 2, "django_error": 4, "lock": 1}
    old = {**huey.get(f"djt.{ids['kept']}", peek=True), "id": "old"}
    del old["kept"]
    huey.put("djt.old", old)
    planned = json.loads(project.manage("huey_signals", "purge", "--json").out)
    assert "djt.old" in store(huey)
    done = json.loads(project.manage("huey_signals", "purge", "--apply", "--json").out)
    assert "djt.old" not in store(huey)
    assert planned["deleted"] == done["deleted"] == 1
    assert (done["kept"], done["expiring"]) == (2, 2)
    explained = project.manage("huey_signals", "explain", ids["fail"]).out
    assert f"Task {ids['fail']}, store.tasks.fail" in explained


@pytest.mark.parametrize(("worker", "kind"), [("thread", "redis"), ("process", "sqlite")])
def test_a_rescheduled_task_runs_with_its_context(make_place, tmp_path, worker, kind):
    """Between its attempts its record says READY, as if it had never started."""
    place = make_place(kind)
    settings = 'HUEY_SIGNALS = {"preset": "store.presets.patient"}'
    project = project_of(place, tmp_path / "project", settings, "")
    project.write(
        "store/presets.py",
        "from huey_signals_kit import Registry\n"
        "from huey_signals_kit.handlers import RescheduleLocked\n"
        "patient = Registry('patient')\n"
        "patient.add(RescheduleLocked(delay=0.5), 'locked', 'error', 'retrying')\n",
    )
    huey = place.open()
    hold(huey, "import")
    task_id = project.python(
        "import django; django.setup(); from store.tasks import *\n"
        "print(with_context.enqueue(7).id)"
    ).out.strip()
    before = huey.get(f"djt.{task_id}", peek=True)
    with project.consumer("run_huey", "-k", worker, "-w", "2") as consumer:

        def record():
            return huey.get(f"djt.{task_id}", peek=True)

        consumer.wait_until(huey.scheduled_count, "the task to be scheduled")
        consumer.wait_until(lambda: record() == before, "the record to be as before")
        huey.delete(f"{huey.name}.lock.import")
        consumer.wait_until(lambda: record()["status"] == "SUCCESSFUL", "the task to end")
        assert record()["return_value"] == [1, 7]
