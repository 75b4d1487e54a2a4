"""Tokens one by one, on every storage: told apart, found by name, deleted if unchanged."""

from __future__ import annotations

import datetime
import time
import uuid

import pytest

from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import (
    TaskLocation,
    TokenList,
    TokensStopped,
    delete_named_tokens,
    find_task,
    next_sweep,
    sweep_tokens,
)
from tests.support import hold, put_kit_data, store, tokens

FAR = datetime.datetime(2099, 1, 1)
PAST = datetime.datetime(2001, 1, 1)


def declare(huey):
    @huey.task()
    def job():
        return None

    return job


def states(huey, *patterns):
    return {each.name: each.state for each in TokenList(huey, patterns)}


def test_states(any_huey):
    """Live wherever the task stands, whoever has made its id."""
    job = declare(any_huey)
    queued, nested, ours, gone = job.s(), job.s(), job.s(), str(uuid.uuid4())
    ours.id = "ours"
    running = str(uuid.uuid4())
    any_huey.enqueue(queued.then(nested))
    any_huey.add_schedule(later(ours))
    open_ledger(any_huey).write(
        Heartbeat(
            "one", this_process(), "thread", 1.0, 1, running=(RunningTask(running, "job", 1.0),)
        )
    )
    for each in (queued.id, nested.id, "ours", running, gone, "custom"):
        any_huey.revoke_by_id(each)
    broken = str(uuid.uuid4())
    any_huey.storage.put_data(f"r:{broken}", b"junk")
    assert states(any_huey) == {
        queued.id: "live",
        nested.id: "live",
        "ours": "live",
        running: "live",
        gone: "orphaned",
        "custom": "custom",
        broken: "unreadable",
    }


def later(task):
    task.eta = FAR
    return task


def test_pause_switches(any_huey):
    """Active, over, and of no task; none is ownerless where no task is declared."""
    job = declare(any_huey)

    @any_huey.task()
    def over():
        return None

    any_huey.put("rt:old.gone", (None, True))
    any_huey.revoke_all(job.task_class, revoke_until=FAR)
    any_huey.revoke_all(over.task_class, revoke_until=PAST)
    any_huey.storage.put_data("rt:broken", b"junk")
    found = {each.name.rpartition(".")[2]: each for each in TokenList(any_huey)}
    assert {name: each.state for name, each in found.items()} == {
        "gone": "ownerless",
        "job": "active",
        "over": "expired",
        "broken": "unreadable",
    }
    assert (found["gone"].once, found["job"].once, found["job"].until) == (True, False, FAR)
    assert {each.kind for each in found.values()} == {"pause_switch"}
    assert {name for name, each in found.items() if each.is_stopping} == {"job"}


def test_without_tasks_nothing_is_ownerless(make_huey):
    """Nobody knows whose they are."""
    huey = make_huey("sqlite")
    huey.put("rt:some.task", (None, False))
    assert states(huey) == {"some.task": "active"}


def test_what_cannot_be_read_makes_orphans_unknown(any_huey):
    """That message may hold their tasks."""
    any_huey.revoke_by_id("custom")
    any_huey.revoke_by_id(str(uuid.uuid4()))
    any_huey.storage.enqueue(b"junk")
    assert set(states(any_huey).values()) == {"unknown"}


def test_a_record_that_cannot_be_read_does_so_too(make_huey):
    """Nobody knows what its process runs."""
    huey = make_huey("sqlite")
    huey.revoke_by_id("custom")
    put_kit_data(huey, "process:one", b"junk")
    assert states(huey) == {"custom": "unknown"}


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], {"a", "b*", "bc", "rt:c", "m.job"}),
        (["a"], {"a"}),
        (["r:a"], {"a"}),
        (["rt:m.job"], {"m.job"}),
        (["m.job"], {"m.job"}),
        (["rt:c"], {"rt:c"}),
        (["b*"], {"b*", "bc"}),
        (["b[*]"], {"b*"}),
        (["?"], {"a"}),
        (["rt:*"], {"m.job", "rt:c"}),
        (["r:*"], {"a", "b*", "bc", "rt:c"}),
        (["a", "m.*", "a*"], {"a", "m.job"}),
        (["A", "nothing", "x*", ""], set()),
    ],
)
def test_patterns(any_huey, patterns, found):
    """An id, a name, a glob over these, or over the key; capitals count."""
    for each in ("a", "b*", "bc", "rt:c"):
        any_huey.revoke_by_id(each)
    any_huey.put("rt:m.job", (None, False))
    listed = [each.name for each in TokenList(any_huey, patterns)]
    assert set(listed) == found
    assert len(listed) == len(found)


