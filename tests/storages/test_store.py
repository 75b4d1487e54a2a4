"""The store read as data: in batches, by prefix, while others write; compared before deleted."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from huey.api import Huey
from huey.storage import BaseStorage, MemoryStorage

from huey_signals_kit.store import (
    BATCH,
    LARGEST,
    UPKEEP,
    Script,
    UnsupportedStorage,
    open_kit_store,
    open_store,
)
from huey_signals_kit.store.backends.sql import key_range
from tests.support import wait_until

FAR = datetime(2045, 1, 1)
FAMILIES = {
    "memory": "memory",
    "sqlite": "sqlite",
    "cysqlite": "sqlite",
    "file": "file",
    "redis": "redis hash",
    "redis-expire": "redis keys",
    "priority-redis": "redis hash",
    "priority-redis-expire": "redis keys",
    "postgres": "postgres",
    "sql-huey": "peewee (SqliteDatabase)",
}


def fill(huey, keys, value=b"value"):
    for key in keys:
        huey.storage.put_data(key, value)


def schedule(huey, message, eta=FAR):
    more = (False,) if huey.storage.add_to_schedule.__code__.co_argcount == 4 else ()
    huey.storage.add_to_schedule(message, eta, *more)


def flat(batches):
    return [each for batch in batches for each in batch]


def test_every_storage_of_hueys_has_its_family(any_kind, any_huey):
    """None of the ten is read by Huey's slower public calls."""
    store = open_store(any_huey)
    assert store.name == FAMILIES[any_kind]


def test_entries_come_in_batches_with_values_and_sizes(any_huey):
    """All keys, each once while nobody writes, none in a batch of more than a thousand."""
    keys = [f"r:{number:04}" for number in range(2 * BATCH + 300)]
    fill(any_huey, keys)
    batches = list(open_store(any_huey).entries())
    assert sorted(entry.key for entry in flat(batches)) == keys
    assert {(entry.value, entry.size, entry.is_fetched) for entry in flat(batches)} == {
        (b"value", 11, True)
    }
    assert len(batches) > 2
    assert max(map(len, batches)) <= BATCH
    batches = list(open_store(any_huey).keys())
    assert sorted(flat(batches)) == keys
    assert len(batches) > 2


@pytest.mark.parametrize("prefix", ["r:", "rt:", "huey-signals:", "*", "a%_", "é", "r", "No.lock."])
def test_a_prefix_is_taken_as_it_is(any_huey, prefix):
    """No character is a pattern, capitals differ, and neighbours are not taken with it."""
    prefixes = ["r:", "rt:", "R:", "r", "s:", "huey-signals:", "huey-signalt:", "huey_signals:"]
    prefixes += ["*", "[r]:", "r?", "a%_", "axx", "é", "è", "No.lock.", "no.lock.", "\\", "'"]
    keys = {f"{each}{rest}" for each in prefixes for rest in ("", "1", "ß x", uuid4())}
    fill(any_huey, keys)
    expected = {key for key in keys if key.startswith(prefix)}
    store = open_store(any_huey)
    assert set(flat(store.keys(prefix))) == expected
    assert {entry.key for entry in flat(store.entries(prefix))} == expected


def test_an_empty_storage_has_nothing(any_huey):
    """It gives no keys, values or messages, and nothing can be deleted."""
    store = open_store(any_huey)
    readings = (store.keys(), store.entries(), store.queued(), store.scheduled(), store.keys("r:"))
    assert [flat(each) for each in readings] == [[]] * 5
    assert store.get([]) == []
    assert store.get(["r:none"]) == [None]
    assert store.delete(["r:none"]) == store.delete([]) == 0
    assert store.compare_and_delete_many([("r:none", b"")]) == []


def test_many_are_got_and_deleted(any_huey):
    """In the order that was asked for; the number deleted is that of those that were there."""
    keys = [f"r:{number}" for number in range(BATCH + 200)]
    fill(any_huey, keys)
    store = open_store(any_huey)
    assert store.get(["none", *keys, "none"]) == [None, *[b"value"] * len(keys), None]
    assert store.delete([*keys[1:], "none"]) == len(keys) - 1
    assert flat(store.keys()) == keys[:1]


