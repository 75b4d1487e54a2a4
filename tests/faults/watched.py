"""Runs upkeep over hostile values in a process of its own, and says all that it noticed.

``python -m tests.faults.watched '{"kind": .., "location": .., "name": .., "stage": .., ..}'``
"""

from __future__ import annotations

import gc
import gzip
import hashlib
import json
import re
import sys
import time
from pathlib import Path
from uuid import uuid4

from huey.serializer import Serializer, SignedSerializer
from huey.utils import Error

from huey_signals_kit.ledger import Heartbeat, UnreadableLedger, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.upkeep import Sweeper, purge_errors, report
from tests.faults import hostile
from tests.support import Place

NOW = 1_700_000_000.0
DAY = 86_400.0
LOCK_ERROR = {"error": "TaskLockedException('x')", "traceback": "", "retries": 0, "task_id": "x"}
FOREIGN = re.compile(
    r"exec|compile|os\.|subprocess\.|pickle\.|import|marshal\.|ctypes\.|code\.|builtins\.input|open"
)

STARTS = {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.kill"}


class Watch:
    """Everything that this process imports, opens, compiles or starts while it is on."""

    def __init__(self):
        self.on = False
        self.seen = []
        sys.addaudithook(self._hook)

    def _hook(self, event, args):
        if self.on and FOREIGN.match(event) and not self._is_ours(event, args):
            self.seen.append(f"{event} {args!r:.200}")

    def _is_ours(self, event, args):
        # Folders and files of the queue itself, and what tells who lives.
        path = str(args[0]) if args else ""
        of_files = event == "open" or (event.startswith("os.") and event not in STARTS)
        return of_files and (path.startswith((self.home, "/proc/")) or path.isdigit())


class Run:
    """One queue with a genuine orphan, a live token and a lock error among what is hostile."""

    def __init__(self, kind, location, name, stage, marker, serializer=None, **options):
        self.place = Place(kind, location, name)
        self.huey = self.place.open(serializer=made_serializer(serializer))
        self.marker, self.stage, self.options = Path(marker), stage, options
        self.clock = 0.0
        self.ledger = open_ledger(self.huey)
        self.ledger._clock = lambda: self.clock
        self.hidden = 0

    def genuine(self):
        huey = self.huey

        @huey.task(name="job")
        def job():
            return 7

        for _ in range(3):
            huey.revoke_by_id(str(uuid4()))
        for _ in range(2):
            huey.put_result(str(uuid4()), Error(dict(LOCK_ERROR)))
        waiting = job.schedule(delay=3600)
        huey.add_schedule(huey.dequeue())
        huey.revoke_by_id(waiting.id)
        huey.put_result("real", 7)

    def values(self):
        """What is put under keys, as Huey's serializer would have written it."""
        protocols = self.options.get("protocols", [4])
        readable = hostile.inert(self.marker, protocols)
        unreadable = hostile.broken(self.marker)
        every = self.options.get("some", 1)
        readable = {name: readable[name] for name in list(readable)[::every]}
        return (
            {name: self.packed(value) for name, value in readable.items()},
            {name: self.packed(value) if value else value for name, value in unreadable.items()}
            | self.badly_packed(hostile.whole(hostile.text("x"))),
        )

    def badly_packed(self, value):
        """What only a serializer that compresses or signs can tell to be wrong."""
        good, serializer, found = self.packed(value), self.huey.serializer, {}
        if serializer.comp:
            found["cut off when compressed"] = good[:-1]
            found["a bomb of gzip"] = gzip.compress(bytes(60 * hostile.MB))
        if isinstance(serializer, SignedSerializer):
            packed = gzip.compress if serializer.comp else bytes
            other = SignedSerializer(secret="another")._sign(value)
            found["not signed"], found["signed by another"] = packed(value), packed(other)
        return found

    def packed(self, value):
        serializer = self.huey.serializer
        if isinstance(serializer, SignedSerializer):
            value = serializer._sign(value)
        return gzip.compress(value) if serializer.comp else value

    def keys_of(self, number):
        """One of each kind but the kit's own."""
        name = self.huey.name
        return {
            "result": str(uuid4()),
            "token": f"r:{uuid4()}",
            "custom token": f"r:nightly-{number}",
            "pause_switch": f"rt:a.task{number}",
            "lock": f"{name}.lock.x{number}",
            "rate_window": f"{name}.rl.x{number}.w",
            "chord_part": f"chord:{uuid4()}:{number}",
        }

    def tools(self):
        """All of upkeep, as another process would run it."""
        ledger, found = self.ledger, {}
        sweeper = Sweeper(self.huey, lambda: NOW + self.clock, ledger)
        found["report"] = report(self.huey, ledger=ledger).as_dict()
        found["sweeps"] = []
        for _ in range(2):
            # A lease that nobody can read is let go after its time.
            for _ in range(2):
                swept = sweeper.run()
                if "another process" not in swept.stopped:
                    break
                self.clock += 60
            found["sweeps"].append(swept.__dict__)
            self.clock += DAY + 1
        found["purge"] = purge_errors(self.huey).__dict__
        report(self.huey, ledger=ledger)
        self.read_ledger()
        return found

    def read_ledger(self):
        ledger = self.ledger
        (
            ledger.snapshot(),
            ledger.processes(),
            ledger.totals(),
            ledger.heartbeat_numbers(),
            ledger.fold_dead(),
        )
        try:
            ledger.running_ids()
        except UnreadableLedger:
            self.hidden += 1
        beat = Heartbeat(uuid4().hex, this_process(), "thread", 1.0, 1)
        ledger.write(beat)
        ledger.deregister(beat)
        for name in ("sweep", "tidy", "sweep turn"):
            lease = ledger.lease(name, 30.0)
            lease.acquire()
            self.clock += 60
            assert lease.acquire(), f"the lease {name!r} is never free"
            lease.release()


def made_serializer(name):
    if name == "compressed":
        return Serializer(compression=True)
    if name == "signed":
        return SignedSerializer(secret="s")
    if name == "signed and compressed":
        return SignedSerializer(secret="s", compression=True)
    return None


def digests(huey):
    return {
        key.decode(errors="replace") if isinstance(key, bytes) else key: hashlib.sha1(
            bytes(value)
        ).hexdigest()
        for key, value in huey.all_results().items()
    }


def memory(what):
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{what}:\s+(\d+) kB", status)[1]) / 1024


def watched(run, watch, act):
    """What *act* gives, with what was noticed meanwhile."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, modules, began = memory("VmRSS"), set(sys.modules), time.process_time()
    watch.seen, watch.on = [], True
    try:
        found = act()
    finally:
        watch.on = False
    return {
        **found,
        "seconds": time.process_time() - began,
        "megabytes": memory("VmHWM") - before,
        "modules": sorted(set(sys.modules) - modules),
        "ran": run.marker.exists(),
        "seen": watch.seen[:10],
    }


def main():
    from tests.faults import stages

    asked = json.loads(sys.argv[1])
    run, watch = Run(**asked), Watch()
    watch.home = str(Path(run.place.location).parent) if "/" in run.place.location else "-"
    run.genuine()
    other = f"{asked['location']}warm" if asked["kind"] == "file" else asked["location"]
    warm = Run(**{**asked, "name": f"{run.huey.name}warm", "location": other})
    warm.genuine()
    warm.tools()  # what is imported late is imported now
    print(json.dumps(getattr(stages, asked["stage"])(run, watch)))


if __name__ == "__main__":
    main()
