"""Release a lock whose holder is dead."""

from __future__ import annotations

from ...upkeep import LockHeld, release_unchanged, validate_not_held
from ...upkeep.monitor.model import SeenLock
from .. import _content, _text
from .._content import LockRow
from .._page import NotFound, Refused
from .._request import Response
from .._site import Visit
from .._switches import digest
from .command import command
from .confirmation import Confirmation, form_fields, record, redirect

ACT = "release"
_NOTHING = "Nothing was released"


def find_lock(visit: Visit, given: str) -> LockRow:
    """Return the lock with a name from a link or a form.

    Raises:
        NotFound: No lock of that name is held.
    """
    state = visit.queue.state()
    locks = {seen.lock.name: seen for seen in state.snapshot.locks}
    name = given if _text.is_own_reference(given) else _text.resolve(given, locks)
    if name in locks:
        return _content.lock_row(locks[name], state)
    # The list is as old as the last search of the store.
    found = visit.queue.find_lock(given) if given and _text.is_own_reference(given) else None
    if found is not None:
        return _content.lock_row(SeenLock(found, None, ()), state)
    raise NotFound(f"The lock {_text.clean(given)!r} is not held.")


def refusal_of(row: LockRow) -> str:
    """Return why no form releases a lock; empty if its holder is known to be dead."""
    lock = row.lock
    if lock.kind == "semaphore":
        return (
            "A semaphore does not name its holders. Huey releases a slot when it is older than the "
            "timeout of the semaphore."
        )
    if lock.alive:
        return (
            "This lock is held by a living process, so it cannot be released here: two tasks could "
            "hold it. Stop the process, or wait until the task ends."
        )
    if lock.alive is None and not lock.doubt:
        unknown = (
            "Its value names no holder, so a process without the kit may be alive and hold it."
            if lock.holder is None
            else "Its holder has never written a heartbeat, so it may be alive."
        )
        return (
            f"{unknown} Only locks whose holder is known to be dead are released here. If you know "
            "that no task runs under it, use the command huey-signals locks release."
        )
    if lock.alive is None or not lock.is_settled:
        return f"It is in doubt whether its holder is alive: {_text.clean(lock.doubt)}."
    return ""


def confirm(visit: Visit) -> Confirmation:
    """Return the confirmation for the lock of the query."""
    row = find_lock(visit, visit.request.query.get("name", ""))
    lock = row.lock
    facts = []
    if lock.task_name:
        facts.append(("Held by", f"{_text.clean(lock.task_name)} {_text.clean(lock.task_id)}"))
    if lock.pid is not None:
        facts.append(("Process", f"{lock.pid} on {_text.clean(lock.host)}"))
    since = f"{_text.format_moment(lock.since)} ({_text.format_duration(row.seconds)})"
    facts.append(("Since", since if lock.since else "unknown"))
    facts.append(("Refused attempts", f"{row.last_hour:,} in the last hour"))
    return Confirmation(
        visit.queue.state(),
        ACT,
        "Release the lock",
        lock.name,
        "Release the lock",
        visit.url("lock", name=_text.reference(lock.name)),
        facts,
        (
            "Exactly this acquisition is released. If another process acquires the lock before you "
            "confirm, nothing happens.",
        ),
        refusal_of(row),
        {"name": _text.reference(lock.name), "acquisition": digest(lock.raw)},
        sign=row.state,
        evidence=_text.clean(row.evidence),
        command=command(visit.queue.huey, "locks", "release", names=(lock.name,)),
    )


def release(visit: Visit) -> Response:
    """Release the lock of the form, if the same acquisition still holds it, and its holder is dead.

    The acquisition that the page has shown must be the present one, and its holder must be known to
    be dead now: so neither a repeated form nor one that is hours old can release a lock
    that a living process holds. A value that names no holder is never released, because two
    acquisitions without the kit have the same value.
    """
    queue, form = visit.queue, form_fields(visit)
    given, shown = form.get("name", ""), form.get("acquisition", "")
    try:
        name = given if _text.is_own_reference(given) else find_lock(visit, given).lock.name
    except NotFound as exc:
        raise Refused(_NOTHING, str(exc.args[0])) from None
    locks = [lock for lock in queue.inspector.named([name]) if lock.kind == "lock"]
    if not locks or digest(locks[0].raw) != shown:
        raise Refused(
            _NOTHING,
            f"The lock {_text.clean(name)!r} was released, or acquired by another task, since the "
            "page was shown.",
        )
    (lock,) = locks
    try:
        validate_not_held(queue.huey, lock)
    except LockHeld as exc:
        raise Refused(_NOTHING, _text.clean(exc)) from None
    if lock.alive is not False:
        raise Refused(
            _NOTHING,
            f"The holder of the lock {_text.clean(name)!r} is not known to be dead.",
        )
    if not release_unchanged(queue.huey, lock):
        raise Refused(
            _NOTHING, f"The lock {_text.clean(name)!r} was acquired by another task just now."
        )
    kit = queue.kit
    if kit is not None:
        kit.report_released(lock)
    record(visit, ACT, name, 1)
    return redirect(visit, "locks", ACT)
