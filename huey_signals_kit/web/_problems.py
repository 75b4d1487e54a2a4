"""What needs attention, as the overview says it; `find_problems` decides, as for `report`."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..upkeep.reports import problems
from ..upkeep.wording import pluralize, verb
from ._content import LockRow
from ._queue import QueueState
from ._text import format_moment, reference

_SEEN_NOW = (problems.LOCKS, problems.WORKERS, problems.PERIODIC)
"""Kinds of problems that are found in processes and locks as they are now."""

_MAX_LOCKS = 10
"""More dead locks get one sentence for all of them."""


@dataclass(frozen=True)
class Problem:
    """A sentence, and the page that shows more."""

    text: str
    link: str
    """The text of the link."""
    page: str
    query: dict[str, str] = field(default_factory=dict)
    name: str = ""
    """The lock that the sentence is about; shown after `text`."""
    after: str = ""
    """The end of the sentence, after `name`."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.text, self.name, self.after)))


def find_problems(state: QueueState, locks: list[LockRow]) -> list[Problem]:
    """Return what needs attention, the most urgent first.

    Processes and locks are as they are now; the rest is as of the last read of the whole store.

    Args:
        state: The state of the queue.
        locks: The first locks; those with dead holders come first.
    """
    reported = [] if state.report is None else problems.find_problems(state.report)
    dead_locks = _dead_locks(state, locks)
    if state.snapshot.locks_age is None and not dead_locks:
        dead_locks = [
            _locks_text(problem.number) for problem in reported if problem.kind == problems.LOCKS
        ]
    others = [problem for problem in reported if problem.kind not in _SEEN_NOW]
    return [*_dead_workers(state), *dead_locks, *_repeated_periodic(state), *map(_text, others)]


def _text(problem: problems.Problem) -> Problem:
    """Return the sentence for a problem that the last read of the whole store has found."""
    kind, count = problem.kind, problem.number
    if kind == problems.VALUES:
        values = pluralize(count, "value")
        text = f"{values} in the store cannot be read. The kit deletes nothing that it cannot read."
        return Problem(text, "See the store", "store")
    if kind in (problems.MESSAGES, problems.RECORDS):
        noun = "message" if kind == problems.MESSAGES else "record"
        text = (
            f"{pluralize(count, noun)} cannot be read, so no sweep and no purge deletes anything."
        )
        return Problem(text, "See the store", "store")
    if kind == problems.ERRORS:
        text = (
            f"{pluralize(count, 'lock error')} {verb(count, 'are')} stored, and no consumer with "
            "the kit is known: the consumer must call install_handlers, too."
        )
        return Problem(text, "See the store", "store")
    switches = f"{count:,} pause {'switches have' if count != 1 else 'switch has'}"
    text = f"{switches} no effect, because this Huey does not have the task."
    return Problem(text, "See the tokens", "tokens")


def _dead_workers(state: QueueState) -> list[Problem]:
    waiting = state.snapshot.store["queue"].now or 0
    if not waiting or not problems.dead_workers(state.snapshot.processes):
        return []
    return [
        Problem(
            f"{pluralize(waiting, 'message')} {verb(waiting, 'wait')}, and every known process "
            "with workers is dead. Start a consumer, unless one without the kit is running.",
            "See the processes",
            "consumers",
        )
    ]


def _repeated_periodic(state: QueueState) -> list[Problem]:
    repeated = problems.repeated_periodic(state.snapshot.processes)
    if not repeated:
        return []
    return [Problem(f"{problems.repeated_text(repeated)}.", "See the processes", "consumers")]


def _dead_locks(state: QueueState, locks: list[LockRow]) -> list[Problem]:
    dead = state.dead_locks
    if dead > _MAX_LOCKS:
        return [_locks_text(dead)]
    return [_lock_text(row) for row in locks if row.state == "dead"]


def _locks_text(count: int) -> Problem:
    held = f"{pluralize(count, 'lock')} {verb(count, 'are')} held by dead processes."
    return Problem(held, "See the locks", "locks")


def _lock_text(row: LockRow) -> Problem:
    name, hour = row.lock.name, row.last_hour
    since = f" (since {format_moment(row.lock.since)})" if row.lock.since else ""
    refused = f"; {pluralize(hour, 'attempt')} {verb(hour, 'were')} refused in the last hour"
    after = f"is held by a dead process{since}{refused if hour else ''}."
    return Problem("The lock", "Look at the lock", "lock", {"name": reference(name)}, name, after)
