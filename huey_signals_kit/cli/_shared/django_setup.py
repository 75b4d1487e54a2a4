"""Set up Django projects as Huey's own command does, and explain what is missing."""

from __future__ import annotations

import os
import re
import sys
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from typing import Any

from ..._checks import nearest

DJANGO_HUEY = "django_huey"
SETTING = "DJANGO_SETTINGS_MODULE"
_IN_MANAGE = re.compile(rf"""['"]{SETTING}['"]\s*[,\]=)]+\s*['"]([\w.]+)['"]""")


def has_project() -> bool:
    """Return whether the environment names a Django project, and Django is installed."""
    return bool(os.environ.get(SETTING)) and find_spec("django") is not None


def load_tasks() -> None:
    """Set Django up and import the tasks of its apps, as ``manage.py run_huey`` does."""
    current_folder = os.getcwd()
    if not {"", current_folder} & set(sys.path):
        sys.path.insert(0, current_folder)
    set_up()
    from django.utils.module_loading import autodiscover_modules

    with redirect_stdout(sys.stderr):
        autodiscover_modules("tasks")


def set_up() -> None:
    """Set Django up; what its apps print goes to stderr."""
    import django

    with redirect_stdout(sys.stderr):
        django.setup()


def needs_set_up(exc: BaseException) -> bool:
    """Return whether `exc` means that Django's apps must be loaded first."""
    return _is_django_error(exc, "AppRegistryNotReady") and has_project()


def explain_missing_settings(exc: BaseException, huey_name: str) -> str | None:
    """Return a message if `exc` means that Django's settings were not found, else None.

    Args:
        exc: What the import of a module raised.
        huey_name: The name of the Huey on the command line.
    """
    setting = os.environ.get(SETTING)
    if not setting and _is_django_error(exc, "ImproperlyConfigured"):
        return (
            f"{huey_name} needs Django's settings, and the environment variable {SETTING} is not "
            f"set. Set it to the settings module of the project: {SETTING}={_example_setting()}"
        )
    if not setting or not isinstance(exc, ModuleNotFoundError) or exc.name is None:
        return None
    if not f"{setting}.".startswith(f"{exc.name}."):
        return None
    named_in_manage = _setting_in_manage()
    suggestion = nearest(setting, [named_in_manage]) if named_in_manage else ""
    return (
        f"{SETTING} is {setting!r}, and there is no module {exc.name!r} in {os.getcwd()} or on "
        f"Python's path.{suggestion} Run this command in the folder of manage.py, or correct "
        f"{SETTING}"
    )


def immediate_mode_hint(huey: Any) -> str:
    """Return a hint if `huey` is of djhuey or django-huey: its immediate mode follows DEBUG."""
    djhuey = sys.modules.get("huey.contrib.djhuey")
    if djhuey is not None and getattr(djhuey, "HUEY", None) is huey:
        setting = "HUEY"
    elif any(huey is each for each in _queues_of_django_huey().values()):
        setting = "a queue of DJANGO_HUEY"
    else:
        return ""
    return (
        f". In Django's settings, {setting} without 'immediate' takes the value of DEBUG: "
        "add 'immediate': False if a consumer works on the queue"
    )


def django_huey_queue(name: str) -> Any:
    """Return the Huey of a queue of django-huey; raise `LookupError` with a message if none.

    The module ``django_huey`` must have been imported.
    """
    queues = _queues_of_django_huey()
    if name in queues:
        return queues[name]
    names = ", ".join(f"{DJANGO_HUEY}:{each}" for each in queues)
    problem = f"DJANGO_HUEY has no queue {name!r}.{nearest(name, queues)}"
    raise LookupError(f"{problem if name else 'name a queue.'} The queues are {names}")


def _queues_of_django_huey() -> dict[str, Any]:
    config = getattr(sys.modules.get(DJANGO_HUEY), "config", None)
    return dict(getattr(config, "hueys_setting", None) or {})


def _is_django_error(exc: BaseException, name: str) -> bool:
    """Return whether `exc` is the exception `name` of Django, without importing Django."""
    cls = type(exc)
    return cls.__name__ == name and cls.__module__ == "django.core.exceptions"


def _example_setting() -> str:
    return _setting_in_manage() or "project.settings"


def _setting_in_manage() -> str | None:
    """Return the settings module that the manage.py of the current folder names."""
    with suppress(OSError, UnicodeDecodeError), open("manage.py", encoding="utf-8") as file:
        match = _IN_MANAGE.search(file.read())
        return match[1] if match else None
    return None
