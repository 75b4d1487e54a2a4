"""The setting ``HUEY_SIGNALS``: the arguments of `install_handlers` for each queue."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, get_args

from django.conf import settings
from django.utils.module_loading import import_string
from huey import MemoryHuey

from ... import install_handlers
from ..._checks import listed, name_of, nearest, short, validate_flag
from ..._settings import Settings
from ...kit import Kit
from ...presets import available_presets
from ...sinks.protocol import SinkName
from ._problems import Problem, describe_raised, hint_to_correct, raising_line, sentence

SETTING = "HUEY_SIGNALS"
QUEUES = "queues"
_DEFAULTS: dict[str, Any] = {
    name: parameter.default
    for name, parameter in inspect.signature(install_handlers).parameters.items()
    if parameter.default is not parameter.empty
}
_CODES = {"preset": "E003", "sinks": "E004"}
_INVALID = "E007"
_INSTALL = ": pip install "
_FLAG = "It takes True or False."
_HINTS = {
    "preset": "It takes a name, the path of a Registry, or a list of these.",
    "registry": "It takes the path of a Registry.",
    "sinks": "It takes names, paths of sinks, and paths of classes, which are called without "
    "arguments.",
    "lock_exceptions": "Write 'lock_exceptions': ['shop.errors.Busy'].",
    "clean_tokens": "It takes 'generated', 'always', 'never', or the path of a function of an "
    "event.",
    "sentry": _FLAG,
    "quiet_logs": _FLAG,
    "replace": _FLAG,
    "sweep_interval": "It takes a number of seconds above 0, or None.",
    "stale_locks": "It takes 'report' or 'release'.",
    "stale_after": "It takes a number of seconds, at least 30.",
}
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
            try:
                options[name] = _with_sinks({**common, **queue_options})
            except _UserCodeFailed as exc:  # only the second call of a class raises
                problems.append(_describe_failure(f"{SETTING}['sinks']", exc))
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
            _validate(name, options[name])
        except _UserCodeFailed as exc:
            problems.append(_describe_failure(place, exc))
        except (Exception, SystemExit) as exc:
            problems.append(_invalid_value(place, name, exc))
    return options, problems


class _UserCodeFailed(Exception):
    """The import of the object `path`, or the call of the class `path`, raised the cause."""

    def __init__(self, path: str, is_import: bool) -> None:
        self.path = path
        self.is_import = is_import


def _import(path: str) -> Any:
    try:
        return import_string(path)
    except (Exception, SystemExit) as exc:
        raise _UserCodeFailed(path, is_import=True) from exc


def _make(sink_class: type) -> Any:
    try:
        return sink_class()
    except (Exception, SystemExit) as exc:
        if isinstance(exc, ImportError) and _INSTALL in str(exc):
            raise  # from a sink of the kit
        raise _UserCodeFailed(name_of(sink_class), is_import=False) from exc


def _resolve(name: str, value: Any) -> Any:
    """Return the value of an argument, with objects in place of their dotted paths."""
    if name == "preset":
        return _map(value, lambda item: _import_path(item, available_presets()))
    if name == "sinks":
        return _map(value, lambda item: _import_path(item, get_args(SinkName)))
    if name == "clean_tokens":
        return _import_path(value)
    if name == "registry" and isinstance(value, str):
        return _import(value)
    if name == "lock_exceptions" and value is not None:
        items = value if isinstance(value, (list, tuple)) else (value,)
        return tuple(_import(item) if isinstance(item, str) else item for item in items)
    return value


def _map(value: Any, resolve: Callable[[Any], Any]) -> Any:
    return [resolve(item) for item in value] if isinstance(value, (list, tuple)) else resolve(value)


def _import_path(value: Any, names: Iterable[str] = ()) -> Any:
    """Return the object of a dotted path; anything else, and each of the `names`, as it is."""
    is_path = isinstance(value, str) and "." in value and value not in names
    return _import(value) if is_path else value


def _with_sinks(options: Options) -> Options:
    """Return the arguments with instances of sinks that are classes: each queue has its own."""
    if "sinks" not in options:
        return options
    sinks = _map(options["sinks"], lambda item: _make(item) if isinstance(item, type) else item)
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
        example = '{"preset": "observe"}'
        if where.count("[") == 1:
            example = f'{{"mails": {example}}}'
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


def _describe_failure(where: str, failure: _UserCodeFailed) -> Problem:
    exc, path = failure.__cause__, failure.path
    assert exc is not None
    if not failure.is_import:
        return Problem(
            "E004",
            f"{where}: calling the class {path} without arguments raised {describe_raised(exc)}.",
            "Correct the class, or write the path of an instance.",
        )
    if raising_line(exc) or isinstance(exc, SyntaxError):
        module = path.rpartition(".")[0]
        return Problem(
            "E006",
            f"{where}: importing {module} raised {describe_raised(exc)}.",
            hint_to_correct(module),
        )
    return Problem(
        "E006",
        f"{where}: there is no {path!r}: {sentence(str(exc))}",
        "Write the path of the object as package.module.name.",
    )


def _invalid_value(where: str, name: str, exc: BaseException) -> Problem:
    """Return the problem for an argument that the kit has refused with `exc`."""
    text, _, package = str(exc).partition(_INSTALL)
    if isinstance(exc, ImportError) and package:
        return Problem("E005", sentence(f"{where}: {text}"), f"Run: pip install {package}")
    return Problem(_CODES.get(name, _INVALID), sentence(f"{where}: {exc}"), _HINTS[name])
