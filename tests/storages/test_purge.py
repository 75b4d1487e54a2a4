"""Lock errors stored before the kit came are removed, and nothing else, on every storage."""

from __future__ import annotations

import datetime
import pickle
import uuid

import huey as huey_package
import pytest
from huey.exceptions import TaskException, TaskLockedException
from huey.utils import Error

from huey_signals_kit import KEEP, expire, install_handlers, uninstall_handlers
from huey_signals_kit.inflight.claims import in_flight_of
from huey_signals_kit.store import MemoryStore
from huey_signals_kit.upkeep import PurgeStopped, errors, purge_errors
from huey_signals_kit.upkeep import report as report_of
from tests.support import hold, huey_class, run_all, store, stored_errors

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")


class Mine(TaskLockedException):
    """A lock error of the user's own."""


def declare(huey):
    @huey.task()
    @huey.lock_task("held")
    def guarded(*_):
        return None

    @huey.task()
    def failing(exception=None):
        raise exception or ValueError("TaskLockedException('no')")

    @huey.task()
    def fine():
        return 7

    return guarded, failing, fine


def test_lock_errors_go_and_everything_else_stays(any_huey):
    """Results, real errors, tokens and the lock itself are as before, and Huey reads them."""
    guarded, failing, fine = declare(any_huey)
    hold(any_huey, "held")
    for _ in range(5):
        guarded()
    real, result = failing(), fine()
    run_all(any_huey)
    any_huey.revoke_by_id("paused")
    report = purge_errors(any_huey)
    assert (report.errors, report.matched, report.deleted) == (6, 5, 5)
    assert report.stopped == ""
    assert set(stored_errors(any_huey)) == {real.id}
    assert {f"{any_huey.name}.lock.held", "r:paused"} <= set(store(any_huey))
    assert result.get() == 7
    with pytest.raises(TaskException):
        real.get()


@pytest.mark.skipif(VERSION < (3, 4), reason="Huey wrote no traceback that would tell")
def test_a_task_that_failed_for_another_ones_lock_error_keeps_its_own(make_huey):
    """Huey gives both errors the same text."""
    huey = make_huey("sqlite")
    guarded, *_ = declare(huey)

    @huey.task()
    def asking(task_id):
        return huey.result(task_id, preserve=True)

    hold(huey, "held")
    locked = guarded()
    asked = asking(locked.id)
    run_all(huey)
    texts = {each["error"] for each in stored_errors(huey).values()}
    assert texts == {"TaskLockedException('unable to acquire lock held')"}
    assert purge_errors(huey).deleted == 1
    assert set(stored_errors(huey)) == {asked.id}
    assert purge_errors(huey, "TaskException").deleted == 1


def test_a_dry_run_says_the_same_and_deletes_nothing(any_huey):
    """Nor does it write anything."""
    guarded, *_ = declare(any_huey)
    hold(any_huey, "held")
    guarded()
    run_all(any_huey)
    before = store(any_huey)
    report = purge_errors(any_huey, dry_run=True)
    assert (report.deleted, report.dry_run) == (1, True)
    assert store(any_huey) == before


@pytest.mark.parametrize(
    "classes", ["Mine", ("Mine",), ["Mine", "Other"], Mine, iter({"Mine"}), (Mine, "Other")]
)
def test_the_classes_can_be_named_in_any_form(make_huey, classes):
    """And only these go: a subclass has a name of its own."""
    huey = make_huey("sqlite")
    guarded, failing, _ = declare(huey)
    hold(huey, "held")
    locked = guarded()
    failing(Mine("x"))
    run_all(huey)
    assert purge_errors(huey, classes).deleted == 1
    assert set(stored_errors(huey)) == {locked.id}


def test_every_stage_of_a_failed_pipeline_is_purged(any_huey):
    """Huey stores the error under the id of each; what runs again keeps its own."""
    guarded, _, fine = declare(any_huey)
    hold(any_huey, "held")
    any_huey.enqueue(guarded.s().then(fine))
    run_all(any_huey)
    stored = len(stored_errors(any_huey))
    assert stored == (2 if VERSION >= (3, 4) else 1)
    assert purge_errors(any_huey).deleted == stored
    assert stored_errors(any_huey) == {}


def later(huey, task):
    task.eta = datetime.datetime(2099, 1, 1)
    huey.add_schedule(task)


