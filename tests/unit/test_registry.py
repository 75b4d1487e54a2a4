"""Registries: order, composition, filters, isolation."""

from __future__ import annotations

import gc
import logging
from types import SimpleNamespace

import pytest
from huey import MemoryHuey
from huey.exceptions import TaskLockedException
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_REVOKED

from huey_signals_kit import DROP, KEEP, Event, Registry
from huey_signals_kit.dispatch import handler as handler_module
from huey_signals_kit.dispatch.filters import TaskFilter, validate_tasks
from huey_signals_kit.verdict import Verdict

HUEY = MemoryHuey("registry-tests")


@HUEY.task()
def report():
    """A task to make events of."""


@HUEY.task(name="tidy")
def other():
    """Another one."""


def event(signal=SIGNAL_LOCKED, task=report, exception=None):
    return Event(signal, task.s(), HUEY, exception)


def recorder(log, name, answer=None):
    def handler(event):
        log.append(name)
        return answer

    return handler


def test_higher_priority_runs_earlier_and_equals_in_order_of_registration():
    """The whole order, priorities given as int and float."""
    registry, ran = Registry(), []
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", -1.5), ("e", 5)]:
        registry.add(recorder(ran, name), priority=priority)
    registry.dispatch(event())
    assert ran == ["b", "e", "a", "c", "d"]


def test_every_handler_runs_and_the_first_verdict_wins():
    """A verdict ends the question, not the running."""
    registry, ran = Registry(), []
    for name, answer in [("none", None), ("keep", KEEP), ("drop", DROP)]:
        registry.add(recorder(ran, name, answer))
    assert registry.dispatch(event()) is KEEP
    assert ran == ["none", "keep", "drop"]


def test_on_without_signals_hears_all_of_them():
    """Also signals that came with later versions of Huey."""
    registry, ran = Registry(), []
    registry.on()(recorder(ran, "any"))
    for signal in (SIGNAL_LOCKED, "enqueued", "rate-limited", "timeout"):
        registry.dispatch(event(signal))
    assert ran == ["any"] * 4


def test_on_returns_the_function_itself():
    """A decorated handler stays callable and testable."""

    def handler(event):
        return DROP

    assert Registry().on(SIGNAL_LOCKED)(handler) is handler


def test_the_same_registration_twice_runs_once():
    """A module that registers on import may be imported twice."""
    registry, ran = Registry(), []
    handler = recorder(ran, "once")
    first = registry.add(handler, SIGNAL_LOCKED, tasks="*.report")
    assert registry.add(handler, SIGNAL_LOCKED, tasks="*.report") is first
    registry.dispatch(event())
    assert ran == ["once"]


@pytest.mark.parametrize(
    ("filters", "matching"),
    [
        ({"exceptions": TaskLockedException}, {"locked report"}),
        ({"exceptions": (ValueError, TaskLockedException)}, {"locked report", "broken tidy"}),
        ({"tasks": "*.report"}, {"locked report", "bare report"}),
        ({"tasks": ["nothing.*", f"{__name__}.t?dy"]}, {"broken tidy"}),
        ({"tasks": other}, {"broken tidy"}),
        ({"tasks": [other, "*.report"]}, {"locked report", "bare report", "broken tidy"}),
        ({"tasks": report.task_class}, {"locked report", "bare report"}),
        ({"when": lambda e: e.exception is None}, {"bare report"}),
        ({"tasks": "*.report", "exceptions": ValueError}, set()),
    ],
)
def test_filters_let_through_what_they_name(filters, matching):
    """Each filter alone, lists of them, and two together (both must match)."""
    registry, ran = Registry(), []
    registry.add(ran.append, **filters)
    events = {
        "locked report": event(exception=TaskLockedException("unable to acquire lock x")),
        "bare report": event(SIGNAL_REVOKED),
        "broken tidy": event(SIGNAL_ERROR, other, ValueError("broken")),
    }
    for each in events.values():
        registry.dispatch(each)
    assert ran == [each for label, each in events.items() if label in matching]


def test_a_failing_handler_stops_nobody(caplog):
    """Handlers after it run, their verdict counts, and the failure is logged with a traceback."""
    registry, ran = Registry(), []

    @registry.on(name="broken", priority=1)
    def broken(event):
        raise ZeroDivisionError("in the handler")

    registry.add(recorder(ran, "after", DROP))
    with caplog.at_level(logging.ERROR, "huey_signals_kit"):
        assert registry.dispatch(event()) is DROP
    assert ran == ["after"]
    assert "broken" in caplog.text
    assert "ZeroDivisionError: in the handler" in caplog.text


