"""What user code sees of a task that is scheduled again, and what it may change."""

from __future__ import annotations

import datetime
import pickle

import huey as huey_package
import pytest
from huey.exceptions import TaskLockedException
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING

from huey_signals_kit import Registry, install_handlers, uninstall_handlers
from huey_signals_kit.handlers import RescheduleLocked
from huey_signals_kit.handlers.wait_state import read
from tests.support import HAS_ENQUEUED, hold, results, run_all, stored_errors, tokens

chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")
MOMENT = datetime.datetime(2041, 5, 6, 7, 8, 9)


class Busy(Exception):
    """A task's own name for a lock that it did not get."""


def install(huey, **options):
    """A kit that reschedules, and nothing else."""
    registry = Registry("mine")
    wanted = (SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_RETRYING)
    registry.add(RescheduleLocked(**options), *wanted)
    return install_handlers(huey, preset=["observe", registry])


def declare(huey, **options):
    """Tasks that take the lock ``held``, and the one after them in a pipeline."""

    @huey.task(**options)
    @huey.lock_task("held")
    def guarded(n=21):
        return n * 2

    @huey.task(**options)
    def wrapped(n=21):
        try:
            with huey.lock_task("held"):
                return n * 2
        except TaskLockedException as exc:
            raise Busy("busy") from exc

    @huey.task()
    def after(*args):
        return len(args)

    return guarded, wrapped, after


def fields(task):
    """All fields of *task* but for the moment when it is due, nested tasks by their ids."""
    names = ("id", "retries", "retry_delay", "priority", "args", "kwargs", "expires", "timeout")
    found = {name: getattr(task, name, None) for name in (*names, "chord_config")}
    nested = {name: getattr(task, name) for name in ("on_complete", "on_error")}
    return {**found, **{name: None if each is None else each.id for name, each in nested.items()}}


def scheduled(huey):
    """The tasks in the schedule."""
    return [huey.deserialize_task(message) for message in huey.storage.scheduled_items()]


def free(huey):
    """Frees the lock that `hold` took."""
    huey.delete(f"{huey.name}.lock.held")


def run_later(huey):
    """Runs everything, as late as in a minute."""
    later = datetime.datetime.now() + datetime.timedelta(minutes=1)
    return run_all(huey, scheduled=True, now=later)


def run_once(huey):
    """Moves what is scheduled to the queue, as the scheduler will, and runs one task."""
    later = datetime.datetime.now() + datetime.timedelta(minutes=1)
    for due in huey.read_schedule(later):
        huey.enqueue(due)
    huey.execute(huey.dequeue(), later)


def watch(huey):
    """All that receivers and hooks see from now on: (what, fields of the task)."""
    seen = []
    huey.signal()(lambda signal, task, *_: seen.append((signal, fields(task))))
    name = f"hook {id(seen)}"
    huey.post_execute(name)(lambda task, value, exc: seen.append(("hook", fields(task))))
    build = huey.build_error_result

    def build_error_result(task, exception):
        seen.append(("build", fields(task)))
        return build(task, exception)

    huey.build_error_result = build_error_result
    return seen


@pytest.mark.parametrize("route", [0, 1], ids=["locked", "error"])
@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(
    "expires", [None, 3600, datetime.timedelta(hours=1), MOMENT], ids=lambda given: str(given)
)
def test_everybody_sees_the_task_as_it_is(any_kind, make_huey, route, retries, expires):
    """Receivers, hooks and overridden methods, during two skips and the run, in Huey's order."""
    huey = make_huey(any_kind)
    before = watch(huey)
    install(huey)
    after = watch(huey)
    tasks = declare(huey, retries=retries)
    task = tasks[route].s(4, expires=expires).then(tasks[2])
    task.on_error = tasks[2].s("no error")
    expected, stages = fields(task), [task.id, task.on_complete.id]
    hold(huey, "held")
    huey.enqueue(task)
    del before[:], after[:]  # its own enqueued
    run_all(huey)
    run_once(huey)
    free(huey)
    assert run_later(huey) == 2
    assert results(huey) == dict(zip(stages, (8, 1), strict=True))
    enqueued = ["enqueued"] if HAS_ENQUEUED else []
    skip = ["executing", ("locked", "error")[route], "hook", "retrying", "scheduled"]
    order = [*skip, *enqueued, *skip, *enqueued, "executing", "hook", "complete"]
    for seen in (before, after):
        mine = [(what, each) for what, each in seen if each["id"] == task.id]
        assert [what for what, _ in mine if what != "build"] == order
        for what, found in mine:
            if what not in ("complete", "hook"):  # Huey puts the value among the next one's args
                assert found == expected, what
            assert found["retries"] == retries
    assert not stored_errors(huey)


