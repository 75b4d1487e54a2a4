"""Bad input is refused when it is given, with the offender, the value and what is allowed."""

from __future__ import annotations

import functools
import types
from decimal import Decimal
from unittest.mock import MagicMock, Mock

import pytest
from huey import MemoryHuey
from huey.exceptions import CancelExecution

from huey_signals_kit import (
    Registry,
    Verdict,
    expire,
    get_kit,
    install_handlers,
    register_preset,
    uninstall_handlers,
)
from huey_signals_kit.handlers import RescheduleLocked, expire_lock_errors
from tests.support import run_all


def handler(event):
    """A good handler."""


def two_arguments(signal, task, exc=None):
    """A receiver as Huey takes it, not a handler."""


async def coroutine(event):
    """Huey has no event loop."""


def generator(event):
    """Calling it does nothing."""
    yield


class AsyncCallable:
    async def __call__(self, event):
        """Just as bad."""


async def asynchronous_generator(event):
    """Calling it makes an object."""
    yield


class AsyncMethods:
    async def tell(self, event):
        """Never awaited."""

    @staticmethod
    def walk(event):
        """Never walked through."""
        yield

    nested = functools.partialmethod(tell)


class CallsAsync:
    __call__ = AsyncCallable()


class Plain:
    """A class, not a handler."""

    def __init__(self, event):
        """Takes one event."""


TASKS = MemoryHuey("tasks")
TASK = TASKS.task()(handler)

# A call of one makes an object, which is always true, and runs nothing of what it says.
UNRUN = {
    "a coroutine function": (coroutine, "coroutine function"),
    "a generator function": (generator, "generator function"),
    "an asynchronous generator": (asynchronous_generator, "asynchronous generator function"),
    "a partial of a coroutine": (functools.partial(coroutine), "coroutine function"),
    "a partial of a partial": (
        functools.partial(functools.partial(asynchronous_generator)),
        "asynchronous generator function",
    ),
    "an async call": (AsyncCallable(), "coroutine function"),
    "a partial of an async call": (functools.partial(AsyncCallable()), "coroutine function"),
    "a call that is an async call": (CallsAsync(), "coroutine function"),
    "an async method": (AsyncMethods().tell, "coroutine function"),
    "a partial method": (AsyncMethods().nested, "coroutine function"),
    "a static generator method": (AsyncMethods.walk, "generator function"),
    "a class": (Plain, "is the class"),
    "a partial of a class": (functools.partial(Plain), "is the class"),
    "a task": (TASK, "is the task"),
    "a partial of a task": (functools.partial(TASK), "is the task"),
    "a task's schedule": (TASK.schedule, "is the task"),
    "a task class": (TASK.task_class, "is the class"),
    "a lock": (TASKS.lock_task("x"), "is the object of Huey"),
}


@pytest.mark.parametrize("what", ["the handler of on()", "when= of on()", "clean_tokens="])
@pytest.mark.parametrize(("given", "text"), UNRUN.values(), ids=UNRUN)
def test_what_would_never_run_is_refused(what, given, text):
    """As a handler, and as a predicate, which would always be true."""
    give = {
        "the handler of on()": lambda: Registry().add(given),
        "when= of on()": lambda: Registry().on(when=given),
        "clean_tokens=": installing(clean_tokens=given),
    }[what]
    with pytest.raises(TypeError) as refused:
        give()
    assert str(refused.value).startswith(what)
    assert text in str(refused.value)
    assert "give a" in str(refused.value)


@pytest.mark.parametrize("given", [coroutine, generator, functools.partial(coroutine)])
def test_a_preset_or_a_sink_that_would_never_run_is_refused(given):
    """It would register or send nothing, in silence."""

    class Sink:
        send = staticmethod(given)

    for give in (lambda: register_preset("unrun")(given), installing(sinks=Sink())):
        with pytest.raises(TypeError, match="whose body would never run"):
            give()


def decorated(function):
    """A decorator that hides what it has decorated, as most do."""
    return lambda event: function(event)


