"""A kit for the duration of a test, and the application's kit back as it was."""

from __future__ import annotations

import gc
import logging
import os
import threading

import pytest
from huey import MemoryHuey
from huey.signals import SIGNAL_COMPLETE, SIGNAL_LOCKED

from huey_signals_kit import (
    DROP,
    KEEP,
    AlreadyInstalled,
    Kit,
    Registry,
    get_kit,
    install_handlers,
    on,
    uninstall_handlers,
)
from huey_signals_kit.inflight.patch import QueuePatch
from huey_signals_kit.registry import default_registry
from huey_signals_kit.runtime.scheduler import scheduler
from huey_signals_kit.sinks.protocol import PullSink
from huey_signals_kit.testing import held_lock, installed
from tests.support import hold, kit_data, run_all, stored_errors, wait_until


def guarded_task(huey):
    """A task that meets a held lock."""

    @huey.task()
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    if not huey.is_locked("held"):
        hold(huey, "held")
    return guarded


def skip(huey, guarded):
    guarded()
    run_all(huey)


def order(huey):
    """The receivers and hooks of a Huey, and the names of its patched attributes."""
    receivers = {signal: list(each) for signal, each in huey._signal.receivers.items() if each}
    return receivers, list(huey._startup), list(huey._shutdown), set(vars(huey))


FULL = {"sinks": "memory", "quiet_logs": True, "preset": ["quiet-locks", "reschedule-locks"]}


def test_without_an_earlier_kit_the_huey_is_left_as_it_was(make_huey):
    """A kit with the defaults is there in the block, and none after it."""
    huey = make_huey()
    before = order(huey)
    with installed(huey) as kit:
        assert get_kit(huey) is kit
        guarded = guarded_task(huey)
        skip(huey, guarded)
        assert stored_errors(huey) == {}
        assert kit.count("huey_lock_skips_total") == 1
    assert get_kit(huey) is None
    assert order(huey) == before
    skip(huey, guarded)
    assert len(stored_errors(huey)) == 1


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
def test_the_earlier_kit_is_the_same_object_and_works_again(make_huey, options, caplog):
    """Its verdicts, counts, meters, log summaries and handlers are as before, without doubles."""
    huey, seen = make_huey(), []
    kit = install_handlers(huey, **options)
    kit.on("complete")(seen.append)
    guarded, plain = guarded_task(huey), huey.task(name="plain")(lambda: None)
    plain()
    run_all(huey)
    before, handlers, jobs = order(huey), kit.handlers, len(scheduler.jobs)
    with installed(huey, preset="observe") as inner:
        assert get_kit(huey) is inner is not kit
        plain()
        run_all(huey)
        assert [event.signal for event in seen] == ["complete"] * 2
    assert get_kit(huey) is kit
    assert (order(huey), kit.handlers, len(scheduler.jobs)) == (before, handlers, jobs)
    plain()
    run_all(huey)
    assert len(seen) == 3
    if options:
        assert kit.count("huey_signals_total", signal="complete") == 2
        assert kit.count("huey_task_duration_seconds") == 2
    else:
        caplog.clear()
        skip(huey, guarded)
        assert kit.count("huey_lock_skips_total") == 1
    assert stored_errors(huey) == {}
    kit.uninstall()
    assert get_kit(huey) is None
    assert not [name for name in vars(huey) if name in ("put_result", "_execute", "lock_task")]


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
def test_many_tests_in_a_row_leave_no_layer(make_huey, options):
    """The Huey and the scheduler have as much on them after fifty blocks as after one."""
    huey = make_huey()
    kit = install_handlers(huey, **options)
    with installed(huey):
        pass
    before, jobs = order(huey), len(scheduler.jobs)
    filters = len(logging.getLogger("huey").filters)
    for _ in range(50):
        with installed(huey):
            pass
    assert (order(huey), len(scheduler.jobs)) == (before, jobs)
    assert len(logging.getLogger("huey").filters) == filters
    gc.collect()
    assert len([each for each in gc.get_objects() if type(each) is Kit and each.huey is huey]) == 1
    assert get_kit(huey) is kit


