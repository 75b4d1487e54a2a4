"""A task that finds its lock taken runs later, as if it had never met the lock."""

from __future__ import annotations

import datetime
import logging
import subprocess
import sys
import threading

import huey as huey_package
import pytest
from huey import crontab
from huey.exceptions import TaskException, TaskLockedException
from huey.serializer import Serializer
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING

from huey_signals_kit import DROP, KEEP, Event, Registry, expire, install_handlers
from huey_signals_kit.handlers import RescheduleLocked
from huey_signals_kit.handlers.wait_state import read
from tests.support import hold, results, run_all, store, stored_errors, tokens, wait_until

chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")


class Busy(Exception):
    """A task's own name for a lock that it did not get."""


def install(huey, *signals, **options):
    """A kit that reschedules, by a registry as a user would write it."""
    registry = Registry("mine")
    wanted = signals or (SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_RETRYING)
    registry.add(RescheduleLocked(**options), *wanted)
    return install_handlers(huey, preset=["observe", registry])


def declare(huey, **options):
    """A task that takes the lock ``held``, and one that gives its lock error another name."""

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

    return guarded, wrapped


def free(huey):
    """Frees the lock that `hold` took."""
    huey.delete(f"{huey.name}.lock.held")


def scheduled(huey):
    """The tasks in the schedule; Huey's own method fails with 2.5 on `sql-huey`."""
    return [huey.deserialize_task(message) for message in huey.storage.scheduled_items()]


def run_later(huey):
    """Runs everything, as late as in two days."""
    return run_all(huey, scheduled=True, now=datetime.datetime.now() + datetime.timedelta(days=2))


@pytest.mark.parametrize("route", [0, 1], ids=["locked", "error"])
def test_a_locked_task_runs_when_the_lock_is_free(any_huey, route):
    """Under its id, with its retries; meanwhile nothing is stored, and every skip is counted."""
    kit = install(any_huey)
    result = declare(any_huey, retries=2, retry_delay=7)[route]()
    hold(any_huey, "held")
    run_all(any_huey)
    (waiting,) = scheduled(any_huey)
    assert (waiting.id, waiting.retries, waiting.retry_delay) == (result.id, 2, 7)
    assert store(any_huey).keys() == {f"{any_huey.name}.lock.held"}
    free(any_huey)
    assert run_later(any_huey) == 1
    assert results(any_huey) == {result.id: 42}
    assert kit.count("huey_lock_skips_total") == 1
    assert kit.count("huey_results_suppressed_total") == 0


def test_the_preset_is_installed_by_name(make_huey):
    """It counts, and waits five seconds first, or up to a quarter less."""
    huey = make_huey()
    kit = install_handlers(huey, preset="reschedule-locks")
    declare(huey)[0]()
    hold(huey, "held")
    before = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    run_all(huey)
    assert 3.75 <= (scheduled(huey)[0].eta - before).total_seconds() < 60
    assert kit.count("huey_lock_skips_total", lock="held") == 1


def test_the_pipeline_goes_on_after_the_wait(any_huey):
    """Later stages run once, with the value, and get no error while the first one waits."""
    install(any_huey)
    guarded, _ = declare(any_huey)
    plus = any_huey.task(name="plus")(lambda n, more: n + more)
    group = any_huey.enqueue(guarded.s().then(plus, 100))
    hold(any_huey, "held")
    run_all(any_huey)
    assert stored_errors(any_huey) == {}
    free(any_huey)
    run_later(any_huey)
    assert group.get() == [42, 142]


def test_on_error_hears_of_a_real_error_only(make_huey):
    """A skip is none; the error of the attempt that had its lock is, once."""
    huey = make_huey()
    install(huey)
    heard = []

    @huey.task()
    @huey.lock_task("held")
    def fails():
        raise ValueError("broken")

    huey.task(name="handle")(lambda exc: heard.append(repr(exc)))
    handle = huey._registry.string_to_task(f"{__name__}.handle")
    task = fails.s()
    task.on_error = handle()
    huey.enqueue(task)
    hold(huey, "held")
    run_all(huey)
    assert heard == []
    free(huey)
    run_later(huey)
    assert heard == [repr(ValueError("broken"))]


