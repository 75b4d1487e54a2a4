"""The demo as a person sees it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from .figures import Figures
from .rounds import Advance, Comparison
from .work import Plan

_TITLES = {"bare": "bare Huey", "kit": "with the kit"}

_THREE_LINES = """\
from huey_signals_kit import install_handlers
# where your app makes its Huey, right after huey = RedisHuey(...) or the like:
install_handlers(huey, preset="quiet-locks")"""

_NOTE = (
    "Bytes: keys and values of the result store. Tasks per second: from the end of the first "
    "task to that of the last; one run, so take it lightly."
)


def introduce(console: Console, plan: Plan, storage: str) -> None:
    """Say in one sentence what is going to happen."""
    _say(
        console,
        f"A real Huey consumer does {plan.total:,} tasks on {storage}, then another does the same "
        f"with the kit: {plan.locked:,} meet a held lock, {plan.revoked:,} are revoked by id, "
        f"{plan.failing:,} fail for real, {plan.succeeding:,} succeed.",
    )
    console.print()


@contextmanager
def progress_bars(console: Console, plan: Plan) -> Iterator[Advance]:
    """A bar for each round while a person is looking, nothing otherwise."""
    if not console.is_interactive:
        yield lambda label, doing, completed: None
        return
    with Progress(*_columns(), console=console) as progress:
        bars = {
            label: progress.add_task(title, total=plan.total, start=False, visible=False, doing="")
            for label, title in _TITLES.items()
        }

        def advance(label: str, doing: str, completed: int) -> None:
            progress.start_task(bars[label])
            progress.update(bars[label], visible=True, doing=doing, completed=completed)

        yield advance
    console.print()


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description:12}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[doing]}", style="dim"),
    )


def conclude(console: Console, found: Comparison) -> None:
    """The table, what it means, and how to have the same at home."""
    console.print(_table(found))
    console.print()
    _say(console, _NOTE, style="dim")
    console.print()
    _say(console, _effect(found), style="bold")
    console.print("\nTo have this in your own app, add three lines:\n")
    console.print(_THREE_LINES, style="cyan", soft_wrap=True)


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(textwrap.fill(text, console.width), style=style, soft_wrap=True)


_ROWS: tuple[tuple[str, Callable[[Figures], float], bool], ...] = (
    ("tasks done", lambda figures: figures.tasks, False),
    ("results kept", lambda figures: figures.results, False),
    ("real errors still there", lambda figures: figures.real_errors, False),
    ("lock errors stored", lambda figures: figures.lock_errors, True),
    ("revoke tokens left", lambda figures: figures.tokens, True),
    ("bytes in the store", lambda figures: figures.bytes, False),
    ("tasks per second", lambda figures: figures.tasks_per_second, False),
)


def _table(found: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("the same work, twice")
    for title in _TITLES.values():
        table.add_column(title, justify="right", min_width=14)
    for name, number, unwanted in _ROWS:
        cells = (_cell(number(each), unwanted) for each in (found.bare, found.kit))
        table.add_row(name, *cells)
    return table


def _cell(number: float, unwanted: bool) -> Text:
    style = ("red" if number else "green") if unwanted else ""
    return Text(f"{number:,.0f}", style)


def _effect(found: Comparison) -> str:
    plan, bare, kit = found.plan, found.bare, found.kit
    errors, tokens = bare.lock_errors - kit.lock_errors, bare.tokens - kit.tokens
    saved = 100 * (1 - kit.bytes / bare.bytes)
    kept = (
        f"all {kit.results:,} results and all {kit.real_errors:,} real errors are still there"
        if found.nothing_lost
        else f"but of {plan.succeeding:,} results it kept {kit.results:,}, and of "
        f"{plan.failing:,} real errors {kit.real_errors:,}"
    )
    return (
        f"The kit kept {errors:,} of {bare.lock_errors:,} lock errors and {tokens:,} of "
        f"{bare.tokens:,} spent revoke tokens out of the store, which holds {abs(saved):.0f} % "
        f"{'fewer' if saved >= 0 else 'more'} bytes; {kept}."
    )
