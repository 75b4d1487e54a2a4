"""The system checks ``huey_signals.E001`` and so on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.urls import get_resolver

from ..._checks import short
from ...dispatch.task_option import hint_for_invalid
from ...huey_internals.facts import class_name
from ._formatter import FORMATTER, read_formatter
from ._handlers import import_module_of
from ._installation import installation
from ._options import SETTING
from ._problems import Problem, describe_raised, hint_to_correct
from ._queues import Queue

_SETTINGS = (SETTING, FORMATTER)


def check_project(**_: Any) -> list[Any]:
    """Return what is wrong with the settings, the handlers and the tasks of the project."""
    problems = [
        *installation.problems,
        *_immediate_queues(),
        *_invalid_tasks(),
        *_missing_packages_of_page(),
        *_invalid_formatter(),
        *_misspelt_settings(),
    ]
    return [
        CheckMessage(each.level, each.text, hint=each.hint, id=f"huey_signals.{each.code}")
        for each in problems
    ]


def _immediate_queues() -> Iterator[Problem]:
    for queue in installation.queues:
        if queue.huey.immediate and settings.DEBUG and _follows_debug(queue):
            yield Problem(
                "W001",
                f"The queue {queue.name!r} is in immediate mode because DEBUG is True: no consumer "
                "gets its tasks.",
                f"Add 'immediate': False to {queue.where} if a consumer works on the queue, and "
                "'immediate': True if none does.",
            )


def _follows_debug(queue: Queue) -> bool:
    return queue.setting is not None and "immediate" not in queue.setting


def _invalid_tasks() -> Iterator[Problem]:
    yield from _import_tasks()
    for queue in installation.queues:
        for task in list(queue.huey._registry._registry.values()):
            option = getattr(task, "lock_errors", None)
            hint = None if option is None else hint_for_invalid(option)
            if hint is not None:
                yield Problem(
                    "E009", f"The task {class_name(task)} has lock_errors={short(option)}.", hint
                )


def _import_tasks() -> Iterator[Problem]:
    """Import the tasks of every app, if the command is ``check``: others may do without them."""
    if sys.argv[1:2] != ["check"]:
        return
    for app in apps.get_app_configs():
        module = f"{app.name}.tasks"
        exc = import_module_of(app, "tasks")
        if exc is not None:
            yield Problem(
                "W005",
                f"The tasks in {module} were not checked: importing it raised "
                f"{describe_raised(exc)}.",
                f"A consumer cannot start either. {hint_to_correct(module)}",
            )


def _missing_packages_of_page() -> Iterator[Problem]:
    if find_spec("jinja2") is not None:
        return
    with suppress(Exception):  # Django's own checks report it
        _ = get_resolver().url_patterns  # imports the modules that they include
    if f"{__package__}.urls" in sys.modules:
        yield Problem(
            "E013",
            f"The URLs of the project include {__package__}.urls, which need Jinja2, and it is not "
            "installed.",
            "Run: pip install 'huey-signals-kit[web]'",
        )


def _invalid_formatter() -> Iterator[Problem]:
    try:
        read_formatter()
    except (Exception, SystemExit) as exc:
        yield Problem(
            "E014",
            f"{FORMATTER} = {short(getattr(settings, FORMATTER))}: {_describe(exc)}.",
            "It takes a function (name, args, kwargs), or the path of one.",
        )


def _misspelt_settings() -> Iterator[Problem]:
    for name in dir(settings):
        if name.startswith("HUEY") and name not in _SETTINGS:
            for meant in get_close_matches(name, _SETTINGS, 1, cutoff=0.9):
                if name.startswith(f"{meant}_"):  # a setting of the project's own
                    continue
                yield Problem("W006", f"The setting {name} is unknown.", f"Did you mean {meant}?")


def _describe(exc: BaseException) -> str:
    return str(exc) if isinstance(exc, TypeError) else describe_raised(exc)
