"""Django projects: what Huey's own command does before it runs, and what can be missing."""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from typing import Any

from .._checks import nearest

SETTING = "DJANGO_SETTINGS_MODULE"
_IN_MANAGE = re.compile(rf"""['"]{SETTING}['"]\s*[,\]=)]+\s*['"]([\w.]+)['"]""")


def is_installed() -> bool:
    """Return whether a Django project is named in the environment, and Django is there."""
    return bool(os.environ.get(SETTING)) and find_spec("django") is not None


def load_tasks() -> None:
    """Set Django up and import the tasks of its apps, as ``manage.py run_huey`` does."""
    here = os.getcwd()
    if not {"", here} & set(sys.path):
        sys.path.insert(0, here)
    set_up()
    from django.utils.module_loading import autodiscover_modules

    with redirect_stdout(sys.stderr):
        autodiscover_modules("tasks")


def set_up() -> None:
    """Set Django up; what apps print is no result of a command."""
    import django

    with redirect_stdout(sys.stderr):
        django.setup()


def needs_set_up(exc: BaseException) -> bool:
    """Return whether *exc* says that Django's apps have to be loaded first."""
    return _is(exc, "AppRegistryNotReady") and is_installed()


def missing(exc: BaseException, asked: str) -> str | None:
    """Return what to say where *exc* means that Django's settings were not found, or None.

    Args:
        exc: What the import of a module raised.
        asked: The name of the Huey on the command line.
    """
    setting = os.environ.get(SETTING)
    if not setting and _is(exc, "ImproperlyConfigured"):
        return (
            f"{asked} needs Django's settings, and the environment variable {SETTING} is not set. "
            f"Set it to the settings module of the project: {SETTING}={_guess()}"
        )
    if not setting or not isinstance(exc, ModuleNotFoundError) or exc.name is None:
        return None
    if not f"{setting}.".startswith(f"{exc.name}."):
        return None
    guess = _from_manage()
    close = nearest(setting, [guess]) if guess else ""
    return (
        f"{SETTING} is {setting!r}, and there is no module {exc.name!r}, neither in {os.getcwd()} "
        f"nor where Python looks.{close} Run this in the folder of manage.py, or correct {SETTING}"
    )


def why_immediate(huey: Any) -> str:
    """Return what to add where *huey* is in immediate mode: Django's takes that from DEBUG."""
    djhuey = sys.modules.get("huey.contrib.djhuey")
    if djhuey is None or getattr(djhuey, "HUEY", None) is not huey:
        return ""
    return (
        ". In Django's settings, HUEY without 'immediate' has that of DEBUG: "
        "add 'immediate': False to it for a queue that a consumer works on"
    )


def _is(exc: BaseException, name: str) -> bool:
    found = type(exc)
    return found.__name__ == name and found.__module__ == "django.core.exceptions"


def _guess() -> str:
    return _from_manage() or "project.settings"


def _from_manage() -> str | None:
    """Return the settings module that the manage.py of the current folder names."""
    with suppress(OSError, UnicodeDecodeError), open("manage.py", encoding="utf-8") as file:
        found = _IN_MANAGE.search(file.read())
        return found[1] if found else None
    return None
