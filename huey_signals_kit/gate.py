"""Carries a verdict to the two places where Huey stores an error.

Huey calls ``build_error_result(task, exception)`` and then ``put_result(key, error)``: for the
task, for later stages of its pipeline and for its part of a chord. The verdict rides on the
exception to the first call and on the error from there to the second, so nothing is looked up
in a table and nothing needs cleaning up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from huey.exceptions import TaskException
from huey.utils import Error

from .verdict import DROP, KEEP, Verdict

_NOTE = "_huey_signals_kit_verdict"
_ERROR_LENGTH = 200


class _Note(threading.local):
    """The verdict on an exception, for one thread: a constant may be raised by several at once."""

    task: int = 0
    verdict: Verdict | None = None

    def __reduce__(self) -> tuple[type[bool], tuple[()]]:
        # Huey pickles exceptions for on_error tasks, maybe for a process without the kit.
        return (bool, ())


class _Suppressed(str):
    """Stands for the missing traceback of an error, and says whose results not to store.

    A value survives other code that copies the metadata into a dict of its own.
    """

    keys: frozenset[str]
    task_name: str
    verdict: Verdict

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, ("",))


def note(task: Any, exception: BaseException, verdict: Verdict | None) -> None:
    """Let *exception*, as *task* raised it just now, carry *verdict*; None clears an older one."""
    carried = exception.__dict__.get(_NOTE)
    if not isinstance(carried, _Note):
        if verdict is None:
            return
        carried = exception.__dict__[_NOTE] = _Note()
    carried.task, carried.verdict = id(task), verdict


def noted(task: Any, exception: BaseException) -> Verdict:
    """The verdict that *exception* carries for *task*; KEEP when there is none."""
    carried = exception.__dict__.get(_NOTE)
    if isinstance(carried, _Note) and carried.task == id(task) and carried.verdict:
        return carried.verdict
    return KEEP


class Gate:
    """Stands before ``build_error_result`` and ``put_result`` of one Huey.

    *decide* gives the verdict on a task's exception. *suppressed* is told of each result
    that is not stored: its key, the task's name and the verdict. *failed* is told when one
    of them raises: what could not be decided is stored as Huey does it.
    """

    def __init__(
        self,
        huey: Any,
        decide: Callable[[Any, BaseException], Verdict],
        suppressed: Callable[[str, str, Verdict], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        self._huey = huey
        self._decide = decide
        self._suppressed = suppressed
        self._failed = failed
        self._active = False
        self._placed: dict[str, Any] = {}
        self._found: dict[str, Any] = {}

    def install(self) -> None:
        """Put the gate before both methods, on this instance alone."""
        self._active = True
        for name, wrap in (
            ("build_error_result", self._wrap_build),
            ("put_result", self._wrap_put),
        ):
            if name in vars(self._huey):
                self._found[name] = vars(self._huey)[name]
            self._placed[name] = wrap(getattr(self._huey, name))
            setattr(self._huey, name, self._placed[name])

    def uninstall(self) -> None:
        """Let everything pass, and leave the Huey as it was found.

        Where other code has wrapped a method since, its wrapper stays, and the gate's part
        in it only passes on.
        """
        self._active = False
        for name, placed in self._placed.items():
            if vars(self._huey).get(name) is not placed:
                continue
            if name in self._found:
                setattr(self._huey, name, self._found[name])
            else:
                delattr(self._huey, name)

    def _wrap_build(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def build_error_result(task: Any, exception: BaseException) -> Any:
            if self._active:
                try:
                    verdict = self._decide(task, exception)
                    if verdict != KEEP:
                        return _small_metadata(task, exception, verdict)
                except Exception as exc:
                    self._failed("build_error_result", exc)
            return inner(task, exception)

        return build_error_result

    def _wrap_put(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def put_result(key: Any, data: Any) -> Any:
            if isinstance(data, Error) and self._holds_back(key, data):
                return None
            return inner(key, data)

        return put_result

    def _holds_back(self, key: Any, error: Any) -> bool:
        metadata = error.metadata
        mark = metadata.get("traceback") if isinstance(metadata, dict) else None
        # A part of a chord has a key of its own, is always written, and is small by now.
        if not self._active or not isinstance(mark, _Suppressed) or key not in mark.keys:
            return False
        try:
            self._suppressed(key, mark.task_name, mark.verdict)
        except Exception as exc:
            self._failed("put_result", exc)
        return mark.verdict == DROP


def _small_metadata(task: Any, exception: BaseException, verdict: Verdict) -> dict[str, Any]:
    mark = _Suppressed()
    mark.keys = frozenset(_stage_ids(task))
    mark.task_name = f"{type(task).__module__}.{type(task).__name__}"
    mark.verdict = verdict
    return {
        "error": _text(exception)[:_ERROR_LENGTH],
        "retries": task.retries,
        "traceback": mark,
        "task_id": task.id,
    }


def _text(exception: BaseException) -> str:
    told = exception.metadata.get("error") if isinstance(exception, TaskException) else None
    return str(told) if told else repr(exception)


def _stage_ids(task: Any) -> set[str]:
    ids: set[str] = set()
    while task is not None and task.id not in ids:
        ids.add(task.id)
        task = task.on_complete
    return ids
