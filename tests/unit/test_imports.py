"""Importing is cheap: no extra, no redis, no sentry, and nothing from above."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import huey_signals_kit

PACKAGE = Path(huey_signals_kit.__file__).parent
# From the ground up: a room, a file at the root or a folder, may import from its own line and
# those before it.
LINES = [
    {"_checks", "signals", "huey_internals", "store"},
    {"verdict", "_lock_errors", "runtime"},
    {"event", "gate", "metrics", "inflight", "expiring"},
    {"handlers", "dispatch", "sinks", "ledger", "locks"},
    {"registry", "integrations", "upkeep"},
    {"presets", "_settings"},
    {"jobs"},
    {"kit"},
    {"_install"},
    {"__init__"},
    {"cli", "contrib", "testing", "web"},
    {"__main__", "apps"},
]
NEVER = {
    "ledger": {"sinks"},
    "locks": {"ledger"},
    "upkeep": {"registry", "dispatch", "kit"},
    "store": {room for line in LINES for room in line} - {"store"},
}
HEAVY = ("redis", "sentry_sdk", "typer", "rich", "prometheus_client", "opentelemetry", "django")


def python(script):
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_importing_works_without_redis_and_sentry():
    """With both made impossible to import, the core still does its work."""
    script = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
from huey import MemoryHuey
from huey_signals_kit import install_handlers
huey = MemoryHuey("x")
kit = install_handlers(huey)
huey.task(name="t")(huey.lock_task("held")(lambda: None))()
huey.lock_task("held").__enter__()
huey.execute(huey.dequeue())
print(len(huey.all_results()), kit.count("huey_results_suppressed_total"))
"""
    assert python(script) == ["1", "1"]


def test_importing_imports_neither_sentry_nor_any_sinks_library():
    """Huey itself imports redis where it is installed; the kit adds nothing to that."""
    script = f"""
import sys, huey
before = set(sys.modules)
from huey_signals_kit import *
assert "huey_signals_kit.kit" in sys.modules
print(*[name for name in {HEAVY!r} if name in set(sys.modules) - before])
"""
    assert python(script) == []


def test_a_plain_install_imports_only_what_it_needs():
    """No upkeep but its defaults, no metadata of other packages, and at most 140 modules."""
    script = """
import sys, huey, importlib.metadata
def refuse(**kwargs): raise AssertionError("read the metadata of every package")
importlib.metadata.entry_points = refuse
before = set(sys.modules)
from huey_signals_kit import install_handlers
install_handlers(huey.MemoryHuey("x"))
print(*sorted(set(sys.modules) - before))
"""
    added = python(script)
    upkeep = [name for name in added if name.startswith("huey_signals_kit.upkeep")]
    assert upkeep == ["huey_signals_kit.upkeep", "huey_signals_kit.upkeep._limits"]
    assert not {"difflib", "importlib.metadata", "huey_signals_kit.metrics.meter"} & set(added)
    assert len(added) <= 140


def test_each_name_of_upkeep_is_there_when_it_is_used():
    """With an unknown one as the error that it would be otherwise."""
    from huey_signals_kit import upkeep

    assert all(getattr(upkeep, name) is not None for name in upkeep.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'unknown'"):
        upkeep.unknown  # noqa: B018


def test_pytest_imports_neither_huey_nor_the_kit_with_the_plugin():
    """It loads the plugin in every run, also of projects that never use it."""
    script = """
import sys, pytest
before = set(sys.modules)
import huey_signals_kit.testing.pytest_plugin
print(*sorted(name for name in set(sys.modules) - before))
"""
    added = python(script)
    names = ["", ".testing", ".testing.pytest_plugin"]
    assert [each for each in added if "huey" in each] == [f"huey_signals_kit{n}" for n in names]
    assert len(added) < 10


@pytest.mark.slow
def test_each_public_name_is_imported_when_it_is_first_used():
    """In a process that has used no other, by attribute; an unknown one is an AttributeError."""
    script = """
import os, sys, huey, huey_signals_kit as kit
names = [*kit.__all__, *kit._PUBLIC_MODULES, "unknown", "_unknown", "cli"]
for name in names:
    assert "huey_signals_kit.kit" not in sys.modules
    pid = os.fork()
    if pid == 0:
        os._exit(0 if hasattr(kit, name) else 3)
    print(name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    found = python(script)
    codes = dict(zip(found[::2], found[1::2], strict=True))
    unknown = [name for name, code in codes.items() if code == "3"]
    assert unknown == ["unknown", "_unknown", "cli"]
    assert set(codes.values()) == {"0", "3"}
    assert len(codes) > 20


def imports_of(path):
    """The files and folders of the package that *path* imports, as parts of their paths."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            if node.module:
                names += [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                target = (*base, *name.split("."))
                is_file = PACKAGE.joinpath(*target).with_suffix(".py").exists()
                is_folder = PACKAGE.joinpath(*target).is_dir()
                if is_file or is_folder:
                    yield target
                elif not node.module:
                    yield (*base, "__init__")


FILES = sorted(PACKAGE.rglob("*.py"))
ROOM_IMPORTS = {
    (path.relative_to(PACKAGE).with_suffix("").parts[0], target[0])
    for path in FILES
    for target in imports_of(path)
}


def test_every_file_and_folder_has_a_line():
    """A new room must be put into the table."""
    rooms = {path.relative_to(PACKAGE).with_suffix("").parts[0] for path in FILES}
    assert rooms <= set().union(*LINES)


@pytest.mark.parametrize(("room", "target"), sorted(ROOM_IMPORTS))
def test_no_room_imports_upwards(room, target):
    """A room uses its own line and those before it, and never what it must not know."""
    rank = {name: line for line, names in enumerate(LINES) for name in names}
    assert rank[target] <= rank[room]
    assert target not in NEVER.get(room, ())


def test_no_two_rooms_need_each_other():
    """The imports between rooms have no circle, of whatever length."""
    order = TopologicalSorter()
    for room, target in ROOM_IMPORTS:
        if room != target:
            order.add(room, target)
    assert list(order.static_order())


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_private_file_is_imported_by_its_own_folder_alone(path):
    """A file whose name begins with an underscore is no door to its folder."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    for target in imports_of(path):
        private = next((i for i, part in enumerate(target) if part[0] == "_" != part[1:2]), None)
        if private is not None:
            assert target[:private] == parts[:private]


def test_the_root_has_few_files():
    """At most 13, of which at most 4 are private, and the file that Django looks for."""
    files = [path.stem for path in PACKAGE.glob("*.py") if path.stem != "apps"]
    assert len(files) <= 13
    assert len([name for name in files if name[0] == "_" != name[1]]) <= 4