@pytest.mark.parametrize("hidden", [generator, asynchronous_generator, AsyncMethods.walk])
def test_a_predicate_that_hides_what_never_runs_is_refused_when_it_answers(make_huey, hidden):
    """It is the handler's failure, whose body does not run; no token is deleted."""
    huey = make_huey()
    kit = install_handlers(huey, clean_tokens=decorated(hidden))
    kit.on("revoked", when=decorated(hidden), name="picky")(lambda event: pytest.fail("it ran"))
    result = huey.task()(lambda: None)()
    huey.revoke_by_id(result.id)
    run_all(huey)
    assert kit.count("huey_handler_errors_total", handler="picky") == 1
    assert kit.count("huey_handler_errors_total") == 2
    assert huey.storage.has_data_for_key(f"r:{result.id}")


@pytest.mark.parametrize(
    ("priority", "order"), [(float("inf"), ["given", "zero"]), (-1e300, ["zero", "given"])]
)
def test_any_float_is_a_priority(priority, order):
    """Infinity as well: it is before all others."""
    registry = Registry()
    registry.add(handler, name="zero")
    registry.add(handler, name="given", priority=priority)
    assert [each.name for each in registry] == order


def plain_function():
    """Not a task."""


def on(*signals, **options):
    return lambda: Registry().on(*signals, **options)


def adding(function):
    return lambda: Registry().add(function)


def installing(**options):
    return lambda: install_handlers(MemoryHuey("bad"), **options)


