"""Finds the Huey that is named on the command line, as Huey's own consumer does."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from huey.api import Huey

from ..._checks import nearest
from ...huey_internals.facts import real_huey
from ...store import is_shared
from . import django_setup
from .exits import CommandError, WrongUse
from .redact import without_secrets
from .storage_errors import describe_storage, is_storage_error, reason, storage_in
from .terminal import shown

_FORM = "write package.module.attribute, as for huey_consumer"
_OURS = (__file__, django_setup.__file__, importlib.__file__)
_LINES = 5
_LISTED = 10


def find_huey(name: str) -> Any:
    """The Huey at *name*, ``package.module.attribute`` or ``package.module:attribute``."""
    module_name, attribute = _split(name)
    module = _import(module_name, name)
    try:
        found = getattr(module, attribute)
    except AttributeError:
        if (inner := _module_in(module, attribute)) is not None:
            raise WrongUse(f"{name} is a module, not a Huey. {_hueys_told(inner)}") from None
        close = nearest(attribute, _names_of_hueys(module))
        problem = f"the module {module_name} has no attribute {attribute!r}.{close}"
        raise WrongUse(f"{problem} {_hueys_told(module)}") from None
    try:
        huey = real_huey(found)
    except Exception as exc:  # a lazy proxy makes its Huey here
        raise WrongUse(f"{name} cannot be made: {type(exc).__name__}: {shown(str(exc))}") from None
    if huey is None:
        raise WrongUse(f"{name} is {_kind(found)}, not a Huey. {_hueys_told(module, found)}")
    _refuse_memory(name, huey)
    return huey


def _split(name: str) -> tuple[str, str]:
    module, separator, attribute = name.rpartition(":" if ":" in name else ".")
    parts = [*module.split("."), attribute]
    if separator and all(part.isidentifier() for part in parts):
        return module, attribute
    if not separator and name.isidentifier():
        hueys = _hueys_told(_import(name, name))
        raise WrongUse(f"{name!r} names a module and no attribute; {_FORM}. {hueys}")
    raise WrongUse(f"{shown(name)!r} does not name a Huey; {_FORM}: tasks.huey")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _import(module: str, asked: str) -> ModuleType:
    try:
        return _load(module)
    except (Exception, SystemExit) as exc:
        if _has_storage(exc):
            storage = storage_in(exc.__traceback__)
            raise CommandError(
                f"importing {module} failed: cannot use {describe_storage(storage)}: {reason(exc)}"
            ) from None
        if isinstance(exc, ModuleNotFoundError) and _is_ours(exc, module):
            raise WrongUse(_not_found(module, exc.name or module, asked)) from None
        raise WrongUse(django_setup.missing(exc, asked) or _raised(module, exc)) from None


def _load(module: str) -> ModuleType:
    """Import the module as huey_consumer does: after any error again, with the current folder."""
    try:
        # What the module prints is no output of the command.
        with redirect_stdout(sys.stderr):
            return importlib.import_module(module)
    except Exception as exc:
        if _has_storage(exc):
            raise
        here = os.getcwd()
        if not {"", here} & set(sys.path):
            sys.path.insert(0, here)
            importlib.invalidate_caches()
            return _load(module)
        if not django_setup.needs_set_up(exc):
            raise
    django_setup.set_up()
    with redirect_stdout(sys.stderr):
        return importlib.import_module(module)


def _has_storage(exc: BaseException) -> bool:
    """Return whether the import failed on a storage: importing again would take as long."""
    return is_storage_error(exc) and storage_in(exc.__traceback__) is not None


def load_django_tasks() -> str | None:
    """Import the tasks of the Django project that the environment names, if any.

    Return a message if that failed: the command can answer without these tasks.
    """
    if not django_setup.is_installed():
        return None
    try:
        django_setup.load_tasks()
    except (Exception, SystemExit) as exc:
        why = django_setup.missing(exc, "") or _raised("its tasks", exc)
        return f"not all tasks of the Django project are known: {why}"
    return None


def _is_ours(exc: ModuleNotFoundError, module: str) -> bool:
    """Whether what is missing is the module that was asked for, and nobody else's import."""
    asked = exc.name is not None and f"{module}.".startswith(f"{exc.name}.")
    return asked and not list(_frames(exc))


def _frames(exc: BaseException) -> Iterator[traceback.FrameSummary]:
    """Those of the user's code."""
    for frame in traceback.extract_tb(exc.__traceback__):
        if frame.filename not in _OURS and "<frozen" not in frame.filename:
            yield frame


def _raised(module: str, exc: BaseException) -> str:
    lines = "".join(traceback.format_exception_only(exc)).strip().splitlines()
    if isinstance(exc, SystemExit):
        lines = [f"it ended the process, SystemExit: {exc.code}"]
    text = "\n  ".join(shown(without_secrets(line)) for line in lines[-_LINES:])
    frames = list(_frames(exc))
    where = f" ({_relative(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return f"importing {module} failed{where}:\n  {text}"


def _relative(path: str) -> str:
    here = os.getcwd() + os.sep
    return path[len(here) :] if path.startswith(here) else path


def _not_found(module: str, missing: str, asked: str) -> str:
    parent, _, last = missing.rpartition(".")
    if parent:
        package: Any = sys.modules[parent]
        paths = getattr(package, "__path__", None)
        if paths is None:
            return (
                f"no module {module}, looked for because of {asked!r}: {parent} is a module and "
                f"no package. {_hueys_told(package)}"
            )
        found = [each.name for each in iter_modules(paths)]
        return (
            f"no module {module}, looked for because of {asked!r}: the package {parent} has no "
            f"{last!r}.{nearest(last, found)}"
        )
    here = os.getcwd()
    found = [each.name for each in iter_modules([here])]
    return (
        f"no module {missing}, looked for because of {asked!r}, neither in {here} nor where "
        f"Python looks.{nearest(missing, found)} Run this where huey_consumer runs"
    )


def _module_in(package: ModuleType, name: str) -> ModuleType | None:
    full = f"{package.__name__}.{name}"
    return _import(full, full) if hasattr(package, "__path__") and _is_there(full) else None


def _names_of_hueys(module: ModuleType) -> list[str]:
    names = []
    for name, value in list(vars(module).items()):
        with suppress(Exception):  # a proxy may refuse to say what it is
            if isinstance(value, Huey):
                names.append(name)
    return names


def _hueys_told(module: ModuleType, found: Any = None) -> str:
    owner = found if isinstance(found, ModuleType) else module
    names = [f"{owner.__name__}.{name}" for name in _names_of_hueys(owner)]
    if not names:
        return f"The module {owner.__name__} has no Huey"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    noun = "this Huey" if len(names) == 1 else "these Hueys"
    return f"The module {owner.__name__} has {noun}: {', '.join(names[:_LISTED])}{more}"


def _kind(value: object) -> str:
    if isinstance(value, ModuleType):
        return "a module"
    if isinstance(value, type):
        return "a class"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _refuse_memory(name: str, huey: Any) -> None:
    if is_shared(huey.storage):
        return
    why = (
        "is in immediate mode, so its store is in the memory of the process that runs it"
        if huey.immediate
        else f"is a {type(huey).__name__}, whose store is in the memory of the process that runs it"
    )
    remedy = django_setup.why_immediate(huey) if huey.immediate else ""
    raise WrongUse(
        f"{name} {why}: this process cannot see it. Ask there, with kit.report() and the "
        f"like{remedy}"
    )
