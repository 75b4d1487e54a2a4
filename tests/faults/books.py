"""Compares what the tasks wrote down with what is stored: results, tokens and counts.

A task writes down its end before its worker stores the result, and the application writes down a
skipped or revoked task before the kit knows of it. So what was written is never less than what is
stored or counted, and what is missing in the store has to be explained by a fault.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.faults.contents import Contents
from tests.faults.tally import Phase

SETTLE_SECONDS = 12
"""After which a result that is not stored will not come any more."""
BEFORE_SECONDS = 2
"""A fault that begins so long after the end of a task can still keep its result away."""
TOKEN_PREFIX = "r:"
LOCK_ERROR = "TaskLockedException"


@dataclass
class End:
    """The end of a task whose result is expected in the store."""

    task: str
    at: float
    host: str
    pid: int
    is_error: bool
    phase: Phase
    killed: bool = False


@dataclass
class Token:
    """A task that was revoked; its token counts from the moment at which it was seen stored."""

    phase: Phase
    seen: float | None = None
    was_revoked: bool = False
    gone: bool = False
    """Whether it left the store before its task was skipped."""


@dataclass
class Books:
    """The books of one run.

    Args:
        phase: The present phase.
        is_running: Whether a process runs, by host and number.
        report: Gets each violation.
        is_bare: Whether bare Huey runs; then its lock errors are no violations.
    """

    phase: Phase
    is_running: Callable[[str, int], bool]
    report: Callable[[Phase, str], None]
    is_bare: bool = False
    expected: dict[str, End] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    written: Counter[str] = field(default_factory=Counter)
    """How often each kind of event was written down."""
    enqueued: dict[str, Phase] = field(default_factory=dict)
    """The tasks that have not begun."""
    last_begun: dict[tuple[str, str], float] = field(default_factory=dict)
    """When a task last began, by host and kind of worker."""
    _windows: list[list[float]] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)

    # What the schedule does

    def unwell(self, now: float) -> None:
        """From now on the storage, or the way to it, is not well."""
        self._windows.append([now])

    def well(self, now: float, grace: float) -> None:
        """Now it is well again; clients need up to *grace* seconds to notice."""
        self._windows[-1].append(now + grace)

    def losing(self) -> None:
        """From now on the storage loses data."""
        self._losses.append(float("inf"))

    def lost(self, now: float) -> None:
        """It has lost data until now."""
        self._losses[-1] = now

    # What was seen

    def event(self, event: dict) -> None:
        """Take in what a process wrote down."""
        kind = event["kind"]
        self.written[kind] += 1
        if kind == "begin":
            self.enqueued.pop(event["task"], None)
            self.last_begun[event["on"], event["worker"]] = event["at"]
            self._began(event["task"], event["at"])
        elif kind == "end":
            self.written["worked"] += not event["error"]
            self.phase.ended += 1
            self.expected[event["task"]] = End(
                event["task"], event["at"], event["on"], event["pid"], event["error"], self.phase
            )
        elif kind == "revoked":
            self.enqueued.pop(event["task"], None)
            if token := self.tokens.get(event["task"]):
                token.was_revoked = True

    def _began(self, task: str, at: float) -> None:
        token = self.tokens.pop(task, None)
        if token is None or token.seen is None or token.was_revoked:
            return
        if at > token.seen and not self._was_lost(token.seen):
            how = "gone" if token.gone else "stored"
            self.report(
                token.phase,
                f"task {task} ran {at - token.seen:.1f} s after it was revoked; its token is {how}",
            )

    def _was_lost(self, since: float) -> bool:
        return any(at >= since - BEFORE_SECONDS for at in self._losses)

    def look(self, contents: Contents | None, now: float) -> list[str]:
        """Compare with what is stored, after the events were read; return the results seen.

        Args:
            contents: What was stored before the events were read; None if that is not known.
            now: The time at which it was read.
        """
        seen = [] if contents is None else self._results(contents.values)
        if contents is not None:
            self._tokens(contents, now)
        self._settle(now)
        return seen

    def _results(self, values: Mapping[str, bytes]) -> list[str]:
        seen = []
        for key, raw in values.items():
            if ":" in key or ".lock." in key or ".rl." in key:
                continue
            seen.append(key)
            result = pickle.loads(raw)
            end = self.expected.pop(key, None)
            is_error = hasattr(result, "metadata")
            text = str(result.metadata.get("error")) if is_error else result
            if is_error and LOCK_ERROR in text:
                self.phase.lock_errors += 1
                if not self.is_bare:
                    self.report(self.phase, f"the lock error of task {key} is stored: {text}")
            elif end is not None:
                end.phase.results += 1
                if is_error != end.is_error or key not in text:
                    self.report(end.phase, f"task {key} has the result {text!r}")
        return seen

    def _tokens(self, contents: Contents, now: float) -> None:
        for task, token in [*self.tokens.items()]:
            if f"{TOKEN_PREFIX}{task}" in contents.values:
                token.seen = token.seen or now
            elif token.was_revoked or (token.seen is not None and self._was_lost(token.seen)):
                del self.tokens[task]
            elif token.seen is not None and not token.gone:
                # The token of a task that a fault has lost is swept, in time.
                token.gone = True
                if any(task.encode() in message for message in contents.messages):
                    self.report(token.phase, f"the live token of task {task} is gone")

    def _settle(self, now: float) -> None:
        for end in [*self.expected.values()]:
            if not end.killed and not self.is_running(end.host, end.pid):
                end.killed = True
            excused = self._excused_until(end.at)
            if now - end.at < SETTLE_SECONDS or (excused is not None and now < excused):
                continue
            del self.expected[end.task]
            if end.killed:
                end.phase.lost_killed += 1
            elif excused is not None:
                end.phase.lost_stored += 1
            else:
                what = "error" if end.is_error else "result"
                who = f"on {end.host}, pid {end.pid}"
                self.report(end.phase, f"the {what} of task {end.task} ({who}) is missing")

    def _excused_until(self, at: float) -> float | None:
        """Until when a fault keeps the result of a task away that ended at *at*; None for never."""
        for begin, *end in self._windows:
            if begin - BEFORE_SECONDS <= at <= (end[0] if end else at):
                return end[0] + SETTLE_SECONDS if end else float("inf")
        return None

    def check_counts(self, totals: Mapping[tuple[str, ...], int]) -> None:
        """Compare the kit's totals with what was written down; read the events after them."""
        counted: Counter[str] = Counter()
        for (metric, *labels), value in totals.items():
            if metric == "huey_signals_total":
                counted[f"signal {labels[-1]}"] += value
            elif metric == "huey_tokens_cleaned_total":
                counted[f"tokens by {labels[-1]}"] += value
            elif metric in ("huey_lock_skips_total", "huey_results_suppressed_total"):
                counted[metric] += value
        written = self.written
        bounds = {
            "signal complete": written["worked"] + written["leave"],
            "signal error": written["error"],
            "signal locked": written["skip"],
            "signal revoked": written["revoked"],
            "tokens by skip": written["revoked"],
            "huey_lock_skips_total": written["skip"],
            "huey_results_suppressed_total": written["skip"],
        }
        for name, bound in bounds.items():
            if counted[name] > bound:
                self.report(self.phase, f"{name} is {counted[name]}, and only {bound} happened")
        self.phase.counted = sum(counted[name] for name in bounds if name.startswith("signal"))
        self.phase.happened = sum(n for name, n in bounds.items() if name.startswith("signal"))

    def close(self, messages: list[bytes]) -> None:
        """Count the tasks that never began, and are not among the messages, as lost."""
        for task, phase in self.enqueued.items():
            if not any(task.encode() in message for message in messages):
                phase.lost += 1
        self.enqueued.clear()
