"""Lock errors stay out of the store, everything else gets there, on every storage."""

from __future__ import annotations

import datetime
import json
import threading

import huey as huey_package
import pytest
from huey import crontab
from huey.exceptions import CancelExecution, RetryTask, TaskException, TaskLockedException
from huey.serializer import Serializer, SignedSerializer
from huey.utils import Error

from huey_signals_kit import DROP, KEEP, install_handlers
from tests.support import hold, results, run_all, store, stored_errors

TOMORROW = datetime.datetime.now() + datetime.timedelta(days=1)
VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")


class Busy(Exception):
    """A task's own name for a lock that it did not get."""


class Subclass(TaskLockedException):
    """A user's own kind of lock error."""


def declare(huey, **options):
    """The tasks of these tests, on a Huey whose lock ``held`` somebody else has."""

    @huey.task()
    def ordinary(n):
        return n * 2

    @huey.task(**options)
    @huey.lock_task("held")
    def guarded(*_):
        return "never"

    @huey.task(**options)
    def wrapped(*_):
        try:
            huey.lock_task("held").__enter__()
        except TaskLockedException as exc:
            raise Busy("busy") from exc

    @huey.task(**options)
    def fails(*_):
        raise ValueError("broken")

    hold(huey, "held")
    return ordinary, guarded, wrapped, fails


def errors(huey):
    """{error text} of all that is stored."""
    return {metadata["error"] for metadata in stored_errors(huey).values()}


def test_lock_errors_are_dropped_and_real_errors_kept(any_huey):
    """Both routes, an ordinary lock skip and a wrapped one, besides results and real errors."""
    kit = install_handlers(any_huey)
    ordinary, guarded, wrapped, fails = declare(any_huey)
    for task in (guarded, wrapped):
        task()
        task()
    kept, broken = ordinary(21), fails()
    run_all(any_huey)
    assert results(any_huey) == {kept.id: 42}
    assert set(stored_errors(any_huey)) == {broken.id}
    with pytest.raises(TaskException, match="broken"):
        broken.get()
    assert kit.count("huey_results_suppressed_total", verdict="drop") == 4
    assert kit.count("huey_lock_skips_total", lock="held") == 4
    assert kit.count("huey_signals_total", signal="locked") == 2
    assert kit.count("huey_signals_total", signal="error") == 3


def test_a_bare_huey_stores_every_lock_error(any_huey):
    """The same work without the kit: this is what is cured."""
    _, guarded, wrapped, _ = declare(any_huey)
    ids = {guarded().id, wrapped().id}
    run_all(any_huey)
    assert set(stored_errors(any_huey)) == ids


def test_a_dropped_skip_leaves_the_store_as_it_was(any_huey):
    """Not one byte, and the lock still as its holder left it."""
    install_handlers(any_huey)
    _, guarded, _, _ = declare(any_huey)
    before = store(any_huey)
    guarded()
    run_all(any_huey)
    assert store(any_huey) == before


def test_tasks_and_locks_declared_before_the_install_count_too(any_huey):
    """The order of declaring and installing does not matter."""
    _, guarded, wrapped, fails = declare(any_huey)
    install_handlers(any_huey)
    guarded(), wrapped()
    broken = fails()
    run_all(any_huey)
    assert set(stored_errors(any_huey)) == {broken.id}


def test_no_stage_of_a_pipeline_gets_the_lock_error(any_huey):
    """Huey 3.4 and later writes a failed stage's error for each stage after it."""
    kit = install_handlers(any_huey)
    ordinary, guarded, _, fails = declare(any_huey)
    any_huey.enqueue(guarded.s().then(ordinary).then(ordinary))
    broken = any_huey.enqueue(fails.s().then(ordinary))
    run_all(any_huey)
    assert set(stored_errors(any_huey)) <= {result.id for result in broken}
    assert errors(any_huey) == {"ValueError('broken')"}
    assert kit.count("huey_results_suppressed_total") == (3 if VERSION >= (3, 4) else 1)


def test_a_later_stage_that_is_locked_keeps_the_results_before_it(any_huey):
    """Only what belongs to the skipped stage and those after it is dropped."""
    install_handlers(any_huey)
    ordinary, guarded, _, _ = declare(any_huey)
    first, *_ = any_huey.enqueue(ordinary.s(1).then(guarded).then(ordinary))
    run_all(any_huey)
    assert results(any_huey) == {first.id: 2}
    assert stored_errors(any_huey) == {}