@pytest.mark.parametrize("task_id", [None, "nightly"])
@pytest.mark.parametrize("put", [later, lambda huey, task: huey.enqueue(task)])
def test_the_error_of_a_task_that_will_run_again_stays(any_huey, put, task_id):
    """It is not its last one: Huey replaces it, and a caller may be waiting for it."""
    guarded, *_ = declare(any_huey)
    hold(any_huey, "held")
    task = guarded.s(id=task_id) if task_id else guarded.s()
    any_huey.enqueue(task)
    run_all(any_huey)
    put(any_huey, task)
    report = purge_errors(any_huey)
    assert (report.matched, report.pending, report.deleted) == (1, 1, 0)
    assert len(stored_errors(any_huey)) == 1


def named(function, task_id):
    """Huey 2.5 has no ``s(id=..)``."""
    task = function.s()
    task.id = task_id or task.id
    return task


class Uncleaned:
    """Keeps the name of a queue as it is, as Huey 3.4 does with ``clean_name=False``."""

    def clean_name(self, name):
        return name


def uncleaned(kind, url, name):
    base = huey_class(kind)("any", url=url).storage_class
    storage = type("Storage", (Uncleaned, base), {})
    return huey_package.Huey(name, storage_class=storage, url=url, blocking=False)


@pytest.mark.parametrize("kind", ["redis-expire", "priority-redis-expire"])
def test_another_queue_whose_name_begins_alike_is_let_alone(redis_url, kind):
    """Its errors cannot be told from those of ids with a dot by their keys."""
    name = f"a{uuid.uuid4().hex[:8]}"
    short, long = (uncleaned(kind, redis_url, each) for each in (name, f"{name}.b"))
    hold(short, "held"), hold(long, "held")
    guarded, _, fine = declare(long)
    for each in (guarded.s(), named(guarded, "with.dot"), guarded.s().then(fine)):
        long.enqueue(each)
    run_all(long)
    theirs = stored_errors(long)
    guarded, *_ = declare(short)
    for task_id in (None, "plain", "with.dot", "b.x"):
        short.enqueue(named(guarded, task_id))
    run_all(short)
    from_short, from_long = purge_errors(short, dry_run=True), purge_errors(long, dry_run=True)
    assert (from_short.deleted, from_short.undecided) == (4, len(theirs))
    # What the shorter one has under "b.x" seems to be its own "x"; a later stage names another.
    assert (from_long.deleted, from_long.undecided) == (3, len(theirs) - 3 + 1)
    assert purge_errors(short).deleted == 4
    assert stored_errors(long) == theirs
    assert purge_errors(long).deleted == 3
    short.flush(), long.flush()


@chord_only
def test_a_part_of_a_chord_is_never_touched(any_huey):
    """Its callback waits for it."""
    guarded, _, fine = declare(any_huey)
    hold(any_huey, "held")
    any_huey.enqueue(huey_package.chord([guarded.s(), fine.s()], fine.s()))
    any_huey.execute(any_huey.dequeue())
    parts = {key: value for key, value in store(any_huey).items() if key.startswith("chord:")}
    assert len(parts) == 1
    purge_errors(any_huey)
    assert parts.items() <= store(any_huey).items()


def test_an_error_that_goes_by_itself_is_left_to_that(any_huey):
    """Who waits still learns why."""
    registry_free = install_handlers(any_huey, "observe")
    registry_free.on("locked")(lambda event: expire(60))
    guarded, *_ = declare(any_huey)
    hold(any_huey, "held")
    guarded()
    run_all(any_huey)
    uninstall_handlers(any_huey)
    report = purge_errors(any_huey)
    assert (report.matched, report.expiring, report.deleted) == (1, 1, 0)


@pytest.mark.parametrize("by", ["option", "handler", "both"])
def test_an_error_that_was_stored_on_purpose_stays(any_huey, by):
    """By the task's option or a handler's verdict, of a skip or of one with another name."""
    options = {} if by == "handler" else {"lock_errors": "keep"}

    @any_huey.task(**options)
    @any_huey.lock_task("held")
    def wanted():
        return None

    @any_huey.task(**options)
    def renamed():
        try:
            any_huey.lock_task("held").__enter__()
        except TaskLockedException as exc:
            raise Mine("no") from exc

    guarded, *_ = declare(any_huey)
    hold(any_huey, "held")
    before = guarded()
    run_all(any_huey)
    kit = install_handlers(any_huey)
    if by != "option":
        kit.on("locked", "error")(lambda event: KEEP)
    kept = {wanted().id, renamed().id}
    run_all(any_huey)
    classes = ("TaskLockedException", "Mine")
    found = stored_errors(any_huey)
    assert {key for key, metadata in found.items() if metadata.get("kept") is True} == kept
    assert all(found[key]["traceback"] for key in kept)
    uninstall_handlers(any_huey)
    in_flight_of(any_huey).forget()  # as in another process: here the tasks may be pending
    report = purge_errors(any_huey, classes)
    assert (report.matched, report.kept, report.deleted) == (3, 2, 1)
    assert stored_errors(any_huey).keys() == kept
    assert before.id not in kept
    counted = report_of(any_huey)
    assert counted.kept == counted.errors == {"TaskLockedException": 1, "Mine": 1}
    report = purge_errors(any_huey, classes, kept=True)
    assert (report.kept, report.deleted) == (0, 2)
    assert stored_errors(any_huey) == {}


