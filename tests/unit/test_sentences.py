"""Each thing that can be known of a task has a sentence that says it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from huey_signals_kit.upkeep.explanation.model import (
    Chord,
    Explanation,
    Location,
    Revocation,
    SearchCounts,
    SkippedAttempt,
    StoredResult,
)
from huey_signals_kit.upkeep.explanation.sentences import sentences
from huey_signals_kit.upkeep.locks.info import LockInfo

NOW = datetime(2026, 1, 2, 12, 0)
EARLIER = datetime(2026, 1, 2, 11, 0)
SINCE = datetime(2026, 1, 2, 11, 0, tzinfo=timezone.utc)
THERE = {"host": "web-2", "pid": 17}


def location(where, task_id="t1", path=(), **fields):
    """Return a place of the task ``shop.pay``."""
    return Location(where, "shop.pay", task_id, path, **fields)


def said(**fields):
    """Return the sentences about a task of which this is known."""
    explanation = Explanation("t1", "shop", "RedisStorage", True, NOW, **fields)
    explanation.looked.workers = explanation.looked.workers or 1
    return list(sentences(explanation))


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (location("queue"), "Queued: no task comes before it."),
        (location("queue", before=1), "Queued: 1 task comes before it."),
        (location("queue", before=2, before_most=2), "Queued: 2 tasks come before it."),
        (location("queue", before=0, before_most=7), "Queued: 0 to 7 tasks come before it."),
        (location("schedule"), "Scheduled: due now."),
        (
            location("schedule", eta=EARLIER),
            "Scheduled for 2026-01-02 11:00:00 (UTC), which is past: it moves to the queue next.",
        ),
        (
            location("due", alive=False, **THERE),
            "Probably lost: process 17 on host web-2 dequeued it, or a task that leads to it, and "
            "is dead.",
        ),
        (
            location("due", alive=True, **THERE),
            "In flight: process 17 on host web-2 has dequeued it, or a task that leads to it, but "
            "is not running it. It is about to be queued, or has just ended.",
        ),
        (
            location("running", alive=False, **THERE),
            "Was running in process 17 on host web-2, which is dead: it will not finish, and Huey "
            "does not retry it.",
        ),
        (
            location("running", alive=None, **THERE),
            "Running for an unknown time, in process 17 on host web-2 (unknown whether it is "
            "alive).",
        ),
        (
            location("running", alive=True, since=SINCE, **THERE),
            "Running since 2026-01-02 11:00:00 UTC by the clock of that host, in process 17 on "
            "host web-2 (alive).",
        ),
        (
            location("schedule", "t2", ("stage",)),
            "Waits as a later stage of shop.pay t2, which is scheduled.",
        ),
        (
            location("running", "t2", ("argument",), alive=False, **THERE),
            "Its id is in the arguments of shop.pay t2, which was running in process 17 on host "
            "web-2, which is dead; that task may enqueue it.",
        ),
        (
            location("running", "t2", ("stage", "error handler"), alive=True, **THERE),
            "Waits as an error handler of the later stage of shop.pay t2, which is running for an "
            "unknown time in process 17 on host web-2.",
        ),
    ],
)
def test_a_place_is_one_sentence(place, sentence):
    """It says where the task is, or which task leads to it."""
    assert said(places=[place]) == [sentence]


@pytest.mark.parametrize(
    ("chord", "sentence"),
    [
        (Chord("c", 1), "Its chord has 1 part; it runs after all of them."),
        (
            Chord("c", 3, done=1),
            "Its chord has 3 parts, of which 1 has ended; it runs after all of them.",
        ),
        (Chord("c", 3, part=2), "Part 2 of a chord with 3 parts."),
        (Chord("c", 3, part=2, done=2), "Part 2 of a chord with 3 parts, of which 2 have ended."),
    ],
)
def test_a_chord_is_described_from_the_part_and_from_the_callback(chord, sentence):
    """With the number of parts that have ended, if it is known."""
    assert sentence in said(chords=[chord])


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (Revocation("r:t1"), "Revoked by its own token, r:t1, forever."),
        (Revocation("r:t1", once=True), "Revoked by its own token, r:t1, once: the next run is "),
        (
            Revocation("rt:shop.pay", once=True),
            "Revoked by the pause switch of its task, rt:shop.pay, once: the next run of any task "
            "with this name is skipped.",
        ),
        (Revocation("r:t1", readable=False), "Maybe revoked: its own token, r:t1, cannot be read."),
        (
            Revocation("r:t1", until=EARLIER, over=True),
            "No longer revoked: its own token, r:t1, was valid until 2026-01-02 11:00:00 (UTC).",
        ),
    ],
)
def test_a_token_is_described_with_its_end(token, sentence):
    """Also one that is over, or that cannot be read."""
    assert any(each.startswith(sentence) for each in said(tokens=[token]))


@pytest.mark.parametrize(
    ("lock", "sentence"),
    [
        (
            LockInfo("nightly", alive=True, since=SINCE, **THERE),
            "Holds the lock 'nightly' since 2026-01-02 11:00:00 UTC by the clock of web-2, in "
            "process 17 (alive).",
        ),
        (
            LockInfo("nightly", alive=False, **THERE),
            "Holds the lock 'nightly', in process 17 (dead).",
        ),
        (
            LockInfo("nightly", **THERE),
            "Holds the lock 'nightly', in process 17 (unknown whether it is alive).",
        ),
    ],
)
def test_a_lock_that_it_holds_is_described_with_its_holder(lock, sentence):
    """With the time and the host, if these are known."""
    assert sentence in said(locks=[lock])


def test_the_last_skip_is_described_with_its_lock():
    """A lock error may have no name of its lock."""
    skips = [SkippedAttempt(NOW, name, "web-2", 17) for name in ("nightly", "")]
    assert said(skipped=skips) == [
        "Skipped 2 times recently, last at 12:00:00 UTC on 2026-01-02 by the clock of that host: a "
        "lock without a name was held. Recorded by process 17 on host web-2."
    ]


def test_what_could_not_be_searched_is_said_last():
    """The task may be in a message that cannot be read, or in a process that does not know."""
    looked = SearchCounts(unreadable=1, records=2, untold=3, workers=1)
    assert said(looked=looked, result=StoredResult("unreadable", 2)) == [
        "Has a result of 2 bytes, which cannot be read.",
        "1 message in the queue or the schedule cannot be read; the task may be among them.",
        "2 records of processes cannot be read; the task may be running there.",
        "Workers run 3 tasks whose nested tasks are unknown; this task may be one of those.",
    ]