@pytest.mark.parametrize("expires", [None, 3600, datetime.timedelta(hours=1), MOMENT], ids=str)
def test_whoever_lists_tasks_sees_their_own_expiry(make_place, make_huey, expires):
    """In this process and in another one with the kit, in the schedule and in the queue."""
    place = make_place("sqlite")
    huey, other = make_huey("sqlite", place.name), make_huey("sqlite", place.name)
    for each in (huey, other):
        install(each)
        tasks = declare(each)
    huey.enqueue(huey._registry.string_to_task(f"{__name__}.guarded")(expires=expires))
    hold(huey, "held")
    run_all(huey)
    assert tasks
    for each in (huey, other):
        (waiting,) = scheduled(each)
        assert (waiting.expires, type(waiting.expires)) == (expires, type(expires))
        assert read(waiting) is not None
    for due in other.read_schedule(datetime.datetime.now() + datetime.timedelta(minutes=1)):
        other.enqueue(due)
    (queued,) = huey.pending()
    assert queued.expires == expires
    assert read(queued) == read(waiting)
    assert (queued.expires_resolved is None) is (expires is None)


def test_the_context_task_sees_its_own_expiry(make_huey):
    """The body of the second attempt, which gets its task."""
    huey = make_huey()
    install(huey)
    seen = []

    @huey.task(context=True)
    def guarded(task=None):
        seen.append((task.expires, task.expires_resolved, task.retries))
        with huey.lock_task("held"):
            pass

    guarded()
    hold(huey, "held")
    run_all(huey)
    free(huey)
    run_later(huey)
    assert seen == [(None, None, 0)] * 2


def test_numbers_of_retries_are_pickled_as_plain_numbers(make_huey):
    """A receiver may hand them on to a process without the kit."""
    huey = make_huey()
    install(huey)
    declare(huey)[0]()
    pickled = []
    huey.signal("retrying")(lambda signal, task: pickled.append(pickle.dumps(task.retries)))
    hold(huey, "held")
    run_all(huey)
    assert [(pickle.loads(each), type(pickle.loads(each))) for each in pickled] == [(0, int)]


@pytest.mark.parametrize("route", [0, 1], ids=["locked", "error"])
@pytest.mark.parametrize("signal", ["locked and error", "retrying"])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_receiver_may_give_the_task_more_retries(make_huey, signal, route, retries):
    """They are in the message, as with a retry of Huey's."""
    huey = make_huey()
    install(huey)
    declare(huey, retries=retries)[route]()
    signals = ("retrying",) if signal == "retrying" else ("locked", "error")
    huey.signal(*signals)(lambda signal, task, *_: setattr(task, "retries", 7))
    hold(huey, "held")
    run_all(huey)
    assert [task.retries for task in scheduled(huey)] == [7]


@chord_only
@pytest.mark.parametrize("route", [0, 1], ids=["locked", "error"])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_receiver_may_end_the_retries(any_huey, route, retries):
    """Then the task fails as in Huey alone: stored, its chord and its error task learn of it."""
    install(any_huey)
    tasks = declare(any_huey, retries=retries)
    any_huey.signal("locked", "error")(lambda signal, task, *_: setattr(task, "retries", 0))
    seen = []
    total = any_huey.task(name="total")(lambda values: seen.append(len(values)))
    told = any_huey.task(name="told")(lambda exc: seen.append(type(exc).__name__))
    member = tasks[route].s()
    member.on_error = told.s()
    any_huey.enqueue(huey_package.chord([member], total.s()))
    hold(any_huey, "held")
    run_all(any_huey)
    assert any_huey.scheduled_count() == 0
    assert member.id in stored_errors(any_huey)
    assert sorted(map(str, seen)) == ["1", ["TaskLockedException", "Busy"][route]]


