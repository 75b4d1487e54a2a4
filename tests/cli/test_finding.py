"""Finding the Huey that is named, and every way in which that, or its storage, can fail."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from huey_signals_kit.store.redact import redact
from tests.selection import slow_except
from tests.support import Unavailable, huey_class, wait_until

ROOT = Path(__file__).parents[2]
FORM = "write package.module.attribute, as for huey_consumer"
SHOP = """\
from huey import SqliteHuey
huey = SqliteHuey("one", filename="shop.db", fsync=False)
other = SqliteHuey("two", filename="shop.db", fsync=False)
app = object()
entry = 3
"""
HUEYS = "The module jobs has these Hueys: jobs.huey, jobs.other"
COMMANDS = [
    ["report"],
    ["sweep"],
    ["sweep", "--apply"],
    ["purge"],
    ["tokens", "list"],
    ["tokens", "show", "one"],
    ["tokens", "delete", "one", "--apply"],
    ["tokens", "delete", "o*"],
    ["export", "--once"],
]


def on(huey, command):
    """The command with its Huey where it belongs."""
    words = 2 if command[0] == "tokens" else 1
    return [*command[:words], huey, *command[words:]]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jobs.hueyy", f"the module jobs has no attribute 'hueyy'. Did you mean 'huey'? {HUEYS}"),
        ("jobs:nothing", f"the module jobs has no attribute 'nothing'. {HUEYS}"),
        ("jobs.entry", f"jobs.entry is an int, not a Huey. {HUEYS}"),
        ("jobs.SqliteHuey", f"jobs.SqliteHuey is a class, not a Huey. {HUEYS}"),
        ("jobs", f"'jobs' names a module and no attribute; {FORM}. {HUEYS}"),
        ("jobs.", f"'jobs.' does not name a Huey; {FORM}: tasks.huey"),
        ("", f"'' does not name a Huey; {FORM}: tasks.huey"),
        ("jobs.py:huey\x1b", f"'jobs.py:huey\\\\x1b' does not name a Huey; {FORM}: tasks.huey"),
        ("pack.huey", "the module pack has no attribute 'huey'. The module pack has no Huey"),
        (
            "pack.inner",
            "pack.inner is a module, not a Huey. The module pack.inner has this Huey: "
            "pack.inner.huey",
        ),
        (
            "pack.iner.huey",
            "there is no module pack.iner for 'pack.iner.huey': the package pack has no 'iner'. "
            "Did you mean 'inner'?",
        ),
        (
            "jobs.sub.huey",
            "there is no module jobs.sub for 'jobs.sub.huey': jobs is a module, not a package. "
            f"{HUEYS}",
        ),
        (
            "job.huey",
            "there is no module job for 'job.huey' in {here} or on Python's path. Did you mean "
            "'jobs'? Run this command where huey_consumer runs",
        ),
    ],
)
def test_a_wrong_name(folder, name, said):
    """Says what was looked for, and which Hueys there are."""
    folder.write("jobs", SHOP)
    folder.write("pack.__init__", "")
    folder.write("pack.inner", SHOP.replace("other", "_").replace("_ =", "del huey\nhuey ="))
    ran = folder.run("report", name)
    expected = said.replace("{here}", str(folder.path))
    assert (ran.code, ran.out, ran.err) == (2, "", f"huey-signals report: {expected}\n")


@pytest.mark.parametrize("name", ["jobs.huey", "jobs:huey", "pack.inner.huey", "pack.inner:huey"])
def test_a_right_name(folder, name):
    """In a module or a package, with a dot or a colon before the attribute."""
    folder.write("jobs", SHOP)
    folder.write("pack.__init__", "")
    folder.write("pack.inner", SHOP)
    ran = folder.run("report", name)
    assert (ran.code, ran.err) == (0, "")
    assert "\nQueue one, storage sqlite;" in ran.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "1\nraise ValueError('first\\nlast redis://me:secret@host/0')",
            " (mine.py, line 2):\n  ValueError: first\n  last redis://***@host/0",
        ),
        (
            "import no_such_package.part",
            " (mine.py, line 1):\n  ModuleNotFoundError: No module named 'no_such_package'",
        ),
        (
            "import mine.part",
            " (mine.py, line 1):\n  ModuleNotFoundError: No module named 'mine.part'; 'mine' is "
            "not a package",
        ),
        (
            "from huey import NoHuey",
            " (mine.py, line 1):\n  ImportError: cannot import name 'NoHuey' from 'huey'",
        ),
        ("def f(:", ":\n  File "),
        ("raise SystemExit(3)", " (mine.py, line 1):\n  it ended the process, SystemExit: 3"),
        ("assert False", " (mine.py, line 1):\n  AssertionError"),
    ],
)
def test_an_error_in_the_module(folder, text, said):
    """Is told as that, with its place and its last lines, and no traceback."""
    folder.write("mine", text)
    ran = folder.run("report", "mine.huey")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"huey-signals report: importing mine failed{said}")
    assert "Traceback" not in ran.err
    assert "secret" not in ran.err


def test_a_syntax_error_has_its_place(folder):
    """File and line, as Python shows them."""
    folder.write("mine", "x = 1\ndef f(:\n")
    err = folder.run("report", "mine.huey").err
    assert 'mine.py", line 2' in err
    assert "SyntaxError: invalid syntax" in err


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("MemoryHuey('q')", "a MemoryHuey"),
        ("SqliteHuey('q', filename='q.db', immediate=True)", "in immediate mode"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_in_memory(folder, made, kind, command):
    """Is refused: all that this process could show is zeros."""
    folder.write("mine", f"from huey import MemoryHuey, SqliteHuey\nhuey = {made}\n")
    ran = folder.run(*on("mine.huey", command))
    name = " ".join(command[: 2 if command[0] == "tokens" else 1])
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"huey-signals {name}: mine.huey is {kind}: its data is in the memory of the process that "
        "runs it, where this command cannot read it. Call kit.report() and the like in that "
        "process\n"
    )


def test_what_a_module_prints_is_no_result(folder):
    """It goes to stderr, so that stdout is only JSON."""
    folder.write("mine", "print('settings loaded')\n" + SHOP)
    ran = folder.run("report", "mine.huey", "--json")
    assert ran.err == "settings loaded\n"
    assert ran.out.startswith("{")


def test_importing_starts_nothing_and_a_kit_of_the_module_is_fine(folder):
    """Neither a thread nor a record in the ledger."""
    script = "from huey_signals_kit import install_handlers\n" + SHOP + "install_handlers(huey)\n"
    folder.write("mine", script)
    folder.write(
        "check",
        "import sys, threading\n"
        "from huey_signals_kit.cli import app\n"
        "try:\n    app(sys.argv[1:])\n"
        "finally:\n    print([each.name for each in threading.enumerate()], file=sys.stderr)\n",
    )
    command = [sys.executable, "check.py", "report", "mine.huey"]
    ran = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "['MainThread']\n")
    assert "\n kit " not in ran.stdout


def test_the_current_folder_is_looked_in(folder, tmp_path):
    """Also by the script, whose own folder is another one."""
    folder.write("mine", SHOP)
    elsewhere = tmp_path / "bin"
    elsewhere.mkdir()
    script = elsewhere / "huey-signals"
    script.write_text("from huey_signals_kit.__main__ import main\nmain()\n")
    command = [sys.executable, str(script), "report", "mine.huey"]
    ran = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_new_sqlite_file_is_made(folder):
    """As Huey does."""
    folder.write("mine", SHOP)
    assert folder.run("report", "mine.huey").code == 0
    assert (folder.path / "shop.db").exists()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://me:secret@127.0.0.1:1/3", "cannot use the Redis at 127.0.0.1:1/3: "),
        ("unix://me:secret@/no/such.sock", "cannot use the Redis at unix:///no/such.sock: "),
    ],
)
def test_a_redis_that_is_not_there(folder, command, url, said):
    """One line that names it, without the password, whatever the command."""
    folder.write("mine", f"from huey import RedisHuey\nhuey = RedisHuey('q', url={url!r})\n")
    ran = folder.run(*on("mine.huey", command))
    name = " ".join(command[: 2 if command[0] == "tokens" else 1])
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"huey-signals {name}: {said}")
    assert "secret" not in ran.err


def test_a_redis_that_wants_another_password(folder, redis_url):
    """What Redis said, without the password that was given."""
    host = redis_url.partition("://")[2]
    url = f"redis://nobody:secret@{host}"
    folder.write("mine", f"from huey import RedisHuey\nhuey = RedisHuey('q', url={url!r})\n")
    ran = folder.run("report", "mine.huey")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(f"huey-signals report: cannot use the Redis at {host}: ")
    assert "password" in ran.err
    assert "secret" not in ran.err


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (
            "SqliteHuey('q', filename='no/such/q.db')",
            "the SQLite file {}/no/such/q.db: unable to open",
        ),
        ("FileHuey('q', path='file/q')", "the folder {}/file/q: [Errno 20] Not a directory"),
    ],
)
def test_a_file_that_cannot_be_opened(folder, made, named):
    """It is opened while the module is imported, which is said."""
    (folder.path / "file").touch()
    folder.write("mine", f"from huey import FileHuey, SqliteHuey\nhuey = {made}\n")
    ran = folder.run("report", "mine.huey")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    named = named.format(folder.path)
    assert ran.err.startswith(f"huey-signals report: importing mine failed: cannot use {named}")


def test_a_mistake_that_the_kit_refuses_is_shown_where_it_was_made(folder):
    """With the file and the line of the user, not of the check."""
    folder.write(
        "mine",
        "from huey import MemoryHuey\nfrom huey_signals_kit import install_handlers\n"
        "huey = MemoryHuey('q')\ninstall_handlers(huey, 'quiet-lock')\n",
    )
    ran = folder.run("report", "mine.huey")
    assert ran.code == 2
    assert "importing mine failed (mine.py, line 4):" in ran.err


def test_a_file_that_is_no_database(folder):
    """Named as well."""
    (folder.path / "shop.db").write_text("something else " * 100)
    folder.write("mine", SHOP)
    ran = folder.run("report", "mine.huey")
    assert (ran.code, ran.err) == (
        1,
        "huey-signals report: importing mine failed: cannot use the SQLite file "
        f"{folder.path}/shop.db: file is not a database\n",
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_table_that_is_gone(sqlite_shop, command):
    """A storage that fails later is told in the same way."""
    sqlite_shop.huey.storage.sql("alter table kv rename to gone", commit=True)
    ran = sqlite_shop.run(*on(sqlite_shop.name, command))
    name = " ".join(command[: 2 if command[0] == "tokens" else 1])
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(
        f"huey-signals {name}: cannot use the SQLite file {sqlite_shop.place.location}: no such "
        "table: kv"
    )


@pytest.mark.storage("postgres")
def test_a_postgres_that_is_not_there(folder, postgres_dsn):
    """No such server, or no such database there: named, without the password."""
    try:
        huey_class("postgres")
    except Unavailable as reason:
        pytest.skip(str(reason))
    host = re.sub(r"^\w+://([^@]*@)?|[/?].*$", "", postgres_dsn)
    user = re.search(r"://([^@:]*)@", postgres_dsn)
    for at, said in (("127.0.0.1:1", "refused"), (host, "does not exist")):
        dsn = f"postgresql://{user[1] if user else 'postgres'}:secret@{at}/no_such_database"
        folder.write(
            f"mine{said[:3]}",
            f"from huey import PostgresHuey\nhuey = PostgresHuey('q', dsn={dsn!r})\n",
        )
        ran = folder.run("report", f"mine{said[:3]}.huey")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert ran.err.startswith(
            f"huey-signals report: importing mine{said[:3]} failed: cannot use the Postgres at "
            f"postgresql://***@{at}/no_such_database: "
        )
        assert said in ran.err
        assert "secret" not in ran.err


@pytest.mark.storage("postgres")
def test_a_postgres_that_ends_the_connection(make_shop):
    """After the module was imported."""
    shop = make_shop("postgres")
    shop.huey.storage.sql("drop table huey_kv", commit=True)
    ran = shop.run("report", shop.name)
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "cannot use the Postgres at postgresql://" in ran.err
    assert 'relation "huey_kv" does not exist' in ran.err


FOREIGN = """\
from huey import Huey
from huey.storage import MemoryStorage, BaseStorage
class Mine(BaseStorage):
    {body}
