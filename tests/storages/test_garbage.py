"""A store that bare Huey has filled for years: the garbage goes, and nothing else does."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import huey as huey_package
import pytest
from huey.api import Task
from huey.exceptions import TaskException, TaskLockedException
from huey.serializer import Serializer, SignedSerializer

from huey_signals_kit.upkeep import purge_errors, report, sweep_tokens
from tests.support import hold, locks, run_all, store

FAR = datetime.datetime(2099, 1, 1)
DAY = 86_400.0
NOW = 1_700_000_000.0
CHORDS = hasattr(huey_package, "chord")
SERIALIZERS = {
    "plain": {},
    "compressed": {"serializer": Serializer(compression=True)},
    "zlib": {"serializer": Serializer(compression=True, use_zlib=True)},
    "signed": {"serializer": SignedSerializer(secret="s")},
    "signed and compressed": {"serializer": SignedSerializer(secret="s", compression=True)},
}


class Busy(Exception):
    """An error of the application's own."""


def declare(huey):
    @huey.task()
    def job(n=0, *_):
        return n

    @huey.task()
    @huey.lock_task("held")
    def guarded(*_):
        return "never"

    @huey.task()
    def failing(*_):
        raise Busy("TaskLockedException('only its text')")

    @huey.task()
    def paused():
        return "never"

    @huey.task()
    def collect(values):
        return values

    return SimpleNamespace(
        job=job, guarded=guarded, failing=failing, paused=paused, collect=collect
    )


def lock_errors(huey, tasks):
    """Stored for tasks that could not get their lock, and for the stages after them."""
    ids = [tasks.guarded(n).id for n in range(5)]
    head = tasks.guarded.s().then(tasks.job)
    huey.enqueue(head)
    run_all(huey)
    return [key for key in (*ids, head.id, head.on_complete.id) if key in store(huey)]


def leaked_tokens(huey, tasks):
    """One or more of each leak."""
    done = [tasks.job(n) for n in range(6)]
    run_all(huey)
    done[0].revoke()
    huey.revoke_by_id(done[1].id)
    huey.revoke_by_id(done[2].id, revoke_until=FAR)
    huey.revoke_by_id(done[3].id, revoke_once=True)
    done[4].reschedule(delay=3600)
    run_all(huey)  # from the queue to the schedule
    for flushed in (tasks.job(), tasks.job.schedule(delay=3600)):
        huey.revoke(flushed.task)
    run_all(huey)
    huey.storage.flush_schedule()
    queued = tasks.job()
    queued.revoke()
    huey.storage.flush_queue()
    # A stage that never comes, as the one before it has failed.
    head = tasks.failing.s().then(tasks.job)
    huey.revoke(head.on_complete)
    huey.enqueue(head)
    # Skipped, and its token stays; a once-token goes with its skip.
    skipped, once = tasks.job(), tasks.job()
    huey.revoke_by_id(skipped.id)
    once.revoke()
    run_all(huey)
    return [key for key in store(huey) if key.startswith("r:")], len(done) - 1


def kept(huey, tasks):
    """All else that a store can have: what must be there afterwards, by what it is."""
    found = SimpleNamespace(results={}, errors=[], waiting=[], garbage=set())
    for value in (7, 0, "text", {"a": [1, 2]}, b"bytes" * 1000, FAR, TaskLockedException("value")):
        found.results[tasks.job(value).id] = value
    found.errors = [tasks.failing().id]
    huey.put("my key", "my value")
    run_all(huey)
    huey.revoke_by_id("nightly")
    huey.revoke_all(tasks.paused.task_class)
    huey.revoke_all(tasks.collect.task_class, revoke_until=datetime.datetime(2001, 1, 1))
    if CHORDS:
        found.callback = tasks.collect.s()
        locked = tasks.guarded.s()
        huey.enqueue(huey_package.chord([locked, tasks.job.s(3)], found.callback))
        # Its part is the lock's error, which stays, and so is its own result, which goes.
        huey.execute(huey.dequeue())
        found.garbage = {locked.id}
    head = tasks.job.s().then(tasks.job)
    huey.revoke(head.on_complete)
    huey.enqueue(head)
    later = tasks.job.s(eta=FAR)
    huey.add_schedule(later)
    huey.revoke_by_id(later.id, revoke_once=True)
    found.waiting = [head.on_complete.id, later.id]
    if hasattr(huey, "rate_limit"):
        limit = huey.rate_limit("limit", limit=5, per=3600)
        with limit:
            pass
    return found