def test_only_the_same_is_deleted_or_replaced(any_huey):
    """A value that has changed since it was read stays, whatever it is."""
    fill(any_huey, ["a", "b", "c"], b"old")
    store = open_store(any_huey)
    assert not store.compare_and_delete("a", b"other")
    assert not store.compare_and_delete("none", b"old")
    assert not store.compare_and_set("a", b"other", b"new")
    assert not store.compare_and_set("none", b"old", b"new")
    assert store.get(["a", "none"]) == [b"old", None]
    assert store.compare_and_set("a", b"old", b"\0new\xff")
    assert store.compare_and_delete_many([("a", b"old"), ("b", b"old"), ("c", b"old")]) == [
        "b",
        "c",
    ]
    assert store.compare_and_delete("a", b"\0new\xff")
    assert flat(store.keys()) == []


def test_what_the_kit_replaces_is_there_for_huey_too(any_huey):
    """Huey reads what the kit wrote, and the kit sees what Huey deleted."""
    store = open_store(any_huey)
    fill(any_huey, ["x"], b"1")
    assert store.compare_and_set("x", b"1", b"2")
    assert any_huey.storage.peek_data("x") == b"2"
    assert any_huey.storage.delete_data("x")
    assert store.get(["x"]) == [None]


def test_a_key_of_the_kit_is_written_once(any_huey):
    """A second writer leaves it as it is."""
    store = open_kit_store(any_huey, UPKEEP)
    assert store.put_if_absent("huey-signals:x", b"1")
    assert not store.put_if_absent("huey-signals:x", b"2")
    assert store.get(["huey-signals:x"]) == [b"1"]


def test_messages_come_in_batches(any_huey):
    """Those of the queue and of the schedule, as they were written."""
    messages = {b"\x80message %d" % number for number in range(2 * BATCH)}
    for message in messages:
        any_huey.storage.enqueue(message)
        schedule(any_huey, message)
    store = open_store(any_huey)
    for read in (store.queued, store.scheduled):
        batches = list(read())
        assert set(flat(batches)) == messages
        assert len(batches) > 1
        assert max(map(len, batches)) <= BATCH


def test_the_ends_of_queue_and_schedule_are_read_alone(any_huey):
    """The message that a worker takes next, the last one in line, and the one that is due first."""
    store = open_store(any_huey)
    assert (store.queue_ends(), store.next_scheduled()) == ([], None)
    for number in (b"1", b"2", b"3"):
        any_huey.storage.enqueue(number)
    schedule(any_huey, b"later", FAR + timedelta(1))
    schedule(any_huey, b"first")
    assert (store.queue_ends(), store.next_scheduled()) == ([b"1", b"3"], b"first")
    assert any_huey.storage.dequeue() == b"1"
    assert any_huey.storage.dequeue() == b"2"
    assert store.queue_ends() == [b"3", b"3"]


def test_the_ends_of_a_queue_with_priorities(any_kind, any_huey):
    """The highest priority is next, and the last one of the lowest is last."""
    if any_kind.startswith("redis"):
        pytest.skip("this storage has no priorities")
    for number, priority in ((b"low 1", 1), (b"high", 9), (b"low 2", 1)):
        any_huey.storage.enqueue(number, priority)
    assert open_store(any_huey).queue_ends() == [b"high", b"low 2"]


def test_queues_of_one_server_are_kept_apart(any_kind, make_huey):
    """Nothing of another Huey on the same server is read or deleted."""
    one, two = make_huey(any_kind), make_huey(any_kind)
    fill(two, ["r:theirs"])
    two.storage.enqueue(b"theirs")
    schedule(two, b"theirs")
    store = open_store(one)
    assert flat([*store.keys(), *store.queued(), *store.scheduled()]) == []
    assert store.delete(["r:theirs"]) == 0
    assert flat(open_store(two).keys()) == ["r:theirs"]


def test_values_are_bounded_in_bytes(any_kind, any_huey):
    """Large values come a few at a time, and one beyond all bounds does not come at all."""
    fill(any_huey, [f"large {number}" for number in range(12)], b"x" * 1_000_000)
    fill(any_huey, ["beyond"], bytes(LARGEST + 1))
    fill(any_huey, ["small"])
    batches = list(open_store(any_huey).entries())
    if any_kind != "memory":  # there, nothing is loaded
        assert max(sum(len(entry.value) for entry in batch) for batch in batches) < 5_000_000
    entries = {entry.key: entry for entry in flat(batches)}
    assert len(entries) == 14
    beyond = entries["beyond"]
    assert (beyond.value, beyond.size, beyond.is_fetched) == (b"", LARGEST + 7, False)
    assert {len(entry.value) for entry in entries.values()} == {0, 5, 1_000_000}
    assert not open_store(any_huey).compare_and_delete("beyond", beyond.value)


