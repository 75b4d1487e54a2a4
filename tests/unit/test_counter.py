"""Counts: exact under threads, folded where names are endless, a child's own after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from contextlib import suppress
from uuid import uuid4

import pytest
from huey import MemoryHuey
from huey.exceptions import TaskLockedException

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers import count_lock_skips, count_signals
from huey_signals_kit.huey_internals.facts import SIGNALS
from huey_signals_kit.metrics.counter import AGGREGATE_AT, MetricCounter
from huey_signals_kit.metrics.labels import fold
from huey_signals_kit.metrics.names import LABELS
from huey_signals_kit.store.keys import Kind
from tests.support import hold, run_all, stored_errors


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("report", "report"),
        ("media:17", "media:*"),
        ("media:3f2504e0-4f89-11d3-9a0c-0305e82c3301", "media:*"),
        ("media:3F2504E04F8911D39A0C0305E82C3301", "media:*"),
        ("commit 9fceb02d0ae5", "commit *"),
        ("user_12_of_2024-11", "user_*_of_*-*"),
        ("q3report", "q*report"),
        ("facade", "facade"),
        ("deadbeefdeadbeef", "*"),
        ("0xCAFE", "*"),
        ("a1", "*"),
        ("", ""),
        ("zeile\nzwei", "zeile\nzwei"),
        ("größe:7", "größe:*"),
        ("x" * 150, "x" * 99 + "…"),
    ],
)
def test_endless_names_are_folded(name, label):
    """UUIDs, hexadecimal words and digits become a star, words stay words."""
    assert fold(name) == label
    assert fold(label) == label


def test_the_number_of_labels_is_capped(make_huey):
    """The first hundred have their own, the rest is ``other``, and the sum is right."""
    huey = make_huey()
    kit = install_handlers(huey)

    @huey.task()
    def guarded(name):
        with huey.lock_task(name):
            """Never runs."""

    letters = [a + b for a in "ghijklmnop" for b in "ghijklmnopqrstu"]
    for name in letters:
        hold(huey, name)
        guarded(name)
    run_all(huey)
    assert kit.count("huey_lock_skips_total") == 150
    assert kit.count("huey_lock_skips_total", lock="gg") == 1
    assert kit.count("huey_lock_skips_total", lock="other") == 50
    # A lock beyond the hundred is one of the others, and so is one that was never seen.
    assert kit.count("huey_lock_skips_total", lock=letters[-1]) == 50
    assert kit.count("huey_lock_skips_total", lock="never") == 50


def test_a_lock_is_asked_for_by_its_own_name(make_huey):
    """``count(lock=...)`` folds as counting does."""
    huey = make_huey()
    kit = install_handlers(huey)
    for name in ("media:1", "media:22"):
        task = huey.task(name=f"t{name}")(huey.lock_task(name)(lambda: None))
        hold(huey, name)
        task()
    run_all(huey)
    for asked in ("media:1", "media:9", "media:*"):
        assert kit.count("huey_lock_skips_total", lock=asked) == 2


def test_a_lock_that_was_never_counted_takes_no_label(make_huey):
    """Asking is not counting."""
    kit = install_handlers(make_huey())
    for number in range(200):
        assert kit.count("huey_lock_skips_total", lock="x" * number) == 0


def refuse(huey, way):
    """Have a held lock refused, outside of a task or by a task that says nothing of it."""
    if way == "a view":
        with pytest.raises(TaskLockedException), huey.lock_task("media:1"):
            """Never runs."""
    elif way == "acquire":
        with pytest.raises(TaskLockedException):
            huey.lock_task("media:2").acquire()
    else:

        @huey.task(name=f"catches{uuid4().hex}")
        def catches():
            with suppress(TaskLockedException), huey.lock_task("media:3"):
                """Never runs."""

        catches()
        run_all(huey)


@pytest.mark.parametrize("way", ["a view", "acquire", "a task"])
def test_refusals_are_counted_at_the_lock(any_huey, way):
    """Also those of which no signal tells; one that could be taken is none."""
    kit = install_handlers(any_huey)
    for number in range(4):
        hold(any_huey, f"media:{number}")
    for _ in range(3):
        refuse(any_huey, way)
    with any_huey.lock_task("free"):
        """It was free."""
    assert kit.count("huey_lock_refusals_total", lock="media:1") == 3
    assert kit.count("huey_lock_refusals_total") == 3
    assert kit.count("huey_lock_skips_total") == 0


def test_a_locked_task_is_one_skip_and_one_refusal(make_huey):
    """Where the kit came after the lock as well; what waits to be added up stays short."""
    huey = make_huey()

    @huey.task()
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    hold(huey, "held")
    kit = install_handlers(huey, preset=[])
    for _ in range(1200):
        guarded()
    run_all(huey)
    assert len(kit._counter.pending) < 500
    assert kit.count("huey_lock_refusals_total", queue=huey.name) == 1200


def test_label_values_have_no_spaces(make_huey):
    """Those that the kit makes: kinds, signals, its own jobs."""
    kit = install_handlers(make_huey())
    kit._reporter.job_failed("stale locks", ValueError())
    assert kit.count("huey_handler_errors_total", handler="stale_locks") == 1
    assert not [each for each in (*SIGNALS, *map(str, Kind), *LABELS) if " " in each]


@pytest.mark.parametrize("sinks", [None, "memory"])
@pytest.mark.parametrize("preset", ["quiet-locks", "observe", []])
def test_what_happened_once_is_counted_once(make_huey, sinks, preset):
    """Whichever registrations of the counting handlers match, and whatever calls them."""
    huey = make_huey()
    kit = install_handlers(huey, preset=preset, sinks=sinks)
    kit.registry.add(count_signals, "complete", "error", "locked", tasks="*.guarded")
    kit.registry.add(count_signals, "complete", "error", "locked", tasks="*.g*", priority=-1)
    kit.registry.add(count_lock_skips)
    kit.registry.add(count_lock_skips, "locked", "retrying", tasks="*.guarded")
    kit.on("locked")(lambda event: count_signals(event) or count_lock_skips(event))

    @huey.task(retries=1)
    @huey.lock_task("L")
    def guarded():
        """Never runs."""

    hold(huey, "L")
    guarded()
    run_all(huey)
    assert kit.count("huey_signals_total", signal="locked") == 2
    assert kit.count("huey_lock_skips_total", lock="L") == 2


@pytest.mark.parametrize(
    ("metric", "labels", "text"),
    [
        ("huey_lock_skip_total", {}, "Did you mean 'huey_lock_skips_total'?"),
        ("huey_signals_total", {"singal": "x"}, "Did you mean 'signal'?"),
        ("huey_signals_total", {"signal": "lockd"}, "Did you mean 'locked'?"),
        ("huey_signals_total", {"lock": "x"}, "It has 'queue', 'signal', 'task'"),
    ],
)
def test_asking_for_what_is_not_counted_is_refused(make_huey, metric, labels, text):
    """A misspelt metric must not read as zero."""
    kit = install_handlers(make_huey())
    with pytest.raises(ValueError, match=text.replace("?", r"\?")):
        kit.count(metric, **labels)
    with pytest.raises(TypeError, match="takes a string, got 3"):
        kit.count("huey_signals_total", signal=3)


def test_what_waits_to_be_added_up_stays_short(make_huey):
    """Also where no signal is heard and only the task's own option drops."""
    huey = make_huey()
    kit = install_handlers(huey, preset=[])

    @huey.task(lock_errors="drop")
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    hold(huey, "held")
    for _ in range(1200):
        guarded()
    run_all(huey)
    assert len(kit._counter.pending) < 500
    assert kit.count("huey_results_suppressed_total") == 1200


