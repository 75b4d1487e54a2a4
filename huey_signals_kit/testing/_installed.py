"""A kit for the duration of a test, in place of the one that the application has installed."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from dataclasses import fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from .._checks import check_huey, refuse_unknown
from .._install import get_kit, install_handlers
from .._settings import Settings
from ..handlers.tokens import CleanTokens
from ..huey_internals.patch import CallOrder
from ..inflight.claims import in_flight_of
from ..kit import Kit
from ..presets import AnyPreset
from ..registry import Registry
from ..runtime.configuration import configuration
from ..runtime.per_huey import PerHuey
from ..runtime.scheduler import DRAIN_SECONDS
from ..sinks.protocol import AnySink

if TYPE_CHECKING:
    from typing_extensions import Unpack

AnyPresets = AnyPreset | Sequence[AnyPreset] | None


class KitOptions(TypedDict, total=False):
    """The options of `installed` and `record`: those of `install_handlers` but ``replace``."""

    registry: Registry | None
    sinks: AnySink | Sequence[AnySink] | None
    lock_exceptions: type[BaseException] | tuple[type[BaseException], ...] | None
    sentry: bool
    clean_tokens: CleanTokens
    quiet_logs: bool
    sweep_interval: float | None
    stale_locks: Literal["report", "release"]
    stale_after: float


def installed(huey: Any, preset: AnyPresets = None, **options: Unpack[KitOptions]) -> Installed:
    """Return a context manager that installs a kit for the duration of a test.

    The kit has the settings and the handlers of the kit that the application has installed; these
    options replace its settings. If the application has no kit, the defaults of `install_handlers`
    apply. All counts begin at zero. At the end the application's kit is back as it was: the same
    object, with its counts and handlers, and in its place among the receivers and hooks of the
    Huey. Handlers that were registered in the block, on any registry of the kit or by the module's
    ``on``, are gone.

    Nothing that the kit counts leaves the process: sinks are called only if they are given here,
    the process writes no record for others, and no sweep and no search for stale locks runs by
    itself. The Huey itself is not changed. If it is not in immediate mode, its tasks, results and
    locks go to its storage as always.

    Args:
        huey: The Huey.
        preset: As for `install_handlers`.
        **options: The other options of `install_handlers`, except ``replace``.

    Raises:
        TypeError: An option is unknown or has the wrong type.
        ValueError: An option has an unknown or impossible value.
    """
    given = dict(options) if preset is None else {"preset": preset, **options}
    return Installed(huey, given, "installed()")


class Installed:
    """The context manager that `installed` returns; its value is the `Kit`.

    Args:
        huey: The Huey.
        options: The options that the user has given.
        caller: The function that the user has called, for messages.
    """

    def __init__(self, huey: Any, options: dict[str, Any], caller: str) -> None:
        self._huey = check_huey(huey, caller)
        if "replace" in options:
            raise TypeError(
                f"{caller} takes no replace=: it always replaces the kit, and puts the former one "
                "back at the end"
            )
        unknown = {name: value for name, value in options.items() if name not in _NAMES}
        refuse_unknown(caller, unknown, install_handlers)
        self._options = options
        self._caller = caller
        self._kit: Kit | None = None
        self._original: Kit | None = None

    def __enter__(self) -> Kit:
        if self._kit is not None:
            raise RuntimeError(
                f"{self._caller} of {self._huey.name!r} is active already; call it again for a "
                "second block"
            )
        original = self._original = get_kit(self._huey)
        if original is not None:
            finish_background(original)  # events of earlier tests
        # Without the lock, because a preset may import modules that register handlers.
        kit = Kit(self._huey, _settings(original, self._options), is_test=True)
        with configuration.lock:
            kit.start_sinks()
            if original is not None:
                kit.registry.include(original.registry)
            changing = (kit.registry, kit._preset, in_flight_of(self._huey))
            self._restore = [each.restore_point() for each in changing]
            self._call_order = CallOrder(self._huey)
            self._suspend_original(kit)
            try:
                kit.install()
                self._call_order.restore(new_in_gaps=True)
            except BaseException:
                self._resume_original(kit)
                raise
            self._kit = kit
            _active_blocks(self._huey).append(self)
        return kit

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        active = _active_blocks(self._huey)
        if self not in active:
            return
        later = active[active.index(self) + 1 :]
        for each in reversed([self, *later]):
            each._end()
        if later:
            raise RuntimeError(
                f"{self._caller} of {self._huey.name!r} ended before {len(later)} that began after "
                "it, and ended these too. End blocks in reverse order: use `with`, enterContext() "
                "or addCleanup()"
            )

    def _end(self) -> None:
        kit = self._kit
        if kit is None:
            return
        self._kit = None
        finish_background(kit)
        with configuration.lock:
            _active_blocks(self._huey).remove(self)
            current = get_kit(self._huey)  # None or another one if the test has replaced the kit
            if current is not None:
                current.detach()
            for restore in self._restore:
                restore()
            self._resume_original(kit)
        for each in {kit, current or kit}:
            each.shutdown()

    def _suspend_original(self, kit: Kit) -> None:
        original = self._original
        if original is not None:
            original.test_kit, kit.application_kit = kit, original
            original._heartbeat.suspend()
            original.suspend(f"{self._caller} has put another kit on {self._huey.name!r}")

    def _resume_original(self, kit: Kit) -> None:
        original = self._original
        if original is not None:
            kit.registry.exclude(original.registry)
            original.test_kit = kit.application_kit = None
            original.install()
            self._call_order.restore()
            original._heartbeat.resume()


_active_blocks: PerHuey[list[Installed]] = PerHuey(list)
"""The active blocks of each Huey, the outermost first."""

_NAMES = frozenset(each.name for each in fields(Settings))
_DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(install_handlers).parameters.items()
    if name in _NAMES
}


def _settings(original: Kit | None, options: dict[str, Any]) -> Settings:
    """Return the settings of a test's kit.

    Args:
        original: The kit that it replaces.
        options: The options that the test has given.
    """
    arguments = {**(vars(original.settings) if original else _DEFAULTS), **options}
    if "sinks" not in options and arguments["sinks"] is not None:
        arguments["sinks"] = "memory"  # counts as much as with the application's sinks
    return Settings.read(**arguments)


def finish_background(kit: Kit) -> None:
    """Wait until every handler with ``background=True`` has handled its events."""
    deadline = time.monotonic() + DRAIN_SECONDS
    for handler in kit.handlers:
        if handler.background is not None:
            handler.background.flush(deadline)
