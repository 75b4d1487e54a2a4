"""A Redis that lets its user run no scripts, or only loaded ones, and one that has no Lua."""

from __future__ import annotations

from contextlib import contextmanager
from uuid import uuid4

import pytest
from huey.exceptions import TaskLockedException
from huey.utils import Error

from huey_signals_kit import install_handlers
from huey_signals_kit.expiring import _expiry
from huey_signals_kit.jobs import heartbeat
from huey_signals_kit.ledger import open_ledger
from huey_signals_kit.locks.held import held_locks_of
from huey_signals_kit.runtime.scheduler import scheduler
from huey_signals_kit.store import Script, ScriptsRefused, open_store, run_script
from huey_signals_kit.store.backends import redis_scripting
from huey_signals_kit.store.protocol import LARGEST
from huey_signals_kit.upkeep import (
    purge_errors,
    release_lock,
    release_stale,
    report,
    sweep_tokens,
)
from tests.locks import GONE, taken_by
from tests.servers import redis_server
from tests.support import locks, results, run_all, stored_errors, tokens, wait_until

RULES = {
    "no scripts": ["-@scripting"],
    "no eval": ["-eval", "-eval_ro"],
    "no loading": ["-script"],
    "no evalsha": ["-evalsha", "-evalsha_ro"],
    "only loaded": ["-eval", "-eval_ro", "-script"],
}
KINDS = ("redis", "redis-expire", "priority-redis")
NOW = 1_700_000_000.0
ECHO = Script("return ARGV[1]")


@pytest.fixture
def as_user(make_huey, redis_url):
    """`as_user(kind, rules, name=None)`: a Huey whose Redis user has those rules, and its name."""
    admin, users = make_huey("redis").storage.conn, []

    def make(kind, rules, name=None):
        users.append(f"user-{uuid4().hex[:8]}")
        _set(admin, users[-1], rules)
        return make_huey(kind, name, url=redis_url.replace("://", f"://{users[-1]}:x@"))

    make.set_rules = lambda rules: _set(admin, users[-1], rules)
    make.admin = admin
    yield make
    admin.acl_deluser(*users)


def _set(admin, user, rules):
    every = ["reset", "on", "nopass", "~*", "&*", "+@all"]
    if int(admin.info("server")["redis_version"].partition(".")[0]) < 7:
        rules = [rule for rule in rules if not rule.endswith("_ro")]
    # By hand: redis-py has no way to say "+@all" and then a command of it less.
    admin.execute_command("ACL", "SETUSER", user, *every, *rules)


@pytest.fixture
def quiet(monkeypatch):
    """No job runs by itself, not even if the thread runs since an earlier test."""
    monkeypatch.setattr(scheduler, "start", lambda: None)
    monkeypatch.setattr(heartbeat, "_FIRST_SECONDS", 3600.0)
    monkeypatch.setattr(_expiry.Expiry, "begin", lambda self: None)


@pytest.fixture(params=KINDS)
def kind(request):
    """Each layout of results, and of queues."""
    return request.param


@pytest.fixture(params=["no scripts", "no eval"])
def limited(request, kind, as_user, quiet):
    """A Huey of each kind, where plain commands take the place of scripts, or need not."""
    return as_user(kind, RULES[request.param])


@pytest.fixture(params=RULES)
def ruled(request, as_user, quiet):
    """A Huey under each of the rules."""
    return as_user("redis", RULES[request.param])


def commands_of(admin, act):
    """The names of the commands that clients have sent during *act*."""
    found = []
    with admin.monitor() as monitor:
        act()
        admin.echo("the end")
        while "the end" not in (command := monitor.next_command())["command"]:
            if command["client_type"] != "lua":
                found.append(command["command"].split()[0].upper())
    return [each for each in found if each not in ("HELLO", "AUTH", "CLIENT")]  # of a new one


def declare(huey):
    @huey.task()
    @huey.lock_task("held")
    def guarded(number):
        return number

    return guarded


def test_a_finished_task_has_its_result_and_frees_its_lock(ruled):
    """As with bare Huey, and so does a block."""
    limited = ruled
    install_handlers(limited)
    guarded = declare(limited)
    with limited.lock_task("held"):
        guarded(1)
        run_all(limited)
        assert locks(limited) == {"held"}
    assert locks(limited) == set()
    done = guarded(2)
    run_all(limited)
    assert results(limited) == {done.id: 2}
    assert locks(limited) == set()
    assert held_locks_of(limited).failed_releases == []


