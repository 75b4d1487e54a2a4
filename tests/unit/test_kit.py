"""Installing, uninstalling, and living with other code that wraps the same methods."""

from __future__ import annotations

import copy
import gc
import logging
import sys
import threading
import weakref

import pytest
from huey import MemoryHuey
from huey.signals import SIGNAL_COMPLETE, SIGNAL_LOCKED, Signal

from huey_signals_kit import (
    DROP,
    KEEP,
    AlreadyInstalled,
    Kit,
    Registry,
    get_kit,
    install_handlers,
    on,
    presets,
    register_preset,
    uninstall_handlers,
)
from huey_signals_kit._install import restore_kit
from huey_signals_kit.registry import default_registry
from huey_signals_kit.runtime.scheduler import scheduler
from tests.support import hold, results, run_all, stored_errors


def guarded_task(huey, **options):
    """A task that meets a held lock."""

    @huey.task(**options)
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    hold(huey, "held")
    return guarded


def snapshot(huey):
    """Everything on the Huey that the kit might touch."""
    hooks = (huey._pre_execute, huey._post_execute, huey._startup, huey._shutdown)
    receivers = {signal: list(each) for signal, each in huey._signal.receivers.items()}
    return dict(vars(huey)), receivers, [dict(each) for each in hooks]


def test_uninstalling_leaves_the_huey_as_it_was_found(any_huey):
    """Attributes, receivers and hooks, those that somebody else had put there included."""
    any_huey.signal(SIGNAL_LOCKED)(lambda *args: None)
    any_huey.signal("error")(str)
    any_huey.disconnect_signal(str, "error")
    before = snapshot(any_huey)
    kit = install_handlers(any_huey)
    kit.on()(lambda event: None)
    assert snapshot(any_huey) != before
    uninstall_handlers(any_huey)
    assert snapshot(any_huey) == before
    guarded_task(any_huey)()
    run_all(any_huey)
    assert len(stored_errors(any_huey)) == 1


def test_installing_and_uninstalling_again_and_again_leaves_nothing(make_huey):
    """No layer is left behind by any round."""
    huey = make_huey()
    before = snapshot(huey)
    for _ in range(50):
        install_handlers(huey).uninstall()
    assert snapshot(huey) == before


@pytest.mark.parametrize("method", ["put_result", "build_error_result"])
def test_a_wrapper_put_on_before_stays_and_is_restored(make_huey, method):
    """The kit wraps what it finds, and puts back exactly that."""
    huey = make_huey()
    calls = []
    original = getattr(huey, method)
    wrapper = lambda *args: (calls.append(args), original(*args))[1]  # noqa: E731
    setattr(huey, method, wrapper)
    kit = install_handlers(huey)

    @huey.task()
    def fails():
        raise ValueError("broken")

    broken = fails()
    guarded_task(huey)()
    run_all(huey)
    assert set(stored_errors(huey)) == {broken.id}
    assert calls
    kit.uninstall()
    assert vars(huey)[method] is wrapper


@pytest.mark.parametrize("method", ["put_result", "build_error_result"])
def test_a_wrapper_put_on_since_stays_and_the_kits_part_passes_everything_on(make_huey, method):
    """Uninstalling must not take other people's work away."""
    huey = make_huey()
    kit = install_handlers(huey)
    calls = []
    inner = getattr(huey, method)
    wrapper = lambda *args: (calls.append(args), inner(*args))[1]  # noqa: E731
    setattr(huey, method, wrapper)
    guarded = guarded_task(huey)
    guarded()
    run_all(huey)
    assert stored_errors(huey) == {}
    kit.uninstall()
    kept = guarded()
    run_all(huey)
    assert vars(huey)[method] is wrapper
    assert set(stored_errors(huey)) == {kept.id}
    assert stored_errors(huey)[kept.id]["traceback"]
    assert len(calls) >= 2


def test_a_wrapper_that_copies_the_metadata_does_not_bring_the_error_back(make_huey):
    """Other code may add the host to every error, in a dict of its own."""
    huey = make_huey()
    install_handlers(huey)
    inner = huey.build_error_result
    huey.build_error_result = lambda task, exc: {**inner(task, exc), "host": "web-1"}
    guarded_task(huey)()
    run_all(huey)
    assert stored_errors(huey) == {}


