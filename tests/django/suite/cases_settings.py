"""The setting HUEY_SIGNALS, in the project and in its tests."""

from __future__ import annotations

from django.conf import settings
from django.core.signals import setting_changed
from django.test import SimpleTestCase, modify_settings, override_settings
from huey.exceptions import TaskLockedException

from huey_signals_kit import get_kit, install_handlers, uninstall_handlers
from huey_signals_kit.contrib.django._options import read_options
from huey_signals_kit.testing import installed
from tests.django.suite import huey_handlers, objects

HUEY = settings.HUEY
PATH = "tests.django.suite.objects"


def option(name):
    """Return an argument with which the kit is installed."""
    return getattr(get_kit(HUEY).settings, name)


@HUEY.task()
@HUEY.lock_task("held")
def guarded():
    """Run."""


def skip():
    """Run a task whose lock is held; return what is stored."""
    HUEY.flush()
    with HUEY.lock_task("held"):
        guarded()
        HUEY.execute(HUEY.dequeue())
    return len(HUEY.all_results())


class Installation(SimpleTestCase):
    """What the app does when Django starts."""

    def test_the_kit_is_installed_as_the_setting_says(self):
        """The preset is of huey_handlers.py, and a path names the class of the sink."""
        self.assertEqual(option("preset"), ("of-the-suite",))
        self.assertIsInstance(option("sinks")[0], objects.Sink)

    def test_the_handlers_of_the_app_run(self):
        """The module huey_handlers.py has registered them on no Huey in particular."""
        guarded()
        HUEY.execute(HUEY.dequeue())
        self.assertEqual(huey_handlers.heard[-1], f"{__name__}.guarded")

    def test_apps_that_are_loaded_again_leave_the_kit_alone(self):
        """Django loads the apps again when a test overrides INSTALLED_APPS."""
        kit = get_kit(HUEY)
        with modify_settings(INSTALLED_APPS={"append": "django.contrib.messages"}):
            self.assertIs(get_kit(HUEY), kit)
        self.assertIs(get_kit(HUEY), kit)


