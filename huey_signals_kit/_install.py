"""Install a kit on a Huey, find it and uninstall it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal, NoReturn

from ._checks import check_huey, refuse_unknown, validate_flag
from ._settings import Settings
from .handlers.tokens import CleanTokens
from .kit import Kit
from .presets import AnyPreset
from .registry import Registry
from .runtime.configuration import configuration
from .runtime.per_huey import attached_kit
from .sinks.protocol import AnySink


class AlreadyInstalled(RuntimeError):
    """The Huey has a kit that was installed with other arguments.

    Args:
        difference: Which arguments differ.
        remedy: What to do.
    """

    def __init__(self, difference: str, remedy: str) -> None:
        super().__init__(difference, remedy)
        self.difference, self.remedy = difference, remedy

    def __str__(self) -> str:
        return f"{self.difference}. {self.remedy}"


def install_handlers(
    huey: Any,
    preset: AnyPreset | Sequence[AnyPreset] = "quiet-locks",
    *,
    registry: Registry | None = None,
    sinks: AnySink | Sequence[AnySink] | None = None,
    lock_exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
    sentry: bool = True,
    clean_tokens: CleanTokens = "generated",
    quiet_logs: bool = False,
    sweep_interval: float | None = None,
    stale_locks: Literal["report", "release"] = "report",
    stale_after: float = 120,
    replace: bool = False,
    **unknown: NoReturn,
) -> Kit:
    """Install handlers on a Huey of any kind with any storage, and return its `Kit`.

    The call works in the application and in the consumer, before or after tasks and locks are
    declared. A second call with the same arguments returns the same kit.

    Args:
        huey: The Huey.
        preset: A name of `available_presets`, a `Registry`, or a list of these.
        registry: Your own handlers, besides those of the module's `on`.
        sinks: Where counts go besides memory: ``"prometheus"``, ``"opentelemetry"``, ``"sentry"``,
            ``"auto"`` (every one of these three that is set up), an object with a method
            ``send(changes)``, or a list of these. With any sink, even ``"memory"``, every signal
            is counted and every attempt timed; with None, only what the preset counts.
        lock_exceptions: Exception classes that count as lock errors, in place of Huey's
            ``TaskLockedException`` and redis-py's ``LockError``.
        sentry: If Sentry is set up, add recent lock skips as breadcrumbs to its events, and
            send no event for an error that is not stored.
        clean_tokens: Whose revoke token is deleted after a revoked task was skipped:
            ``"generated"`` (of a task whose id Huey made), ``"always"``, ``"never"``, or a
            predicate over the `Event`.
        quiet_logs: Replace Huey's log lines about locked and revoked tasks by one summary a
            minute.
        sweep_interval: Seconds between two sweeps. In a sweep, one process with workers deletes
            orphaned revoke tokens, as `Kit.sweep_tokens` does. None for no sweeps.
        stale_locks: What a consumer does about locks whose holder is dead: ``"report"`` them in
            the log, in a count and with a signal; or also ``"release"`` them. Locks that name no
            holder, such as those of a process without the kit, are left alone.
        stale_after: Seconds of silence, observed from another host, after which this process
            counts as dead; at least 30. Make it longer than the longest call in a task that holds
            Python's interpreter lock (GIL): during that call the process writes no heartbeat.
        replace: Replace a kit with other arguments; handlers that were registered on that kit are
            not taken over.
        **unknown: Refused; the message lists the options.

    Raises:
        AlreadyInstalled: The Huey has a kit with other arguments, and `replace` is False.
        TypeError: An argument has the wrong type.
        ValueError: An argument has an unknown or impossible value.
        ImportError: The package of a sink is missing or too old.
    """
    refuse_unknown("install_handlers()", unknown, install_handlers)
    validate_flag(replace, "replace=")
    huey = check_huey(huey, "install_handlers()")
    settings = Settings.read(
        preset=preset,
        registry=registry,
        sinks=sinks,
        lock_exceptions=lock_exceptions,
        sentry=sentry,
        clean_tokens=clean_tokens,
        quiet_logs=quiet_logs,
        sweep_interval=sweep_interval,
        stale_locks=stale_locks,
        stale_after=stale_after,
    )
    current = get_kit(huey)
    if current is not None and current.has_settings(settings):
        return current
    # Without the lock, because a preset may import modules that register handlers.
    kit = Kit(huey, settings)
    with ExitStack() as after_unlock, configuration.lock:
        current = get_kit(huey)
        if current is not None:
            if current.has_settings(settings):
                return current
            if not replace:
                raise _already_installed(current, settings)
        kit.start_sinks()
        if current is not None:
            after_unlock.callback(current.shutdown)
            current.detach()
        kit.install()
    return kit


def _already_installed(current: Kit, settings: Settings) -> AlreadyInstalled:
    remedy = (
        "A test has replaced the kit (installed(), record() or the fixture huey_signals): import "
        "or create the application before the test does so"
        if current.is_test
        else "Pass replace=True to replace it"
    )
    difference = (
        f"{current.huey.name!r} has a kit with {current.settings.difference(settings)}; got "
        f"{settings.difference(current.settings)}"
    )
    return AlreadyInstalled(difference, remedy)


def uninstall_handlers(huey: Any) -> None:
    """Remove the kit from `huey`, as `Kit.uninstall` does; do nothing if it has no kit."""
    huey = check_huey(huey, "uninstall_handlers()")
    kit = get_kit(huey)
    if kit is not None:
        kit.uninstall()


def restore_kit(kit: Kit) -> None:
    """Install a kit again that was uninstalled, with its handlers and counts.

    A kit that is on its Huey now is uninstalled.
    """
    with ExitStack() as after_unlock, configuration.lock:
        current = get_kit(kit.huey)
        if current is kit:
            return
        kit.start_sinks()
        if current is not None:
            after_unlock.callback(current.shutdown)
            current.detach()
        kit.install()


def get_kit(huey: Any) -> Kit | None:
    """Return the kit that is installed on `huey`, or None."""
    huey = check_huey(huey, "get_kit()")
    kit = attached_kit(huey)
    return kit if isinstance(kit, Kit) else None