REFUSED = {
    "misspelt signal": (on("lockd"), ValueError, "unknown signal 'lockd'. Did you mean 'locked'?"),
    "signal in capitals": (on("LOCKED"), ValueError, "Did you mean 'locked'?"),
    "signal of another type": (on(3), TypeError, "takes names of signals, got 3"),
    "signals in a list": (on(["locked"]), TypeError, "['locked']; write them one after the other"),
    "a handler that was not made": (
        lambda: Registry().add(RescheduleLocked, "locked"),
        TypeError,
        "RescheduleLocked, which makes one; call it",
    ),
    "a handler's maker": (
        lambda: Registry().add(expire_lock_errors, "locked"),
        TypeError,
        "expire_lock_errors, which makes one; call it",
    ),
    "on without parentheses": (on(handler), TypeError, "write @on() with parentheses"),
    "exceptions: an instance": (on(exceptions=ValueError()), TypeError, "got ValueError()"),
    "exceptions: a name": (on(exceptions="ValueError"), TypeError, "got 'ValueError'"),
    "exceptions: none": (on(exceptions=()), ValueError, "matches nothing"),
    "tasks: no dot": (on(tasks="add"), ValueError, "can match no 'module.name'; write '*.add'"),
    "tasks: a plain function": (on(tasks=plain_function), TypeError, "@huey.task() first"),
    "tasks: a number": (on(tasks=[3]), TypeError, "got 3"),
    "tasks: an empty glob": (on(tasks=""), ValueError, "got '', which matches nothing"),
    "tasks: a space before": (on(tasks=" a.*"), ValueError, "write 'a.*' without the space"),
    "tasks: a space after": (on(tasks=["a.*", "b.* "]), ValueError, "got 'b.* ', which"),
    "tasks: several in one": (on(tasks="a.b,c.d"), ValueError, "write a list, ['a.b', 'c.d']"),
    "tasks: an open bracket": (on(tasks="a.["), ValueError, "'[' is never closed"),
    "tasks: an empty bracket": (on(tasks="a.[]"), ValueError, "'[' is never closed"),
    "tasks: nothing but not": (on(tasks="a.[!]"), ValueError, "'[' is never closed"),
    "tasks: a range backwards": (on(tasks="a.[z-b]"), ValueError, "an empty range"),
    "tasks: no module": (on(tasks=".a"), ValueError, "no empty part"),
    "tasks: no name": (on(tasks="a."), ValueError, "no empty part"),
    "tasks: two dots": (on(tasks="a..b"), ValueError, "no empty part"),
    "tasks: none": (on(tasks=[]), ValueError, "matches nothing"),
    "when: no function": (on(when=True), TypeError, "when= of on() is not callable: True"),
    "when: no argument": (on(when=lambda: True), TypeError, "exactly one argument, the Event"),
    "priority: a string": (on(priority="high"), TypeError, "takes a number, got 'high'"),
    "priority: a bool": (on(priority=True), TypeError, "takes a number, got True"),
    "priority: nan": (on(priority=float("nan")), ValueError, "nan, which has no order"),
    "priority: beyond floats": (
        on(priority=10**400),
        ValueError,
        "no float can hold; it takes numbers from -2e+308 to 2e+308",
    ),
    "priority: far below": (on(priority=-(10**400)), ValueError, "no float can hold"),
    "name: empty": (on(name=" "), TypeError, "name= of on() takes a string"),
    "handler: no function": (adding("drop"), TypeError, "is not callable: 'drop'"),
    "handler: Huey's form": (adding(two_arguments), TypeError, "(signal, task, exc=None), must"),
    "handler: no argument": (adding(plain_function), TypeError, "exactly one argument"),
    "include: no registry": (lambda: Registry().include([]), TypeError, "takes a Registry, got []"),
    "registry: bad name": (lambda: Registry(3), TypeError, "is a string, got 3"),
    "preset: misspelt": (
        installing(preset="quiet-lock"),
        ValueError,
        "unknown preset 'quiet-lock'. Did you mean 'quiet-locks'? "
        "The presets are 'brief-locks', 'observe', 'quiet-locks', 'reschedule-locks', "
        "'tidy-tokens'",
    ),
    "preset: far off": (installing(preset="zzz"), ValueError, "The presets are"),
    "preset: None": (installing(preset=None), TypeError, "pass [] for no preset"),
    "preset: in a list": (installing(preset=["observe", 3]), TypeError, "got 3"),
    "registry=": (installing(registry=[]), TypeError, "registry= takes a Registry, got []"),
    "lock_exceptions=": (installing(lock_exceptions=["x"]), TypeError, "got 'x'"),
    "clean_tokens: misspelt": (
        installing(clean_tokens="alway"),
        ValueError,
        "Did you mean 'always'? Allowed are 'always', 'generated', 'never' and a function",
    ),
    "clean_tokens: a bool": (installing(clean_tokens=True), TypeError, "got True"),
    "clean_tokens: no argument": (installing(clean_tokens=lambda: 1), TypeError, "one argument"),
    "unknown option": (
        installing(clean_token="never"),
        TypeError,
        "install_handlers() has no option 'clean_token' (given as 'never'). "
        "Did you mean 'clean_tokens'? Its options are 'clean_tokens', 'lock_exceptions', "
        "'preset', 'quiet_logs', 'registry', 'replace', 'sentry', 'sinks', 'stale_after', "
        "'stale_locks', 'sweep_interval'",
    ),
    "presets=": (
        installing(presets="observe"),
        TypeError,
        "install_handlers() has no option 'presets' (given as 'observe'). Did you mean 'preset'?",
    ),
    "sweep_interval: a string": (
        installing(sweep_interval="60"),
        TypeError,
        "sweep_interval= takes a number of seconds, got '60'",
    ),
    "sweep_interval: too short": (
        installing(sweep_interval=1),
        ValueError,
        "sweep_interval= takes at least 15 seconds, got 1: processes write every 5 seconds",
    ),
    "stale_after: no number": (
        installing(stale_after=True),
        TypeError,
        "stale_after= takes a number of seconds, got True",
    ),
    "stale_after: too short": (
        installing(stale_after=29.9),
        ValueError,
        "stale_after= takes at least 30 seconds, got 29.9: a process that is merely busy",
    ),
    "stale_after: never": (
        installing(stale_after=float("inf")),
        ValueError,
        "stale_after= takes seconds above 0, got inf",
    ),
    "unknown filter": (
        on(exception=ValueError),
        TypeError,
        "on() has no option 'exception' (given as <class 'ValueError'>). "
        "Did you mean 'exceptions'?",
    ),
    "unknown filter of add": (
        lambda: Registry().add(handler, task="*.x"),
        TypeError,
        "add() has no option 'task' (given as '*.x'). Did you mean 'tasks'?",
    ),
    "replace=": (installing(replace="yes"), TypeError, "takes True or False, got 'yes'"),
    "lock_exceptions: too wide": (installing(lock_exceptions=Exception), ValueError, "every error"),
    "lock_exceptions: no error": (
        installing(lock_exceptions=(KeyError, CancelExecution)),
        ValueError,
        "got CancelExecution, for which Huey does not emit SIGNAL_ERROR",
    ),
    "lock_exceptions: an exit": (
        installing(lock_exceptions=KeyboardInterrupt),
        ValueError,
        "got KeyboardInterrupt, for which Huey does not emit SIGNAL_ERROR",
    ),
    "expire: zero": (lambda: expire(0), ValueError, "expire() takes seconds above 0 and at most"),
    "expire: negative": (lambda: expire(-1), ValueError, "got -1"),
    "expire: nan": (lambda: expire(float("nan")), ValueError, "got nan"),
    "expire: inf": (lambda: expire(float("inf")), ValueError, "got inf"),
    "expire: far too long": (lambda: expire(1e300), ValueError, "at most 315,360,000, got 1e+300"),
    "expire: a bool": (lambda: expire(True), TypeError, "takes a number of seconds, got True"),
    "expire: a string": (lambda: expire("60"), TypeError, "got '60'"),
    "expire: a decimal": (lambda: expire(Decimal(60)), TypeError, "got Decimal('60')"),
    "expire: nothing": (lambda: expire(None), TypeError, "got None"),
    "expiring handler": (lambda: expire_lock_errors(0), ValueError, "got 0"),
    "verdict of one's own": (lambda: Verdict("dorp"), ValueError, "no verdict 'dorp'; use KEEP"),
    "uninstalling nothing": (
        lambda: uninstall_handlers(None),
        TypeError,
        "uninstall_handlers() takes a Huey, got None",
    ),
    "not a Huey": (lambda: install_handlers("huey"), TypeError, "takes a Huey, got 'huey'"),
    "Django's settings": (
        lambda: install_handlers({"name": "web", "immediate": False}),
        TypeError,
        "in the ready() of an AppConfig, install the kit on the Huey that djhuey makes from them: "
        "from huey.contrib.djhuey import HUEY; install_handlers(HUEY)",
    ),
    "a class of Huey": (
        lambda: install_handlers(MemoryHuey),
        TypeError,
        "which is a class; make an instance: MemoryHuey('my-app')",
    ),
    "a module with a Huey": (
        lambda: install_handlers(types.SimpleNamespace(HUEY=MemoryHuey("inner"))),
        TypeError,
        "its attribute 'HUEY' is one",
    ),
    "get_kit of nothing": (lambda: get_kit(None), TypeError, "get_kit() takes a Huey, got None"),
    "preset without a name": (lambda: register_preset(""), TypeError, "takes a name"),
    "preset by bare decorator": (lambda: register_preset(handler), TypeError, "takes a name"),
    "preset that exists": (
        lambda: register_preset("observe")(handler),
        ValueError,
        "choose another name",
    ),
    "preset not callable": (lambda: register_preset("x")(3), TypeError, "is not callable: 3"),
}


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_name(call, error, text):
    """Each refusal says what was given and what would do."""
    with pytest.raises(error) as refused:
        call()
    assert text in str(refused.value)


def test_refused_arguments_leave_the_huey_alone():
    """Validate, then mutate."""
    huey = MemoryHuey("refused")
    before = dict(vars(huey))
    with pytest.raises(ValueError, match="unknown preset"):
        install_handlers(huey, preset="nope")
    assert vars(huey) == before
    assert list(huey._signal.receivers) == ["any"]


@pytest.mark.parametrize(
    "good",
    [
        lambda event, *rest, **more: None,
        functools.partial(two_arguments, "x"),
        functools.partial(functools.partial(two_arguments), "x"),
        Mock(),
        MagicMock(spec=handler),
        [].append,
        print,
        TASK.call_local,
        functools.partial(str.join, ","),
        functools.partial(Mock()),
        type("Callable", (), {"__call__": lambda self, event: None})(),
    ],
)
def test_whatever_takes_one_event_is_welcome(good):
    """Partials, builtins, methods, objects with a call."""
    assert Registry().add(good).name


def test_a_value_with_a_broken_repr_is_still_refused_by_name():
    """The error about a bad value must not be an error in its repr."""

    class Broken:
        def __repr__(self):
            raise RuntimeError("no repr")

    with pytest.raises(TypeError, match="Broken whose repr raises RuntimeError"):
        install_handlers(Broken())
