"""`huey-signals locks`: who holds what, freed by name or because its holder is dead."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit import install_handlers, uninstall_handlers
from huey_signals_kit.cli._shared.durations import format_duration
from huey_signals_kit.upkeep import LockHeld, LockInspector, release_lock
from tests.consumer.harness import ROOT
from tests.locks import ELSEWHERE, GONE, key, taken_by

EVIL = "\x1b]0;owned\x07 \x1b[2J"


def names(huey):
    return [lock.name for lock in LockInspector(huey).all()]


def test_the_list(shop):
    """Each lock with its holder and whether that lives; with a dead one, exit code 1."""
    assert shop.run("locks", shop.name).out == "No locks.\n"
    install_handlers(shop.huey)
    shop.huey.put_if_empty(key(shop.huey, "bare"), "1")
    with shop.huey.lock_task("mine"):
        ran = shop.run("locks", shop.name)
        assert (ran.code, ran.err) == (0, "")
        taken_by(shop.huey, "dead", GONE)
        ran = shop.run("locks", shop.name)
        assert (ran.code, ran.err) == (1, "")
        assert ran.fits()
        assert ran.row("bare") == ["unclaimed", "?", "0", "?"]
        assert ran.row("dead")[0] == "dead"
        assert ran.row("dead")[-4:] == ["0", str(GONE.pid), "on", GONE.host]
        assert ran.row("mine")[0] == "alive"
        shown = [line.split()[0] for line in ran.out.splitlines()[2:5]]
        assert shown == ["dead", "bare", "mine"]
        assert f"huey-signals locks release {shop.name} --stale --apply" in ran.out
        found = json.loads(shop.run("locks", "list", shop.name, "--json").out)["locks"]
        alive = {each["name"]: (each["alive"], each["pid"]) for each in found}
        assert alive["bare"] == (None, None)
        assert alive["dead"] == (False, GONE.pid)
        assert alive["mine"][0] is True
    uninstall_handlers(shop.huey)


def test_what_is_stale_is_freed_when_asked_to(shop):
    """The dead one at once, what nobody claims by a second command, 15 minutes later."""
    taken_by(shop.huey, "dead", GONE)
    shop.huey.put_if_empty(key(shop.huey, "bare"), "1")
    ran = shop.run("locks", "release", shop.name, "--stale")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Dry run: nothing is changed.")
    assert ran.row("dead")[-3:] == [str(GONE.pid), "on", GONE.host]
    assert ran.words.endswith(
        "No process claims 1 lock. A second command like this one, at least 15 minutes later, "
        "releases what it finds unchanged."
    )
    assert ran.fits()
    assert names(shop.huey) == ["bare", "dead"]
    ran = shop.run("locks", "release", shop.name, "--stale", "--apply", "--json")
    found = json.loads(ran.out)
    assert [each["name"] for each in found["released"]] == ["dead"]
    assert [each["name"] for each in found["waiting"]] == ["bare"]
    assert (ran.code, found["dry_run"]) == (0, False)
    assert names(shop.huey) == ["bare"]
    ran = shop.run("locks", "release", shop.name, "--stale", "--apply")
    assert ran.out.startswith("Nothing was released.")


def test_the_id_of_the_task_that_held_a_released_lock_can_be_copied(sqlite_shop):
    """Once the lock is released, nothing else has the id."""
    task_id = str(uuid.uuid4())
    taken_by(sqlite_shop.huey, "dead", GONE, task_id=task_id)
    listed = sqlite_shop.run("locks", sqlite_shop.name)
    released = sqlite_shop.run("locks", "release", sqlite_shop.name, "--stale", "--apply")
    for ran in (listed, released):
        assert ran.fits()
        assert ran.row("dead")[-1] == task_id


def test_by_name(shop):
    """What a living process holds stays, with exit code 1; the others go."""
    install_handlers(shop.huey)
    for name in ("one", "two"):
        shop.huey.put_if_empty(key(shop.huey, name), "1")
    with shop.huey.lock_task("mine"):
        ran = shop.run("locks", "release", shop.name, "one", "two", "mine", "one", "--apply")
        assert ran.code == 1
        assert "the lock 'mine' of" in ran.err
        assert "which is alive: end that process" in ran.err
        assert names(shop.huey) == ["mine"]
    assert shop.run("locks", "release", shop.name, "mine").err == (
        "huey-signals locks release: no lock and no semaphore named 'mine' is held; "
        "huey-signals locks lists all that are held\n"
    )
    uninstall_handlers(shop.huey)


def test_a_holder_on_another_host_is_watched_before_its_lock_is_freed(make_shop):
    """A first look cannot tell whether it lives: it does, and beats while the command waits."""
    shop = make_shop("sqlite")
    taken_by(shop.huey, "held", ELSEWHERE)
    beating = """
