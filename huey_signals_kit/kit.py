"""One registry bound to one Huey."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn

from blinker import NamedSignal
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_REVOKED

from . import signals as announcements
from ._checks import name_of, refuse_unknown, short
from ._failures import Failures
from ._handler import Handler, run
from ._huey_facts import (
    DECIDING,
    ENDED_WITHOUT_EXCEPTION,
    SIGNALS,
    WITHOUT_EXCEPTION,
    caught_by_huey,
    timing_on_stack,
)
from ._lock_errors import LockErrors
from ._settings import Settings, check_huey
from ._task_option import TaskOption
from .event import Event
from .gate import Gate
from .handlers.tokens import token_policy
from .presets import build_preset
from .registry import Registry, default_registry, structure
from .sinks.memory import Counts
from .sinks.vocabulary import HANDLER_ERRORS, SUPPRESSED
from .verdict import Verdict

_ATTRIBUTE = "_huey_signals_kit"


class AlreadyInstalled(RuntimeError):
    """The Huey has a kit that was installed with other arguments."""


class Kit:
    """The handlers of one Huey, made by `install_handlers`; a context manager that uninstalls.

    ``registry`` holds the user's handlers and includes the default registry. The preset's
    handlers run after all of these, so a verdict of the user's comes first.
    """

    def __init__(self, huey: Any, settings: Settings) -> None:
        self.lock_errors = LockErrors(settings.lock_exceptions)
        self.may_delete_token = token_policy(settings.clean_tokens)
        self.huey = huey
        self.settings = settings
        self.registry = Registry(f"of {huey.name}")
        self.registry.include(default_registry)
        if settings.registry is not None:
            self.registry.include(settings.registry)
        self.on = self.registry.on
        self._preset = build_preset(settings.preset)
        self._routes: dict[str, tuple[Handler, ...]] = {}
        self._lists_made: set[str] = set()
        self._counts = Counts(str(huey.name))
        self.tally = self._counts.add
        self.lock_labels = self._counts.lock_labels
        self._failures = Failures()
        self._task_option = TaskOption()
        self._gate = Gate(huey, self._override, self._suppressed, self._kit_failed)

    def __repr__(self) -> str:
        state = "installed on" if self.installed else "not installed on"
        return f"<Kit {state} {self.huey.name!r}: {', '.join(map(repr, self.handlers))}>"

    def __enter__(self) -> Kit:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()

    @property
    def installed(self) -> bool:
        """Whether this kit is at work on its Huey."""
        return get_kit(self.huey) is self

    @property
    def handlers(self) -> tuple[Handler, ...]:
        """Every handler, in running order."""
        mine = {handler.registration for handler in self.registry}
        theirs = (handler for handler in self._preset if handler.registration not in mine)
        return (*self.registry, *theirs)

    def count(self, metric: str, /, **labels: str) -> int:
        """This process's total of *metric*; labels that are left out are summed over.

        A lock's name is folded as it is when counted: ``lock="media:17"`` asks for
        ``media:*``. ``ValueError`` names the metrics and labels that there are.
        """
        return self._counts.total(metric, labels)

    def uninstall(self) -> None:
        """Leave the Huey as it was found; what other code has put there since stays."""
        with structure.lock:
            if self.installed:
                delattr(self.huey, _ATTRIBUTE)
                self._take_out()

    def _install(self) -> None:
        try:
            self._gate.install()
            for registry in (self.registry, self._preset):
                registry.watch(self._reconnect)
            self._reconnect()
        except BaseException:
            self._take_out()
            raise
        setattr(self.huey, _ATTRIBUTE, self)

    def _take_out(self) -> None:
        self._gate.uninstall()
        for registry in (self.registry, self._preset):
            registry.watch(None)
        self._listen({})

    def _reconnect(self) -> None:
        handlers = self.handlers
        heard = {signal: tuple(h for h in handlers if h.hears(signal)) for signal in SIGNALS}
        self._listen({signal: listeners for signal, listeners in heard.items() if listeners})

    def _listen(self, routes: dict[str, tuple[Handler, ...]]) -> None:
        before, self._routes = self._routes, routes
        receivers = self.huey._signal.receivers
        for signal in sorted(routes.keys() - before.keys()):
            if signal not in receivers:
                self._lists_made.add(signal)
            self.huey.signal(signal)(self._receive)
        for signal in (before.keys() - routes.keys()) & receivers.keys():
            # A new list: Huey may be walking through the old one.
            receivers[signal] = [each for each in receivers[signal] if each != self._receive]
            if not receivers[signal] and signal in self._lists_made:
                del receivers[signal]

    def _receive(
        self, signal: str, task: Any, exception: BaseException | None = None, *_: object
    ) -> None:
        verdict = None
        raised = exception
        if raised is None and signal in WITHOUT_EXCEPTION:
            raised = caught_by_huey(signal)
        try:
            timing = timing_on_stack(task) if signal in ENDED_WITHOUT_EXCEPTION else None
            event = Event(signal, task, self.huey, raised, timing, self)
            verdict = run(self._routes.get(signal, ()), event, self._handler_failed)
            self._counts.settle_some()
            if announcements.lock_skipped.receivers or announcements.task_revoked.receivers:
                self._announce(event)
        except Exception as exc:
            self._kit_failed(f"on {signal}", exc)
        finally:
            if raised is not None and signal in DECIDING:
                self._gate.note(task, raised, verdict)

    def _announce(self, event: Event) -> None:
        if event.signal == SIGNAL_REVOKED:
            self.tell(announcements.task_revoked, event=event)
        elif event.signal in (SIGNAL_LOCKED, SIGNAL_ERROR) and event.is_lock_error:
            self.tell(announcements.lock_skipped, event=event)

    def tell(self, signal: NamedSignal, **payload: object) -> None:
        """Make one of the kit's announcements to its subscribers, whatever they raise."""
        if signal.receivers:
            announcements.announce(signal, self.huey, self._subscriber_failed, **payload)

    def _override(self, task: Any, exception: BaseException) -> Verdict | None:
        return self._task_option(task) if self.lock_errors.match(exception) else None

    def _suppressed(self, task_id: str, task_name: str, verdict: Verdict) -> None:
        self.tally((SUPPRESSED, task_name, verdict.action))
        self._counts.settle_some()
        suppressed = announcements.result_suppressed
        if suppressed.receivers:
            self.tell(suppressed, task_id=task_id, task_name=task_name, verdict=verdict)

    def _handler_failed(self, handler: Handler, event: Event, exc: Exception) -> None:
        self._failures.report(f"Handler {handler.name}", f"on {short(event)}", exc)
        self.tally((HANDLER_ERRORS, handler.name))
        self.tell(announcements.handler_failed, handler=handler.name, event=event, exception=exc)

    def _subscriber_failed(self, subscriber: object, exc: Exception) -> None:
        name = name_of(subscriber)
        self._failures.report(f"Subscriber {name}", "to an announcement", exc)
        self.tally((HANDLER_ERRORS, name))

    def _kit_failed(self, where: str, exc: Exception) -> None:
        self._failures.report("The kit itself", where, exc)