def test_counts_are_exact_under_eight_threads(make_huey):
    """No increment is lost, no error stored, whoever runs beside whom."""
    huey = make_huey()
    kit = install_handlers(huey)

    @huey.task()
    @huey.lock_task("held")
    def guarded():
        """Never runs."""

    hold(huey, "held")
    for _ in range(8 * 250):
        guarded()
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run_all, args=(huey,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert kit.count("huey_lock_skips_total") == 2000
    assert kit.count("huey_results_suppressed_total") == 2000
    assert stored_errors(huey) == {}


def test_a_forked_child_works_with_counts_of_its_own():
    """Forked while another thread holds the kit's locks; parent and child count for themselves."""
    script = """
        import os, threading
        from huey import MemoryHuey
        from huey_signals_kit import install_handlers
        from huey_signals_kit.runtime.configuration import configuration

        huey = MemoryHuey("forking")
        kit = install_handlers(huey)

        @huey.task()
        @huey.lock_task("held")
        def guarded():
            pass

        huey.lock_task("held").__enter__()

        def skip(times):
            for _ in range(times):
                guarded()
                huey.execute(huey.dequeue())

        skip(3)
        held, done = threading.Event(), threading.Event()

        def hold():
            with configuration.lock, kit._counter._lock:
                held.set()
                done.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            before = kit.count("huey_lock_skips_total")
            skip(2)
            kit.on("complete")(lambda event: 1 / 0)
            huey.task(name="ordinary")(lambda: None)()
            huey.execute(huey.dequeue())
            assert kit.count("huey_handler_errors_total") == 1
            print("child", before, kit.count("huey_lock_skips_total"), len(huey.all_results()))
            os._exit(0)
        done.set()
        holder.join()
        os.waitpid(pid, 0)
        skip(1)
        print("parent", kit.count("huey_lock_skips_total"))
    """
    ran = subprocess.run(
        [sys.executable, "-u", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert (ran.stdout.split("\n"), ran.returncode) == (["child 0 2 1", "parent 4", ""], 0), ran


def test_counting_waits_for_nobody_who_adds_up():
    """Another thread may be at it, or a signal handler may have interrupted this one."""
    counts = MetricCounter("q")
    held, release = threading.Event(), threading.Event()

    def add_up():
        with counts._lock:
            held.set()
            release.wait(30)

    threading.Thread(target=add_up, daemon=True).start()
    held.wait(10)
    for _ in range(2 * AGGREGATE_AT):
        counts.add(("huey_tokens_cleaned_total", "skip"))
        counts.aggregate_if_large()
    release.set()
    with counts._lock:
        counts.aggregate_if_large()
        assert counts.total("huey_tokens_cleaned_total", {}) == 2 * AGGREGATE_AT


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_count_with_a_filter_of_events_counts_what_passes_it(is_wanted):
    """The receiver counts by itself only what has no such filter."""
    huey, own = MemoryHuey("filtered"), Registry("own")
    own.add(count_signals, "error", when=lambda event: is_wanted)
    with install_handlers(huey, own) as kit:
        huey.task(name="fails")(lambda: 1 / 0)()
        run_all(huey)
        assert kit.count("huey_signals_total", signal="error") == int(is_wanted)
