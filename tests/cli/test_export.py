"""`huey-signals export`: one process, scraped over HTTP, shows what all of a queue have done."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)
pytest.importorskip("prometheus_client", exc_type=ImportError)

import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from huey_signals_kit.cli._export import collector as collecting
from huey_signals_kit.cli._export import reader
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.metrics.names import BOUNDS, LABELS
from huey_signals_kit.metrics.values import Durations
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import report
from huey_signals_kit.upkeep.monitor import background_read
from huey_signals_kit.upkeep.monitor.background_read import BackgroundRead, ReadTimeout
from tests.cli.conftest import ROOT
from tests.locks import ELSEWHERE, GONE, taken_by
from tests.support import put_kit_data, run_all, wait_until

NOBODY = replace(this_process(), pid=2**30)
"""A place of this host where no process is."""


class Server:
    """A running `export`, and what it says when scraped."""

    def __init__(self, shop, *options):
        self.process = shop.start("export", shop.name, "--port", "0", *options)
        self.said = self.process.stderr.readline()
        while self.said and "Serving" not in self.said:
            self.said = self.process.stderr.readline()
        found = re.search(r"Serving (http://127\.0\.0\.1:\d+/metrics); Ctrl-C ends it", self.said)
        assert found, self.process.communicate()
        self.url = found[1]

    def scrape(self):
        """{(name, labels): value} of one scrape."""
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            return samples(answer.read().decode())

    def end(self, signum=signal.SIGTERM):
        """Its exit code, and what else it has said."""
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def samples(text):
    """{(name, value of each label but the queue): value}."""
    return {
        (each.name, *(value for name, value in sorted(each.labels.items()) if name != "queue")): (
            each.value
        )
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def scraped(shop, interval):
    """What scrapes the collector in this process."""
    registry = CollectorRegistry()
    registry.register(collecting.QueueCollector(shop.huey, interval, lambda exc, missing: None))
    return lambda: samples(generate_latest(registry).decode())


def beat(shop, counters, process="one", sequence=1, place=None):
    """A process that has counted."""
    counters = {(key[0], shop.huey.name, *key[1:]): value for key, value in counters.items()}
    place = place or this_process()
    record = Heartbeat(process, place, "thread", 5.0, sequence, counters=counters)
    open_ledger(shop.huey).write(record)


SKIPS = ("huey_lock_skips_total", "shop.job", "held")


def test_it_serves_the_whole_queue(shop):
    """The sum of what all processes have counted, and what there is in the store."""
    shop.fill()
    durations = Durations(2, 1.5, (1, *[0] * (len(BOUNDS) - 1), 1))
    beat(shop, {SKIPS: 3, ("huey_task_duration_seconds", "shop.job"): durations}, "one")
    beat(shop, {SKIPS: 4, ("huey_task_duration_seconds", "shop.job"): durations}, "two")
    taken_by(shop.huey, "dead", GONE)
    taken_by(shop.huey, "far", ELSEWHERE)
    server = Server(shop)
    found = server.scrape()
    assert found["huey_up",] == 1
    assert found["huey_lock_skips_total", "held", "shop.job"] == 7
    assert found["huey_task_duration_seconds_count", "shop.job"] == 4
    assert found["huey_task_duration_seconds_sum", "shop.job"] == 3.0
    assert found["huey_task_duration_seconds_bucket", "0.005", "shop.job"] == 2
    assert found["huey_task_duration_seconds_bucket", "+Inf", "shop.job"] == 4
    assert found["huey_store_keys", "token"] == 6
    assert found["huey_store_keys", "error"] == 2
    assert found["huey_store_keys", "chord_part"] == 0
    assert found["huey_store_bytes", "token"] > 6 * 20
    assert (found["huey_queue_length",], found["huey_schedule_length",]) == (1, 1)
    assert (found["huey_locks_held",], found["huey_locks_stale",]) == (3, 1)
    assert found["huey_ledger_unreadable_records",] == 0
    assert abs(found["huey_report_timestamp_seconds",] - time.time()) < 60
    assert server.end() == (0, "", "")


def test_the_store_is_read_no_more_often_than_asked(sqlite_shop):
    """Counters and the queue are as of now, the rest of the store as of the last report."""
    huey, scrape = sqlite_shop.huey, scraped(sqlite_shop, 600)
    assert scrape()["huey_tokens", "custom"] == 0
    sqlite_shop.tasks.job()
    huey.revoke_by_id("one")
    beat(sqlite_shop, {SKIPS: 1})
    found = scrape()
    assert (found["huey_queue_length",], found["huey_tokens", "custom"]) == (1, 0)
    assert found["huey_lock_skips_total", "held", "shop.job"] == 1
    scrape = scraped(sqlite_shop, 0.2)
    assert scrape()["huey_tokens", "custom"] == 1
    huey.revoke_by_id("two")
    wait_until(lambda: scrape()["huey_tokens", "custom"] == 2, 10, "another report")


def rename(old, new):
    return lambda shop, _: shop.huey.storage.sql(f"alter table {old} rename to {new}", commit=True)


def user(rule):
    def change(shop, client):
        client.execute_command("ACL", "SETUSER", shop.place.name, *rule)
        for each in client.client_list():
            if each.get("user") == shop.place.name:
                client.client_kill_filter(_id=each["id"])

    return change


@pytest.mark.parametrize(
    ("kind", "down", "up", "named"),
    [
        ("sqlite", rename("kv", "gone"), rename("gone", "kv"), "the SQLite file"),
        ("postgres", rename("huey_kv", "gone"), rename("gone", "huey_kv"), "the Postgres at"),
        ("redis", user(["off"]), user(["on"]), "the Redis at"),
    ],
)
def test_a_storage_that_is_down_for_a_while(make_shop, redis_url, kind, down, up, named):
    """A scrape says so, once it is said on stderr, and all is back when the storage is."""
    with redis.Redis.from_url(redis_url) as client:
        shop = make_shop(kind)
        try:
            as_a_user_of_its_own(shop, client)
            shop.tasks.job()
            beat(shop, {SKIPS: 1})
            server = Server(shop, "--store-interval", "600")
            assert server.scrape()["huey_up",] == 1
            down(shop, client)
            shop.huey.storage.close()
            assert server.scrape() == {("huey_up",): 0}
            assert server.scrape() == {("huey_up",): 0}
            up(shop, client)
            wait_until(lambda: server.scrape()["huey_up",] == 1, 10, "the storage")
            found = server.scrape()
            assert found["huey_queue_length",] == 1
            assert found["huey_lock_skips_total", "held", "shop.job"] == 1
        finally:
            client.execute_command("ACL", "DELUSER", shop.place.name)
        code, out, err = server.end()
    first, second = err.splitlines()
    assert (code, out) == (0, "")
    assert first.startswith(f"huey-signals export: cannot use {named}")
    assert first.endswith("; serving huey_up 0 until it answers")
    assert second == "huey-signals export: the storage answers again"
    assert "secret" not in err


def as_a_user_of_its_own(shop, client):
    """Has the command, unlike this process, come to a Redis as a user that can be shut out."""
    if shop.place.kind == "redis":
        rule = ["on", ">secret", "~*", "&*", "+@all"]
        client.execute_command("ACL", "SETUSER", shop.place.name, *rule)
        url = shop.place.location.replace("://", f"://{shop.place.name}:secret@")
        path = shop.path / f"{shop.module}.py"
        path.write_text(path.read_text().replace(shop.place.location, url))


def test_counters_never_go_back(shop):
    """Not when a process dies and its counters are folded, by whomever, nor when it leaves."""
    scrape, ledger, seen = scraped(shop, 60), open_ledger(shop.huey), []

    def skips():
        seen.append(scrape().get(("huey_lock_skips_total", "held", "shop.job"), 0))
        return seen[-1]

    beat(shop, {SKIPS: 5}, "dead", place=NOBODY)
    beat(shop, {SKIPS: 2}, "alive")
    assert skips() == 7
    folding = threading.Thread(target=lambda: [ledger.fold_dead() for _ in range(20)])
    folding.start()
    while folding.is_alive():
        assert skips() == 7
    folding.join()
    assert ledger.fold_dead() == 0
    beat(shop, {SKIPS: 3}, "alive", 2)
    assert skips() == 8
    assert seen == sorted(seen)


def test_once(shop):
    """Everything on stdout, and the end."""
    shop.fill()
    ran = shop.run("export", shop.name, "--once")
    found = samples(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (found["huey_up",], found["huey_store_keys", "token"]) == (1, 6)
    assert {name for name in LABELS if f"# TYPE {name}" in ran.out} == set(LABELS)


def test_once_as_json(shop):
    """The report, which has the counters of all processes; nothing for it has to be installed."""
    shop.fill()
    beat(shop, {SKIPS: 3}, "one")
    beat(shop, {SKIPS: 4}, "two")
    ran = shop.run("export", shop.name, "--once", "--json")
    found = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (found["kinds"]["token"]["keys"], found["queue_length"]) == (6, 1)
    (skips,) = (each for each in found["counters"] if each["metric"] == SKIPS[0])
    assert skips["value"] == 7


def test_only_gauges_if_asked_for(sqlite_shop):
    """For a Prometheus that scrapes the consumers as well."""
    beat(sqlite_shop, {SKIPS: 3})
    ran = sqlite_shop.run("export", sqlite_shop.name, "--once", "--no-counters")
    assert (ran.code, ran.err) == (0, "")
    assert set(re.findall(r"^# TYPE \w+ (\w+)$", ran.out, re.MULTILINE)) == {"gauge"}
    ran = sqlite_shop.run("export", sqlite_shop.name, "--once", "--json", "--no-counters")
    assert (ran.code, ran.out) == (2, "")
    assert "--no-counters is for Prometheus' format; leave --json out" in ran.err


def test_json_of_a_server_is_refused(sqlite_shop):
    """What it serves is Prometheus' own format."""
    ran = sqlite_shop.run("export", sqlite_shop.name, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "huey-signals export: --json needs --once, because a server has only Prometheus' own "
        "format\n"
    )


