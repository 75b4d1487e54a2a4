"""Nothing that a handler or a subscriber does is felt by a task or by its neighbours."""

from __future__ import annotations

import asyncio
import logging
from unittest.mock import MagicMock, Mock

import pytest
from blinker import NamedSignal
from huey.signals import SIGNAL_LOCKED

from huey_signals_kit import DROP, Event, Registry, install_handlers, signals
from huey_signals_kit.runtime.log import RateLimitedErrors
from tests.support import hold, run_all, stored_errors, wait_until


@pytest.fixture
def huey(make_huey):
    """A Huey with a held lock and a task that meets it."""
    huey = make_huey()

    @huey.task()
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    hold(huey, "held")
    huey.guarded = guarded
    yield huey
    for signal in vars(signals).values():
        if isinstance(signal, NamedSignal):
            signal._clear_state()


def skip(huey, times=1):
    for _ in range(times):
        huey.guarded()
    run_all(huey)


def own_records(caplog):
    return [record for record in caplog.records if record.name == "huey_signals_kit"]


def test_a_broken_handler_changes_no_verdict_and_is_counted(huey, caplog):
    """The preset still drops, and Huey's other receivers still hear the signal."""
    heard = []
    huey.signal(SIGNAL_LOCKED)(lambda signal, task: heard.append(signal))
    kit = install_handlers(huey)

    @kit.on(SIGNAL_LOCKED)
    def broken(event):
        raise ValueError("in the handler")

    skip(huey, 3)
    assert stored_errors(huey) == {}
    assert heard == ["locked"] * 3
    name = f"{broken.__module__}.{broken.__qualname__}"
    assert kit.count("huey_handler_errors_total", handler=name) == 3
    (record,) = own_records(caplog)
    assert "Traceback" in caplog.text
    assert "in the handler" in caplog.text
    assert (record.levelname, record.huey_failures) == ("ERROR", 1)


def test_failures_are_logged_at_most_once_a_minute_each(caplog):
    """The first with its traceback, later ones as a count, each name for itself."""
    now = [100.0]
    failures = RateLimitedErrors(interval=60, clock=lambda: now[0])
    for moment, name in [(0, "a"), (1, "a"), (2, "b"), (59, "a"), (60, "a"), (61, "a"), (120, "a")]:
        now[0] = 100.0 + moment
        failures.report(name, "on a signal", ValueError(f"at {moment}"))
    said = [(bool(r.exc_info), r.getMessage()) for r in own_records(caplog)]
    text = "{} failed on a signal; no task is affected. Its next failures are counted, not shown."
    assert said == [
        (True, text.format("a")),
        (True, text.format("b")),
        (False, "a failed 3 more times, last: ValueError('at 60')"),
        (False, "a failed 2 more times, last: ValueError('at 120')"),
    ]


def test_an_exception_whose_repr_raises_is_survived(huey, caplog):
    """Even the report of a failure must not fail."""

    class Nasty(Exception):
        def __repr__(self):
            raise RuntimeError("no repr")

        __str__ = __repr__

    kit = install_handlers(huey)

    @kit.on(SIGNAL_LOCKED)
    def broken(event):
        raise Nasty

    with caplog.at_level(logging.CRITICAL, "huey_signals_kit"):
        skip(huey, 2)
    assert stored_errors(huey) == {}
    assert kit.count("huey_handler_errors_total") == 2


def test_a_task_exception_whose_repr_raises_stops_no_handler(make_huey):
    """The failure of one handler is told even where the event cannot be shown."""

    class Nasty(ValueError):
        def __repr__(self):
            raise RuntimeError("no repr")

    huey, ran = make_huey(), []
    kit = install_handlers(huey)
    huey.task(name="nasty")(lambda: (_ for _ in ()).throw(Nasty()))()
    kit.on("error", name="first")(lambda event: 1 / 0)
    kit.on("error")(lambda event: ran.append(event.signal))
    kit.on("error")(lambda event: DROP)
    run_all(huey)
    assert ran == ["error"]
    assert stored_errors(huey) == {}
    assert kit.count("huey_handler_errors_total", handler="first") == 1


class BrokenLog(logging.Handler):
    """A log whose disk is full."""

    def handle(self, record):
        raise OSError("disk full")


@pytest.fixture
def broken_log():
    """The kit's logger, unusable."""
    handler = BrokenLog()
    logging.getLogger("huey_signals_kit").addHandler(handler)
    yield
    logging.getLogger("huey_signals_kit").removeHandler(handler)


def test_a_log_that_raises_stops_neither_handlers_nor_verdict(huey, broken_log):
    """Telling of a failure must not be one."""
    kit, ran = install_handlers(huey), []
    kit.on("locked", name="broken")(lambda event: 1 / 0)
    kit.on("locked")(lambda event: ran.append(event.signal))
    skip(huey)
    assert (ran, stored_errors(huey)) == (["locked"], {})
    assert kit.count("huey_handler_errors_total", handler="broken") == 1


