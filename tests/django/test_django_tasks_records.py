"""What Huey's backend has stored of a Django task follows the verdict."""

from __future__ import annotations

import pickle
import time
from datetime import timedelta

import pytest
from huey.serializer import Serializer, SignedSerializer

from huey_signals_kit import DROP, KEEP, Registry, expire, install_handlers
from huey_signals_kit.dispatch import django_records
from huey_signals_kit.handlers import RescheduleLocked, expire_lock_errors
from huey_signals_kit.store import Reader
from tests.support import hold, run_all, store, stored_errors, tokens, wait_until

own_tasks = pytest.importorskip("tests.django.own_tasks", exc_type=ImportError)

LOCKED = "huey.exceptions.TaskLockedException"


@pytest.fixture
def huey(any_kind, make_huey):
    """A Huey on each storage that runs the Django tasks."""
    huey = make_huey(any_kind)
    with own_tasks.tasks_on(huey):
        yield huey


@pytest.fixture
def memory_huey(make_huey):
    """A Huey in memory that runs the Django tasks."""
    huey = make_huey()
    with own_tasks.tasks_on(huey):
        yield huey


def skip(huey, task=None, *args):
    """Have `task` meet a held lock; return its id."""
    hold(huey, own_tasks.LOCK)
    task_id = (task or own_tasks.guarded).enqueue(*args).id
    run_all(huey)
    return task_id


def raw_record(huey, task_id):
    return store(huey)[f"djt.{task_id}"]


def test_drop_deletes_the_record(huey):
    """No key is left, and Django has sent ``task_finished`` once, as without the kit."""
    install_handlers(huey)
    with own_tasks.finished_tasks() as finished:
        task_id = skip(huey)
    assert own_tasks.record(huey, task_id) is None
    assert stored_errors(huey) == {}
    assert finished == [(task_id, "FAILED")]
    with pytest.raises(own_tasks.TaskResultDoesNotExist):
        own_tasks.default_task_backend.get_result(task_id)


def test_expire_leaves_a_small_record_for_some_time(huey):
    """The record has no traceback, tells why the task failed, and expires."""
    brief = Registry("brief")
    brief.add(expire_lock_errors(0.5), "locked")
    kit = install_handlers(huey, preset=brief)
    task_id = skip(huey)
    result = own_tasks.default_task_backend.get_result(task_id)
    (error,) = result.errors
    assert (str(result.status), error.exception_class_path, error.traceback) == (
        "FAILED",
        LOCKED,
        "",
    )
    assert len(raw_record(huey, task_id)) < 700

    def is_gone():
        kit._expiry.delete_due()
        return own_tasks.record(huey, task_id) is None

    wait_until(is_gone, 10, "the record to expire")


def test_keep_marks_the_record(huey):
    """The task was declared so, and the preset does not matter."""
    install_handlers(huey)
    task_id = skip(huey, own_tasks.keeps)
    record = own_tasks.record(huey, task_id)
    assert (record["status"], record["kept"]) == ("FAILED", True)
    ((path, traceback),) = record["errors"]
    assert (path, "unable to acquire lock report" in traceback) == (LOCKED, True)
    assert stored_errors(huey)[task_id]["kept"] is True
    own_tasks.default_task_backend.get_result(task_id)


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "observe", "reschedule-locks"])
@pytest.mark.parametrize(
    ("task", "left"), [("keeps", "kept"), ("drops", None), ("expires", "expires")]
)
def test_the_declaration_of_the_task_wins(memory_huey, preset, task, left):
    """The declaration takes precedence over every preset."""
    install_handlers(memory_huey, preset=preset)
    task_id = skip(memory_huey, getattr(own_tasks, task))
    record = own_tasks.record(memory_huey, task_id) or {}
    assert {"kept", "expires"} & record.keys() == ({left} if left else set())
    assert memory_huey.scheduled_count() == 0


def test_a_rescheduled_task_is_as_if_it_had_never_started(huey):
    """The task has its context when it gets the lock at last."""
    install_handlers(huey, preset="reschedule-locks")
    hold(huey, own_tasks.LOCK)
    task_id = own_tasks.guarded_with_context.enqueue(7).id
    before = own_tasks.record(huey, task_id)
    run_all(huey)
    assert own_tasks.record(huey, task_id) == before
    assert huey.scheduled_count() == 1
    huey.flush_locks()
    run_all(huey, scheduled=True, now=huey._get_timestamp() + timedelta(hours=1))
    result = own_tasks.default_task_backend.get_result(task_id)
    assert (str(result.status), result.return_value) == ("SUCCESSFUL", [1, 7])