class Override(SimpleTestCase):
    """``override_settings(HUEY_SIGNALS=...)``."""

    def test_it_takes_effect_inside_the_block(self):
        """Lock errors are stored under a preset that stores them, and dropped under another."""
        with override_settings(HUEY_SIGNALS={"preset": "quiet-locks"}):
            self.assertEqual(skip(), 0)
        with override_settings(HUEY_SIGNALS={"preset": "observe"}):
            self.assertEqual(skip(), 1)

    def test_it_is_undone_after_the_block(self):
        """The same kit is back, with its handlers and its counts."""
        kit, heard = get_kit(HUEY), []
        handler = kit.registry.add(lambda event: heard.append(event.signal), "locked")
        skip()
        before = kit.count("huey_lock_skips_total")
        with override_settings(HUEY_SIGNALS={"preset": "quiet-locks"}):
            self.assertIsNot(get_kit(HUEY), kit)
            self.assertEqual(get_kit(HUEY).count("huey_lock_skips_total"), 0)
            skip()
        self.assertIs(get_kit(HUEY), kit)
        skip()
        self.assertEqual(heard, ["locked"] * 2)
        self.assertEqual(kit.count("huey_lock_skips_total"), before + 1)
        kit.registry.remove(handler)

    def test_blocks_can_be_nested(self):
        """Each end brings back the one before."""
        with override_settings(HUEY_SIGNALS={"preset": "observe"}):
            with override_settings(HUEY_SIGNALS={"preset": "tidy-tokens"}):
                self.assertEqual(option("preset"), ("tidy-tokens",))
            self.assertEqual(option("preset"), ("observe",))
        self.assertEqual(option("preset"), ("of-the-suite",))

    def test_one_queue_can_have_other_arguments(self):
        """Its arguments replace the common ones."""
        more = {"suite": {"preset": "observe"}}
        with override_settings(
            HUEY_SIGNALS={"preset": "tidy-tokens", "sentry": False, "queues": more}
        ):
            self.assertEqual((option("preset"), option("sentry")), (("observe",), False))

    def test_paths_name_objects(self):
        """Every argument that takes objects takes paths, alone or in a list."""
        with override_settings(
            HUEY_SIGNALS={
                "preset": ["observe", f"{PATH}.registry"],
                "registry": f"{PATH}.registry",
                "sinks": ["memory", f"{PATH}.Sink"],
                "lock_exceptions": [f"{PATH}.Busy", TaskLockedException],
                "clean_tokens": f"{PATH}.clean",
            }
        ):
            self.assertEqual(option("preset"), ("observe", objects.registry))
            self.assertIs(option("registry"), objects.registry)
            self.assertEqual(option("sinks")[0], "memory")
            self.assertIsInstance(option("sinks")[1], objects.Sink)
            self.assertEqual(option("lock_exceptions"), (objects.Busy, TaskLockedException))
            self.assertIs(option("clean_tokens"), objects.clean)

    def test_each_queue_has_a_sink_of_its_own(self):
        """The setting names a class, of which each queue gets an instance."""
        options, _ = read_options(["suite", "another"])
        sinks = [each["sinks"] for each in options.values()]
        self.assertEqual([type(sink) for sink in sinks], [objects.Sink] * 2)
        self.assertIsNot(*sinks)

    def test_no_setting_means_the_defaults(self):
        """The setting is missing, empty or None."""
        for value in ({}, None):
            with override_settings(HUEY_SIGNALS=value):
                self.assertEqual(option("preset"), ("quiet-locks",))
        with self.settings():
            del settings.HUEY_SIGNALS
            setting_changed.send(type(self), setting="HUEY_SIGNALS", value=None, enter=True)
            self.assertEqual(option("preset"), ("quiet-locks",))
        setting_changed.send(type(self), setting="HUEY_SIGNALS", value=None, enter=False)
        self.assertEqual(option("preset"), ("of-the-suite",))

    def test_a_wrong_setting_leaves_the_queue_without_a_kit(self):
        """The kit is back after the block; nothing is raised, and the log says why."""
        kit = get_kit(HUEY)
        with (
            self.assertLogs("huey_signals_kit", "ERROR") as logs,
            override_settings(HUEY_SIGNALS={"preset": "quite-locks"}),
        ):
            self.assertIsNone(get_kit(HUEY))
        self.assertIs(get_kit(HUEY), kit)
        self.assertIn("Did you mean 'quiet-locks'?", logs.output[0])
        self.assertIn("No kit is installed on 'suite'", logs.output[1])

    def test_a_kit_that_the_test_has_installed_is_left_alone(self):
        """Neither the beginning nor the end of a block changes it."""
        former = get_kit(HUEY)
        uninstall_handlers(HUEY)
        with install_handlers(HUEY, preset="observe") as kit:
            with (
                self.assertLogs("huey_signals_kit", "WARNING") as logs,
                override_settings(HUEY_SIGNALS={"preset": "tidy-tokens"}),
            ):
                self.assertIs(get_kit(HUEY), kit)
            self.assertIs(get_kit(HUEY), kit)
        self.assertIn("huey_signals.W002", logs.output[0])
        with override_settings(HUEY_SIGNALS={"preset": "observe"}):
            pass
        self.assertIs(get_kit(HUEY), former)

    def test_it_can_replace_a_kit_that_the_test_has_installed(self):
        """The setting has the argument ``replace`` of install_handlers."""
        former = get_kit(HUEY)
        uninstall_handlers(HUEY)
        install_handlers(HUEY, preset="observe")
        with override_settings(HUEY_SIGNALS={"preset": "tidy-tokens", "replace": True}):
            self.assertEqual(option("preset"), ("tidy-tokens",))
        self.assertIs(get_kit(HUEY), former)

    def test_it_is_refused_while_the_kit_of_a_test_is_installed(self):
        """It would have no effect there; it is undone, also inside another override."""
        former = get_kit(HUEY)
        with override_settings(HUEY_SIGNALS={"preset": "observe"}):
            outer = get_kit(HUEY)
            with installed(HUEY, preset="brief-locks") as kit:
                with (
                    self.assertRaisesRegex(RuntimeError, "'suite'.* override the setting before"),
                    override_settings(HUEY_SIGNALS={"preset": "tidy-tokens"}),
                ):
                    self.fail("the block began")
                self.assertEqual(settings.HUEY_SIGNALS, {"preset": "observe"})
                self.assertIs(get_kit(HUEY), kit)
            self.assertIs(get_kit(HUEY), outer)
        self.assertIs(get_kit(HUEY), former)


@override_settings(HUEY_SIGNALS={"preset": "observe"})
class OverrideOfAClass(SimpleTestCase):
    """A class of tests whose setting is overridden."""

    def test_it_takes_effect(self):
        """The override is in effect in each test of the class."""
        self.assertEqual(option("preset"), ("observe",))
