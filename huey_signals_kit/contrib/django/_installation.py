"""The kits that the app installs, when Django starts and when a test overrides the setting."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from ..._checks import listed
from ..._install import AlreadyInstalled, get_kit, install_handlers, restore_kit
from ...kit import Kit
from ...runtime.log import log
from ._handlers import import_handlers
from ._options import SETTING, Options, read_options
from ._problems import Problem, sentence
from ._queues import Queue, find_queues

_NO_QUEUE = Problem(
    "W003",
    "The project has no Huey on which to install the kit.",
    "Write the setting HUEY (huey.contrib.djhuey) or DJANGO_HUEY (django-huey).",
)


class Installation:
    """The kits of this process that the app has installed, and what is wrong with the settings."""

    def __init__(self) -> None:
        self.queues: list[Queue] = []
        self._is_started = False
        self._handler_problems: list[Problem] = []
        self._problems: list[Problem] = []
        self._kits: dict[str, Kit] = {}
        """The kits that the app has installed, by queue."""
        self._overridden: list[tuple[dict[str, Kit], list[Problem]]] = []
        """The kits and problems before each override of the setting that is in effect."""

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with the settings and with the handlers of the apps."""
        return [*self._handler_problems, *self._problems, *self._replaced_kit_problems()]

    def start(self) -> None:
        """Import the handlers of every app, and install the kit on every queue.

        Django calls this again when a test overrides ``INSTALLED_APPS``; then only handlers of
        further apps are new.
        """
        self._handler_problems = import_handlers()
        _log(self._handler_problems)
        if not self._is_started:
            self._is_started = True
            self._install_all()

    def on_setting_changed(self, *, setting: str, enter: bool = True, **_: Any) -> None:
        """Follow an override of the setting, and put the former kits back at its end.

        Raises:
            RuntimeError: An override begins while the kit of a test is installed on a queue. Django
                then ends the override.
        """
        if setting != SETTING:
            return
        if enter or not self._overridden:
            if enter:
                # Also if the override is refused, because Django announces its end then.
                self._overridden.append((self._kits.copy(), self._problems))
                self._refuse_during_test_kit()
            self._install_all()
            return
        former_kits, self._problems = self._overridden.pop()
        for queue in self.queues:
            former = former_kits.get(queue.name)
            if get_kit(queue.huey) not in (None, self._kits.get(queue.name)):
                continue  # installed by a test, which removes it
            if former is None:
                self._uninstall(queue)
            else:
                restore_kit(former)
        self._kits = former_kits

    def _refuse_during_test_kit(self) -> None:
        for queue in self.queues:
            kit = get_kit(queue.huey)
            if kit is not None and kit.is_test:
                raise RuntimeError(
                    f"{SETTING} is overridden while a test's kit is installed on the queue "
                    f"{queue.name!r}, and would have no effect on that kit; override the setting "
                    "before record(), installed() or the fixture begins, or give the options to "
                    "these: record(..., preset=...), @pytest.mark.huey_signals(preset=...)"
                )

    def _install_all(self) -> None:
        self.queues, problems = find_queues()
        options, mistakes = read_options([queue.name for queue in self.queues])
        # If a Huey cannot be made, the names of its queues are unknown.
        problems += [each for each in mistakes if each.code != "E008" or not problems]
        for queue in self.queues:
            if queue.name in options:
                problem = self._install(queue, options[queue.name])
                problems += [problem] if problem else []
            else:
                self._uninstall(queue)
        if not self.queues and not problems:
            problems.append(_NO_QUEUE)
        self._problems = problems
        _log(problems)
        without = [queue.name for queue in self.queues if get_kit(queue.huey) is None]
        if without:
            log(
                logging.ERROR,
                "No kit is installed on %s, because of the mistakes logged above.",
                listed(without),
            )

    def _install(self, queue: Queue, options: Options) -> Problem | None:
        """Install the kit on one queue, or return what prevents this."""
        current, own = get_kit(queue.huey), self._kits.get(queue.name)
        if current is not None and current.is_test:
            return None  # a test's kit is installed, and the app's kit is suspended
        if own is not None and own.installed:
            options = {**options, "replace": True}
        try:
            self._kits[queue.name] = install_handlers(queue.huey, **options)
        except AlreadyInstalled as exc:
            self._kits.pop(queue.name, None)
            return _installed_twice(queue, exc.difference)
        except (Exception, SystemExit) as exc:
            self._uninstall(queue)
            return Problem("E012", sentence(f"{SETTING}: {exc}"), f"Correct {SETTING}.")
        return None

    def _replaced_kit_problems(self) -> Iterator[Problem]:
        for queue in self.queues:
            own, current = self._kits.get(queue.name), get_kit(queue.huey)
            if own is not None and current not in (None, own) and not current.is_test:
                yield _installed_twice(queue, f"the code has replaced the kit of {SETTING}")

    def _uninstall(self, queue: Queue) -> None:
        """Remove the kit from a queue, if the app has installed it."""
        kit = self._kits.pop(queue.name, None)
        if kit is not None:
            kit.uninstall()


def _installed_twice(queue: Queue, reason: str) -> Problem:
    return Problem(
        "W002",
        f"The kit is installed twice on the queue {queue.name!r}, by the code of the project and "
        f"by {SETTING}, with different arguments: {sentence(reason)}",
        f"Remove the call of install_handlers(), and write its arguments in {SETTING}. Until then "
        "the kit of the code stays.",
    )


def _log(problems: list[Problem]) -> None:
    for problem in problems:
        log(problem.level, "%s", problem)


installation = Installation()
"""The installation of this process."""
