"""Your own preset, for all services of a company.

Problem: ten services should treat their queues alike, without a copy of the handlers in each.
A preset is a function that fills a registry. Give it a name, and each service installs it by name.

To ship a preset in your own package, name the function in that package's ``pyproject.toml``.
Then no service has to import the package:

    [project.entry-points."huey_signals_kit.presets"]
    our-house = "our_package.presets:our_house"
"""

from __future__ import annotations

from huey import MemoryHuey
from huey.signals import SIGNAL_ERROR, SIGNAL_LOCKED, SIGNAL_REVOKED

from huey_signals_kit import Event, Registry, available_presets, install_handlers, register_preset
from huey_signals_kit.handlers import delete_spent_token, drop_lock_errors
from huey_signals_kit.presets import PresetName


@register_preset("our-house")
def our_house(registry: Registry) -> None:
    """Drop lock errors, delete spent tokens, and print a line for every real error."""
    registry.add(drop_lock_errors, SIGNAL_LOCKED, SIGNAL_ERROR)
    registry.add(delete_spent_token, SIGNAL_REVOKED)
    registry.add(tell, SIGNAL_ERROR, when=lambda event: not event.is_lock_error)


def tell(event: Event) -> None:
    print(f"{event.queue}: {event.task_name} failed with {event.exception!r}")


huey = MemoryHuey("billing")
install_handlers(huey, preset=PresetName("our-house"))  # PresetName is for type checkers only


@huey.task()
def send_invoice(number: int) -> None:
    raise ValueError(f"invoice {number} has no address")


@huey.task()
@huey.lock_task("mail")
def send_reminders() -> None:
    """Send reminders; skipped here, because another task holds the lock."""


def main() -> None:
    """Run one task that fails and one that is skipped."""
    print("presets:", ", ".join(available_presets()))
    send_invoice(4), send_reminders()
    with huey.lock_task("mail"):
        while (task := huey.dequeue()) is not None:  # what a worker of huey_consumer does
            huey.execute(task)
    print("errors stored:", huey.result_count())


if __name__ == "__main__":
    main()
