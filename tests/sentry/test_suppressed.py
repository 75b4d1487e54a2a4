"""No event for a lock error that the kit suppresses, and every other event as on bare Huey."""

from __future__ import annotations

import logging

import pytest
import sentry_sdk
from huey.exceptions import TaskLockedException
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED
from sentry_sdk.integrations.logging import LoggingIntegration

from huey_signals_kit import KEEP, Registry
from huey_signals_kit.handlers import drop_lock_errors
from tests.sentry.tasks import (
    LOCK_ERRORS,
    REAL_ERRORS,
    Busy,
    broken,
    plain,
    subclass,
    task_of,
    wrapped,
)
from tests.sentry.transport import title
from tests.support import run_all, stored_errors


def titles_of(sentry, huey, *ways, **options):
    """What the events are about that come of running a task so."""
    before = len(sentry.events)
    report = task_of(huey, *ways, **options)
    for _ in ways:
        report()
        run_all(huey)
    return [title(event) for event in sentry.events[before:]]


@pytest.mark.parametrize("way", LOCK_ERRORS)
def test_a_suppressed_lock_error_sends_nothing(start, install, make_huey, way):
    """Of every kind that the kit keeps out of the store."""
    sentry, huey = start(), make_huey()
    install(huey)
    assert titles_of(sentry, huey, way) == []


@pytest.mark.parametrize("preset", ["observe", "tidy-tokens", []])
@pytest.mark.parametrize("way", LOCK_ERRORS)
def test_a_stored_lock_error_is_sent(start, install, make_huey, way, preset):
    """Where the preset stores lock errors, Sentry is sent what bare Huey sends."""
    sentry, huey, bare = start(), make_huey(), make_huey()
    install(huey, preset)
    assert titles_of(sentry, huey, way) == titles_of(sentry, bare, way)


@pytest.mark.parametrize("way", REAL_ERRORS)
def test_a_real_error_is_sent(start, install, make_huey, way):
    """Also when a lock error was being handled, or stands beside one, or a lock was lost."""
    sentry, huey, bare = start(), make_huey(), make_huey()
    install(huey)
    found = titles_of(sentry, huey, way)
    assert len(found) == 1
    assert found == titles_of(sentry, bare, way)


@pytest.mark.parametrize(
    ("preset", "option", "sent"),
    [
        ("quiet-locks", "keep", ["Busy"]),
        ("observe", "drop", []),
        ("observe", 60, []),
        ("quiet-locks", "misspelt", []),
        ("observe", "misspelt", ["Busy"]),
    ],
)
def test_the_tasks_own_option_decides(start, install, make_huey, preset, option, sent):
    """``lock_errors`` of the task overrides the preset; one that is not valid changes nothing."""
    sentry, huey = start(), make_huey()
    install(huey, preset)
    found = titles_of(sentry, huey, wrapped, lock_errors=option)
    assert [name for name in found if "lock_errors" not in name] == sent


@pytest.mark.parametrize(
    ("signal", "way", "sent"),
    [(SIGNAL_LOCKED, wrapped, ["Busy"]), (SIGNAL_ERROR, wrapped, [])],
)
def test_the_handler_has_to_hear_the_signal(start, install, make_huey, signal, way, sent):
    """A handler that only hears of the other signal suppresses nothing of this one."""
    sentry, huey, registry = start(), make_huey(), Registry()
    registry.add(drop_lock_errors, signal)
    install(huey, registry)
    assert titles_of(sentry, huey, way) == sent


def test_a_subclass_of_hueys_comes_with_the_signal_locked(start, install, make_huey, setup):
    """Sentry's integration reports it, which leaves out only Huey's own class."""
    sentry, huey, registry = start(), make_huey(), Registry()
    registry.add(drop_lock_errors, SIGNAL_ERROR)
    install(huey, registry)
    sent = ["NightlyBusy"] if setup == "integration" else []
    assert titles_of(sentry, huey, subclass) == sent


def test_the_handlers_filters_count(start, install, make_huey):
    """Lock errors of a task that the suppressing handler does not look at are sent."""
    sentry, huey, registry = start(), make_huey(), Registry()
    registry.add(drop_lock_errors, SIGNAL_ERROR, tasks="*.quiet")
    install(huey, registry)
    assert titles_of(sentry, huey, wrapped, name="quiet") == []
    assert titles_of(sentry, huey, wrapped, name="loud") == ["Busy"]


def test_a_verdict_of_the_users_comes_too_late(start, install, make_huey):
    """Sentry reports before any handler is asked: what one keeps is stored, but not sent."""
    sentry, huey = start(), make_huey()
    install(huey).on(SIGNAL_ERROR)(lambda event: KEEP)
    assert titles_of(sentry, huey, wrapped) == []
    assert len(stored_errors(huey)) == 1


def test_a_filter_that_fails_keeps_no_event_back(start, install, make_huey, caplog):
    """The event is sent, and the failure is logged."""
    sentry, huey, registry = start(), make_huey(), Registry()
    registry.add(drop_lock_errors, SIGNAL_ERROR, when=lambda event: 1 / 0)
    install(huey, registry)
    assert "Busy" in titles_of(sentry, huey, wrapped)
    assert "in an event for Sentry" in caplog.text


def captures(error):
    """A way to end with *error*, having captured it by hand."""

    def end():
        try:
            raise error from TaskLockedException("unable to acquire lock held")
        except Busy as exc:
            sentry_sdk.capture_exception(exc)
            raise

    return end


def test_what_the_task_captures_itself_is_sent(start, install, make_huey):
    """Even the exception with which it ends, once, as on bare Huey."""
    sentry, huey, bare = start(), make_huey(), make_huey()
    install(huey)
    assert titles_of(sentry, huey, captures(Busy("mine"))) == ["Busy"]
    assert titles_of(sentry, bare, captures(Busy("mine"))) == ["Busy"]