def clean(huey):
    """What the commands do: purge with ``--apply``, and two sweeps that are a day apart."""
    purged = purge_errors(huey)
    first = sweep_tokens(huey, clock=lambda: NOW)
    second = sweep_tokens(huey, clock=lambda: NOW + DAY + 1)
    return purged, first, second


def check_that_all_works(huey, tasks, found):
    """As Huey itself reads it."""
    for task_id, value in found.results.items():
        read = huey.result(task_id, preserve=True)
        assert read == value or repr(read) == repr(value)
    for task_id in found.errors:
        with pytest.raises(TaskException, match="only its text"):
            huey.result(task_id, preserve=True)
    assert huey.get("my key", peek=True) == "my value"
    assert huey.is_revoked(Task(id="nightly"))
    assert tasks.paused.is_revoked()
    assert locks(huey) == {"held"}
    assert all(huey.is_revoked(Task(id=each)) for each in found.waiting)
    never = [*found.waiting, tasks.paused().id]
    run_all(huey, scheduled=True, now=datetime.datetime(2100, 1, 1))
    assert not [task_id for task_id in never if task_id in store(huey)]
    if CHORDS:
        error, three = huey.result(found.callback.id)
        assert type(error).__name__ in ("Error", "TaskLockedException")  # Huey before 3.4
        assert three == 3


def fill(huey):
    """All of it, by bare Huey; (tasks, garbage, what is kept, how many leaks there are)."""
    tasks = declare(huey)
    hold(huey, "held")
    found = kept(huey, tasks)
    queue = list(huey.storage.enqueued_items())
    schedule = [huey.deserialize_task(raw) for raw in huey.storage.scheduled_items()]
    huey.storage.flush_queue()
    huey.storage.flush_schedule()
    before = set(store(huey))
    tokens, least = leaked_tokens(huey, tasks)
    errors = lock_errors(huey, tasks)
    garbage = {key for key in (*tokens, *errors) if key not in before} | found.garbage
    huey.storage.flush_schedule()  # of the rescheduled one: its new id has no token
    for raw in queue:
        huey.storage.enqueue(raw)
    for task in schedule:
        huey.add_schedule(task)
    assert len(errors) >= 6
    assert len(tokens) >= least
    return tasks, garbage, found


def check(huey):
    tasks, garbage, found = fill(huey)
    before = store(huey)
    told = report(huey)
    assert told.errors["TaskLockedException"] + told.tokens.orphaned == len(garbage)
    purged, first, second = clean(huey)
    after = {key: value for key, value in store(huey).items() if "huey-signals:" not in key}
    assert before.keys() - after.keys() == garbage
    assert after == {key: value for key, value in before.items() if key not in garbage}
    assert (purged.deleted + second.deleted, first.deleted) == (len(garbage), 0)
    told = report(huey)
    assert "TaskLockedException" not in told.errors
    assert (told.tokens.orphaned, told.tokens.marked) == (0, 0)
    assert told.tokens.custom == 1
    assert told.tokens.live == len(found.waiting)
    check_that_all_works(huey, tasks, found)


def test_all_garbage_goes_and_all_else_works(any_huey):
    """On every storage: exactly the lock errors and the orphaned tokens have gone."""
    check(any_huey)


@pytest.mark.parametrize("name", list(SERIALIZERS)[1:])
@pytest.mark.parametrize("kind", ["sqlite", "redis", "redis-expire"])
def test_whatever_the_serializer(make_huey, kind, name):
    """Compressed or signed, or both."""
    check(make_huey(kind, **SERIALIZERS[name]))
