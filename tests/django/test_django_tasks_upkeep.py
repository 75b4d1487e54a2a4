"""What the commands know of the records of Django tasks."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from huey_signals_kit import install_handlers, uninstall_handlers, upkeep
from huey_signals_kit.cli._explain.view import print_task
from huey_signals_kit.huey_internals.django_tasks import RUN_TASK_NAME
from huey_signals_kit.metrics.names import LOCK_SKIPS
from tests.support import hold, run_all, store

own_tasks = pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)

LOCKED = "huey.exceptions.TaskLockedException"
TASKS = own_tasks.__name__


@pytest.fixture
def huey(any_kind, make_huey):
    """A Huey on each storage that runs the Django tasks, without a kit."""
    huey = make_huey(any_kind)
    with own_tasks.tasks_on(huey):
        yield huey


def locked(huey, task=own_tasks.guarded):
    """Have a task meet a held lock; return its id."""
    hold(huey, own_tasks.LOCK)
    task_id = task.enqueue().id
    run_all(huey)
    huey.delete(f"{huey.name}.lock.{own_tasks.LOCK}")
    return task_id


def change(huey, task_id, **fields):
    """Change fields of a record as another program may."""
    huey.put_result(f"djt.{task_id}", {**own_tasks.record(huey, task_id), **fields})


def fill(huey):
    """Store one record for every case; return the ids of those that a purge leaves, by case."""
    install_handlers(huey)
    left = {"kept": locked(huey, own_tasks.keeps), "expiring": locked(huey, own_tasks.expires)}
    uninstall_handlers(huey)
    left["successful"] = own_tasks.greet.enqueue().id
    left["ordinary"] = own_tasks.fail.enqueue().id
    run_all(huey)
    change(huey, left["ordinary"], errors=[["builtins.ValueError", f"{LOCKED}: told\n"]])
    left["running"] = locked(huey)
    change(huey, left["running"], status="RUNNING")
    left["cut off"] = locked(huey)
    change(huey, left["cut off"], errors=[[f"{LOCKED}.", ""]])
    left["other id"] = locked(huey)
    change(huey, left["other id"], id="another")
    left["waiting"] = locked(huey)
    huey.enqueue(own_tasks.tasks_backend._shim.s(f"{TASKS}.greet", [], {}, id=left["waiting"]))
    left["ready"] = own_tasks.guarded.enqueue().id
    return left


def test_a_purge_deletes_old_lock_errors_alone(huey):
    """A purge judges by the class path; the dry run has the same figures."""
    left = fill(huey)
    old = {old_error(huey), old_error(huey, "x" * 9999)}
    before = store(huey)
    planned = upkeep.purge_errors(huey, dry_run=True)
    assert store(huey) == before
    done = upkeep.purge_errors(huey)
    gone = {key for key in before if key not in store(huey)}
    assert {key for key in gone if key.startswith("djt.")} == {f"djt.{each}" for each in old}
    assert {f"djt.{task_id}" for task_id in left.values()} <= store(huey).keys()
    assert replace(done, seconds=0, dry_run=True) == replace(planned, seconds=0)
    figures = asdict(done)
    # Of each lock error Huey has stored its own, too.
    assert (figures["pending"], figures["expiring"], figures["kept"]) == (2, 2, 2)
    assert done.deleted == len(gone)


def test_a_purge_of_kept_errors(huey):
    """The records of the tasks are deleted too."""
    task_id = locked(huey)
    huey.delete(task_id)
    change(huey, task_id, kept=True)
    assert upkeep.purge_errors(huey).deleted == 0
    assert upkeep.purge_errors(huey, kept=True).deleted == 1
    assert own_tasks.record(huey, task_id) is None


def old_error(huey, traceback=None):
    """Store the lock error of a task as the backend does, beside messages that wait."""
    waiting = []
    while (task := huey.dequeue()) is not None:
        waiting.append(task)
    task_id = locked(huey)
    for task in waiting:
        huey.enqueue(task)
    if traceback is not None:
        change(huey, task_id, errors=[["builtins.ValueError", ""], [LOCKED, traceback]])
    return task_id


def test_a_purge_of_another_class(huey):
    """The purge takes names, as for other tasks."""
    task_id = own_tasks.fail.enqueue().id
    run_all(huey)
    assert upkeep.purge_errors(huey).matched == 0
    assert upkeep.purge_errors(huey, ValueError).deleted == 2
    assert own_tasks.record(huey, task_id) is None


def test_a_custom_id_of_the_same_form(huey):
    """The error counts as that of a task of Huey."""

    @huey.task()
    def guarded():
        with huey.lock_task(own_tasks.LOCK):
            return

    hold(huey, own_tasks.LOCK)
    huey.enqueue(guarded.task_class(id="djt.mine"))
    run_all(huey)
    assert upkeep.report(huey).kinds["error"].keys == 1
    assert upkeep.purge_errors(huey).deleted == 1


def test_a_report_counts_them_as_kinds_of_their_own(huey):
    """The report counts their errors by class."""
    fill(huey)
    report = upkeep.report(huey)
    kinds = {kind: total.keys for kind, total in report.kinds.items()}
    # Ready, running and successful ones, and the one that names another id.
    assert (kinds["django_result"], kinds["django_error"]) == (4, 5)
    assert report.kinds["django_error"].bytes > report.kinds["django_result"].bytes
    assert report.kept == {"TaskLockedException": 2}
    # Huey's own errors, then those of records.
    assert report.errors == {"TaskLockedException": 6 + 3, "ValueError": 1 + 1, "?": 1}


def test_a_project_without_django_tasks_has_no_such_kinds(make_huey):
    """The report is the same as without this feature."""
    assert not [kind for kind in upkeep.report(make_huey()).kinds if "django" in kind]


@pytest.mark.parametrize("value", [b"garbage", b"\x80\x04cos\nsystem\n", None, [1], {"id": 3}])
def test_a_record_of_another_form_is_left_alone(make_huey, value):
    """No command changes it."""
    huey = make_huey()
    if isinstance(value, bytes):
        huey.storage.put_data("djt.x", value)
    else:
        huey.put("djt.x", value)
    before = store(huey)
    assert upkeep.purge_errors(huey).deleted == 0
    assert upkeep.report(huey).kinds["django_result"].keys == 1
    assert upkeep.explain(huey, "x", patience=0).result.kind == "unreadable"
    assert store(huey) == before


def said(huey, task_id, capsys):
    """Return what explain prints of a task."""
    print_task(upkeep.explain(huey, task_id, patience=0), "app.huey")
    return " ".join(capsys.readouterr().out.split())


def test_explain_reads_the_record(huey, capsys):
    """The task waits, has succeeded, has failed, or was lost."""
    left = fill(huey)
    assert f"Task {left['ready']}, {TASKS}.guarded Queued" in said(huey, left["ready"], capsys)
    success = said(huey, left["successful"], capsys)
    assert f"{TASKS}.greet Succeeded: its result is 'hello you'" in success
    assert "Failed with ValueError: ValueError('broken')" in said(huey, left["ordinary"], capsys)
    task_id = left["kept"]
    huey.delete(task_id)
    assert f"{TASKS}.keeps Failed with TaskLockedException, stored" in said(huey, task_id, capsys)
    huey.delete(left["running"])
    lost = said(huey, left["running"], capsys)
    assert "Its record for Django says RUNNING." in lost
    assert "It is not queued" in lost


def test_explain_shows_skips_and_the_pause_of_all_django_tasks(make_huey, capsys):
    """The skips have the name of the function, and the pause that of the one task of Huey."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    with own_tasks.tasks_on(huey):
        locked(huey)
        kit.flush()
        kit._heartbeat.write()
        waiting = own_tasks.guarded.enqueue().id
        own_tasks.tasks_backend._shim.revoke()
    assert kit.count(LOCK_SKIPS, task=f"{TASKS}.guarded") == 1
    text = said(huey, waiting, capsys)
    assert f"the pause switch of its task, rt:{RUN_TASK_NAME}" in text
    assert "skipped 1 time because the lock 'report' was held" in text
