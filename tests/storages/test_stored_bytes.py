"""What the version before has stored is read and continued, and is written in the same form today.

The files in `tests/stored_bytes` have its bytes; `tests.stored_bytes.write` has written them.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import time
from collections import Counter
from dataclasses import astuple
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from struct import Struct

import pytest
from huey.utils import Error

from huey_signals_kit import Registry, install_handlers, upkeep
from huey_signals_kit.handlers import RescheduleLocked
from huey_signals_kit.ledger import open_ledger
from huey_signals_kit.runtime.process_id import this_process
from tests.selection import slow_except
from tests.stored_bytes import process, write
from tests.stored_bytes.process import is_of_process
from tests.support import hold, run_all, stored_errors, tokens, wait_until

ROOT = Path(__file__).parents[2]
KINDS = write.KINDS
NEW_NAMES = {"huey_task_duration_seconds": "huey_task_seconds"}
"""Names of metrics that have changed on purpose, with the names before."""


NEW_KEYS = re.compile("huey-signals:(history:|swept)")
"""Keys that the version before did not write."""

OPTIONAL = {"huey_stale_locks_found_total/3"}
"""Metrics that a process writes only if it is slow."""


class Before:
    """The bytes of one storage."""

    def __init__(self, kind: str, folder: Path, make_place, make_huey) -> None:
        self.kind = kind
        self.folder = folder
        self.place = make_place(kind, write.NAME)
        content = json.loads((ROOT / f"tests/stored_bytes/{kind}.json").read_text())
        self.notes, self.read = content["notes"], content["read"]
        self.parts = {p: process.decode(content[p]) for p in ("store", "run", "totals")}
        self._make_huey = make_huey

    def load(self, keep=lambda cell: True, edit=lambda value: value):
        """Write the cells that `keep` wants into the storage, each changed by `edit`."""
        huey = self._make_huey(self.kind, write.NAME)
        kept = [c._replace(value=edit(c.value)) for c in self.parts["store"] if keep(c)]
        process.load(huey, self.place.location, kept)
        return huey

    def dump(self, huey):
        """Return what is stored now."""
        return process.dump(huey, self.place.location)

    def run(self, *words: str):
        """Return what an action of the `process` module prints, with the package of today."""
        return write.run(sys.executable, ROOT, self.folder, *words)


@pytest.fixture(params=KINDS)
def before(request, tmp_path, make_place, make_huey):
    """The bytes of each storage in turn."""
    return Before(request.param, tmp_path, make_place, make_huey)


@pytest.fixture
def sqlite(tmp_path, make_place, make_huey):
    """The bytes of SQLite, where the storage makes no difference."""
    return Before("sqlite", tmp_path, make_place, make_huey)


def is_quiet(cell) -> bool:
    """Return whether nothing in the cell makes a command wait for a silent process."""
    return not is_of_process(cell)


def with_old_names(text: str) -> str:
    """Return a text with the names of metrics that the version before had."""
    for new, old in NEW_NAMES.items():
        text = text.replace(new, old)
    return text


def steady(value):
    """Return JSON without the time of reading and without sentences, which may be reworded."""
    if isinstance(value, dict):
        pairs = ((k, v) for k, v in value.items() if " " not in k)
        found = {
            k: v if k == "storage" else steady(v)
            for k, v in pairs
            if k not in ("seconds", "now", "silent", "oldest_mark", "next_due")
        }
        sentences = sorted(v for k, v in value.items() if " " in k)
        return {**found, "sentences": sentences} if sentences else found
    if isinstance(value, list):
        return [steady(each) for each in value]
    is_sentence = isinstance(value, str) and " " in value and "Exception(" not in value
    return "a sentence" if is_sentence else value


def noted(seconds: float):
    """Return a function that changes when skips were noted, to so many seconds ago."""
    now = str(time.time() - seconds).encode()
    return partial(re.sub, rb'(?<=\[\[)[0-9.]+(?=, \{"held": 7}]])', now)


def marked(seconds: float):
    """Return a function that changes the time of the token's mark, to so many seconds ago."""
    header = Struct(">ddI")  # the first time, the sweep that has seen it last, the number of ids
    now = time.time() - seconds

    def moved(match):
        _, last, ids = header.unpack(match[0])
        return header.pack(now, last, ids)

    begin = re.compile(rb"(?<=1)(?=A\xda).{8}.{8}\0\0\0\x01(?=.{16}$)", re.DOTALL)
    return partial(begin.sub, moved)


@pytest.mark.parametrize(("seconds", "skips"), [(60, 7), (4000, 0)])
def test_skips_of_the_last_hour_are_counted_from_the_stored_note(before, seconds, skips):
    """The note has all seven skips, so none is left of an hour that began after it."""
    locks = upkeep.LockInspector(before.load(edit=noted(seconds))).all()
    assert {each.name: each.skips for each in locks} == {"bare": 0, "held": skips, "outside": 0}