def test_what_the_task_logs_itself_is_sent(start, install, make_huey):
    """A lock error in the application's own log is the application's."""
    sentry, huey = start(), make_huey()
    install(huey)

    def logs():
        try:
            plain()
        except TaskLockedException:
            logging.getLogger("app").exception("logged")

    assert titles_of(sentry, huey, logs) == ["TaskLockedException"]


def test_what_no_task_captures_is_sent(start, install):
    """A lock error in a script or a web request is none of a task's."""
    sentry = start()
    sentry_sdk.capture_exception(Busy("mine"))
    assert [title(event) for event in sentry.events] == ["Busy"]


def test_what_a_handler_captures_afterwards_is_sent(start, install, make_huey):
    """An event that was held back is not remembered as one that was sent already."""
    sentry, huey = start(), make_huey()
    kit = install(huey)
    kit.on(SIGNAL_ERROR)(lambda event: sentry_sdk.capture_exception(event.exception) and None)
    assert titles_of(sentry, huey, wrapped) == ["Busy"]


def test_a_receiver_that_fails_at_a_lock_is_reported(start, install, make_huey):
    """Huey logs what its receivers raise: that is not how the task ended."""
    sentry, huey = start(), make_huey()
    install(huey)

    @huey.signal(SIGNAL_ERROR)
    def receiver(signal, task, exc=None):
        raise Busy("in a receiver") from TaskLockedException("unable to acquire lock held")

    assert titles_of(sentry, huey, wrapped) == ["Busy"]


def test_a_receiver_that_raises_the_tasks_exception_is_reported(start, install, make_huey):
    """It is Huey's line about the task that is not sent, not the one about the receiver."""
    sentry, huey = start(), make_huey()
    install(huey)

    @huey.signal(SIGNAL_ERROR)
    def receiver(signal, task, exc=None):
        raise exc

    assert titles_of(sentry, huey, wrapped) == ["Busy"]


def test_a_receivers_own_log_is_the_applications(start, install, make_huey):
    """Whatever its function is called, and though Huey is just handling the exception."""
    sentry, huey = start(), make_huey()
    install(huey)

    @huey.signal(SIGNAL_ERROR)
    def _execute(signal, task, exc=None):
        logging.getLogger("app").error("logged", exc_info=exc)

    assert titles_of(sentry, huey, wrapped) == ["Busy"]


def test_another_hueys_events_are_left_alone(start, install, make_huey):
    """A Huey without the kit sends its lock errors as ever, inside of a task of one with it too."""
    sentry, huey, bare = start(), make_huey(), make_huey(immediate=True)
    install(huey)
    inner = task_of(bare, wrapped, name="inner")
    assert titles_of(sentry, huey, lambda: inner() and None) == ["Busy"]


@pytest.mark.parametrize(("preset", "sent"), [("quiet-locks", 0), ("observe", 1)])
def test_hueys_line_about_a_skip_counts_as_its_event(start, install, make_huey, preset, sent):
    """Where Sentry is told to report warnings, that of a suppressed skip is not sent."""
    sentry = start(integrations=[LoggingIntegration(event_level=logging.WARNING)])
    huey = make_huey()
    install(huey, preset)
    assert len(titles_of(sentry, huey, plain)) == sent


def test_named_lock_exceptions_are_what_counts(start, install, make_huey):
    """``lock_exceptions=`` decides here as it does on the store."""
    sentry, huey = start(), make_huey()
    install(huey, lock_exceptions=ValueError)
    assert titles_of(sentry, huey, broken, wrapped) == ["Busy"]


def test_uninstalled_everything_is_sent_again(start, make_huey, install):
    """And Sentry's processors are those that it had."""
    sentry, huey = start(), make_huey()
    before = list(sentry_sdk.scope.global_event_processors)
    kit = install(huey)
    assert sentry_sdk.scope.global_event_processors != before
    kit.uninstall()
    assert sentry_sdk.scope.global_event_processors == before
    assert titles_of(sentry, huey, wrapped) == ["Busy"]


def test_of_two_kits_one_may_go(start, install, make_huey):
    """The other one's events are filtered as before, once."""
    sentry, first, second = start(), make_huey(), make_huey()
    install(first).uninstall()
    kit = install(first)
    install(second)
    kit.uninstall()
    assert titles_of(sentry, first, wrapped) == ["Busy"]
    assert titles_of(sentry, second, wrapped) == []


def test_sentry_may_be_set_up_after_the_kit(start, install, make_huey):
    """And again, with other options and another transport."""
    huey = make_huey()
    install(huey)
    first = start()
    assert titles_of(first, huey, wrapped) == []
    second = start(max_breadcrumbs=7)
    assert titles_of(second, huey, wrapped, broken, name="other") == ["ValueError"]
    assert first.items == []


def test_without_a_client_nothing_is_said(install, make_huey, pristine, caplog):
    """Before `sentry_sdk.init` tasks run and skip as without Sentry."""
    huey = make_huey()
    install(huey)
    report = task_of(huey, plain, wrapped)
    report()
    report()
    run_all(huey)
    assert stored_errors(huey) == {}
    assert [each for each in caplog.records if each.name == "huey_signals_kit"] == []


def test_replacing_the_kit_replaces_its_word(start, install, make_huey):
    """The new kit's preset decides."""
    sentry, huey = start(), make_huey()
    install(huey, "quiet-locks")
    install(huey, "observe", replace=True)
    assert titles_of(sentry, huey, wrapped) == ["Busy"]
