"""`huey-signals sweep`: a dry run first, two looks, and why it may stop."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.cli import _sweep
from huey_signals_kit.ledger import open_ledger
from huey_signals_kit.upkeep import sweep_tokens
from huey_signals_kit.upkeep.tokens import marks
from huey_signals_kit.upkeep.tokens.sweeper import LEASE, LEASE_SECONDS
from tests.selection import slow_except
from tests.support import delete_kit_data, kit_data, store, tokens

TWO_LOOKS = (
    "A token is deleted when two sweeps, at least 1 day apart, have found no trace of its task. "
    "The first sweep only marks it."
)


def looked(huey, ago):
    """A first look, so many seconds ago."""
    sweep_tokens(huey, clock=lambda: time.time() - ago)


def test_a_dry_run_says_what_it_would_do(shop):
    """And how to have it done, and changes nothing."""
    shop.fill()
    before = store(shop.huey)
    ran = shop.run("sweep", shop.name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Dry run: nothing is changed.")
    assert ran.row("live")[0] == "1"
    assert ran.row("custom")[0] == "2"
    assert ran.row("would be marked")[0] == "3"
    assert ran.row("would be deleted")[0] == "0"
    assert ran.words.endswith(
        f"{TWO_LOOKS} To make these changes: huey-signals sweep {shop.name} --apply"
    )
    assert ran.fits()
    assert store(shop.huey) == before


def test_the_first_look_marks_and_the_second_deletes(shop):
    """What lives, and ids of the user's own, stay; when the next is due is said."""
    waiting = shop.fill()
    first = shop.run("sweep", shop.name, "--apply")
    assert first.code == 0
    assert (first.row("marked")[0], first.row("deleted")[0]) == ("3", "0")
    assert f"{TWO_LOOKS} The next sweep is due 2" in first.words
    assert first.fits()
    assert len(tokens(shop.huey)) == 7
    forget_marks(shop.huey)
    looked(shop.huey, 86_401)
    due = shop.run("sweep", shop.name)
    assert due.row("would be deleted")[0] == "3"
    assert "The next sweep is due now." in due.words
    second = shop.run("sweep", shop.name, "--apply")
    assert (second.code, second.row("deleted")[0]) == (0, "3")
    left = {f"r:{waiting.id}", "r:nightly", f"r:{'x' * 200}", f"rt:{shop.module}.job"}
    assert tokens(shop.huey) == left


def forget_marks(huey):
    delete_kit_data(huey, *(key for key in kit_data(huey) if key.startswith("marks:")))


