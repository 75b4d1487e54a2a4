"""The explanation of a task as sentences: where it is, what keeps it from running, its result."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from socket import gethostname

from ..locks.info import LockInfo
from ..wording import format_span, format_time, pluralize, verb
from .model import Chord, Explanation, Location, Revocation, SkippedAttempt, StoredResult

_MAX_LOCATIONS = 5

_STEPS = {
    "stage": "later stage",
    "error handler": "error handler",
    "chord callback": "chord callback",
}
_LIVENESS = {
    True: "alive",
    False: "dead",
    None: "unknown whether it is alive",
}


def sentences(explanation: Explanation, show_values: bool = True) -> Iterator[str]:
    """Yield all that is known of the task: places, obstacles, result, then doubts.

    Args:
        explanation: What is known of the task.
        show_values: Whether to show a result, or the text of an error, which may have arguments.
    """
    locations = explanation.places[:_MAX_LOCATIONS]
    for location in locations:
        if location.path:
            yield _describe_nested(location, explanation)
        else:
            yield _describe_own(location, explanation)
    more = len(explanation.places) - len(locations) + explanation.more
    if more:
        yield f"And in {pluralize(more, 'more place')}."
    yield from map(_describe_chord, explanation.chords)
    for token in explanation.tokens:
        yield _describe_revocation(token, explanation)
    for lock in explanation.locks:
        yield _describe_lock(lock)
    if explanation.skipped:
        yield _describe_skips(explanation.skipped)
    if explanation.result:
        yield _describe_result(explanation.result, explanation.task_id, show_values)
    if not explanation.places and not explanation.has_ended and not explanation.skipped:
        yield (
            "It is not queued, scheduled or known to be running, nor part of such a task, and it "
            "has no result."
        )
    for name, skips in sorted(explanation.skips.items()):
        times = pluralize(skips, "time")
        folded = " Locks with similar names are counted as one." if "*" in name else ""
        yield (
            f"Tasks with this name were skipped {times} because the lock '{name}' was held; this "
            f"counts all of them, not only this one.{folded}"
        )
    yield from doubts(explanation)


def _describe_own(location: Location, explanation: Explanation) -> str:
    """Return where the task itself is, as opposed to one that leads to it."""
    if location.where == "queue":
        sentence = f"Queued: {_describe_position(location)}."
        if _is_in_future(location, explanation):
            eta = _format_eta(location.eta, explanation)
            sentence += f" A worker will move it to the schedule, for {eta}."
        return sentence
    if location.where == "schedule":
        if location.eta is None:
            return "Scheduled: due now."
        is_past = not _is_in_future(location, explanation)
        past = ", which is past: it moves to the queue next" if is_past else ""
        return f"Scheduled for {_format_eta(location.eta, explanation)}{past}."
    process = _describe_process(location)
    if location.where == "due":
        if location.alive is False:
            return f"Probably lost: {process} dequeued it, or a task that leads to it, and is dead."
        return (
            f"In flight: {process} has dequeued it, or a task that leads to it, but is not running "
            "it. It is about to be queued, or has just ended."
        )
    if location.alive is False:
        return (
            f"Was running in {process}, which is dead: it will not finish, and Huey does not retry "
            "it."
        )
    return f"Running {_describe_since(location)}, in {process} ({_LIVENESS[location.alive]})."


def _describe_nested(location: Location, explanation: Explanation) -> str:
    """Return how another task leads to this one."""
    state = _describe_state(location, explanation)
    parent = f"{location.task_name} {location.task_id}, which {state}"
    if location.path == ("argument",):
        return f"Its id is in the arguments of {parent}; that task may enqueue it."
    if location.path == ("nested",):
        return (
            f"Belongs to {parent}: as a later stage, an on_error task or a chord callback, or by "
            "its id in the arguments."
        )
    role = " of the ".join(_STEPS.get(step, step) for step in reversed(location.path))
    article = "an" if role[0] in "aeiou" else "a"
    return f"Waits as {article} {role} of {parent}."


def _describe_state(location: Location, explanation: Explanation) -> str:
    """Return where a task that leads to this one is, as a clause after its name."""
    if location.where == "queue":
        return f"is queued ({_describe_position(location)})"
    if location.where == "schedule":
        eta = f" for {_format_eta(location.eta, explanation)}" if location.eta else ""
        return f"is scheduled{eta}"
    if location.alive is False:
        return f"was running in {_describe_process(location)}, which is dead"
    return f"is running {_describe_since(location)} in {_describe_process(location)}"


def _describe_position(location: Location) -> str:
    """Return how many tasks come before it; a range if the storage defines no order."""
    minimum, maximum = location.before or 0, location.before_most
    if maximum is not None and maximum != minimum:
        return f"{minimum:,} to {maximum:,} tasks come before it"
    if not minimum:
        return "no task comes before it"
    return f"{pluralize(minimum, 'task')} {verb(minimum, 'come')} before it"


def _describe_process(location: Location) -> str:
    return f"process {location.pid} on host {location.host}"


def _describe_since(location: Location) -> str:
    """Return how long it has been running; the clock of another host is not compared."""
    if location.since is None:
        return "for an unknown time"
    if location.host == gethostname():
        seconds = (datetime.now(timezone.utc) - location.since).total_seconds()
        return f"for about {format_span(seconds)}"
    return f"since {format_time(location.since)} UTC by the clock of that host"


def _is_in_future(location: Location, explanation: Explanation) -> bool:
    """Return whether the task at `location` is scheduled for later."""
    try:
        return location.eta is not None and location.eta > explanation.now
    except TypeError:  # a time with a zone, unlike those that Huey writes
        return True


def _format_eta(moment: datetime | None, explanation: Explanation) -> str:
    """Return a time of the Huey with its time zone."""
    if moment is None:
        return "?"
    default_zone = "UTC" if explanation.utc else "local time"
    zone = str(moment.tzinfo) if moment.tzinfo else default_zone
    return f"{format_time(moment)} ({zone})"


def _describe_chord(chord: Chord) -> str:
    """Return the parts of a chord, as seen from a part or from the callback."""
    ended = ""
    if chord.done is not None:
        ended = f", of which {chord.done:,} {verb(chord.done, 'have')} ended"
    if chord.part is None:
        return f"Its chord has {pluralize(chord.size, 'part')}{ended}; it runs after all of them."
    return f"Part {chord.part:,} of a chord with {pluralize(chord.size, 'part')}{ended}."


def _describe_revocation(token: Revocation, explanation: Explanation) -> str:
    """Return whether `token` keeps the task from running, and until when."""
    is_pause = token.key.startswith("rt:")
    name = f"{'the pause switch of its task' if is_pause else 'its own token'}, {token.key}"
    if not token.readable:
        return f"Maybe revoked: {name}, cannot be read."
    if token.over:
        return (
            f"No longer revoked: {name}, was valid until {_format_eta(token.until, explanation)}."
        )
    if token.once:
        which = "the next run of any task with this name" if is_pause else "the next run"
        return f"Revoked by {name}, once: {which} is skipped."
    if token.until is None:
        return f"Revoked by {name}, forever."
    return f"Revoked by {name}, until {_format_eta(token.until, explanation)}."


def _describe_lock(lock: LockInfo) -> str:
    """Return since when the task holds `lock`, and whether its process is alive."""
    since = ""
    if lock.since is not None:
        since = f" since {format_time(lock.since)} UTC by the clock of {lock.host}"
    return f"Holds the lock '{lock.name}'{since}, in process {lock.pid} ({_LIVENESS[lock.alive]})."


def _describe_skips(skips: list[SkippedAttempt]) -> str:
    """Return when the task was last skipped because of a lock."""
    last = skips[-1]
    lock = f"lock '{last.lock}'" if last.lock else "a lock without a name"
    times = f"{pluralize(len(skips), 'time')} recently, last " if len(skips) > 1 else ""
    clock = "" if last.host == gethostname() else " by the clock of that host"
    return (
        f"Skipped {times}at {last.at:%H:%M:%S} UTC on {last.at:%Y-%m-%d}{clock}: {lock} was held. "
        f"Recorded by process {last.pid} on host {last.host}."
    )


def _describe_result(result: StoredResult, task_id: str, show_values: bool) -> str:
    """Return how the task ended, with its result or error as far as it is short enough."""
    size = pluralize(result.size, "byte")
    if result.kind == "status":
        return f"Its record for Django says {result.text}."
    if result.kind == "unreadable":
        return f"Has a result of {size}, which cannot be read."
    if result.kind == "value":
        if result.text is None or not show_values:
            return f"Succeeded: its result has the class {result.class_name} and {size}."
        return f"Succeeded: its result is {result.text}"
    is_of_other_task = result.of_task is not None and result.of_task != task_id
    where = f" in its earlier stage {result.of_task}, so it did not run" if is_of_other_task else ""
    text = f": {result.text}" if result.text and show_values else f", stored in {size}."
    return f"Failed with {result.class_name}{where}{text}"


def doubts(explanation: Explanation) -> Iterator[str]:
    """Yield what the command could not look into, and may therefore have missed."""
    looked = explanation.looked
    if looked.unreadable:
        messages = pluralize(looked.unreadable, "message")
        yield (
            f"{messages} in the queue or the schedule cannot be read; the task may be among them."
        )
    if looked.records:
        records = pluralize(looked.records, "record")
        yield f"{records} of processes cannot be read; the task may be running there."
    if looked.untold:
        tasks = pluralize(looked.untold, "task")
        yield (
            f"Workers run {tasks} whose nested tasks are unknown; this task may be one of those."
        )
    is_waiting = any(location.where in ("queue", "schedule") for location in explanation.places)
    if is_waiting and not looked.workers:
        yield (
            "No worker with the kit is known on this queue. Start a consumer, unless one without "
            "the kit is running."
        )
