"""Trace and span ids that every process derives from a task alone."""

from __future__ import annotations

from contextvars import ContextVar
from hashlib import blake2b
from typing import Any

from opentelemetry.trace import SpanContext, TraceFlags

SEND = "send"
"""The span of a task that is put into the queue."""
SCHEDULE = "schedule"
"""The span of a task that is put into the schedule, or into the queue with a time to wait for."""
PROCESS = "process"
"""The span of an attempt."""

_OFFSETS = {SEND: 0, SCHEDULE: 8, PROCESS: 16}
"""Where the id of each span begins in the hash of a task's state."""

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)

_MAX_RECENT = 4096

chosen_ids: ContextVar[tuple[int, int] | None] = ContextVar("huey_signals_kit_ids", default=None)
"""The trace id and the span id of the span that this thread or greenlet is starting."""


def trace_id_of(task_id: object) -> int:
    """Return the id of the trace that has the spans of a task."""
    return int.from_bytes(_hash(str(task_id), 16), "big") or 1  # 0 is invalid


class SpanIds:
    """The ids of the spans of one task in one state of its message.

    The parts of the message that change from one attempt to the next are the number of retries
    that are left and the time for which the task is scheduled. The process that sends the message
    and the process that receives it see the same values.

    Args:
        task: The task, as it is sent or as it was received.
    """

    __slots__ = ("_digest", "state", "trace_id")

    def __init__(self, task: Any) -> None:
        self.trace_id = trace_id_of(task.id)
        self.state = f"{task.id}\n{int(task.retries or 0)}\n{task.eta or ''}"
        self._digest = b""

    def span_id(self, role: str) -> int:
        """Return the id of a span.

        Args:
            role: `SEND`, `SCHEDULE` or `PROCESS`.
        """
        digest = self._digest
        if not digest:  # one hash for the ids of all three spans
            digest = self._digest = _hash(self.state, 24)
        start = _OFFSETS[role]
        return int.from_bytes(digest[start : start + 8], "big") or 1

    def context(self, role: str) -> SpanContext:
        """Return the context of a span, for a link to it."""
        return SpanContext(self.trace_id, self.span_id(role), True, _SAMPLED)


class DerivedIds:
    """An id generator that gives the next span of this thread the ids that were chosen for it.

    It replaces the generator of one tracer only, that of this instrumentation.

    Args:
        original: The generator that the tracer had.
    """

    def __init__(self, original: Any) -> None:
        self.original = original
        self._recent: dict[int, None] = {}

    def generate_trace_id(self) -> int:
        """Return the chosen trace id, or that of the original generator."""
        chosen = chosen_ids.get()
        return chosen[0] if chosen else int(self.original.generate_trace_id())

    def generate_span_id(self) -> int:
        """Return the chosen span id; that of the original generator if this process has used it.

        A message that is put back unchanged, such as by ``RetryTask`` without a delay, would
        otherwise get the same span id twice.
        """
        chosen = chosen_ids.get()
        if chosen is None or chosen[1] in self._recent:
            return int(self.original.generate_span_id())
        if len(self._recent) >= _MAX_RECENT:
            self._recent = {}
        self._recent[chosen[1]] = None
        return chosen[1]

    def is_trace_id_random(self) -> bool:
        """Return whether the trace id is uniformly distributed, as hashes are."""
        if chosen_ids.get() is not None:
            return True
        is_random = getattr(self.original, "is_trace_id_random", None)
        return bool(is_random and is_random())


def _hash(text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
