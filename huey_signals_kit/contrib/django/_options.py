"""The setting ``HUEY_SIGNALS``: the arguments of `install_handlers` for each queue."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, get_args

from django.conf import settings
from django.utils.module_loading import import_string
from huey import MemoryHuey

from ... import install_handlers
from ..._checks import listed, nearest, short, validate_flag
from ..._settings import Settings
from ...kit import Kit
from ...presets import available_presets
from ...sinks.protocol import SinkName
from ._problems import Problem, make_problem

SETTING = "HUEY_SIGNALS"
QUEUES = "queues"
_DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(install_handlers).parameters.items()
    if parameter.default is not parameter.empty
}
_CODES = {"preset": "E003", "sinks": "E004"}
_INVALID = "E007"
Options = dict[str, Any]


def read_options(queue_names: Iterable[str]) -> tuple[dict[str, Options], list[Problem]]:
    """Return the arguments by queue, and all mistakes; a queue with a mistake has no arguments.

    Args:
        queue_names: The names of the queues of the project.
    """
    setting = getattr(settings, SETTING, None)
    setting = {} if setting is None else setting
    if not isinstance(setting, dict):
        return {}, [_no_dict(SETTING, setting)]
    problems: list[Problem] = []
    queue_settings = setting.get(QUEUES, {})
    where = f"{SETTING}[{QUEUES!r}]"
    if not isinstance(queue_settings, dict):
        problems.append(_no_dict(where, queue_settings))
        queue_settings = {}
    common, mistakes = _read({k: v for k, v in setting.items() if k != QUEUES}, SETTING)
    is_common_valid = not mistakes and not problems
    problems += mistakes
    options = {}
    for name in queue_names:
        queue_options, mistakes = _read(queue_settings.get(name, {}), f"{where}[{name!r}]")
        problems += mistakes
        if is_common_valid and not mistakes:
            options[name] = _with_sinks({**common, **queue_options})
    problems += [
        _unknown_queue(where, name, queue_names)
        for name in queue_settings
        if name not in queue_names
    ]
    return options, problems


def _read(given: object, where: str) -> tuple[Options, list[Problem]]:
    """Return the arguments in a dict of settings, and what is wrong with them."""
    if not isinstance(given, dict):
        return {}, [_no_dict(where, given)]
    options: Options = {}
    problems: list[Problem] = []
    for name, value in given.items():
        place = f"{where}[{name!r}]"
        if name not in _DEFAULTS:
            problems.append(_unknown_argument(place, name, value))
            continue
        try:
            options[name] = _resolve(name, value)
        except (Exception, SystemExit) as exc:  # user code runs here
            problems.append(_bad_path(place, value, exc))
            continue
        try:
            _validate(name, options[name])
        except ImportError as exc:
            problems.append(make_problem("E005", place, exc))
        except Exception as exc:
            problems.append(make_problem(_CODES.get(name, _INVALID), place, exc))
    return options, problems


def _resolve(name: str, value: Any) -> Any:
    """Return the value of an argument, with objects in place of their dotted paths."""
    if name == "preset":
        return _map(value, lambda item: _import_path(item, available_presets()))
    if name == "sinks":
        return _map(value, lambda item: _import_path(item, get_args(SinkName)))
    if name == "clean_tokens":
        return _import_path(value)
    if name == "registry" and isinstance(value, str):
        return import_string(value)
    if name == "lock_exceptions" and value is not None:
        items = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(import_string(item) if isinstance(item, str) else item for item in items)
    return value


def _map(value: Any, resolve: Callable[[Any], Any]) -> Any:
    return [resolve(item) for item in value] if isinstance(value, (list, tuple)) else resolve(value)


def _import_path(value: Any, names: Iterable[str] = ()) -> Any:
    """Return the object of a dotted path; anything else, and each of the `names`, as it is."""
    is_path = isinstance(value, str) and "." in value and value not in names
    return import_string(value) if is_path else value


def _with_sinks(options: Options) -> Options:
    """Return the arguments with instances of sinks that are classes: each queue has its own."""
    if "sinks" not in options:
        return options
    sinks = _map(options["sinks"], lambda item: item() if isinstance(item, type) else item)
    return {**options, "sinks": sinks}


def _validate(name: str, value: Any) -> None:
    """Raise what `install_handlers` would raise for this argument alone, without a Huey."""
    if name == "replace":
        validate_flag(value, "replace=")
        return
    arguments = {each: default for each, default in _DEFAULTS.items() if each != "replace"}
    Kit(MemoryHuey("settings"), Settings.read(**_with_sinks({**arguments, name: value})))


def _no_dict(where: str, given: object) -> Problem:
    example = '{"preset": "quiet-locks"}'
    if where.startswith(f"{SETTING}[{QUEUES!r}]"):
        example = '{"preset": "observe"}' if where.count("[") > 1 else '{"mails": {"preset": ...}}'
    return Problem("E001", f"{where} is not a dict: {short(given)}.", f"Write {where} = {example}.")


def _unknown_argument(where: str, name: object, value: object) -> Problem:
    known = [*_DEFAULTS, *([] if where.count("[") > 1 else [QUEUES])]
    hint = f"{nearest(name, known)} The arguments are {listed(known)}.".strip()
    return Problem(
        "E002", f"{where} = {short(value)} is not an argument of install_handlers.", hint
    )


def _unknown_queue(where: str, name: object, known: Iterable[str]) -> Problem:
    hint = f"{nearest(name, known)} The queues are {listed(known)}.".strip()
    return Problem("E008", f"{where}[{short(name)}]: the project has no such queue.", hint)


def _bad_path(where: str, value: object, exc: BaseException) -> Problem:
    return Problem(
        "E006",
        f"{where}: {short(value)} cannot be imported: {type(exc).__name__}: {exc}.",
        "Write the path of the object as package.module.name.",
    )
