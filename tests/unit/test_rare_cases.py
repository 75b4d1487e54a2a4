"""Cases that are rare, and that a user would still be surprised by."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import uuid4

import pytest
from huey import MemoryHuey

from huey_signals_kit import DROP, Registry, install_handlers
from huey_signals_kit.dispatch import handler as handler_module
from huey_signals_kit.dispatch.filters import TaskFilter, validate_tasks
from huey_signals_kit.handlers import count_signals
from huey_signals_kit.inflight import tasks as inflight_tasks
from huey_signals_kit.presets import build_preset, register_preset
from huey_signals_kit.runtime import threads
from huey_signals_kit.upkeep.results import rows as rows_module
from huey_signals_kit.upkeep.results.rows import ResultSlice
from huey_signals_kit.upkeep.tokens import slices as slices_module
from huey_signals_kit.upkeep.tokens.slices import Slice
from huey_signals_kit.verdict import Verdict
from tests.support import run_all


def fail():
    """Fail."""
    raise ValueError("failed")


@pytest.mark.parametrize(("action", "seconds"), [("expire", None), ("drop", 3.0), ("keep", 1.0)])
def test_only_an_error_that_expires_has_seconds(action, seconds):
    """A verdict is made by `expire`, `DROP` or `KEEP`."""
    with pytest.raises(ValueError, match=r"use expire\(\)"):
        Verdict(action, seconds)


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_count_with_a_filter_of_events_counts_what_passes_it(is_wanted):
    """The receiver counts by itself only what has no such filter."""
    huey, own = MemoryHuey("filtered"), Registry("own")
    own.add(count_signals, "error", when=lambda event: is_wanted)
    with install_handlers(huey, own) as kit:
        huey.task()(fail)()
        run_all(huey)
        assert kit.count("huey_signals_total", signal="error") == int(is_wanted)


def test_a_registry_that_is_included_twice_is_included_once():
    """And one that is excluded without being included changes nothing."""
    registry, other = Registry("one"), Registry("other")
    other.add(lambda event: None, name="only")
    registry.include(other)
    registry.include(other)
    registry.exclude(Registry("never included"))
    assert [each.name for each in registry] == ["only"]
    registry.exclude(other)
    assert list(registry) == []


def test_a_class_can_fill_a_preset(monkeypatch):
    """It is called with the registry like a function."""
    monkeypatch.setattr("huey_signals_kit.presets._presets", {})

    @register_preset("by-class")
    class Preset:
        def __init__(self, registry):
            registry.on("locked", name="by class")(lambda event: DROP)

    assert [each.name for each in build_preset("by-class")] == ["by class"]


def test_a_filter_of_tasks_equals_only_a_filter_of_the_same_tasks():
    """So a handler that is registered again with another filter is another one."""
    assert validate_tasks("a.*") == validate_tasks(["a.*"])
    assert validate_tasks("a.*") != validate_tasks("b.*")
    assert validate_tasks("a.*") != "a.*"
    assert isinstance(validate_tasks("a.*"), TaskFilter)


def test_an_exit_in_the_plan_of_a_verdict_stops_the_worker(monkeypatch):
    """As Huey and Python expect of ``SystemExit``."""

    class Plan:
        def start(self):
            raise SystemExit

    verdict = Verdict("drop", plan=Plan())
    registry = Registry("plans")
    registry.add(lambda event: verdict, "locked")
    with pytest.raises(SystemExit):
        handler_module.run(list(registry), SimpleNamespace(_signal="locked"), print)


def test_an_interrupt_of_a_thread_is_raised_there_without_gevent(monkeypatch):
    """And in the main greenlet, where it is already in the right place."""
    monkeypatch.setitem(threads.sys.modules, "gevent", None)
    assert not threads.forward_interrupt(KeyboardInterrupt())
    main = object()
    gevent = SimpleNamespace(get_hub=lambda: SimpleNamespace(parent=main), getcurrent=lambda: main)
    monkeypatch.setitem(threads.sys.modules, "gevent", gevent)
    assert not threads.forward_interrupt(KeyboardInterrupt())

    @threads.forwarding_interrupts
    def work():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()


def test_a_task_with_too_many_ids_is_unread(monkeypatch):
    """A sweep then keeps all tokens, because any of them may be one of these."""
    monkeypatch.setattr(inflight_tasks, "MAX_IDS", 2)
    huey = MemoryHuey("ids")
    install_handlers(huey)
    task = huey.task()(lambda *others: None)
    ids = [str(uuid4()) for _ in range(3)]
    task(*ids)
    taken = huey.dequeue()
    assert [each for _, each in inflight_tasks.claimed_tasks(huey)] == [None]
    huey._tasks_in_flight.add(direct := task.s(*ids))
    assert (direct, None) in list(inflight_tasks.claimed_tasks(huey))
    huey._tasks_in_flight.clear()
    assert taken.args == tuple(ids)


def test_rows_of_results_and_tokens_are_sorted_in_parts(monkeypatch):
    """So a million of them never stand unsorted in memory."""
    monkeypatch.setattr(rows_module, "_SORT_BATCH", 2)
    monkeypatch.setattr(slices_module, "_SORT_BATCH", 2)
    results, tokens = ResultSlice(0.0), Slice(0.0)
    packed = [bytes([number]) * slices_module.SIZE for number in (3, 1, 2)]
    for number, packed_id in enumerate(packed):
        results.add(bytes([number]) * 8, packed_id, 10)
        tokens.add(b"value", packed_id)
    assert len(results._unsorted) == 1
    assert len(tokens._unsorted[0]) == slices_module.SIZE
    results.sort()
    tokens.sort()
    assert (results.size, tokens.size) == (3, 3)
    assert not results._unsorted
    assert not tokens._unsorted[0]
