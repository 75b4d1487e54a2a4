"""The arguments of `install_handlers`, validated and comparable."""

from __future__ import annotations

from dataclasses import dataclass

from ._checks import short, validate_flag, validate_seconds
from .ledger import HEARTBEAT_SECONDS, MIN_STALE_AFTER
from .registry import Registry


@dataclass(frozen=True, eq=False)
class Settings:
    """The arguments of `install_handlers`, kept to compare a second call with the first.

    A field of the type `object` is validated by the component that uses the argument.
    """

    preset: tuple[object, ...]
    registry: Registry | None
    sinks: tuple[object, ...] | None
    lock_exceptions: tuple[object, ...] | None
    sentry: bool
    clean_tokens: object
    quiet_logs: bool
    sweep_interval: object
    stale_locks: object
    stale_after: float

    def difference(self, other: Settings) -> str:
        """Return ``name=value`` for each of these arguments that differs in `other`.

        A comparison that raises counts as a difference: the objects are the user's.
        """
        return ", ".join(
            f"{name}={short(value)}"
            for name, value in vars(self).items()
            if not (_are_equal(value, vars(other)[name]) and _are_equal(vars(other)[name], value))
        )

    @classmethod
    def read(
        cls,
        *,
        preset: object,
        registry: object,
        sinks: object,
        lock_exceptions: object,
        sentry: object,
        clean_tokens: object,
        quiet_logs: object,
        sweep_interval: object,
        stale_locks: object,
        stale_after: object,
    ) -> Settings:
        """Validate the arguments of `install_handlers`, and convert lists to tuples.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: ``stale_after=`` is too short.
        """
        if registry is not None and not isinstance(registry, Registry):
            raise TypeError(f"registry= takes a Registry, got {short(registry)}")
        return cls(
            preset=_as_tuple(preset),
            registry=registry,
            sinks=None if sinks is None else _as_tuple(sinks),
            lock_exceptions=None if lock_exceptions is None else _as_tuple(lock_exceptions),
            sentry=validate_flag(sentry, "sentry="),
            clean_tokens=clean_tokens,
            quiet_logs=validate_flag(quiet_logs, "quiet_logs="),
            sweep_interval=sweep_interval,
            stale_locks=stale_locks,
            stale_after=_validate_stale_after(stale_after),
        )


def _validate_stale_after(stale_after: object) -> float:
    """Return ``stale_after=`` of `install_handlers`; raise `ValueError` if it is too short."""
    seconds = validate_seconds(stale_after, "stale_after=")
    if seconds < MIN_STALE_AFTER:
        raise ValueError(
            f"stale_after= takes at least {MIN_STALE_AFTER:g} seconds, got {short(stale_after)}: "
            "a process that is merely busy may miss some heartbeats, which are "
            f"{HEARTBEAT_SECONDS:g} seconds apart"
        )
    return seconds


def _are_equal(one: object, other: object) -> bool:
    try:
        return bool(one == other)
    except Exception:
        return False


def _as_tuple(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