def test_a_wrapper_that_gives_an_error_of_its_own_is_believed(make_huey):
    """What other code stores under the task's id as a plain Error is not a lock skip."""
    huey = make_huey()
    install_handlers(huey)
    huey.build_error_result = lambda task, exc: {"error": "mine", "traceback": None}
    kept = guarded_task(huey)()
    run_all(huey)
    assert stored_errors(huey) == {kept.id: {"error": "mine", "traceback": None}}


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: {**metadata, "traceback": metadata["traceback"].upper()},
        lambda metadata: {**metadata, "error": f"web-1: {metadata['error']}"},
        copy.deepcopy,
    ],
    ids=["traceback", "error", "deepcopy"],
)
def test_a_wrapper_that_edits_the_metadata_does_not_bring_the_error_back(make_huey, change):
    """One of the two texts may be changed, and all of it be copied."""
    huey = make_huey()
    install_handlers(huey)
    build, put = huey.build_error_result, huey.put_result
    huey.build_error_result = lambda task, exc: change(build(task, exc))
    huey.put_result = lambda key, data: put(key, copy.deepcopy(data))
    guarded_task(huey)()
    run_all(huey)
    assert stored_errors(huey) == {}


def test_after_uninstalling_under_a_wrapper_no_task_option_counts(make_huey):
    """The kit's parts that stay behind decide nothing any more: Huey's own error is stored."""
    huey = make_huey()
    kit = install_handlers(huey)
    build, put = huey.build_error_result, huey.put_result
    huey.build_error_result = lambda task, exc: build(task, exc)
    huey.put_result = lambda key, data: put(key, data)
    guarded = guarded_task(huey, lock_errors="drop")
    kit.uninstall()
    kept = guarded()
    run_all(huey)
    assert set(stored_errors(huey)) == {kept.id}
    assert stored_errors(huey)[kept.id]["traceback"]


def test_a_subclass_may_widen_the_methods_that_the_kit_wraps():
    """Both are meant to be overridden, so arguments of their own are passed on."""

    class Wider(MemoryHuey):
        def put_result(self, key, data, ttl=None):
            self.ttl = ttl
            return super().put_result(key, data)

        def build_error_result(self, task, exception, extra=None):
            return {**super().build_error_result(task, exception), "extra": extra}

    huey = Wider("wider")
    install_handlers(huey)
    huey.put_result("key", "value", ttl=60)
    task = huey.task()(lambda: None).s()
    assert huey.ttl == 60
    assert huey.build_error_result(task, ValueError(), extra="more")["extra"] == "more"


def test_a_subclass_may_name_the_arguments_otherwise():
    """And its own code may call the methods by these names."""

    class Renamed(MemoryHuey):
        def put_result(self, key, value):
            return super().put_result(key, value)

        def build_error_result(self, task, exc):
            return super().build_error_result(task, exc)

    huey = Renamed("renamed")
    install_handlers(huey)
    huey.put_result(key="mine", value=3)
    assert huey.get("mine") == 3
    built = huey.build_error_result(task=huey.task()(lambda: None).s(), exc=ValueError("x"))
    assert built["error"] == "ValueError('x')"
    guarded_task(huey)()
    run_all(huey)
    assert stored_errors(huey) == {}


def test_a_method_of_another_huey_is_left_where_it_was(make_huey):
    """Somebody keeps the results of two queues in one place."""
    one, two = make_huey(), make_huey()
    two.put_result = one.put_result
    before = snapshot(two)
    install_handlers(two).uninstall()
    assert snapshot(two) == before


def test_a_preset_may_import_what_registers_handlers_in_another_thread(make_huey):
    """Building a preset holds no lock that ``on`` needs."""
    huey, mine = make_huey(), Registry()
    done = threading.Event()

    def register():
        mine.on("complete")(lambda event: None)
        done.set()

    @register_preset("importing")
    def importing(registry):
        threading.Thread(target=register).start()
        assert done.wait(20)

    try:
        install_handlers(huey, preset="importing")
    finally:
        presets._presets.pop("importing")


def test_a_subclass_may_wrap_emit_more_than_once():
    """The attempt behind a signal is found some frames further up."""

    class Deeper(MemoryHuey):
        def _emit(self, *args):
            self._more(*args)

        def _more(self, *args):
            self._and_more(*args)

        def _and_more(self, *args):
            super()._emit(*args)

    huey, events = Deeper("deeper"), []
    install_handlers(huey).on("complete")(events.append)
    huey.task()(lambda: 1)()
    run_all(huey)
    assert events[0].duration is not None


def test_reinstalling_under_somebody_elses_wrapper_works(make_huey):
    """The old part passes on, the new one holds back."""
    huey = make_huey()
    kit = install_handlers(huey)
    inner = huey.put_result
    huey.put_result = lambda key, data: inner(key, data)
    kit.uninstall()
    again = install_handlers(huey)
    guarded_task(huey)()
    run_all(huey)
    assert stored_errors(huey) == {}
    assert again.count("huey_results_suppressed_total") == 1
    assert kit.count("huey_results_suppressed_total") == 0


