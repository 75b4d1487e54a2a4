"""The shop of ``huey-signals demo --web``: an application with work, contention and errors."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from huey import crontab

from ... import install_handlers
from .storages import DemoStorage

IMPORT_LOCK, REPORT_LOCK, LEGACY_LOCK = "import-orders", "reports/nightly", "legacy-export"
_NAME = "shop"
_RETRY_SECONDS = 45

_MODULE = """\
from {package}.shop import open_shop
from {package}.storages import DemoStorage

huey = open_shop({storage!r})
"""


def write_module(storage: DemoStorage, folder: Path) -> None:
    """Write the module ``shop``, which other commands find when they are run in the folder."""
    text = _MODULE.format(package=__package__, storage=storage)
    (folder / f"{_NAME}.py").write_text(text)


def pretend_module(huey: Any) -> None:
    """Make `huey` that of the module ``shop``, which the web interface names in commands."""
    module = sys.modules[_NAME] = ModuleType(_NAME)
    vars(module)["huey"] = huey


def open_shop(storage: DemoStorage) -> Any:
    """Return a new Huey with the kit and the tasks of the shop, as its consumers use it."""
    huey = storage.open()
    install_handlers(huey, preset="quiet-locks", sinks="memory")
    declare_shop_tasks(huey)
    return huey


def declare_shop_tasks(huey: Any) -> dict[str, Any]:
    """Declare the tasks of the shop, under the name of its module; return them by name."""

    def import_orders(seconds: float) -> None:
        with huey.lock_task(IMPORT_LOCK):
            time.sleep(seconds)

    def nightly_report(seconds: float) -> None:
        with huey.lock_task(REPORT_LOCK):
            time.sleep(seconds)

    def send_invoice(number: int) -> int:
        time.sleep(number % 7 / 20)
        return number * 100 + 19

    def charge_customer(number: int) -> None:
        if number % 2 == 0:
            raise ValueError(f"customer {number} has no account")

    def build_catalogue(seconds: float) -> None:
        time.sleep(seconds)

    def remind_customer(number: int) -> None:
        pass

    def refresh_prices() -> None:
        time.sleep(1)

    functions = (import_orders, nightly_report, send_invoice, build_catalogue, remind_customer)
    for function in (*functions, charge_customer, refresh_prices):
        function.__module__ = _NAME
    tasks = {function.__name__: huey.task()(function) for function in functions}
    tasks["charge_customer"] = huey.task(retries=1, retry_delay=_RETRY_SECONDS)(charge_customer)
    tasks["refresh_prices"] = huey.periodic_task(crontab(minute="*"))(refresh_prices)
    return tasks