def test_only_what_was_kept_on_purpose_says_so(any_huey):
    """Not an error that nobody decides on, nor one whose option is no word."""
    install_handlers(any_huey, "observe")
    guarded, failing, _ = declare(any_huey)
    misspelt = any_huey.task(name="misspelt", lock_errors="kep")(any_huey.lock_task("held")(len))
    hold(any_huey, "held")
    guarded(), failing(), misspelt([])
    run_all(any_huey)
    fields = {"error", "retries", "traceback", "task_id"}
    assert [metadata.keys() for metadata in stored_errors(any_huey).values()] == [fields] * 3
    assert purge_errors(any_huey).kept == 0


@pytest.mark.parametrize("said", ["yes", 1, [True], Mine])
def test_only_true_means_kept(make_huey, said):
    """Metadata of a user's own may have a field of that name; what says True is kept."""
    huey = make_huey("sqlite")
    error = {"error": LOCKED, "traceback": "", "task_id": "one"}
    huey.put_result("one", Error({**error, "kept": said}))
    huey.put_result("two", Error({**error, "kept": True}))
    assert purge_errors(huey).deleted == 1
    assert stored_errors(huey).keys() == {"two"}


def test_a_kit_passes_on_what_is_to_be_done_with_kept_errors(make_huey):
    """``kit.purge_errors`` leaves them, and ``kept=True`` deletes them."""
    huey = make_huey("sqlite")
    kit = install_handlers(huey)
    huey.put_result("one", Error({"error": LOCKED, "traceback": "", "kept": True}))
    assert kit.purge_errors().kept == 1
    assert kit.purge_errors(kept=True, dry_run=True).deleted == 1
    assert kit.purge_errors(kept=True).deleted == 1


def test_kept_takes_true_or_false(make_huey):
    """Anything else is refused by name."""
    with pytest.raises(TypeError, match=r"kept= of purge_errors\(\)"):
        purge_errors(make_huey(), kept="yes")


def test_a_message_that_cannot_be_read_stops_it(any_huey):
    """Who knows which task would run again."""
    guarded, *_ = declare(any_huey)
    hold(any_huey, "held")
    guarded()
    run_all(any_huey)
    any_huey.storage.enqueue(b"junk")
    report = purge_errors(any_huey)
    assert (report.deleted, report.undecided) == (0, 1)
    assert "cannot be read" in report.stopped


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("the value has run code",)


@pytest.mark.parametrize("value", [b"", b"junk", b"\x80\x05", pickle.dumps(Trap())[:-3]])
def test_what_is_broken_is_left_and_counted(any_huey, value):
    """Under the key of a result."""
    any_huey.storage.put_data("broken", value)
    report = purge_errors(any_huey)
    assert (report.scanned, report.unreadable, report.deleted) == (1, 1, 0)
    assert "broken" in store(any_huey)


def test_a_trap_is_never_run(any_huey):
    """A whole pickle that would run code is inert here, alone and inside an error."""
    any_huey.storage.put_data("trap", pickle.dumps(Trap()))
    error = {"error": "TaskLockedException('x')", "task_id": Trap()}
    any_huey.storage.put_data("inside", pickle.dumps(huey_package.utils.Error(error)))
    purge_errors(any_huey)
    assert "trap" in store(any_huey)


def test_one_that_was_replaced_meanwhile_stays(make_huey, monkeypatch):
    """The task ran again between the look at its error and its deletion."""
    huey = make_huey("sqlite")
    guarded, *_ = declare(huey)
    hold(huey, "held")
    task = guarded()
    run_all(huey)
    look = errors.LiveTaskIds.refresh

    def replaced(places):
        look(places)
        huey.put_result(task.id, "a real result")

    monkeypatch.setattr(errors.LiveTaskIds, "refresh", replaced)
    report = purge_errors(huey)
    assert (report.deleted, report.undecided) == (0, 1)
    assert task.get() == "a real result"