@chord_only
def test_a_chord_waits_for_its_member(any_huey):
    """Its callback gets the true value, also of a member that has a pipeline."""
    install(any_huey)
    guarded, wrapped = declare(any_huey)
    total = any_huey.task(name="total")(lambda values: list(values))
    plus = any_huey.task(name="plus")(lambda n: n + 1)
    members = [guarded.s(1), wrapped.s(2).then(plus)]
    result = any_huey.enqueue(huey_package.chord(members, total.s()))
    hold(any_huey, "held")
    run_all(any_huey)
    assert store(any_huey).keys() == {f"{any_huey.name}.lock.held"}
    free(any_huey)
    run_later(any_huey)
    assert result.callback.get() == [2, 5]


def test_who_waits_for_the_result_gets_it(make_huey):
    """``result.get(blocking=True)`` in another thread returns the value in the end."""
    huey = make_huey()
    install(huey)
    result = declare(huey)[0]()
    got = []
    waiter = threading.Thread(target=lambda: got.append(result.get(blocking=True, timeout=20)))
    waiter.start()
    hold(huey, "held")
    run_all(huey)
    free(huey)
    run_later(huey)
    waiter.join()
    assert got == [42]


def test_a_revoke_reaches_a_task_that_waits(any_huey):
    """It is skipped when its time has come, and its token goes with it."""
    install_handlers(any_huey, preset="reschedule-locks")
    result = declare(any_huey)[0]()
    hold(any_huey, "held")
    run_all(any_huey)
    any_huey.revoke_by_id(result.id)
    free(any_huey)
    run_later(any_huey)
    assert results(any_huey) == {}
    assert tokens(any_huey) == set()


def test_a_task_is_given_up_in_time(any_huey, caplog):
    """After half a second it is dropped for good, counted and logged, whatever its retries."""
    kit = install(any_huey, delay=0.02, max_delay=0.1, jitter=0, give_up_after=0.5)
    result = declare(any_huey, retries=5)[0]()
    hold(any_huey, "held")

    def is_given_up():
        run_all(any_huey, scheduled=True)
        return not any_huey.scheduled_count()

    with caplog.at_level(logging.WARNING, "huey_signals_kit"):
        wait_until(is_given_up, 10, "the task to be given up")
    assert store(any_huey).keys() == {f"{any_huey.name}.lock.held"}
    assert kit.count("huey_results_suppressed_total", verdict="drop") == 1
    assert 2 <= kit.count("huey_lock_skips_total") <= 9
    (record,) = (each for each in caplog.records if each.name == "huey_signals_kit")
    assert (record.levelname, record.huey_lock) == ("WARNING", "held")
    assert record.huey_task_id == result.id
    assert 0.3 < record.huey_seconds < 10


@chord_only
def test_a_chord_learns_of_a_member_that_is_given_up(make_huey):
    """Its part is written, and the callback runs."""
    huey = make_huey()
    install(huey, delay=5, jitter=0)
    guarded, _ = declare(huey)
    seen = []
    total = huey.task(name="total")(lambda values: seen.append(len(values)))
    huey.enqueue(huey_package.chord([guarded.s(expires=4)], total.s()))
    hold(huey, "held")
    run_all(huey)
    assert seen == [1]
    assert huey.scheduled_count() == 0


def test_a_task_is_not_lost_when_the_schedule_cannot_be_written(make_huey, monkeypatch, caplog):
    """It goes back to the queue, with all that it had, and the failure is logged and counted."""
    huey = make_huey()
    kit = install(huey)
    guarded, _ = declare(huey, retries=1)
    result = guarded()
    hold(huey, "held")

    def unreachable(data, *others):
        raise ConnectionError("no storage")

    with monkeypatch.context() as patched:
        patched.setattr(huey.storage, "add_to_schedule", unreachable)
        huey.execute(huey.dequeue())
    assert kit.count("huey_handler_errors_total") == 1
    assert "could not be scheduled again" in caplog.text
    (queued,) = huey.pending()
    assert (queued.id, queued.retries, queued.eta, queued.expires) == (result.id, 1, None, None)
    assert read(queued) is not None
    assert stored_errors(huey) == {}


def test_one_lost_connection_leaves_the_task_in_the_schedule_once(make_huey, monkeypatch):
    """The message did get there, but not the answer: the same message is written again."""
    huey = make_huey("redis")
    install(huey)
    result = declare(huey)[0]()
    hold(huey, "held")
    written, add = [], huey.storage.add_to_schedule

    def answer_lost(data, *others):
        add(data, *others)
        written.append(data)
        if len(written) == 1:
            raise ConnectionError("the answer was lost")

    monkeypatch.setattr(huey.storage, "add_to_schedule", answer_lost)
    huey.execute(huey.dequeue())
    assert len(written) == 2
    assert [task.id for task in scheduled(huey)] == [result.id]
    assert huey.pending_count() == 0