def install_handlers(
    huey: Any,
    preset: str | Registry | list[str | Registry] | tuple[str | Registry, ...] = "quiet-locks",
    *,
    registry: Registry | None = None,
    lock_exceptions: type[BaseException] | tuple[type[BaseException], ...] | None = None,
    clean_tokens: Any = "generated",
    replace: bool = False,
    **unknown: NoReturn,
) -> Kit:
    """Install handlers on *huey*, a `Huey` of any kind with any storage; returns its `Kit`.

    Works in the application and in the consumer, before or after tasks and locks are declared.

    *preset*: a name of `available_presets`, a `Registry`, or a list of these.
    *registry*: handlers of your own, besides those of the module's `on`.
    *lock_exceptions*: replaces the exceptions that count as lock errors.
    *clean_tokens*: which spent revoke tokens a preset deletes: ``"generated"`` (of ids that
    Huey made), ``"always"``, ``"never"``, or a predicate over the `Event`.

    Called again with the same arguments it returns the same kit; with others it raises
    `AlreadyInstalled`, unless *replace*: then a new kit takes the old one's place, without
    handlers that were registered on the old one.
    """
    refuse_unknown("install_handlers()", unknown, install_handlers)
    if not isinstance(replace, bool):
        raise TypeError(f"replace= takes True or False, got {short(replace)}")
    check_huey(huey, "install_handlers()")
    settings = Settings.read(preset, registry, lock_exceptions, clean_tokens)
    current = get_kit(huey)
    if current is not None and current.settings == settings:
        return current
    kit = Kit(huey, settings)  # not under the lock: a preset may import what registers handlers
    with structure.lock:
        current = get_kit(huey)
        if current is not None:
            if current.settings == settings:
                return current
            if not replace:
                raise AlreadyInstalled(
                    f"{huey.name!r} has a kit with {current.settings.difference(settings)}; got "
                    f"{settings.difference(current.settings)}. Pass replace=True to replace it"
                )
            current.uninstall()
        kit._install()
        return kit


def uninstall_handlers(huey: Any) -> None:
    """Leave *huey* as it was before `install_handlers`; nothing happens when it has no kit."""
    check_huey(huey, "uninstall_handlers()")
    kit = get_kit(huey)
    if kit is not None:
        kit.uninstall()


def get_kit(huey: Any) -> Kit | None:
    """The kit that is installed on *huey*, or None."""
    check_huey(huey, "get_kit()")
    kit = getattr(huey, _ATTRIBUTE, None)
    return kit if isinstance(kit, Kit) and kit.huey is huey else None
