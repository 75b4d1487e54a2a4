"""Where a task is, in a few plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from shlex import quote
from socket import gethostname
from typing import Any

from ...upkeep import (
    Chord,
    Explanation,
    Location,
    LockInfo,
    Revocation,
    SkippedAttempt,
    StoredResult,
)
from .._locks.view import short_span
from .._shared.tables import counted
from .._shared.terminal import say, say_command, shown

_MOST = 5
"""How many places are shown."""

_STEPS = {
    "stage": "later stage",
    "error handler": "error handler",
    "chord callback": "chord callback",
}
_LIFE = {
    True: "alive",
    False: "dead: locks release --stale frees it",
    None: "it cannot be told yet whether that is alive",
}
_ID_LENGTH = 36
"""Of the ids that Huey makes."""


def print_task(found: Explanation, huey_name: str) -> None:
    """Where it is, what stops it, what has come of it."""
    say(f"Task {found.task_id}{f', {found.task_name}' if found.task_name else ''}")
    for text in _sentences(found):
        say(text, first="  ")
    parents = [each for each in found.places if each.path][:1]
    if parents:
        say()
        say("More of the task that it waits for:")
        say_command("explain", huey_name, quote(shown(parents[0].task_id)))


def _sentences(found: Explanation) -> Iterator[str]:
    shown_places = found.places[:_MOST]
    for place in shown_places:
        yield _nested(place, found) if place.path else _own(place, found)
    more = len(found.places) - len(shown_places) + found.more
    if more:
        yield f"And at {counted(more, 'more place')}."
    yield from map(_chord, found.chords)
    for each in found.tokens:
        yield _revoked(each, found)
    yield from map(_holds, found.locks)
    if found.skipped:
        yield _skipped(found.skipped)
    if found.result:
        yield _result(found.result, found.task_id)
    if not found.places and not found.result and not found.skipped:
        yield (
            "It is not queued, scheduled or seen running, nor a part of what is, and it has no "
            "result."
        )
    for lock, skips in sorted(found.skips.items()):
        alike = ", and locks of names alike count as one" if "*" in lock else ""
        yield (
            f"Tasks of this name were skipped on the lock '{lock}' {counted(skips, 'time')}; "
            f"they are counted by name, not by id{alike}."
        )
    yield from _doubts(found)


def _own(place: Location, found: Explanation) -> str:
    if place.where == "queue":
        later = _is_later(place, found)
        then = f" A worker will put it on the schedule, for {_time(place.eta, found)}."
        return f"Queued: {_before(place)}.{then if later else ''}"
    if place.where == "schedule":
        if place.eta is None:
            return "Scheduled: due now."
        due = "" if _is_later(place, found) else ", which is past: it goes to the queue next"
        return f"Scheduled for {_time(place.eta, found)}{due}."
    who = _process(place)
    if place.where == "due":
        if place.alive is False:
            return f"Was due, or part of a task that was, in {who}, which is dead."
        return (
            f"In hand: {who} has it, or a task that leads to it, and does not run it: it is about "
            "to be queued, or has just ended."
        )
    if place.alive is False:
        return (
            f"Was running in {who}, which is dead: it will not end, and Huey does not run it "
            "again by itself."
        )
    return f"Running {_since(place)}, in {who} ({_LIFE[place.alive]})."


def _nested(place: Location, found: Explanation) -> str:
    parent = f"{place.task_name} {place.task_id}, which {_state(place, found)}"
    if place.path == ("argument",):
        return f"Its id stands in the arguments of {parent}; that may make a task of it."
    if place.path == ("nested",):
        return (
            f"Belongs to {parent}: as a later stage, an error handler or a chord callback, or its "
            "id stands in the arguments."
        )
    steps = [_STEPS.get(each, each) for each in reversed(place.path)]
    role = " of the ".join(steps)
    article = "an" if role[0] in "aeiou" else "a"
    return f"Waits as {article} {role} of {parent}."


def _state(place: Location, found: Explanation) -> str:
    if place.where == "queue":
        return f"is queued ({_before(place)})"
    if place.where == "schedule":
        return f"is scheduled{f' for {_time(place.eta, found)}' if place.eta else ''}"
    if place.alive is False:
        return f"was running in {_process(place)}, which is dead"
    return f"is running {_since(place)} in {_process(place)}"


def _before(place: Location) -> str:
    least, most = place.before or 0, place.before_most
    if most is not None and most != least:
        return f"{least:,} to {most:,} tasks come before it"
    if not least:
        return "no task comes before it"
    return f"{counted(least, 'task')} {'comes' if least == 1 else 'come'} before it"


def _process(place: Location) -> str:
    return f"process {place.pid} on host {place.host}"


def _since(place: Location) -> str:
    if place.since is None:
        return "for an unknown time"
    if place.host == gethostname():
        seconds = (datetime.now(timezone.utc) - place.since).total_seconds()
        return f"for about {short_span(seconds)}"
    return f"since {place.since:%Y-%m-%d %H:%M:%S} UTC by the clock of that host"


def _is_later(place: Location, found: Explanation) -> bool:
    try:
        return place.eta is not None and place.eta > found.now
    except TypeError:  # with a time zone: not as Huey writes it
        return True


def _time(moment: datetime | None, found: Explanation) -> str:
    if moment is None:
        return "?"
    zone = str(moment.tzinfo) if moment.tzinfo else "UTC" if found.utc else "local time"
    return f"{moment:%Y-%m-%d %H:%M:%S} ({zone})"


def _chord(chord: Chord) -> str:
    has = "has" if chord.done == 1 else "have"
    done = "" if chord.done is None else f", of which {chord.done:,} {has} ended"
    if chord.part is None:
        return f"Its chord has {counted(chord.size, 'part')}{done}; it runs after all of them."
    return f"Part {chord.part:,} of a chord with {counted(chord.size, 'part')}{done}."


def _revoked(token: Revocation, found: Explanation) -> str:
    pause = token.key.startswith("rt:")
    name = f"{'the pause switch of its task' if pause else 'its own token'}, {token.key}"
    if not token.readable:
        return f"There is {name}, which cannot be read."
    if token.over:
        return f"No longer revoked: {name}, was until {_time(token.until, found)}."
    if token.once:
        until = ", once: the next run is skipped" + (" of whichever task of it" if pause else "")
    elif token.until is None:
        until = ", for ever"
    else:
        until = f", until {_time(token.until, found)}"
    return f"Revoked by {name}{until}."


def _holds(lock: LockInfo) -> str:
    since = ""
    if lock.since is not None:
        since = f" since {lock.since:%Y-%m-%d %H:%M:%S} UTC by the clock of {lock.host}"
    life = _LIFE[lock.alive]
    return f"Holds the lock '{lock.name}'{since}, in process {lock.pid} ({life})."


def _skipped(skips: Sequence[SkippedAttempt]) -> str:
    last = skips[-1]
    lock = f"lock '{last.lock}'" if last.lock else "a lock without a name"
    times = f"{counted(len(skips), 'time')} recently, the last " if len(skips) > 1 else ""
    clock = "" if last.host == gethostname() else " by the clock of that host"
    return (
        f"Skipped {times}at {last.at:%H:%M:%S} UTC on {last.at:%Y-%m-%d}{clock}: {lock} was held. "
        f"Seen by process {last.pid} on host {last.host}."
    )


def _result(result: StoredResult, task_id: str) -> str:
    size = counted(result.size, "byte")
    if result.kind == "unreadable":
        return f"Has a result of {size}, which cannot be read."
    if result.kind == "value":
        if result.text is None:
            return f"Ended well: its result is a {result.class_name} of {size}."
        return f"Ended well: its result is {result.text}"
    other = result.of_task is not None and result.of_task != task_id
    whose = f" in {result.of_task}, before its turn came" if other else ""
    text = f": {result.text}" if result.text else f", stored in {size}."
    return f"Failed with {result.class_name}{whose}{text}"


def _doubts(found: Explanation) -> Iterator[str]:
    looked = found.looked
    if looked.unreadable:
        messages = counted(looked.unreadable, "message")
        yield f"{messages} of the queue or the schedule cannot be read; it may stand there too."
    if looked.records:
        records = counted(looked.records, "record")
        yield f"{records} of what processes do cannot be read; it may be running there too."
    if looked.untold:
        tasks = counted(looked.untold, "task")
        yield f"Workers have {tasks} in hand that they cannot look through; it may be there too."
    waits = any(each.where in ("queue", "schedule") for each in found.places)
    if waits and not looked.workers:
        yield "No worker is seen on this queue: none runs, or none that has the kit."


def print_not_found(found: Explanation, huey_name: str, huey: Any) -> None:
    """That nothing knows it, where it was looked for, and why that can be."""
    looked = found.looked
    say(f"Nothing knows the task '{found.task_id}'.")
    say()
    say(
        f"{huey_name} is the queue '{found.queue}' ({found.storage}): {looked.queued:,} queued, "
        f"{looked.scheduled:,} scheduled, {counted(looked.workers, 'worker')} seen; its tokens, "
        "locks and results were looked at as well."
    )
    for text in _doubts(found):
        say(text)
    if found.alike:
        say()
        say(f"Did you mean {' or '.join(found.alike)}?")
    say()
    say("Why that can be:")
    for text in _reasons(found, huey_name, huey):
        say(text, first="  - ")


def _reasons(found: Explanation, huey_name: str, huey: Any) -> Iterator[str]:
    given, looked = found.task_id, found.looked
    if not (looked.queued or looked.scheduled or looked.workers):
        yield (
            f"{huey_name} may not be the Huey that you mean: nothing waits in its queue, and no "
            "worker is seen."
        )
    if given in huey._registry._registry:
        yield (
            f"'{given}' is the name of a task, and each run of it has an id of its own. Whether "
            "all of them are paused, huey-signals tokens show tells."
        )
        return
    if given.startswith(("r:", "rt:")):
        yield "That is the key of a token; the id is what stands after the colon."
        return
    if len(given) != _ID_LENGTH or given.count("-") != 4:
        yield (
            f"The id is not whole, if Huey has made it: then it has {_ID_LENGTH} characters, and "
            f"this has {len(given)}."
        )
    if found.storage == "memory":
        yield "This Huey keeps all in the memory of each process, and no other can look there."
    yield "It is done and its result was read, which deletes it, or has expired."
    yield (
        "It is done and left no result: it returned None, say, is periodic, or was skipped: "
        "revoked, or on a lock, when the kit stores no lock errors."
    )
    if not looked.workers:
        yield "It is running in a worker without the kit: such ones do not tell what they run."
    yield "The id is mistyped, or of a task of another queue."
