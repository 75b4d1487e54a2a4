"""The public API as a user types it: checked by mypy --strict, never run."""

from __future__ import annotations

import functools
import re
from typing import Any

from huey_signals_kit import (
    DROP,
    KEEP,
    AlreadyInstalled,
    Event,
    Handler,
    Kit,
    Registry,
    Verdict,
    available_presets,
    expire,
    get_kit,
    install_handlers,
    on,
    register_preset,
    uninstall_handlers,
)
from huey_signals_kit.handlers import RescheduleLocked, expire_lock_errors
from huey_signals_kit.presets import PresetName
from huey_signals_kit.signals import lock_skipped
from huey_signals_kit.sinks import BOUNDS, Durations, Sample, Sink
from huey_signals_kit.sinks.opentelemetry import OpenTelemetrySink
from huey_signals_kit.sinks.prometheus import PrometheusSink
from huey_signals_kit.testing import (
    HeldLock,
    RecordedEvent,
    Recorder,
    held_lock,
    installed,
    record,
)
from huey_signals_kit.upkeep import LockHeld, LockInfo, PurgeReport, Report, SweepReport

huey: Any = None
kit: Kit = install_handlers(huey, preset="quiet-locks")
install_handlers(
    huey,
    ["observe", Registry("mine")],
    registry=Registry(),
    lock_exceptions=(TimeoutError, KeyError),
    clean_tokens=lambda event: event.queue == "web",
    sentry=False,
    quiet_logs=True,
    sweep_interval=3600,
    replace=True,
)


class Collector:
    interval = 5.0

    def send(self, changes: list[Sample]) -> None:
        for each in changes:
            value: int | Durations = each.value
            print(each.metric, each.labels.get("task"), value, len(BOUNDS))


mine_too: Sink = Collector()
install_handlers(huey, sinks="auto")
install_handlers(huey, sinks=["prometheus", PrometheusSink(), OpenTelemetrySink(), mine_too])
install_handlers(huey, sinks=Collector()).flush()
brief: Verdict = expire(60)


@kit.on("locked", background=True)
def slow(event: Event) -> None: ...


@kit.on("locked", "error", exceptions=OSError, tasks="reports.*", priority=1.5, name="tell")
def tell(event: Event) -> None:
    lock: str | None = event.lock
    ran: float | None = event.duration
    print(event.task_name, event.attempt + event.retries_left, lock, ran, event.will_retry)


@on("revoked")
def audit(event: Event) -> Verdict | None:
    return KEEP if event.is_lock_error else None


@kit.on("error")
def of_the_first_kind(event: Event, *more: object, **named: object) -> Verdict:
    return KEEP


@kit.on("error")
def takes_anything(event: object) -> None: ...


class Notifier:
    def __call__(self, event: Event) -> None: ...

    def tell(self, event: Event) -> None: ...


def tell_channel(channel: str, event: Event) -> None: ...


kit.on("error")(Notifier())
kit.on("error")(Notifier().tell)
kit.on("error")(functools.partial(tell_channel, "slack"))
kit.on("error")(lambda event: None)
kit.on("error", when=lambda event: event.lock)
kit.on("error", when=lambda event: event.lock and event.duration)
kit.on("error", when=lambda event: re.match("a", event.task_name) is not None)
install_handlers(huey, PresetName("mine"), clean_tokens="always")
install_handlers(huey, ["observe", PresetName("mine")], sinks=("memory", "prometheus"))

same: Verdict | None = audit(Event("locked", None, huey))

registry = Registry("mine")
handler: Handler = registry.add(tell, "locked", when=lambda event: event.exception is None)
both: Registry = (registry | Registry()).copy()
both.include(registry)
both.add(RescheduleLocked(delay=1, give_up_after=60), "locked", "error", "retrying")
both.add(expire_lock_errors(30), "locked", "error")
both.remove(handler)
first: Verdict | None = both.dispatch(Event("locked", None, huey))
names: list[str] = [each.name for each in both]


@register_preset("mine")
def mine(registry: Registry) -> None:
    registry.on("locked")(lambda event: DROP)


with install_handlers(huey) as inner:
    total: int = inner.count("huey_lock_skips_total", lock="report")

swept: SweepReport = kit.sweep_tokens(min_age=3600, dry_run=True)
print(swept.scanned, swept.live, swept.custom, swept.marked, swept.deleted, swept.seconds)
purged: PurgeReport = kit.purge_errors(exceptions=("TaskLockedException",), dry_run=True)
state: Report = kit.report()
print(purged.deleted, state.kinds["token"].bytes, state.as_dict())

for lock in kit.locks():
    alive: bool | None = lock.alive
    print(lock.name, lock.since, lock.task_id, lock.host, lock.pid, lock.skips, alive)
freed: list[LockInfo] = kit.release_stale_locks(min_age=900)
try:
    gone: bool = kit.release_lock("report")
except LockHeld as held:
    print(held.lock.task_name)

found: Kit | None = get_kit(huey)
known: tuple[str, ...] = available_presets()


@lock_skipped.connect
def hear(sender: Any, event: Event) -> None:
    print(sender, event)


try:
    install_handlers(huey, "observe")
except AlreadyInstalled:
    uninstall_handlers(huey)

with installed(huey) as tested, installed(huey, preset="observe", sinks=Collector(), sentry=False):
    in_test: Kit = tested

with record(huey, ["observe", Registry()], clean_tokens="never") as recorded:
    recorder: Recorder = recorded
    skipped: int = recorded.skips("reports.*", lock="report")
    assert recorded.errors([tell, "*.pay"], (ValueError, KeyError)) == 0
    assert not recorded.suppressed(verdict=DROP)
    assert recorded.tokens() + recorded.handler_errors()
    events: list[RecordedEvent] = recorded.events
    print(recorded.signals()[-1], events[0].lock, recorded.verdicts[0].verdict == KEEP)
    print(recorded.deleted_tokens[0].key, recorded.announcements[0].data["event"])
    print(recorded.kit.count("huey_lock_skips_total"))

with held_lock(huey, "report") as held_by_test:
    other_holder: HeldLock = held_by_test
    print(other_holder.name, other_holder.is_held)

record(huey, presett="observe")  # type: ignore[call-arg]
held_lock(huey, huey.lock, "report")  # type: ignore[call-arg]
install_handlers(huey, stale_locks="release", replace=True)
install_handlers(huey, stale_locks=True)  # type: ignore[arg-type]
install_handlers(huey, sinks=[3])  # type: ignore[list-item]
expire("60")  # type: ignore[arg-type]
registry.on(3)  # type: ignore[arg-type]
install_handlers(huey, sink="x")  # type: ignore[arg-type]
tell("locked")  # type: ignore[arg-type]