def test_a_lock_of_another_is_not_freed(limited, make_huey, kind):
    """Compared and deleted in one step, also without a script."""
    install_handlers(limited)
    lock = limited.lock_task("held")
    lock.__enter__()
    key = f"{limited.name}.lock.held"
    limited.storage.put_data(key, limited.serializer.serialize("another"))
    lock.__exit__(None, None, None)
    assert locks(limited) == {"held"}


def test_a_spent_token_goes(limited):
    """It is deleted as Huey deletes its own."""
    install_handlers(limited)
    task = declare(limited).s(1)
    limited.revoke(task)
    limited.enqueue(task)
    run_all(limited)
    assert tokens(limited) == set()


def test_an_error_that_expires_is_stored_and_goes(limited, kind):
    """Also where this process has to remove it itself."""
    kit = install_handlers(limited, preset="brief-locks")
    for number in range(3):
        kit._expiry.put(str(number), Error({"error": "busy"}), 0.001 if number else 60)
    limited.storage.put_data("done", limited.serializer.serialize("done"))
    for _ in range(2):
        if "expire" not in kind:
            kit._expiry._backends["RedisStorage"].delete_due(limited.storage, 2**33)
        kit._expiry.delete_due()
    wait_until(lambda: not {"1", "2"} & set(stored_errors(limited)), 10, "the errors to go")
    assert results(limited) == {"done": "done"}


def test_a_result_that_came_since_is_no_expired_error(limited, kind):
    """The digest of the value tells them apart."""
    if kind == "redis-expire":
        pytest.skip("there Redis forgets the time with the value")
    kit = install_handlers(limited, preset="brief-locks")
    kit._expiry.put("id", Error({"error": "busy"}), 0.001)
    limited.put_result("id", "done")
    kit._expiry._backends["RedisStorage"].delete_due(limited.storage, 2**33)
    assert results(limited) == {"id": "done"}


def test_the_store_is_read_alike(limited, make_huey, kind):
    """Page by page: keys, values small and large, messages; and each call gives the same."""
    values = {f"r:{number}": b"value" for number in range(1200)}
    values.update({"large": bytes(9000), "beyond": bytes(LARGEST + 1), "r:é*[x]": b""})
    for key, value in values.items():
        limited.storage.put_data(key, value)
    for number in range(600):
        limited.storage.enqueue(b"queued %d" % number)
        limited.storage.conn.zadd(limited.storage.schedule_key, {b"later %d" % number: number})
    found = []
    for store in (open_store(limited), open_store(make_huey(kind, limited.name))):
        ways = store.keys(), store.entries(), store.entries("r:é*"), store.queued()
        batches = *ways, store.scheduled()
        found.append([sorted(each for batch in each for each in batch) for each in batches])
    assert found[0] == found[1]
    assert list(map(len, found[0])) == [len(values), len(values), 1, 600, 600]


def test_values_are_compared_and_replaced_alike(limited, kind):
    """What is not the same stays, and a key's time to live goes on."""
    store = open_store(limited)
    for key in ("one", "two", "three"):
        limited.storage.put_data(key, b"old")
    assert store.compare_and_delete_many([("one", b"old"), ("two", b"new"), ("none", b"old")]) == [
        "one"
    ]
    assert not store.compare_and_delete("two", b"new")
    assert not store.compare_and_set("two", b"new", b"newer")
    if kind == "redis-expire":
        limited.storage.conn.expire(limited.storage.result_key("two"), 1000)
    assert store.compare_and_set("two", b"old", b"new")
    assert store.get(["one", "two", "three"]) == [None, b"new", b"old"]
    if kind == "redis-expire":
        assert 900 < limited.storage.conn.ttl(limited.storage.result_key("two")) <= 1000


def test_a_refusal_is_asked_for_once(as_user, kind, quiet):
    """From then on a lock costs no command that the server refuses."""
    huey = as_user(kind, ["-@scripting"])
    install_handlers(huey)

    def use():
        with huey.lock_task("held"):
            pass

    first, second = commands_of(as_user.admin, use), commands_of(as_user.admin, use)
    assert "EVALSHA" not in second
    assert second[1:] in (
        ["WATCH", "HMGET", "MULTI", "HDEL", "EXEC"],
        ["WATCH", "MGET", "MULTI", "DEL", "EXEC"],
    )
    assert second == [each for each in first if each not in ("EVAL", "EVALSHA", "UNWATCH")]


