"""Create the sinks that the argument `sinks` of `install_handlers` names, and validate others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any, get_args

from .._checks import listed, name_of, nearest, short, validate_seconds, validate_synchronous
from .protocol import DEFAULT_INTERVAL, PullSink, Sink, SinkName

_BUILT_IN = {
    "prometheus": ("prometheus", "PrometheusSink", "prometheus_client", "prometheus"),
    "opentelemetry": ("opentelemetry", "OpenTelemetrySink", "opentelemetry", "opentelemetry"),
    "sentry": ("sentry", "SentrySink", "sentry_sdk", "sentry"),
}
"""By name: the module in this folder, the class, the package that it needs, and the extra."""
_NAMES = get_args(SinkName)


def read_sinks(items: tuple[object, ...]) -> list[Sink | PullSink]:
    """Return the sinks for an argument `sinks`: built-in ones by name, then the user's own.

    ``"memory"`` is not a sink, because the counts are in memory anyway. ``"auto"`` means all
    built-in sinks whose package this process has imported and set up.

    Args:
        items: Names and sinks.

    Raises:
        TypeError: An item is a class, or has no suitable method ``send``.
        ValueError: A name is unknown, or an interval is not a number of seconds.
        ModuleNotFoundError: The package of a built-in sink is not installed.
    """
    sinks: list[Sink | PullSink] = []
    for name in dict.fromkeys(_names_in(items)):
        sinks += _built_in(name)
    for item in items:
        if not isinstance(item, str) and not any(item is sink for sink in sinks):
            sinks.append(_validate_sink(item))
    return sinks


def _names_in(items: tuple[object, ...]) -> list[str]:
    names = [item for item in items if isinstance(item, str)]
    set_up = [name for name in _BUILT_IN if _is_set_up[name]()] if "auto" in names else []
    return [name for name in (*names, *set_up) if name != "auto"]


def interval_of(sink: object) -> float:
    """Return the seconds between two calls of a sink.

    Raises:
        TypeError: The attribute `interval` is not a number.
        ValueError: The attribute is out of range, or raises an exception.
    """
    who = f"interval of the sink {sink_name(sink)}"
    try:
        interval = getattr(sink, "interval", DEFAULT_INTERVAL)
    except Exception as exc:
        raise ValueError(f"{who} raises {short(exc)}; it is a number of seconds") from exc
    return validate_seconds(interval, who)


def sink_name(sink: object) -> str:
    """Return the name of a sink in logs and in ``huey_handler_errors_total``."""
    name = getattr(sink, "name", None)
    return name if isinstance(name, str) and name else name_of(type(sink))


def _validate_sink(sink: Any) -> Sink | PullSink:
    if isinstance(sink, type):
        raise TypeError(
            f"sinks= got the class {name_of(sink)}; make a sink of it: {sink.__name__}()"
        )
    if isinstance(sink, PullSink):
        return sink
    if not callable(getattr(sink, "send", None)):
        raise TypeError(
            f"sinks= got {short(sink)}, which has no method send(changes); "
            f"give an object that has, or one of {listed(_NAMES)}"
        )
    _validate_send(sink)
    interval_of(sink)
    valid: Sink = sink
    return valid


def _validate_send(sink: Any) -> None:
    who = f"send of the sink {sink_name(sink)}"
    validate_synchronous(sink.send, who)
    try:
        signature(sink.send).bind([])
    except TypeError:
        raise TypeError(
            f"{who} takes {signature(sink.send)}; it must take one argument, the list of changes"
        ) from None
    except ValueError:
        pass  # a builtin that hides its signature


def _built_in(name: str) -> list[Sink | PullSink]:
    if name == "memory":
        return []
    if name not in _BUILT_IN:
        raise ValueError(
            f"sinks= got {name!r}.{nearest(name, _NAMES)} The sinks are {listed(_NAMES)}, "
            "and objects with a method send(changes)"
        )
    return [_create(name)]


def _create(name: str) -> Sink | PullSink:
    module, cls, package, extra = _BUILT_IN[name]
    try:
        sink: Sink | PullSink = getattr(import_module(f".{module}", __package__), cls)()
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(
            f"the sink {name!r} needs {package}, which is not installed: "
            f"pip install 'huey-signals-kit[{extra}]'",
            name=exc.name,
        ) from exc
    return sink


def _prometheus_is_set_up() -> bool:
    return sys.modules.get("prometheus_client") is not None


def _opentelemetry_is_set_up() -> bool:
    api: Any = sys.modules.get("opentelemetry.metrics")
    if api is None:
        return False
    # Without an SDK, the API has providers of its own, which record nothing.
    provider = type(api.get_meter_provider())
    return not f"{provider.__module__}.".startswith("opentelemetry.metrics.")


def _sentry_is_set_up() -> bool:
    sdk: Any = sys.modules.get("sentry_sdk")
    if sdk is None or not sdk.is_initialized():
        return False
    from .sentry import can_count

    return can_count()


_is_set_up: dict[str, Callable[[], bool]] = {
    "prometheus": _prometheus_is_set_up,
    "opentelemetry": _opentelemetry_is_set_up,
    "sentry": _sentry_is_set_up,
}
"""By name: a function that returns whether ``"auto"`` includes the sink."""
