"""The fixtures and the mark, in projects that use them as a reader would."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from tests.testing.projects import pytest_in

SHOP = """
from huey import MemoryHuey
from huey_signals_kit import install_handlers, on

huey = MemoryHuey("shop", immediate=True)
mails = MemoryHuey("mails", immediate=True)
kit = install_handlers(huey, "observe", sinks="memory")

@huey.task()
@huey.lock_task("import")
def import_orders():
    return 1

@mails.task()
@mails.lock_task("smtp")
def send():
    return 1

sent = []

@kit.on("complete", background=True)
def slow(event):
    sent.append(event.task_name)
"""

TESTS = """
import asyncio
import unittest

import pytest
from huey_signals_kit import get_kit, on
from huey_signals_kit.registry import default_registry
from huey_signals_kit.testing import Recorder, record
from shop import huey as shop_huey, import_orders, kit, mails, send, sent


@pytest.fixture
def skipped(huey_signals, huey_lock):
    with huey_lock("import"):
        import_orders()
    return huey_signals


def test_first(huey_signals, huey_lock):
    assert type(huey_signals) is Recorder
    assert kit.count("huey_lock_skips_total") == 0
    huey_lock("import")
    import_orders()
    assert huey_signals.skips(import_orders, lock="import") == 1
    on("complete")(print)
    kit.on("complete")(print)
    huey_signals.kit.on("complete")(print)


def test_second(huey_signals, skipped):
    assert skipped is huey_signals
    assert kit.count("huey_lock_skips_total") == 1
    assert not list(default_registry)
    assert len(kit.handlers) == len(huey_signals.kit.handlers) - 1 == 4
    assert get_kit(shop_huey) is huey_signals.kit is not kit


def test_without_fixture():
    assert get_kit(shop_huey) is kit
    assert kit.count("huey_lock_skips_total") == 0
    assert not shop_huey.is_locked("import")


def test_without_fixture_the_own_kit_works():
    before = kit.count("huey_signals_total", signal="complete")
    import_orders()
    assert kit.count("huey_signals_total", signal="complete") == before + 1


def test_background(huey_signals):
    sent.clear()
    import_orders()
    huey_signals.wait_for_background()
    assert sent == ["shop.import_orders"]


@pytest.mark.huey_signals("quiet-locks", clean_tokens="never")
class TestMarks:
    def test_options(self, skipped):
        assert skipped.kit.settings.preset == ("quiet-locks",)
        assert skipped.suppressed() == 1

    @pytest.mark.huey_signals(huey=mails)
    def test_a_mark_adds_to_that_of_the_class(self, huey_signals, huey_lock):
        assert huey_signals.huey is mails
        assert huey_signals.kit.settings.clean_tokens == "never"
        with huey_lock("smtp"), huey_lock("import", huey=shop_huey):
            send()
            assert shop_huey.is_locked("import")
        assert huey_signals.skips(send) == 1
        assert not get_kit(shop_huey).is_test

    @pytest.mark.huey_signals(huey="shop.mails")
    def test_two_hueys(self, huey_signals):
        with record(shop_huey) as other:
            send(), import_orders()
        assert huey_signals.signals() == other.signals()
        assert huey_signals.events != other.events


def test_async(huey_signals, huey_lock):
    async def run():
        with huey_lock("import"):
            await asyncio.to_thread(import_orders)

    asyncio.run(run())
    assert huey_signals.skips(import_orders) == 1


class ImportTest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _record(self, huey_signals, huey_lock):
        self.recorded, self.lock = huey_signals, huey_lock

    def test_in_a_test_case(self):
        with self.lock("import"):
            import_orders()
        self.assertEqual(self.recorded.skips(import_orders), 1)


def test_fails_with_a_lock(huey_signals, huey_lock):
    huey_lock("import")
    import_orders()
    assert huey_signals.skips(import_orders, lock="ledger") == 1


def test_refuses_a_held_lock(huey_lock):
    huey_lock("import")
    huey_lock("import")


def test_last():
    assert not shop_huey.is_locked("import")
    assert get_kit(shop_huey) is kit
"""
EXPECTED_TO_FAIL = {"test_fails_with_a_lock", "test_refuses_a_held_lock"}
INI = "[pytest]\nhuey_signals_huey = shop.huey\npythonpath = .\n"


@pytest.fixture
def project(tmp_path):
    """A project with a shop and an empty configuration."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def outcomes_as_expected(ran):
    assert len(ran.outcomes) == TESTS.count("def test_"), ran.out
    failed = {name for name, outcome in ran.outcomes.items() if outcome != "passed"}
    assert failed == EXPECTED_TO_FAIL, ran.out


def test_the_plugin_is_installed_under_the_name_that_turns_it_off():
    """An environment that was made before the entry point has to be installed again."""
    (found,) = entry_points(group="pytest11", name="huey_signals")
    assert found.value == "huey_signals_kit.testing.pytest_plugin"


def test_the_fixtures_isolate_the_tests_and_failures_explain_themselves(project):
    """Counts, handlers, locks and the kit, between tests, in TestCases and under marks."""
    (project / "pytest.ini").write_text(INI)
    (project / "test_shop.py").write_text(TESTS)
    ran = pytest_in(project)
    outcomes_as_expected(ran)
    assert "assert 0 lock skips of shop.import_orders with lock 'ledger' == 1" in ran.words
    assert "executing, locked by 'import'" in ran.out
    assert "held_lock() cannot hold the lock 'import' of 'shop', because it is held by" in ran.out


@pytest.mark.slow
def test_the_same_in_two_processes_of_xdist(project):
    """Each of which has the Huey, the kit and the fixtures for itself."""
    (project / "pytest.ini").write_text(INI)
    (project / "test_shop.py").write_text(TESTS)
    outcomes_as_expected(pytest_in(project, "-n2", "--dist=load"))


