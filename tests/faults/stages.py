"""What is hostile in turn: values, messages, the ledger, and much of anything."""

from __future__ import annotations

from inspect import signature
from itertools import chain
from uuid import uuid4

from huey.utils import Error

from tests.faults import hostile
from tests.faults.watched import LOCK_ERROR, digests, watched
from tests.support import delete_kit_data, kit_data, put_kit_data


def both(run, watch):
    """Under every kind of key, and then in the queue and the schedule."""
    return {"values": values(run, watch), "messages": messages(run, watch)}


def values(run, watch):
    """Under every kind of key."""
    readable, unreadable = run.values()
    put = {}
    for number, value in enumerate(chain(readable.values(), unreadable.values())):
        for key in run.keys_of(number).values():
            run.huey.storage.put_data(key, value)
            put[key] = value
    before = digests(run.huey)
    found = watched(run, watch, run.tools)
    after = digests(run.huey)
    return {
        **found,
        "readable": len(readable),
        "unreadable": len(unreadable),
        "errors": sum(name.startswith("an error with it in it") for name in readable),
        "gone": sorted(key for key in put if after.get(key) != before[key]),
        "left": sorted(after.keys() - put.keys()),
    }


def messages(run, watch):
    """In the queue and the schedule: first those that say who they are, then the others too."""
    huey, inner = run.huey, hostile.bodies(run.marker)
    ids = [str(uuid4()) for _ in inner]
    for task_id, (name, body) in zip(ids, inner.items(), strict=True):
        stage = hostile.message(nested := str(uuid4()), body)
        raw = run.packed(hostile.whole(hostile.message(task_id, body, stage)))
        huey.storage.enqueue(raw) if len(name) % 2 else schedule(huey, raw)
        huey.revoke_by_id(task_id)
        huey.revoke_by_id(nested)
    for _ in range(2):
        huey.revoke_by_id(str(uuid4()))
        huey.put_result(str(uuid4()), Error(dict(LOCK_ERROR)))
    first = watched(run, watch, run.tools)
    readable, unreadable = run.values()
    readable = {name: each for name, each in readable.items() if "a message with" not in name}
    wrong = [*readable.values(), *unreadable.values(), *map(run.packed, no_messages(run))]
    wrong = [each for each in dict.fromkeys(wrong) if each]
    for number, raw in enumerate(wrong):
        huey.storage.enqueue(raw) if number % 2 else schedule(huey, raw)
    for _ in range(3):
        huey.revoke_by_id(str(uuid4()))
    before = digests(huey)
    second = watched(run, watch, run.tools)
    after = digests(huey)
    return {
        "messages": len(inner),
        "wrong": len(wrong),
        "first": first,
        "second": second,
        "gone": sorted(before.keys() - after.keys()),
    }


def no_messages(run):
    """Huey's ``Message`` with something else where its id, its name or its time stands."""
    doubling, call = hostile.doubling(), hostile.bodies(run.marker)["REDUCE: eval"]
    for wrong in (doubling, call, b"]q\x00h\x00a", b"}", b")"):
        yield hostile.whole(hostile.message(wrong, b"N"))
        yield hostile.whole(hostile.message("id", b"N").replace(hostile.text("a.task"), wrong))
        nested = hostile.message(wrong, b"N")
        yield hostile.whole(hostile.message(str(uuid4()), b"N", nested))
        yield hostile.whole(b"chuey.registry\nMessage\n(" + wrong + b"tR")


def schedule(huey, raw):
    add = huey.storage.add_to_schedule
    more = (huey.utc,) if "utc" in signature(add).parameters else ()  # in Huey 2
    add(raw, huey._get_timestamp(), *more)


OWN = ["process", "totals", "marks", "lease:sweep", "lease:tidy", "lease:sweep turn", "expiring"]
JSON = {
    "a number without end": b'{"version": 1, "id": "x", "started": ' + b"9" * 400 + b"}",
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "of another version": b'{"version": 2}',
    "no numbers": b'["x", 1, NaN, ["h", "s", Infinity, 1]]',
    "for ever": b'["x", 1, 1e300, ["h", "s", 1, 1]]',
    "never a number": b'["x", 1, NaN, ["h", "s", 1, 1]]',
    "less than none": b'["x", 1, -1, ["h", "s", -1, 1]]',
    "whose process is this": b'["x", 1, 30, ["h", "s", 1' + b"0" * 500 + b", 1]]",
}


