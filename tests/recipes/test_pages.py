"""The pages of ``recipes/`` about web frameworks, scripts and cron do what they say."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from inspect import signature
from itertools import pairwise
from pathlib import Path

import huey.exceptions
import pytest
from huey.contrib.asyncio import aget_result

from huey_signals_kit import uninstall_handlers
from huey_signals_kit.upkeep import report
from tests.recipes.pages import (
    alternatives,
    blocks_of,
    missing_lines,
    reader_in,
    sections_of,
    without_others,
)
from tests.support import run_all, stored_errors

pytest.importorskip("typer", exc_type=ImportError)
if not hasattr(huey.exceptions, "ResultTimeout"):
    pytest.skip("the pages are for Huey 3", allow_module_level=True)

PAGES = {
    "flask.md": ["flask"],
    "fastapi.md": ["fastapi"],
    "script.md": [],
    "cron.md": [],
    "web.md": ["jinja2", "flask", "fastapi", "itsdangerous"],
}


def walks():
    """Every way through every page: its parts, each with each of its servers."""
    for page in PAGES:
        for heading, blocks in sections_of(page).items():
            for number, server in enumerate(alternatives(blocks) or [None]):
                name = f"{page}-{heading.split()[0]}-{number}"
                yield pytest.param(page, without_others(blocks, server), id=name)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("page", "blocks"), [*walks()])
def test_a_reader_sees_what_the_page_shows(page, blocks, tmp_path):
    """In an empty folder, with real servers and a real consumer, and with no traceback."""
    for package in PAGES[page]:
        pytest.importorskip(package)
    if page == "fastapi.md" and "timeout" not in signature(aget_result).parameters:
        pytest.skip("the page is for Huey 3.4")
    for attempt in (1, 2):  # a reader on a busy machine may type too slowly, and tries again
        folder = tmp_path / str(attempt)
        folder.mkdir()
        try:
            with reader_in(folder) as reader:
                reader.follow(blocks)
            break
        except AssertionError:
            if attempt == 2:
                raise
    assert "Traceback" not in reader.logs(), reader.logs()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write the first files of a page to the folder, and import from there."""

    def write(page: str):
        for block in reversed(blocks_of(page)):  # the first version of a file is written last
            if block.file is not None:
                (tmp_path / block.file).write_text(block.text)
        monkeypatch.syspath_prepend(tmp_path)
        # `import tasks` in a page must not find the module of another test.
        for name in ("tasks", "app", "worker"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return tmp_path

    yield write
    if huey := getattr(sys.modules.get("tasks"), "huey", None):
        uninstall_handlers(huey)
        huey.storage.close()


def test_the_flask_application_answers(written):
    """With the address of a result that is not ready, later with 409 for a lock error."""
    pytest.importorskip("flask")
    written("flask.md")
    client = importlib.import_module("app").create_app().test_client()
    tasks = importlib.import_module("tasks")
    assert client.post("/orders").status_code == 202
    queued = client.post("/prices")
    assert queued.status_code == 202
    with tasks.huey.lock_task("prices"), tasks.huey.lock_task("import"):
        run_all(tasks.huey)
    failed = client.get(queued.json["url"])
    assert (failed.status_code, failed.json["state"]) == (409, "failed")
    assert list(stored_errors(tasks.huey)) == [queued.json["url"].removeprefix("/prices/")]


def test_the_lifespan_of_the_fastapi_application_keeps_the_counts(written):
    """They are in the storage when it has ended, so a server that ends by a signal loses none."""
    pytest.importorskip("fastapi")
    if "timeout" not in signature(aget_result).parameters:
        pytest.skip("the page is for Huey 3.4")
    httpx = pytest.importorskip("httpx")
    written("fastapi.md")
    app = importlib.import_module("app").app

    async def use() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            posts = [await client.post(path) for path in ("/orders", "/prices-async")]
            return [post.status_code for post in posts]

    assert asyncio.run(use()) == [202, 202]
    huey = importlib.import_module("tasks").huey
    counted = {(c["labels"]["task"], c["value"]) for c in report(huey).as_dict()["counters"]}
    assert counted == {("tasks.import_orders", 1), ("tasks.update_prices", 1)}


def test_a_script_that_ends_keeps_its_counts(written):
    """The commands and their output are those of the page."""
    folder = written("script.md")
    commands, shown = next(
        (block.text, shown.text)
        for block, shown in pairwise(blocks_of("script.md"))
        if block.text.startswith("python load.py")
    )
    with reader_in(folder) as reader:
        reader.do(commands, shown)


def test_a_cron_job_does_not_run_while_another_process_holds_its_lock(written):
    """Its exit code says so."""
    folder = written("cron.md")
    tasks = importlib.import_module("tasks")
    with tasks.huey.lock_task("nightly"), reader_in(folder) as reader:
        printed = reader.run("python nightly.py; echo $?")
    assert printed == "nightly: another run holds the lock\n75\n"


@pytest.mark.slow
def test_the_crontab_prints_only_what_needs_a_person(written):
    """That is a dead holder of a lock, and a queue without workers; all run as cron does."""
    folder = written("cron.md")
    (crontab,) = (block.text for block in blocks_of("cron.md") if block.language == "crontab")
    # Five fields of the time, then the command.
    commands = [line.split(maxsplit=5)[5] for line in crontab.splitlines()]
    nightly, health, locks, sweep, purge = commands
    with reader_in(folder) as reader:
        reader.run("timeout -s KILL 4 python nightly.py")
        assert " dead " in as_cron(locks, folder)
        assert as_cron(nightly, folder) == ""
        assert as_cron(locks, folder) == ""
        assert as_cron(sweep, folder) == ""
        assert as_cron(purge, folder) == ""
        assert as_cron(health, folder).startswith("unhealthy: no process is known to work on")


def as_cron(command: str, folder: Path) -> str:
    """What cron mails for a command."""
    ran = subprocess.run(
        ["/bin/sh", "-c", command.replace("/srv/shop", str(folder))],
        cwd="/",
        env={"HOME": "/", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin", "LOGNAME": "root"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return ran.stdout


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        (" a   1\n b 2", "head\na 1\n────\nb      2\n", []),
        ("b 2\na 1", "a 1\nb 2\n", ["a 1"]),
        ('{"url":"/x/…"}', '{"url":"/x/17"}\n', []),
        ("a 1", "a 10\n", ["a 1"]),
    ],
)
def test_the_lines_that_a_page_shows_are_compared(shown, printed, missing):
    """In their order, whatever the spaces, and as whole lines."""
    assert missing_lines(shown, printed) == missing