def test_json(shop):
    """The report of the sweep, and when the next is due."""
    shop.fill()
    ran = shop.run("sweep", shop.name, "--apply", "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (found["scanned"], found["marked"], found["dry_run"]) == (6, 3, False)
    assert found["next_due"].endswith("+00:00")
    assert json.loads(shop.run("sweep", shop.name, "--json").out)["dry_run"] is True


def test_as_a_command(sqlite_shop):
    """A process of its own does the same, without a bar where nobody looks."""
    sqlite_shop.fill()
    ran = sqlite_shop.command("sweep", sqlite_shop.name, "--apply")
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("marked")[0] == "3"


def test_a_bar_where_somebody_looks(sqlite_shop):
    """On stderr; stdout has the JSON and nothing else."""
    ours, theirs = pty.openpty()
    process = sqlite_shop.start("sweep", sqlite_shop.name, "--json", stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    assert b"sweeping tokens" in os.read(ours, 100_000)
    os.close(ours)
    assert json.loads(out)["scanned"] == 0


def test_nothing_to_do(sqlite_shop):
    """No advice where there is nothing to do."""
    ran = sqlite_shop.run("sweep", sqlite_shop.name)
    assert (ran.code, ran.row("all")[0]) == (0, "0")
    assert "huey-signals" not in ran.out


def test_the_advice_keeps_the_age(sqlite_shop):
    """Else another sweep would be done than was tried."""
    sqlite_shop.fill()
    ran = sqlite_shop.run("sweep", sqlite_shop.name, "--min-age", "90m")
    assert ran.out.endswith(f"  huey-signals sweep {sqlite_shop.name} --apply --min-age 90m\n")
    assert "two sweeps, at least 90 minutes apart" in ran.words


@pytest.mark.parametrize("age", ["3600", "15s", "1.5m", "2H", "1d", " 1w "])
def test_ages(sqlite_shop, age):
    """Seconds, or a number and a unit."""
    assert sqlite_shop.run("sweep", sqlite_shop.name, "--min-age", age).code == 0


@pytest.mark.parametrize("age", ["", "soon", "1y", "-1", "1d12h", "nan", "1e3"])
def test_what_is_no_age(sqlite_shop, age):
    """Refused, with how to write one."""
    ran = sqlite_shop.run("sweep", sqlite_shop.name, "--apply", f"--min-age={age}")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "huey-signals sweep: --min-age takes a number with s, m, h, d or w after it, as in 1d; "
        f"got {age!r}\n"
    )


@pytest.mark.parametrize(("age", "value"), [("14s", "14.0"), ("0s", "0.0")])
def test_too_young(sqlite_shop, age, value):
    """Refused, with the reason."""
    ran = sqlite_shop.run("sweep", sqlite_shop.name, "--min-age", age)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("huey-signals sweep: --min-age takes ")
    assert f"got {value}" in ran.err


@pytest.mark.parametrize("age", ["3651d", "99999999999999999999999w", "9" * 400])
def test_too_old(sqlite_shop, age):
    """Nobody means that; it would never delete anything."""
    ran = sqlite_shop.run("sweep", sqlite_shop.name, "--min-age", age)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("huey-signals sweep: --min-age takes ")
    assert len(ran.err) < 200


def hangs(shop):
    """A sweep that has the lease, and whose storage does not answer any more."""
    process = shop.start("sweep", shop.name, "--apply")
    assert shop.freezer.frozen.wait(30)
    return process


@pytest.mark.parametrize("signum", slow_except([signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]))
def test_one_signal_ends_it_while_the_storage_hangs(frozen_shop, signum):
    """The lease is not waited for any longer than a moment."""
    process = hangs(frozen_shop(b"hscan"))
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (128 + signum, "")
    assert err == "huey-signals sweep: interrupted; before that, nothing was changed\n"


def test_the_second_signal_ends_it_at_once(frozen_shop):
    """Whatever it waits for: here for its lease, which it cannot let go."""
    shop = frozen_shop(b"hscan")
    patience = "\nimport huey_signals_kit.upkeep.tokens.sweeper as it\nit.RELEASE_SECONDS = 1000\n"
    shop.write(shop.module, (shop.path / f"{shop.module}.py").read_text() + patience)
    process = hangs(shop)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM


def test_a_message_that_cannot_be_read(shop):
    """Nothing is deleted, which is said with exit code 1."""
    shop.fill()
    looked(shop.huey, 90_000)
    shop.huey.storage.enqueue(b"junk")
    for json_too in ((), ("--json",)):
        ran = shop.run("sweep", shop.name, "--apply", *json_too)
        assert ran.code == 1
        assert ran.err == (
            "huey-signals sweep: nothing more was deleted: a message cannot be read: its task "
            "may still run; see huey-signals report\n"
        )
    assert len(tokens(shop.huey)) == 7


def test_another_one_sweeps(shop, monkeypatch):
    """It is waited for, for longer than one that was killed could be in the way."""
    assert _sweep.LEASE_WAIT_SECONDS > LEASE_SECONDS
    monkeypatch.setattr(_sweep, "LEASE_WAIT_SECONDS", 0.0)
    lease = open_ledger(shop.huey).lease(LEASE, 30.0)
    assert lease.acquire()
    ran = shop.run("sweep", shop.name, "--apply")
    assert ran.code == 1
    assert ran.err == (
        "huey-signals sweep: nothing more was deleted: another process is sweeping\n"
    )
    lease.release()


def test_a_storage_that_goes_away_half_way(sqlite_shop, monkeypatch):
    """The error has what was done until then."""

    def gone(*_):
        raise OSError("the disk has gone away")

    sqlite_shop.fill()
    monkeypatch.setattr(marks, "drop_unseen", gone)
    ran = sqlite_shop.run("sweep", sqlite_shop.name, "--apply")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        f"huey-signals sweep: cannot use the SQLite file {sqlite_shop.place.location}: the disk "
        "has gone away; before that, 6 keys were read and 0 deleted\n"
    )