@pytest.mark.slow
@pytest.mark.parametrize("before", slow_except(["sqlite"], KINDS), indirect=True)
def test_every_command_says_the_same_of_what_was_stored(before):
    """All values are those that the version before has printed, under the same names."""
    before.load(edit=lambda value: marked(60)(noted(60)(value)))
    told = before.run("read", *vars(before.place).values(), json.dumps(before.notes))
    told = json.loads(with_old_names(json.dumps(told)))
    assert told.keys() == before.read.keys()
    for read in (told, before.read):  # the token is not due, since the mark was moved
        marked_at = read["report app.huey --json"]["tokens"]["oldest_mark"]
        due = datetime.fromisoformat(read["sweep app.huey --json"]["next_due"])
        wait = due - datetime.fromisoformat(marked_at)
        assert timedelta(0) <= wait - timedelta(days=1) < timedelta(seconds=1)
    marked_at = told["report app.huey --json"]["tokens"]["oldest_mark"]
    assert datetime.fromisoformat(marked_at).timestamp() > time.time() - 600  # it was moved
    for command, said in before.read.items():
        for each in (said, told[command]):
            if isinstance(each, dict):
                each.pop("at", None)
                each.pop("expiring", None)  # a field that is new
        if command == "export app.huey --once":  # the names of its series, and new ones since
            assert set(steady(said)) <= set(steady(told[command]))
            continue
        assert steady(told[command]) == steady(said), command


def pattern(text: str) -> str:
    """Return a text without what differs from one run to the next."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "ID", with_old_names(text))
    number = r"[0-9a-f]{12,}|[0-9a-f]{8}(?=\.json)|(?<=marks:)[0-9a-f]{2}|\d+(\.\d+)?(e[+-]?\d+)?"
    return re.sub(number, "N", text).replace(" time:[N]", "")


def form(value):
    """Return the form of a JSON value: names of fields, and patterns of texts."""
    if isinstance(value, dict):
        found = {pattern(key): form(each) for key, each in value.items()}
        if "totals" in value:
            rows = ((f"{k[0]}/{len(k)}", form(v)) for k, v in value["totals"])
            found["totals"] = {key: each for key, each in rows if key not in OPTIONAL}
        if "folder" in value:
            found["folder"] = type(value["folder"]).__name__
            for new in ("files", "storage"):
                found.pop(new, None)
        if "ids" in value:  # a process that continues in a new record has more than one id
            found["ids"] = form([str(each).partition(".")[0] for each in value["ids"]])
        return found
    if isinstance(value, list):
        forms = [form(each) for each in value]
        return [each for at, each in enumerate(forms) if each not in forms[:at]]
    return (
        pattern(value) if isinstance(value, str) else type(value).__name__.replace("int", "float")
    )


def form_of_bytes(value: bytes):
    """Return the form of a stored value."""
    if value[:1] in (b"{", b"["):
        return form(json.loads(value))
    if value[:1] != b"\x80":
        return pattern(value.decode("latin-1")) if value.isascii() else len(value)
    content = pickle.loads(value)
    if isinstance(content, Error):
        return {key: type(each).__name__ for key, each in content.metadata.items()}
    if hasattr(content, "expires"):
        return None if content.expires is None else pattern(content.expires.tzname())
    return pattern(content if isinstance(content, str) else repr(content))


def forms(cells) -> dict[str, list]:
    """Return the forms of values by the patterns of their keys."""
    found: dict[str, list] = {}
    for where, names, value, number in cells:
        if where == "file" and re.match(r"results/|\.huey-signals/(ledger|upkeep)/", names[0]):
            length = 4 + int.from_bytes(value[:4], "big")
            names = (re.sub(r"(/.)?(/.)?/[0-9a-f]{32}", "", names[0]), value[4:length].decode())
            value = value[length:]
        key = pattern(f"{where} {' '.join(names)} {type(number).__name__}")
        found.setdefault(key, []).append(form_of_bytes(value))
    return found


def are_alike(one, other) -> bool:
    """Return whether two forms are the same, except for lists that may be empty."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(are_alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list) and one and other:
        return len(one) == len(other) and all(map(are_alike, one, other))
    return one == other or ([] in (one, other) and isinstance(one, type(other)))


