"""Wrong uses of the public API, each refused by mypy --strict; checked, never run.

An ignore that is not needed is an error, so each line here is known to be refused.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import huey_signals_kit
from huey_signals_kit import DROP, Event, Registry, Verdict, install_handlers, on, register_preset
from huey_signals_kit.sinks import Sample
from huey_signals_kit.testing import installed

huey: Any = None
registry = Registry()
kit = install_handlers(huey)


@on("locked")  # type: ignore[type-var]
async def asynchronous(event: Event) -> None: ...


@kit.on("locked")  # type: ignore[type-var]
async def asynchronous_verdict(event: Event) -> Verdict | None:
    return DROP


@registry.on("locked")  # type: ignore[type-var]
def generator(event: Event) -> Iterator[Verdict]:
    yield DROP


@kit.on("locked")  # type: ignore[type-var]
async def asynchronous_generator(event: Event) -> AsyncIterator[Verdict]:
    yield DROP


@kit.on("locked")  # type: ignore[type-var]
def two_arguments(signal: str, task: Any) -> None: ...


@kit.on("locked")  # type: ignore[type-var]
def no_argument() -> None: ...


@kit.on("locked")  # type: ignore[type-var]
def wrong_argument(event: str) -> None: ...


@kit.on("locked")  # type: ignore[type-var]
def answers_bool(event: Event) -> bool:
    return True


@kit.on("locked")
class Made:  # type: ignore[type-var]
    def __init__(self, event: Event) -> None: ...


kit.on("locked")(functools.partial(asynchronous_verdict))  # type: ignore[type-var]
registry.add(asynchronous, "locked")  # type: ignore[arg-type]
registry.add(answers_bool, "locked")  # type: ignore[arg-type]


async def is_urgent(event: Event) -> bool:
    return False


def maybe_urgent(event: Event) -> Iterator[bool]:
    yield False


kit.on("locked", when=is_urgent)  # type: ignore[arg-type]
kit.on("locked", when=maybe_urgent)  # type: ignore[arg-type]
kit.on("locked", when=lambda: True)  # type: ignore[arg-type,misc]
kit.on("locked", priority="high")  # type: ignore[arg-type]
kit.on("locked", exceptions="ValueError")  # type: ignore[arg-type]
install_handlers(huey, clean_tokens=is_urgent)  # type: ignore[arg-type]
install_handlers(huey, clean_tokens="alway")  # type: ignore[arg-type]
install_handlers(huey, preset="quiet-lock")  # type: ignore[arg-type]
install_handlers(huey, ["observe", "quiet"])  # type: ignore[list-item]
install_handlers(huey, sinks="promotheus")  # type: ignore[arg-type]
install_handlers(huey, sinks=["auto", "statsd"])  # type: ignore[list-item]
install_handlers(huey, stale_locks="free")  # type: ignore[arg-type]


print(huey_signals_kit.instal_handlers)  # type: ignore[attr-defined]
print(huey_signals_kit.testing.recorded)  # type: ignore[attr-defined]
installed(huey, sinks="promotheus")  # type: ignore[arg-type]
installed(huey, replace=True)  # type: ignore[call-arg]


class AsynchronousSink:
    async def sent(self, changes: list[Sample]) -> None: ...


install_handlers(huey, sinks=AsynchronousSink())  # type: ignore[arg-type]


@register_preset("mine")  # type: ignore[type-var]
async def fill(registry: Registry) -> None: ...
