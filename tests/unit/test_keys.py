"""What a key of the result store is."""

from __future__ import annotations

from uuid import uuid4

import pytest
from huey import MemoryHuey

from huey_signals_kit.store import Keys, Kind
from huey_signals_kit.store.keys import generated_in, is_generated


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("0b6a1f6e-2f7c-4d3b-9a58-0123456789ab", Kind.RESULT),
        ("nightly", Kind.RESULT),
        ("", Kind.RESULT),
        ("r:0b6a1f6e-2f7c-4d3b-9a58-0123456789ab", Kind.TOKEN),
        ("r:", Kind.TOKEN),
        ("rt:shop.tasks.sell", Kind.PAUSE),
        ("my-shop.lock.x", Kind.LOCK),
        ("my-shop.lock.", Kind.LOCK),
        ("myshop.lock.x", Kind.RESULT),
        ("my-shop.rl.x.w", Kind.RATE),
        ("my-shop.rl.x", Kind.RESULT),
        ("chord:1:0", Kind.CHORD),
        ("huey-signals:expiring:1", Kind.OWN),
        ("huey-signals.expiring", Kind.RESULT),
    ],
)
def test_a_key_says_what_it_is(key, kind):
    """By its beginning; the name of the Huey is taken as it is."""
    assert Keys(MemoryHuey("my-shop")).kind(key) is kind


def test_what_huey_writes_is_told(make_huey):
    """A lock, a token, a pause switch and a result, as this Huey writes them."""
    huey = make_huey("memory", "a shop")
    keys = Keys(huey)

    @huey.task(name="sell")
    def sell():
        return 1

    sell()
    huey.execute(huey.dequeue())
    sell.revoke()
    huey.revoke_by_id("some id")
    huey.lock_task("till").__enter__()
    kinds = {keys.kind(key) for key in huey.all_results()}
    assert kinds == {Kind.RESULT, Kind.PAUSE, Kind.TOKEN, Kind.LOCK}
    (lock,) = (key for key in huey.all_results() if keys.kind(key) is Kind.LOCK)
    assert keys.lock_name(lock) == "till"


def test_a_huey_may_have_any_name():
    """Its locks are locks even when they begin like tokens."""
    keys = Keys(MemoryHuey("r:x"))
    assert keys.kind("r:x.lock.a") is Kind.LOCK
    assert keys.kind("r:x") is Kind.TOKEN


def test_only_ids_of_hueys_own_form_are_taken_for_generated():
    """Another version of UUID, capitals or anything around it is a user's."""
    made = str(uuid4())
    assert is_generated(made)
    others = [made.upper(), f"{made}\n", made.replace("-", ""), f"x{made}", "nightly", ""]
    assert not any(map(is_generated, [*others, "0f8fad5b-d9cb-1f9f-a165-70867728950e"]))
    assert generated_in(f"a {made}, b {made.upper()} {made}") == {made}


def test_kinds_read_as_words():
    """In reports and as labels of metrics."""
    assert [str(kind) for kind in (Kind.PAUSE, Kind.OWN)] == ["pause_switch", "kit"]
    assert f"{Kind.RATE}" == "rate_window"
