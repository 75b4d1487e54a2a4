"""The report counts what there is, on every storage, and changes nothing."""

from __future__ import annotations

import datetime
import json
import os

import pytest
from huey.serializer import Serializer

from huey_signals_kit import install_handlers
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import report, sweep_tokens
from huey_signals_kit.upkeep.reports.problems import find_problems
from tests.locks import ELSEWHERE, GONE, key, taken_by
from tests.support import hold, run_all, store

FAR = datetime.datetime(2099, 1, 1)


def fill(huey):
    """One of each kind, and two errors; returns a task that waits."""

    @huey.task()
    def job(n=0):
        return n

    @huey.task()
    @huey.lock_task("held")
    def guarded():
        return None

    @huey.task()
    def failing():
        raise ValueError("no")

    hold(huey, "held")
    done = job(7)
    guarded(), failing()
    run_all(huey)
    huey.revoke_by_id(done.id)
    huey.revoke_by_id("custom")
    huey.revoke_all(job.task_class)
    waiting = job.schedule(eta=FAR)
    job.schedule(eta=FAR + datetime.timedelta(days=1))
    run_all(huey)  # from the queue to the schedule
    huey.revoke_by_id(waiting.id)
    job()
    return waiting


def test_it_counts_all_there_is(any_huey):
    """Kinds with bytes, errors by class, tokens, the queue and the schedule; plain for JSON."""
    fill(any_huey)
    before = store(any_huey)
    found = report(any_huey)
    assert {kind: each.keys for kind, each in found.kinds.items() if each.keys} == {
        "result": 1,
        "error": 2,
        "token": 3,
        "pause_switch": 1,
        "lock": 1,
    }
    assert sum(each.bytes for each in found.kinds.values()) >= sum(
        len(key) + len(value) for key, value in before.items()
    )
    assert found.errors == {"TaskLockedException": 1, "ValueError": 1}
    tokens = found.tokens
    assert (tokens.live, tokens.custom, tokens.orphaned, tokens.marked) == (1, 1, 1, 0)
    assert (found.queue_length, found.schedule.length) == (1, 2)
    assert found.schedule.first == FAR.isoformat()
    assert found.schedule.last == "2099-01-02T00:00:00"
    assert found.queue == any_huey.name
    assert (found.unreadable.values, found.unreadable.messages) == (0, 0)
    assert store(any_huey) == before
    assert json.loads(json.dumps(found.as_dict()))["kinds"]["lock"]["keys"] == 1


def test_errors_that_expire_are_told_apart(any_huey):
    """They go by themselves, so the report does not count them as work for a purge."""
    kit = install_handlers(any_huey, preset="brief-locks")
    hold(any_huey, "held")
    any_huey.task()(any_huey.lock_task("held")(lambda: None))()
    run_all(any_huey)
    found = kit.report()
    assert found.errors == found.expiring == {"TaskLockedException": 1}
    assert found.as_dict()["expiring"] == {"TaskLockedException": 1}
    kit.uninstall()
    any_huey.flush()
    assert "expiring" not in report(any_huey).as_dict()


def test_locks_are_counted_by_who_holds_them(any_huey):
    """A living process, a dead one, or nobody knows."""
    install_handlers(any_huey)
    taken_by(any_huey, "dead", GONE)
    taken_by(any_huey, "far", ELSEWHERE)
    any_huey.put_if_empty(key(any_huey, "bare"), "1")
    with any_huey.lock_task("mine"):
        found = report(any_huey).locks
    assert (found.held, found.stale, found.unclaimed) == (4, 1, 2)


def test_a_sweep_shows_as_marks(any_huey):
    """How many orphans one look has found, and since when the oldest waits."""
    fill(any_huey)
    assert report(any_huey).tokens.oldest_mark is None
    assert "last_sweep" not in report(any_huey).as_dict()["tokens"]
    sweep_tokens(any_huey, clock=lambda: 1_700_000_000.0)
    tokens = report(any_huey).tokens
    assert tokens.marked == 1
    assert tokens.oldest_mark == tokens.last_sweep == "2023-11-14T22:13:20+00:00"