def run_chord(huey):
    """What the callback got from one member that works, two that are locked and a locked pipe."""
    ordinary, guarded, wrapped, _ = declare(huey)
    seen = []
    callback = huey.task(name="callback")(lambda parts: seen.extend(parts))
    members = [ordinary.s(1), guarded.s(), wrapped.s(), guarded.s().then(ordinary)]
    huey.enqueue(huey_package.chord(members, callback.s()))
    run_all(huey)
    left = [key for key in store(huey) if key.startswith("chord:")]
    return seen, len(left)


@chord_only
def test_a_chord_ends_with_as_many_results_as_before(any_kind, make_huey):
    """Locked members send a small error to the callback, and Huey cleans up as it does."""
    bare, kitted = make_huey(any_kind), make_huey(any_kind)
    install_handlers(kitted)
    (expected, left_by_bare), (seen, left) = run_chord(bare), run_chord(kitted)
    assert [type(part) for part in seen] == [type(part) for part in expected]
    assert left == left_by_bare
    if VERSION >= (3, 4):
        assert (len(seen), left) == (4, 0)
    errors_seen = [part.metadata for part in seen if hasattr(part, "metadata")]
    assert all(type(part["traceback"]) is str for part in errors_seen)
    assert all(len(repr(part)) < 300 for part in errors_seen)


@pytest.mark.parametrize("intermediate", [True, False])
def test_retries_store_what_they_store_without_lock_errors(any_kind, make_huey, intermediate):
    """Huey before 3.5 stores a failed attempt's error at once, later only the last one's."""
    options = {"store_intermediate_errors": intermediate} if VERSION >= (3, 3) else {}
    huey = make_huey(any_kind, **options)
    install_handlers(huey)
    _, guarded, wrapped, fails = declare(huey, retries=2)
    guarded(), wrapped()
    broken = fails()
    assert run_all(huey) == 9
    assert set(stored_errors(huey)) == {broken.id}


@pytest.mark.parametrize(
    "options",
    [
        {"results": False},
        {"store_none": True},
        {"serializer": Serializer(compression=True)},
        {"serializer": Serializer(compression=True, use_zlib=True)},
        {"serializer": SignedSerializer(secret="shh")},
        {"utc": False},
    ],
    ids=["no results", "none stored", "gzip", "zlib", "signed", "local time"],
)
def test_every_way_to_store_results(any_kind, make_huey, options):
    """No results at all, None stored, compressed, signed: the kit adds and takes nothing else."""
    bare, kitted = make_huey(any_kind, **options), make_huey(any_kind, **options)
    install_handlers(kitted)
    kinds = []
    for huey in (bare, kitted):
        ordinary, guarded, wrapped, fails = declare(huey)

        @huey.task()
        def nothing():
            return None

        named = {"one": ordinary(1), "none": nothing(), "broken": fails()}
        guarded(), wrapped()
        run_all(huey)
        ids = {result.id: name for name, result in named.items() if result}
        found = {**results(huey), **{k: m["error"] for k, m in stored_errors(huey).items()}}
        kinds.append({ids[key]: value for key, value in found.items() if key in ids})
        skips = [text for text in errors(huey) if "lock" in text or "busy" in text]
        assert len(skips) == (2 if huey is bare and huey.results else 0)
    assert kinds[0] == kinds[1]


def test_immediate_mode_and_back(any_kind, make_huey):
    """Switching replaces ``huey.storage``; the kit works before, during and after."""
    huey = make_huey(any_kind)
    kit = install_handlers(huey)
    _, guarded, _, fails = declare(huey)
    for immediate in (False, True, False):
        huey.immediate = immediate
        if not huey.is_locked("held"):
            hold(huey, "held")
        guarded()
        broken = fails()
        run_all(huey)
        assert set(stored_errors(huey)) >= {broken.id}
        assert all("broken" in text for text in errors(huey))
    assert kit.count("huey_results_suppressed_total") == 3