@pytest.mark.parametrize("options", [["--once"], ["--once", "--json"]])
def test_once_ends_when_the_storage_hangs(frozen_shop, monkeypatch, options):
    """With half of the report read; a file with half of it is worse than none."""
    monkeypatch.setattr(reader, "STATE_SECONDS", 0.2)
    shop = frozen_shop(b"zscan")
    ran = shop.run("export", shop.name, *options)
    assert (ran.code, ran.out) == (1, "")
    assert "cannot use the Redis at 127.0.0.1:" in ran.err
    assert ran.err.endswith(": no answer for 0.2 seconds\n")


def test_once_waits_for_a_report_that_takes_long(sqlite_shop, monkeypatch):
    """As long as the storage answers, but not for ever."""
    gate = Gate()
    monkeypatch.setattr(reader, "STATE_SECONDS", 0.2)
    monkeypatch.setattr(reader, "make_report", lambda huey, **_: gate() and report(huey))
    threading.Timer(0.7, gate.go.set).start()
    assert reader.QueueReader(sqlite_shop.huey, 60).complete_report().queue == sqlite_shop.huey.name
    gate.go.clear()
    monkeypatch.setattr(reader, "REPORT_SECONDS", 0.5)
    with pytest.raises(ReadTimeout, match=r"no report in 0\.5 seconds"):
        reader.QueueReader(sqlite_shop.huey, 60).complete_report()
    gate.go.set()


