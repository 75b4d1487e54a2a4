"""What the README says is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from huey import SqliteHuey

from huey_signals_kit import available_presets, get_kit, install_handlers, uninstall_handlers
from tests.support import end_kits, hold, kit_data, results, run_all

README_FILE = Path(__file__).parent.parent / "README.md"
README = README_FILE.read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_first_screen_shows_the_line_and_its_effect():
    """What it is, the one line, and real output, within 25 lines."""
    first = "\n".join(README.splitlines()[:25])
    assert 'install_handlers(huey, preset="quiet-locks")' in first
    assert "lock errors stored" in first


def test_the_code_runs_as_it_stands():
    """The `tasks.py` is complete."""
    (code,) = (block for block in blocks("python") if block.startswith("from "))
    names: dict[str, object] = {"__name__": "shop"}
    exec(code, names)
    with names["kit"] as kit:
        assert get_kit(names["huey"]) is kit


def test_the_lines_of_each_framework_are_those_of_its_page():
    """A row of "Where to put the line" that links a page says what the page says."""
    rows = re.findall(r"^\| (.*recipes/\w+\.md.*) \|.*\| (.+) \|$", README, re.MULTILINE)
    lines = {
        page: re.findall(r"`([^`]+[])])`", cell)
        for first, cell in rows
        for page in re.findall(r"recipes/(\w+\.md)", first)
    }
    assert sorted(lines) == ["cron.md", "django.md", "fastapi.md", "flask.md", "script.md"]
    for page, shown in lines.items():
        code = (README_FILE.parent / "recipes" / page).read_text()
        assert shown, page
        # A page may pass options besides.
        assert all(line.rstrip(")]") in code for line in shown), page


def test_the_report_says_what_the_readme_shows(tmp_path):
    """The lines about errors and counts, after five tasks of which one gets the lock."""
    pytest.importorskip("typer", exc_type=ImportError)
    shown = [words for words in README.split("`") if words in ("none stored", "4 skipped by locks")]
    assert len(shown) == 2
    huey = SqliteHuey("shop", filename=str(tmp_path / "queue.db"))
    with install_handlers(huey):
        task = huey.task(name="tasks.import_orders")(huey.lock_task("import")(lambda: None))
        hold(huey, "import")
        for _ in range(4):
            task()
        run_all(huey)
    end_kits([huey])
    (tmp_path / "tasks.py").write_text(
        "from huey import SqliteHuey\nhuey = SqliteHuey('shop', filename='queue.db')\n"
    )
    command = [sys.executable, "-m", "huey_signals_kit", "report", "tasks.huey"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert [words for words in shown if words not in ran.stdout] == [], ran.stdout


def test_removing_the_kit_leaves_nothing_of_it(tmp_path):
    """As the section says: the line is gone, and forget deletes what the kit has written."""
    pytest.importorskip("typer", exc_type=ImportError)
    huey = SqliteHuey("shop", filename=str(tmp_path / "queue.db"))
    kit = install_handlers(huey, sinks="memory")
    huey.task(name="tasks.good")(lambda: "done")()
    run_all(huey)
    kit.flush()
    kit.report()
    uninstall_handlers(huey)
    assert kit_data(huey)
    (tmp_path / "tasks.py").write_text(
        "from huey import SqliteHuey\nhuey = SqliteHuey('shop', filename='queue.db')\n"
    )
    words = next(line for line in README.split("`") if line.startswith("huey-signals forget"))
    command = [sys.executable, "-m", "huey_signals_kit", *words.split()[1:]]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (kit_data(huey), len(results(huey))) == ({}, 1)


def test_every_preset_is_in_the_table():
    """And no other."""
    rows = re.findall(r"^\| `([\w-]+)` \|", README, re.MULTILINE)
    assert sorted(rows) == list(available_presets())


def test_the_output_shown_is_what_the_demo_prints():
    """Line by line, but for the bytes, which depend on the length of paths in tracebacks."""
    (shown,) = (block for block in blocks("text") if "lock errors stored" in block)
    ran = subprocess.run(
        [sys.executable, "-m", "huey_signals_kit", "demo"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    printed = [line.rstrip() for line in ran.stdout.splitlines()]
    missing = [line for line in shown.splitlines() if line.rstrip() not in printed]
    assert [line.split()[0] for line in missing] in ([], ["bytes"]), ran.stdout