@pytest.mark.parametrize(
    ("second", "stored"),
    [
        (CancelExecution(retry=False), "CancelExecution()"),
        (ValueError("broken"), "ValueError('broken')"),
        (TaskLockedException("unable to acquire lock x"), None),
    ],
    ids=["cancelled", "broken", "locked again"],
)
def test_a_verdict_is_about_its_own_attempt_alone(make_huey, second, stored):
    """In immediate mode the same task object runs again; what attempt 1 met is past."""
    huey = make_huey("memory", immediate=True)
    install_handlers(huey)
    attempts = iter([TaskLockedException("unable to acquire lock x"), second])

    @huey.task(retries=1)
    def changing():
        raise next(attempts)

    changing()
    assert errors(huey) == ({stored} if stored else set())


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize(("retries", "changed"), [(0, 2), (2, 0), (1, 5)])
def test_a_receiver_that_changes_the_retries_changes_no_verdict(
    make_huey, immediate, retries, changed
):
    """It runs after the kit's, which has decided by then, and Huey retries as it says."""
    huey = make_huey("memory", immediate=immediate)
    kit = install_handlers(huey)
    _, guarded, wrapped, fails = declare(huey, retries=retries)
    first = set()

    @huey.signal("locked", "error")
    def change(signal, task, *_):
        if task.id not in first:
            first.add(task.id)
            task.retries = changed

    guarded(), wrapped()
    broken = fails()
    run_all(huey)
    assert set(stored_errors(huey)) == {broken.id}
    assert kit.count("huey_lock_skips_total") == 2 * (changed + 1)


def test_a_retry_that_huey_signals_by_nothing_is_stored_as_ever(make_huey):
    """``RetryTask`` reaches the store without SIGNAL_ERROR; a lock error before it says nothing."""
    kinds = []
    for with_kit in (False, True):
        huey = make_huey("memory")
        if with_kit:
            install_handlers(huey)
        attempts = iter(
            [TaskLockedException("unable to acquire lock x"), RetryTask("again"), ValueError("end")]
        )

        @huey.task(retries=1)
        def changing():
            raise next(attempts)  # noqa: B023

        changing()
        run_all(huey)
        kinds.append(errors(huey))
    assert kinds[0] == kinds[1] == {"ValueError('end')"}


def test_one_exception_object_raised_by_tasks_with_different_verdicts(make_huey):
    """A constant exception has no verdict of its own: each task has."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    constant = Subclass("unable to acquire lock x")

    @huey.task()
    def job(keep):
        raise constant

    kit.on("locked", when=lambda event: event.task.args[0])(lambda event: KEEP)
    kept = {job(True).id}
    job(False)
    kept.add(job(True).id)
    run_all(huey)
    assert set(stored_errors(huey)) == kept
    assert kit.count("huey_results_suppressed_total") == 1


def test_one_exception_object_raised_by_two_attempts_with_different_verdicts(make_huey):
    """What was said of attempt 1 is unsaid by attempt 2, though task and exception are the same."""
    huey = make_huey("memory", immediate=True)
    kit = install_handlers(huey, preset=[])
    constant, attempts = ValueError("constant"), []

    @huey.task(retries=1)
    def job():
        raise constant

    @kit.on("error")
    def only_the_first(event):
        attempts.append(event.attempt)
        return DROP if event.attempt == 1 else None

    job()
    assert attempts == [1, 2]
    assert errors(huey) == {"ValueError('constant')"}


def test_a_verdict_is_unsaid_by_the_next_run_of_the_same_task(make_huey):
    """A task object enqueued again raises the same exception, and this time nobody objects."""
    huey = make_huey("memory", immediate=True)
    kit = install_handlers(huey, preset=[])
    constant, answers = ValueError("constant"), iter([DROP, None])

    @huey.task()
    def job():
        raise constant

    kit.on("error")(lambda event: next(answers))
    task = job.s()
    huey.enqueue(task)
    assert errors(huey) == set()
    huey.enqueue(task)
    assert errors(huey) == {"ValueError('constant')"}


def test_an_exception_of_another_class_at_the_same_address_is_another_one(make_huey):
    """Addresses are used again, which cannot be forced, so the note is given the other's id."""
    huey = make_huey("memory")
    install_handlers(huey)
    task, locked, real = huey.task()(lambda: None).s(), Subclass("unable"), ValueError("broken")
    try:
        raise locked
    except Subclass:
        huey._emit("locked", task)
    assert not huey.build_error_result(task, locked)["traceback"]
    verdict, _, *rest = task._huey_signals_kit_note
    task._huey_signals_kit_note = (verdict, id(real), *rest)
    assert huey.build_error_result(task, real)["traceback"]


def test_a_verdict_does_not_outlive_the_handler_that_gave_it(make_huey):
    """Nobody decides on attempt 2, so what was decided on attempt 1 must not count."""
    huey = make_huey("memory", immediate=True)
    kit = install_handlers(huey, preset=[])
    constant = ValueError("constant")

    @huey.task(retries=1)
    def job():
        raise constant

    @kit.on("error")
    def once(event):
        kit.registry.remove(once)
        return DROP

    job()
    assert errors(huey) == {"ValueError('constant')"}


