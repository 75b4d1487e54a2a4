"""`huey-signals purge`: stored errors go, after a dry run."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.upkeep import errors
from tests.support import results, store, stored_errors


def test_a_dry_run_says_what_it_would_do(shop):
    """And how to have it done, and changes nothing."""
    shop.fill()
    before = store(shop.huey)
    ran = shop.run("purge", shop.name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Dry run: nothing is changed.")
    assert ran.row("matched") == ["2", "TaskLockedException"]
    assert ran.row("would be deleted") == ["2"]
    assert ran.out.endswith(f"To make these changes:\n  huey-signals purge {shop.name} --apply\n")
    assert ran.fits()
    assert store(shop.huey) == before


def test_apply(shop):
    """Lock errors go, results stay."""
    shop.fill()
    ran = shop.run("purge", shop.name, "--apply")
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("deleted") == ["2"]
    assert "huey-signals" not in ran.out
    assert stored_errors(shop.huey) == {}
    assert sorted(results(shop.huey).values()) == [0, 1, 2]


def test_json(shop):
    """The report of the purge and nothing else."""
    shop.fill()
    ran = shop.run("purge", shop.name, "--apply", "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (found["matched"], found["deleted"], found["dry_run"]) == (2, 2, False)


def test_as_a_command(sqlite_shop):
    """A process of its own does the same."""
    sqlite_shop.fill()
    ran = sqlite_shop.command("purge", sqlite_shop.name, "--apply")
    assert (ran.code, ran.err) == (0, "")
    assert ran.row("deleted") == ["2"]


def keep_all(huey):
    """Marks every stored error as the kit marks those that are stored on purpose."""
    for key, metadata in stored_errors(huey).items():
        huey.put_result(key, errors.Error({**metadata, "kept": True}))


def test_errors_that_were_stored_on_purpose(shop):
    """Neither a purge nor the report's advice is about them, unless they are asked for."""
    shop.fill()
    keep_all(shop.huey)
    ran = shop.run("purge", shop.name, "--apply")
    assert (ran.code, ran.row("kept")[0], ran.row("deleted")) == (0, "2", ["0"])
    assert "stored on purpose (see --kept)" in ran.words
    assert len(stored_errors(shop.huey)) == 2
    ran = shop.run("report", shop.name, "--details")
    assert ran.row("TaskLockedException") == ["2", "2", "on", "purpose"]
    assert "stored lock error" not in ran.words
    ran = shop.run("purge", shop.name, "--kept")
    assert ran.row("would be deleted") == ["2"]
    assert ran.out.endswith(f"  huey-signals purge {shop.name} --apply --kept\n")
    ran = shop.run("purge", shop.name, "--kept", "--apply", "--json")
    found = json.loads(ran.out)
    assert (found["kept"], found["deleted"]) == (0, 2)
    assert stored_errors(shop.huey) == {}


def test_classes_of_ones_own(sqlite_shop):
    """Only these; the advice has them as well, and a long name still fits."""
    sqlite_shop.fill()
    long = "E" * 200
    sqlite_shop.huey.put_result("one", errors.Error({"error": f"{long}('no')"}))
    names = ["--exception", long, "--exception", "ValueError"]
    ran = sqlite_shop.run("purge", sqlite_shop.name, *names)
    assert ran.row("would be deleted") == ["1"]
    *text, command = ran.out.splitlines()
    assert command == f"  huey-signals purge {sqlite_shop.name} --apply {' '.join(names)}"
    assert max(map(len, text)) <= 80
    assert sqlite_shop.run("purge", sqlite_shop.name, *names, "--apply").code == 0
    assert len(stored_errors(sqlite_shop.huey)) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "huey.exceptions.TaskLockedException",
            "--exception takes names as stored errors have them, without a module, got "
            "'huey.exceptions.TaskLockedException'; write 'TaskLockedException'",
        ),
        (
            "",
            "--exception takes names as stored errors have them, without a module, got ''; "
            "write 'MyBusyError'",
        ),
        (
            "X;a.Y",
            "--exception takes names as stored errors have them, without a module, got "
            "'X;a.Y'; write 'X' and 'Y', each by itself",
        ),
        (
            "Busy('no')",
            "--exception takes names as stored errors have them, without a module, got "
            "\"Busy('no')\"; write 'MyBusyError'",
        ),
    ],
)
def test_what_is_no_class(sqlite_shop, name, said):
    """Refused, with what to write instead."""
    ran = sqlite_shop.run("purge", sqlite_shop.name, "--exception", name, "--apply")
    assert (ran.code, ran.out, ran.err) == (2, "", f"huey-signals purge: {said}\n")


def test_a_message_that_cannot_be_read(shop):
    """Nothing is deleted, which is said with exit code 1."""
    shop.fill()
    shop.huey.storage.enqueue(b"junk")
    ran = shop.run("purge", shop.name, "--apply")
    assert ran.code == 1
    assert ran.row("undecided")[0] == "2"
    assert ran.err == (
        "huey-signals purge: nothing more was deleted: a message cannot be read: its task may "
        "still run\n"
    )
    assert len(stored_errors(shop.huey)) == 2


def test_a_storage_that_goes_away_half_way(sqlite_shop, monkeypatch):
    """The error has what was done until then."""

    def gone(*_):
        raise OSError("the disk has gone away")

    sqlite_shop.fill()
    monkeypatch.setattr(errors.LiveTaskIds, "refresh", gone)
    ran = sqlite_shop.run("purge", sqlite_shop.name, "--apply")
    assert (ran.code, ran.out) == (1, "")
    assert "the disk has gone away; before that, 13 keys were read and 0 deleted" in ran.err