def test_a_server_that_allows_scripts_later_is_asked_again(as_user, monkeypatch):
    """A refusal is believed for some minutes."""
    now = 1000.0
    monkeypatch.setattr(redis_scripting.time, "monotonic", lambda: now)
    conn = as_user("redis", ["-@scripting"]).storage.conn
    with pytest.raises(ScriptsRefused):
        run_script(conn, ECHO, (), "one")
    as_user.set_rules([])
    with pytest.raises(ScriptsRefused):
        run_script(conn, ECHO, (), "one")
    now += redis_scripting.RETRY_SECONDS
    assert run_script(conn, ECHO, (), "one") == b"one"


def test_a_script_is_sent_once_and_then_named(as_user):
    """Also when the server has forgotten it."""
    conn = as_user("redis", []).storage.conn
    script = Script(f"return ARGV[1] -- {uuid4()}")
    sent = [commands_of(as_user.admin, lambda: run_script(conn, script, (), "x")) for _ in range(2)]
    assert sent == [["EVALSHA", "SCRIPT", "EVALSHA"], ["EVALSHA"]]
    as_user.admin.script_flush()
    assert run_script(conn, script, (), "x") == b"x"


def test_what_fails_inside_a_script_is_no_refusal(as_user):
    """A key or a command that the user may not use: scripts are run there all the same."""
    conn = as_user("redis", ["resetkeys", "~mine*", "-hset"]).storage.conn
    for text, key in (("return redis.call('get', KEYS[1])", "theirs"), ("return 1 + {}", "mine")):
        with pytest.raises(Exception, match=r"permission|arithmetic"):
            run_script(conn, Script(text), [key])
    with pytest.raises(Exception, match=r"can't run|hset"):
        run_script(conn, Script("return redis.call('hset', KEYS[1], 'a', 1)"), ["mine"])
    assert run_script(conn, ECHO, (), "x") == b"x"


@contextmanager
def lua_less():
    """A server that does not know these commands, as a fake one in tests."""
    names = ("eval", "evalsha", "eval_ro", "evalsha_ro", "script", "fcall", "function")
    with redis_server(*(each for name in names for each in ("--rename-command", name, ""))) as url:
        yield url


def test_a_server_without_lua(make_huey, quiet):
    """Locks, results and the store are as on any other."""
    with lua_less() as url:
        huey = make_huey("redis", url=url)
        install_handlers(huey)
        done = declare(huey)(2)
        run_all(huey)
        assert results(huey) == {done.id: 2}
        assert locks(huey) == set()
        assert open_store(huey).compare_and_delete(done.id, open_store(huey).get([done.id])[0])


def test_without_transactions_a_lock_ends_as_hueys_own(as_user, kind, quiet):
    """A user who may neither run scripts nor watch keys: looked at, then deleted."""
    huey = as_user(kind, ["-@scripting", "-watch"])
    install_handlers(huey)
    guarded = declare(huey)
    done = guarded(2)
    run_all(huey)
    assert results(huey) == {done.id: 2}
    assert locks(huey) == set()
    lock = huey.lock_task("held")
    lock.__enter__()
    huey.storage.put_data(f"{huey.name}.lock.held", b"another")
    lock.__exit__(None, None, None)
    assert locks(huey) == {"held"}


def test_a_storage_that_cannot_compare_ends_a_lock_as_bare_huey(any_huey, monkeypatch, quiet):
    """Whatever the kit's own way of deleting raises, the task has its result, the lock is free."""
    install_handlers(any_huey)
    guarded = declare(any_huey)
    cls = type(open_store(any_huey))

    def fails(*_):
        raise ValueError("no such thing here")

    monkeypatch.setattr(cls, "compare_and_delete", fails)
    with any_huey.lock_task("held"):
        guarded(1)
        run_all(any_huey)
    done = guarded(2)
    run_all(any_huey)
    assert results(any_huey) == {done.id: 2}
    assert locks(any_huey) == set()
    monkeypatch.setattr(cls, "get", fails)
    with any_huey.lock_task("held"):
        pass
    assert locks(any_huey) == set()


