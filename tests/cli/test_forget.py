"""``huey-signals forget``: all that the kit has written, and nothing else."""

from __future__ import annotations

import json
import os

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import ProcessId, this_process
from huey_signals_kit.upkeep import kit_data as module
from huey_signals_kit.upkeep import sweep_tokens
from tests.support import kit_data, put_kit_data, store

ELSEWHERE = ProcessId("elsewhere", "another space", 7, 1)


def test_it_says_what_it_would_delete_and_then_does(shop):
    """Results, tokens and locks stay; what is done is found done."""
    shop.fill()
    sweep_tokens(shop.huey)
    shop.huey.storage.put_data("huey-signals:process:old", b"of version 0.1")
    before = {key: value for key, value in store(shop.huey).items() if "huey-signals" not in key}
    kept = kit_data(shop.huey)
    would = shop.run("forget", shop.name)
    assert (would.code, kit_data(shop.huey)) == (0, kept)
    assert "Dry run: nothing is changed." in would.words
    assert would.row("keys of version 0.1 among the results")
    done = shop.run("forget", shop.name, "--apply", "--json")
    assert (done.code, json.loads(done.out)["dry_run"]) == (0, False)
    assert (kit_data(shop.huey), store(shop.huey)) == ({}, before)
    again = shop.run("forget", shop.name, "--json")
    assert json.loads(again.out)["found"] == {}


def test_the_report_tells_of_what_version_0_1_left(sqlite_shop):
    """And of the command that deletes it."""
    sqlite_shop.huey.storage.put_data("huey-signals:process:old", b"of version 0.1")
    words = sqlite_shop.run("report", sqlite_shop.name).words
    assert (
        "To delete 1 key of version 0.1 of the kit, which this version does not read: "
        f"huey-signals forget {sqlite_shop.name}"
    ) in words


def test_a_living_process_keeps_it_from_all(sqlite_shop):
    """It is named, with what to do, and the exit code says that a person is needed."""
    open_ledger(sqlite_shop.huey).write(Heartbeat("me", this_process(), "thread"))
    ran = sqlite_shop.run("forget", sqlite_shop.name, "--apply")
    assert ran.code == 1
    assert f"process {os.getpid()} on" in ran.err
    assert "Stop this process" in ran.err
    assert kit_data(sqlite_shop.huey)


def test_one_record(sqlite_shop, monkeypatch):
    """Of a process that is gone; one that is not there is no success."""
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.0)
    put_kit_data(sqlite_shop.huey, "process:away", Heartbeat("away", ELSEWHERE, "thread").dump())
    dry = sqlite_shop.run("forget", sqlite_shop.name, "--record", "away")
    assert (dry.code, "process:away" in kit_data(sqlite_shop.huey)) == (0, True)
    assert "--record away --apply" in dry.words
    as_json = sqlite_shop.run("forget", sqlite_shop.name, "--record", "away", "--json")
    assert json.loads(as_json.out) == {"record": "away", "found": True, "dry_run": True}
    done = sqlite_shop.run("forget", sqlite_shop.name, "--record", "away", "--apply")
    assert (done.code, "process:away" in kit_data(sqlite_shop.huey)) == (0, False)
    assert sqlite_shop.run("forget", sqlite_shop.name, "--record", "away", "--apply").code == 1