def test_a_log_that_raises_breaks_no_task_with_a_bad_option(make_huey, broken_log):
    """The option is ignored, the task ends as it would."""
    huey = make_huey()
    install_handlers(huey, preset=[])

    @huey.task(lock_errors=-60)
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    with huey.lock_task("held"):
        kept = guarded()
        run_all(huey)
    assert set(stored_errors(huey)) == {kept.id}


def test_fields_of_a_record_are_the_kits_own(huey, caplog):
    """Other code may give every record a ``task`` or a ``handler``."""
    kit = install_handlers(huey)
    kit.on("locked", name="broken")(lambda event: 1 / 0)
    skip(huey)
    (record,) = own_records(caplog)
    fields = {name for name in vars(record) if name.startswith("huey_")}
    assert fields == {"huey_failed", "huey_failures"}
    assert not {"task", "handler"} & set(vars(record))


def notifier(channel):
    """Make a handler of the same qualified name as the others."""

    def notify(*args, **payload):
        raise ConnectionError(f"{channel} is down")

    return notify


def test_each_handler_logs_its_first_failure(huey, caplog):
    """Also those of the same name, as closures and lambdas have; each once."""
    kit = install_handlers(huey)
    for handler in (notifier("slack"), notifier("pagerduty"), lambda e: 1 / 0, lambda e: [][1]):
        kit.on(SIGNAL_LOCKED)(handler)
    skip(huey, 3)
    first = [str(record.exc_info[1]) for record in own_records(caplog)]
    assert first == [
        "slack is down",
        "pagerduty is down",
        "division by zero",
        "list index out of range",
    ]


def test_each_subscriber_logs_its_first_failure(huey, caplog):
    """Also closures of one name; a method, which is another object each time, once."""
    install_handlers(huey)

    class Owner:
        def method(self, sender, **payload):
            raise ConnectionError("the method is down")

    owner = Owner()
    subscribers = [notifier("slack"), notifier("pagerduty"), owner.method]
    for each in subscribers:
        signals.lock_skipped.connect(each)
    skip(huey, 3)
    first = sorted(str(record.exc_info[1]) for record in own_records(caplog))
    assert first == ["pagerduty is down", "slack is down", "the method is down"]


def test_failures_that_interrupt_the_report_of_another_are_counted(caplog):
    """A signal handler may fail while its thread reports a failure: that waits for nothing."""
    now = [0.0]
    failures = RateLimitedErrors(interval=60, clock=lambda: now[0])

    def nested():
        failures.report("a", "on a signal", ValueError("nested"))
        failures._clock = lambda: now[0]
        return now[0]

    failures._clock = nested
    failures.report("a", "on a signal", ValueError("outer"))
    now[0] = 61.0
    failures.report("a", "on a signal", ValueError("later"))
    assert [record.getMessage() for record in own_records(caplog)] == [
        "a failed on a signal; no task is affected. Its next failures are counted, not shown.",
        "a failed 2 more times, last: ValueError('later')",
    ]


class NoException(BaseException):
    """As `asyncio.CancelledError` and `gevent.Timeout` are."""


@pytest.mark.parametrize("raised", [asyncio.CancelledError, GeneratorExit, NoException])
def test_an_exception_that_is_no_exception_is_the_handlers_failure(huey, raised):
    """Raised by a handler, a predicate, a subscriber or in the background, it ends no worker."""
    kit, ran = install_handlers(huey), []

    def fail(*args, **payload):
        raise raised

    kit.on(SIGNAL_LOCKED, name="handler", priority=2)(fail)
    kit.on(SIGNAL_LOCKED, name="predicate", when=fail, priority=1)(print)
    kit.on(SIGNAL_LOCKED, name="background", background=True, priority=1)(fail)
    kit.on(SIGNAL_LOCKED)(lambda event: ran.append(event.signal))
    signals.lock_skipped.connect(fail)
    skip(huey, 2)
    assert (ran, stored_errors(huey)) == (["locked"] * 2, {})
    for name in ("handler", "predicate", "background"):
        wait_until(lambda n=name: kit.count("huey_handler_errors_total", handler=n) == 2, 10, name)
    assert kit.count("huey_handler_errors_total") == 8


def test_a_registry_without_a_kit_survives_what_is_no_exception(huey, caplog):
    """`Registry.dispatch` logs it."""
    registry = Registry()
    registry.on(name="cancelled")(Mock(side_effect=asyncio.CancelledError))
    assert registry.dispatch(Event("locked", huey.guarded.s(), huey)) is None
    assert "Handler cancelled failed" in caplog.text


def test_an_asynchronous_subscriber_fails(huey, caplog):
    """Its body would never run, and nothing would say so."""
    kit = install_handlers(huey)

    def subscriber(sender, **payload):
        yield

    signals.lock_skipped.connect(subscriber)
    skip(huey)
    assert kit.count("huey_handler_errors_total") == 1
    assert "whose body has not run; give a plain function" in caplog.text