def test_a_task_that_is_given_up_is_dropped(memory_huey):
    """The task will not run again, so its record is deleted."""
    impatient = Registry("impatient")
    impatient.add(RescheduleLocked(delay=10, give_up_after=10), "locked")
    install_handlers(memory_huey, preset=impatient)
    task_id = skip(memory_huey)
    later, now = memory_huey._get_timestamp() + timedelta(seconds=30), time.time()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: now + 30)
        run_all(memory_huey, scheduled=True, now=later)
    assert own_tasks.record(memory_huey, task_id) is None


def test_a_revoked_task_has_failed(huey):
    """Its error is `CancelExecution`; Django sends ``task_finished``, and the token is deleted."""
    install_handlers(huey)
    task_id = own_tasks.greet.enqueue().id
    huey.revoke_by_id(task_id)
    with own_tasks.finished_tasks() as finished:
        run_all(huey)
    result = own_tasks.default_task_backend.get_result(task_id)
    assert str(result.status) == "FAILED"
    assert result.errors[0].exception_class.__name__ == "CancelExecution"
    assert result.finished_at is not None
    assert finished == [(task_id, "FAILED")]
    assert tokens(huey) == set()


def test_a_receiver_that_fails_leaves_the_task_revoked(memory_huey):
    """Django logs the exception of the receiver, and the token is deleted."""
    install_handlers(memory_huey)
    task_id = own_tasks.greet.enqueue().id
    memory_huey.revoke_by_id(task_id)

    def receive(**named):
        raise ValueError("receiver")

    own_tasks.task_finished.connect(receive)
    try:
        run_all(memory_huey)
    finally:
        own_tasks.task_finished.disconnect(receive)
    assert own_tasks.record(memory_huey, task_id)["status"] == "FAILED"
    assert tokens(memory_huey) == set()


def test_observe_changes_no_record(memory_huey):
    """The record of a locked task stays, and that of a revoked one."""
    install_handlers(memory_huey, preset="observe")
    revoked = own_tasks.greet.enqueue().id
    memory_huey.revoke_by_id(revoked)
    locked = skip(memory_huey)
    record = own_tasks.record(memory_huey, locked)
    assert (record["status"], "kept" in record) == ("FAILED", False)
    assert own_tasks.record(memory_huey, revoked)["status"] == "READY"


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_the_record_of_an_ordinary_error_stays(huey, preset):
    """The record is the same to the byte."""
    install_handlers(huey, preset=preset)
    task_id = own_tasks.fail.enqueue().id
    task = huey.dequeue()
    seen = []
    huey.signal("error")(lambda *_: seen.append(raw_record(huey, task_id)))
    huey.execute(task)
    assert seen == [raw_record(huey, task_id)]