def test_odd_names_come_out_valid(shop):
    """Quotes, line ends, other scripts and half of a surrogate."""
    shop.huey.name = 'a "queue"\n'
    odd = 'quo"te\\back\nline 名 \udc00'
    beat(shop, {("huey_lock_skips_total", odd, "x" * 500): 1})
    ran = shop.run("export", shop.name, "--once")
    (found,) = (each for each in samples(ran.out) if each[0] == "huey_lock_skips_total")
    assert (ran.code, ran.err) == (0, "")
    assert found[2] == 'quo"te\\back line 名 ?'
    assert len(found[1]) == 100
    assert 'queue="a \\"queue\\" "' in ran.out


def test_a_record_that_cannot_be_read_is_counted(sqlite_shop):
    """What its process has counted is missing, which is not kept back."""
    put_kit_data(sqlite_shop.huey, "process:one", b"junk")
    ran = sqlite_shop.run("export", sqlite_shop.name, "--once")
    assert samples(ran.out)["huey_ledger_unreadable_records",] == 1


def test_a_port_that_is_taken(sqlite_shop):
    """Wrong use, with what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = sqlite_shop.run("export", sqlite_shop.name, "--port", str(port))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"huey-signals export: cannot listen on 127.0.0.1, port {port}: Address already in use; "
        "give another --host or --port\n"
    )


@pytest.mark.parametrize("host", ["203.0.113.1", "no host"])
def test_an_address_that_is_not_ours(sqlite_shop, host):
    """The same."""
    ran = sqlite_shop.run("export", sqlite_shop.name, "--host", host)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith(f"huey-signals export: cannot listen on {host}, port 9808: ")


@pytest.mark.parametrize("option", [["--port", "70000"], ["--store-interval", "0"]])
def test_bad_options(sqlite_shop, option):
    """Wrong use."""
    assert sqlite_shop.run("export", sqlite_shop.name, *option).code == 2


def run_python(script, cwd=None):
    """Run *script*; some packages install a module ``tests``, which this folder has to precede."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_it_says_which_extra_it_needs(sqlite_shop):
    """Without prometheus-client there is one line, not a traceback."""
    script = (
        "import sys\n"
        "sys.modules['prometheus_client'] = None\n"
        "from huey_signals_kit.cli import app\n"
        f"app(['export', '{sqlite_shop.name}', '--once'])\n"
    )
    ran = run_python(script, cwd=sqlite_shop.path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (
        1,
        "",
        "huey-signals export: this needs prometheus-client, which is not installed; "
        "run: pip install 'huey-signals-kit[prometheus]'\n",
    )


def test_ctrl_c(sqlite_shop):
    """Ends it at once, with the exit code that shells know."""
    assert Server(sqlite_shop).end(signal.SIGINT) == (130, "", "")


def test_it_serves_before_the_storage_is_there(folder):
    """As when both start with the machine: it is said, and served."""
    folder.name = "mine.huey"
    folder.write("mine", "from huey import RedisHuey\nhuey = RedisHuey('q', url='redis://:1/0')\n")
    process = folder.start("export", folder.name, "--port", "0")
    serving, failing = process.stderr.readline(), process.stderr.readline()
    assert failing.startswith("huey-signals export: cannot use the Redis at ")
    assert failing.endswith("; serving huey_up 0 until it answers\n")
    url = re.search(r"http\S+metrics", serving)[0]
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert samples(answer.read().decode()) == {("huey_up",): 0}
    folder.close()


class Gate:
    """A reading that takes until it is let go."""

    def __init__(self):
        self.go, self.calls = threading.Event(), 0

    def __call__(self):
        self.calls += 1
        assert self.go.wait(30)
        return self.calls


def test_the_thread_of_a_reader_ends_when_it_is_idle(monkeypatch):
    """With its connection to the storage; the next request starts another one."""
    monkeypatch.setattr(background_read, "IDLE_SECONDS", 0.05)
    threads = []
    reads = BackgroundRead(lambda: threads.append(threading.current_thread()) or "state", "state")
    for number in (1, 2):
        reads.request()
        assert reads.wait(20)
        assert (reads.result(), len(threads)) == ("state", number)
        threads[-1].join(20)
        assert not threads[-1].is_alive()


def test_readings_are_shared_and_nobody_waits_longer_than_asked():
    """However many ask, there is one reading at a time."""
    gate = Gate()
    asking = BackgroundRead(gate, "state")
    for _ in range(5):
        asking.request()
    assert not asking.wait(0.01)
    with pytest.raises(ReadTimeout, match="no state yet"):
        asking.result()
    gate.go.set()
    assert asking.wait(30)
    assert asking.result() == 1
    asking.request()
    assert asking.wait(30)
    assert asking.result() == 2
    asking.reset()
    with pytest.raises(ReadTimeout):
        asking.result()


def test_a_storage_that_hangs_is_given_up(sqlite_shop, monkeypatch):
    """A scrape is answered after some seconds, and what it waited for counts when it comes."""
    monkeypatch.setattr(reader, "STATE_SECONDS", 0.05)
    told = []
    found = collecting.QueueCollector(sqlite_shop.huey, 60, lambda exc, missing: told.append(exc))
    gate = Gate()
    found._states = BackgroundRead(
        lambda: gate() and reader.CurrentState(open_ledger(sqlite_shop.huey).snapshot()), "state"
    )
    (up,) = found.collect()
    assert up.samples[0].value == 0
    assert "no answer for 0.05 seconds" in str(told[0])
    gate.go.set()
    monkeypatch.setattr(reader, "STATE_SECONDS", 30)
    assert next(iter(found.collect())).samples[0].value == 1
    assert gate.calls <= 2


def test_a_report_that_fails_alone_leaves_the_counters(sqlite_shop, monkeypatch):
    """And is tried again after the interval."""

    def fails(huey, **_):
        raise OSError("too large")

    monkeypatch.setattr(reader, "make_report", fails)
    told = []
    found = collecting.QueueCollector(sqlite_shop.huey, 0.0, lambda *args: told.append(args))
    names = {each.name for each in found.collect()}
    assert "huey_store_keys" not in names
    assert {"huey_up", "huey_signals"} <= names
    assert told[-1][1] == "serving no gauges of the store"
    monkeypatch.undo()
    assert "huey_store_keys" in {each.name for each in found.collect()}


def test_a_kit_in_the_module_counts_in(sqlite_shop):
    """Counters that a process of the application has written are there once it has ended."""
    shop = sqlite_shop
    script = (
        f"import sys; sys.path.insert(0, {str(shop.path)!r})\n"
        f"from {shop.module} import huey, guarded\n"
        "from huey_signals_kit import install_handlers\n"
        "install_handlers(huey, sinks='memory')\n"
        "guarded()\n"
        "huey.execute(huey.dequeue())\n"
    )
    huey = shop.huey
    huey.lock_task("held").__enter__()
    ran = run_python(script)
    assert ran.returncode == 0, ran.stderr
    found = samples(shop.run("export", shop.name, "--once").out)
    assert found["huey_lock_skips_total", "held", f"{shop.module}.guarded"] == 1
    assert run_all(huey) == 0
