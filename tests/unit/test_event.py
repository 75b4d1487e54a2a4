"""What an event tells, for every signal of Huey."""

from __future__ import annotations

import threading
import time

import huey as huey_package
import pytest
from huey.exceptions import CancelExecution, RetryTask, TaskLockedException

from huey_signals_kit import Event, install_handlers
from tests.support import run_all

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])


@pytest.fixture
def watched(make_huey):
    """A Huey whose events are all collected."""
    huey, events = make_huey(), []
    install_handlers(huey, preset=[]).on()(events.append)
    return huey, events


def raising(huey, *exceptions, **options):
    """A task that raises these in turn, then returns."""
    waiting = iter(exceptions)

    @huey.task(**options)
    def job():
        for exception in waiting:
            raise exception
        return "done"

    return job


def names(events):
    return [event.signal for event in events]


def test_an_ordinary_run_from_enqueued_to_complete(watched):
    """Each signal once, with the task's names and a duration only at the end."""
    huey, events = watched
    result = raising(huey)()
    before = time.time()
    run_all(huey)
    run = [event for event in events if event.signal != "enqueued"]
    assert names(run) == ["executing", "complete"]
    executing, complete = run
    assert {(e.task_id, e.task_name, e.queue) for e in events} == {
        (result.id, f"{__name__}.job", huey.name)
    }
    assert all(event.exception is None and event.lock is None for event in events)
    assert executing.started == executing.timestamp
    assert executing.duration is None
    assert before <= complete.started <= complete.timestamp <= time.time()
    assert 0 <= complete.duration <= complete.timestamp - before


def test_a_locked_attempt_tells_its_exception_though_huey_passes_none(watched):
    """With the lock's name, the attempt and what will come of it."""
    huey, events = watched
    locked = TaskLockedException("unable to acquire lock report")
    raising(huey, locked, locked, retries=1)()
    run_all(huey)
    first, second = (event for event in events if event.signal == "locked")
    assert first.exception is locked
    assert (first.lock, first.is_lock_error) == ("report", True)
    assert (first.attempt, first.retries_left, first.will_retry) == (1, 1, True)
    assert (second.attempt, second.retries_left, second.will_retry) == (2, 0, False)
    assert second.duration >= 0


def test_a_retry_names_the_exception_that_caused_it(watched):
    """Huey emits ``retrying`` after its except block, and for RetryTask nothing before it."""
    huey, events = watched
    error, again = ValueError("broken"), RetryTask("again")
    raising(huey, error, again, retries=1)()
    run_all(huey)
    retrying = [event for event in events if event.signal == "retrying"]
    assert [event.exception for event in retrying] == [error, again]
    assert all(event.will_retry and event.duration is not None for event in retrying)


@pytest.mark.parametrize("retry", [True, False])
def test_a_cancelled_attempt_tells_its_exception(watched, retry):
    """Whether it will be tried again or not."""
    huey, events = watched
    cancel = CancelExecution(retry=retry)
    raising(huey, cancel)()
    run_all(huey)
    (cancelled,) = (event for event in events if event.signal == "canceled")
    assert cancelled.exception is cancel
    assert cancelled.will_retry is retry


def test_a_task_cancelled_before_it_began_has_no_duration(watched):
    """A pre-execute hook may cancel."""
    huey, events = watched
    cancel = CancelExecution()
    job = raising(huey, retries=2)

    @huey.pre_execute()
    def never(task):
        raise cancel

    job()
    run_all(huey)
    (cancelled,) = (event for event in events if event.signal == "canceled")
    assert cancelled.exception is cancel
    assert (cancelled.started, cancelled.duration) == (None, None)
    assert not cancelled.will_retry


def test_only_a_failed_attempt_will_be_tried_again(watched):
    """Retries that are left mean nothing while all goes well."""
    huey, events = watched
    raising(huey, ValueError("broken"), retries=2)()
    run_all(huey)
    again = [(event.signal, event.will_retry) for event in events if event.signal != "enqueued"]
    assert again == [
        ("executing", False),
        ("error", True),
        ("retrying", True),
        ("executing", False),
        ("complete", False),
    ]


def test_an_interruption_told_from_outside_has_no_exception_of_others(watched):
    """A consumer that stops tells of its tasks from wherever it is, maybe an except block."""
    huey, events = watched
    huey._tasks_in_flight.add(raising(huey).s())
    try:
        raise ValueError("something else")
    except ValueError:
        huey.notify_interrupted_tasks()
    assert [(event.signal, event.exception) for event in events] == [("interrupted", None)]


def test_an_interrupted_task_tells_so(watched):
    """A worker that is stopped at once raises KeyboardInterrupt in its task."""
    huey, events = watched
    raising(huey, KeyboardInterrupt())()
    run_all(huey)
    (interrupted,) = (event for event in events if event.signal == "interrupted")
    assert isinstance(interrupted.exception, KeyboardInterrupt)
    assert interrupted.duration >= 0


