"""``alive:<id>`` is written over a connection of its own, made as Huey's is."""

from __future__ import annotations

import socket
import subprocess
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from huey import RedisHuey

from huey_signals_kit.ledger import alive_writer
from huey_signals_kit.ledger._ledger import open_backend
from tests.servers import find_redis, redis_server
from tests.support import KINDS, wait_until

redis = pytest.importorskip("redis")
SHARED = [kind for kind in KINDS if kind != "memory"]


@contextmanager
def sentinel(folder, port):
    """A sentinel that watches the Redis on *port*; its own port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    conf = folder / "sentinel.conf"
    conf.write_text(f"port {own}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {port} 1\n")
    command = [find_redis(), str(conf), "--sentinel"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        yield own
    finally:
        process.kill()
        process.wait()


def pool_of_sentinel(port):
    from redis.sentinel import Sentinel

    sentinels = Sentinel([("127.0.0.1", port)])

    def answers():
        try:
            return sentinels.discover_master("shop")
        except redis.RedisError:
            return None

    wait_until(answers, 20, "the sentinel to know its master")
    pool = sentinels.master_for("shop").connection_pool
    for each in sentinels.sentinels:
        each.close()
    return pool


@pytest.fixture
def ways(tmp_path):
    """Hueys on one Redis, each connected in its own way."""
    path = str(tmp_path / "s")
    with redis_server("--unixsocket", path) as url, sentinel(tmp_path, urlsplit(url).port) as port:
        place = {"host": "127.0.0.1", "port": urlsplit(url).port}
        made = {
            "url": RedisHuey("url", url=url.replace("/0", "/3")),
            "arguments": RedisHuey("arguments", **place, db=1),
            "unix socket": RedisHuey("unix", url=f"unix://{path}?db=2"),
            "blocking pool": RedisHuey(
                "pool", connection_pool=redis.BlockingConnectionPool(max_connections=2, **place)
            ),
            "sentinel": RedisHuey("sentinel", connection_pool=pool_of_sentinel(port)),
        }
        yield made
        for huey in made.values():
            huey.storage.pool.disconnect()


def test_each_way_to_connect_to_redis(ways):
    """Where Huey looks for its data, on another connection than any of Huey's pool."""
    for name, huey in ways.items():
        huey.storage.conn.ping()
        clients = {each["id"] for each in huey.storage.conn.client_list()}
        writer = alive_writer(huey, "me")
        writer.write(b"1")
        writer.write(b"2")
        assert open_backend(huey).read().alive == {"me": b"2"}, name
        theirs = {
            each["id"] for each in huey.storage.conn.client_list() if each["cmd"] == "evalsha"
        }
        assert theirs - clients, name
        writer.remove()
        writer.close()
        assert open_backend(huey).read().alive == {}, name


@pytest.mark.parametrize("kind", SHARED)
def test_a_connection_that_is_lost_is_made_again(make_huey, kind):
    """What fails is raised once; the next value is written over a new connection."""
    huey = make_huey(kind)
    writer = alive_writer(huey, "me")
    writer.write(b"1")
    writer.close()
    writer.write(b"2")
    assert open_backend(huey).read().alive == {"me": b"2"}
    writer.remove()
    writer.close()
    assert open_backend(huey).read().alive == {}


def test_a_redis_that_came_back_is_written_to_again():
    """The first value after its end fails, a later one does not."""
    with redis_server() as url:
        huey = RedisHuey("restarted", url=url)
        writer = alive_writer(huey, "me")
        writer.write(b"1")
        huey.storage.conn.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(redis.ConnectionError):
            writer.write(b"2")
        writer.write(b"3")
        assert open_backend(huey).read().alive == {"me": b"3"}
        writer.close()
        huey.storage.pool.disconnect()


@pytest.mark.storage("sql-huey", "postgres")
def test_none_where_a_connection_may_be_shared(make_huey, make_place):
    """A function of the user's, or a pool of peewee's, gives connections that others use."""
    sql = make_huey("sql-huey")
    sql.storage.database._heap = []
    assert alive_writer(sql, "me") is None
    place = make_place("postgres")
    import psycopg

    postgres = make_huey("postgres", place.name)
    postgres.storage.connection = lambda: psycopg.connect(place.location)
    assert alive_writer(postgres, "me") is None