def test_a_verdict_does_not_outlive_the_kit_that_gave_it(make_huey):
    """The same task object is enqueued again, under a kit that drops nothing."""
    huey = make_huey("memory", immediate=True)
    constant = TaskLockedException("unable to acquire lock x")

    @huey.task()
    def job():
        raise constant

    task = job.s()
    with install_handlers(huey):
        huey.enqueue(task)
    assert errors(huey) == set()
    install_handlers(huey, preset=[])
    huey.enqueue(task)
    assert len(errors(huey)) == 1


def test_tasks_that_share_an_exception_in_eight_threads_have_their_own_verdicts(make_huey):
    """Half of them keep, half drop, all at once."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    constant = TaskLockedException("unable to acquire lock x")

    @huey.task()
    def job(keep):
        raise constant

    kit.on("locked", when=lambda event: event.task.args[0])(lambda event: KEEP)
    kept = {result.id for keep in [True, False] * 80 if (result := job(keep)) and keep}
    threads = [threading.Thread(target=run_all, args=(huey,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(stored_errors(huey)) == kept


def test_a_users_verdict_beats_the_presets(any_huey):
    """KEEP for one task's lock errors, DROP for a real error that nobody wants."""
    kit = install_handlers(any_huey)
    _, guarded, wrapped, fails = declare(any_huey)
    kit.on("locked", tasks=guarded, priority=-10)(lambda event: KEEP)
    kit.on("error", exceptions=ValueError)(lambda event: DROP)
    kept = guarded()
    wrapped(), fails()
    run_all(any_huey)
    assert set(stored_errors(any_huey)) == {kept.id}


@pytest.mark.parametrize("option", ["keep", "drop"])
def test_a_task_overrides_every_verdict_on_its_lock_errors(any_huey, option):
    """``lock_errors=`` beats handlers and preset, and a real error is not its affair."""
    kit = install_handlers(any_huey)
    _, guarded, wrapped, fails = declare(any_huey, lock_errors=option)
    kit.on("locked", "error")(lambda event: DROP if option == "keep" else KEEP)
    skipped = {guarded().id, wrapped().id}
    broken = fails()
    run_all(any_huey)
    expected = skipped if option == "keep" else {broken.id}
    assert set(stored_errors(any_huey)) == expected


def test_a_task_can_ask_without_any_preset(make_huey):
    """``lock_errors="drop"`` needs no handler: the task itself has said it."""
    huey = make_huey("memory")
    install_handlers(huey, preset=[])
    _, guarded, wrapped, fails = declare(huey, lock_errors="drop")
    guarded(), wrapped()
    broken = fails()
    run_all(huey)
    assert set(stored_errors(huey)) == {broken.id}


@pytest.mark.parametrize(
    ("bad", "hint"),
    [("dorp", " Did you mean 'drop'?"), (0, ""), (-1, ""), (float("nan"), ""), (True, "")],
    ids=str,
)
def test_a_bad_task_option_is_said_once_and_ignored(make_huey, caplog, bad, hint):
    """When a worker starts, with the task, the value and the nearest name; then as if not given."""
    huey = make_huey("memory")
    install_handlers(huey)
    _, guarded, _, _ = declare(huey, lock_errors=bad)
    for start_hook in huey._startup.values():
        start_hook()
    said = [r.getMessage() for r in caplog.records if r.name == "huey_signals_kit"]
    guarded(), guarded()
    run_all(huey)
    assert stored_errors(huey) == {}
    assert said == [
        f"Task {__name__}.{name} has lock_errors={bad!r}, which is ignored.{hint} "
        "Allowed are 'drop', 'keep', and seconds above 0."
        for name in ("guarded", "wrapped", "fails")
    ]
    assert caplog.text.count("which is ignored") == 3


def test_observe_changes_nothing_but_counts(any_huey):
    """What ``quiet-locks`` would drop is counted and stored all the same."""
    kit = install_handlers(any_huey, preset="observe")
    _, guarded, wrapped, _ = declare(any_huey)
    ids = {guarded().id, wrapped().id}
    revoked = guarded()
    any_huey.revoke_by_id(revoked.id)
    run_all(any_huey)
    assert set(stored_errors(any_huey)) == ids
    assert f"r:{revoked.id}" in store(any_huey)
    assert kit.count("huey_lock_skips_total") == 2
    assert kit.count("huey_signals_total", signal="revoked") == 1
    assert kit.count("huey_results_suppressed_total") == 0