class GreenletExit(BaseException):
    """Named like that of gevent, which ends a greenlet."""


class OwnExit(GreenletExit):
    """A subclass."""


@pytest.mark.parametrize("passing", [KeyboardInterrupt, SystemExit, GreenletExit, OwnExit])
def test_what_must_pass_passes(passing):
    """What ends a process, a thread or a greenlet is not a handler's failure."""
    registry = Registry()

    @registry.on()
    def stop(event):
        raise passing

    with pytest.raises(passing):
        registry.dispatch(event())


@pytest.mark.parametrize("answer", ["drop", True, 0, DROP.__class__])
def test_an_answer_that_is_no_verdict_is_a_failure(answer):
    """Returning "drop" for DROP is told to the author, and decides nothing."""
    registry, failures = Registry(), []
    registry.add(lambda event: answer, name="misspelt")
    verdict = registry.dispatch(event(), lambda handler, event, exc: failures.append(str(exc)))
    assert verdict is None
    assert len(failures) == 1
    assert "handler misspelt returned" in failures[0]
    assert "return KEEP, DROP, expire(seconds) or None" in failures[0]


def test_a_verdict_where_nothing_is_decided_is_a_failure():
    """A handler of signals that come too early or too late is told, a catch-all is not."""
    registry, failures = Registry(), []
    registry.add(lambda event: DROP, "retrying", "executing", name="late")
    registry.add(lambda event: DROP)
    registry.dispatch(event("retrying"), lambda handler, event, exc: failures.append(str(exc)))
    assert failures == [
        "handler late returned DROP, but listens only to 'executing', 'retrying': "
        "a verdict decides on 'canceled', 'error', 'locked', 'rate-limited', 'timeout'"
    ]


def test_a_predicate_that_raises_is_the_handlers_failure():
    """The handler does not run, the next one does."""
    registry, ran, failures = Registry(), [], []
    registry.add(recorder(ran, "guarded"), when=lambda event: 1 / 0)
    registry.add(recorder(ran, "next"))
    registry.dispatch(event(), lambda handler, event, exc: failures.append(type(exc)))
    assert (ran, failures) == (["next"], [ZeroDivisionError])


def test_include_is_live_through_every_level():
    """What is added to an included registry later runs too, and what is removed no longer."""
    low, middle, top, ran = Registry("low"), Registry("middle"), Registry("top"), []
    middle.include(low)
    top.include(middle)
    top.dispatch(event())
    late = low.add(recorder(ran, "late"))
    top.dispatch(event())
    low.remove(late)
    top.dispatch(event())
    assert ran == ["late"]


def test_a_registry_reached_by_two_ways_runs_once():
    """A diamond of includes is not a duplicate."""
    shared, left, right, top, ran = *(Registry() for _ in range(4)), []
    shared.add(recorder(ran, "shared"))
    for side in (left, right):
        side.include(shared)
        top.include(side)
    top.include(shared)
    top.include(shared)
    top.dispatch(event())
    assert ran == ["shared"]


def test_registries_that_are_equal_are_not_the_same():
    """A subclass may define ``==``; each object is included, and removed, by itself."""

    class Equal(Registry):
        def __eq__(self, other):
            return True

        __hash__ = Registry.__hash__

    outer, first, second = Registry(), Equal(), Equal()
    for inner in (first, second):
        inner.on("locked")(lambda event: None)
        outer.include(inner)
    assert len(outer) == 2
    outer.exclude(second)
    assert [*outer] == [*first]


def test_a_circle_of_includes_is_refused_and_changes_nothing():
    """Also the smallest circle, and one over three registries."""
    a, b, c = Registry("a"), Registry("b"), Registry("c")
    a.include(b)
    b.include(c)
    for outer, inner in [(c, a), (b, a), (a, a)]:
        with pytest.raises(ValueError, match="would make a circle"):
            outer.include(inner)
    c.add(recorder([], "x"), name="x")
    assert [handler.name for handler in a] == ["x"]


def test_or_and_copy_are_snapshots():
    """Later changes of the parts do not show."""
    a, b, ran = Registry("a"), Registry("b"), []
    a.add(recorder(ran, "a"))
    b.add(recorder(ran, "b"))
    both, copied = a | b, a.copy()
    a.add(recorder(ran, "late"))
    both.dispatch(event())
    copied.dispatch(event())
    assert ran == ["a", "b", "a"]
    with pytest.raises(TypeError, match="unsupported operand"):
        a | 3  # type: ignore[operator]


