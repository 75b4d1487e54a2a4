"""What a confirmation says is the same act: the command, or the line of Python, does it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest

from huey_signals_kit.web import Site
from tests.locks import GONE, taken_by
from tests.support import locks, run_all, store, tokens
from tests.web.acting import HOSTILE, get

pytest.importorskip("jinja2")
pytestmark = pytest.mark.slow

MODULE = """
from huey import SqliteHuey, crontab

huey = SqliteHuey("shop", filename={filename!r})


@huey.task()
def pay(order):
    return order


@huey.task()
@huey.lock_task("held")
def locked():
    pass


@huey.periodic_task(crontab())
def nightly():
    pass
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A module with a Huey and its tasks, which this process and a command can import."""
    name = f"shop_{os.getpid()}_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(filename=str(tmp_path / "shop.db")))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module(name)
    del sys.modules[name]


def shown_command(shop, path):
    """Return what the confirmation of an act says is the same."""
    body = get(Site(shop.huey, access=lambda request: "act"), f"/act/{path}").body.decode()
    return unescape(body.partition("<pre")[2].partition("<code>")[2].partition("</code>")[0])


def in_shell(shop, command):
    """Run a command as a person does who has copied it."""
    folder = Path(shop.__file__).parent
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def in_python(shop, line):
    """Run a line of Python after the imports that it needs."""
    script = f"import {shop.__name__}\nfrom {shop.__name__} import huey\n"
    script += f"{line}\n"
    folder = Path(shop.__file__).parent
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, timeout=60)


@pytest.mark.parametrize("name", [HOSTILE, "-x", "a\nb $(id)"])
def test_the_command_releases_the_lock(shop, name):
    """The command releases exactly that lock, whatever characters its name has."""
    for each in (name, "other"):
        taken_by(shop.huey, each, GONE)
    in_shell(shop, shown_command(shop, f"release?name={quote(name)}"))
    assert locks(shop.huey) == {"other"}


@pytest.mark.parametrize("name", ["a*", HOSTILE, "-x"])
def test_the_command_deletes_the_token(shop, name):
    """The command deletes exactly that token; a name that looks like a pattern is none."""
    for each in (name, "ab", "a"):
        shop.huey.revoke_by_id(each)
    in_shell(shop, shown_command(shop, f"delete-token?key=r:{quote(name)}"))
    assert tokens(shop.huey) == {"r:ab", "r:a"}


def test_the_commands_sweep_and_purge(shop):
    """The commands use the classes that the confirmation names."""
    shop.huey.revoke_by_id("5f0c1f7e-0d4c-4c55-9d53-1f3f5b9c3a10")
    shop.locked()
    with shop.huey.lock_task("held"):
        run_all(shop.huey)
    assert len(store(shop.huey)) == 2
    in_shell(shop, shown_command(shop, "sweep"))
    in_shell(shop, shown_command(shop, "purge"))
    assert set(store(shop.huey)) == tokens(shop.huey)


def test_the_lines_of_python_do_it(shop):
    """Revoke, pause and run now do what they say, and the commands undo them."""
    name = shop.__name__
    result = shop.pay(1)
    in_python(shop, shown_command(shop, f"revoke?id={result.id}"))
    assert result.is_revoked()
    in_shell(shop, shown_command(shop, f"restore?id={result.id}"))
    assert not result.is_revoked()
    in_python(shop, shown_command(shop, f"pause?name={name}.pay"))
    assert shop.huey.get(f"rt:{name}.pay", peek=True)[0] > shop.huey._get_timestamp()
    in_shell(shop, shown_command(shop, f"resume?name={name}.pay"))
    assert not shop.pay.is_revoked()
    in_python(shop, shown_command(shop, f"revoke?name={name}.pay"))
    assert shop.huey.get(f"rt:{name}.pay", peek=True) == (None, False)
    in_python(shop, shown_command(shop, f"run-now?name={name}.nightly"))
    assert shop.huey.pending_count() == 2