def test_a_mock_can_subscribe(huey):
    """It answers with a mock, which has a method for everything."""
    kit, subscriber = install_handlers(huey), MagicMock()
    signals.lock_skipped.connect(subscriber, weak=False)
    skip(huey)
    assert subscriber.call_count == 1
    assert kit.count("huey_handler_errors_total") == 0


def test_a_mock_can_subscribe_and_fail(huey):
    """Mocks have every attribute, also those that lead in circles."""
    kit = install_handlers(huey)
    subscriber = Mock(side_effect=ValueError("in the mock"))
    signals.lock_skipped.connect(subscriber, weak=False)
    skip(huey)
    assert subscriber.call_count == 1
    assert stored_errors(huey) == {}
    assert kit.count("huey_handler_errors_total") == 1


@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit])
def test_what_must_stop_the_worker_passes(huey, passing):
    """A handler is no place to swallow a shutdown."""
    kit = install_handlers(huey)

    @kit.on(SIGNAL_LOCKED)
    def stop(event):
        raise passing

    huey.guarded()
    with pytest.raises(passing):
        huey.execute(huey.dequeue())


def test_every_announcement_is_made_with_the_huey_as_sender(huey):
    """A skip, a result not stored, a revoked task, its token, a failing handler."""
    kit, heard = install_handlers(huey), []

    @kit.on(SIGNAL_LOCKED, name="broken")
    def broken(event):
        raise ValueError("in the handler")

    def hear(signal):
        def subscriber(sender, **payload):
            assert sender is huey
            heard.append((signal.name, sorted(payload)))

        signal.connect(subscriber, sender=huey, weak=False)

    for signal in vars(signals).values():
        if isinstance(signal, NamedSignal):
            hear(signal)
    skip(huey)
    huey.revoke_by_id(huey.guarded().id)
    run_all(huey)
    assert heard == [
        ("handler-failed", ["event", "exception", "handler"]),
        ("lock-skipped", ["event"]),
        ("result-suppressed", ["task_id", "task_name", "verdict"]),
        ("token-cleaned", ["by", "key"]),
        ("task-revoked", ["event"]),
    ]


def test_announcements_say_what_they_are_about(huey):
    """The ids and names of the task, and the verdict."""
    install_handlers(huey)
    suppressed, cleaned = [], []
    keep = [lambda s, **said: suppressed.append(said), lambda s, **said: cleaned.append(said)]
    signals.result_suppressed.connect(keep[0])
    signals.token_cleaned.connect(keep[1])
    skipped, revoked = huey.guarded(), huey.guarded()
    huey.revoke_by_id(revoked.id)
    run_all(huey)
    name = f"{__name__}.guarded"
    assert suppressed == [{"task_id": skipped.id, "task_name": name, "verdict": DROP}]
    assert cleaned == [{"key": f"r:{revoked.id}", "by": "skip"}]


def test_a_broken_subscriber_stops_no_other_and_no_task(huey, caplog):
    """blinker alone would stop at the first that raises."""
    kit, heard = install_handlers(huey), []

    def broken(sender, **payload):
        raise ValueError("in the subscriber")

    def after(sender, **payload):
        heard.append(payload["task_id"])

    subscribers = [broken, after, lambda sender, **payload: broken(sender)]
    for subscriber in subscribers:
        signals.result_suppressed.connect(subscriber)
    skip(huey, 2)
    assert len(heard) == 2
    assert stored_errors(huey) == {}
    assert kit.count("huey_handler_errors_total") == 4
    assert "in the subscriber" in caplog.text


def test_a_broken_subscriber_to_handler_failed_makes_no_circle(huey):
    """Its failure is counted and not announced again."""
    kit = install_handlers(huey)

    @kit.on(SIGNAL_LOCKED)
    def broken(event):
        raise ValueError("in the handler")

    def worse(sender, **payload):
        raise ValueError("in the subscriber")

    signals.handler_failed.connect(worse)
    skip(huey)
    assert kit.count("huey_handler_errors_total") == 2


def test_a_muted_announcement_is_not_made(huey):
    """blinker's own switch works."""
    install_handlers(huey)
    heard = []
    subscriber = lambda sender, **payload: heard.append(1)  # noqa: E731
    signals.lock_skipped.connect(subscriber)
    with signals.lock_skipped.muted():
        skip(huey)
    skip(huey)
    assert heard == [1]


def test_a_huey_with_sinks_has_at_most_28_attributes(make_huey):
    """CPython finds the attributes of an instance faster if there are few.

    ``SHARED_KEYS_MAX_SIZE`` in its ``dictobject.c`` is 30, less one for each instance.
    """
    huey = make_huey()
    install_handlers(huey, sinks="memory", sentry=True, quiet_logs=True)
    assert len(vars(huey)) <= 28