def test_nothing_else_is_listed(make_huey):
    """Neither a lock of a Huey whose name begins like a token, nor what stands beside them."""
    huey = make_huey("sqlite", "r:q")
    hold(huey, "r:x")
    huey.put_result("result", 1)
    huey.revoke_by_id("one")
    assert set(states(huey)) == {"one"}
    assert set(states(huey, "*")) == {"one"}
    assert states(huey, "q.lock.r:x") == {}
    assert delete_named_tokens(huey, ["*", "r:q.lock.r:x"]).deleted == 1
    assert set(store(huey)) == {"r:q.lock.r:x", "result"}


def test_named_ones_are_deleted_and_nothing_else(any_huey):
    """In any state, an unreadable one as well; what matched nothing is told."""
    job = declare(any_huey)
    live = job.schedule(eta=FAR)
    any_huey.revoke_by_id(live.id)
    any_huey.revoke_by_id("custom")
    any_huey.revoke_by_id("other")
    any_huey.storage.put_data("r:broken", b"junk")
    any_huey.revoke_all(job.task_class)
    names = [live.id, "cust*", "broken", "*.job", "nothing", "x*"]
    before = store(any_huey)
    dry = delete_named_tokens(any_huey, names, dry_run=True)
    assert store(any_huey) == before
    done = delete_named_tokens(any_huey, names)
    for found in (dry, done):
        assert (found.matched, found.deleted, found.changed, found.stopping) == (4, 4, 0, 2)
        assert found.states == {"live": 1, "custom": 1, "unreadable": 1, "active": 1}
        assert found.unmatched == ("nothing", "x*")
    assert (dry.dry_run, done.dry_run) == (True, False)
    assert tokens(any_huey) == {"r:other"}


def test_what_has_changed_since_it_was_read_stays(any_huey, monkeypatch):
    """Somebody has revoked it anew."""
    any_huey.revoke_by_id("one")
    any_huey.revoke_by_id("two")
    read = TokenList.batches

    def batches(self):
        for batch in read(self):
            any_huey.revoke_by_id("one", revoke_once=True)
            yield batch

    monkeypatch.setattr(TokenList, "batches", batches)
    found = delete_named_tokens(any_huey, ["*"])
    assert (found.matched, found.deleted, found.changed) == (2, 1, 1)
    assert tokens(any_huey) == {"r:one"}


def test_a_storage_that_goes_away_is_told_with_what_was_done(make_huey, monkeypatch):
    """The exception has the report."""
    huey = make_huey("sqlite")
    for n in range(1500):
        huey.revoke_by_id(f"id{n}")
    done = []

    def progress(report):
        done.append(report.deleted)
        if len(done) == 2:  # the first batch is of pause switches, or of tokens
            raise OSError("the storage has gone away")

    with pytest.raises(TokensStopped, match="the storage has gone away") as stopped:
        delete_named_tokens(huey, ["id*"], on_progress=progress)
    report = stopped.value.report
    assert report.deleted == done[-1] == 1500 - len(tokens(huey))
    assert report.deleted > 0


def test_where_a_task_stands(any_huey):
    """In the queue, the schedule, or running; itself or nested in another one."""
    job = declare(any_huey)
    name = f"{job.task_class.__module__}.job"
    first, nested, waiting = job.s(), job.s(), later(job.s())
    any_huey.enqueue(first.then(nested))
    any_huey.add_schedule(waiting)
    any_huey.storage.enqueue(b"junk")
    running = (RunningTask("ours", "reports.daily", 1.0, nested=(nested.id,)),)
    open_ledger(any_huey).write(Heartbeat("one", this_process(), "thread", 1.0, 1, running=running))
    assert find_task(any_huey, first.id) == [TaskLocation("queue", name, False)]
    assert find_task(any_huey, waiting.id) == [TaskLocation("schedule", name, False)]
    assert find_task(any_huey, "ours") == [TaskLocation("running", "reports.daily", False)]
    assert find_task(any_huey, nested.id) == [
        TaskLocation("queue", name, True),
        TaskLocation("running", "reports.daily", True),
    ]
    assert find_task(any_huey, "nobody") == []


def test_when_the_next_sweep_is_due(any_huey):
    """Its oldest mark has to be old enough; without a mark nobody can say."""
    assert next_sweep(any_huey, 60) is None
    any_huey.revoke_by_id(str(uuid.uuid4()))
    now = time.time()
    sweep_tokens(any_huey, clock=lambda: now)
    due = next_sweep(any_huey, 60)
    assert due is not None
    assert abs(due.timestamp() - now - 60) < 0.001