def test_called_again_alike_it_is_the_same_kit(make_huey):
    """However the same arguments are written."""
    huey, registry = make_huey(), Registry()
    kit = install_handlers(huey, preset="quiet-locks", registry=registry)
    assert install_handlers(huey, ["quiet-locks"], registry=registry) is kit
    assert install_handlers(huey, ("quiet-locks",), registry=registry, replace=True) is kit
    assert get_kit(huey) is kit


def test_called_again_otherwise_it_is_refused_unless_replaced(make_huey):
    """The error says what differs; with ``replace=True`` only the new kit is at work."""
    huey = make_huey()
    kit = install_handlers(huey)
    with pytest.raises(AlreadyInstalled, match=r"preset=\('quiet-locks',\); got preset=\('obs"):
        install_handlers(huey, preset="observe")
    assert get_kit(huey) is kit
    with pytest.raises(ValueError, match="unknown preset"):
        install_handlers(huey, preset="nope", replace=True)
    assert get_kit(huey) is kit
    replaced = install_handlers(huey, preset="observe", replace=True)
    assert (get_kit(huey), kit.installed, replaced.installed) == (replaced, False, True)
    kept = guarded_task(huey)()
    run_all(huey)
    assert set(stored_errors(huey)) == {kept.id}
    assert kit.count("huey_signals_total") == 0
    assert replaced.count("huey_signals_total") == 1


def test_a_kit_is_a_context_manager_that_uninstalls(make_huey):
    """Also when the block raises."""
    huey = make_huey()
    with install_handlers(huey) as kit:
        assert isinstance(kit, Kit)
        assert get_kit(huey) is kit
    assert get_kit(huey) is None
    with pytest.raises(ZeroDivisionError), install_handlers(huey):
        raise ZeroDivisionError
    assert get_kit(huey) is None


def test_uninstalling_what_is_not_installed_does_nothing(make_huey):
    """Twice, never, or the kit that was replaced."""
    huey = make_huey()
    uninstall_handlers(huey)
    old = install_handlers(huey)
    new = install_handlers(huey, preset="observe", replace=True)
    old.uninstall()
    assert get_kit(huey) is new
    new.uninstall()
    new.uninstall()
    assert get_kit(huey) is None


def test_a_signal_without_listeners_is_not_connected(make_huey):
    """A preset connects what it needs; a handler added later connects more, at once."""
    huey = make_huey()
    kit = install_handlers(huey)
    assert set(huey._signal.receivers) == {"any", "locked", "error", "revoked"}
    seen = []
    handler = kit.on(SIGNAL_COMPLETE)(lambda event: seen.append(event.signal))
    assert set(huey._signal.receivers) == {"any", "locked", "error", "revoked", "complete"}
    huey.task()(lambda: 1)()
    run_all(huey)
    kit.registry.remove(handler)
    assert set(huey._signal.receivers) == {"any", "locked", "error", "revoked"}
    assert seen == ["complete"]


def test_uninstalling_survives_a_huey_whose_signals_were_reset(make_huey):
    """A test fixture may have put a new ``Signal`` there."""
    huey = make_huey()
    kit = install_handlers(huey)
    huey._signal = Signal()
    kit.uninstall()
    assert get_kit(huey) is None
    assert not {"put_result", "build_error_result"} & set(vars(huey))


def test_an_install_that_fails_half_way_leaves_nothing():
    """A subclass may refuse a receiver."""

    class Refusing(MemoryHuey):
        def signal(self, *signals):
            if "locked" in signals:
                raise RuntimeError("no more receivers")
            return super().signal(*signals)

    huey = Refusing("refusing")
    before = snapshot(huey)
    with pytest.raises(RuntimeError, match="no more receivers"):
        install_handlers(huey)
    assert snapshot(huey) == before


def test_uninstalling_inside_a_handler_skips_nobody_elses_receiver(make_huey):
    """Huey is walking through its list of receivers just then."""
    huey, heard = make_huey(), []
    kit = install_handlers(huey, preset=[])
    kit.on("complete")(lambda event: kit.uninstall())
    huey.signal("complete")(lambda signal, task: heard.append(signal))
    huey.task()(lambda: 1)()
    run_all(huey)
    assert heard == ["complete"]


