"""Importing is cheap: no extra, no redis, no sentry, and nothing from above."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import huey_signals_kit

PACKAGE = Path(huey_signals_kit.__file__).parent
# From the ground up; a file may import from its own layer and those before it.
LAYERS = [
    {
        "_checks",
        "_huey_facts",
        "_place",
        "_placed",
        "_fork",
        "_threads",
        "_part",
        "_per_huey",
        "verdict",
    },
    {"_lock_errors", "_failures", "_skips", "_receivers", "_worker"},
    {"event", "_job", "_tick"},
    {"_filters", "signals", "sinks", "_background", "_breadcrumbs"},
    {"_handler", "_reports", "_meter", "_quiet_logs", "_routes", "_lost_locks"},
    {"registry", "store", "ledger"},
    {
        "handlers",
        "gate",
        "_task_option",
        "_sentry",
        "expiring",
        "_heartbeat",
        "_native_heartbeat",
        "_host_record",
        "_in_hand",
        "_cleared_locks",
        "_lock_desk",
        "_lock_storage",
        "_locks",
    },
    {"presets", "_settings"},
    {"upkeep"},
    {"_upkeep", "_lock_upkeep"},
    {"kit"},
    {"_install"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
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
import huey_signals_kit
print(*[name for name in {HEAVY!r} if name in set(sys.modules) - before])
"""
    assert python(script) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_nothing_imports_upwards(path):
    """Every file knows only its own layer and those below."""
    rank = {name: place for place, layer in enumerate(LAYERS) for name in layer}
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                target = (*base, *name.split("."))[0]
                # What is no file is a public name, from the top.
                assert rank.get(target, rank["__init__"]) <= rank[parts[0]], f"imports {target}"
