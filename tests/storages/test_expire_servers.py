"""What an error that expires costs a server, and how the server itself removes it."""

from __future__ import annotations

import threading
import time

import huey as huey_package
import pytest
from huey.exceptions import TaskLockedException
from huey.storage import SqliteStorage
from huey.utils import Error

from huey_signals_kit import install_handlers
from huey_signals_kit.expiring import _expiry
from huey_signals_kit.expiring._sql import PREFIX
from huey_signals_kit.store import UPKEEP, open_kit_store
from tests.support import KINDS, REDIS_KINDS, results, run_all, store, stored_errors, wait_until

VERSION = tuple(int(part) for part in huey_package.__version__.split(".")[:2])
HASH_KINDS = tuple(kind for kind in REDIS_KINDS if "expire" not in kind)


@pytest.fixture
def removes_fields(redis_url):
    """Whether the server of these tests knows a time to live of a hash's field."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        return "hpexpire" in client.command()


@pytest.fixture
def no_looks(monkeypatch):
    """Nobody removes anything on a tick."""
    monkeypatch.setattr(_expiry.Expiry, "begin", lambda self: None)


@pytest.fixture
def round_trips(monkeypatch):
    """A list that grows with each packet that this thread sends to Redis."""
    from redis.connection import AbstractConnection

    sent, send, thread = [], AbstractConnection.send_packed_command, threading.get_ident()

    def counted(connection, command, check_health=True):
        if threading.get_ident() == thread:
            sent.append(command)
        return send(connection, command, check_health)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    return sent


def locked(huey, **options):
    """A task that ends in a lock error."""

    @huey.task(**options)
    def guarded():
        raise TaskLockedException("unable to acquire lock held")

    return guarded


def index(huey):
    """The kit's sorted set."""
    return huey.storage.conn.zrange(f"huey-signals.expiring.{huey.storage.name}", 0, -1)


@pytest.mark.parametrize("kind", REDIS_KINDS)
@pytest.mark.parametrize("notify", [False, True])
def test_no_more_round_trips_than_hueys_own_way(make_huey, round_trips, no_looks, kind, notify):
    """The first error, which finds out what the server can do, and each later one."""
    if notify and VERSION < (3, 0):
        pytest.skip("Huey notifies of results since 3.0")
    taken = []
    for with_kit in (False, True):
        huey = make_huey(kind, **({"notify_result": True} if notify else {}))
        if with_kit:
            install_handlers(huey, preset="brief-locks")
        guarded = locked(huey)
        huey.storage.conn.ping()
        for _ in range(3):
            guarded()
            task = huey.dequeue()
            round_trips.clear()
            huey.execute(task)
            taken.append(len(round_trips))
    bare, kit = taken[:3], taken[3:]
    assert all(ours <= theirs for ours, theirs in zip(kit, bare, strict=True)), taken


@pytest.mark.parametrize("kind", HASH_KINDS)
def test_redis_removes_a_field_by_itself(make_huey, no_looks, removes_fields, kind):
    """Since 7.4, without any process of ours; only the first error is written down as well."""
    if not removes_fields:
        pytest.skip("this Redis is older than 7.4")
    huey = make_huey(kind)
    install_handlers(huey)
    guarded = locked(huey, lock_errors=0.2)
    for _ in range(3):
        guarded()
        run_all(huey)
    assert len(stored_errors(huey)) == 3
    assert len(index(huey)) == 1
    wait_until(lambda: not store(huey), 10, "Redis to remove the errors")


@pytest.mark.parametrize("kind", HASH_KINDS)
def test_a_success_takes_the_time_off_the_field(make_huey, no_looks, removes_fields, kind):
    """Redis forgets the time when a field is written again."""
    if not removes_fields:
        pytest.skip("this Redis is older than 7.4")
    huey = make_huey(kind)
    kit = install_handlers(huey)
    for key in ("first", "second"):
        kit._expiry.put(key, Error({"error": "busy"}), 60)
        assert huey.storage.conn.hpttl(huey.storage.result_key, key)[0] > 50_000
        huey.put_result(key, "done")
        assert huey.storage.conn.hpttl(huey.storage.result_key, key) == [-1]
    assert results(huey) == {"first": "done", "second": "done"}


