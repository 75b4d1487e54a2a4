"""The gate: applies a verdict where Huey stores an error.

Huey calls ``build_error_result(task, exception)`` and then ``put_result(key, error)``, for the
task, for later stages of its pipeline and for its part of a chord. The verdict must reach both
calls. A table from task ids to verdicts would have to be cleaned up, and in immediate mode the same
task runs again while its first attempt is still being stored. So the verdict is attached to the
task, for this one exception, until the first call; from there to the second it is attached to the
texts in the error's metadata, which survive when other code copies the metadata. It is not attached
to the exception, because Huey pickles exceptions for ``on_error`` tasks, and an exception may be a
constant that several threads raise.

Whether an error is stored is decided by the first handler that returns a `Verdict`, which arrives
in `Gate.attach`, or by the task's own ``lock_errors``. `Gate._apply` carries the verdict out in
place of Huey's ``put_result``. A verdict with a `Plan` has the task run again: the plan is asked
when Huey calls ``_requeue_task``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any, Protocol

from huey.api import Huey
from huey.exceptions import TaskException, TaskLockedException
from huey.utils import Error

from ._checks import short
from ._lock_errors import lock_name
from .huey_internals.django_tasks import RUN_TASK, RUN_TASK_NAME, task_name
from .huey_internals.patch import MethodPatch
from .runtime.log import ErrorReporter
from .verdict import Verdict

_ATTACHED = "_huey_signals_kit_note"
"""The attribute of a task that has its verdict, see `Gate.attach`."""

_ERROR_LENGTH = 200
"""The most characters of an error's text that are stored."""

_LOCK_LENGTH = 60
"""The most characters of a lock's name before that text."""

StoreDecision = tuple[frozenset[str], str, Verdict]
"""The keys under which the error is not stored as usual, the task's name, and the verdict."""
PutError = Callable[[Error], Any]
"""Stores an error under its key."""


class TaskVerdicts(Protocol):
    """A reader of the tasks' own ``lock_errors``."""

    def verdict(self, task: Any, exception: BaseException, /) -> Verdict | None:
        """Return the verdict; None if the option is invalid, or this is not a lock error."""


class ExpiringErrors(Protocol):
    """A store of errors that expire."""

    def put(
        self, key: Any, error: Error, seconds: float, put_error: PutError | None, whole: bool, /
    ) -> Any:
        """Store an error for some seconds; return what the storage returned.

        Args:
            key: The key of the result.
            error: The error.
            seconds: Seconds until it expires.
            put_error: Stores the error by a ``put_result`` that is not Huey's own; None if the
                method is Huey's own.
            whole: Whether the text of the error is stored in full.
        """


class RecordChanges(Protocol):
    """The records that Huey's backend stores of Django's own tasks."""

    def apply(self, task: Any, exception: BaseException, verdict: Verdict, /) -> None:
        """Apply a verdict to the record of a failed task."""

    def reset(self, task: Any, exception_class: type, /) -> None:
        """Mark the record READY, because the task will run again."""


class GateReporter(ErrorReporter, Protocol):
    """A reporter of what the gate does."""

    def result_suppressed(self, task_id: str, task_name: str, verdict: Verdict, /) -> object:
        """Report an error that is not stored as Huey would store it."""


class _TaggedStr(str):
    """A text of an error, tagged with the decision of the gate.

    All texts that the kit writes are tagged, because other code may copy the metadata into a dict
    of its own and replace some of them. A tag survives copying; pickled, it is a plain string.
    """

    __slots__ = ("decision",)

    decision: StoreDecision

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (str(self),))

    def __deepcopy__(self, memo: object) -> _TaggedStr:
        return self