def test_pause_switches_are_told_apart(any_huey):
    """Active, over, and of a task that there is no more."""

    @any_huey.task()
    def active():
        return None

    @any_huey.task()
    def over():
        return None

    any_huey.revoke_all(active.task_class)
    any_huey.revoke_all(over.task_class, revoke_until=datetime.datetime(2001, 1, 1))
    any_huey.put("rt:old.gone", (None, False))
    pauses = report(any_huey).pauses
    assert [name.rpartition(".")[2] for name in pauses.expired] == ["over"]
    assert sorted(name.rpartition(".")[2] for name in pauses.active) == ["active", "gone"]
    assert pauses.ownerless == ["old.gone"]


@pytest.mark.parametrize("key", ["plain", "r:0b6a1f6e-2f7c-4d3b-9a58-0123456789ab", "rt:some.task"])
def test_what_cannot_be_read_is_counted(any_huey, key):
    """And the rest of the report is as ever."""
    fill(any_huey)
    any_huey.storage.put_data(key, b"junk")
    any_huey.storage.enqueue(b"junk")
    found = report(any_huey)
    assert (found.unreadable.values, found.unreadable.messages) == (1, 1)
    assert found.kinds["lock"].keys == 1


class Own(Serializer):
    """A serializer of the user's own."""

    def _deserialize(self, data):
        return super()._deserialize(data[1:])

    def _serialize(self, data):
        return b"!" + super()._serialize(data)


def test_a_serializer_of_the_users_own_is_said_to_be_one(make_huey):
    """What it reads is read as it does."""
    assert not report(make_huey("sqlite")).trusted_serializer
    huey = make_huey("sqlite", serializer=Own())
    fill(huey)
    found = report(huey)
    assert (found.serializer, found.trusted_serializer) == ("Own", True)
    assert found.errors == {"TaskLockedException": 1, "ValueError": 1}
    assert found.tokens.live == 1


def test_it_tells_who_works_on_the_queue(make_huey):
    """Every process that has written to the ledger, and what all have counted."""
    huey = make_huey("sqlite")
    ledger = open_ledger(huey)
    counted = {("huey_signals_total", huey.name, "some.task", "locked"): 3}
    ledger.write(Heartbeat("one", this_process(), "thread", 5.0, 1, counters=counted))
    found = report(huey)
    (consumer,) = found.consumers
    assert (consumer.pid, consumer.worker, consumer.alive) == (os.getpid(), "thread", True)
    assert consumer.started == "1970-01-01T00:00:05+00:00"
    assert found.counters == [
        {
            "metric": "huey_signals_total",
            "labels": {"queue": huey.name, "task": "some.task", "signal": "locked"},
            "value": 3,
        }
    ]
    assert found.kinds["kit"].keys == 0  # what the kit keeps lies beside the results


def test_a_kit_counts_itself_in(make_huey):
    """What it has counted and not yet written is in its own report."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    fill(huey)
    found = kit.report()
    assert {each["metric"] for each in found.counters} >= {"huey_lock_skips_total"}


def test_it_takes_a_huey():
    """And says what it got."""
    with pytest.raises(TypeError, match=r"report\(\) takes a Huey, got 3"):
        report(3)


@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_an_application_that_enqueues_does_not_hide_that_the_consumer_is_dead(make_huey, kind):
    """Its record replaces that of an application that has ended, but not that of a worker."""
    huey = make_huey(kind)
    for name, worker in (("consumer", "thread"), ("application", "")):
        open_ledger(huey).write(Heartbeat(name, GONE, worker))
    kit = install_handlers(huey, sinks="memory")
    kit._heartbeat.suspend()  # a process that writes it during a task counts as a worker
    job = huey.task()(lambda: None)
    job(), job()
    huey.execute(huey.dequeue())  # Huey 2.5.0 has no signal for the other, which waits
    kit._heartbeat.resume()
    kit._heartbeat.write()
    found = kit.report()
    processes = {(each.worker, each.alive) for each in found.consumers}
    assert processes == {("", True), ("thread", False)}
    assert [each.name for each in find_problems(found)] == ["1 message without a live worker"]
    open_ledger(huey).fold_dead()  # as a consumer does
    assert [each.worker for each in report(huey).consumers] == [""]