@pytest.mark.slow
@pytest.mark.parametrize("before", slow_except(["sqlite"], KINDS), indirect=True)
def test_the_same_forms_are_written_today(before):
    """A process of today writes the same keys and fields, and nothing else."""
    pytest.importorskip("gevent")
    words = (*vars(before.place).values(), str(before.folder))
    today = before.run("write", *words)
    before.load(keep=lambda cell: False)  # opened, so that it is cleaned up
    for part, cells in before.parts.items():
        old, new = forms(cells), forms(process.decode(today[part]))
        new = {key: each for key, each in new.items() if not NEW_KEYS.search(key)}
        assert new.keys() == old.keys()
        for key, values in old.items():
            for each in values:
                assert any(are_alike(each, other) for other in new[key]), (key, each, new[key])
            for each in new[key]:
                assert any(are_alike(each, other) for other in values), (key, each, values)


def mine(value: bytes) -> bytes:
    """Return a record, lease or file as if a process of this host that has ended had written it."""
    if not value.isascii() or process.HOST.encode() not in value:
        return value
    space = re.search(r"[0-9a-f-]{36} pid:\[\d+\]( time:\[\d+\])?", value.decode())
    assert space
    value = value.replace(space[0].encode(), this_process().pid_namespace.encode())
    return value.replace(process.HOST.encode(), this_process().host.encode())


def test_counts_of_a_dead_process_go_into_the_stored_totals_once(before):
    """No count is lost or doubled, and its record and its sign of life are gone."""
    ledger = open_ledger(before.load(edit=mine))
    totals = ledger.totals()
    assert len(ledger.processes()) == 1
    assert (ledger.fold_dead(), ledger.fold_dead()) == (1, 0)
    assert ledger.totals() == totals
    assert ledger.processes() == []


def test_a_lease_is_held_by_the_process_that_has_acquired_it(before):
    """Another host waits; on the holder's own host it is free, since the holder is dead."""
    lease = open_ledger(before.load()).lease("tidy", 180)
    assert not lease.acquire()
    assert (lease.holder.host, lease.holder.pid) == (process.HOST, before.notes["pid"])
    assert open_ledger(before.load(edit=mine)).lease("tidy", 180).acquire()


def test_a_sweep_goes_on_from_stored_marks(before):
    """The token is deleted a day after the first sweep, and not a moment before."""
    huey = before.load(keep=is_quiet)
    (due,) = {c["next_due"] for c in before.read.values() if "next_due" in c}
    due = datetime.fromisoformat(due).timestamp()
    assert upkeep.sweep_tokens(huey, clock=lambda: due - 1).deleted == 0
    assert upkeep.sweep_tokens(huey, clock=lambda: due + 1).deleted == 1
    assert tokens(huey) == set()


def test_a_lock_without_a_holder_is_released_by_its_stored_mark(before):
    """On the host that has written the mark, 900 seconds after the first look."""

    def edit(value):
        (text,) = re.findall(r"[0-9a-f]{24}", value.decode("latin-1"))[:1] or [""]
        return value.replace(text.encode(), own) if b'{"bare": {"' in value else value

    own = (
        blake2b(f"{this_process().host} {this_process().pid_namespace}".encode(), digest_size=12)
        .hexdigest()
        .encode()
    )
    huey = before.load(keep=is_quiet, edit=edit)
    (first,) = (
        float(found[1])
        for cell in before.parts["store"]
        if (found := re.search(rb'{"bare": {".{24}": \["[0-9a-f]{24}", ([0-9.]+)]}}', cell.value))
    )
    early = upkeep.release_stale(huey, 900, clock=lambda: first + 899)
    assert ([each.name for each in early.waiting], early.released) == (["bare"], [])
    late = upkeep.release_stale(huey, 900, clock=lambda: first + 901)
    assert [each.name for each in late.released] == ["bare"]


def test_a_lock_that_another_process_cleared_is_not_reported_as_lost(before):
    """By the stored list; before the lock is in it, the lock counts as lost."""
    huey = before.load(keep=lambda cell: False)
    kit, key = install_handlers(huey), f"{huey.name}.lock.mine"
    for is_listed in (False, True):
        with huey.lock_task("mine"):
            raw = bytes(huey.storage.peek_data(key))
            entry = blake2b(raw, digest_size=8).hexdigest().encode()
            if is_listed:
                before.load(lambda cell: LIST(cell.value), partial(LIST_ENTRY, entry))
            huey.delete(key)
        assert kit.count("huey_locks_lost_total") == 1


LIST = re.compile(rb'\["[0-9a-f]{16}"]$').search
LIST_ENTRY = re.compile(rb'(?<=\[")[0-9a-f]{16}(?="]$)').sub


def waits(messages) -> list:
    """Return the waits in messages, sorted by their begin."""
    zones = [each.expires.tzname() for each in map(pickle.loads, messages) if each.expires]
    return sorted(json.loads(each.removeprefix("huey-signals-kit ")) for each in zones)