def test_messages_are_bounded_in_bytes(any_huey):
    """One that is beyond all bounds comes as nothing, which no reader takes for a message."""
    any_huey.storage.enqueue(b"first")
    any_huey.storage.enqueue(bytes(LARGEST + 9))
    schedule(any_huey, bytes(LARGEST + 1))
    store = open_store(any_huey)
    assert sorted(flat(store.queued())) == [b"", b"first"]
    assert flat(store.scheduled()) == [b""]


@pytest.fixture
def meanwhile():
    """`meanwhile(step)` calls `step(number)` on another thread until the test ends."""
    stop, threads, failed = threading.Event(), [], []

    def start(step):
        done = []

        def run():
            try:
                while not stop.is_set():
                    step(len(done))
                    done.append(None)
            except BaseException as exc:
                failed.append(exc)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        wait_until(lambda: failed or len(done) > 5, 20, "the other thread's start")

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed


def test_what_stays_is_read_while_others_write(any_kind, make_huey, meanwhile):
    """Every key that is there all the time comes, with its value."""
    huey = make_huey(any_kind, "shared")
    stay = {f"r:{number}" for number in range(1500)}
    fill(huey, stay)
    theirs = huey if any_kind == "memory" else make_huey(any_kind, "shared")

    def step(number):
        theirs.storage.put_data(f"r:new {number}", b"new")
        theirs.storage.delete_data(f"r:new {number - 5}")

    meanwhile(step)
    store = open_store(huey)
    for _ in range(3):
        assert stay <= set(flat(store.keys("r:")))
        found = {entry.key: entry.value for entry in flat(store.entries("r:"))}
        assert stay <= {key for key, value in found.items() if value == b"value"}
        assert {found[key] for key in set(found) - stay} <= {b"new"}


def test_messages_that_stay_are_read_while_others_come_and_go(any_kind, make_huey, meanwhile):
    """None is missed for those that are taken from one end and put on the other."""
    huey = make_huey(any_kind, "shared")
    for number in range(3000):
        huey.storage.enqueue(b"first %d" % number)
    stay = {b"stays %d" % number for number in range(1500)}
    for message in stay:
        huey.storage.enqueue(message)
    theirs = huey if any_kind == "memory" else make_huey(any_kind, "shared")
    taken = []

    def step(number):
        if number < 2500:
            taken.append(theirs.storage.dequeue())
            theirs.storage.enqueue(b"new %d" % number)

    meanwhile(step)
    store = open_store(huey)
    for _ in range(3):
        assert stay <= set(flat(store.queued()))
    assert taken
    assert not stay & set(taken)


@pytest.mark.storage("file")
@pytest.mark.parametrize("begun", [0, 3, 4, 8])
def test_a_file_that_huey_has_only_begun_is_missing(make_huey, begun):
    """As before Huey 3.0, which writes files in place."""
    huey = make_huey("file")
    huey.storage.put_data("whole", b"value")
    huey.storage.put_data("begun", b"value")
    with open(huey.storage.path_for_key(b"begun"), "r+b") as file:
        file.truncate(begun)
    store = open_store(huey)
    assert store.get(["whole", "begun"]) == [b"value", None]
    assert not store.compare_and_delete("begun", b"value")


@pytest.mark.parametrize("way", ["delete", "compare_and_delete", "compare_and_delete_many"])
def test_each_key_is_deleted_by_one_of_many(any_kind, make_huey, way):
    """Four at once delete all of it: every key counts once among them."""
    if any_kind == "file" and not hasattr(make_huey("file").storage.lock, "_local"):
        pytest.skip("this Huey's file lock is none between threads")
    hueys = [make_huey(any_kind, "shared") for _ in range(4)]
    if any_kind == "memory":
        hueys = hueys[:1] * 4
    keys = [f"r:{number}" for number in range(600)]
    fill(hueys[0], keys)

    def work(huey):
        store = open_store(huey)
        if way == "delete":
            return store.delete(keys)
        if way == "compare_and_delete":
            return sum(store.compare_and_delete(key, b"value") for key in keys)
        return len(store.compare_and_delete_many([(key, b"value") for key in keys]))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, hueys)) == len(keys)
    assert flat(open_store(hueys[0]).keys()) == []


def test_what_was_written_meanwhile_is_never_deleted(any_kind, make_huey):
    """One writes a new value to each key while another deletes the old: the new ones stay."""
    huey = make_huey(any_kind, "shared")
    theirs = huey if any_kind == "memory" else make_huey(any_kind, "shared")
    if any_kind == "file" and not hasattr(huey.storage.lock, "_local"):
        pytest.skip("this Huey's file lock is none between threads")
    keys = [f"r:{number}" for number in range(400)]
    fill(huey, keys, b"old")
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(fill, theirs, keys, b"new")
        open_store(huey).compare_and_delete_many((key, b"old") for key in reversed(keys))
        written.result()
    assert open_store(huey).get(keys) == [b"new"] * len(keys)