def test_a_restored_kit_has_its_jobs_again(make_huey):
    """Each once, also if it is restored while it is installed."""
    huey = make_huey()
    before = len(scheduler.jobs)
    kit = install_handlers(huey, "brief-locks", sinks="memory", quiet_logs=True)
    jobs = sorted(job.name for job in scheduler.jobs[before:])
    assert jobs == ["counts", "expired errors", "quiet_logs"]
    for _ in range(2):
        kit.uninstall()
        assert len(scheduler.jobs) == before
        restore_kit(kit)
        restore_kit(kit)
        assert sorted(job.name for job in scheduler.jobs[before:]) == jobs


def test_an_uninstalled_kit_connects_nothing_any_more(make_huey):
    """The default registry lives on, and so may the kit object."""
    huey = make_huey()
    kit = install_handlers(huey)
    kit.uninstall()
    before = snapshot(huey)
    handler = on("complete")(lambda event: None)
    default_registry.remove(handler)
    assert snapshot(huey) == before


def test_an_uninstalled_kit_refuses_handlers(make_huey):
    """They would never run; also after `replace=True`, which the message helps with."""
    huey = make_huey()
    kit = install_handlers(huey)
    other = install_handlers(huey, preset="observe", replace=True)
    text = f"would never run: this kit is no longer installed on '{huey.name}'; register it on"
    for register in (kit.on("complete"), kit.registry.add):
        with pytest.raises(RuntimeError, match=text):
            register(lambda event: None)
    with pytest.raises(RuntimeError, match=text):
        kit.registry.include(Registry())
    assert other.on("complete")(print) is print


def test_a_registry_that_another_kit_includes_stays_open(make_huey):
    """The kit that it was made for is gone, and what is registered there runs all the same."""
    first, second, seen = make_huey(), make_huey(), []
    registry = install_handlers(first).registry
    install_handlers(second, registry=registry)
    uninstall_handlers(first)
    registry.on("complete")(seen.append)
    second.task()(lambda: None)()
    run_all(second)
    assert [event.signal for event in seen] == ["complete"]


def test_registering_takes_as_much_work_for_the_last_handler_as_for_the_first(make_huey):
    """Measured in calls: twice as many handlers on an installed kit, twice the work."""

    def calls_to_register(count):
        kit, made = install_handlers(make_huey()), [lambda event, n=n: n for n in range(count)]
        calls = 0

        def profile(frame, kind, argument):
            nonlocal calls
            calls += 1

        sys.setprofile(profile)
        try:
            for each in made:
                kit.on(SIGNAL_LOCKED, "error")(each)
        finally:
            sys.setprofile(None)
        assert len(kit.registry) == count
        kit.uninstall()
        return calls

    calls_to_register(1)
    assert calls_to_register(400) < 2.2 * calls_to_register(200)


def test_a_handler_registered_between_events_hears_the_next_one(make_huey):
    """Who hears a signal is found out again after each change."""
    huey, seen = make_huey(), []
    kit = install_handlers(huey)
    guarded = guarded_task(huey)
    for count in range(3):
        guarded()
        run_all(huey)
        assert len(seen) == count
        seen.clear()
        kit.on(SIGNAL_LOCKED)(lambda event, count=count: seen.append(count))
    kit.registry.remove(kit.handlers[0])
    guarded()
    run_all(huey)
    assert seen == [1, 2]


def test_a_copy_of_a_huey_has_no_kit(make_huey):
    """The kit belongs to the original."""
    huey = make_huey()
    install_handlers(huey)
    assert get_kit(copy.copy(huey)) is None


def test_several_hueys_in_one_process_do_not_mix(make_huey):
    """Each has its kit, its verdicts and its counts."""
    one, two, three = make_huey(), make_huey(), make_huey()
    kit_one, kit_two = install_handlers(one), install_handlers(two, preset="observe")
    for huey in (one, two, three):
        guarded_task(huey)()
        run_all(huey)
    assert [len(stored_errors(huey)) for huey in (one, two, three)] == [0, 1, 1]
    assert kit_one.count("huey_signals_total", queue=one.name) == 1
    assert kit_one.count("huey_signals_total", queue=two.name) == 0
    assert kit_two.count("huey_signals_total") == 1


def test_the_modules_on_reaches_every_kit_before_and_after_the_install(make_huey):
    """The default registry is live in all kits, and needs no Huey."""
    seen = []

    def early(event):
        seen.append(("early", event.queue))

    def late(event):
        seen.append(("late", event.queue))

    on("complete")(early)
    one, two = make_huey(name="one"), make_huey(name="two")
    try:
        install_handlers(one)
        install_handlers(two, registry=Registry())
        on("complete", priority=-1)(late)
        for huey in (one, two):
            huey.task()(lambda: 1)()
            run_all(huey)
    finally:
        default_registry.remove(early)
        default_registry.remove(late)
    assert seen == [("early", "one"), ("late", "one"), ("early", "two"), ("late", "two")]
    assert "complete" not in one._signal.receivers


