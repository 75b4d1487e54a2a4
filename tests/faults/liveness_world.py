"""A simulated world for the failure detector: hosts, one server, and all that can go wrong.

The code of the kit that judges is the real one; the server, the time and the faults are simulated.
"""

from __future__ import annotations

import heapq
import itertools
from contextlib import suppress
from dataclasses import replace

from huey_signals_kit.ledger import Heartbeat
from huey_signals_kit.ledger._backend import PROCESS, TOTALS, StoredValues
from huey_signals_kit.ledger._ledger import Ledger
from huey_signals_kit.locks.holder import Holder
from huey_signals_kit.runtime.process_id import ProcessId
from huey_signals_kit.upkeep import LockInfo, LockInspector

BEAT = 5.0
STALE_AFTER = 30.0
LOCK = b"held by the holder"
FAILURES = (ConnectionError, MemoryError, TimeoutError, RuntimeError)


class World:
    """Simulated time; whatever happens is an event."""

    def __init__(self):
        self.now = 1000.0
        self._events = []
        self._number = itertools.count()

    def at(self, delay, do):
        heapq.heappush(self._events, (self.now + delay, next(self._number), do))

    def advance(self, seconds):
        """Let *seconds* pass; may be called from inside an event, as by a command that waits."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            at, _, do = heapq.heappop(self._events)
            self.now = max(self.now, at)
            do()
        self.now = max(self.now, end)


class Server:
    """Values that can be dumped, restored and lost; hosts that can be cut off from it."""

    def __init__(self, world, draw, readable_run_id):
        self.world, self.draw = world, draw
        self.readable_run_id = readable_run_id
        self.data, self.lock = {}, LOCK
        self.run = 0
        self.full_until = self.paused_until = 0.0
        self.cut_off = {}
        """By host, until when it cannot reach the server."""
        self.dumps = [({}, LOCK)]

    def dump(self):
        self.dumps.append((dict(self.data), self.lock))

    def restore(self, newest):
        """Start again from a dump: one of the newest, or any."""
        data, self.lock = self.draw.choice(self.dumps[-newest:])
        self.data = dict(data)
        self.run += 1

    def reach(self, host):
        if self.world.now < max(self.paused_until, self.cut_off.get(host, 0.0)):
            raise ConnectionError("no answer")

    def check_full(self):
        if self.world.now < self.full_until:
            raise MemoryError("command not allowed when used memory > 'maxmemory'")


class SimulatedBackend:
    """The ledger as a host sees it."""

    leases = None

    def __init__(self, server, host):
        self._server, self._host = server, host

    def _answer(self, value):
        if self._server.draw.random() < 0.01:
            raise TimeoutError("done, but the answer was lost")
        return value

    def get(self, key):
        self._server.reach(self._host)
        return self._server.data.get(key)

    def put_if_absent(self, key, value, seconds=0):
        self._server.reach(self._host)
        self._server.check_full()
        if key in self._server.data:
            return self._answer(False)
        self._server.data[key] = value
        return self._answer(True)

    def compare_and_set(self, key, old, new, seconds=0):
        self._server.reach(self._host)
        self._server.check_full()
        if self._server.data.get(key) != old:
            return self._answer(False)
        self._server.data[key] = new
        return self._answer(True)

    def compare_and_delete(self, key, old):
        self._server.reach(self._host)
        if self._server.data.get(key) != old:
            return self._answer(False)
        del self._server.data[key]
        return self._answer(True)

    def read(self):
        self._server.reach(self._host)
        data, start = self._server.data, len(PROCESS)
        records = {key[start:]: data[key] for key in data if key.startswith(PROCESS)}
        return StoredValues(data.get(TOTALS), records, {})

    def run_id(self):
        return f"run {self._server.run}" if self._server.readable_run_id else None

    def recently_written(self, ids):
        return None


class Process:
    """A process on a host of its own, which writes heartbeats while it is not paused or killed."""

    def __init__(self, world, server, name, watches, **record):
        self.world, self.server, self.name, self.watches = world, server, name, watches
        self.place = ProcessId(f"host-{name}", f"boot of {name}", 1, 7)
        self.record = Heartbeat(
            name, self.place, worker="thread", stale_after=STALE_AFTER, incarnation=5, **record
        )
        self.lost_clock = 0.0
        self.ledger = self.open()
        self.paused_until = 0.0
        self.killed = False
        self.wrote = world.now
        world.at(server.draw.uniform(0, BEAT), self.beat)

    def clock(self):
        return self.world.now - self.lost_clock

    def open(self):
        return Ledger(lambda: SimulatedBackend(self.server, self.name), clock=self.clock)

    def pause(self, seconds, with_clock):
        self.paused_until = self.world.now + seconds
        if with_clock:  # the host is suspended: its monotonic clock stands still
            self.lost_clock += seconds

    def beat(self):
        if self.killed:
            return
        if self.world.now < self.paused_until:
            self.world.at(self.paused_until - self.world.now, self.beat)
            return
        self.world.at(BEAT + self.server.draw.uniform(0, 0.5), self.beat)
        self.record = replace(self.record, sequence=self.record.sequence + 1)
        try:
            self.ledger.write(self.record, self.watches)
        except FAILURES:
            return
        self.wrote = self.world.now


class SimulatedLockInspector(LockInspector):
    """Looks at the one lock of the world."""

    def __init__(self, process, ledger, world):
        super().__init__(None, ledger, process.clock, lambda seconds: world.advance(2 * seconds))
        self._server, self._host, self.holder = process.server, process.name, None

    def all(self):
        return self.named(["held"])

    def named(self, names):
        self._server.reach(self._host)
        raw = self._server.lock
        if raw is None or not names:
            return []
        verdict = self._holder_status("held", raw, self.holder, self._ledger.snapshot())
        return [
            LockInfo(
                "held", alive=verdict.alive, is_settled=verdict.is_settled, doubt=verdict.doubt
            )
        ]


class Run:
    """One random run: a holder, two watchers, commands, and faults one after the other."""

    def __init__(self, draw, releases, faults=True):
        self.draw, self.world = draw, World()
        self.server = Server(self.world, draw, draw.random() < 0.5)
        self.holder = Process(self.world, self.server, "a", draw.random() < 0.5, locks=("held",))
        self.watchers = [Process(self.world, self.server, name, True) for name in "bc"]
        self.holder_text = Holder("t", 0.0, self.holder.place, True, None, None, 5)
        self.freed_at = None
        self.was_wrong = False
        self.cut_from = self.cut_until = 0.0
        self.world.at(20, self.server.dump)
        if releases:
            for watcher in self.watchers:
                self.world.at(draw.uniform(0, BEAT), lambda each=watcher: self.look(each))
        if faults:
            self.world.at(draw.uniform(10, 60), self.fault)
        self.world.at(draw.uniform(0, 60), self.command)

    def watch_of(self, process, ledger):
        watch = SimulatedLockInspector(process, ledger, self.world)
        watch.holder = self.holder_text
        return watch

    def look(self, watcher, watch=None):
        """A consumer with ``stale_locks="release"`` looks every few seconds."""
        watch = watch or self.watch_of(watcher, watcher.ledger)
        paused = watcher.paused_until - self.world.now
        self.world.at(max(BEAT, paused), lambda: self.look(watcher, watch))
        if paused > 0 or watcher.killed:
            return
        with suppress(*FAILURES):
            self.free([each for each in watch.all() if each.alive is False and each.is_settled])

    def command(self):
        """``locks release --stale --apply`` on a host of its own, now and then."""
        self.world.at(self.draw.uniform(10, 90), self.command)
        host = self.draw.choice(["b", "d"])
        caller = Process(self.world, self.server, host, False)
        caller.killed = True  # it writes no heartbeats
        with suppress(*FAILURES):
            found = self.watch_of(caller, caller.open()).wait_until_known(should_observe=True)
            self.server.reach(host)
            self.free([each for each in found if each.alive is False and each.is_settled])

    def free(self, locks):
        if locks and self.server.lock is not None and self.freed_at is None:
            self.server.lock = None
            self.freed_at = self.world.now
            self.was_wrong = not self.may_be_freed()

    def fault(self):
        """One of all that can happen, and the next one later."""
        self.world.at(self.draw.uniform(5, 60), self.fault)
        draw, server, now = self.draw, self.server, self.world.now
        kind = draw.choice(FAULTS)
        if kind == "full":
            server.full_until = now + draw.uniform(1, 120)
        elif kind == "paused":
            server.paused_until = now + draw.uniform(1, 90)
        elif kind == "dump":
            server.dump()
        elif kind == "restored":
            server.restore(len(server.dumps))
        elif kind == "failed over":
            server.restore(1)
        elif kind == "emptied":
            server.data = {}
        elif kind == "record evicted":
            server.data.pop(draw.choice([*server.data, ""]), None)
        elif kind == "brown-out":
            self.brown_out(draw.randint(2, 6))
        elif kind == "crash loop":
            self.crash_loop(draw.choice(server.dumps), draw.randint(5, 30))
        elif kind == "watcher cut off":
            server.cut_off[draw.choice("bcd")] = now + draw.uniform(1, 120)
        elif kind == "watcher paused":
            draw.choice(self.watchers).pause(draw.uniform(1, 120), draw.random() < 0.5)
        elif kind == "watcher killed":
            draw.choice(self.watchers).killed = True
        elif now > self.cut_until + 2 * BEAT:
            self.cut_off_holder(kind, draw.uniform(1, 20 if draw.random() < 0.5 else 90))

    def brown_out(self, times):
        """The server answers for a moment only, again and again."""
        self.server.paused_until = self.world.now + self.draw.uniform(10, 40)
        if times:
            well = self.draw.uniform(0.5, 4)
            again = self.server.paused_until + well - self.world.now
            self.world.at(again, lambda: self.brown_out(times - 1))

    def crash_loop(self, dump, times):
        """The server starts again from one and the same dump, again and again."""
        if self.freed_at is None:
            self.server.data, self.server.run = dict(dump[0]), self.server.run + 1
            if times:
                delay = self.draw.uniform(1, 6)
                self.world.at(delay, lambda: self.crash_loop(dump, times - 1))

    def cut_off_holder(self, kind, seconds):
        self.cut_from, self.cut_until = self.world.now, self.world.now + seconds
        if kind == "holder cut off":
            self.server.cut_off["a"] = self.cut_until
        else:
            self.holder.pause(seconds, False)

    def may_be_freed(self):
        """Whether the holder had been cut off or stopped for as long as the promise says."""
        lately = max(self.cut_from, self.holder.wrote)
        return min(self.freed_at, self.cut_until) - lately >= STALE_AFTER - 2 * BEAT

    def go(self, seconds):
        """Whether a living process lost its lock within *seconds*."""
        end = self.world.now + seconds
        while self.world.now < end and self.freed_at is None:
            self.world.advance(1.0)
        return self.was_wrong


FAULTS = [
    "full",
    "paused",
    "dump",
    "dump",
    "restored",
    "failed over",
    "emptied",
    "record evicted",
    "brown-out",
    "brown-out",
    "crash loop",
    "watcher cut off",
    "watcher paused",
    "watcher killed",
    "holder cut off",
    "holder stopped",
]
