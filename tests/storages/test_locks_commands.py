"""What a client sends to Redis to take a lock and to free it, beside what bare Huey sends.

As MONITOR shows it. What a script calls on the server is no command of the client's; INFO
commandstats counts that as well: freeing is one EVALSHA for one HDEL or DEL, which looks at the
value first, so there it is three commands for one.
"""

from __future__ import annotations

from contextlib import suppress

import huey as huey_package
import pytest
from huey.exceptions import TaskLockedException

from huey_signals_kit import install_handlers, uninstall_handlers
from huey_signals_kit.runtime.scheduler import JobGroup
from tests.support import REDIS_KINDS, run_all

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
TIMES = 20


@pytest.fixture(params=REDIS_KINDS)
def sent(request, make_huey, monkeypatch):
    """What is sent by bare Huey, and what with the kit, for what is done with a Huey."""
    # MONITOR would show the commands of jobs too, even if the thread runs since an earlier test.
    monkeypatch.setattr(JobGroup, "every", lambda *args, **kwargs: None)
    huey = make_huey(request.param)
    other = make_huey(request.param, huey.name)  # without a kit, on a connection of its own

    def both(act):
        act(huey)  # connects, and loads the scripts that Huey has
        bare = monitored(huey, other, act)
        install_handlers(huey)
        act(huey)
        named = monitored(huey, other, act)
        uninstall_handlers(huey)
        return bare, named

    return both


def monitored(huey, other, act):
    """The names of the commands that *act* has sent, in their order."""
    found = []
    with other.storage.conn.monitor() as monitor:
        for _ in range(TIMES):
            act(huey)
        huey.storage.conn.echo("the end")
        while "the end" not in (command := monitor.next_command())["command"]:
            if command["client_type"] != "lua" and not of_a_new_client(command["command"]):
                found.append(command["command"].split()[0].upper())
    return found


def of_a_new_client(command):
    """Return whether a client sends the command when it connects."""
    return command.startswith(("HELLO", "CLIENT", "SELECT"))


def test_taking_and_freeing_a_lock_is_two_commands_as_ever(sent):
    """The second is a script, where bare Huey deletes whatever is there."""

    def act(huey):
        with huey.lock_task("held"):
            pass

    bare, named = sent(act)
    assert len(bare) >= 2 * TIMES  # before Huey 3.4 a hash's field is deleted in a transaction
    assert named == [bare[0], "EVALSHA"] * TIMES


def test_a_lock_that_is_not_free_is_one_command(sent):
    """Nobody is asked who has it."""

    def act(huey):
        with suppress(TaskLockedException):
            huey.lock_task("held").__enter__()

    bare, named = sent(act)
    assert named == bare == bare[:1] * TIMES


def test_clear_is_one_command_of_ones_own_lock(sent):
    """A lock that this process has not taken is read first: its holder must not report a loss."""

    def act(huey):
        lock = huey.lock_task("held")
        lock.__enter__()
        lock.clear()
        lock.clear()

    bare, named = sent(act)
    each = len(bare) // TIMES
    assert each >= 3
    first = named[: len(named) // TIMES]
    assert named == first * TIMES
    assert first[:2] == [bare[0], "EVALSHA"]
    assert first[2] in ("HMGET", "MGET")
    assert first[3:] == bare[each - len(first[3:]) : each]
    assert len(first) <= each + 1


@pytest.mark.skipif(VERSION < (3, 4), reason="Huey has ttl= since 3.4")
def test_so_it_is_with_a_ttl(sent):
    """Which a hash is told in a command of its own."""

    def act(huey):
        try:
            with huey.lock_task("held", ttl=60):
                pass
        except NotImplementedError:
            pytest.skip("this Redis is older than 7.4")

    bare, named = sent(act)
    assert 2 * TIMES <= len(named) <= len(bare)


def test_a_task_in_a_lock_sends_no_more_than_bare(sent):
    """From the queue to its result."""

    def act(huey):
        @huey.task(name="guarded")
        @huey.lock_task("held")
        def guarded():
            return 1

        guarded()
        assert run_all(huey) == 1
        huey._registry.unregister(guarded.task_class)

    bare, named = sent(act)
    assert 2 * TIMES < len(named) <= len(bare)
