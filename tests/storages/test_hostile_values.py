"""No value in the store can run code in upkeep's tools, be deleted by them, or exhaust them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from huey.utils import Error

from huey_signals_kit.upkeep import report, sweep_tokens
from tests.consumer.harness import ROOT
from tests.faults.stages import WHERE, schedule
from tests.selection import slow_except

EVERY_PROTOCOL = {"protocols": [*range(6)]}
OPTIONS = {
    "sqlite": EVERY_PROTOCOL,
    "redis": EVERY_PROTOCOL,
    "file": {"protocols": [0, 5]},
    "redis-expire": {},
}
SOME = {"some": 4}
"""Every fourth value."""
SECONDS, MEGABYTES = 20, 300
"""Of the processor, so that a busy machine makes no difference; and of memory."""


def run(place, tmp_path, stage, **options):
    """What a process of its own noticed; *stage* says what is hostile."""
    asked = {**vars(place), "stage": stage, "marker": str(tmp_path / "it-ran"), **options}
    command = [sys.executable, "-m", "tests.faults.watched", json.dumps(asked)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout)


def assert_nothing_ran(found):
    assert not found["ran"], "a value has run code"
    assert found["seen"] == [], "a value had something imported, opened or started"
    assert found["modules"] == []
    assert found["seconds"] < SECONDS
    assert found["megabytes"] < MEGABYTES


def test_in_every_place(any_kind, make_place, tmp_path, thorough):
    """Every instruction that could call, in all forms: nothing runs, all is counted and left."""
    asked = OPTIONS.get(any_kind, SOME) if thorough else SOME
    found = run(make_place(any_kind), tmp_path, "both", **asked)
    check_values(found["values"])
    check_messages(found["messages"])


def check_values(found):
    """Under every kind of key; none of them stands in the way of what is genuine."""
    assert_nothing_ran(found)
    number, unreadable = found["readable"] + found["unreadable"], found["unreadable"]
    assert found["gone"] == []
    told = found["report"]
    assert {kind: each["keys"] for kind, each in told["kinds"].items()} == {
        "result": number - found["errors"] + 1,
        "error": found["errors"] + 2,
        "token": 2 * number + 4,
        "pause_switch": number,
        "lock": number,
        "rate_window": number,
        "chord_part": number,
        "kit": 0,
    }
    assert told["unreadable"] == {"values": 3 * number + unreadable, "messages": 0, "records": []}
    first, second = found["sweeps"]
    assert (first["live"], first["marked"], first["deleted"]) == (1, 3, 0)
    assert (second["live"], second["marked"], second["deleted"]) == (1, 0, 3)
    assert (first["undecided"], first["custom"]) == (number, number)
    assert (found["purge"]["deleted"], found["purge"]["unreadable"]) == (2, unreadable)


def check_messages(found):
    """One around which a message can be read keeps its own tokens only; any other keeps all."""
    first, second = found["first"], found["second"]
    for each in (first, second):
        assert_nothing_ran(each)
    assert first["report"]["unreadable"]["messages"] == 0
    assert first["report"]["queue_length"] + first["report"]["schedule"]["length"] == (
        found["messages"] + 1
    )
    live = 2 * found["messages"] + 1
    assert [each["live"] for each in first["sweeps"]] == [live, live]
    assert first["sweeps"][1]["deleted"] == 2
    assert second["report"]["unreadable"]["messages"] == found["wrong"]
    for each in second["sweeps"]:
        assert (each["live"], each["deleted"]) == (live, 0)
        assert each["stopped"].startswith("a message cannot be read: its task may still run")
    assert second["purge"]["deleted"] == 0
    assert found["gone"] == []


@pytest.mark.parametrize(
    "serializer",
    slow_except(["signed and compressed"], ["compressed", "signed", "signed and compressed"]),
)
def test_compressed_and_signed(make_place, serializer, tmp_path):
    """Whoever knows the secret can do no more than without one."""
    found = run(make_place("sqlite"), tmp_path, "values", serializer=serializer)
    check_values(found)
    assert found["unreadable"] > 15


@pytest.mark.parametrize(
    "kind", slow_except(["redis"], ["sqlite", "file", "redis", "redis-expire"])
)
def test_in_the_kits_own_keys(make_place, kind, tmp_path, thorough):
    """Marks, heartbeats, totals, leases: what is not the kit's own form counts as none."""
    every = 2 if OPTIONS[kind] is EVERY_PROTOCOL and thorough else 4
    found = run(make_place(kind), tmp_path, "ledger", every=every)["found"]
    assert len(found) > 10
    for each in found.values():
        assert_nothing_ran(each)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("sqlite", [*WHERE]),
        ("redis", ["50 MB, and a call", "30 MB of ids"]),
    ],
)
def test_much_of_anything(make_place, kind, names, tmp_path):
    """Up to the bound and beyond it, under each key, in the queue and the schedule."""
    found = run(make_place(kind), tmp_path, "large", names=names)["found"]
    assert len(found) == sum(len(WHERE[name]) for name in names)
    for each in found.values():
        assert_nothing_ran(each)


def test_times_with_a_zone_beside_times_without(any_huey):
    """Huey writes none with a zone; whoever does is counted like anybody."""

    @any_huey.task()
    def job():
        return None

    zones = [None, timezone.utc, timezone(timedelta(hours=-14)), None]
    for year, zone in enumerate(zones, 2090):
        raw = any_huey.serialize_task(job.s(eta=None))
        task = any_huey.deserialize_task(raw)
        task.eta = datetime(year, 1, 1, tzinfo=zone)
        schedule(any_huey, any_huey.serialize_task(task))
    found = report(any_huey).schedule
    assert (found.length, found.first, found.last) == (
        4,
        "2090-01-01T00:00:00",
        "2093-01-01T00:00:00",
    )


def test_the_class_of_an_error_is_a_name(make_huey):
    """Not the 100 kB that somebody has put before the bracket."""
    huey = make_huey("sqlite")
    huey.put_result("x", Error({"error": "x" * 100_000 + "('no')"}))
    assert report(huey).errors == {"?": 1}


FOREIGN = """
import sys, types, uuid
from tests.support import Place
huey = Place(*sys.argv[1:4]).open()
there = types.ModuleType("only_there")
exec("class Thing:\\n def __init__(self): self.me = [self]\\n"
     "class Text(str): pass", vars(there))
sys.modules["only_there"] = there
@huey.task()
def job(*args, **kwargs): return None
for n in range(150):
    thing = there.Thing()
    head = job.s({n: thing}, there.Text("x"), thing=thing).then(job, thing).error(job, [thing])
    head.eta = huey._get_timestamp() if n % 2 else None
    huey.add_schedule(head) if n % 2 else huey.enqueue(head)
    for task in (head, head.on_complete, head.on_error):
        huey.revoke(task)
for n in range(100):
    huey.revoke_by_id(str(uuid.uuid4()))
"""


def test_a_queue_of_classes_that_cannot_be_imported_is_swept(any_kind, make_place, make_huey):
    """Filled by an application whose modules nobody has here: tokens of queued tasks live."""
    place = make_place("sqlite" if any_kind == "memory" else any_kind)
    command = [sys.executable, "-c", FOREIGN, place.kind, place.location, place.name]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    huey = make_huey(place.kind, place.name)
    assert report(huey).tokens.orphaned == 100
    sweep_tokens(huey, clock=lambda: 0.0)
    swept = sweep_tokens(huey, clock=lambda: 86_401.0)
    assert (swept.live, swept.deleted, swept.unreadable) == (450, 100, 0)
    assert "only_there" not in sys.modules
