"""A recorder of what a kit does, with methods that count it for assertions."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import ExitStack
from fnmatch import fnmatchcase
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from blinker import NamedSignal

from .. import signals as announcements
from .._checks import check_huey
from .._install import get_kit
from ..dispatch.filters import TaskFilter, validate_exceptions
from ..event import Event
from ..huey_internals.facts import LOCK_SIGNALS
from ..kit import Kit
from ..verdict import Verdict
from ._counts import Count
from ._installed import AnyPresets, Installed, KitOptions, finish_background
from ._records import Announcement, DeletedToken, RecordedEvent, RecordedVerdict

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SIGNALS = {name: each for name, each in vars(announcements).items() if type(each) is NamedSignal}
_MAX_LINES = 20

R = TypeVar("R", RecordedEvent, RecordedVerdict)


def record(huey: Any, preset: AnyPresets = None, **options: Unpack[KitOptions]) -> Recorder:
    """Return a recorder, a context manager that records what the kit of a Huey does.

    It installs a kit for that time, as `installed` does. Without options, in a block of
    `installed`, it records the kit of that block.

    Args:
        huey: The Huey.
        preset: As for `installed`.
        **options: As for `installed`.
    """
    given = dict(options) if preset is None else {"preset": preset, **options}
    return Recorder(huey, given)


class Recorder:
    """A record of what the kit of one Huey has done since the recorder began, as plain data.

    Whatever happens in this process is recorded, on any thread; the workers of ``-k process`` are
    other processes. `skips`, `errors` and the other questions return numbers whose ``repr`` says
    what was recorded instead. Wherever they take a `task`, it is a task function, the name of one,
    a glob over ``module.name``, or a list of these; None for every task.

    Args:
        huey: The Huey.
        options: The options of `installed`.
    """

    def __init__(self, huey: Any, options: dict[str, Any]) -> None:
        self.huey = check_huey(huey, "record()")
        self._options = options
        self._installed = Installed(self.huey, options, "record()")
        self._kit: Kit | None = None
        self._undo = ExitStack()
        self._is_recording = False
        self._is_replaced = False
        """Whether another kit had replaced the recorded one when the recorder ended."""
        self._last: dict[str, Event] = {}
        """The last event of each task, by its id."""
        self.events: list[RecordedEvent] = []
        """Every signal of Huey."""
        self.verdicts: list[RecordedVerdict] = []
        """Every verdict that a handler or a task's own ``lock_errors`` has given."""
        self.deleted_tokens: list[DeletedToken] = []
        self.announcements: list[Announcement] = []
        self._timeline: list[RecordedEvent | RecordedVerdict] = []
        """The events and verdicts in their order, for messages."""

    def __enter__(self) -> Recorder:
        kit = get_kit(self.huey)
        with ExitStack() as undo:
            if self._options or kit is None or not kit.is_test:
                kit = undo.enter_context(self._installed)
            self._kit = kit
            handler = kit.registry.add(self._on_event, priority=math.inf, name="the recorder")
            undo.callback(_forget, kit, handler)
            undo.callback(setattr, kit._receiver, "attach", kit._receiver.attach)
            kit._receiver.attach = partial(self._attach, kit._receiver.attach)
            for name, signal in _SIGNALS.items():
                subscriber = partial(self._on_announcement, name)
                signal.connect(subscriber, sender=self.huey, weak=False)
                undo.callback(signal.disconnect, subscriber)  # with sender= a reference stays
            self._undo = undo.pop_all()
        self._is_recording, self._is_replaced = True, False
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._kit is not None:
            finish_background(self._kit)
            self._is_replaced = self._has_other_kit(self._kit)
        self._is_recording = False
        self._undo.close()
        self._last.clear()

    def __repr__(self) -> str:
        return f"<Recorder of {self.huey.name!r}: {'; '.join(self._lines()) or 'nothing'}>"

    @property
    def kit(self) -> Kit:
        """The kit that is recorded, such as for `Kit.count`, which begins at zero."""
        if self._kit is None:
            raise RuntimeError(
                "this recorder has not begun; write: with record(huey) as recorded: ..."
            )
        return self._kit

    def skips(self, task: object = None, lock: str | None = None) -> Count:
        """Return how often a task was skipped because another one held its lock.

        Args:
            task: The task.
            lock: The name of the lock, or a glob.
        """
        skips = [
            event
            for event in self._events(task)
            if event.is_lock_error
            and event.signal in LOCK_SIGNALS
            and (lock is None or _is_named(event.lock, lock))
        ]
        about_lock = None if lock is None else f"lock {lock!r}"
        return self._count(skips, "lock skips", task, about_lock)

    def errors(
        self,
        task: object = None,
        exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
    ) -> Count:
        """Return how many attempts of a task ended with an error that is not a lock error.

        An attempt that ended by a timeout, a rate limit or a cancellation is not counted.

        Args:
            task: The task.
            exceptions: Only errors of this class, or of one in this tuple.
        """
        classes = validate_exceptions(exceptions, "exceptions= of errors()") or (BaseException,)
        found = [
            each
            for each in self._events(task)
            if each.signal == "error"
            and not each.is_lock_error
            and isinstance(each.exception, classes)
        ]
        names = exceptions and "/".join(each.__name__ for each in classes)
        return self._count(found, "errors", task, names)

    def suppressed(self, task: object = None, verdict: Verdict | None = None) -> Count:
        """Return how many errors of a task were not stored as Huey stores them.

        Args:
            task: The task.
            verdict: Only those with this verdict, `DROP` or ``expire(seconds)``.
        """
        is_task = _task_matcher(task)
        found = [
            each
            for each in self.announcements
            if each.name == "result_suppressed"
            and is_task(str(each.data["task_name"]))
            and verdict in (None, each.data["verdict"])
        ]
        return self._count(found, "suppressed errors", task, verdict)

    def tokens(self, task: object = None) -> Count:
        """Return how many revoke tokens of a task were deleted.

        Args:
            task: The task.
        """
        is_task = _task_matcher(task)
        found = [each for each in self.deleted_tokens if is_task(each.task_name or "")]
        return self._count(found, "deleted tokens", task)

    def handler_errors(self, name: str | None = None) -> Count:
        """Return how often a handler has raised an exception, which the kit only logs.

        Args:
            name: The name of the handler, ``module.name`` by default, or a glob.
        """
        found = [
            each
            for each in self.announcements
            if each.name == "handler_failed"
            and (name is None or _is_named(str(each.data["handler"]), name))
        ]
        return self._count(found, "handler errors", None, name)

    def signals(self, task: object = None) -> list[str]:
        """Return the names of the signals of a task, in their order.

        Args:
            task: The task.
        """
        return [each.signal for each in self._events(task)]

    def wait_for_background(self) -> None:
        """Wait until every handler with ``background=True`` has handled its events.

        At most 5 seconds; events that are not handled by that time are dropped and logged.
        """
        finish_background(self.kit)

    def clear(self) -> None:
        """Forget what was recorded so far; the counts of the kit stay."""
        self._timeline.clear()
        for records in (self.events, self.verdicts, self.deleted_tokens, self.announcements):
            records.clear()

    def _events(self, task: object) -> list[RecordedEvent]:
        is_task = _task_matcher(task)
        return [each for each in self.events if is_task(each.task_name)]

    def _count(self, found: Collection[object], what: str, task: object, *more: object) -> Count:
        if self._is_replaced or self._has_other_kit(self.kit):
            raise RuntimeError(
                f"the code under test has replaced the kit of {self.huey.name!r}, by "
                "install_handlers(replace=True), and nothing was recorded since; create the "
                "application before the recorder begins"
            )
        about = [f"of {'/'.join(_globs(task))}"] if task is not None else []
        about += [f"with {each}" for each in more if each is not None]
        return Count(len(found), " ".join([what, *about]), self._lines)

    def _has_other_kit(self, kit: Kit) -> bool:
        """Return whether code has put another kit in the place of the one that is recorded."""
        is_other = kit.test_kit is None and get_kit(self.huey) not in (kit, None)
        return self._is_recording and is_other

    def _lines(self) -> list[str]:
        """Return a line for each task that was recorded, the newest last."""
        tasks: dict[tuple[str, str], list[str]] = {}
        for each in self._timeline.copy():
            tasks.setdefault((each.task_name, each.task_id), []).append(str(each))
        lines = [
            f"{name} {task_id[:8]}: {', '.join(texts)}".replace(", ->", " ->")
            for (name, task_id), texts in tasks.items()
        ]
        for failed in self.announcements.copy():
            if failed.name == "handler_failed":
                lines.append(f"handler {failed.data['handler']}: {failed.data['exception']!r}")
        if not self.huey.immediate and ["enqueued"] in tasks.values():
            lines.append(
                "the Huey is not in immediate mode: these tasks wait in its queue for a consumer"
            )
        hidden = len(lines) - _MAX_LINES
        return lines if hidden <= 0 else [f"... {hidden} more", *lines[hidden:]]

    def _on_event(self, event: Event) -> None:
        self._last[event.task_id] = event
        self._add(
            self.events,
            RecordedEvent(
                signal=event.signal,
                task_name=event.task_name,
                task_id=event.task_id,
                lock=event.lock,
                exception=event.exception,
                is_lock_error=event.is_lock_error,
                attempt=event.attempt,
                retries_left=event.retries_left,
                will_retry=event.will_retry,
                duration=event.duration,
                timestamp=event.timestamp,
            ),
        )

    def _add(self, records: list[R], recorded: R) -> None:
        records.append(recorded)
        self._timeline.append(recorded)

    def _attach(
        self,
        attach: Callable[[Any, BaseException, Verdict | None], None],
        task: Any,
        exception: BaseException,
        verdict: Verdict | None,
    ) -> None:
        """Attach a verdict to a task as `Gate.attach` does, and record it."""
        attach(task, exception, verdict)
        verdict = self.kit._context.task_verdict(task, exception) or verdict
        event = self._last.get(str(task.id))
        if verdict is not None and event is not None:
            reschedules = verdict.plan is not None
            self._add(
                self.verdicts,
                RecordedVerdict(event.task_name, event.task_id, verdict, reschedules, exception),
            )

    def _on_announcement(self, name: str, huey: Any, **data: Any) -> None:
        self.announcements.append(Announcement(name, data))
        if name == "token_cleaned":
            event = self._last.get(data["key"].removeprefix("r:"))
            task_name = None if event is None else event.task_name
            self.deleted_tokens.append(DeletedToken(data["key"], data["by"], task_name))


def _forget(kit: Kit, handler: Any) -> None:
    if handler in kit.registry:
        kit.registry.remove(handler)


def _is_named(name: str | None, wanted: str) -> bool:
    return name is not None and (name == wanted or fnmatchcase(name, wanted))


def _task_matcher(task: object) -> Callable[[str], bool]:
    """Return a function that says whether a task's ``module.name`` is meant by `task`."""
    if task is None:
        return lambda name: True
    wanted = _globs(task)
    return lambda name: any(_is_named(name, each) for each in wanted)


def _globs(task: object) -> tuple[str, ...]:
    """Return globs over ``module.name``; a bare function name becomes ``*.name``."""
    items = task if isinstance(task, (list, tuple, set, frozenset)) else [task]
    globs = [
        f"*.{each}" if isinstance(each, str) and each.isidentifier() else each for each in items
    ]
    return TaskFilter(globs, "the task of a recorder").spec
