"""Generate the reference page from docstrings, signatures and the options of the commands.

It uses `inspect` and the commands as Typer has built them, so it needs no package beyond those of
the tests, and what it prints is what Python and ``--help`` show. A generator for sites, such as
griffe with mkdocs, would add a site to publish for a dozen objects.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

PAGE = Path(__file__).parents[2] / "recipes" / "reference.md"
PACKAGE = "huey_signals_kit"
MODULES = (
    "",
    "handlers",
    "presets",
    "signals",
    "sinks",
    "sinks.prometheus",
    "sinks.opentelemetry",
    "integrations.opentelemetry",
    "upkeep",
    "testing",
    "testing.pytest_plugin",
    "web",
    "contrib.django",
)
"""The public modules, in the order of the page."""

_INTRODUCTION = """\
# Reference

Generated from the docstrings and the options of the commands; do not edit. After a change, run
`python -m tests.reference`. A test compares this page with them.
"""


def public_names(name: str) -> list[str]:
    """Return the public names of a module of the package, in the order of the page.

    Args:
        name: The name of the module below the package; empty for the package itself.
    """
    module = _module(name)
    names = getattr(module, "__all__", None)
    if names is None:
        names = [key for key, value in vars(module).items() if _is_own(module, key, value)]
    return sorted(names, key=lambda each: (each.lower(), each))


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command with its full name, as Click has it."""
    from huey_signals_kit.cli._app import app

    typer = import_module("typer")
    yield from _below("huey-signals", typer.main.get_command(app))


def settings() -> dict[str, str]:
    """Return the settings of the Django app: the arguments in ``HUEY_SIGNALS``, and the others."""
    documented = _arguments(inspect.getdoc(import_module(PACKAGE).install_handlers) or "")
    return {name: text for name, text in documented.items() if name not in ("huey", "**unknown")}


