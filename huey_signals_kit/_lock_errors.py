"""What is a lock error: somebody else had the lock, and nothing is broken."""

from __future__ import annotations

import builtins
import re
import sys
from typing import Any

from huey.exceptions import TaskLockedException

from ._checks import short
from .huey_internals.facts import NEVER_SIGNAL_ERROR

# Of Huey 2.5 and later, of 2.4, and of its semaphore.
_HUEY_TEXTS = ("unable to acquire lock ", "unable to set lock: ", "unable to acquire lock: ")

# redis-py uses one class for "not acquired" and for misuse ("Cannot reacquire an unlocked lock").
_NOT_ACQUIRED = re.compile(r"\bacquire", re.IGNORECASE)


_JUDGED_BY_THEMSELVES = (TaskLockedException, *NEVER_SIGNAL_ERROR)


class LockErrors:
    """The exceptions that count as lock errors.

    *exceptions* replaces the default set: ``TaskLockedException`` with its subclasses,
    and ``redis.exceptions.LockError`` where it means "not acquired".
    """

    __slots__ = ("_classes",)

    def __init__(self, exceptions: object = None) -> None:
        self._classes = None if exceptions is None else _checked(exceptions)

    def match(self, exception: BaseException | None) -> bool:
        """Whether *exception*, as a task raised it, is a lock error.

        Huey's ``TaskLockedException``, or a class that the user has named, is judged by itself.
        Any other by the end of its explicit chain (``raise .. from``), a group by every one of
        its leaves. What merely happened while another exception was handled (``__context__``)
        is a real error.
        """
        if isinstance(exception, self._classes or TaskLockedException):
            return True
        if exception is None or isinstance(exception, _JUDGED_BY_THEMSELVES):
            return False
        ends = _ends(exception)
        return bool(ends) and all(map(self._is, ends))

    def _is(self, exception: BaseException) -> bool:
        if self._classes is not None:
            return isinstance(exception, self._classes)
        return isinstance(exception, TaskLockedException) or _is_redis_not_acquired(exception)


def lock_name(exception: BaseException | None) -> str | None:
    """The name of the lock that *exception* could not get, or None when it does not say."""
    if isinstance(exception, TaskLockedException):
        return _named_in(str(exception))
    if exception is None:
        return None
    return next((name for name in map(_own_lock_name, _ends(exception)) if name), None)


def _own_lock_name(exception: BaseException) -> str | None:
    if isinstance(exception, TaskLockedException):
        return _named_in(str(exception))
    if not _is_redis_not_acquired(exception):
        return None
    name: Any = getattr(exception, "lock_name", None)  # redis-py 5.1
    if isinstance(name, bytes):
        return name.decode("utf-8", "replace")
    return name if isinstance(name, str) else None


def _named_in(text: str) -> str | None:
    for beginning in _HUEY_TEXTS:
        if text.startswith(beginning):
            return text[len(beginning) :] or None
    return None


def _is_redis_not_acquired(exception: BaseException) -> bool:
    redis: Any = sys.modules.get("redis.exceptions")  # no such exception without it
    if redis is None or not isinstance(exception, redis.LockError):
        return False
    if isinstance(exception, redis.LockNotOwnedError):
        return False
    return bool(_NOT_ACQUIRED.search(str(exception)))


def _ends(exception: BaseException) -> list[BaseException]:
    """What *exception* comes down to: the ends of its explicit chain and of every leaf's.

    A chain that bites its own tail ends where it would begin again.
    """
    ends: list[BaseException] = []
    waiting, done = [exception], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in done:
            continue
        chain = {id(node)}
        waiting += _members(node)
        while (cause := node.__cause__) is not None and id(cause) not in chain:
            chain.add(id(cause))
            node = cause
            waiting += _members(node)
        done |= chain
        if not _members(node):
            ends.append(node)
    return ends


def _members(exception: BaseException) -> tuple[BaseException, ...]:
    group = getattr(builtins, "BaseExceptionGroup", None) or getattr(
        sys.modules.get("exceptiongroup"), "BaseExceptionGroup", None
    )
    return exception.exceptions if group and isinstance(exception, group) else ()


def _checked(exceptions: object) -> tuple[type[BaseException], ...]:
    classes = exceptions if isinstance(exceptions, (tuple, list)) else (exceptions,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise TypeError(
                f"lock_exceptions takes exception classes, got {short(each)}; "
                "write lock_exceptions=(MyBusyError,)"
            )
        if not issubclass(each, Exception) or issubclass(each, NEVER_SIGNAL_ERROR):
            raise ValueError(
                f"lock_exceptions got {each.__name__}, which never reaches SIGNAL_ERROR: "
                "Huey has another way for it"
            )
        if each is Exception:
            raise ValueError(
                "lock_exceptions got Exception, so every error would be a lock error; "
                "name the classes that mean a busy lock"
            )
    return tuple(classes)
