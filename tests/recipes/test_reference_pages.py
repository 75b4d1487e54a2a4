"""The pages of ``recipes/`` that say what each part does are true, and the README leads to them."""

from __future__ import annotations

import re
import shlex
import sys
from types import ModuleType

import huey.exceptions
import pytest
from huey import MemoryHuey, crontab
from redis.exceptions import LockError, LockNotOwnedError

from huey_signals_kit import install_handlers, signals, uninstall_handlers
from tests.recipes.comparison import TOOLS, measure_in_process, table
from tests.recipes.pages import RECIPES, blocks_of, reader_in
from tests.support import hold, run_all, stored_errors, tokens

ROOT = RECIPES.parent
MARKDOWN = sorted([ROOT / "README.md", *RECIPES.rglob("*.md"), *(ROOT / ".github").glob("*.md")])
PAGES = ("handlers.md", "rules.md", "locks.md", "commands.md", "sinks.md", "comparison.md")
IS_MEASURED_HUEY = tuple(map(int, huey.__version__.split(".")[:2])) >= (3, 5)


def anchors(path):
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    words = [re.sub(r"\]\(.*?\)|[^\w\s-]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_leads_somewhere(page):
    """To a file, and to a heading in it."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_index_and_the_readme_name_each_of_these_pages():
    """So that nothing that was moved out of the README is lost."""
    for index, folder in ((ROOT / "README.md", "recipes/"), (RECIPES / "README.md", "")):
        text = index.read_text()
        assert [page for page in PAGES if f"]({folder}{page})" not in text] == []


def test_the_index_names_every_page():
    """Also those that other pages lead to."""
    text = (RECIPES / "README.md").read_text()
    assert [page.name for page in RECIPES.glob("*.md") if f"]({page.name}" not in text] == [
        "README.md"
    ]


@pytest.fixture
def shop():
    """Run the Python of a page as one module; the kits that it installs are removed again."""
    opened = []

    def run(page):
        module = ModuleType("shop")
        opened.append(module)
        for block in blocks_of(page):
            if block.language == "python":
                exec(compile(block.text, page, "exec"), vars(module))
        return module

    yield run
    for module in opened:
        uninstall_handlers(module.huey)


def test_the_verdicts_of_the_page_are_applied(shop, capsys):
    """The error of the first attempt is dropped, the one of the last expires in an hour."""
    module = shop("handlers.md")
    module.import_orders()
    module.huey.execute(module.huey.dequeue())
    assert stored_errors(module.huey) == {}
    module.huey.execute(module.huey.dequeue())
    (error,) = stored_errors(module.huey).values()
    assert "no route to the supplier" in error["error"]
    assert capsys.readouterr().out.count("import_orders") == 2
    signals.lock_released.send(module.huey, name="import")
    assert "released: {'name': 'import'}" in capsys.readouterr().out


def test_each_verdict_of_the_page_is_exported():
    """And the page has every one."""
    rows = re.findall(r"^\| `(\w+).*?` \| ", (RECIPES / "handlers.md").read_text(), re.MULTILINE)
    assert rows == ["KEEP", "DROP", "expire", "None"]


def test_a_skip_is_counted_as_the_page_of_sinks_shows(shop, capsys):
    """By its lock, and as a refusal."""
    module = shop("sinks.md")
    assert capsys.readouterr().out == "0\n"
    hold(module.huey, "import")
    module.import_orders()
    run_all(module.huey)
    assert module.kit.count("huey_lock_skips_total", lock="import") == 1
    assert module.kit.count("huey_lock_refusals_total", lock="import") == 1


def raise_from(error, cause):
    raise error from cause


def raise_while_handling(error, handled):
    try:
        raise handled
    except Exception:
        raise error  # noqa: B904 - that is what is tested


LOCKED = huey.exceptions.TaskLockedException("held")
RAISED = {
    "a subclass": (lambda: raise_from(type("Own", (type(LOCKED),), {})(), None), False),
    "from a lock error": (lambda: raise_from(ValueError("busy"), LOCKED), False),
    "redis, not acquired": (
        lambda: raise_from(LockError("Unable to acquire lock within the time specified"), None),
        False,
    ),
    "while handling a lock error": (lambda: raise_while_handling(ValueError("x"), LOCKED), True),
    "redis, lost": (lambda: raise_from(LockNotOwnedError("lost"), None), True),
}
if sys.version_info >= (3, 11):
    group = ExceptionGroup("both", [LOCKED, LOCKED])  # noqa: F821 - in Python since 3.11
    mixed = ExceptionGroup("both", [LOCKED, ValueError("x")])  # noqa: F821
    RAISED["a group of lock errors"] = (lambda: raise_from(group, None), False)
    RAISED["a group with another error"] = (lambda: raise_from(mixed, None), True)


@pytest.mark.parametrize("name", RAISED)
def test_a_lock_error_is_what_the_page_of_rules_says(name):
    """Only other errors are stored."""
    act, is_stored = RAISED[name]
    queue = MemoryHuey("rules")
    with install_handlers(queue):
        queue.task(name="task")(act)()
        run_all(queue)
        assert bool(stored_errors(queue)) == is_stored


def test_the_kit_deletes_the_tokens_that_the_page_of_rules_names():
    """That of a skipped task; not that of a periodic task, of an own id, or a pause switch."""
    queue = MemoryHuey("rules")
    task = queue.task(name="task")(lambda: None)
    paused = queue.task(name="paused")(lambda: None)
    periodic = queue.periodic_task(crontab(), name="periodic")(lambda: None)
    with install_handlers(queue):
        task().revoke()
        paused.revoke()
        paused()
        for own in (task.task_class(id="nightly"), periodic.s()):
            queue.revoke(own)
            queue.enqueue(own)
        run_all(queue)
    kept = tokens(queue)
    assert "r:nightly" in kept
    assert len([key for key in kept if key.startswith("r:")]) == 2
    assert len([key for key in kept if key.startswith("rt:")]) == 1


def commands_of(path):
    """The command lines of `huey-signals` in a page, without comments."""
    lines = re.findall(r"^huey-signals .+$", path.read_text(), re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


def test_the_commands_of_the_pages_exist():
    """With their options; the page of commands has every one but the demo."""
    pytest.importorskip("typer", exc_type=ImportError)
    from typer.main import get_command

    from huey_signals_kit.cli import app

    root = get_command(app)
    for page in ("README.md", "recipes/commands.md", "recipes/locks.md"):
        for words in commands_of(ROOT / page):
            command, rest = root, words
            while rest and (inner := getattr(command, "commands", {}).get(rest[0])):
                command, rest = inner, rest[1:]
            assert command is not root, words
            options = {option for param in command.params for option in param.opts}
            inner_options = {
                option
                for each in getattr(command, "commands", {}).values()
                for param in each.params
                for option in param.opts
            }
            assert {word for word in rest if word.startswith("--")} <= options | inner_options
    named = {words[0] for words in commands_of(RECIPES / "commands.md")}
    assert named == set(root.commands) - {"demo"}


@pytest.mark.slow
def test_the_commands_that_end_run_on_a_new_queue(tmp_path):
    """None of them fails with a traceback, and forget leaves nothing of the kit."""
    (tmp_path / "tasks.py").write_text(
        "from huey import SqliteHuey\nfrom huey_signals_kit import install_handlers\n"
        "huey = SqliteHuey('shop', filename='queue.db')\nkit = install_handlers(huey)\n"
    )
    endless = ("top", "export", "web")
    with reader_in(tmp_path) as reader:
        for page in ("locks.md", "commands.md"):
            for words in commands_of(RECIPES / page):
                if words[0] not in endless:
                    printed = reader.run(f"huey-signals {shlex.join(words)}; echo exit $?")
                    assert "Traceback" not in printed
                    assert re.search(r"exit [01]\n$", printed), (words, printed)


@pytest.mark.skipif(not IS_MEASURED_HUEY, reason="the table is of Huey 3.5")
def test_the_kit_and_the_hook_by_hand_leave_what_the_comparison_shows(tmp_path):
    """Measured again, each in a process of its own."""
    pytest.importorskip("sentry_sdk.integrations.huey")
    page = (RECIPES / "comparison.md").read_text()
    for tool in ("hand", "kit"):
        measured = measure_in_process(tool, tmp_path)
        shown = table(dict.fromkeys(TOOLS, measured)).splitlines()
        column = list(TOOLS).index(tool) + 2
        for line in shown[2:-3]:
            title, value = line.split("|")[1], line.split("|")[column]
            (stated,) = (row for row in page.splitlines() if row.startswith(f"|{title}|"))
            assert stated.split("|")[column] == value, title


@pytest.mark.slow
@pytest.mark.skipif(not IS_MEASURED_HUEY, reason="the table is of Huey 3.5")
def test_the_comparison_shows_what_each_tool_leaves(tmp_path):
    """The whole table, with the versions of the other tools that are installed."""
    for package in ("huey.contrib.stats", "huey_monitor", "django", "peewee", "sentry_sdk"):
        pytest.importorskip(package)
    measured = {tool: measure_in_process(tool, tmp_path) for tool in TOOLS}
    assert table(measured) in (RECIPES / "comparison.md").read_text()


def test_the_code_of_the_comparison_is_what_was_measured():
    """The hook of the page deletes the error of a locked task; catching it stores none, either."""
    page = "".join(block.text for block in blocks_of("comparison.md") if block.language == "python")
    names = {}
    exec(page.replace("RedisHuey", "MemoryHuey"), names)
    queue = names["huey"]
    queue.task(name="locked")(queue.lock_task("import")(lambda: None))()
    names["import_orders"]()
    hold(queue, "import")
    assert run_all(queue) == 2
    assert stored_errors(queue) == {}