def test_receivers_and_hooks_keep_their_order(make_huey):
    """Those of other code from before and after the kit surround it again, each with its place."""
    huey, calls = make_huey(), []
    for signal in (SIGNAL_COMPLETE, "error"):
        huey.signal(signal)(lambda *args: calls.append("first"))
    huey.on_startup("early")(lambda: None)
    kit = install_handlers(huey)
    kit.on(SIGNAL_COMPLETE)(lambda event: calls.append("kit"))
    huey.signal(SIGNAL_COMPLETE)(lambda *args: calls.append("last"))
    huey.on_startup("late")(lambda: None)
    before = order(huey)
    with installed(huey):
        huey.task(name="within")(lambda: None)()
        run_all(huey)
        assert calls == ["first", "kit", "last"]
        assert order(huey)[1:3] == before[1:3]
        calls.clear()
        huey.signal(SIGNAL_COMPLETE)(lambda *args: calls.append("of the test"))
        huey.on_shutdown("of the test")(lambda: None)
    assert order(huey)[0]["error"] == before[0]["error"]
    assert order(huey)[1] == before[1] == ["early", "huey_signals_kit", "late"]
    assert order(huey)[2] == ["huey_signals_kit", "of the test"]
    huey.task()(lambda: None)()
    run_all(huey)
    assert calls == ["first", "kit", "last", "of the test"]


def test_a_receiver_that_the_test_disconnects_stays_away(make_huey):
    """What other code does to its own receivers is not undone."""
    huey = make_huey()
    receiver = huey.signal(SIGNAL_LOCKED)(lambda *args: None)
    install_handlers(huey)
    with installed(huey):
        huey.disconnect_signal(receiver, SIGNAL_LOCKED)
    assert receiver not in huey._signal.receivers[SIGNAL_LOCKED]


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "full"])
def test_wrappers_of_other_code_around_the_kit_stay_and_nothing_runs_twice(make_huey, options):
    """Such as those of an APM agent, which wraps after the kit was installed."""
    huey, calls = make_huey(), []
    kit = install_handlers(huey, **options)
    names = ("put_result", "build_error_result", "_execute", "put_if_empty", "dequeue")

    def wrap(name):
        original = getattr(huey, name)

        def wrapper(*args, **given):
            calls.append(name)
            return original(*args, **given)

        setattr(huey, name, wrapper)
        return wrapper

    wrappers = {name: wrap(name) for name in names}
    with installed(huey, "observe"):
        pass
    assert {name: getattr(huey, name) for name in names} == wrappers
    guarded, done = guarded_task(huey), huey.task(name="done")(lambda: 1)
    done()
    skip(huey, guarded)
    assert calls.count("_execute") == 2
    assert calls.count("put_result") == 2
    assert stored_errors(huey) == {}
    assert kit.count("huey_lock_skips_total") == 1
    if options:
        assert kit.count("huey_signals_total", signal="complete") == 1
    (lock,) = kit.locks()
    assert lock.pid == os.getpid()


def test_a_wrapper_that_other_code_removes_in_the_block_stays_removed(make_huey):
    """The end of the application's kit does not bring it back."""
    huey = make_huey()
    huey.put_result = lambda key, data: None
    kit = install_handlers(huey)
    with installed(huey):
        get_kit(huey).uninstall()
        del huey.put_result
    kit.uninstall()
    assert "put_result" not in vars(huey)