@pytest.mark.skipif(VERSION < (3, 0), reason="timeouts and rate limits came in Huey 3.0")
def test_timeouts_and_rate_limits_tell_their_exceptions(watched):
    """Both are emitted without one."""
    from huey.exceptions import RateLimitExceeded, TaskTimeout

    huey, events = watched
    timeout, limit = TaskTimeout("timeout 1s"), RateLimitExceeded("api", 10, retry=False)
    raising(huey, timeout)()
    run_all(huey)
    huey.task(name="limited")(lambda: (_ for _ in ()).throw(limit))()
    run_all(huey)
    ended = {event.signal: event.exception for event in events if event.exception}
    assert ended == {"timeout": timeout, "rate-limited": limit}


def test_a_revoked_task_has_neither_exception_nor_duration(watched):
    """Although an unrelated exception is being handled around it."""
    huey, events = watched
    huey.revoke_by_id(raising(huey)().id)
    try:
        raise TaskLockedException("unable to acquire lock elsewhere")
    except TaskLockedException:
        run_all(huey)
    (revoked,) = (event for event in events if event.signal == "revoked")
    assert (revoked.exception, revoked.started, revoked.duration) == (None, None, None)


def test_an_exception_being_handled_around_huey_is_not_the_tasks(make_huey):
    """In immediate mode a task may be called inside an except block."""
    huey, events = make_huey(immediate=True), []
    install_handlers(huey, preset=[]).on()(events.append)
    job = raising(huey)
    try:
        raise TaskLockedException("unable to acquire lock outer")
    except TaskLockedException:
        job()
    assert {event.exception for event in events} == {None}


def test_a_nested_task_is_told_from_the_one_around_it(make_huey):
    """In immediate mode the inner task's signals come while the outer one runs."""
    huey, events = make_huey(immediate=True), []
    install_handlers(huey, preset=[]).on()(events.append)
    inner = raising(huey, ValueError("inner"))

    @huey.task()
    def outer():
        inner()

    outer()
    ended = {(e.task.name, e.signal): e for e in events if e.duration is not None}
    assert set(ended) == {("job", "error"), ("outer", "complete")}
    assert ended["outer", "complete"].duration >= ended["job", "error"].duration


def test_what_a_handler_does_with_the_exception_changes_nothing_for_the_next(make_huey):
    """Raising it again changes its traceback, from which the timing is read."""
    huey, events = make_huey(), []
    kit = install_handlers(huey, preset=[])

    @kit.on("canceled", priority=1)
    def raise_again(event):
        try:
            raise event.exception
        except CancelExecution:
            """Caught at once."""

    kit.on("canceled")(events.append)
    raising(huey, CancelExecution(retry=True))()
    run_all(huey)
    (event,) = events
    assert event.will_retry
    assert event.started is not None
    assert event.duration is not None


def test_each_attempt_keeps_its_own_timing_though_they_raise_the_same_exception(make_huey):
    """Read afterwards, when the exception has the traceback of the last attempt."""
    huey, events = make_huey(immediate=True), []
    install_handlers(huey, preset=[]).on("error")(events.append)
    constant = ValueError("constant")
    pauses = iter([threading.Event().wait, lambda timeout: None])

    @huey.task(retries=1)
    def job():
        next(pauses)(timeout=0.05)
        raise constant

    job()
    first, second = events
    assert first.duration >= 0.05 > second.duration
    assert first.started < second.started


def test_a_signal_of_another_task_than_the_running_one_has_no_timing(watched):
    """What stands on the stack just then is about the task that runs."""
    huey, events = watched
    other = huey.task(name="other")(lambda: None).s()
    huey.task(name="outer")(lambda: huey._emit("complete", other))()
    run_all(huey)
    timed = {event.task.name: event.started for event in events if event.signal == "complete"}
    assert timed["other"] is None
    assert timed["outer"] is not None


def test_an_event_made_by_hand_serves_to_test_a_handler(make_huey):
    """Signal, task and Huey are enough."""
    huey = make_huey()
    job = raising(huey)
    event = Event("locked", job.s(), huey, TaskLockedException("unable to acquire lock x"))
    assert (event.lock, event.is_lock_error, event.attempt) == ("x", True, 1)
    assert event.timestamp <= time.time()
    assert repr(event) == (
        f"<Event 'locked' of {__name__}.job {event.task_id} because of "
        "TaskLockedException('unable to acquire lock x')>"
    )


def test_an_event_cannot_be_changed(make_huey):
    """Handlers share it."""
    event = Event("locked", raising(make_huey()).s(), None)
    for name in ("signal", "is_lock_error", "duration"):
        with pytest.raises(AttributeError):
            setattr(event, name, True)