def test_a_stored_wait_goes_on(before):
    """A task has its own expiry, and waits twice as long the next time, from when it first did."""
    huey = before.load(keep=is_quiet)
    process.declare(huey)
    stored = waits(huey.storage.scheduled_items())
    again = RescheduleLocked(delay=1, jitter=0, max_delay=9999, give_up_after=10 * 365 * 86_400)
    registry = Registry("again")
    registry.add(again, "locked", "error", "retrying")
    install_handlers(huey, preset=registry)
    hold(huey, "held")
    seen, then = [], datetime.now() + timedelta(days=2)
    for task in huey.read_schedule(then):
        huey.execute(task, then)
        seen.append(task.expires)
    at = next(own for *_, own in stored if isinstance(own, str))
    long = timedelta(seconds=process.LASTING)
    own = (None, process.LASTING, long, datetime.fromisoformat(at))
    assert sorted(map(repr, seen)) == sorted(map(repr, own))
    later = waits(huey.storage.scheduled_items())
    assert later == [[since, 2 * delay, until, own] for since, delay, until, own in stored]
    assert {delay for _, delay, *_ in stored} == {process.DELAY}


def test_errors_go_when_they_are_due_and_kept_ones_stay(before):
    """The kit removes what the version before said was to expire; a purge leaves both kinds."""
    huey = before.load(keep=is_quiet)
    tasks = process.declare(huey)
    install_handlers(huey, preset=[])
    assert upkeep.purge_errors(huey).deleted == 1
    hold(huey, "held")
    tasks.small()
    run_all(huey)

    def is_over():
        try:
            indexed = [c for c in before.dump(huey) if "expiring" in " ".join(c.names)]
        except FileNotFoundError:  # removed while the folders were listed
            return False
        dues = [each["expires"] for each in stored_errors(huey).values() if "expires" in each]
        return len(indexed) == 2 and min(dues) > time.time()

    if before.kind != "redis-expire":  # there Redis removes them
        wait_until(is_over, 20, "the removal of the one that is due")
    left = stored_errors(huey)
    assert left[before.notes["kept"]]["kept"] is True
    assert left[before.notes["lasting"]]["expires"] > time.time()


def test_everything_stored_is_forgotten(before):
    """No key of the kit is left, and every result is."""
    huey = before.load(keep=is_quiet)
    results = len([cell for cell in before.dump(huey) if not is_of_kit(cell)])
    upkeep.forget(huey)
    assert not any(map(is_of_kit, before.dump(huey)))
    assert len(before.dump(huey)) == results


def is_of_kit(cell) -> bool:
    """Return whether the kit has written a cell for itself."""
    return "huey-signals" in " ".join(cell.names)


def test_the_file_of_a_process_is_read(sqlite, monkeypatch):
    """Each field has its part in the answer of a probe."""
    typer = pytest.importorskip("typer.testing", exc_type=ImportError)
    from huey_signals_kit.cli import app

    (cell,) = sqlite.parts["run"]
    content, now = json.loads(cell.value), time.monotonic()
    monkeypatch.setenv("HUEY_SIGNALS_RUN_DIR", str(sqlite.folder))
    names = ("host", "space", "pid", "born")
    place = dict(zip(names, astuple(this_process()), strict=True))
    gone = {**place, "pid": 2**22 + 5, "born": 17}

    def is_healthy(**changes):
        fields = {"place": place, "at": now, "folder": os.getcwd(), **changes}
        assert fields.keys() <= content.keys()
        (sqlite.folder / cell.names[0]).write_text(json.dumps({**content, **fields}))
        done = typer.CliRunner().invoke(app, ["health", "__main__.huey", "--here", "--json"])
        return json.loads(done.output)["healthy"]

    assert is_healthy()
    assert not is_healthy(place=gone)
    assert not is_healthy(at=now - 1000)
    assert not is_healthy(idle_since=now - 1000)
    assert not is_healthy(parent=gone)
    assert not is_healthy(worker="scheduler")


def test_the_totals_in_a_shared_folder_are_shown(sqlite):
    """Those of the process that has ended and of the other, each once."""
    prometheus_client = pytest.importorskip("prometheus_client")
    from huey_signals_kit.sinks.prometheus import PrometheusSink

    stored, shown = Counter(), Counter()
    for cell in sqlite.parts["totals"]:
        (sqlite.folder / cell.names[0]).write_bytes(cell.value)
        for (metric, *_), value in json.loads(cell.value)["totals"]:
            stored[metric] += value if isinstance(value, int) else value[0]
    registry = prometheus_client.CollectorRegistry()
    huey = sqlite.load(keep=lambda cell: False)
    install_handlers(huey, preset=[], sinks=[PrometheusSink(registry, sqlite.folder)])
    for sample in (each for family in registry.collect() for each in family.samples):
        shown[with_old_names(sample.name).removesuffix("_count")] += sample.value
    assert {metric: shown[metric] for metric in stored} == stored