import sys, time
from huey import SqliteHuey
from huey_signals_kit.ledger import Heartbeat, open_ledger
from tests.consumer.harness import ROOT
from tests.locks import ELSEWHERE
ledger = open_ledger(SqliteHuey(sys.argv[1], filename=sys.argv[2]))
for sequence in range(1, 400):
    ledger.write(Heartbeat("there", ELSEWHERE, sequence=sequence, locks=("held",)))
    print(sequence, flush=True)
    time.sleep(0.2)
"""
    command = [sys.executable, "-c", beating, shop.huey.name, shop.place.location]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline()
            ran = shop.run("locks", "release", shop.name, "held", "--apply")
        finally:
            other.kill()
    assert ran.code == 1
    assert "is held by process 4711 on another-host, which is alive" in ran.err
    assert names(shop.huey) == ["held"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give either the names of locks to release, or --stale for all whose holder is dead"),
        (
            ("x", "--stale"),
            "give either the names of locks to release, or --stale for all whose holder is dead",
        ),
        (("x", "--min-age", "banana"), "--min-age"),
        (("--stale", "--min-age", "5s"), "--min-age takes at least 15 seconds, got 5.0"),
        (
            ("--stale", "--min-age", "30"),
            "--min-age 30 has no unit: write 30d for days, 30s for seconds",
        ),
    ],
)
def test_wrong_use_is_refused(make_shop, arguments, said):
    """With exit code 2, and what would do."""
    shop = make_shop("sqlite")
    ran = shop.run("locks", "release", shop.name, *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_names_that_a_terminal_would_obey_are_only_shown(shop):
    """Also in the command that is printed for copying, which ends the options first."""
    shop.huey.put_if_empty(key(shop.huey, EVIL), "1")
    shop.huey.put_if_empty(key(shop.huey, "-x"), "1")
    for arguments in (("list",), ("release", "--", EVIL, "-x")):
        ran = shop.run("locks", arguments[0], shop.name, *arguments[1:])
        assert "\x1b" not in ran.out + ran.err
        assert "owned" in ran.out
    assert ran.code == 0
    assert f"--apply {shop.name} -- " in ran.out


def test_a_semaphore_shows_its_slots(make_shop):
    """And since when the oldest is taken."""
    shop = make_shop("redis")
    moment = shop.huey.storage.conn.time()[0]
    shop.huey.storage.conn.zadd(key(shop.huey, "few"), {"a": moment - 90, "b": moment})
    state, minutes, seconds, *rest = shop.run("locks", shop.name).row("few")
    assert (state, minutes, rest) == ("unknown", "1m", ["0", "2", "slots"])
    assert 30 <= int(seconds.removesuffix("s")) < 60  # the command takes a moment to start


@pytest.mark.parametrize("options", [[], ["--apply"]])
def test_a_semaphore_is_not_freed_by_name(make_shop, options):
    """Says that it is one and what frees it, with and without --apply; a lock beside it goes."""
    shop = make_shop("redis")
    moment = shop.huey.storage.conn.time()[0]
    few, slots = key(shop.huey, "few"), {"a": moment - 90, "b": moment - 30}
    shop.huey.storage.conn.zadd(few, slots)
    shop.huey.put_if_empty(key(shop.huey, "plain"), "1")
    ran = shop.run("locks", "release", shop.name, "few", "plain", *options)
    assert ran.code == 1
    assert ran.err.startswith(
        f"huey-signals locks release: 'few' of {shop.huey.name!r} is a semaphore, whose "
        "slots do not name their holders, so none is released; the last of its 2 slots "
        "was acquired or renewed 3"
    )
    assert ran.err.endswith(f"huey.storage.conn.delete({few!r})\n")
    assert ran.row("plain") == ["unclaimed", "?", "0", "?"]
    assert shop.huey.storage.conn.zcard(few) == 2
    left = [] if options else ["plain"]
    assert names(shop.huey) == ["few", *left]
    with pytest.raises(LockHeld, match="is a semaphore"):
        release_lock(shop.huey, "few")
    eval(ran.err.rpartition(": ")[2], {"huey": shop.huey})
    assert names(shop.huey) == left


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (59.9, "59s"), (60, "1m 0s"), (3700, "1h 1m"), (1e6, "11d 13h")],
)
def test_a_span_has_its_two_largest_units(seconds, said):
    """Nobody needs more of how long a lock is held."""
    assert format_duration(seconds) == said
