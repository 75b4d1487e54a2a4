"""The log says which locks were lost in one line a minute, also where they are hundreds."""

from __future__ import annotations

import json
import logging
from collections import Counter

import pytest

from huey_signals_kit import install_handlers
from huey_signals_kit.locks.cleared import ClearedLocks
from huey_signals_kit.locks.lost_locks import INTERVAL, LostLocks
from huey_signals_kit.metrics.counter import MetricCounter
from huey_signals_kit.runtime.scheduler import JobGroup, scheduler
from huey_signals_kit.store import UPKEEP, open_kit_store
from huey_signals_kit.store import open_store as store_of

LOST = "huey_locks_lost_total"


def records(caplog):
    return [record for record in caplog.records if record.name == "huey_signals_kit"]


def take(huey, name):
    """`acquire` came with Huey 2.6."""
    lock = huey.lock_task(name)
    getattr(lock, "acquire", lock.__enter__)()
    return lock


def test_many_locks_that_are_lost_at_a_time_are_one_warning(any_huey, caplog):
    """With their names folded; no error, so no event for Sentry. Each is counted."""
    kit = install_handlers(any_huey)
    for number in range(200):
        take(any_huey, f"media:{number}")
    take(any_huey, "import")
    for number in range(200):
        any_huey.storage.delete_data(f"{any_huey.name}.lock.media:{number}")
    any_huey.storage.delete_data(f"{any_huey.name}.lock.import")
    kit._heartbeat._locks.check()
    kit.uninstall()  # logs what a heartbeat that came in between has left for the next minute
    said = records(caplog)
    assert len(said) <= 2
    assert {record.levelno for record in said} == {logging.WARNING}
    assert sum(record.huey_lost for record in said) == 201
    told = sum((Counter(record.huey_locks) for record in said), Counter())
    assert told == {"media:*": 200, "import": 1}
    assert kit.count(LOST) == 201
    assert kit.count(LOST, lock="media:7") == 200


@pytest.fixture
def pair(any_kind, make_huey):
    """Two Hueys on one queue with a kit each, as of two processes."""
    if any_kind == "memory":
        pytest.skip("no other process sees it")
    huey = make_huey(any_kind)
    other = make_huey(any_kind, huey.name)
    return huey, other, install_handlers(huey), install_handlers(other)


@pytest.mark.parametrize("seen", [False, True], ids=["at its end", "while it is held"])
def test_a_lock_that_another_process_clears_is_not_lost(pair, seen, caplog):
    """It is cleared on purpose; the same lock is lost if it goes in another way."""
    huey, other, kit, others_kit = pair
    with huey.lock_task("block"):
        held = take(huey, "held")
        for name in ("held", "block"):
            assert other.lock_task(name).clear()
        if seen:
            kit._heartbeat._locks.check()
    if not seen:
        assert not held.clear()
    kit._heartbeat._locks.check()
    assert (kit.count(LOST), others_kit.count(LOST)) == (0, 0)
    with huey.lock_task("block"):
        other.storage.delete_data(f"{huey.name}.lock.block")
    assert kit.count(LOST) == 1
    kit.flush()
    assert [record.huey_locks for record in records(caplog)] == [{"block": 1}]


def test_clearing_what_no_other_process_holds_notes_nothing(pair):
    """A lock that is free, one that this process holds, one that names no holder."""
    huey, other, *_ = pair
    other.lock_task("free").clear()
    take(other, "own").clear()
    huey.put(f"{huey.name}.lock.bare", "1")
    other.lock_task("bare").clear()
    assert not other.lock_task("bare").is_locked()
    assert open_kit_store(huey, UPKEEP).get(["huey-signals:cleared"]) == [None]


def test_what_was_cleared_is_remembered_within_bounds(pair):
    """The last 500; whatever else stands there is no reason to fail."""
    huey, *_ = pair
    cleared = ClearedLocks(huey)
    store, key = open_kit_store(huey, UPKEEP), "huey-signals:cleared"
    store.put_if_absent(key, b"no json")
    for number in range(3):
        take(huey, f"l{number}")
        cleared.note(f"{huey.name}.lock.l{number}")
    (raw,) = store.get([key])
    assert len(json.loads(raw)) == 3
    store.compare_and_set(key, raw, json.dumps(["x"] * 500).encode())
    cleared.note(f"{huey.name}.lock.l0")
    assert json.loads(store.get([key])[0])[:499] == ["x"] * 499
    (held,) = store_of(huey).get([f"{huey.name}.lock.l0"])
    assert cleared.has(held)
    assert not cleared.has(held + b"x")


def test_a_note_that_cannot_be_written_keeps_no_lock_from_being_cleared(pair, caplog, monkeypatch):
    """The holder may then take it for lost."""
    huey, other, kit, _ = pair
    take(huey, "held")

    def broken(*args):
        raise OSError("no room")

    monkeypatch.setattr(ClearedLocks, "note", broken)
    assert other.lock_task("held").clear()
    assert "while it recorded that a lock was cleared" in caplog.text
    monkeypatch.setattr(ClearedLocks, "has", broken)
    kit._heartbeat._locks.check()
    assert kit.count(LOST) == 1


@pytest.fixture
def lost():
    """The lost locks of a kit whose jobs end with the test."""
    jobs = JobGroup(lambda name, exc, last=False: None)
    yield LostLocks("q", MetricCounter("q"), jobs, lambda: True)
    jobs.cancel()


def test_the_first_line_comes_soon_and_the_next_after_a_minute(lost, caplog):
    """What is lost meanwhile waits for it; nothing is said where nothing was lost."""
    lost.add("a")
    (job,) = [each for each in scheduler.jobs if each.name == "lost locks"]
    assert (job.interval, job.run_at_exit) == (INTERVAL, True)
    assert job.due - scheduler._clock() <= 1.0
    job.run()
    lost.add("b"), lost.add("b")
    assert len(records(caplog)) == 1
    job.run()
    job.run()
    said = [record.getMessage().partition(". ")[0] for record in records(caplog)]
    assert said == ["Lost 1 lock: 'a' 1", "Lost 2 locks: 'b' 2"]


def test_a_line_names_the_labels_that_were_lost_most_often(lost, caplog):
    """Five of them; the others are counted."""
    for number in range(8):
        for _ in range(number + 1):
            lost.add("abcdefgh"[number])
    lost.log()
    (record,) = records(caplog)
    named = "'h' 8, 'g' 7, 'f' 6, 'e' 5, 'd' 4, 3 more"
    assert record.getMessage().startswith(f"Lost 36 locks: {named}. The ttl of each")


def test_a_kit_that_has_gone_says_immediately_what_it_has_lost(make_huey, caplog):
    """Its jobs have gone with it."""
    huey = make_huey()
    kit = install_handlers(huey)
    lock = huey.lock_task("held")
    with lock:
        kit.uninstall()
        huey.storage.delete_data(f"{huey.name}.lock.held")
    assert [record.getMessage()[:21] for record in records(caplog)] == ["Lost 1 lock: 'held' 1"]
    assert not [each for each in scheduler.jobs if each.name == "lost locks"]
