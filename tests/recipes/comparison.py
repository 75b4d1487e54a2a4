"""Run the same work with bare Huey, by hand, with other tools and with the kit; print what is left.

``python -m tests.recipes.comparison`` prints the table of ``recipes/comparison.md``.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from huey import MemoryHuey
from huey.exceptions import TaskException, TaskLockedException
from huey.utils import Error

LOCKED, PIPELINES, FAILING, GOOD, REVOKED = 100, 10, 20, 30, 50
TOOLS = {
    "bare": "bare Huey",
    "hand": "by hand",
    "stats": "Huey's stats",
    "monitor": "django-huey-monitor",
    "sentry": "Sentry",
    "kit": "the kit",
}
ROWS = {
    "lock_errors": "lock errors stored",
    "real_errors": "real errors stored",
    "results": "results stored",
    "tokens": "revoke tokens left",
    "wrong_runs": "runs of a task that was revoked",
    "rows": "rows in the tool's own tables",
    "events_locked": "Sentry events of lock errors",
    "events_real": "Sentry events of real errors",
}


class Kept:
    """What a tool has written elsewhere."""

    rows = events_locked = events_real = 0


def by_hand(huey: Any) -> None:
    """Ten lines: delete the error of a locked task after Huey has stored it, and spent tokens."""

    @huey.post_execute()
    def delete_lock_error(task, value, exc):
        if isinstance(exc, TaskLockedException):
            huey.delete(task.id)

    @huey.signal("revoked")
    def delete_token(signal, task):
        huey.restore_by_id(task.id)


def with_stats(huey: Any, kept: Kept) -> Any:
    """Huey's own stats, in SQLite."""
    import peewee
    from huey.contrib.stats import HueyEvent, HueyStats

    stats = HueyStats(huey, peewee.SqliteDatabase("stats.db"))
    stats.connect()

    def read() -> None:
        stats.close()
        kept.rows = HueyEvent.select().count()

    return read


def with_monitor(kept: Kept) -> tuple[Any, Any]:
    """django-huey-monitor in a Django project; return its Huey, and what counts rows."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    apps = ("contenttypes", "auth", "sessions", "messages", "admin")
    settings.configure(
        INSTALLED_APPS=[
            *(f"django.contrib.{app}" for app in apps),
            *("bx_django_utils", "huey_monitor", "huey.contrib.djhuey"),
        ],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "monitor.db"}},
        HUEY={"huey_class": "huey.MemoryHuey", "name": "shop", "immediate": False},
        USE_TZ=True,
        LOGGING_CONFIG=None,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        SILENCED_SYSTEM_CHECKS=["admin"],
    )
    django.setup()
    call_command("migrate", verbosity=0, skip_checks=True)
    import huey_monitor.tasks
    from huey.contrib.djhuey import HUEY
    from huey_monitor.models import SignalInfoModel, TaskModel

    assert huey_monitor.tasks.store_signals

    def read() -> None:
        kept.rows = SignalInfoModel.objects.count() + TaskModel.objects.count()

    return HUEY, read


def with_sentry(kept: Kept) -> None:
    """Sentry's own integration, as its documentation sets it up."""
    import sentry_sdk
    from sentry_sdk.integrations.huey import HueyIntegration

    def count(event, hint):
        if issubclass(hint.get("exc_info", [Exception])[0], TaskLockedException):
            kept.events_locked += 1
        elif "exc_info" in hint:
            kept.events_real += 1

    sentry_sdk.init("https://key@sentry.invalid/1", integrations=[HueyIntegration()])
    sentry_sdk.get_client().options["before_send"] = count


def measure(tool: str) -> dict[str, int]:
    """Do the work with one tool; return what is left."""
    logging.disable(logging.CRITICAL)
    huey: Any = MemoryHuey("shop")
    kept, read = Kept(), lambda: None
    if tool == "hand":
        by_hand(huey)
    elif tool == "stats":
        read = with_stats(huey, kept)
    elif tool == "monitor":
        huey, read = with_monitor(kept)
    elif tool == "sentry":
        with_sentry(kept)
    elif tool == "kit":
        with_sentry(kept)
        from huey_signals_kit import install_handlers

        install_handlers(huey)
    wrong_runs = work(huey)
    read()
    stored = [huey.serializer.deserialize(raw) for raw in huey.all_results().values()]
    errors = [each.metadata["error"] for each in stored if isinstance(each, Error)]
    locked = [each for each in errors if "Locked" in each]
    tokens = [key for key in huey.all_results() if key.startswith("r:")]
    return {
        "lock_errors": len(locked),
        "real_errors": len(errors) - len(locked),
        "results": sum(value == "done" for value in stored),
        "tokens": len(tokens),
        "wrong_runs": wrong_runs,
        **{name: getattr(kept, name) for name in ("rows", "events_locked", "events_real")},
    }


def work(huey: Any) -> int:
    """Run every kind of task; return how often a task ran although it was revoked."""
    runs: list[str] = []

    @huey.task()
    @huey.lock_task("import")
    def import_orders():
        raise AssertionError("the lock is held")

    @huey.task()
    def good(*args):
        return "done"

    @huey.task()
    def failing():
        raise ValueError("a real error")

    @huey.task()
    def nightly():
        runs.append("nightly")

    huey.lock_task("import").acquire()
    for _ in range(LOCKED):
        import_orders()
    for _ in range(PIPELINES):
        huey.enqueue(import_orders.s().then(good))
    for _ in range(FAILING):
        failing()
    for _ in range(GOOD):
        good()
    for _ in range(REVOKED):
        good().revoke(revoke_once=False)
    # A task with an id of the application's own, revoked, and enqueued twice.
    huey.revoke_by_id("nightly")
    for _ in range(2):
        huey.enqueue(nightly.s(id="nightly"))
    while (task := huey.dequeue()) is not None:
        try:
            huey.execute(task)
        except TaskException:
            raise AssertionError("execute() raises nothing") from None
    return len(runs)


def table(measured: dict[str, dict[str, int]]) -> str:
    """Return the table of the page."""
    lines = [f"| left after the work | {' | '.join(TOOLS.values())} |", "| --- |" + " --- |" * 6]
    for row, title in ROWS.items():
        cells = [_cell(tool, row, measured[tool][row]) for tool in TOOLS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(tool: str, row: str, value: int) -> str:
    has_tables = tool in ("stats", "monitor")
    has_sentry = tool in ("sentry", "kit")
    absent = (row == "rows" and not has_tables) or (row.startswith("events") and not has_sentry)
    return "" if absent else str(value)


def measure_in_process(tool: str, folder: Path) -> dict[str, int]:
    """Measure a tool in a process and a folder of its own."""
    (own := folder / tool).mkdir()
    script = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
    script += "from tests.recipes.comparison import measure\n"
    script += f"print(json.dumps(measure({tool!r})))"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=own, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    measured: dict[str, int] = json.loads(ran.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        print(table({tool: measure_in_process(tool, Path(name)) for tool in TOOLS}))