@pytest.mark.parametrize("kind", HASH_KINDS)
def test_an_older_redis_is_asked_only_once(make_huey, no_looks, removes_fields, kind):
    """Its refusal is remembered, and every error is written down."""
    if removes_fields:
        pytest.skip("this Redis is 7.4 or newer")
    huey = make_huey(kind)
    kit = install_handlers(huey)
    before = _refusals(huey)
    for number in range(3):
        kit._expiry.put(str(number), Error({"error": "busy"}), 60)
    assert len(index(huey)) == 3
    assert _refusals(huey) == before + 1


@pytest.mark.parametrize("kind", HASH_KINDS)
def test_a_redis_that_becomes_an_older_one(make_huey, no_looks, removes_fields, kind):
    """As after a failover: the error is written down, and so is every later one."""
    if removes_fields:
        pytest.skip("this Redis is 7.4 or newer")
    huey = make_huey(kind)
    kit = install_handlers(huey)
    # What was true of the server before.
    kit._expiry._backends["RedisStorage"]._has_field_ttl[huey.storage.pool] = True
    for key in ("one", "two"):
        kit._expiry.put(key, Error({"error": "busy"}), 60)
    assert len(index(huey)) == len(stored_errors(huey)) == 2


@pytest.mark.parametrize("kind", HASH_KINDS)
def test_a_user_of_redis_who_may_not_use_it(
    make_huey, make_place, redis_url, no_looks, removes_fields, kind
):
    """The rights are taken away after the first error: each later one is written down."""
    if not removes_fields:
        pytest.skip("this Redis is older than 7.4")
    place = make_place(kind)
    admin = make_huey(kind, place.name).storage.conn
    rights = {"enabled": True, "nopass": True, "keys": ["*"], "channels": ["*"]}
    admin.acl_setuser("limited", categories=["+@all"], reset=True, **rights)
    huey = make_huey(kind, place.name, url=redis_url.replace("://", "://limited:x@"))
    kit = install_handlers(huey)
    kit._expiry.put("one", Error({"error": "busy"}), 60)
    admin.acl_setuser("limited", commands=["-hpexpire"])
    for key in ("two", "three"):
        kit._expiry.put(key, Error({"error": "busy"}), 60)
    assert sorted(key[40:] for key in index(huey)) == [b"one", b"three", b"two"]
    assert len(stored_errors(huey)) == 3
    admin.acl_deluser("limited")


def _refusals(huey):
    return int(huey.storage.conn.info("stats")["total_error_replies"])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "expire" in kind])
def test_our_time_beats_the_storages_own(make_huey, kind):
    """``RedisExpireStorage`` keeps results for a day, or as long as it was told."""
    huey = make_huey(kind, expire_time=10)
    kit = install_handlers(huey)
    kit._expiry.put("long", Error({"error": "busy"}), 3600)
    kit._expiry.put("short", Error({"error": "busy"}), 5)
    left = [huey.storage.conn.pttl(huey.storage.result_key(key)) for key in ("long", "short")]
    assert 3_500_000 < left[0] <= 3_600_000
    assert 4_000 < left[1] <= 5_000


