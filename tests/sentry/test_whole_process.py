"""In a Python of its own: Sentry as `sentry_sdk.init` sets it up by itself, imported when it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.selection import slow_except

KIT = "from huey_signals_kit import install_handlers; kit = install_handlers(huey)"
IMPORT = "import sentry_sdk"
INIT = """
from tests.sentry.transport import DSN, Recorder
sentry = Recorder()
import sentry_sdk
sentry_sdk.init(DSN, transport=sentry)
"""
BEGIN = """
import sys
from huey import MemoryHuey
from huey.exceptions import TaskLockedException
before = list(sys.meta_path)
huey = MemoryHuey("x")
"""
WORK = """
ways = ["plain", "wrapped", "broken"]

@huey.task()
def report():
    way = ways.pop(0)
    if way == "broken":
        raise ValueError(way)
    try:
        raise TaskLockedException("unable to acquire lock held")
    except TaskLockedException as error:
        if way == "wrapped":
            raise KeyError(way) from error
        raise

for _ in range(3):
    report()
    huey.execute(huey.dequeue())
"""
SHOW = """
from tests.sentry.transport import shown, title
print([(title(event), len(shown(event))) for event in sentry.events])
"""


def python(*parts):
    """What a fresh Python prints that runs these; a warning is an error."""
    script = "\n".join([BEGIN, *parts])
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended


@pytest.mark.parametrize(
    "parts",
    slow_except(
        [[IMPORT, INIT, KIT], [KIT, INIT]],
        [
            [IMPORT, INIT, KIT],
            [IMPORT, KIT, INIT],
            [KIT, IMPORT, INIT],
            [KIT, INIT],
            [KIT, INIT, INIT],
        ],
    ),
    ids=["init-kit", "import-kit-init", "kit-import-init", "kit-init", "kit-init-init"],
)
def test_kit_and_sentry_may_come_in_any_order(parts):
    """With all the integrations that Sentry enables by itself, which HueyIntegration is one of."""
    assert python(*parts, WORK, SHOW).stdout == "[('ValueError', 2)]\n"


def test_sentry_may_come_after_the_skips():
    """What was skipped before Sentry was imported is shown as well."""
    middle = WORK.replace("range(3)", "range(2)")
    last = INIT + "report()\nhuey.execute(huey.dequeue())"
    assert python(KIT, middle, last, SHOW).stdout == "[('ValueError', 2)]\n"


def test_the_kit_imports_no_sentry():
    """Neither installing nor a locked task does."""
    assert python(KIT, WORK, "print('sentry_sdk' in sys.modules)").stdout == "False\n"


def test_without_sentry_nothing_is_said():
    """It need not be installed; the log has Huey's own lines alone."""
    ended = python("sys.modules['sentry_sdk'] = None", KIT, WORK)
    assert "huey_signals_kit" not in ended.stderr.replace("huey_signals_kit/", "")


@pytest.mark.slow
@pytest.mark.parametrize("parts", [(KIT,), (INIT, KIT), (KIT, INIT)], ids=["never", "init", "kit"])
def test_uninstalled_it_leaves_no_trace(parts):
    """Neither among Sentry's processors nor among Python's import hooks."""
    look = """
kit.uninstall()
import sentry_sdk.scope
processors = [type(each).__module__ for each in sentry_sdk.scope.global_event_processors]
print(sys.meta_path == before, any("huey_signals_kit" in each for each in processors))
"""
    assert python(*parts, WORK, look).stdout == "True False\n"


def test_switched_off_it_is_nowhere():
    """With ``sentry=False`` the kit touches neither."""
    off = KIT.replace("(huey)", "(huey, sentry=False)")
    assert python(off, "print(sys.meta_path == before)").stdout == "True\n"