@pytest.mark.parametrize(("mine", "stored"), [(KEEP, 1), (DROP, 0), (None, 0)])
def test_a_registry_of_ones_own_decides_before_the_preset(make_huey, mine, stored):
    """Whatever the priorities; no opinion leaves it to the preset."""
    huey, registry = make_huey(), Registry()
    registry.add(lambda event: mine, SIGNAL_LOCKED, priority=-99)
    install_handlers(huey, registry=registry)
    guarded_task(huey)()
    run_all(huey)
    assert len(stored_errors(huey)) == stored


def test_presets_combine(make_huey):
    """A list of names and registries; ``[]`` is none at all."""
    huey, extra, seen = make_huey(), Registry(), []
    extra.add(lambda event: seen.append(event.signal), SIGNAL_COMPLETE)
    kit = install_handlers(huey, ["tidy-tokens", "observe", extra])
    assert set(huey._signal.receivers) == {"any", "locked", "error", "revoked", "complete"}
    assert len(kit.handlers) == 5
    kit = install_handlers(huey, [], replace=True)
    assert kit.handlers == ()
    assert set(huey._signal.receivers) == {"any"}


@pytest.mark.parametrize("preset", [["quiet-locks", "observe"], ["quiet-locks"] * 2, "observe"])
def test_what_two_presets_have_in_common_happens_once(make_huey, preset):
    """A skip is one skip, however many presets count it."""
    huey = make_huey()
    kit = install_handlers(huey, preset)
    guarded_task(huey)()
    run_all(huey)
    assert kit.count("huey_lock_skips_total") == kit.count("huey_signals_total") == 1


def test_a_registry_given_twice_runs_once(make_huey):
    """As ``registry=`` and as part of the preset; as the user's it comes first."""
    huey, mine, ran = make_huey(), Registry(), []
    mine.add(lambda event: ran.append(event.signal), "locked")
    kit = install_handlers(huey, ["observe", mine], registry=mine)
    guarded_task(huey)()
    run_all(huey)
    assert ran == ["locked"]
    assert len(kit.handlers) == 4


def test_lock_exceptions_replace_what_counts(make_huey):
    """The user's own class is dropped, Huey's is stored."""

    class Mine(Exception):
        """Raised by a lock of the user's own."""

    huey = make_huey()
    install_handlers(huey, lock_exceptions=Mine)

    @huey.task()
    def mine():
        raise Mine("busy")

    mine()
    kept = guarded_task(huey)()
    run_all(huey)
    assert set(stored_errors(huey)) == {kept.id}


def test_a_kit_keeps_neither_its_huey_nor_its_tasks_alive(caplog):
    """Nothing global refers to an installed kit, but for locks that are held; and to no task."""
    caplog.set_level(logging.CRITICAL + 1, "huey")  # a log record would keep the exception
    huey = MemoryHuey("short-lived")
    install_handlers(huey).on()(lambda event: None)
    guarded = huey.task()(huey.lock_task("held")(lambda: None))
    guarded()
    task = huey.dequeue()
    seen = weakref.ref(task)
    with huey.lock_task("held"):
        huey.execute(task)
    gone = weakref.ref(huey)
    del task
    gc.collect()
    assert seen() is None
    del huey, guarded
    gc.collect()
    assert gone() is None


def test_a_task_that_enqueues_another_inside_its_handler_mixes_nothing_up(make_huey):
    """In immediate mode a handler's own task is run, and skipped, between signal and store."""
    huey = make_huey(immediate=True)
    kit = install_handlers(huey)
    guarded = guarded_task(huey)

    @huey.task()
    @huey.lock_task("held")
    def outer():
        """Never runs."""

    @kit.on(SIGNAL_LOCKED, tasks=outer)
    def nested(event):
        guarded()
        return KEEP

    kept = outer()
    assert set(stored_errors(huey)) == {kept.id}


def test_results_are_what_they_were(make_huey):
    """A value that looks like an error's metadata is a value."""
    huey = make_huey()
    install_handlers(huey)
    value = {"error": "x", "traceback": "", "task_id": "y"}
    huey.task()(lambda: value)()
    run_all(huey)
    assert list(results(huey).values()) == [value]


def test_a_hook_that_took_the_place_of_the_kits_stays(make_huey):
    """Huey keys its hooks by name, and the kit takes out its own only."""
    huey = make_huey()
    kit = install_handlers(huey)
    huey._startup["huey_signals_kit"] = theirs = object()
    kit.uninstall()
    assert huey._startup == {"huey_signals_kit": theirs}
    assert huey._shutdown == {}