def test_a_task_whose_arguments_cannot_be_written_fails_as_ever(make_huey):
    """Its body has changed them; the error is stored, so its caller learns of it."""
    huey = make_huey()
    kit = install(huey)

    @huey.task()
    def spoils(argument):
        argument.append(lambda: None)
        raise TaskLockedException("unable to acquire lock held")

    result = spoils([])
    run_all(huey)
    assert stored_errors(huey).keys() == {result.id}
    assert huey.scheduled_count() == 0
    assert kit.count("huey_handler_errors_total") == 1


def test_a_periodic_task_is_dropped(make_huey):
    """It comes again by itself."""
    huey = make_huey()
    install(huey)

    @huey.periodic_task(crontab())
    @huey.lock_task("held")
    def every_minute():
        """Never runs."""

    hold(huey, "held")
    huey.execute(every_minute.task_class())
    assert (huey.scheduled_count(), huey.pending_count()) == (0, 0)


def test_immediate_mode_is_left_alone(make_huey):
    """Nobody looks at the schedule there; the caller gets the error, as from Huey."""
    huey = make_huey(immediate=True)
    install(huey)
    hold(huey, "held")
    result = declare(huey)[0]()
    assert huey.scheduled_count() == 0
    with pytest.raises(TaskException, match="unable to acquire lock held"):
        result.get()


@pytest.mark.parametrize("route", [0, 1], ids=["locked", "error"])
@pytest.mark.parametrize("verdict", [KEEP, DROP, expire(60)], ids=str)
def test_a_handlers_verdict_comes_first(make_huey, caplog, verdict, route):
    """The task is neither scheduled nor given up: Huey goes on as with any failed attempt."""
    huey = make_huey()
    kit = install(huey)
    heard = []
    kit.on(SIGNAL_LOCKED, SIGNAL_ERROR)(lambda event: verdict)
    result = declare(huey)[route]()
    hold(huey, "held")
    huey.signal()(lambda signal, task, *_: heard.append((signal, task.retries)))
    run_all(huey)
    assert heard == [("executing", 0), (["locked", "error"][route], 0)]
    assert huey.scheduled_count() == 0
    assert stored_errors(huey).keys() == (set() if verdict is DROP else {result.id})
    free(huey)
    assert run_later(huey) == 0
    assert "given up" not in caplog.text


def test_a_verdict_of_lower_priority_does_not_count(make_huey):
    """Both handlers run, and the one that schedules comes first."""
    huey = make_huey()
    registry, heard = Registry("mine"), []
    registry.add(RescheduleLocked(), SIGNAL_LOCKED, priority=5)
    kit = install_handlers(huey, preset=[], registry=registry)
    kit.on(SIGNAL_LOCKED)(lambda event: heard.append(event.signal) or KEEP)
    declare(huey)[0]()
    hold(huey, "held")
    run_all(huey)
    assert heard == ["locked"]
    assert huey.scheduled_count() == 1
    assert stored_errors(huey) == {}


@pytest.mark.parametrize("option", ["keep", "drop", 60])
def test_a_tasks_own_option_comes_first(make_huey, option):
    """Whatever it asks for, nothing is scheduled."""
    huey = make_huey()
    install(huey)
    result = declare(huey, lock_errors=option)[0]()
    hold(huey, "held")
    run_all(huey)
    assert huey.scheduled_count() == 0
    assert stored_errors(huey).keys() == (set() if option == "drop" else {result.id})


def test_a_context_task_is_rescheduled(make_huey):
    """One that finds itself among its arguments, which is not for the message."""
    huey = make_huey()
    install(huey)

    @huey.task(context=True)
    @huey.lock_task("held")
    def guarded(n, task=None):
        return f"{task.id} {n}"

    result = guarded(3)
    hold(huey, "held")
    run_all(huey)
    free(huey)
    run_later(huey)
    assert results(huey) == {result.id: f"{result.id} 3"}


@pytest.mark.parametrize("utc", [True, False])
@pytest.mark.parametrize(
    "expires",
    [
        60,
        datetime.timedelta(seconds=60),
        datetime.datetime.now() + datetime.timedelta(days=9),
        datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=9),
    ],
    ids=["seconds", "timedelta", "naive", "aware"],
)
def test_the_tasks_own_expiry_is_kept(make_huey, expires, utc):
    """It stays the moment that it was, however often the task is enqueued again."""
    huey = make_huey(utc=utc)
    install(huey, delay=0.01, max_delay=0.01)
    huey.enqueue(declare(huey)[0].s(expires=expires))
    hold(huey, "held")
    run_all(huey)
    (first,) = scheduled(huey)
    wait_until(lambda: run_all(huey, scheduled=True), 5, "the second attempt")
    (second,) = scheduled(huey)
    assert read(first).since == read(second).since
    # Huey's conversion to local time leaves microseconds out.
    change = second.expires_resolved - first.expires_resolved
    assert abs(change) <= datetime.timedelta(seconds=0 if utc else 1)