def test_a_task_that_is_given_up_keeps_its_number_of_retries(make_huey, caplog):
    """Receivers see how many it had; none of them is used."""
    huey = make_huey()
    install(huey, delay=5, jitter=0)
    seen = watch(huey)
    huey.enqueue(declare(huey, retries=2)[0].s(expires=4))
    hold(huey, "held")
    run_all(huey)
    assert "given up" in caplog.text
    assert (huey.pending_count(), huey.scheduled_count()) == (0, 0)
    assert {found["retries"] for _, found in seen} == {2}
    assert [what for what, _ in seen if what not in ("build", "enqueued")] == [
        "executing",
        "locked",
        "hook",
    ]


def test_a_kit_that_is_uninstalled_during_the_attempt_loses_no_task(make_huey):
    """Huey alone retries it then, at once and with all that it had."""
    huey = make_huey()
    install(huey)
    tasks = declare(huey)
    task = tasks[0].s().then(tasks[2])
    task.on_error = tasks[2].s()
    expected = fields(task)
    huey.enqueue(task)
    huey.signal("retrying")(lambda *_: uninstall_handlers(huey))
    hold(huey, "held")
    huey.execute(huey.dequeue())
    (queued,) = huey.pending()
    assert fields(queued) == expected


@pytest.mark.parametrize("once", [True, False])
def test_a_paused_class_is_hueys_affair(any_huey, once):
    """The task is scheduled; a revoke of its class for one run skips one run, not two."""
    install(any_huey)
    ran = []

    @any_huey.task()
    def work(number):
        if number == 1 and not ran:
            if once:
                work.revoke(revoke_once=True)
            else:
                work.revoke(revoke_until=datetime.datetime.now() + datetime.timedelta(seconds=30))
        ran.append(number)
        with any_huey.lock_task("held"):
            return number

    first = work(1)
    hold(any_huey, "held")
    run_all(any_huey)
    assert [task.id for task in scheduled(any_huey)] == [first.id]
    assert len(tokens(any_huey)) == 1
    free(any_huey)
    if once:
        work(2)
        run_all(any_huey)
        assert ran == [1]
    run_later(any_huey)
    assert ran == [1, 1]
    assert results(any_huey) == {first.id: 1}


@pytest.mark.parametrize("retries", [0, 2])
def test_a_task_that_is_revoked_by_id_does_not_come_back(any_huey, retries):
    """Neither by the handler nor by Huey, which has deleted the token."""
    install(any_huey)
    ran = []

    @any_huey.task(context=True, retries=retries)
    def revoked_meanwhile(task=None):
        ran.append(task.id)
        any_huey.revoke_by_id(task.id)
        raise TaskLockedException("unable to acquire lock held")

    revoked_meanwhile()
    run_all(any_huey)
    assert (any_huey.scheduled_count(), any_huey.pending_count()) == (0, 0)
    assert stored_errors(any_huey) == {}
    assert len(ran) == 1


def test_a_handler_that_hides_the_preset_in_a_function_still_hides_the_wait(make_huey):
    """From the first skip on: only then is it known that messages say how long a task waits."""
    huey = make_huey()
    kit = install_handlers(huey, preset=[])
    handler = RescheduleLocked()
    kit.on("locked", "retrying")(lambda event: handler(event))
    declare(huey)[0]()
    hold(huey, "held")
    seen = watch(huey)
    run_all(huey)
    run_once(huey)
    assert {found["expires"] for _, found in seen} == {None}
    assert read(scheduled(huey)[0]) is not None


def test_messages_are_left_alone_where_nothing_is_rescheduled(make_huey):
    """No wrapper is in the way of a kit that has no use for it, and none stays."""
    huey = make_huey()
    found = huey.serialize_task, huey.deserialize_task, huey._requeue_task
    with install_handlers(huey, preset="quiet-locks"):
        assert (huey.serialize_task, huey.deserialize_task) == found[:2]
    with install_handlers(huey, preset="reschedule-locks"):
        assert huey.serialize_task != found[0]
    assert (huey.serialize_task, huey.deserialize_task, huey._requeue_task) == found