def test_counts_begin_at_zero_and_those_of_the_application_are_back_afterwards(make_huey):
    """In the block the application's own kit object answers with the counts of the test."""
    huey = make_huey()
    kit, guarded = install_handlers(huey), guarded_task(huey)
    skip(huey, guarded)
    with installed(huey) as inner:
        assert inner.count("huey_lock_skips_total") == kit.count("huey_lock_skips_total") == 0
        for _ in range(3):
            skip(huey, guarded)
        assert inner.count("huey_lock_skips_total") == kit.count("huey_lock_skips_total") == 3
    assert kit.count("huey_lock_skips_total") == 1
    assert inner.count("huey_lock_skips_total") == 3


def test_the_settings_and_handlers_of_the_application_count_in_the_test(make_huey):
    """An option of the test replaces one of its settings; its handlers run in any case."""
    huey, mine = make_huey(), Registry()
    kit = install_handlers(huey, "observe", registry=mine, lock_exceptions=KeyError)
    kit.on("error")(lambda event: DROP)
    mine.on("error", priority=1)(lambda event: KEEP if event.attempt == 2 else None)
    failing = huey.task(name="failing")(lambda: 1 / 0)
    with installed(huey) as same:
        assert not same.settings.difference(kit.settings)
        assert list(map(repr, same.handlers)) == list(map(repr, kit.handlers))
        failing()
        run_all(huey)
        assert stored_errors(huey) == {}
    with installed(huey, ["brief-locks"], clean_tokens="never") as other:
        assert other.settings.preset == ("brief-locks",)
        assert other.settings.clean_tokens == "never"
        assert other.settings.lock_exceptions == (KeyError,)
        failing()
        run_all(huey)
        assert stored_errors(huey) == {}


def test_handlers_registered_in_the_block_are_gone_after_it(make_huey):
    """On the kit, the application's kit, the module, and registries of any level."""
    huey, mine, nested, in_preset, seen = make_huey(), Registry(), Registry(), Registry(), []
    mine.include(nested)
    kit = install_handlers(huey, ["observe", in_preset], registry=mine)
    own = kit.on("complete")(lambda event: seen.append("own"))
    before = kit.handlers, list(default_registry), list(mine), list(nested), list(in_preset)
    late = Registry()
    late.on("complete")(lambda event: seen.append("late"))
    with installed(huey) as inner:
        for number, register in enumerate(
            (inner.on, kit.on, on, mine.on, nested.on, in_preset.on), start=1
        ):
            register("complete", name=f"n{number}")(lambda event, n=number: seen.append(n))
        mine.include(late)
        kit.registry.remove(own)
        huey.task(name="t")(lambda: None)()
        run_all(huey)
        assert seen == ["late", 1, 2, 3, 4, 5, 6]
    after = kit.handlers, list(default_registry), list(mine), list(nested), list(in_preset)
    assert after == before
    seen.clear()
    huey.task(name="u")(lambda: None)()
    run_all(huey)
    assert seen == ["own"]


def test_the_kit_of_a_test_refuses_handlers_after_it(make_huey):
    """They would never run; the application's kit takes them again, and refuses them once gone."""
    huey = make_huey()
    kit = install_handlers(huey)
    with installed(huey) as inner:
        pass
    with pytest.raises(RuntimeError, match="would never run"):
        inner.on("complete")(print)
    kit.on("complete")(print)
    kit.uninstall()
    with pytest.raises(RuntimeError, match="would never run"):
        kit.on("complete")(print)


def test_an_exception_in_the_block_is_passed_on_and_the_kit_is_back(make_huey):
    """Also from nested blocks on one Huey, of which the inner one fails."""
    huey = make_huey()
    kit = install_handlers(huey, "observe")
    before = order(huey)
    outer = installed(huey)
    try:
        with outer as first:
            with pytest.raises(KeyError), installed(huey, preset="brief-locks") as second:
                raise {}[second.settings.preset]
            assert get_kit(huey) is first
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert get_kit(huey) is kit
    assert order(huey) == before