# Totals do not have that.
NOT_IN_TOTALS = "started beyond all numbers"


def ledger(run, watch):
    """Each value in turn: under those keys that hide what is running, and under the others."""
    readable, unreadable = run.values()
    some = {**dict(list(readable.items())[::15]), **unreadable, **JSON, **records()}
    found = {}
    for name, value in list(some.items())[:: run.options.get("every", 1)]:
        for owns in (OWN[:2], OWN[2:]):
            hidden = run.hidden
            for own in owns:
                put_own(run, own, value)
            seen = watched(run, watch, run.tools)
            take_own(run)
            named = seen["report"]["unreadable"]["records"]
            if owns == OWN[:2]:
                assert len(named) == (1 if name == NOT_IN_TOTALS else 2), (name, named)
                assert run.hidden == hidden + 1
            else:
                assert named == []
            found[f"{owns[0]}: {name}"] = {part: seen[part] for part in NOTICED}
    return {"found": found}


def records():
    """The form of a record, with numbers that are none, or that nobody could write again."""
    begin = (
        b'{"version": 1, "id": "x", "place": ["h", "s", 1, 1], "worker": "", "sequence": 1, '
        b'"running": [], "locks": [], "sealed": true, "bounds": [0.005, 0.025, 0.1, 0.25, 0.5, '
        b"1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0], "
        b'"epoch": "e", "revision": 1, "ids": [], '
    )
    count = b'"totals": [[["huey_signals_total", "q", "t", "s"], '
    timed = b'"totals": [[["huey_task_seconds", "q", "t"], [1, '
    return {
        "started beyond all numbers": begin + b'"totals": [], "started": ' + b"9" * 400 + b"}",
        "a count of 4,000 digits": begin + b'"started": 0, ' + count + b"9" * 4000 + b"]]}",
        "a sum beyond all numbers": begin + b'"started": 0, ' + timed + b"9" * 400 + b", []]]]}",
    }


def put_own(run, own, value):
    if own in ("marks", "expiring"):
        key = "marks:00" if own == "marks" else "expiring:000000000000001x0"
        put_kit_data(run.huey, key, value)
        return
    backend = run.ledger._backend()
    if own.startswith("lease"):
        backend.leases.put_if_absent(own, value, 1000)
    else:
        backend.put_if_absent("process:x" if own == "process" else own, value, 1000)


def take_own(run):
    storage = run.huey.storage
    delete_kit_data(run.huey, *kit_data(run.huey))
    if hasattr(storage, "conn") and hasattr(storage.conn, "scan_iter"):
        for key in storage.conn.scan_iter(match=f"huey-signals.*{storage.name}*"):
            storage.conn.delete(key)


def large(run, watch):
    """One at a time, under each kind of key and in the queue and the schedule."""
    found, storage, keys = {}, run.huey.storage, run.keys_of(0)
    for name, value in hostile.large(run.marker).items():
        if name not in run.options.get("names", WHERE):
            continue
        for where in WHERE[name]:
            if where in OWN:
                put_own(run, where, value)
            elif where == "queue":
                storage.enqueue(value)
            elif where == "schedule":
                schedule(run.huey, value)
            else:
                storage.put_data(keys[where], value)
            seen = watched(run, watch, run.tools)
            if where in keys:
                assert storage.peek_data(keys[where]) == value, where
                storage.delete_data(keys[where])
            storage.flush_queue()
            storage.flush_schedule()
            take_own(run)
            found[f"{where}: {name}"] = {part: seen[part] for part in NOTICED}
    return {"found": found}


NOTICED = ("modules", "ran", "seen", "seconds", "megabytes")
WHERE = {
    "100,000 deep": ["result", "queue"],
    "100,000 lists deep": ["result", "schedule"],
    "two million instructions": ["result"],
    "a million sets": ["result"],
    "30 MB of a text with a wide letter": ["result"],
    "30 MB of ids": ["schedule"],
    "50 MB, and a call": ["result", "token", "queue", "totals", "lease:sweep"],
    "16 MB of lists as JSON": ["process", "totals"],
    "15 MB of marks": ["marks"],
}