def test_a_task_does_not_wait_beyond_its_own_expiry(make_huey):
    """What would come back when it has expired is given up at once."""
    huey = make_huey()
    kit = install(huey, delay=5, jitter=0)
    huey.enqueue(declare(huey)[0].s(expires=4))
    hold(huey, "held")
    run_all(huey)
    assert huey.scheduled_count() == 0
    assert kit.count("huey_results_suppressed_total") == 1


@pytest.mark.parametrize("expires", [None, 60.0])
def test_a_retry_after_a_real_error_waits_anew(make_huey, expires):
    """It has lost no retry to the skip, has its own expiry, and all the time for its lock."""
    huey = make_huey()
    install(huey)

    @huey.task(retries=1, retry_delay=3600)
    @huey.lock_task("held")
    def fails():
        raise ValueError("broken")

    huey.enqueue(fails.s(expires=expires))
    hold(huey, "held")
    run_all(huey)
    (waiting,) = scheduled(huey)
    assert read(waiting) is not None
    free(huey)
    waiting.eta = None
    huey.execute(waiting)
    retried = next(task for task in scheduled(huey) if task.retries == 0)
    assert (retried.expires, read(retried)) == (expires, None)
    assert (retried.expires_resolved is None) is (expires is None)


def test_a_message_is_run_by_a_consumer_without_the_kit(make_place, make_huey):
    """All of it is plain data: Huey alone reads it, runs it and stores its value."""
    place = make_place("sqlite")
    huey = make_huey("sqlite", place.name)
    install(huey, delay=0.01, max_delay=0.01)
    result = declare(huey)[0]()
    hold(huey, "held")
    run_all(huey)
    free(huey)
    script = f"""
import sys
from tests.support import Place, run_all, wait_until
for name in [name for name in sys.modules if name.startswith("huey_signals_kit")]:
    sys.modules[name] = None
huey = Place("sqlite", {place.location!r}, {place.name!r}).open()
@huey.task(name="guarded")
@huey.lock_task("held")
def guarded(n=21):
    return n * 2
type(huey._registry.string_to_task("__main__.guarded"))
huey._registry._registry[{__name__ + ".guarded"!r}] = guarded.task_class
wait_until(lambda: run_all(huey, scheduled=True), 20, "the task")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert results(huey) == {result.id: 42}


def test_two_handlers_schedule_a_task_once(make_huey):
    """Also with different settings: the first one has done it."""
    huey = make_huey()
    kit = install(huey)
    kit.registry.add(RescheduleLocked(delay=9), SIGNAL_LOCKED)
    declare(huey)[0]()
    hold(huey, "held")
    run_all(huey)
    assert huey.scheduled_count() == 1
    free(huey)
    assert run_later(huey) == 1


def skipped(huey, task):
    """The delay that *task* gets at its next skip, and the task as the next attempt gets it."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    task.eta = None
    huey.execute(task)
    (waiting,) = scheduled(huey)
    huey.storage.flush_schedule()
    return (waiting.eta - now).total_seconds(), waiting


def test_the_delay_grows_up_to_the_most(make_huey):
    """By the same factor each time, whatever kits did the attempts before."""
    huey = make_huey()
    hold(huey, "held")
    task = declare(huey)[0].s()
    delays = []
    for _ in range(6):
        with install(huey, delay=20, backoff=3, max_delay=1000, jitter=0):
            delay, task = skipped(huey, task)
        delays.append(round(delay, -1))
    assert delays == [20, 60, 180, 540, 1000, 1000]