def test_a_storage_that_is_away_fails_as_bare_huey_does(make_huey, monkeypatch, quiet):
    """It is asked no second time, and the lock is freed later."""
    huey = make_huey("redis")
    install_handlers(huey)
    cls, asked = type(open_store(huey)), []

    def away(*_):
        asked.append(1)
        raise ConnectionError("away")

    lock = huey.lock_task("held")
    lock.__enter__()
    with monkeypatch.context() as patch:
        patch.setattr(cls, "compare_and_delete", away)
        with pytest.raises(ConnectionError):
            lock.__exit__(None, None, None)
    assert len(asked) == len(held_locks_of(huey).failed_releases) == 1
    with pytest.raises(TaskLockedException):
        lock.__enter__()
    held_locks_of(huey).manager().detect_lost()


@pytest.mark.parametrize("preset", ["quiet-locks", "brief-locks", "reschedule-locks"])
def test_a_user_with_rights_to_hueys_keys_alone(as_user, kind, quiet, preset):
    """Nothing of a task fails where the kit's own keys are refused: it is as without a kit."""
    huey = as_user(kind, ["resetkeys", "~huey.*"])
    kit = install_handlers(huey, preset=preset)
    guarded, followed = declare(huey), []

    @huey.task()
    def on_error(*_):
        followed.append(1)

    with huey.lock_task("held"):
        huey.enqueue(guarded.s(1).error(on_error))
        run_all(huey)
    assert locks(huey) == set()
    done = guarded(2)
    run_all(huey)
    assert results(huey)[done.id] == 2
    assert followed == ([] if preset == "reschedule-locks" else [1])
    if kind != "redis-expire":  # there Redis removes it, whose key is Huey's own
        kit._expiry._in_memory.delete_due(huey.storage, 2**33)
        assert stored_errors(huey) == {}


def test_an_error_is_stored_although_it_cannot_be_marked(make_huey, monkeypatch, quiet):
    """A ``put_result`` of the user's has stored it: what then fails is only logged."""

    class Own(type(make_huey("redis"))):
        def put_result(self, key, data):
            return super().put_result(key, data)

    huey = make_huey("redis")
    huey.__class__ = Own
    kit = install_handlers(huey, preset="brief-locks")
    guarded = declare(huey)

    def away(*_):
        raise ConnectionError("away")

    monkeypatch.setattr(kit._expiry, "_schedule_stored", away)
    with huey.lock_task("held"):
        guarded(1)
        run_all(huey)
    assert len(stored_errors(huey)) == 1


def test_upkeep_works_without_scripts(limited, kind):
    """Sweeps, purges, reports and releases, as on any other server."""
    install_handlers(limited)
    job = declare(limited)
    orphans = [job(number).id for number in range(3)]
    limited.storage.flush_queue()
    for each in orphans:
        limited.revoke_by_id(each)
    waiting = job(1)
    waiting.revoke()
    sweep_tokens(limited, clock=lambda: NOW)
    swept = sweep_tokens(limited, clock=lambda: NOW + 86_401)
    assert (swept.deleted, swept.live) == (3, 1)
    assert tokens(limited) == {f"r:{waiting.id}"}

    error = TaskLockedException("unable to acquire lock x")
    for number in range(300):
        limited.put_result(str(number), Error({"error": repr(error), "task_id": str(number)}))
    assert purge_errors(limited).deleted == 300
    assert stored_errors(limited) == {}

    taken_by(limited, "dead", GONE)
    taken_by(limited, "free me", GONE)
    assert report(limited).queue_length == 1
    assert release_lock(limited, "free me")
    assert [each.name for each in release_stale(limited).released] == ["dead"]
    assert locks(limited) == set()


def test_a_heartbeat_is_written_without_scripts(limited, caplog):
    """And folded at the end, with nothing to complain about."""
    kit = install_handlers(limited, sinks="memory")
    declare(limited)(1)
    run_all(limited)
    kit._heartbeat.on_worker_start()
    kit._heartbeat.write()
    assert [each.alive for each in open_ledger(limited).snapshot().processes] == [True]
    kit.uninstall()
    look = open_ledger(limited).snapshot()
    assert look.processes == []
    assert look.totals != {}
    assert [each for each in caplog.records if each.name == "huey_signals_kit"] == []