def test_a_run_that_uses_no_fixture_imports_neither_huey_nor_the_kit(project):
    """With the mark registered and the ini option known."""
    (project / "test_plain.py").write_text(
        "import sys\n\n"
        "def test_plain():\n"
        "    names = [name for name in sys.modules if name.split('.')[0].startswith('huey')]\n"
        "    assert sorted(names) == ['huey_signals_kit', 'huey_signals_kit.testing',\n"
        "                             'huey_signals_kit.testing.pytest_plugin']\n"
    )
    (project / "pytest.ini").write_text(INI)
    assert pytest_in(project).outcomes == {"test_plain": "passed"}
    ran = pytest_in(project, "--markers")
    assert "@pytest.mark.huey_signals(preset, *, huey, ...): the options of" in ran.out


def test_each_way_to_name_the_huey_and_their_order(project):
    """The mark before the fixture, the fixture before the configuration."""
    (project / "pytest.ini").write_text(INI.replace("shop.huey", "shop.mails"))
    (project / "test_order.py").write_text(
        "import pytest, shop\n\n"
        "def test_ini(huey_signals, huey):\n"
        "    assert huey_signals.huey is huey is shop.mails\n\n"
        "@pytest.mark.huey_signals(huey='shop:huey')\n"
        "def test_mark(huey_signals, huey):\n"
        "    assert huey_signals.huey is huey is shop.huey\n\n"
        "class TestFixture:\n"
        "    @pytest.fixture\n"
        "    def huey(self):\n"
        "        return shop.huey\n\n"
        "    def test_fixture(self, huey_signals, huey_lock):\n"
        "        assert huey_signals.huey is shop.huey\n"
        "        assert huey_lock('x') and shop.huey.is_locked('x')\n\n"
        "    @pytest.mark.huey_signals(huey=shop.mails)\n"
        "    def test_mark_and_fixture(self, huey_signals, huey_lock):\n"
        "        assert huey_signals.huey is shop.mails\n"
        "        assert huey_lock('x') and shop.mails.is_locked('x')\n"
    )
    ran = pytest_in(project)
    assert (ran.code, len(ran.outcomes)) == (0, 4), ran.out


def test_what_is_wrong_with_the_name_of_the_huey_is_said(project):
    """No name, a wrong module, a wrong attribute, no Huey, and a wrong mark."""
    (project / "test_wrong.py").write_text(
        "import pytest\n\n"
        "def test_none(huey_signals): ...\n\n"
        "@pytest.mark.huey_signals(huey='shopp.huey')\n"
        "def test_module(huey_lock):\n"
        "    huey_lock('x')\n\n"
        "@pytest.mark.huey_signals(huey='shop.huye')\n"
        "def test_attribute(huey_signals): ...\n\n"
        "@pytest.mark.huey_signals(huey='shop.sent')\n"
        "def test_object(huey_signals): ...\n\n"
        "@pytest.mark.huey_signals('observe', 'quiet-locks')\n"
        "def test_mark(huey_signals): ...\n\n"
        "@pytest.mark.huey_signals(huey='shop.huey', presett='observe')\n"
        "def test_option(huey_signals): ...\n"
    )
    ran = pytest_in(project)
    assert set(ran.outcomes.values()) <= {"error", "failed"}, ran.out
    assert len(ran.outcomes) == 6
    for words in (
        "The fixtures of huey-signals-kit need a Huey. Define a fixture `huey` that returns it",
        "'shopp.huey' does not name a Huey (No module named 'shopp')",
        "'shop.huye' does not name a Huey (module 'shop' has no attribute 'huye')",
        "record() takes a Huey, got []",
        "the mark huey_signals takes one positional argument, the preset, got",
        "record() has no option 'presett' (given as 'observe'). Did you mean 'preset'?",
    ):
        assert words in ran.words


def test_turned_off_the_plugin_leaves_nothing(project):
    """Neither the fixtures nor their name `huey`, which a project may use for its own."""
    (project / "test_off.py").write_text(
        "import pytest\n\n"
        "@pytest.fixture\n"
        "def huey():\n"
        "    return 3\n\n"
        "def test_own(huey):\n"
        "    assert huey == 3\n\n"
        "def test_gone(huey_signals): ...\n"
    )
    ran = pytest_in(project, "-p", "no:huey_signals")
    assert ran.outcomes == {"test_own": "passed", "test_gone": "error"}
    assert "fixture 'huey_signals' not found" in ran.out


APP_FACTORY = """
import pytest
from huey import MemoryHuey
from huey_signals_kit import get_kit, install_handlers

queue = MemoryHuey("factory", immediate=True)

@queue.task()
@queue.lock_task("import")
def import_orders(): ...

def create_app():
    return install_handlers(queue, "brief-locks", sinks="auto")

@pytest.fixture
def app():
    return create_app()

@pytest.fixture
def huey(app):
    return queue

def test_factory(huey_signals, huey_lock, app):
    assert create_app() is huey_signals.kit
    assert huey_signals.kit.settings.preset == ("brief-locks",)
    with huey_lock("import"):
        import_orders()
    assert huey_signals.suppressed() == 1

def test_again(app, huey_signals):
    assert not huey_signals.events
    assert get_kit(queue) is huey_signals.kit is not app
"""


@pytest.mark.slow
def test_an_app_factory_may_install_its_kit_in_every_test(project):
    """The fixture `huey` depends on the app, so the kit of the app comes first."""
    (project / "test_factory.py").write_text(APP_FACTORY)
    ran = pytest_in(project)
    assert ran.outcomes == {"test_factory": "passed", "test_again": "passed"}, ran.out