def render() -> str:
    """Return the whole page."""
    parts = [_INTRODUCTION]
    for name in MODULES:
        full = f"{PACKAGE}.{name}".rstrip(".")
        parts.append(f"## {full}\n")
        module = _module(name)
        parts.append(_text(module))
        parts += [_render(each, getattr(module, each), module) for each in public_names(name)]
    parts.append("## Django settings\n")
    parts.append(
        "`HUEY_SIGNALS` is a dict of these arguments of `install_handlers`, and `queues`: a dict\n"
        "with the arguments of each queue of django-huey. [Django](django.md) has the rest.\n"
    )
    parts += [f"- `{name}`: {text}\n" for name, text in settings().items()]
    parts.append(
        "`HUEY_SIGNALS_FORMAT_ARGUMENTS` is the path of a function that formats the arguments of\n"
        "tasks for the web interface.\n"
    )
    parts.append("## Commands\n")
    parts += [_render_command(name, command) for name, command in commands()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _module(name: str) -> ModuleType:
    return import_module(f"{PACKAGE}.{name}".rstrip("."))


def _is_own(module: ModuleType, name: str, value: Any) -> bool:
    """Return whether a module without ``__all__`` has defined a public name itself."""
    if name.startswith("_") or inspect.ismodule(value) or isinstance(value, TypeVar):
        return False
    return getattr(value, "__module__", module.__name__) == module.__name__ or (
        type(value).__module__ == "blinker.base" and type(value).__name__ == "NamedSignal"
    )


def _render(name: str, value: Any, module: ModuleType) -> str:
    parts = [f"### {name}\n"]
    if issubclass(type(value), type):  # in Python 3.10, an alias says that it is a class
        parts.append(_text(value))
        parts += [f"- `{each}`: {text}" for each, text in _attributes(value).items()]
        parts.append("")
        for member, found in sorted(vars(value).items()):
            function = getattr(found, "__func__", found)
            if not member.startswith("_") and inspect.isfunction(function):
                parts.append(f"#### {name}.{member}\n\n{_signature(member, function)}")
                parts.append(_text(function))
            elif not member.startswith("_") and isinstance(found, property):
                parts.append(f"#### {name}.{member}\n\n{_text(found)}")
    elif inspect.isroutine(value):
        parts += [_signature(name, value), _text(value)]
    else:
        parts.append(f"{_describe_constant(name, value, module)}\n")
    return "\n".join(parts)


def _describe_constant(name: str, value: Any, module: ModuleType) -> str:
    if type(value).__name__ == "NamedSignal":
        return str(value.__doc__).replace("``", "`")
    shown = f"`{value!r}`. " if isinstance(value, (str, int, float, tuple)) else ""
    for file in sorted(Path(inspect.getfile(module)).parent.rglob("*.py")):
        found = _documented(ast.parse(file.read_text()).body).get(name)
        if found:
            return shown + found
    return shown.rstrip()


def _attributes(cls: type) -> dict[str, str]:
    """Return the attributes of a class with the text below each.

    A field without a text is returned with its type, unless its docstring describes the argument.
    """
    file = Path(str(import_module(cls.__module__).__file__))
    nodes = ast.walk(ast.parse(file.read_text()))
    tree = next((n for n in nodes if isinstance(n, ast.ClassDef) and n.name == cls.__name__), None)
    if tree is None:  # a class that something else than a class statement has made
        return {}
    documented = _documented(tree.body)
    arguments = _arguments(inspect.getdoc(cls) or "")
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if not name.startswith("_") and name not in arguments:
                documented.setdefault(name, f"`{ast.unparse(node.annotation)}`")
    return {name: text for name, text in documented.items() if not name.startswith("_")}


def _documented(body: list[ast.stmt]) -> dict[str, str]:
    """Return the names that have a text below their assignment."""
    found: dict[str, str] = {}
    for node, below in pairwise(body):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if is_text and isinstance(below.value.value, str):
            text = " ".join(below.value.value.replace("``", "`").split())
            names = [each.id for target in targets for each in _names(target)]
            found.update(dict.fromkeys(names, text))
    return found


def _names(target: Any) -> list[ast.Name]:
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    return [part for part in parts if isinstance(part, ast.Name)]


class _Default:
    """A default that is shown as source text."""

    def __init__(self, value: Any) -> None:
        name = getattr(value, "__qualname__", repr(value))
        self._text = "..." if "lambda" in name or " at 0x" in name else name

    def __repr__(self) -> str:
        return self._text


def _signature(name: str, function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [
        each if each.default is each.empty else each.replace(default=_Default(each.default))
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]
    text = str(signature.replace(parameters=parameters))
    for annotation in (signature.return_annotation, *(each.annotation for each in parameters)):
        if isinstance(annotation, str):
            text = text.replace(repr(annotation), annotation)
    return f"```python\n{name}{text}\n```\n"


def _text(value: Any) -> str:
    """Return the docstring as Markdown: its lists of arguments are lists."""
    lines = (inspect.getdoc(value) or "").replace("``", "`").replace("::\n", ":\n").splitlines()
    text, is_list = [], False
    for line in lines:
        if re.fullmatch(r"(Args|Raises|Returns|Yields):", line):
            text += [f"{line[:-1]}:" if text else line, ""]
            is_list = True
            continue
        is_list = is_list and (not line or line.startswith(" "))
        entry = re.match(r"    ([\w.*]+): (.*)", line) if is_list else None
        if entry:
            text.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            text.append(f"  {line.strip()}" if is_list and line else line)
    return "\n".join(text) + "\n"


def _arguments(doc: str) -> dict[str, str]:
    """Return the arguments that a docstring describes."""
    found: dict[str, str] = {}
    section = doc.partition("\nArgs:\n")[2].partition("\n\nRaises:")[0]
    for entry in re.split(r"\n(?=    [\w*])", f"\n{section}"):
        name, colon, text = entry.strip().partition(": ")
        if colon:
            found[name] = " ".join(text.replace("``", "`").split())
    return found


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for each, inner in below.items():
        yield from _below(f"{name} {each}", inner)


def _render_command(name: str, command: Any) -> str:
    words = [name]
    rows = []
    for parameter in command.params:
        text = " ".join((getattr(parameter, "help", None) or "").split())
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or parameter.name.upper()
            words.append(shown if parameter.required else f"[{shown}]")
        else:
            shown = ", ".join(sorted(parameter.opts + parameter.secondary_opts, key=len))
        rows.append(f"- `{shown}`: {text}")
    usage = " ".join([*words, "[OPTIONS]"])
    about = inspect.cleandoc(command.help or "").replace("\b", "")
    return f"### {name}\n\n```text\n{usage}\n```\n\n{about}\n\n" + "\n".join(rows) + "\n"
