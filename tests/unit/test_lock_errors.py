"""What counts as a lock error."""

from __future__ import annotations

import builtins

import pytest
from huey.exceptions import CancelExecution, RetryTask, TaskLockedException
from redis.exceptions import LockError, LockNotOwnedError

from huey_signals_kit._lock_errors import LockErrors, lock_name

DEFAULT = LockErrors()
ExceptionGroup = getattr(builtins, "ExceptionGroup", None)


class Busy(Exception):
    """A task's own name for a lock that it did not get."""


class Locked(TaskLockedException):
    """A subclass of Huey's exception."""


def locked(name="report"):
    return TaskLockedException(f"unable to acquire lock {name}")


def wrapped(cause, outer=None):
    """`raise outer from cause`."""
    outer = outer or Busy("busy")
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    "exception",
    [
        locked(),
        Locked("mine"),
        wrapped(locked()),
        wrapped(wrapped(wrapped(locked()))),
        LockError("Unable to acquire lock within the time specified"),
        wrapped(LockError("Unable to acquire lock within the time specified")),
        # Huey's own exception is judged by itself, whatever it was raised from.
        wrapped(ValueError("connection lost"), locked()),
    ],
)
def test_lock_errors_are_recognised(exception):
    """Huey's exception, its subclasses, redis' "not acquired" and what is raised from them."""
    assert DEFAULT.match(exception)


@pytest.mark.parametrize(
    "exception",
    [
        None,
        ValueError("broken"),
        wrapped(ValueError("broken")),
        wrapped(wrapped(ConnectionError("gone"), LockError("Unable to acquire lock"))),
        LockNotOwnedError("Cannot release a lock that's no longer owned"),
        wrapped(LockNotOwnedError("Cannot acquire")),
        LockError("Cannot reacquire an unlocked lock"),
        LockError("Cannot extend an unlocked lock"),
        wrapped(locked(), RetryTask()),
        wrapped(locked(), CancelExecution()),
    ],
)
def test_real_errors_are_not_lock_errors(exception):
    """A lock lost while working, misuse, a cause that is broken: all real."""
    assert not DEFAULT.match(exception)


def test_an_error_that_merely_happened_while_handling_a_lock_error_is_real():
    """``__context__`` alone does not make a lock error."""

    def clean_up():
        try:
            raise locked()
        except TaskLockedException:
            raise ValueError("broken while cleaning up")  # noqa: B904

    with pytest.raises(ValueError, match="broken while") as raised:
        clean_up()
    assert isinstance(raised.value.__context__, TaskLockedException)
    assert not DEFAULT.match(raised.value)


def test_raise_from_none_hides_the_lock_error():
    """``from None`` says that the lock error is not the reason."""

    def give_no_reason():
        try:
            raise locked()
        except TaskLockedException:
            raise Busy("no reason given") from None

    with pytest.raises(Busy) as raised:
        give_no_reason()
    assert not DEFAULT.match(raised.value)


@pytest.mark.skipif(ExceptionGroup is None, reason="exception groups came in 3.11")
class TestGroups:
    def test_a_group_of_lock_errors_only_is_one(self):
        """Every leaf counts, at any depth, also where leaves share a cause."""
        cause = locked("shared")
        inner = ExceptionGroup("inner", [wrapped(cause), wrapped(cause), locked("b")])
        assert DEFAULT.match(ExceptionGroup("outer", [locked("a"), inner]))

    def test_one_real_leaf_makes_a_group_real(self):
        """One real error among lock errors must not be lost."""
        assert not DEFAULT.match(ExceptionGroup("outer", [locked(), ValueError("broken")]))

    def test_a_real_leaf_counts_even_where_the_group_was_raised_from_a_lock_error(self):
        """The chain of a group does not speak for its leaves."""
        assert not DEFAULT.match(wrapped(locked(), ExceptionGroup("g", [ValueError("broken")])))

    def test_an_exception_raised_from_a_group_of_lock_errors_is_one(self):
        """A chain may end in a group."""
        assert DEFAULT.match(wrapped(ExceptionGroup("g", [locked("a"), locked("b")])))

    def test_a_group_whose_leaf_is_raised_from_the_group_ends(self):
        """A circle through a group has no end and is no lock error."""
        leaf = Busy("leaf")
        group = ExceptionGroup("g", [leaf])
        leaf.__cause__ = group
        assert not DEFAULT.match(group)


def test_a_circular_chain_ends_where_it_would_begin_again():
    """``raise exc from exc`` and longer circles are answered, not followed for ever."""
    own = LockError("Unable to acquire lock")
    own.__cause__ = own
    outer = Busy("busy")
    inner = wrapped(outer, LockError("Unable to acquire lock"))
    outer.__cause__ = inner
    real = ValueError("broken")
    real.__cause__ = real
    assert (DEFAULT.match(own), DEFAULT.match(outer), DEFAULT.match(real)) == (True, True, False)


def test_a_very_long_chain_is_followed_to_its_end():
    """Chains are walked, not recursed into."""
    exception: BaseException = locked("deep")
    for _ in range(50_000):
        exception = wrapped(exception)
    assert DEFAULT.match(exception)
    assert lock_name(exception) == "deep"


def test_given_exceptions_replace_the_default_set():
    """``lock_exceptions=Busy`` makes Huey's own exception an ordinary one."""
    mine = LockErrors(Busy)
    assert mine.match(Busy("busy"))
    assert mine.match(wrapped(Busy("busy"), ValueError("outer")))
    assert mine.match(wrapped(KeyError("because"), Busy("busy")))
    assert not mine.match(locked())


def test_a_class_given_by_name_counts_with_its_subclasses():
    """Who lists redis' LockError means all of it."""
    assert LockErrors((LockError,)).match(LockNotOwnedError("lost"))


@pytest.mark.parametrize("given", ["Busy", (Busy, "Busy"), 3, (ValueError(),), dict])
def test_what_is_no_exception_class_is_refused(given):
    """The error shows the value and the form."""
    with pytest.raises(TypeError, match=r"lock_exceptions takes exception classes, got .*write"):
        LockErrors(given)


@pytest.mark.parametrize(
    ("exception", "name"),
    [
        (locked("media:17"), "media:17"),
        (locked("two words\nand a line"), "two words\nand a line"),
        (TaskLockedException("unable to set lock: old"), "old"),
        (TaskLockedException("unable to acquire lock: semaphore"), "semaphore"),
        (wrapped(locked("inner")), "inner"),
        (LockError("Unable to acquire lock within the time", lock_name="redis"), "redis"),
        (LockError("Unable to acquire lock within the time", lock_name=b"raw\xff"), "raw\ufffd"),
        (LockError("Unable to acquire lock within the time"), None),
        (TaskLockedException("a text of my own"), None),
        (TaskLockedException(), None),
        (ValueError("unable to acquire lock x"), None),
        (None, None),
    ],
)
def test_the_lock_is_named_where_the_exception_names_it(exception, name):
    """The texts of every Huey, redis' attribute, and None rather than a guess."""
    assert lock_name(exception) == name
