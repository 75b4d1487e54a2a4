"""Tests of the shop with the fixtures of huey-signals-kit."""

from __future__ import annotations

import pytest
from huey.exceptions import TaskException
from shop import CardRefused, charge, close_books, huey, import_orders, kit, mails

from huey_signals_kit import DROP, expire


@pytest.fixture(autouse=True)
def empty_shop():
    """Begin with no mails, and with an empty storage, which all tests of a process share."""
    mails.clear()
    huey.flush()


def test_an_import_is_skipped_while_another_one_runs(huey_signals, huey_lock):
    """Nothing is stored for it, and it is counted."""
    with huey_lock("import"):
        import_orders("monday.csv")
    assert huey_signals.skips(import_orders, lock="import") == 1
    assert huey_signals.suppressed(import_orders) == 1
    assert huey.result_count() == 0
    assert kit.count("huey_lock_skips_total") == 1


def test_the_next_import_runs(huey_signals, huey_lock):
    """The lock is free after the block."""
    with huey_lock("import"):
        import_orders("monday.csv")
    assert import_orders("tuesday.csv").get() == "imported tuesday.csv"
    assert huey_signals.signals(import_orders)[-1] == "complete"


def test_a_customer_is_told_once_that_the_card_was_refused(huey_signals):
    """After the last of three attempts; the first two store nothing."""
    charge(17, "stolen")
    assert mails == ["order 17 was not paid: stolen"]
    assert huey_signals.errors(charge, CardRefused) == 3
    assert [each.verdict for each in huey_signals.verdicts] == [DROP, DROP, expire(3600)]
    assert huey_signals.handler_errors() == 0


def test_closing_the_books_says_so_if_it_was_skipped(huey_signals, huey_lock):
    """`lock_errors="keep"` stores its lock error under every preset."""
    huey_lock("ledger")  # until the end of the test
    with pytest.raises(TaskException, match="unable to acquire lock ledger"):
        close_books().get()
    assert huey_signals.skips(close_books) == 1
    assert huey_signals.suppressed() == 0


def test_a_revoked_charge_leaves_no_token(huey_signals):
    """The kit deletes the revoke token after the task was skipped."""
    task = charge.s(18, "valid")
    huey.revoke(task)
    huey.enqueue(task)
    assert huey_signals.tokens(charge) == 1
    assert huey.result_count() == 0


@pytest.mark.huey_signals("observe")
def test_with_another_preset_the_lock_error_is_stored(huey_signals, huey_lock):
    """The mark gives options of `install_handlers`; the shop's handlers run all the same."""
    with huey_lock("import"), pytest.raises(TaskException):
        import_orders("monday.csv").get()
    assert huey_signals.skips(import_orders) == 1
    assert huey_signals.suppressed() == 0
