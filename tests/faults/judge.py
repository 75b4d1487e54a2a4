"""Decides from outside whether a lock had two holders, and whether dead holders' locks are freed.

It knows what the tasks wrote down, what the kit and its commands say that they released, what
is in the store, and which processes the kernel runs. It asks the kit for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.faults.facts import Acquisition, Key, Loss, Value
from tests.faults.stored import HolderId, Stored
from tests.faults.tally import Phase

DECIDE_SECONDS = 15
"""After which a command that released a lock has said so."""
HEARTBEAT_SECONDS = 5
"""How old a record can be at the moment at which its process is cut off."""
WATCH_SECONDS = 135
"""For how long a command watches a process of another host whose record is gone, as after SIGTERM:
without the record the kit's default of ``stale_after`` counts, and 15 seconds."""
RETRANSMIT_SECONDS = 130
"""How long a connection can wait for the next packet after a cut: TCP's longest pause, and some."""


@dataclass
class Judge:
    """Judges one run; `step` is called a few times a second."""

    stored: Stored
    stale_after: float
    min_age: float
    phase: Phase
    acquisitions: dict[str, Acquisition] = field(default_factory=dict)
    well_since: float | None = 0.0
    is_bare: bool = False
    """Whether bare Huey runs: its locks do not say who holds them, and nothing frees them."""
    losses: list[Loss] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    _values: dict[str, Value] = field(default_factory=dict)
    _cuts: list[tuple[str, int | None, float, list[float]]] = field(default_factory=list)
    _data_lost: list[list[float]] = field(default_factory=list)
    _active: dict[str, Acquisition] = field(default_factory=dict)
    _by_key: dict[Key, list[Acquisition]] = field(default_factory=lambda: defaultdict(list))
    _released: dict[Key, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))

    # What the schedule does

    def unwell(self) -> None:
        """From now on the storage is not well."""
        self.well_since = None

    def well(self, now: float) -> None:
        """From now on the storage is well."""
        self.well_since = now
        for value in self._values.values():
            value.has_record = None

    def cut(self, host: str, pid: int | None, now: float) -> list[float]:
        """From now on a host, or one process of it, is cut off or stopped; append its end."""
        end: list[float] = []
        self._cuts.append((host, pid, now, end))
        return end

    def data_lost(self, now: float) -> list[float]:
        """From now on the storage itself loses data; append when that ends."""
        lost = [now]
        self._data_lost.append(lost)
        return lost

    # What was seen

    def event(self, event: dict) -> None:
        """Take in what a process wrote down."""
        kind = event["kind"]
        if kind == "enter":
            self._entered(event)
        elif kind == "leave":
            self.acquisitions[event["id"]].left = event["at"]
            del self._active[event["id"]]
        elif kind == "skip":
            self.phase.skipped += 1
        elif kind == "command":
            self.phase.commands += 1
        elif kind == "release":
            self._was_released(event)

    def _entered(self, event: dict) -> None:
        taken = Acquisition(
            *(event[name] for name in ("id", "lock", "task", "on", "pid", "at", "worker"))
        )
        self.acquisitions[taken.id] = self._active[taken.id] = taken
        self._by_key[taken.key].append(taken)
        self.phase.held += 1
        if event["other"] and (other := self.acquisitions.get(event["other"])):
            self._lost(other, event["at"], f"task {taken.task} on {taken.host} entered as well")
            (other.lost_in or self.phase).clashes += 1

    def _was_released(self, event: dict) -> None:
        self.phase.released += 1
        key = event["lock"], event["task_id"], event["host"], event["pid"]
        self._released[key].append((event["at"], event["by"]))
        for each in self._by_key.get(key, ()):
            if each.active and self.stored.is_running(each.host, each.pid):
                self._lost(each, event["at"], f"{event['by']} on {event['on']} released it")

    def look(self, read_new: Callable[[], Iterable[dict]], clock: Callable[[], float]) -> None:
        """Compare the store with what the tasks wrote and with the processes.

        The order matters. A task writes that it left before it frees its lock, and a process
        writes before it ends: so the events are read after the store and the processes.
        """
        self.stored.look_at_processes()
        locks = self.stored.sample(clock())
        for event in read_new():
            self.event(event)
        now = clock()
        for each in self.active():
            if not self.stored.is_running(each.host, each.pid) and each.at < now - 2:
                each.died = now
                self.phase.died += 1
        if locks is not None and not self.is_bare:
            self._compare(locks, now)
        self._settle(now)

    def active(self) -> list[Acquisition]:
        """Return the acquisitions whose tasks are inside."""
        return [each for each in self._active.values() if each.active]

    def _compare(self, locks: dict[str, HolderId], now: float) -> None:
        for lock, value in list(self._values.items()):
            if locks.get(lock) != value.holder:
                del self._values[lock]
                self._gone(value, now)
        for lock, holder in locks.items():
            value = self._values.setdefault(lock, Value(lock, holder, now))
            self._check(value, now)

    def _settle(self, now: float) -> None:
        """Decide about the losses of which everything is known by now."""
        for loss in [each for each in self.losses if now - each.at > DECIDE_SECONDS]:
            self.losses.remove(loss)
            self._decide(loss)

    @property
    def waiting(self) -> list[Value]:
        """The locks of dead holders that are still to be freed."""
        return [value for value in self._values.values() if value.dead]

    # Two holders

    def _gone(self, value: Value, now: float) -> None:
        if not value.dead and not self.stored.is_running_holder(value.holder):
            # It died, and its lock was freed, between two looks.
            value.dead, value.since, value.phase = True, now, self.phase
            self.phase.stale += 1
        if value.dead:
            self._freed(value, now)
            return
        for each in self._of(value):
            if each.active:
                self._lost(each, now, "its lock left the store")

    def _of(self, value: Value) -> list[Acquisition]:
        holder = value.holder
        return self._by_key.get((value.lock, holder.task_id, holder.host, holder.pid), [])

    def _lost(self, taken: Acquisition, at: float, how: str) -> None:
        if taken.lost_in is None:
            taken.lost_in = self.phase
            silent = self.stored.silent_for(taken.host, taken.pid, at)
            self.losses.append(Loss(taken, at, self.phase, how, silent))

    def _decide(self, loss: Loss) -> None:
        taken = loss.acquisition
        releases = [by for at, by in self._released[taken.key] if at >= taken.at]
        if self._was_cut(taken, loss):
            loss.phase.cut_off += 1
        elif not releases and self._was_data_lost(taken, loss):
            loss.phase.data_lost += 1
        else:
            why = f"released by {releases[0]}" if releases else "nothing explains it"
            silent = "no record" if loss.silent is None else f"silent for {loss.silent:.1f} s"
            self.violation(
                loss.phase,
                f"lock {taken.lock} of the living task {taken.task} on {taken.host}, pid "
                f"{taken.pid} ({silent}), {loss.at - taken.at:.1f} s after it was taken: "
                f"{loss.how}; {why}",
            )

    def _was_cut(self, taken: Acquisition, loss: Loss) -> bool:
        """Whether the contract allows to free this lock of a living process."""
        if loss.silent is not None and loss.silent < self.stale_after - 2:
            return False
        for host, pid, begun, end in self._cuts:
            over = end[0] + RETRANSMIT_SECONDS if end else loss.at
            long = loss.at - begun >= self.stale_after - HEARTBEAT_SECONDS - 1
            if host == taken.host and pid in (None, taken.pid) and loss.at <= over and long:
                return True
        return False

    def _was_data_lost(self, taken: Acquisition, loss: Loss) -> bool:
        for begun, *end in self._data_lost:
            if taken.at <= (end[0] if end else loss.at) and begun <= loss.at:
                return True
        return False

    # What must be freed

    def _check(self, value: Value, now: float) -> None:
        if not value.dead and not self.stored.is_running_holder(value.holder):
            value.dead, value.since, value.late, value.phase = True, now, False, self.phase
            self.phase.stale += 1
        ended = [each.left for each in self._of(value)]
        if not value.dead:
            value.since = 0 if None in ended else max([value.seen, *ended])
        if not value.since or value.late or self.well_since is None:
            return
        if value.has_record is None:
            value.has_record = self.stored.has_record(value.holder)
        bound = 30 + self.min_age
        if value.dead:
            unknown = max(self.min_age, WATCH_SECONDS)
            bound = 30 + (self.stale_after if value.has_record else unknown)
        if now - max(value.since, self.well_since) > bound:
            value.late = True
            self._too_late(value, bound)

    def _too_late(self, value: Value, bound: float) -> None:
        if not value.dead:
            self.phase.left += 1
            return
        record = "with" if value.has_record else "without"
        self.violation(
            value.phase or self.phase,
            f"lock {value.lock} is not freed {bound:.0f} s after its holder died "
            f"({value.holder}, {record} a record) and the storage was well",
        )

    def _freed(self, value: Value, now: float) -> None:
        phase = value.phase or self.phase
        if self._data_lost and len(self._data_lost[-1]) == 1:
            phase.stale -= 1  # Redis lost it together with all the rest
            return
        phase.freed += 1
        took = now - max(value.since, self.well_since or 0)
        if value.has_record is not False:
            phase.longest = max(phase.longest, took)
        else:
            phase.longest_unclaimed = max(phase.longest_unclaimed, took)

    def violation(self, phase: Phase, text: str) -> None:
        """Note a violation, and print it."""
        phase.violations += 1
        self.violations.append(f"{phase.name}: {text}")
        print(f"VIOLATION in {self.violations[-1]}", flush=True)
