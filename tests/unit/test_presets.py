"""Presets: the built-in ones, one's own, and those that other packages bring."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import get_args

import pytest
from huey.signals import SIGNAL_LOCKED

from huey_signals_kit import DROP, Registry, available_presets, install_handlers, register_preset
from huey_signals_kit import presets as module


@pytest.fixture
def forget(monkeypatch):
    """Presets that a test registers are gone after it."""
    monkeypatch.setattr(module, "_presets", dict(module._presets))


def test_the_built_in_presets():
    """By name, in alphabetical order."""
    assert available_presets() == (
        "brief-locks",
        "observe",
        "quiet-locks",
        "reschedule-locks",
        "tidy-tokens",
    )


def test_type_checkers_know_the_built_in_presets():
    """The names are spelled out in a type."""
    assert sorted(get_args(module.BuiltInPreset)) == list(available_presets())


def test_a_preset_of_ones_own_is_installed_by_name(forget, make_huey):
    """The function fills a registry of its own at every install."""

    @register_preset("mine")
    def mine(registry):
        assert isinstance(registry, Registry)
        registry.on(SIGNAL_LOCKED, name="mine")(lambda event: DROP)

    assert "mine" in available_presets()
    for _ in range(2):
        kit = install_handlers(make_huey(), preset=["mine", "observe"])
        assert [handler.name.rpartition(".")[2] for handler in kit.handlers] == [
            "mine",
            "count_signals",
            "count_lock_skips",
            "leave_breadcrumb",
        ]


def test_a_preset_that_raises_tells_who_installs_it(forget, make_huey):
    """The author's own exception comes through, and nothing is installed."""

    @register_preset("broken")
    def broken(registry):
        raise LookupError("no such thing")

    huey = make_huey()
    before = dict(vars(huey))
    with pytest.raises(LookupError, match="no such thing"):
        install_handlers(huey, preset="broken")
    assert vars(huey) == before


def test_an_installed_package_may_bring_presets(tmp_path):
    """Through the entry point group, loaded only when asked for by name."""
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[huey_signals_kit.presets]\n"
        "theirs = other_presets:fill\nbroken = other_presets:number\nlost = nowhere:fill\n"
    )
    (tmp_path / "other_presets.py").write_text(
        "number = 3\n"
        "from huey_signals_kit import register_preset\n"
        "@register_preset('theirs')\n"
        "def fill(registry):\n    registry.on('locked', name='theirs')(lambda event: None)\n"
    )
    script = (
        "import sys\n"
        "from huey import MemoryHuey\n"
        "from huey_signals_kit import available_presets, install_handlers\n"
        "print(*available_presets(), 'other_presets' in sys.modules)\n"
        "print(*install_handlers(MemoryHuey('x'), preset='theirs').handlers)\n"
        "from huey_signals_kit import register_preset\n"
        "try: register_preset('lost')(print)\n"
        "except ValueError as exc: print(exc)\n"
        "for name in ('broken', 'lost'):\n"
        "    try: install_handlers(MemoryHuey('x'), preset=name)\n"
        "    except Exception as exc: print(type(exc).__name__, exc)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}:{module.__file__.rpartition('/huey_signals_kit/')[0]}",
        },
    )
    assert ran.stdout.splitlines() == [
        "brief-locks broken lost observe quiet-locks reschedule-locks theirs tidy-tokens False",
        "<theirs on locked>",
        "there is a preset 'lost' already; choose another name",
        "TypeError preset 'broken' of other_presets:number is not callable: 3",
        "ModuleNotFoundError No module named 'nowhere'",
    ], ran.stderr


def test_a_class_can_fill_a_preset(monkeypatch):
    """It is called with the registry like a function."""
    monkeypatch.setattr("huey_signals_kit.presets._presets", {})

    @register_preset("by-class")
    class Preset:
        def __init__(self, registry):
            registry.on("locked", name="by class")(lambda event: DROP)

    assert [each.name for each in module.build_preset("by-class")] == ["by class"]