def test_periodic_tasks_store_nothing_and_are_counted(any_huey):
    """Huey keeps no results of periodic tasks; the kit changes nothing about it."""
    kit = install_handlers(any_huey)

    @any_huey.periodic_task(crontab())
    @any_huey.lock_task("held")
    def nightly():
        """Never runs."""

    hold(any_huey, "held")
    for task in any_huey.read_periodic(None):
        any_huey.enqueue(task)
    run_all(any_huey)
    assert stored_errors(any_huey) == {}
    assert kit.count("huey_lock_skips_total") == 1


class Rebuilt(TaskLockedException):
    """Pickled by way of its own ``__dict__``, as exceptions with arguments of their own are."""

    def __init__(self, lock):
        super().__init__(f"unable to acquire lock {lock}")
        self.lock = lock

    def __reduce__(self):
        return (rebuild, (dict(vars(self)),))


def rebuild(fields):
    return Rebuilt(**fields)


class Frozen(TaskLockedException):
    """Refuses every attribute but those that Python itself sets while it is raised."""

    def __setattr__(self, name, value):
        if not name.startswith("__"):
            raise AttributeError("immutable")
        super().__setattr__(name, value)


class Shy(TaskLockedException):
    """Has a repr that raises, as those of detached database objects do."""

    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize("make", [TaskLockedException, Rebuilt, Frozen, Shy])
def test_an_exception_is_left_as_it_was_raised(any_huey, make):
    """Hooks and ``on_error`` tasks find nothing on it that the task did not put there."""
    install_handlers(any_huey)
    raised, seen, hooked = make("x"), [], []

    @any_huey.post_execute()
    def hook(task, value, exc):
        if exc is not None:
            hooked.append(json.dumps(vars(exc)))

    @any_huey.task()
    def job():
        raise raised

    @any_huey.task()
    def report(exc):
        seen.append((type(exc), vars(exc)))

    before = dict(vars(raised))
    any_huey.enqueue(job.s().error(report))
    run_all(any_huey)
    assert seen == [(type(raised), before)]
    assert hooked == [json.dumps(before)]
    assert stored_errors(any_huey) == {}


def test_the_small_error_of_a_chord_says_why_in_few_bytes(make_huey):
    """A long text is cut, and what another task's error says is passed on."""
    huey = make_huey("memory")
    kit = install_handlers(huey, preset=[])
    kit.on("error")(lambda event: DROP)

    @huey.task()
    def fails(exc):
        raise exc

    long, passed = ValueError("x" * 5000), TaskException({"error": "KeyError('inner')"})
    texts = []
    for exc in (long, passed):
        task = fails.s(exc)
        metadata = huey.build_error_result(task, exc)
        assert metadata["traceback"]  # nobody has decided yet
        huey._emit("error", task, exc)
        texts.append(huey.build_error_result(task, exc)["error"])
    assert len(texts[0]) == 200
    assert texts[1] == "KeyError('inner')"


def test_a_pipeline_that_bites_its_own_tail_is_survived(make_huey):
    """Each stage is one result, however the stages are linked."""
    huey = make_huey("memory")
    kit = install_handlers(huey)
    _, guarded, _, _ = declare(huey)
    task = guarded.s()
    task.on_complete = task
    exc = TaskLockedException("unable to acquire lock held")
    try:
        raise exc
    except TaskLockedException:
        huey._emit("locked", task)
    huey.put_result(task.id, Error(huey.build_error_result(task, exc)))
    assert kit.count("huey_results_suppressed_total") == 1


def test_an_on_error_task_gets_the_exception_as_ever(any_huey):
    """The exception is pickled for the queue; the verdict on it must not be in the way."""
    install_handlers(any_huey)
    _, guarded, wrapped, _ = declare(any_huey)
    seen = []

    @any_huey.task()
    def report(exc):
        seen.append(type(exc).__name__)

    for task in (guarded, wrapped):
        any_huey.enqueue(task.s().error(report))
    run_all(any_huey)
    assert sorted(seen) == ["Busy", "TaskLockedException"]


def test_the_queued_exception_is_readable_without_the_kit(make_huey):
    """A consumer that does not have the package must be able to read the message."""
    huey = make_huey("memory")
    install_handlers(huey)
    _, guarded, _, _ = declare(huey)

    @huey.task()
    def report(exc):
        """Never run here."""

    huey.enqueue(guarded.s().error(report))
    huey.execute(huey.dequeue())
    (message,) = huey.storage.enqueued_items()
    assert b"huey_signals_kit.gate" not in message
    assert b"TaskLockedException" in message