def test_the_same_registration_in_two_registries_runs_once_in_both():
    """By include, and by ``|``."""
    a, b, top, ran = Registry(), Registry(), Registry(), []
    handler = recorder(ran, "once")
    for registry in (a, b):
        registry.add(handler, SIGNAL_LOCKED)
        top.include(registry)
    top.dispatch(event())
    (a | b).dispatch(event())
    assert ran == ["once", "once"]


def test_remove_takes_a_handler_a_function_or_a_name():
    """And says so when there is nothing to remove."""
    registry = Registry("mine")
    one, two, three = (recorder([], name) for name in "123")
    handler = registry.add(one)
    registry.add(two, SIGNAL_LOCKED)
    registry.add(two, SIGNAL_ERROR)
    registry.add(three, name="third")
    registry.remove(handler)
    registry.remove(two)
    registry.remove("third")
    assert list(registry) == []
    with pytest.raises(LookupError, match=r"<Registry 'mine': empty> has no handler 'third'"):
        registry.remove("third")


def test_a_handler_that_removes_itself_skips_no_neighbour():
    """The running order is fixed before the first handler runs."""
    registry, ran = Registry(), []

    @registry.on()
    def once(event):
        registry.remove(once)
        ran.append("once")

    registry.add(recorder(ran, "neighbour"))
    registry.dispatch(event())
    registry.dispatch(event())
    assert ran == ["once", "neighbour", "neighbour"]


def test_a_handler_of_another_registry_can_be_added_as_it_is():
    """With its filters; giving filters besides is refused."""
    a, b, ran = Registry(), Registry(), []
    handler = a.add(recorder(ran, "a"), SIGNAL_ERROR)
    assert b.add(handler) is handler
    b.dispatch(event(SIGNAL_LOCKED))
    b.dispatch(event(SIGNAL_ERROR))
    assert ran == ["a"]
    with pytest.raises(TypeError, match="has filters already"):
        b.add(handler, SIGNAL_LOCKED)


def test_the_repr_reads_like_the_registration():
    """Signals, filters and priority of each handler, in running order."""
    registry = Registry("mine")
    registry.add(recorder([], ""), name="plain")
    registry.add(
        recorder([], ""),
        SIGNAL_LOCKED,
        exceptions=ValueError,
        tasks="reports.*",
        priority=2,
        name="narrow",
    )
    assert repr(registry) == (
        "<Registry 'mine': <narrow on locked exceptions=ValueError tasks=reports.* priority=2>, "
        "<plain on every signal>>"
    )


def test_an_empty_registry_is_true_and_can_be_asked():
    """`registry or default` must not throw an empty registry away."""
    registry = Registry()
    handler = recorder([], "")
    assert registry
    assert len(registry) == 0
    registry.add(handler, name="x")
    assert handler in registry
    assert "x" in registry
    assert "y" not in registry


def test_an_includer_that_is_gone_is_not_kept_alive():
    """The default registry outlives every kit and must not hold them."""
    low = Registry("low")
    for _ in range(3):
        Registry("short-lived").include(low)
    gc.collect()
    assert len(low._includers) == 0


@pytest.mark.parametrize(("action", "seconds"), [("expire", None), ("drop", 3.0), ("keep", 1.0)])
def test_only_an_error_that_expires_has_seconds(action, seconds):
    """A verdict is made by `expire`, `DROP` or `KEEP`."""
    with pytest.raises(ValueError, match=r"use expire\(\)"):
        Verdict(action, seconds)


def test_a_registry_that_is_included_twice_is_included_once():
    """And one that is excluded without being included changes nothing."""
    registry, other = Registry("one"), Registry("other")
    other.add(lambda event: None, name="only")
    registry.include(other)
    registry.include(other)
    registry.exclude(Registry("never included"))
    assert [each.name for each in registry] == ["only"]
    registry.exclude(other)
    assert list(registry) == []


def test_a_filter_of_tasks_equals_only_a_filter_of_the_same_tasks():
    """So a handler that is registered again with another filter is another one."""
    assert validate_tasks("a.*") == validate_tasks(["a.*"])
    assert validate_tasks("a.*") != validate_tasks("b.*")
    assert validate_tasks("a.*") != "a.*"
    assert isinstance(validate_tasks("a.*"), TaskFilter)


def test_an_exit_in_the_plan_of_a_verdict_stops_the_worker(monkeypatch):
    """As Huey and Python expect of ``SystemExit``."""

    class Plan:
        def start(self):
            raise SystemExit

    verdict = Verdict("drop", plan=Plan())
    registry = Registry("plans")
    registry.add(lambda event: verdict, "locked")
    with pytest.raises(SystemExit):
        handler_module.run(list(registry), SimpleNamespace(_signal="locked"), print)
