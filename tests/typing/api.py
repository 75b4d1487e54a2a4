"""The public API as a user types it: checked by mypy --strict, never run."""

from __future__ import annotations

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
    get_kit,
    install_handlers,
    on,
    register_preset,
    uninstall_handlers,
)
from huey_signals_kit.signals import lock_skipped

huey: Any = None
kit: Kit = install_handlers(huey, preset="quiet-locks")
install_handlers(
    huey,
    ["observe", Registry("mine")],
    registry=Registry(),
    lock_exceptions=(TimeoutError, KeyError),
    clean_tokens=lambda event: event.queue == "web",
    replace=True,
)


@kit.on("locked", "error", exceptions=OSError, tasks="reports.*", priority=1.5, name="tell")
def tell(event: Event) -> None:
    lock: str | None = event.lock
    ran: float | None = event.duration
    print(event.task_name, event.attempt + event.retries_left, lock, ran, event.will_retry)


@on("revoked")
def audit(event: Event) -> Verdict | None:
    return KEEP if event.is_lock_error else None


same: Verdict | None = audit(Event("locked", None, huey))

registry = Registry("mine")
handler: Handler = registry.add(tell, "locked", when=lambda event: event.exception is None)
both: Registry = (registry | Registry()).copy()
both.include(registry)
both.remove(handler)
first: Verdict | None = both.dispatch(Event("locked", None, huey))
names: list[str] = [each.name for each in both]


@register_preset("mine")
def mine(registry: Registry) -> None:
    registry.on("locked")(lambda event: DROP)


with install_handlers(huey) as inner:
    total: int = inner.count("huey_lock_skips_total", lock="report")

found: Kit | None = get_kit(huey)
known: tuple[str, ...] = available_presets()


@lock_skipped.connect
def hear(sender: Any, event: Event) -> None:
    print(sender, event)


try:
    install_handlers(huey, "observe")
except AlreadyInstalled:
    uninstall_handlers(huey)

registry.on(3)  # type: ignore[arg-type]
install_handlers(huey, sink="x")  # type: ignore[arg-type]
tell("locked")  # type: ignore[arg-type]