huey = Huey("q", storage_class=Mine)
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "pass",
            "Mine is not one of Huey's storages, and its peek_data() cannot be used "
            "(NotImplementedError: ). Upkeep of its queue needs peek_data(), as "
            "huey.storage.BaseStorage documents it",
        ),
        (
            "def peek_data(self, key): raise KeyError('gone')",
            "cannot use the Mine: 'gone'",
        ),
    ],
)
def test_a_storage_of_the_users_own(folder, body, said):
    """That cannot be read, or fails: no traceback either."""
    folder.write("mine", FOREIGN.format(body=body))
    ran = folder.run("report", "mine.huey")
    assert (ran.code, ran.out, ran.err) == (1, "", f"huey-signals report: {said}\n")


def test_a_mistake_of_the_kit_is_not_taken_for_a_storage(sqlite_shop, monkeypatch):
    """It is shown as what it is, with its traceback."""
    from huey_signals_kit.cli._report import command

    monkeypatch.setattr(command, "make_report", lambda huey: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        sqlite_shop.run("report", sqlite_shop.name)


@pytest.mark.parametrize("signum", slow_except([signal.SIGINT], [signal.SIGINT, signal.SIGTERM]))
def test_interrupted(folder, signum):
    """Quietly, with the exit code that shells know, even while the module is imported."""
    folder.write("mine", "import time, pathlib\npathlib.Path('here').touch()\ntime.sleep(60)\n")
    process = folder.start("report", "mine.huey")
    wait_until((folder.path / "here").exists, 30, "the module to be imported")
    process.send_signal(signum)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (128 + signum, "", "")


@pytest.mark.parametrize("words", [["report"], ["tokens", "list", "--limit", "0"]])
def test_nobody_reads_the_output(sqlite_shop, words):
    """As with `| true`: quiet, with the exit code of a broken pipe."""
    sqlite_shop.fill()
    ours, theirs = os.pipe()
    os.close(ours)
    process = sqlite_shop.start(*on(sqlite_shop.name, words), stdout=theirs)
    os.close(theirs)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (128 + signal.SIGPIPE, "")


def test_letters_that_the_terminal_does_not_have(sqlite_shop, monkeypatch):
    """Are written as escapes."""
    sqlite_shop.huey.revoke_by_id("名")
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    ran = sqlite_shop.command("tokens", "list", sqlite_shop.name)
    assert (ran.code, ran.err) == (0, "")
    assert "\\u540d" in ran.out


def test_keys_that_are_no_text(make_shop):
    """Redis takes any bytes as a key."""
    shop = make_shop("redis")
    with redis.Redis.from_url(shop.place.location) as client:
        client.hset(
            shop.huey.storage.result_key,
            b"r:\xff\xfe",
            shop.huey.serializer.serialize((None, True)),
        )
    ran = shop.command("tokens", "list", shop.name)
    assert (ran.code, ran.err) == (0, "")
    assert "\\udcff\\udcfe" in ran.out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://me:se@cret@host/0 failed", "redis://***@host/0 failed"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("host=h password='se cret' port=1", "host=h password=*** port=1"),
        (
            "at postgresql://h/d?user=me&password=secret",
            "at postgresql://h/d?user=***&password=***",
        ),
        ("mail me@host about redis://host/0", "mail me@host about redis://host/0"),
    ],
)
def test_secrets_in_texts(text, shown):
    """In URLs and in settings."""
    assert redact(text) == shown
