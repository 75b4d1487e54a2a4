"""Recent lock skips of a task are breadcrumbs on the events that the same task causes."""

from __future__ import annotations

import itertools
import logging
from datetime import datetime, timedelta, timezone

import pytest
import sentry_sdk

from huey_signals_kit import Event
from huey_signals_kit.handlers import leave_breadcrumb
from tests.sentry.tasks import NightlyBusy, broken, plain, task_of, wrapped
from tests.sentry.transport import shown, times, title
from tests.support import hold, run_all


def run(huey, report, *args):
    """Runs the task once; returns its id."""
    task_id = report(*args).id
    run_all(huey)
    return task_id


def minutes_ago(minutes):
    """A time, as a breadcrumb has it."""
    return datetime.now(timezone.utc) - timedelta(minutes=minutes)


def test_a_skip_sends_nothing(start, install, make_huey):
    """Neither by Huey's own exception nor by one that wraps it."""
    sentry, huey = start(), make_huey()
    install(huey)
    report = task_of(huey, plain, wrapped)
    run(huey, report)
    run(huey, report)
    assert sentry.items == []


def test_the_next_event_of_the_task_shows_its_skips(start, install, make_huey):
    """With lock, task id and attempt, the earliest first; of the arguments there is nothing."""
    sentry, huey = start(), make_huey()
    install(huey)
    report = task_of(huey, plain, wrapped, broken)
    ids = [run(huey, report, "secret argument"), run(huey, report, "secret argument")]
    run(huey, report)
    (event,) = sentry.events
    assert title(event) == "ValueError"
    assert shown(event) == [{"lock": "held", "task_id": each, "attempt": 1} for each in ids]
    assert times(event) == sorted(times(event))
    assert "secret argument" not in str(event["breadcrumbs"])


def test_a_real_lock_names_itself(start, install, make_huey):
    """The lock's name is what the task asked Huey for."""
    sentry, huey = start(), make_huey()
    install(huey)
    hold(huey, "import:17")

    def locked():
        with huey.lock_task("import:17"):
            raise AssertionError("the lock is free")

    report = task_of(huey, locked, broken)
    run(huey, report)
    run(huey, report)
    assert [crumb["lock"] for crumb in shown(sentry.events[0])] == ["import:17"]


def test_each_attempt_is_told(start, install, make_huey):
    """Attempts count from 1, and a retry's own skips are skips like others."""
    sentry, huey = start(), make_huey()
    install(huey)
    run(huey, task_of(huey, plain, wrapped, broken, retries=2))
    assert [crumb["attempt"] for crumb in shown(sentry.events[0])] == [1, 2]


def test_another_task_shows_none(start, install, make_huey):
    """Skips belong to the task that was skipped."""
    sentry, huey = start(), make_huey()
    install(huey)
    run(huey, task_of(huey, plain))
    run(huey, task_of(huey, broken, name="other"))
    assert [shown(event) for event in sentry.events] == [[]]


def test_another_huey_shows_none(start, install, make_huey):
    """The same name of a task on another Huey, with a kit or without, is another task."""
    sentry, first, second, bare = start(), make_huey(), make_huey(), make_huey()
    install(first)
    install(second)
    run(first, task_of(first, plain))
    run(second, task_of(second, broken))
    run(bare, task_of(bare, broken))
    assert [shown(event) for event in sentry.events] == [[], []]


def test_a_recent_skip_is_shown_on_every_event(start, install, make_huey):
    """Each event stands by itself: who reads the second has not read the first."""
    sentry, huey = start(), make_huey()
    install(huey)
    report = task_of(huey, plain, broken, broken)
    skipped, *_ = [run(huey, report) for _ in range(3)]
    ids = [[crumb["task_id"] for crumb in shown(event)] for event in sentry.events]
    assert ids == [[skipped], [skipped]]


def test_at_most_twenty_are_shown(start, install, make_huey):
    """The newest twenty."""
    sentry, huey = start(), make_huey()
    install(huey)
    report = task_of(huey, *[plain] * 25, broken)
    ids = [run(huey, report) for _ in range(26)]
    assert [crumb["task_id"] for crumb in shown(sentry.events[0])] == ids[5:25]


def test_a_skip_is_forgotten_after_a_quarter_of_an_hour(start, install, make_huey):
    """One of 16 minutes ago is not shown, one of 14 minutes ago is."""
    sentry, huey = start(), make_huey()
    kit = install(huey)
    report = task_of(huey, broken)
    skipped = {minutes: report.s() for minutes in (14, 16)}
    for minutes, task in skipped.items():
        event = Event("locked", task, huey, NightlyBusy(), context=kit._context)
        event._timestamp -= minutes * 60
        leave_breadcrumb(event)
    run(huey, report)
    assert [crumb["task_id"] for crumb in shown(sentry.events[0])] == [skipped[14].id]


def with_breadcrumbs(*minutes):
    """A way to end, broken, after breadcrumbs of so many minutes ago."""

    def end():
        for each in minutes:
            sentry_sdk.add_breadcrumb(message=str(each), timestamp=minutes_ago(each))
        broken()

    return end


def test_they_are_merged_with_the_events_own_by_time(start, install, make_huey):
    """A skip stands behind what happened before it and before what happened after it."""
    sentry, huey = start(), make_huey()
    install(huey)
    report = task_of(huey, plain, with_breadcrumbs(30, -30))
    run(huey, report)
    run(huey, report)
    crumbs = sentry.events[0]["breadcrumbs"]["values"]
    assert times(sentry.events[0]) == sorted(times(sentry.events[0]))
    assert [crumbs[0]["message"], crumbs[-1]["message"]] == ["30", "-30"]
    assert len(shown(sentry.events[0])) == 1


