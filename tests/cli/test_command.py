"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from itertools import product

import pytest

import huey_signals_kit
from tests.selection import slow_except


def test_the_command_says_which_extra_it_needs():
    """Without typer there is one line, not a traceback."""
    script = (
        "import sys\n"
        "sys.modules['typer'] = None\n"
        "from huey_signals_kit.__main__ import main\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (
        1,
        "huey-signals needs typer, which is not installed; "
        "run: pip install 'huey-signals-kit[cli]'\n",
    )


@pytest.fixture
def plain(folder):
    """A folder with the Huey ``plain.huey``, on SQLite."""
    pytest.importorskip("typer", exc_type=ImportError)
    folder.write("plain", PLAIN)
    return folder


PLAIN = """\
from huey import SqliteHuey
huey = SqliteHuey("plain", filename="plain.db")
"""
THREAD = """
import threading
threading.Thread(target=threading.Event().wait).start()
"""


def test_the_version_is_printed(plain):
    """Of the kit, of Huey and of Python, as every issue needs them."""
    ran = plain.command("--version")
    python = ".".join(map(str, sys.version_info[:3]))
    kit, huey = huey_signals_kit.__version__, version("huey")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"huey-signals-kit {kit}, Huey {huey}, Python {python}")


def test_help_names_every_command(plain):
    """Each with a line."""
    from huey_signals_kit.cli import app

    groups = [each.name for each in app.registered_groups]
    commands = [each.callback.__name__ for each in app.registered_commands]
    ran = plain.command("--help")
    assert ran.code == 0
    for name in (*groups, *commands):
        assert len(ran.row(name)) > 2
    assert {"report", "locks", "tokens", "top", "explain", "export"} < {*groups, *commands}


def test_help_fits_80_columns(plain):
    """Of every command and every command of a group."""
    from huey_signals_kit.cli import app

    commands = [(command.callback.__name__,) for command in app.registered_commands]
    commands += [(group.name,) for group in app.registered_groups]
    commands += [("tokens", name) for name in ("list", "show", "delete")]
    commands += [("locks", name) for name in ("list", "release")]
    for words in [(), *commands]:
        ran = plain.run(*words, "--help")
        assert ran.code == 0
        assert ran.fits(), ran.out


COMMANDS = [
    ["--help"],
    ["report", "plain.huey"],
    ["report", "plain.huey", "--json"],
    ["locks", "plain.huey"],
    ["tokens", "list", "plain.huey"],
    ["top", "plain.huey", "--once"],
]
CLOSINGS = [">&-", "2>&-", ">&- 2>&- <&-"]
SOME_COMMANDS = [COMMANDS[0], COMMANDS[1], COMMANDS[5]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "closed"),
    slow_except([*zip(SOME_COMMANDS, CLOSINGS, strict=True)], [*product(COMMANDS, CLOSINGS)]),
)
def test_a_closed_standard_output_is_no_error(plain, words, closed):
    """Nothing is printed, and the exit code is as ever: also for a script that wants just that."""
    command = f'exec "$0" -m huey_signals_kit "$@" {closed}'
    shell = ["sh", "-c", command, sys.executable, *words]
    ran = subprocess.run(shell, cwd=plain.path, env=plain.environment, capture_output=True)
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("words", slow_except(SOME_COMMANDS, COMMANDS))
def test_a_reader_that_has_seen_enough_ends_it(plain, words):
    """Without a word, as when somebody pipes it into head."""
    process = plain.start(*words)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert err == ""


@pytest.mark.parametrize("words", slow_except(SOME_COMMANDS, COMMANDS))
def test_a_full_disk_is_told(plain, words):
    """In one line."""
    with open("/dev/full", "w") as full:
        process = plain.start(*words, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert "cannot write the output: " in err


@pytest.mark.parametrize(
    ("words", "code"), [(["locks", "busy.huey"], 0), (["locks", "release", "busy.huey", "x"], 1)]
)
def test_a_thread_of_the_module_does_not_keep_it_from_ending(plain, words, code):
    """It is no daemon and never ends; what the module has for the end of the process runs."""
    plain.write("busy", PLAIN + THREAD + "import atexit\natexit.register(print, 'bye')\n")
    ran = plain.command(*words)
    assert ran.code == code
    assert ran.out.endswith("bye\n")
    assert len(ran.err.splitlines()) == code