def test_of_many_that_write_a_new_key_one_does(any_kind, make_huey):
    """The same for replacing: of those who saw the old value, one gets through."""
    if any_kind == "file" and not hasattr(make_huey("file").storage.lock, "_local"):
        pytest.skip("this Huey's file lock is none between threads")
    hueys = [make_huey(any_kind, "shared") for _ in range(4)]
    hueys = hueys[:1] * 4 if any_kind == "memory" else hueys
    stores = [open_kit_store(huey, UPKEEP) for huey in hueys]
    with ThreadPoolExecutor(4) as pool:
        for number in range(30):
            key = f"huey-signals:{number}"
            assert (
                sum(pool.map(lambda store, key=key: store.put_if_absent(key, b"old"), stores)) == 1
            )
            won = pool.map(
                lambda pair, key=key: pair[1].compare_and_set(key, b"old", b"new %d" % pair[0]),
                enumerate(stores),
            )
            winner = list(won).index(True)
            assert stores[0].get([key]) == [b"new %d" % winner]


@pytest.mark.parametrize("kind", ["redis-expire", "priority-redis-expire"])
def test_a_time_to_live_goes_on_when_a_value_is_replaced(make_huey, kind):
    """What Redis was to remove later, it still removes then."""
    huey = make_huey(kind)
    huey.storage.put_data("result", b"old", is_result=True)
    assert open_store(huey).compare_and_set("result", b"old", b"new")
    assert huey.storage.peek_data("result") == b"new"
    assert 80_000 < huey.storage.conn.ttl(huey.storage.result_key("result")) <= 86_400


@pytest.mark.storage("redis-expire")
def test_a_server_that_hides_keys_from_scripts_is_read_by_commands(make_huey, monkeypatch):
    """Some that speak Redis' protocol let a script read only the keys that it was given."""
    huey = make_huey("redis-expire")
    fill(huey, [f"r:{number}" for number in range(1500)])
    fill(huey, ["large"], bytes(10_000))
    refused = Script("return redis.error_reply('ERR undeclared key')")
    monkeypatch.setattr("huey_signals_kit.store.backends.redis_scripts.SCAN_PAGE", refused)
    entries = {entry.key: entry.value for entry in flat(open_store(huey).entries())}
    assert len(entries) == 1501
    assert set(entries.values()) == {b"value", bytes(10_000)}


@pytest.mark.parametrize("kind", ["redis", "priority-redis"])
def test_a_fields_time_to_live_goes_on_as_well(make_huey, kind):
    """A lock with a time to live that is told who holds it still ends by itself."""
    huey = make_huey(kind)
    info = huey.storage.conn.info("server")
    if tuple(map(int, info["redis_version"].split(".")[:2])) < (7, 4):
        pytest.skip("this Redis has no time to live for fields")
    huey.storage.put_data("lock", b"old")
    huey.storage.conn.execute_command(
        "HPEXPIRE", huey.storage.result_key, 60_000, "FIELDS", 1, "lock"
    )
    assert open_store(huey).compare_and_set("lock", b"old", b"new")
    (left,) = huey.storage.conn.execute_command(
        "HPTTL", huey.storage.result_key, "FIELDS", 1, "lock"
    )
    assert 50_000 < left <= 60_000


@pytest.mark.parametrize("kind", ["redis", "redis-expire"])
def test_keys_that_are_no_utf_8_are_read_and_deleted(make_huey, kind):
    """Redis has bytes: they come back as they were."""
    huey = make_huey(kind)
    huey.storage.put_data(b"r:\xff\xfe", b"value")
    store = open_store(huey)
    (key,) = flat(store.keys("r:"))
    assert key == "r:\udcff\udcfe"
    assert store.get([key]) == [b"value"]
    assert store.compare_and_delete(key, b"value")
    assert flat(store.keys()) == []


def test_sqlite_compares_without_capitals(make_huey):
    """A table that somebody made with another collation is read by prefix all the same."""
    huey = make_huey("sqlite", "a")
    huey.storage.sql("drop table kv", commit=True)
    huey.storage.sql(
        "create table kv (queue text not null, key text not null collate nocase, "
        "value blob not null, primary key(queue, key))",
        commit=True,
    )
    check_collation(huey)


