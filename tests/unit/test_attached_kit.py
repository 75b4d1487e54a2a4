"""A Huey has its own kit, whatever it shares with other Hueys, and keeps it alive."""

from __future__ import annotations

import copy
import gc
import weakref

from huey import MemoryHuey
from huey.registry import Registry

from huey_signals_kit import get_kit, install_handlers


def test_hueys_that_share_their_tasks_have_a_kit_each():
    """As a shallow copy of a Huey does."""
    first = MemoryHuey("first")
    second = copy.copy(first)
    kits = [install_handlers(huey) for huey in (first, second)]
    assert [get_kit(huey) for huey in (first, second)] == kits
    for kit in kits:
        kit.uninstall()
    assert [get_kit(huey) for huey in (first, second)] == [None, None]


def test_a_huey_whose_task_registry_is_replaced_keeps_its_kit():
    """As a fixture of a user's tests may do."""
    huey = MemoryHuey("replaced")
    kit = install_handlers(huey)
    huey._registry = Registry()
    assert get_kit(huey) is kit
    kit.uninstall()
    assert not any(huey._signal.receivers.values())


def test_a_kit_without_any_other_reference_lives_as_long_as_its_huey():
    """And no longer."""
    huey = MemoryHuey("alive")
    install_handlers(huey, preset=[])
    gc.collect()
    kit = weakref.ref(get_kit(huey))
    assert kit() is not None
    del huey
    gc.collect()
    assert kit() is None