def test_a_bad_option_is_refused_before_anything_changes(make_huey):
    """By name, with the nearest option; also what only `install_handlers` takes."""
    huey = make_huey()
    kit = install_handlers(huey)
    before = order(huey)
    with pytest.raises(TypeError, match=r"installed\(\) has no option 'presett'.*mean 'preset'"):
        installed(huey, presett="observe")
    with pytest.raises(TypeError, match="always replaces"):
        installed(huey, replace=True)
    with pytest.raises(TypeError, match=r"installed\(\) takes a Huey, got 3"):
        installed(3)
    with pytest.raises(ValueError, match="unknown preset 'quiet'"), installed(huey, "quiet"):
        pass
    with pytest.raises(TypeError, match="sinks="), installed(huey, sinks=3):
        pass
    assert get_kit(huey) is kit
    assert order(huey) == before


def test_a_sink_that_cannot_start_leaves_the_application_s_kit(make_huey):
    """Nothing was taken off the Huey by that time."""

    class Broken(PullSink):
        def start(self, source):
            raise OSError("no port")

        def stop(self, source):
            pass

    huey = make_huey()
    kit = install_handlers(huey)
    before = order(huey)
    with pytest.raises(OSError, match="no port"), installed(huey, sinks=Broken()):
        pass
    assert (get_kit(huey), order(huey)) == (kit, before)
    kit.on("complete")(print)


def test_a_kit_that_cannot_be_installed_leaves_the_application_s_kit(make_huey, monkeypatch):
    """It is back in its place, and works."""
    huey = make_huey()
    kit, guarded = install_handlers(huey), guarded_task(huey)
    before, install = order(huey), QueuePatch.install

    def fails(patch):
        monkeypatch.setattr(QueuePatch, "install", install)
        raise OSError("no memory")

    monkeypatch.setattr(QueuePatch, "install", fails)
    with pytest.raises(OSError, match="no memory"), installed(huey):
        pass
    assert (get_kit(huey), order(huey)) == (kit, before)
    skip(huey, guarded)
    assert kit.count("huey_lock_skips_total") == 1
    assert stored_errors(huey) == {}


def test_sinks_of_the_application_get_nothing_and_those_of_the_test_do(make_huey):
    """Everything is counted as with the sinks, so that the same counts can be asserted."""

    class Sent:
        interval = 3600.0

        def __init__(self):
            self.sent = []

        def send(self, changes):
            self.sent += [(each.metric, each.labels.get("signal")) for each in changes]

    huey, production, given = make_huey(), Sent(), Sent()
    kit = install_handlers(huey, sinks=production)
    with installed(huey) as inner:
        huey.task(name="t")(lambda: None)()
        run_all(huey)
        assert inner.count("huey_signals_total", signal="complete") == 1
    with installed(huey, sinks=given):
        huey.task(name="u")(lambda: None)()
        run_all(huey)
    assert ("huey_signals_total", "complete") in given.sent
    kit.flush()
    assert production.sent == []


def test_a_shared_storage_gets_no_data_of_the_kit(make_huey, tmp_path, monkeypatch):
    """Neither of the test's kit nor of the application's, with locks, counts and a worker."""
    monkeypatch.setenv("HUEY_SIGNALS_RUN_DIR", str(tmp_path / "run"))
    huey = make_huey("sqlite")
    kit = install_handlers(huey, stale_locks="release", sweep_interval=60)
    jobs = [job.name for job in scheduler.jobs]
    with installed(huey) as inner:
        inner._heartbeat.on_scheduler_detected()
        for hook in list(huey._startup.values()):
            hook()
        guarded = guarded_task(huey)
        skip(huey, guarded)
        assert inner.count("huey_lock_skips_total") == 1
        for each in scheduler.jobs:
            each.run()
        inner.report()
        for hook in list(huey._shutdown.values()):
            hook()
        with huey.lock_task("mine"), held_lock(huey, "theirs"):
            assert [job.name for job in scheduler.jobs] == jobs
            for each in scheduler.jobs:
                each.run()
            huey.lock_task("theirs").clear()
        huey.lock_task("held").clear()
    for each in scheduler.jobs:
        each.run()
    assert kit_data(huey) == {}
    assert not (tmp_path / "run").exists()
    skip(huey, huey.task(name="after")(huey.lock_task("held")(lambda: None)))
    huey.lock_task("held").__enter__()
    for each in scheduler.jobs:
        each.run()
    assert kit_data(huey) != {}
    huey.lock_task("held").clear()
    kit.uninstall()