def test_chance_shortens_a_delay(make_huey):
    """By up to the fraction that was asked for, and never twice the same."""
    huey = make_huey()
    install(huey, delay=100, jitter=0.5)
    hold(huey, "held")
    guarded, _ = declare(huey)
    delays = [skipped(huey, guarded.s())[0] for _ in range(50)]
    assert all(50 <= delay < 110 for delay in delays)
    assert max(delays) - min(delays) > 10


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"delay": 0}, ValueError, r"delay= of RescheduleLocked\(\) takes seconds above 0"),
        ({"delay": "5"}, TypeError, r"delay= of .* takes a number of seconds, got '5'"),
        ({"max_delay": 1}, ValueError, r"max_delay= of .* takes at least delay=5.0, got 1"),
        ({"give_up_after": 2}, ValueError, r"give_up_after= of .* at least delay=5.0, got 2"),
        ({"give_up_after": 1e12}, ValueError, r"give_up_after= of .* at most 315,360,000"),
        ({"backoff": 0.5}, ValueError, r"backoff= of .* takes 1 to 1000, got 0.5"),
        ({"backoff": True}, TypeError, r"backoff= of .* takes a number, got True"),
        ({"jitter": 2}, ValueError, r"jitter= of .* takes 0 to 1, got 2"),
        ({"jitter": float("nan")}, ValueError, r"jitter= of .* takes 0 to 1, got nan"),
    ],
)
def test_bad_arguments_are_refused(options, error, text):
    """By name, with the value and the rule, when they are given."""
    with pytest.raises(error, match=text):
        RescheduleLocked(**options)


def test_equal_settings_are_one_registration():
    """Two objects with the same settings are equal, and say what they do."""
    registry = Registry()
    registry.add(RescheduleLocked(delay=1), SIGNAL_LOCKED)
    registry.add(RescheduleLocked(delay=1.0), SIGNAL_LOCKED)
    assert len(list(registry)) == 1
    assert repr(RescheduleLocked()).startswith("RescheduleLocked(delay=5.0, backoff=2.0")


def test_a_misspelt_word_of_a_tasks_own_counts_as_not_given(make_huey, caplog):
    """Its author is told, and the task is rescheduled as any other."""
    huey = make_huey()
    install(huey)
    hold(huey, "held")
    declare(huey, lock_errors="kep")[0]()
    run_all(huey)
    assert huey.scheduled_count() == 1
    assert stored_errors(huey) == {}
    assert "lock_errors='kep', which is ignored" in caplog.text


def test_what_is_revoked_while_it_meets_the_lock_does_not_come_back(any_huey):
    """Huey deletes the token right after the attempt, so it would run again."""
    install(any_huey)
    ran = []

    @any_huey.task(context=True)
    def revoked_meanwhile(task=None):
        ran.append(task.id)
        any_huey.revoke_by_id(task.id)
        raise TaskLockedException("unable to acquire lock held")

    revoked_meanwhile()
    run_all(any_huey)
    assert any_huey.scheduled_count() == 0
    assert stored_errors(any_huey) == {}
    assert len(ran) == 1


class ForgetsZones(Serializer):
    """A user's own, which keeps moments, but not the names of their time zones."""

    def _deserialize(self, data):
        message = super()._deserialize(data)
        expires = getattr(message, "expires", None)
        if isinstance(expires, datetime.datetime) and expires.tzinfo:
            message = message._replace(expires=expires.astimezone(datetime.timezone.utc))
        return message


def test_with_a_serializer_that_forgets_since_when_a_task_waits_it_fails_as_ever(make_huey, caplog):
    """Else it would wait for ever, each time as if for the first; and somebody is told."""
    huey = make_huey(serializer=ForgetsZones())
    install(huey)
    hold(huey, "held")
    declare(huey)[0]()
    run_all(huey)
    assert huey.scheduled_count() == 0
    assert len(stored_errors(huey)) == 1
    assert "loses the name of a datetime's time zone" in caplog.text


def test_sentry_is_spared_only_what_is_not_stored(make_huey):
    """In immediate mode the error is stored, so it is sent as well."""
    queued, immediate = make_huey(), make_huey(immediate=True)
    task = declare(queued)[0].s()
    assert RescheduleLocked().suppresses_lock_errors(Event(SIGNAL_LOCKED, task, queued))
    assert not RescheduleLocked().suppresses_lock_errors(Event(SIGNAL_LOCKED, task, immediate))


def test_a_receiver_may_have_the_task_fail_after_all(make_huey):
    """It sets the retries to 0 after the handler: the error is stored, and ``on_error`` runs."""
    huey, heard = make_huey(), []
    install(huey)
    guarded, _ = declare(huey, retries=2)
    handle = huey.task()(lambda exc: heard.append(type(exc)))

    @huey.signal(SIGNAL_LOCKED)
    def give_up(signal, task):
        task.retries = 0

    hold(huey, "held")
    task = guarded.s()
    task.on_error = handle.s()
    huey.enqueue(task)
    run_all(huey)
    assert heard == [TaskLockedException]
    assert scheduled(huey) == []
    assert stored_errors(huey)[task.id]["traceback"]  # as Huey writes it