@pytest.mark.parametrize("most", [1, 3, 5])
def test_the_clients_maximum_holds_for_all_together(start, install, make_huey, most):
    """Of its own and the skips, the newest are kept."""
    sentry, huey = start(max_breadcrumbs=most), make_huey()
    install(huey)
    report = task_of(huey, plain, plain, with_breadcrumbs(3, 2, -1))
    for _ in range(3):
        run(huey, report)
    crumbs = sentry.events[0]["breadcrumbs"]["values"]
    assert len(crumbs) == most
    assert crumbs[-1]["message"] == "-1"
    assert len(shown(sentry.events[0])) == min(2, most - 1)


def test_a_client_without_breadcrumbs_gets_none(start, install, make_huey):
    """``max_breadcrumbs=0`` is none."""
    sentry, huey = start(max_breadcrumbs=0), make_huey()
    install(huey)
    report = task_of(huey, plain, broken)
    run(huey, report)
    run(huey, report)
    assert [event["breadcrumbs"]["values"] for event in sentry.events] == [[]]


def test_the_clients_own_filter_is_asked(start, install, make_huey):
    """``before_breadcrumb`` may change a skip, as any breadcrumb, or leave it out."""
    numbers = itertools.count()

    def before_breadcrumb(crumb, hint):
        if crumb.get("category") != "huey.lock":
            return crumb
        return None if next(numbers) else {**crumb, "data": {"lock": "[hidden]"}}

    sentry, huey = start(before_breadcrumb=before_breadcrumb), make_huey()
    install(huey)
    report = task_of(huey, plain, plain, broken)
    for _ in range(3):
        run(huey, report)
    assert shown(sentry.events[0]) == [{"lock": "[hidden]"}]


def test_a_filter_that_fails_costs_the_breadcrumbs_alone(start, install, make_huey, caplog):
    """The event is sent as it was, and the failure is logged."""

    def before_breadcrumb(crumb, hint):
        return 1 / 0 if crumb.get("category") == "huey.lock" else crumb

    sentry, huey = start(before_breadcrumb=before_breadcrumb), make_huey()
    install(huey)
    report = task_of(huey, plain, broken)
    run(huey, report)
    run(huey, report)
    assert [shown(event) for event in sentry.events if title(event) == "ValueError"] == [[]]
    assert "in an event for Sentry" in caplog.text


def test_any_event_of_the_task_shows_them(start, install, make_huey):
    """A message that the task sends itself, and a line that it logs, not only its exception."""
    sentry, huey = start(), make_huey()
    install(huey)

    def tells():
        sentry_sdk.capture_message("told")
        logging.getLogger("app").error("logged")

    report = task_of(huey, plain, tells)
    run(huey, report)
    run(huey, report)
    assert [(title(event), len(shown(event))) for event in sentry.events] == [
        ("told", 1),
        ("logged", 1),
    ]


def test_events_of_no_task_show_none(start, install, make_huey):
    """What the application captures elsewhere is none of the task's."""
    sentry, huey = start(), make_huey()
    install(huey)
    run(huey, task_of(huey, plain))
    sentry_sdk.capture_message("a request")
    assert [shown(event) for event in sentry.events] == [[]]


def test_of_nested_tasks_the_innermost_counts(start, install, make_huey):
    """In immediate mode a task runs inside of the one that enqueues it."""
    sentry, huey = start(), make_huey(immediate=True)
    install(huey)
    inner = task_of(huey, broken, name="inner")

    def outer_runs_inner():
        inner()
        sentry_sdk.capture_message("told")

    outer = task_of(huey, plain, outer_runs_inner, name="outer")
    outer()
    outer()
    assert [(title(event), len(shown(event))) for event in sentry.events] == [
        ("ValueError", 0),
        ("told", 1),
    ]


def test_the_task_is_found_among_other_executes(start, install, make_huey):
    """Other libraries have an ``_execute`` of their own, and other code may wrap Huey's."""
    sentry, huey = start(), make_huey()
    inner = huey._execute
    huey._execute = lambda task, timestamp=None: inner(task, timestamp)
    install(huey)

    def _execute(task="a statement"):
        sentry_sdk.capture_message("told")

    report = task_of(huey, plain, _execute)
    run(huey, report)
    run(huey, report)
    assert [(title(event), len(shown(event))) for event in sentry.events] == [("told", 1)]


@pytest.mark.parametrize(("preset", "count"), [("observe", 1), ("quiet-locks", 1), ([], 0)])
def test_the_presets_that_leave_breadcrumbs(start, install, make_huey, preset, count):
    """Those that count lock errors also show them."""
    sentry, huey = start(), make_huey()
    install(huey, preset)
    report = task_of(huey, plain, broken)
    run(huey, report)
    run(huey, report)
    assert [len(shown(event)) for event in sentry.events] == [count]


def test_switched_off_nothing_is_shown(start, install, make_huey):
    """With ``sentry=False`` no skip is shown, and every event is sent as on bare Huey."""
    sentry, huey = start(), make_huey()
    install(huey, sentry=False)
    report = task_of(huey, plain, wrapped, broken)
    for _ in range(3):
        run(huey, report)
    assert [(title(event), shown(event)) for event in sentry.events] == [
        ("Busy", []),
        ("ValueError", []),
    ]