@pytest.mark.parametrize(
    ("verdict", "left"), [(DROP, None), (KEEP, "kept"), (expire(60), "expires")]
)
def test_the_verdict_of_a_handler_counts(memory_huey, verdict, left):
    """A handler may return a verdict for any error."""
    kit = install_handlers(memory_huey)
    kit.on("error", exceptions=ValueError)(lambda event: verdict)
    task_id = own_tasks.fail.enqueue().id
    run_all(memory_huey)
    record = own_tasks.record(memory_huey, task_id)
    assert (left in record) if left else record is None


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_a_task_without_a_record(huey, preset):
    """The task fails as it would without Django."""
    install_handlers(huey, preset=preset)
    hold(huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    huey.delete(f"djt.{task_id}")
    run_all(huey)
    assert f"djt.{task_id}" not in store(huey)


def test_a_task_with_retries_is_ready_between_them(huey):
    """The record is deleted after the last attempt."""
    install_handlers(huey)
    hold(huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    before = own_tasks.record(huey, task_id)
    task = huey.dequeue()
    task.retries = 1
    huey.execute(task)
    assert own_tasks.record(huey, task_id) == before
    run_all(huey)
    assert own_tasks.record(huey, task_id) is None


def test_the_errors_of_earlier_attempts_stay(memory_huey):
    """The record has them when a later attempt is rescheduled."""
    install_handlers(memory_huey, preset="reschedule-locks")
    hold(memory_huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    record = own_tasks.record(memory_huey, task_id)
    record["errors"].append(["builtins.ValueError", "earlier"])
    record["worker_ids"].append("host.1")
    record["started_at"] = "2026-01-01T00:00:00+00:00"
    memory_huey.put_result(f"djt.{task_id}", record)
    run_all(memory_huey)
    after = own_tasks.record(memory_huey, task_id)
    assert (after["status"], after["errors"]) == ("READY", record["errors"])
    assert after["worker_ids"] == ["host.1"]
    assert after["started_at"] is not None


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks"])
def test_immediate_mode(make_huey, preset):
    """Immediate mode gives the same records."""
    huey = make_huey(immediate=True)
    install_handlers(huey, preset=preset)
    with own_tasks.tasks_on(huey):
        hold(huey, own_tasks.LOCK)
        locked, fine = own_tasks.guarded.enqueue().id, own_tasks.greet.enqueue()
    record = own_tasks.record(huey, locked)
    assert ("expires" in record) if preset == "brief-locks" else record is None
    assert str(fine.status) == "SUCCESSFUL"


class OwnSerializer:
    """A serializer of the user's own."""

    def serialize(self, value):
        return b"mine" + pickle.dumps(value)

    def deserialize(self, data):
        return pickle.loads(data[4:])


@pytest.mark.parametrize(
    "serializer",
    [
        Serializer(compression=True),
        Serializer(compression=True, use_zlib=True),
        SignedSerializer(secret="s"),
        OwnSerializer(),
    ],
    ids=["gzip", "zlib", "signed", "own"],
)
@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_any_serializer(make_huey, serializer, preset):
    """The output of gzip changes with the clock, and its records are changed too."""
    huey = make_huey(serializer=serializer)
    install_handlers(huey, preset=preset)
    with own_tasks.tasks_on(huey):
        kept = skip(huey, own_tasks.keeps)
        task_id = own_tasks.guarded.enqueue().id
        run_all(huey)
    record = own_tasks.record(huey, task_id)
    if preset == "quiet-locks":
        assert record is None
    else:
        assert record["status"] == {"brief-locks": "FAILED"}.get(preset, "READY")
    assert own_tasks.record(huey, kept)["kept"] is True


def read_with(monkeypatch, meanwhile):
    """Have `meanwhile` called each time that the kit has read a record."""
    original = Reader.value

    def value(self, raw):
        answer = original(self, raw)
        meanwhile()
        return answer

    monkeypatch.setattr(Reader, "value", value)


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_a_record_that_changes_meanwhile(huey, preset, monkeypatch):
    """The kit reads it again, and leaves it alone if it is of another attempt by that time."""
    install_handlers(huey, preset=preset)
    hold(huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    calls = []

    def run_elsewhere():
        calls.append(own_tasks.record(huey, task_id))
        if len(calls) == 1:
            huey.put_result(f"djt.{task_id}", {**calls[0], "status": "SUCCESSFUL"})

    read_with(monkeypatch, run_elsewhere)
    run_all(huey)
    monkeypatch.undo()
    assert own_tasks.record(huey, task_id)["status"] == "SUCCESSFUL"
    assert len(calls) == 2


def test_a_record_that_always_changes(memory_huey, monkeypatch):
    """The kit leaves it alone after a few attempts."""
    install_handlers(memory_huey)
    hold(memory_huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    numbers = iter(range(100))

    def change():
        record = own_tasks.record(memory_huey, task_id)
        memory_huey.put_result(f"djt.{task_id}", {**record, "number": next(numbers)})

    read_with(monkeypatch, change)
    run_all(memory_huey)
    assert own_tasks.record(memory_huey, task_id)["number"] == django_records._TRIES - 1


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_a_storage_that_fails_stops_no_task(memory_huey, preset, monkeypatch, caplog):
    """The kit logs and counts the failure, and the record stays as the backend has written it."""
    kit = install_handlers(memory_huey, preset=preset)

    def fail(huey):
        raise ConnectionError("away")

    monkeypatch.setattr(django_records, "open_store", fail)
    task_id = skip(memory_huey)
    assert own_tasks.record(memory_huey, task_id)["status"] == "FAILED"
    assert kit.count("huey_handler_errors_total", handler="django_record") == 1
    assert "The record of a Django task failed" in caplog.text


class Foreign:
    """A class that no reader of the kit may load."""


@pytest.mark.parametrize(
    "change",
    [
        {"errors": None},
        {"errors": [[LOCKED]], "status": ["FAILED"]},
        {"errors": [LOCKED, None, 3]},
        {"errors": [[3, 4]]},
        {"id": "another"},
        {"status": "x" * 1_000_000},
        {"return_value": Foreign()},
        {"args": [[Foreign()]]},
    ],
    ids=["no errors", "status", "strings", "numbers", "id", "long", "foreign", "nested"],
)
@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_a_record_of_another_form_is_left_alone(memory_huey, preset, change):
    """Its values may be of any type."""
    kit = install_handlers(memory_huey, preset=preset)
    hold(memory_huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    task = memory_huey.dequeue()
    left = []

    def spoil(event):
        record = own_tasks.record(memory_huey, task_id)
        memory_huey.put_result(f"djt.{task_id}", {**record, **change})
        left.append(raw_record(memory_huey, task_id))

    kit.on("locked", priority=9)(spoil)
    memory_huey.execute(task)
    assert [raw_record(memory_huey, task_id)] == left


def test_a_large_record_is_changed_too(memory_huey):
    """A user may have arguments of a megabyte."""
    install_handlers(memory_huey, preset="reschedule-locks")
    task_id = skip(memory_huey, own_tasks.guarded_with_context, "x" * 1_000_000)
    record = own_tasks.record(memory_huey, task_id)
    assert (record["status"], len(record["args"][0])) == ("READY", 1_000_000)


def test_a_small_record_is_small(huey):
    """It expires on every storage, so it does not have arguments of a megabyte."""
    brief = Registry("brief")
    brief.add(expire_lock_errors(0.1), "locked")
    kit = install_handlers(huey, preset=brief)
    hold(huey, own_tasks.LOCK)
    task_id = own_tasks.guarded_with_context.enqueue("x" * 2_000_000).id
    seen = []
    huey.post_execute()(lambda *_: seen.append(len(raw_record(huey, task_id))))
    run_all(huey)
    assert seen
    assert seen[0] < 700

    def is_gone():
        kit._expiry.delete_due()
        return f"djt.{task_id}" not in store(huey)

    wait_until(is_gone, 10, "the record to expire")


def test_two_kits_change_their_own_records_alone(make_huey):
    """The kit of a Huey that does not run the Django tasks does nothing to them."""
    huey, other = make_huey(), make_huey()
    install_handlers(huey)
    install_handlers(other, preset="observe")
    with own_tasks.tasks_on(other):
        kept = skip(other)
        with own_tasks.tasks_on(huey):
            dropped = skip(huey)
    assert own_tasks.record(other, kept)["status"] == "FAILED"
    assert own_tasks.record(huey, dropped) is None


def test_a_stage_of_a_pipeline(memory_huey):
    """Its record is deleted, and the later stages are not stored either."""
    install_handlers(memory_huey)
    later = memory_huey.task()(lambda value: value)
    hold(memory_huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    task = memory_huey.dequeue().then(later)
    memory_huey.execute(task)
    assert own_tasks.record(memory_huey, task_id) is None
    assert stored_errors(memory_huey) == {}


class Bomb:
    """An object whose unpickling is seen."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle has run')",))


def test_nothing_in_the_record_of_a_revoked_task_runs(memory_huey):
    """It is left alone, and the token is deleted."""
    kit = install_handlers(memory_huey)
    task_id = own_tasks.greet.enqueue().id
    memory_huey.revoke_by_id(task_id)
    record = {**own_tasks.record(memory_huey, task_id), "args": [Bomb()]}
    raw = memory_huey.serializer.serialize(record)
    memory_huey.storage.put_data(f"djt.{task_id}", raw)
    run_all(memory_huey)
    assert raw_record(memory_huey, task_id) == raw
    assert tokens(memory_huey) == set()
    assert kit.count("huey_handler_errors_total") == 0


@pytest.mark.parametrize("path", ["no.such.module", "", 3, None])
def test_a_revoked_task_whose_function_is_gone(memory_huey, path):
    """The task has failed; the kit logs and counts that Django sent no signal."""
    kit = install_handlers(memory_huey)
    task_id = own_tasks.greet.enqueue().id
    memory_huey.revoke_by_id(task_id)
    record = {**own_tasks.record(memory_huey, task_id), "task_path": path}
    memory_huey.put_result(f"djt.{task_id}", record)
    with own_tasks.finished_tasks() as finished:
        run_all(memory_huey)
    assert (own_tasks.record(memory_huey, task_id)["status"], finished) == ("FAILED", [])
    assert kit.count("huey_handler_errors_total", handler="django_record") == 1
    assert tokens(memory_huey) == set()


@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "SUCCESSFUL"])
def test_a_revoked_task_that_has_been_started(memory_huey, status):
    """Its record stays: the task may be running, and its return value is not lost."""
    install_handlers(memory_huey)
    task_id = own_tasks.greet.enqueue().id
    memory_huey.revoke_by_id(task_id)
    record = {**own_tasks.record(memory_huey, task_id), "status": status}
    memory_huey.put_result(f"djt.{task_id}", record)
    run_all(memory_huey)
    assert own_tasks.record(memory_huey, task_id) == record


def test_a_reader_during_the_change(memory_huey, monkeypatch):
    """A reader sees the record before or after the change, each complete."""
    brief = Registry("brief")
    brief.add(expire_lock_errors(60), "locked")
    install_handlers(memory_huey, preset=brief)
    hold(memory_huey, own_tasks.LOCK)
    task_id = own_tasks.guarded.enqueue().id
    seen = []

    def read():
        result = own_tasks.default_task_backend.get_result(task_id)
        seen.append((str(result.status), bool(result.errors[0].traceback)))

    read_with(monkeypatch, read)
    run_all(memory_huey)
    monkeypatch.undo()
    read()
    assert seen == [("FAILED", True), ("FAILED", False)]