def test_a_heartbeat_that_has_begun_goes_on(make_huey):
    """A process that others know must not look dead because of a test in it."""
    jobs_of_others, huey = scheduler.jobs, make_huey("sqlite")
    kit = install_handlers(huey)
    kit.on("complete")(lambda event: None)
    huey.lock_task("mine").__enter__()
    kit.report()
    (key,) = [key for key in kit_data(huey) if key.startswith("process:")]
    before = kit_data(huey)[key]
    with installed(huey):
        own = [each for each in scheduler.jobs if each not in jobs_of_others]
        (job,) = [each for each in own if each.name == "heartbeat"]
        assert job.run()
        assert kit_data(huey)[key] != before
    huey.lock_task("mine").clear()


def test_locks_move_between_the_kits(make_huey):
    """One that was acquired before the block is released in it, and the other way round."""
    huey = make_huey()
    install_handlers(huey)
    before, within = huey.lock_task("before"), huey.lock_task("within")
    before.__enter__()
    with installed(huey) as inner:
        before.__exit__(None, None, None)
        within.__enter__()
        assert [lock.name for lock in inner.locks()] == ["within"]
    within.__exit__(None, None, None)
    assert get_kit(huey).locks() == []
    assert get_kit(huey).count("huey_locks_lost_total") == 0
    with before, pytest.raises(Exception, match="unable to acquire lock before"), before:
        pass
    assert get_kit(huey).count("huey_lock_refusals_total", lock="before") == 1


def test_the_application_may_install_its_kit_again_in_the_block(make_huey):
    """With its own arguments, as an app factory does: it gets the kit of the test."""
    huey = make_huey()
    kit = install_handlers(huey, "observe", sinks="memory")
    with installed(huey, "brief-locks") as outer, installed(huey, clean_tokens="never") as inner:
        assert install_handlers(huey, "observe", sinks="memory") is inner
        assert install_handlers(huey, "brief-locks", sinks="memory") is inner
        with pytest.raises(AlreadyInstalled, match="A test has replaced the kit"):
            install_handlers(huey, "reschedule-locks")
        assert outer.test_kit is inner
    assert get_kit(huey) is kit


def test_a_kit_that_the_test_removes_or_replaces_does_not_outlive_it(make_huey):
    """As the lifespan of an application does, which uninstalls at shutdown."""
    huey = make_huey()
    kit = install_handlers(huey)
    before = order(huey)
    with installed(huey) as inner:
        inner.uninstall()
        assert get_kit(huey) is None
    assert (get_kit(huey), order(huey)) == (kit, before)
    with installed(huey):
        uninstall_handlers(huey)
        other = install_handlers(huey, "observe")
    assert (get_kit(huey), order(huey)) == (kit, before)
    assert not other.installed
    with installed(huey) as inner:
        kit.uninstall()
        assert get_kit(huey) is inner
    assert (get_kit(huey), order(huey)) == (kit, before)


def test_blocks_that_end_in_the_wrong_order_are_reported_and_end(make_huey):
    """The application's kit is back all the same, and the inner block ends without an error."""
    huey = make_huey()
    kit = install_handlers(huey)
    outer, inner = installed(huey), installed(huey)
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="End blocks in reverse order"):
        outer.__exit__(None, None, None)
    assert get_kit(huey) is kit
    inner.__exit__(None, None, None)
    assert get_kit(huey) is kit