class Gate:
    """A patch of ``build_error_result``, ``put_result`` and ``_requeue_task`` of one Huey.

    If the kit's own code raises, the error is stored as Huey does.

    Args:
        huey: The Huey.
        task_option: Returns the verdicts of tasks with ``lock_errors`` of their own.
        expiry: Stores errors that expire.
        django_records: Changes the records of Django's own tasks.
        reporter: Counts and announces suppressed results, and logs failures.
    """

    def __init__(
        self,
        huey: Any,
        task_option: TaskVerdicts,
        expiry: ExpiringErrors,
        django_records: RecordChanges,
        reporter: GateReporter,
    ) -> None:
        self._task_verdict = task_option.verdict
        self._put_expiring = expiry.put
        self._django_records = django_records
        self._on_suppressed = reporter.result_suppressed
        self._on_failure = reporter.kit_failed
        self._gate_id = object()  # not the gate, which a task would keep alive
        self._active = False
        self._patch = MethodPatch(huey)

    def install(self) -> None:
        """Wrap the three methods of this instance."""
        self._active = True
        self._patch.wrap("build_error_result", self._wrap_build)
        self._patch.wrap("put_result", self._wrap_put)
        self._patch.wrap("_requeue_task", self._wrap_requeue)

    def uninstall(self) -> None:
        """Restore the methods, and apply no more verdicts.

        If other code has wrapped a method since, that wrapper stays, and the gate's wrapper inside
        it only calls the original.
        """
        self._active = False
        self._patch.remove()

    def attach(self, task: Any, exception: BaseException, verdict: Verdict | None) -> None:
        """Attach to `task` the verdict on the exception that it has just raised.

        Only the id of the exception is kept, so that the task keeps nothing alive. But an id does
        not name one exception: an exception may be a constant, or have the id of one that is gone,
        and in immediate mode the same task runs again. So the verdict is valid for one class of
        exception and one gate, and it is removed when Huey retries the task.
        """
        if verdict is not None or getattr(task, _ATTACHED, None) is not None:
            setattr(
                task, _ATTACHED, (verdict, id(exception), type(exception), self._gate_id, False)
            )

    def _resolve_verdict(self, task: Any, exception: BaseException) -> Verdict | None:
        """Return the verdict on an attempt; cancel its plan if Huey will not retry the task."""
        verdict: Verdict | None = None
        attached = getattr(task, _ATTACHED, None)
        if attached is not None and attached[1] == id(exception):
            verdict_of_task, _, cls, gate_id, _ = attached
            if cls is type(exception) and gate_id is self._gate_id:
                verdict = verdict_of_task
        if verdict is not None and verdict.plan is not None and not task.retries:
            # Another receiver has since set the retries to 0, so Huey will not run the task again.
            verdict.plan.cancel()
            delattr(task, _ATTACHED)
            verdict = None
        if getattr(task, "lock_errors", None) is not None or task.name == RUN_TASK:
            verdict = self._task_verdict(task, exception) or verdict
        return verdict

    def _apply_to_record(self, task: Any, exception: BaseException, verdict: Verdict) -> None:
        """Change the record of a Django task; once, although Huey 3.4.0 builds each error twice."""
        applied = (verdict, id(exception), type(exception), self._gate_id, True)
        if getattr(task, _ATTACHED, None) != applied:
            setattr(task, _ATTACHED, applied)
            self._django_records.apply(task, exception, verdict)

    def _wrap_build(self, original: Callable[..., Any]) -> Callable[..., Any]:
        is_overridden = not _is_hueys_own(original)

        def build_unless_verdict(task: Any, exception: BaseException) -> Any:
            # Hot path of every real error: True if `_resolve_verdict` cannot find a verdict.
            try:
                has_no_verdict = (
                    getattr(task, _ATTACHED, None) is None
                    and getattr(task, "lock_errors", None) is None
                    and task.name != RUN_TASK
                )
            except Exception:  # of a property of the user's; `build_error_result` logs it
                has_no_verdict = False
            return (original if has_no_verdict else build_error_result)(task, exception)

        def build_error_result(*args: Any, **options: Any) -> Any:
            verdict = None
            # Huey passes the task and the exception by position.
            if self._active and len(args) > 1:
                try:
                    verdict = self._resolve_verdict(args[0], args[1])
                    if verdict is not None and args[0].name == RUN_TASK and not args[0].retries:
                        self._apply_to_record(args[0], args[1], verdict)
                    if verdict is not None and verdict.action != "keep" and not is_overridden:
                        return _short_metadata(args[0], args[1], verdict)
                except Exception as exc:
                    self._on_failure("in build_error_result", exc)
            metadata = original(*args, **options)
            if verdict is None or not isinstance(metadata, dict):
                return metadata
            try:
                return _changed_metadata(metadata, args[0], verdict, is_overridden)
            except Exception as exc:
                self._on_failure("in build_error_result", exc)
                return metadata

        return build_error_result if is_overridden else build_unless_verdict

    def _wrap_requeue(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def _requeue_task(task: Any, timestamp: Any, *args: Any, **options: Any) -> Any:
            attached = getattr(task, _ATTACHED, None)
            if attached is not None:
                delattr(task, _ATTACHED)
                verdict: Verdict | None = attached[0]
                if verdict is not None and verdict.action != "keep" and task.name == RUN_TASK:
                    self._django_records.reset(task, attached[2])
                if verdict is not None and verdict.plan is not None:
                    return verdict.plan.requeue(original, timestamp)
            return original(task, timestamp, *args, **options)

        return _requeue_task

    def _wrap_put(self, original: Callable[..., Any]) -> Callable[..., Any]:
        is_hueys_own = _is_hueys_own(original)

        def put_result(key: Any, data: Any) -> Any:
            if type(data) is Error:
                decision = _attached_decision(data.metadata)
                if decision is not None:
                    # Another key is that of a part of a chord: the callback waits for the error.
                    if key not in decision[0]:
                        return original(key, _without_traceback(data))
                    put_error = None if is_hueys_own else partial(original, key)
                    return self._apply(decision, key, data, put_error)
            return original(key, data)

        def put_result_of_a_subclass(*args: Any, **options: Any) -> Any:
            data: Any = args[1] if len(args) > 1 else None
            if type(data) is Error:
                decision, (key, _, *further) = _attached_decision(data.metadata), args
                if decision is not None:
                    if key not in decision[0]:
                        return original(key, _without_traceback(data), *further, **options)
                    put_error = _bound(original, key, further, options)
                    return self._apply(decision, key, data, put_error)
            return original(*args, **options)

        # Hot path: called for every result, so the common signature has its own function.
        return (
            put_result if _has_parameters(original, ["key", "data"]) else put_result_of_a_subclass
        )

    def _apply(
        self, decision: StoreDecision, key: Any, error: Error, put_error: PutError | None
    ) -> Any:
        """Do what the verdict says: store the error for some seconds, or do not store it.

        Args:
            decision: The decision that is attached to the error.
            key: The key under which Huey would have stored the error.
            error: The error.
            put_error: As in `ExpiringErrors.put`.
        """
        _, task_name, verdict = decision
        stored = None
        if verdict.seconds is not None:
            whole = not isinstance(error.metadata.get("error"), _TaggedStr)
            stored = self._put_expiring(key, error, verdict.seconds, put_error, whole)
        try:
            self._on_suppressed(key, task_name, verdict)
        except Exception as exc:
            self._on_failure("in put_result", exc)
        return stored


def _without_traceback(error: Error) -> Error:
    """Return the error without the traceback that other code may have added to it."""
    if not error.metadata.get("traceback"):
        return error
    changed = copy(error.metadata)
    changed["traceback"] = ""
    return Error(changed)


def _has_parameters(function: Callable[..., Any], names: list[str]) -> bool:
    try:
        return list(inspect.signature(function).parameters) == names
    except (TypeError, ValueError):
        return False


def _bound(
    original: Callable[..., Any], key: Any, further: list[Any], options: dict[str, Any]
) -> PutError:
    """Return ``put_result`` with all of its arguments but the error."""
    return lambda error: original(key, error, *further, **options)


def _is_hueys_own(method: Callable[..., Any]) -> bool:
    # Not by `__name__` or `__module__`: functools.wraps copies both to a wrapper.
    function = getattr(method, "__func__", None)
    module_globals: dict[str, Any] = getattr(function, "__globals__", {})
    return bool(module_globals.get("__name__") == Huey.__module__)


def _attached_decision(metadata: Any) -> StoreDecision | None:
    # Hot path of every real error, so the types are compared in C first.
    if not isinstance(metadata, dict) or _TaggedStr not in map(type, metadata.values()):
        return None
    return next(text.decision for text in metadata.values() if isinstance(text, _TaggedStr))


def _short_metadata(task: Any, exception: BaseException, verdict: Verdict) -> dict[str, Any]:
    # Only an error that is stored needs the lock's name, for a caller that waits for the result.
    text = _text(exception) if verdict.seconds is None else _text_with_lock(exception)
    error, traceback, task_id = _TaggedStr(text), _TaggedStr(), _TaggedStr(task.id)
    error.decision = traceback.decision = task_id.decision = _decision_of(task, verdict)
    return {"error": error, "retries": task.retries, "traceback": traceback, "task_id": task_id}


def _changed_metadata(
    metadata: dict[str, Any], task: Any, verdict: Verdict, is_overridden: bool
) -> dict[str, Any]:
    """Return a copy of the result of ``build_error_result``, changed by the verdict."""
    changed = copy(metadata)
    if verdict.action == "keep":
        changed["kept"] = True  # `purge_errors` leaves it, because it is stored on purpose
    elif is_overridden:
        decision = _decision_of(task, verdict)
        changed["traceback"] = traceback = _TaggedStr()
        traceback.decision = decision
        if changed.get("task_id") == task.id:
            changed["task_id"] = task_id = _TaggedStr(task.id)
            task_id.decision = decision
    return changed


def _decision_of(task: Any, verdict: Verdict) -> StoreDecision:
    cls = type(task)
    name = f"{cls.__module__}.{cls.__name__}"
    # Hot path: `task_name` in line, and most tasks have no pipeline.
    keys = frozenset((task.id,)) if task.on_complete is None else _stage_ids(task)
    return keys, name if name != RUN_TASK_NAME else task_name(task), verdict


def _text(exception: BaseException) -> str:
    # A task that reads the result of a failed task gets a TaskException with that task's error.
    text = exception.metadata.get("error") if isinstance(exception, TaskException) else None
    return short(exception, _ERROR_LENGTH) if text is None else str(text)[:_ERROR_LENGTH]


def _text_with_lock(exception: BaseException) -> str:
    text, lock = _text(exception), lock_name(exception)
    if lock is None or isinstance(exception, TaskLockedException):
        return text
    return f"lock {short(lock, _LOCK_LENGTH)}: {text}"


def _stage_ids(task: Any) -> frozenset[str]:
    """Return the ids of a task and of all later stages of its pipeline."""
    ids: set[str] = set()
    while task is not None and task.id not in ids:
        ids.add(task.id)
        task = task.on_complete
    return frozenset(ids)