@pytest.mark.storage("postgres")
@pytest.mark.parametrize("collation", ["en-x-icu", "et-x-icu", "da-x-icu", "cs-x-icu", "C"])
def test_postgres_sorts_in_any_language(make_huey, collation):
    """Punctuation and capitals that count less than letters, and letters in another order."""
    huey = make_huey("postgres")
    known = huey.storage.sql(
        "select 1 from pg_collation where collname = %s", (collation,), results=True
    )
    if not known:
        pytest.skip(f"this Postgres has no {collation}")
    huey.storage.sql(
        f'alter table {huey.storage.table_kv} alter key type text collate "{collation}"'
    )
    check_collation(huey)


def check_collation(huey):
    starts = ["r:", "R:", "r", "ra", "r-", "rt:", "s:", "q:", "huey-signals:", "hueysignals", "z"]
    rests = ["", "a", "aa", "A", "ch", "z", "0", "-", ":x", "ž", *map(str, range(300))]
    pairs = [(start, f"{start}{rest}") for start in starts for rest in rests]
    keys = {key.lower(): key for _, key in pairs}
    fill(huey, keys.values())
    store = open_store(huey)
    for prefix in {*starts, ""}:
        expected = {key for key in keys.values() if key.startswith(prefix)}
        assert set(flat(store.keys(prefix))) == expected


def test_ranges_of_keys_end_at_a_letter_that_is_safe():
    """No range for a prefix without one: then all keys are looked at."""
    assert key_range("r:") == ("r", "s")
    assert key_range("huey-signals:process:") == (
        "huey-signals:process",
        "huey-signals:proces" + "t",
    )
    assert key_range("huey-signals:ab") == ("huey-signals", "huey-signalt")
    assert [key_range(each) for each in ("", "r", "y:", "p:", "9:", "é:", "Z.")] == [None] * 7


class Wrapped(MemoryStorage):
    """A storage of a user's own, which keeps values in its own way."""

    def put_data(self, key, value, is_result=False):
        self._results[key] = value[::-1]

    def peek_data(self, key):
        return super().peek_data(key)[::-1] if key in self._results else super().peek_data(key)

    def pop_data(self, key):
        value = self.peek_data(key)
        self._results.pop(key, None)
        return value

    def put_if_empty(self, key, value, *args):
        return key not in self._results and not self.put_data(key, value)

    def delete_data(self, key):
        return self._results.pop(key, None) is not None

    def result_items(self):
        return {key.encode(): self.peek_data(key) for key in self._results}


def test_a_storage_of_the_users_own_is_read_by_hueys_calls():
    """It does all that the others do, and says that it is not one of Huey's."""
    huey = Huey("x", storage_class=Wrapped)
    fill(huey, [f"r:{number}" for number in range(1200)], b"old")
    huey.storage.enqueue(b"queued")
    schedule(huey, b"scheduled")
    store = open_store(huey)
    assert store.name == "unknown (Wrapped)"
    assert [len(batch) for batch in store.keys("r:")] == [1000, 200]
    assert {entry.value for entry in flat(store.entries("r:1"))} == {b"old"}
    assert store.get(["r:1", "none"]) == [b"old", None]
    assert not store.compare_and_delete("r:1", b"new")
    assert not store.compare_and_set("r:1", b"new", b"")
    assert store.compare_and_set("r:1", b"old", b"new")
    assert store.compare_and_delete_many([("r:1", b"old"), ("r:1", b"new"), ("r:2", b"old")]) == [
        "r:1",
        "r:2",
    ]
    assert store.put_if_absent("r:1", b"1")
    assert not store.put_if_absent("r:1", b"1")
    assert store.delete(["r:1", "r:2", "r:3"]) == 2
    assert (flat(store.queued()), flat(store.scheduled())) == ([b"queued"], [b"scheduled"])


def test_a_storage_that_cannot_list_says_so():
    """The error names the storage, the call, and what is needed."""
    store = open_store(Huey("x", storage_class=BaseStorage))
    for call in (store.keys, store.entries, store.queued):
        with pytest.raises(
            UnsupportedStorage, match=r"BaseStorage .* and its \w+\(\) cannot be used"
        ):
            list(call())


def test_a_subclass_that_only_adds_is_the_same_family(make_huey):
    """What decides is how the data is kept."""

    class Named(MemoryStorage):
        def queue_size(self):
            return 0

    assert open_store(Huey("x", storage_class=Named)).name == "memory"


def test_no_client_library_is_imported_for_it():
    """Opening a store imports none that Huey had not."""
    huey = Huey("x", storage_class=MemoryStorage)
    before = set(sys.modules)
    open_store(huey)
    assert set(sys.modules) == before
