"""Ctrl-C in the middle of a command that changes something: it says what was done until then."""

from __future__ import annotations

import signal
import uuid

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.cli._locks import command as locks_command
from huey_signals_kit.upkeep import errors, kit_data
from huey_signals_kit.upkeep.locks import release
from huey_signals_kit.upkeep.tokens import listing, marks
from tests.cli.conftest import LONG
from tests.locks import GONE, taken_by

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(place, name, after)`: Ctrl-C instead of the call after so many calls."""
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}

    def set_up(place, name, after=0):
        real, calls = getattr(place, name), []

        def call(*args, **options):
            calls.append(args)
            if len(calls) > after:
                signal.raise_signal(signal.SIGINT)
            return real(*args, **options)

        monkeypatch.setattr(place, name, call)

    yield set_up
    for signum, handler in before.items():
        signal.signal(signum, handler)


def interrupted(shop, *words):
    """What the command prints on stderr before it ends with the exit code of Ctrl-C."""
    ran = shop.run(*words)
    assert (ran.code, ran.out) == (130, "")
    start = "interrupted; before that, "
    assert start in ran.err
    return ran.err.partition(start)[2].rstrip("\n")


def test_a_sweep_says_how_many_tokens_it_has_read(sqlite_shop, interrupt):
    """And deleted; a dry run says that nothing was changed."""
    sqlite_shop.fill()
    interrupt(marks, "drop_unseen")
    assert interrupted(sqlite_shop, "sweep", sqlite_shop.name, "--apply") == (
        "6 tokens were read and 0 deleted; up to one more batch may have been deleted"
    )
    interrupt(marks, "buckets")
    assert interrupted(sqlite_shop, "sweep", sqlite_shop.name) == (
        "6 tokens were read, and nothing was changed"
    )


def test_a_purge_says_how_many_keys_it_has_read(sqlite_shop, interrupt, monkeypatch):
    """Batch by batch."""
    sqlite_shop.fill()
    monkeypatch.setattr(errors._Purge, "_delete", lambda purge, batch: None)
    interrupt(errors._Purge, "_delete")
    words = interrupted(sqlite_shop, "purge", sqlite_shop.name, "--apply")
    assert words == "13 keys were read and 0 deleted; up to one more batch may have been deleted"


def test_a_deletion_of_tokens_says_what_it_has_deleted(sqlite_shop, interrupt):
    """Here before the first batch."""
    sqlite_shop.fill()
    interrupt(listing, "open_store")
    assert interrupted(sqlite_shop, "tokens", "delete", sqlite_shop.name, LONG, "--apply") == (
        "nothing was changed"
    )


@pytest.mark.parametrize("words", [["one", "two"], ["--stale"]])
def test_a_release_names_the_locks_that_it_has_released(sqlite_shop, interrupt, words):
    """By name, or because their holders are dead."""
    for name in ("one", "two"):
        taken_by(sqlite_shop.huey, name, GONE, task_id=str(uuid.uuid4()))
    place = release if words == ["--stale"] else locks_command
    interrupt(place, "release_unchanged", after=1)
    ran = interrupted(sqlite_shop, "locks", "release", sqlite_shop.name, *words, "--apply")
    assert ran == "1 lock was released: one"


def test_a_release_of_unknown_outcome_is_not_denied(sqlite_shop, interrupt):
    """The storage has not answered yet."""
    taken_by(sqlite_shop.huey, "one", GONE)
    interrupt(locks_command, "release_unchanged")
    words = interrupted(sqlite_shop, "locks", "release", sqlite_shop.name, "one", "--apply")
    assert (
        words == "it is unknown whether a lock was released; huey-signals locks shows what is held"
    )


def test_forgetting_names_what_it_has_deleted(sqlite_shop, interrupt):
    """Kind by kind; the same command deletes the rest."""
    sqlite_shop.huey.storage.put_data("huey-signals:process:old", b"of version 0.1")
    interrupt(kit_data, "open_kit_store")
    assert interrupted(sqlite_shop, "forget", sqlite_shop.name, "--apply") == (
        "it is unknown whether anything was deleted; the same command deletes the rest"
    )