def test_one_object_is_one_block(make_huey):
    """Begun twice it would put back the kit of the test; after its end it can begin again."""
    huey = make_huey()
    once = installed(huey)
    with once, pytest.raises(RuntimeError, match="is active already"):
        once.__enter__()
    with once as kit:
        assert get_kit(huey) is kit
    assert get_kit(huey) is None


def test_two_hueys_are_independent(make_huey):
    """Their blocks may even overlap."""
    first, second = make_huey(), make_huey()
    kit = install_handlers(second)
    one, two = installed(first), installed(second)
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert get_kit(first) is None
    assert get_kit(second) is not kit
    two.__exit__(None, None, None)
    assert get_kit(second) is kit


def test_background_handlers_finish_before_the_block_ends(make_huey):
    """Those of the test, and those of the application."""
    huey, started, seen = make_huey(), threading.Event(), []
    kit = install_handlers(huey)
    kit.on("complete", background=True)(lambda event: seen.append("application"))
    with installed(huey) as inner:

        @inner.on("complete", background=True)
        def slow(event):
            started.wait(10)
            seen.append("test")

        huey.task(name="t")(lambda: None)()
        run_all(huey)
        started.set()
    assert sorted(seen) == ["application", "test"]


def test_background_handlers_finish_earlier_events_before_the_block_begins(make_huey):
    """So that a test does not see what the one before it has caused."""
    huey, go, seen = make_huey(), threading.Event(), []
    kit = install_handlers(huey)

    @kit.on("complete", background=True)
    def slow(event):
        go.wait(10)
        seen.append(event.task_name)

    huey.task(name="t")(lambda: None)()
    run_all(huey)
    threading.Timer(0.05, go.set).start()
    with installed(huey):
        assert len(seen) == 1


def test_immediate_mode_is_left_as_it_is(make_huey):
    """The kit of a test works in it, and a Huey without it stays without it."""
    huey = MemoryHuey("now", immediate=True)
    with installed(huey) as kit, huey.lock_task("held"):
        guarded_task(huey)()
        assert kit.count("huey_lock_skips_total") == 1
    queued = make_huey()
    with installed(queued):
        assert not queued.immediate


def test_sentry_and_breadcrumbs_belong_to_the_kit_of_the_test(make_huey):
    """The processor of Sentry's events asks the test's kit, and the application's afterwards."""
    from huey_signals_kit.integrations.sentry_events import _processor

    huey = make_huey()
    install_handlers(huey)
    own = _processor.kits[id(huey)]
    with installed(huey, sentry=False):
        assert id(huey) not in _processor.kits
    with installed(huey):
        assert _processor.kits[id(huey)] is not own
    assert _processor.kits[id(huey)] is own


def test_a_forked_child_has_the_kit_of_the_test(make_huey):
    """With counts from zero; the parent's block is not affected by the child's end."""
    huey = make_huey()
    kit, guarded = install_handlers(huey), guarded_task(huey)
    with installed(huey) as inner:
        skip(huey, guarded)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            skip(huey, guarded)
            os.write(write, b"%d" % kit.count("huey_lock_skips_total"))
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert os.read(read, 10) == b"1"
        assert inner.count("huey_lock_skips_total") == 1
    assert get_kit(huey) is kit


def test_a_worker_thread_may_run_across_the_end(make_huey):
    """A task that ends after the block is handled by the application's kit."""
    huey, running, go = make_huey(), threading.Event(), threading.Event()
    kit = install_handlers(huey)
    kit.on("complete")(lambda event: None)

    @huey.task()
    def slow():
        running.set()
        go.wait(10)

    slow()
    with installed(huey):
        thread = threading.Thread(target=run_all, args=(huey,))
        thread.start()
        assert running.wait(10)
    go.set()
    thread.join(10)
    wait_until(lambda: not thread.is_alive(), 5, "the worker")
    assert get_kit(huey) is kit
