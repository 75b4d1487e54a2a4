"""Carries a verdict to the two places where Huey stores an error.

Huey calls ``build_error_result(task, exception)`` and then ``put_result(key, error)``: for the
task, for later stages of its pipeline and for its part of a chord. The verdict rides on the
task, for this one exception, to the first call, and on the error from there to the second: no
table to look things up in, and nothing to clean up. It does not ride on the exception, which
Huey pickles for ``on_error`` tasks, and which may be a constant that several threads raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from huey.exceptions import TaskException
from huey.utils import Error

from ._checks import short
from .verdict import DROP, KEEP, Verdict

_NOTE = "_huey_signals_kit_note"
_ERROR_LENGTH = 200


class _Marked(str):
    """A text of an error that is not to be stored, and for whom.

    Both texts of the error are marked, and a mark survives copying: other code may put the
    metadata into a dict of its own, and change one of them. Pickled, it is a plain string.
    """

    keys: frozenset[str]
    task_name: str
    verdict: Verdict

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return (str, (str(self),))

    def __deepcopy__(self, memo: object) -> _Marked:
        return self


def note(task: Any, exception: BaseException, verdict: Verdict | None) -> None:
    """Let *task* carry *verdict* on the *exception* it raised just now.

    Only ids are kept, so the task keeps nothing alive. The class is noted beside the id: an
    exception of a later attempt that happens to get the same address is either of another
    class, or Huey signals it in the same way and this note is written anew.
    """
    if verdict is not None or _NOTE in vars(task):
        vars(task)[_NOTE] = (id(exception), type(exception), verdict)


def noted(task: Any, exception: BaseException) -> Verdict:
    """The verdict that *task* carries on *exception*; KEEP when there is none."""
    found, cls, verdict = vars(task).get(_NOTE, (None, None, None))
    if found == id(exception) and cls is type(exception) and verdict is not None:
        return verdict  # type: ignore[no-any-return]
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
        def build_error_result(
            task: Any, exception: BaseException, *args: Any, **options: Any
        ) -> Any:
            if self._active:
                try:
                    verdict = self._decide(task, exception)
                    if verdict != KEEP:
                        return _small_metadata(task, exception, verdict)
                except Exception as exc:
                    self._failed("in build_error_result", exc)
            return inner(task, exception, *args, **options)

        return build_error_result

    def _wrap_put(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def put_result(key: Any, data: Any, *args: Any, **options: Any) -> Any:
            if isinstance(data, Error) and self._holds_back(key, data.metadata):
                return None
            return inner(key, data, *args, **options)

        return put_result

    def _holds_back(self, key: Any, metadata: Any) -> bool:
        mark = _mark(metadata)
        # A part of a chord has a key of its own, is always written, and is small by now.
        if mark is None or key not in mark.keys:
            return False
        try:
            self._suppressed(key, mark.task_name, mark.verdict)
        except Exception as exc:
            self._failed("in put_result", exc)
        return mark.verdict == DROP


def _mark(metadata: Any) -> _Marked | None:
    texts = metadata.values() if isinstance(metadata, dict) else ()
    return next((text for text in texts if isinstance(text, _Marked)), None)


def _small_metadata(task: Any, exception: BaseException, verdict: Verdict) -> dict[str, Any]:
    keys = frozenset(_stage_ids(task))

    def marked(text: str) -> _Marked:
        mark = _Marked(text)
        mark.keys, mark.verdict = keys, verdict
        mark.task_name = f"{type(task).__module__}.{type(task).__name__}"
        return mark

    return {
        "error": marked(_text(exception)),
        "retries": task.retries,
        "traceback": marked(""),
        "task_id": task.id,
    }


def _text(exception: BaseException) -> str:
    told = exception.metadata.get("error") if isinstance(exception, TaskException) else None
    return str(told)[:_ERROR_LENGTH] if told else short(exception, _ERROR_LENGTH)


def _stage_ids(task: Any) -> set[str]:
    ids: set[str] = set()
    while task is not None and task.id not in ids:
        ids.add(task.id)
        task = task.on_complete
    return ids
