"""The log says which locks were lost in one line a minute, also where they are hundreds."""

from __future__ import annotations

import logging

import pytest

from huey_signals_kit import install_handlers
from huey_signals_kit._lost_locks import INTERVAL, LostLocks
from huey_signals_kit._tick import Jobs, tick

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
    kit._pulse._locks.check()
    kit.flush()
    (record,) = records(caplog)
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("Lost 201 locks: 'media:*' 200, 'import' 1. Each one's")
    assert (record.huey_lost, record.huey_locks) == (201, {"media:*": 200, "import": 1})
    assert kit.count(LOST) == 201
    assert kit.count(LOST, lock="media:7") == 200


@pytest.fixture
def lost():
    """The lost locks of a kit whose jobs end with the test."""
    jobs = Jobs(lambda name, exc, last=False: None)
    yield LostLocks("q", jobs)
    jobs.cancel()


def test_the_first_line_comes_soon_and_the_next_after_a_minute(lost, caplog):
    """What is lost meanwhile waits for it; nothing is said where nothing was lost."""
    lost.add("a")
    (job,) = [each for each in tick.jobs if each.name == "lost locks"]
    assert (job.interval, job.at_end) == (INTERVAL, True)
    assert job.due - tick._clock() <= 1.0
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
    assert record.getMessage().startswith(f"Lost 36 locks: {named}. Each one's")


def test_a_kit_that_has_gone_says_immediately_what_it_has_lost(make_huey, caplog):
    """Its jobs have gone with it."""
    huey = make_huey()
    kit = install_handlers(huey)
    lock = huey.lock_task("held")
    with lock:
        kit.uninstall()
        huey.storage.delete_data(f"{huey.name}.lock.held")
    assert [record.getMessage()[:21] for record in records(caplog)] == ["Lost 1 lock: 'held' 1"]
    assert not [each for each in tick.jobs if each.name == "lost locks"]
