"""Decide which exceptions are lock errors: another task held the lock, and nothing is broken."""

from __future__ import annotations

import builtins
import re
import sys
from typing import Any

from huey.exceptions import TaskLockedException

from ._checks import short
from .huey_internals.facts import NEVER_SIGNAL_ERROR

# The texts of Huey 2.5 and later, of 2.4, and of its semaphore.
_HUEY_TEXTS = ("unable to acquire lock ", "unable to set lock: ", "unable to acquire lock: ")

# redis-py uses one class for "not acquired" and for misuse ("Cannot reacquire an unlocked lock").
_NOT_ACQUIRED = re.compile(r"\bacquire", re.IGNORECASE)

_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None)
"""The class of exception groups; None before Python 3.11."""

# Whether these are lock errors depends on their class alone, not on their causes.
_WITHOUT_CHAIN = (TaskLockedException, *NEVER_SIGNAL_ERROR)


class LockErrors:
    """The exceptions that count as lock errors.

    Args:
        exceptions: Exception classes that replace the default set, which is
            ``TaskLockedException`` with its subclasses, and ``redis.exceptions.LockError`` where
            it means "not acquired".
    """

    __slots__ = ("_classes",)

    def __init__(self, exceptions: object = None) -> None:
        self._classes = None if exceptions is None else _validate_classes(exceptions)

    def match(self, exception: BaseException | None) -> bool:
        """Return whether the exception that a task raised is a lock error.

        For ``TaskLockedException`` and the classes that the user named, the class decides. For any
        other exception the end of its explicit chain (``raise .. from``) decides, and for an
        exception group all of its leaves. An exception that was merely raised while a lock error
        was handled (``__context__``) is a real error.
        """
        if isinstance(exception, self._classes or TaskLockedException):
            return True
        if exception is None or isinstance(exception, _WITHOUT_CHAIN):
            return False
        # Hot path of every failed task: most exceptions have no cause, and are no group.
        if exception.__cause__ is None and not _group_members(exception):
            return self._classes is None and _is_redis_not_acquired(exception)
        causes = _root_causes(exception)
        return bool(causes) and all(map(self._class_matches, causes))

    def _class_matches(self, exception: BaseException) -> bool:
        if self._classes is not None:
            return isinstance(exception, self._classes)
        return isinstance(exception, TaskLockedException) or _is_redis_not_acquired(exception)


def lock_name(exception: BaseException | None) -> str | None:
    """Return the name of the lock that was not acquired; None if the exception does not have it."""
    if isinstance(exception, TaskLockedException):
        return _lock_name_in(str(exception))
    if exception is None:
        return None
    return next((name for name in map(_own_lock_name, _root_causes(exception)) if name), None)


def _own_lock_name(exception: BaseException) -> str | None:
    if isinstance(exception, TaskLockedException):
        return _lock_name_in(str(exception))
    if not _is_redis_not_acquired(exception):
        return None
    name: Any = getattr(exception, "lock_name", None)  # redis-py 5.1
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    return name if isinstance(name, str) else None


def _lock_name_in(text: str) -> str | None:
    for beginning in _HUEY_TEXTS:
        if text.startswith(beginning):
            return text[len(beginning) :] or None
    return None


def _is_redis_not_acquired(exception: BaseException) -> bool:
    redis: Any = sys.modules.get("redis.exceptions")  # not imported: none was raised
    if redis is None or not isinstance(exception, redis.LockError):
        return False
    if isinstance(exception, redis.LockNotOwnedError):
        return False
    return bool(_NOT_ACQUIRED.search(str(exception)))


def _root_causes(exception: BaseException) -> list[BaseException]:
    """Return the last cause of an exception, or of each leaf if there is an exception group.

    Causes are followed by ``__cause__``. A chain that contains itself ends where it would repeat.
    """
    causes: list[BaseException] = []
    waiting, seen = [exception], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        chain = {id(node)}
        waiting += _group_members(node)
        while (cause := node.__cause__) is not None and id(cause) not in chain:
            chain.add(id(cause))
            node = cause
            waiting += _group_members(node)
        seen |= chain
        if not _group_members(node):
            causes.append(node)
    return causes


def _group_members(exception: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions in an exception group; none if `exception` is no group."""
    group = _GROUP or getattr(sys.modules.get("exceptiongroup"), "BaseExceptionGroup", None)
    return exception.exceptions if group and isinstance(exception, group) else ()


def _validate_classes(exceptions: object) -> tuple[type[BaseException], ...]:
    classes = exceptions if isinstance(exceptions, (tuple, list)) else (exceptions,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(
                f"lock_exceptions takes exception classes, got {short(each)}; "
                "write lock_exceptions=(MyBusyError,)"
            )
        if not issubclass(each, Exception) or issubclass(each, NEVER_SIGNAL_ERROR):
            raise ValueError(
                f"lock_exceptions got {each.__name__}, for which Huey does not emit SIGNAL_ERROR; "
                "name exceptions that inherit from Exception and that tasks raise"
            )
        if each is Exception:
            raise ValueError(
                "lock_exceptions got Exception, so every error would be a lock error; "
                "name the classes that mean a busy lock"
            )
    return tuple(classes)
