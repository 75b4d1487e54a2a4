"""Installs a kit on a Huey, finds it and takes it off again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal, NoReturn

from ._checks import check_huey, refuse_unknown, validate_flag
from ._settings import Settings
from .handlers.tokens import CleanTokens
from .kit import ATTRIBUTE, Kit
from .presets import AnyPreset
from .registry import Registry
from .runtime.configuration import configuration
from .sinks.protocol import AnySink


class AlreadyInstalled(RuntimeError):
    """The Huey has a kit that was installed with other arguments."""


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
    """Install handlers on *huey*, a `Huey` of any kind with any storage; returns its `Kit`.

    Works in the application and in the consumer, before or after tasks and locks are declared.

    *preset*: a name of `available_presets`, a `Registry`, or a list of these.
    *registry*: handlers of your own, besides those of the module's `on`.
    *sinks*: where counts go besides memory: ``"prometheus"``, ``"opentelemetry"``,
    ``"sentry"``, ``"auto"`` (those of these that are set up), objects with a method
    ``send(changes)``, or a list of these. With any, ``"memory"`` included, every signal is
    counted and every attempt timed, not only what the preset looks at.
    *lock_exceptions*: replaces the exceptions that count as lock errors.
    *sentry*: where Sentry is set up, show it recent lock skips as breadcrumbs, and no event
    for an error that is not stored.
    *clean_tokens*: which spent revoke tokens a preset deletes: ``"generated"`` (of ids that
    Huey made), ``"always"``, ``"never"``, or a predicate over the `Event`.
    *quiet_logs*: Huey's lines about locked and revoked tasks become one summary a minute.
    *sweep_interval*: so many seconds apart, one of the consumer's processes sweeps away revoke
    tokens that have leaked, as `Kit.sweep_tokens` does.
    *stale_locks*: what a consumer does about locks whose holder's process is dead: ``"report"``
    them, by a line in the log, a count and an announcement; or ``"release"`` them besides.
    *stale_after*: how many seconds without a heartbeat, watched from another host, before this
    process counts as dead; at least 30. Set it longer than the longest call of a task that holds
    Python's interpreter lock (GIL): during such a call the process writes no heartbeat.

    Called again with the same arguments it returns the same kit; with others it raises
    `AlreadyInstalled`, unless *replace*: then a new kit takes the old one's place, without
    handlers that were registered on the old one.
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
    if current is not None and current.settings == settings:
        return current
    kit = Kit(huey, settings)  # not under the lock: a preset may import what registers handlers
    with ExitStack() as after, configuration.lock:
        current = get_kit(huey)
        if current is not None:
            if current.settings == settings:
                return current
            if not replace:
                raise AlreadyInstalled(
                    f"{huey.name!r} has a kit with {current.settings.difference(settings)}; got "
                    f"{settings.difference(current.settings)}. Pass replace=True to replace it"
                )
        kit.start_sinks()
        if current is not None:
            after.callback(current.shutdown)
            current.detach()
        kit.install()
    return kit


def uninstall_handlers(huey: Any) -> None:
    """Leave *huey* as it was before `install_handlers`; nothing happens when it has no kit."""
    huey = check_huey(huey, "uninstall_handlers()")
    kit = get_kit(huey)
    if kit is not None:
        kit.uninstall()


def get_kit(huey: Any) -> Kit | None:
    """The kit that is installed on *huey*, or None."""
    huey = check_huey(huey, "get_kit()")
    kit = getattr(huey, ATTRIBUTE, None)
    return kit if isinstance(kit, Kit) and kit.huey is huey else None
