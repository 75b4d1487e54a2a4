"""Presets: named sets of handlers, which `install_handlers` takes by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NewType, TypeVar

from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_RETRYING, SIGNAL_REVOKED

from ._checks import listed, name_of, nearest, short, validate_synchronous
from .handlers import (
    RescheduleLocked,
    count_lock_skips,
    count_signals,
    delete_spent_token,
    drop_lock_errors,
    expire_lock_errors,
    leave_breadcrumb,
)
from .registry import Registry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "ENTRY_POINTS",
    "AnyPreset",
    "BuiltInPreset",
    "Preset",
    "PresetName",
    "available_presets",
    "brief_locks",
    "build_preset",
    "observe",
    "quiet_locks",
    "register_preset",
    "reschedule_locks",
    "tidy_tokens",
]

BuiltInPreset = Literal["quiet-locks", "brief-locks", "reschedule-locks", "tidy-tokens", "observe"]
"""The names of the kit's own presets."""
PresetName = NewType("PresetName", str)
"""The name of a preset of your own, for type checkers: ``preset=PresetName("mine")``."""
AnyPreset = BuiltInPreset | PresetName | Registry
"""The name of a preset, or a registry with handlers."""

Preset = Callable[[Registry], None]
"""Adds the handlers of a preset to an empty registry."""
P = TypeVar("P", bound=Preset)

ENTRY_POINTS = "huey_signals_kit.presets"
"""The group of entry points in which an installed package names its presets."""

_presets: dict[str, Preset] = {}


def register_preset(name: str) -> Callable[[P], P]:
    """Register the decorated function as a preset.

    The function gets an empty `Registry` and adds handlers to it. It is called at every
    ``install_handlers(huey, preset=name)``.

    Args:
        name: The name of the preset.

    Raises:
        TypeError: The name is not a string or is empty, or the decorated object is not callable.
        ValueError: Another preset has this name.
    """
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"register_preset() takes a name, got {short(name)}")

    def register(fill: P) -> P:
        if not callable(fill):
            raise TypeError(f"preset {name!r} is not callable: {short(fill)}")
        if not isinstance(fill, type):
            validate_synchronous(fill, f"preset {name!r}")
        if _belongs_to_another(name, fill):
            raise ValueError(f"there is a preset {name!r} already; choose another name")
        _presets[name] = fill
        return fill

    return register


def available_presets() -> tuple[str, ...]:
    """Return the names of all presets, including those of installed packages."""
    return tuple(sorted({*_presets, *_installed()}))


def build_preset(preset: object) -> Registry:
    """Return one registry for a name, a `Registry`, or a list of these."""
    items = list(preset) if isinstance(preset, (list, tuple)) else [preset]
    built = Registry("preset")
    for item in items:
        built.include(item if isinstance(item, Registry) else _new_registry(item))
    return built


def _new_registry(name: object) -> Registry:
    if not isinstance(name, str):
        raise TypeError(
            f"preset= takes a name, a Registry or a list of these, got {short(name)}; "
            f"the names are {listed(available_presets())}; pass [] for no preset"
        )
    registry = Registry(name)
    _find(name)(registry)
    return registry


def _find(name: str) -> Preset:
    if name in _presets:
        return _presets[name]
    entry_point = _installed().get(name)
    if entry_point is None:
        known = available_presets()
        raise ValueError(
            f"unknown preset {name!r}.{nearest(name, known)} The presets are {listed(known)}"
        )
    fill = entry_point.load()
    if not callable(fill):
        raise TypeError(f"preset {name!r} of {entry_point.value} is not callable: {short(fill)}")
    if not isinstance(fill, type):
        validate_synchronous(fill, f"preset {name!r} of {entry_point.value}")
    checked: Preset = fill
    return checked


def _belongs_to_another(name: str, fill: Preset) -> bool:
    # One preset may be registered twice, if its module is loaded twice or an entry point names it.
    full_name = name_of(fill)
    if name in _presets:
        return name_of(_presets[name]) != full_name or "<locals>" in full_name
    entry_point = _installed().get(name)
    return entry_point is not None and entry_point.value.replace(":", ".") != full_name


def _installed() -> dict[str, EntryPoint]:
    # This reads the metadata of every installed package, so no preset of the kit needs it.
    from importlib.metadata import entry_points

    return {entry_point.name: entry_point for entry_point in entry_points(group=ENTRY_POINTS)}


def quiet_locks(registry: Registry) -> None:
    """Count lock errors instead of storing them.

    Delete the token of a revoked task after Huey has skipped its run.
    """
    observe(registry)
    registry.add(drop_lock_errors, SIGNAL_LOCKED, SIGNAL_ERROR)
    registry.add(delete_spent_token, SIGNAL_REVOKED)


def reschedule_locks(registry: Registry) -> None:
    """Schedule a locked task again, for up to an hour; delete tokens like ``quiet-locks``."""
    observe(registry)
    registry.add(RescheduleLocked(), SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_RETRYING)
    registry.add(delete_spent_token, SIGNAL_REVOKED)


def brief_locks(registry: Registry) -> None:
    """Do the same as ``quiet-locks``, but store lock errors for a minute, for callers that wait."""
    observe(registry)
    registry.add(expire_lock_errors(60), SIGNAL_LOCKED, SIGNAL_ERROR)
    registry.add(delete_spent_token, SIGNAL_REVOKED)


def tidy_tokens(registry: Registry) -> None:
    """Only delete the token of a revoked task after Huey has skipped its run."""
    registry.add(delete_spent_token, SIGNAL_REVOKED)


def observe(registry: Registry) -> None:
    """Only count and leave breadcrumbs, to see what ``quiet-locks`` would do."""
    registry.add(count_signals, SIGNAL_LOCKED, SIGNAL_ERROR, SIGNAL_REVOKED)
    registry.add(count_lock_skips, SIGNAL_LOCKED, SIGNAL_ERROR)
    registry.add(leave_breadcrumb, SIGNAL_LOCKED, SIGNAL_ERROR)


_presets.update(
    {
        "quiet-locks": quiet_locks,
        "reschedule-locks": reschedule_locks,
        "brief-locks": brief_locks,
        "tidy-tokens": tidy_tokens,
        "observe": observe,
    }
)