def test_many_go_in_steps(make_huey, monkeypatch):
    """However many there are, only some are held at a time, and progress is told."""
    monkeypatch.setattr(errors, "_BATCH_ERRORS", 10)
    huey = make_huey("redis")
    guarded, *_ = declare(huey)
    hold(huey, "held")
    for _ in range(35):
        guarded()
    run_all(huey)
    told = []
    assert purge_errors(huey, on_progress=told.append).deleted == 35
    assert told[-1].deleted == 35


def test_a_storage_that_goes_away_is_reported_with_what_was_done(make_huey, monkeypatch):
    """The exception has the report."""
    monkeypatch.setattr(errors, "_BATCH_ERRORS", 1)
    huey = make_huey("sqlite")
    guarded, *_ = declare(huey)
    hold(huey, "held")
    guarded()
    run_all(huey)

    def gone(self):
        raise OSError("the storage has gone away")

    monkeypatch.setattr(errors.LiveTaskIds, "refresh", gone)
    with pytest.raises(PurgeStopped, match="the storage has gone away") as stopped:
        purge_errors(huey)
    assert (stopped.value.report.matched, stopped.value.report.deleted) == (1, 0)


@pytest.mark.parametrize(
    ("classes", "error", "text"),
    [
        ((), ValueError, "is empty"),
        (3, TypeError, "takes names of exception classes, got 3"),
        ([ValueError("x")], TypeError, "got ValueError('x')"),
        (
            ("huey.exceptions.TaskLockedException",),
            ValueError,
            "without a module, got 'huey.exceptions.TaskLockedException'; "
            "write 'TaskLockedException'",
        ),
        ("", ValueError, "got ''"),
    ],
)
def test_bad_input_is_refused_by_name(make_huey, classes, error, text):
    """With what to write instead."""
    with pytest.raises(error) as refused:
        purge_errors(make_huey(), classes)
    assert text in str(refused.value)


LOCKED = "TaskLockedException('unable to acquire lock held')"
BY_LOCK = "Traceback (most recent call last):\n  File\nhuey.exceptions.TaskLockedException: unable"
BY_ASKING = "Traceback (most recent call last):\n  File\ntasks.job.<locals>.StepFailed: unable"
REMOTE = f"Traceback (most recent call last):\n  File\nRuntimeError: far away:\n{BY_LOCK}\n"


@pytest.mark.parametrize(
    ("text", "traceback", "name"),
    [
        (LOCKED, "NoneType: None\n", "TaskLockedException"),
        (LOCKED, "", "TaskLockedException"),
        (LOCKED, None, "TaskLockedException"),
        (LOCKED, BY_LOCK, "TaskLockedException"),
        (LOCKED, f"{BY_ASKING}\n\nDuring handling\n\n{BY_LOCK}", "TaskLockedException"),
        (LOCKED, BY_ASKING, "StepFailed"),
        (LOCKED, f"{BY_LOCK}\n\nDuring handling\n\n{BY_ASKING}", "?"),
        ("RuntimeError('far away')", REMOTE, "?"),
        (
            "ValueError('x')",
            "Traceback (most recent call last):\n  File\nValueError: x",
            "ValueError",
        ),
        ("no class", "", "?"),
    ],
)
def test_the_class_of_an_error_is_what_its_text_and_its_traceback_agree_on(text, traceback, name):
    """What says two things is of neither: nobody deletes it by name."""
    assert errors.class_of(Error({"error": text, "traceback": traceback})) == name


def test_what_was_deleted_before_the_storage_failed_is_counted(monkeypatch):
    """The report has every slice that was deleted; the errors of the failed one are in doubt."""
    huey = huey_package.MemoryHuey("shop")
    for number in range(3):
        huey.put_result(str(number), Error({"error": "TaskLockedException('no')"}))
    monkeypatch.setattr(errors, "_DELETED_AT_ONCE", 1)
    delete = MemoryStore.compare_and_delete_many
    slices = []

    def fail_at_the_second(self, pairs):
        slices.append(pairs)
        if len(slices) == 2:
            raise ConnectionError("away")
        return delete(self, pairs)

    monkeypatch.setattr(MemoryStore, "compare_and_delete_many", fail_at_the_second)
    with pytest.raises(PurgeStopped) as raised:
        purge_errors(huey)
    assert (raised.value.report.deleted, raised.value.report.undecided) == (1, 2)
    assert len(stored_errors(huey)) == 2