def test_no_more_statements_than_hueys_own_way(make_huey, no_looks):
    """One stores the error and says when it is due: there is never one without the other."""
    huey = make_huey("sqlite")
    kit, run = install_handlers(huey), []
    bare = type(huey).put_result
    bare(huey, "before", "connected by now")
    huey.storage.conn.set_trace_callback(run.append)
    bare(huey, "bare", "result")
    taken = len(run)
    kit._expiry.put("kit", Error({"error": "busy"}), 60)
    assert 0 < len(run) - taken <= taken


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "sql-huey"])
def test_a_row_beside_it_says_when_it_is_due(make_huey, no_looks, kind):
    """By its key, so that a search of the primary key finds it."""
    huey = make_huey(kind)
    kit = install_handlers(huey)
    kit._expiry.put("key", Error({"error": "busy"}), 60)
    ((row,),) = open_kit_store(huey, UPKEEP).keys(PREFIX)
    due = stored_errors(huey)["key"]["expires"]
    assert abs(int(row[len(PREFIX) :].partition("x")[0]) / 1000 - due) < 0.01


def test_a_look_searches_the_primary_key(make_huey):
    """SQLite reads no row that is not due, however many results there are."""
    huey = make_huey("sqlite")
    kit, asked = install_handlers(huey), []
    sql = huey.storage.sql

    def noted(query, params=None, commit=False, results=False):
        asked.append((query, params))
        return sql(query, params, commit, results)

    huey.storage.sql = noted
    kit._expiry.delete_due()
    ((query, params),) = asked
    (plan,) = sql(f"explain query plan {query}", params, results=True)
    assert "(queue=? AND key>? AND key<?)" in plan[-1]


@pytest.mark.storage("postgres")
@pytest.mark.parametrize("locale", ["en-x-icu", "en-u-ka-shifted", "en-u-ka-shifted-kn-true", "de"])
def test_every_collation_of_postgres_finds_what_is_due(make_huey, locale):
    """Also one that passes over punctuation, or sorts digits as numbers."""
    import psycopg

    huey = make_huey("postgres")
    sql, table = huey.storage.sql, huey.storage.table_kv
    try:
        sql(f"create collation sorted (provider = icu, locale = '{locale}')")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this Postgres has no ICU")
    sql(f"alter table {table} alter column key type text collate sorted")
    kit = install_handlers(huey)
    for number in range(150):
        kit._expiry.put(f"key {number}", Error({"error": "busy"}), 0.01)
    kit._expiry.put("late", Error({"error": "busy"}), 60)
    for bystander in ("hueysignalsexpiring5", "huey-signals:expiring", "huey signals expiring 1"):
        huey.put_result(bystander, "stays")
    time.sleep(0.05)
    kit._expiry.delete_due()
    assert set(stored_errors(huey)) == {"late"}
    assert len(store(huey)) == 4
    assert [len(keys) for keys in open_kit_store(huey, UPKEEP).keys(PREFIX)] == [1]


def test_an_error_of_the_server_comes_through(make_huey):
    """The hash is no hash any more: Redis refuses, as it refuses Huey."""
    raised = []
    for with_kit in (False, True):
        huey = make_huey("redis")
        kit = install_handlers(huey, preset="brief-locks") if with_kit else None

        @huey.task()
        def breaking(huey=huey):
            huey.storage.conn.set(huey.storage.result_key, "no hash")
            raise TaskLockedException("unable to acquire lock held")

        breaking()
        with pytest.raises(Exception, match="WRONGTYPE") as failure:
            run_all(huey)
        raised.append(type(failure.value))
        huey.storage.conn.delete(huey.storage.result_key)
    assert raised[0] is raised[1]
    assert kit.count("huey_results_suppressed_total") == 0


def test_two_processes_that_look_at_once(make_huey):
    """Each error is removed once, and neither process fails."""
    huey = make_huey("sqlite")
    other = make_huey("sqlite", huey.name)
    kits = [install_handlers(each) for each in (huey, other)]
    for number in range(300):
        kits[0]._expiry.put(str(number), Error({"error": "busy"}), 0.01)
    time.sleep(0.05)
    threads = [threading.Thread(target=kit._expiry.delete_due) for kit in kits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert isinstance(huey.storage, SqliteStorage)
    assert store(huey) == {}
