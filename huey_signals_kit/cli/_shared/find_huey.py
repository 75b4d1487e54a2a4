"""Find the Huey that is named on the command line, as Huey's own consumer does.

A wrong name is the most common mistake with these commands, so most of this file is about telling
the user what was looked for, what was found instead, and which Hueys there are.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from huey.api import Huey

from ..._checks import nearest
from ...huey_internals.facts import real_huey
from ...store import is_shared
from ...store.redact import redact
from . import django_setup
from .exits import CommandError, UsageError
from .storage_errors import describe_error, describe_storage, find_storage, is_storage_error
from .terminal import printable
from .wording import join_limited

_FORMAT = "write package.module.attribute, as for huey_consumer"
_PACKAGE = str(Path(__file__).parents[2])
_MAX_LINES = 5
_MAX_HUEYS = 10


def find_huey(name: str) -> Any:
    """Return the Huey named ``package.module.attribute`` or ``package.module:attribute``.

    A queue of django-huey, which is not a module attribute, is named ``django_huey:queue``.

    Raises:
        UsageError: There is no such Huey, importing its module fails, or its data is in the memory
            of another process.
        CommandError: Importing its module fails because its storage cannot be used.
    """
    module_name, attribute = _split(name)
    module = _import(module_name, name)
    try:
        if module_name == django_setup.DJANGO_HUEY:
            value = django_setup.django_huey_queue(attribute)
        else:
            value = getattr(module, attribute)
    except LookupError as exc:
        raise UsageError(printable(str(exc))) from None
    except AttributeError:
        if (submodule := _import_submodule(module, attribute)) is not None:
            raise UsageError(f"{name} is a module, not a Huey. {_list_hueys(submodule)}") from None
        suggestion = nearest(attribute, _huey_names(module))
        problem = f"the module {module_name} has no attribute {attribute!r}.{suggestion}"
        raise UsageError(f"{problem} {_list_hueys(module)}") from None
    try:
        huey = real_huey(value)
    except Exception as exc:  # a lazy proxy creates its Huey here
        error = f"{type(exc).__name__}: {printable(str(exc))}"
        raise UsageError(f"{name} cannot be created: {error}") from None
    if huey is None:
        owner = value if isinstance(value, ModuleType) else module
        raise UsageError(f"{name} is {_describe_type(value)}, not a Huey. {_list_hueys(owner)}")
    _validate_storage_is_shared(name, huey)
    return huey


def _split(name: str) -> tuple[str, str]:
    """Return the module and the attribute that `name` consists of."""
    module, separator, attribute = name.rpartition(":" if ":" in name else ".")
    if module == django_setup.DJANGO_HUEY or name == django_setup.DJANGO_HUEY:
        return django_setup.DJANGO_HUEY, attribute if separator else ""
    parts = [*module.split("."), attribute]
    if separator and all(part.isidentifier() for part in parts):
        return module, attribute
    if not separator and name.isidentifier():
        hueys = _list_hueys(_import(name, name))
        raise UsageError(f"{name!r} names a module and no attribute; {_FORMAT}. {hueys}")
    raise UsageError(f"{printable(name)!r} does not name a Huey; {_FORMAT}: tasks.huey")


def _module_exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _import(module: str, huey_name: str) -> ModuleType:
    """Import `module`, and turn what goes wrong into a message that names `huey_name`."""
    try:
        return _load(module)
    except (Exception, SystemExit) as exc:
        if _is_raised_by_storage(exc):
            storage = describe_storage(find_storage(exc.__traceback__))
            raise CommandError(
                f"importing {module} failed: cannot use {storage}: {describe_error(exc)}"
            ) from None
        if isinstance(exc, ModuleNotFoundError) and _is_requested_module(exc, module):
            raise UsageError(
                _describe_missing_module(module, exc.name or module, huey_name)
            ) from None
        settings_problem = django_setup.explain_missing_settings(exc, huey_name)
        raise UsageError(settings_problem or _describe_import_error(module, exc)) from None


def _load(module: str) -> ModuleType:
    """Import `module`, with up to two retries.

    The first import fails for the script ``huey-signals``, on whose path the current folder is not,
    and for modules that need Django's apps. Huey's consumer adds the folder after any error, and so
    does this. What the module prints goes to stderr, as it is not an output of the command.
    """
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(module)
    except Exception as exc:
        if _is_raised_by_storage(exc):
            raise
        current_folder = os.getcwd()
        if not {"", current_folder} & set(sys.path):
            sys.path.insert(0, current_folder)
            importlib.invalidate_caches()
            return _load(module)
        if not django_setup.needs_set_up(exc):
            raise
    django_setup.set_up()
    with redirect_stdout(sys.stderr):
        return importlib.import_module(module)


def _is_raised_by_storage(exc: BaseException) -> bool:
    """Return whether a storage raised `exc`; importing again would fail after the same wait."""
    return is_storage_error(exc) and find_storage(exc.__traceback__) is not None


def load_django_tasks() -> str | None:
    """Import the tasks of the Django project that the environment names, if any.

    Return a message if that failed. It is not a reason to end the command, which can answer without
    these tasks.
    """
    if not django_setup.has_project():
        return None
    try:
        django_setup.load_tasks()
    except (Exception, SystemExit) as exc:
        reason = django_setup.explain_missing_settings(exc, "")
        reason = reason or _describe_import_error("its tasks", exc)
        return f"not all tasks of the Django project are known: {reason}"
    return None


def _is_requested_module(exc: ModuleNotFoundError, module: str) -> bool:
    """Return whether `module` itself is missing, not a module that user code imports."""
    is_part_of_name = exc.name is not None and f"{module}.".startswith(f"{exc.name}.")
    return is_part_of_name and not list(_user_frames(exc))


def _user_frames(exc: BaseException) -> Iterator[traceback.FrameSummary]:
    """Yield the frames of the traceback that belong to user code, outermost first."""
    for frame in traceback.extract_tb(exc.__traceback__):
        is_kit = frame.filename.startswith(_PACKAGE + os.sep)
        if not is_kit and frame.filename != importlib.__file__ and "<frozen" not in frame.filename:
            yield frame


def _describe_import_error(module: str, exc: BaseException) -> str:
    """Return the place and the last lines of an error that importing `module` raised."""
    lines = "".join(traceback.format_exception_only(exc)).strip().splitlines()
    if isinstance(exc, SystemExit):
        lines = [f"it ended the process, SystemExit: {exc.code}"]
    text = "\n  ".join(printable(redact(line)) for line in lines[-_MAX_LINES:])
    frames = list(_user_frames(exc))
    where = f" ({_relative(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return f"importing {module} failed{where}:\n  {text}"


def _relative(path: str) -> str:
    """Return `path` relative to the current folder, if it is inside it."""
    return path.removeprefix(os.getcwd() + os.sep)


def _describe_missing_module(module: str, missing: str, huey_name: str) -> str:
    """Return a message about a module that does not exist.

    Args:
        module: The module to import.
        missing: The part of its name that was not found: `module` or one of its parents.
        huey_name: The name of the Huey on the command line.
    """
    parent, _, last = missing.rpartition(".")
    start = f"there is no module {module} for {huey_name!r}"
    if parent:
        package: Any = sys.modules[parent]
        paths = getattr(package, "__path__", None)
        if paths is None:
            return f"{start}: {parent} is a module, not a package. {_list_hueys(package)}"
        names = [module_info.name for module_info in iter_modules(paths)]
        return f"{start}: the package {parent} has no {last!r}.{nearest(last, names)}"
    current_folder = os.getcwd()
    names = [module_info.name for module_info in iter_modules([current_folder])]
    return (
        f"there is no module {missing} for {huey_name!r} in {current_folder} or on Python's path."
        f"{nearest(missing, names)} Run this command where huey_consumer runs"
    )


def _import_submodule(package: ModuleType, name: str) -> ModuleType | None:
    full = f"{package.__name__}.{name}"
    if not hasattr(package, "__path__") or not _module_exists(full):
        return None
    return _import(full, full)


def _huey_names(module: ModuleType) -> list[str]:
    """Return the names of the attributes of `module` that are Hueys."""
    names = []
    for name, value in list(vars(module).items()):
        with suppress(Exception):  # isinstance() asks a proxy for its class, which may raise
            if isinstance(value, Huey):
                names.append(name)
    return names


def _list_hueys(module: ModuleType) -> str:
    """Return a sentence that names the Hueys in `module`."""
    names = [f"{module.__name__}.{name}" for name in _huey_names(module)]
    if not names:
        return f"The module {module.__name__} has no Huey"
    noun = "this Huey" if len(names) == 1 else "these Hueys"
    return f"The module {module.__name__} has {noun}: {join_limited(names, _MAX_HUEYS)}"


def _describe_type(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return "a class"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _validate_storage_is_shared(name: str, huey: Any) -> None:
    """Raise `UsageError` if the data of `huey` is in the memory of another process.

    This process has a storage of its own then, which is empty: a report on it would mislead.
    """
    if is_shared(huey.storage):
        return
    kind = "in immediate mode" if huey.immediate else f"a {type(huey).__name__}"
    hint = django_setup.immediate_mode_hint(huey) if huey.immediate else ""
    raise UsageError(
        f"{name} is {kind}: its data is in the memory of the process that runs it, where this "
        f"command cannot read it. Call kit.report() and the like in that process{hint}"
    )
