"""A lock held as by another process, on every storage."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

import pytest
from huey.api import Huey
from huey.exceptions import TaskLockedException

from huey_signals_kit import get_kit, install_handlers
from huey_signals_kit.locks.holder import parse_holder
from huey_signals_kit.testing import held_lock, installed, record
from huey_signals_kit.upkeep import LockHeld
from tests.selection import slow_except
from tests.support import locks, run_all, stored_errors

HAS_TTL = "ttl" in inspect.signature(Huey.lock_task).parameters


def test_a_task_that_needs_it_is_skipped_until_the_block_ends(any_huey):
    """As a decorator and as a `with` block in the task; then both run."""

    @any_huey.task()
    @any_huey.lock_task("import")
    def decorated():
        return 1

    @any_huey.task()
    def block():
        with any_huey.lock_task("import"):
            return 1

    with record(any_huey) as recorded:
        with held_lock(any_huey, "import"):
            decorated(), block()
            run_all(any_huey)
            assert recorded.skips(lock="import") == 2
            assert locks(any_huey) == {"import"}
        assert locks(any_huey) == set()
        done = decorated(), block()
        run_all(any_huey)
        assert recorded.skips() == 2
    assert [each.get() for each in done] == [1, 1]


def test_its_value_names_a_living_process_that_is_not_this_one(any_huey):
    """So nothing releases it as one's own, or as stale."""
    kit = install_handlers(any_huey, stale_locks="release")
    with held_lock(any_huey, "import"):
        (lock,) = kit.locks()
        assert (lock.name, lock.pid, lock.alive) == ("import", os.getppid(), True)
        with pytest.raises(LockHeld, match="alive"):
            kit.release_lock("import")
        assert kit.release_stale_locks(min_age=60) == []
        assert locks(any_huey) == {"import"}
    assert kit.count("huey_locks_lost_total") == 0


@pytest.mark.parametrize("with_kit", [True, False])
def test_a_block_that_was_refused_does_not_release_it(make_huey, with_kit):
    """Nor does a lock object that the task made before, with a kit or without."""
    huey = make_huey()
    lock = huey.lock_task("import")
    if with_kit:
        install_handlers(huey)
    with held_lock(huey, "import") as held:
        for _ in range(2):
            with pytest.raises(TaskLockedException), lock:
                pass
        assert held.is_held
        assert huey.is_locked("import")
    with lock:
        assert not held.is_held
    assert not huey.is_locked("import")


@pytest.mark.skipif(not HAS_TTL, reason="this Huey has no ttl")
@pytest.mark.parametrize("kind", slow_except(["memory"], ["memory", "redis-expire"]))
def test_a_lock_with_a_ttl_is_held_as_well(make_huey, kind):
    """On the storages of Huey that have it."""
    huey = make_huey(kind)

    @huey.task()
    @huey.lock_task("short", ttl=1)
    def short():
        return 1

    with record(huey) as recorded:
        with held_lock(huey, "short"):
            short()
            run_all(huey)
        assert recorded.skips(short) == 1
        short()
        run_all(huey)
        assert recorded.skips(short) == 1


def test_a_lock_that_is_held_already_is_refused_with_its_holder(make_huey):
    """By a task, by another test, and by Huey without a kit, which names none."""
    huey = make_huey()
    with (
        held_lock(huey, "import"),
        pytest.raises(RuntimeError) as refused,
        held_lock(huey, "import"),
    ):
        pass
    text = str(refused.value)
    assert text.startswith(f"held_lock() cannot hold the lock 'import' of '{huey.name}', because")
    assert f"held by process {os.getppid()} on " in text
    huey.lock_task("import").__enter__()
    with (
        pytest.raises(RuntimeError, match=r"because it is held\. Release it"),
        held_lock(huey, "import"),
    ):
        pass
    assert huey.is_locked("import")
    huey.lock_task("import").clear()
    install_handlers(huey)

    @huey.task()
    @huey.lock_task("import")
    def task():
        with held_lock(huey, "import"):
            pass

    task()
    run_all(huey)
    (error,) = stored_errors(huey).values()
    assert "by the task tests.testing.test_held_lock.task" in error["error"]


def test_what_clears_it_in_production_clears_it_here(make_huey):
    """`clear()` and `flush_locks`; the end of the block then leaves the lock of a task alone."""
    huey = make_huey()
    with held_lock(huey, "import") as held:
        huey.lock_task("import").clear()
        assert not held.is_held
        mine = huey.lock_task("import")
        mine.__enter__()
    assert huey.is_locked("import")
    mine.clear()
    with held_lock(huey, "import"):
        assert huey.flush_locks("import") == {"import"}


def test_it_outlives_kits_that_come_and_go(make_huey):
    """And a kit does not report it as lost or its own."""
    huey = make_huey()
    kit = install_handlers(huey)
    with held_lock(huey, "import") as held:
        with installed(huey) as inner:
            assert inner.release_stale_locks(min_age=60) == []
        assert held.is_held
    assert kit.count("huey_locks_lost_total") == 0


def test_immediate_mode_holds_it_where_the_task_looks(make_huey):
    """Also if the mode is switched on in the block: the lock is released where it was acquired."""
    huey = make_huey("sqlite")
    with held_lock(huey, "import"):
        huey.immediate = True
        with (
            held_lock(huey, "import"),
            pytest.raises(TaskLockedException),
            huey.lock_task("import"),
        ):
            pass
    huey.immediate = False
    assert locks(huey) == set()


def test_a_name_of_any_kind_can_be_held(any_huey):
    """With spaces, dots and other letters."""
    for name in ("a b", "x.lock.y", "käse", "media:*"):
        with (
            held_lock(any_huey, name),
            pytest.raises(TaskLockedException),
            any_huey.lock_task(name),
        ):
            pass
        assert not any_huey.is_locked(name)


def test_what_is_no_name_or_no_huey_is_refused(make_huey):
    """When it is given, with the value."""
    huey = make_huey()
    with pytest.raises(TypeError, match=r"held_lock\(\) takes the name of a lock, got <huey"):
        held_lock(huey, huey.lock_task("import"))
    with pytest.raises(TypeError, match=r"held_lock\(\) takes a Huey, got 'import'"):
        held_lock("import", huey)


def test_a_process_without_a_visible_parent_names_another_host(make_huey, monkeypatch):
    """As the first process of a container."""
    monkeypatch.setattr(os, "getppid", lambda: 0)
    huey = make_huey()
    with held_lock(huey, "import"):
        raw = huey.storage.peek_data(f"{huey.name}.lock.import")
        holder = parse_holder(huey.serializer.deserialize(raw))
        assert holder is not None
        assert (holder.process.host, holder.process.is_alive()) == ("another-host", None)
        assert get_kit(huey) is None


OTHER = """
import sys
from huey.exceptions import TaskLockedException
from huey_signals_kit import install_handlers
from tests.support import Place
huey = {place!r}.open()
kit = install_handlers(huey, stale_locks="release")
try:
    with huey.lock_task("import"):
        print("acquired")
except TaskLockedException:
    (lock,) = kit.locks()
    print("refused", lock.alive, lock.pid, kit.release_stale_locks(min_age=60))
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_second_process_is_refused_as_well(make_place, make_huey, kind):
    """A real one, which judges the holder and finds it alive."""
    place = make_place(kind)
    huey = make_huey(kind, place.name)

    def other():
        ran = subprocess.run(
            [sys.executable, "-c", OTHER.format(place=place)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    with held_lock(huey, "import"):
        assert other() == f"refused True {os.getppid()} []"
    assert other() == "acquired"
