"""The demo as text: what it does, its progress, the figures and what they mean."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
from .rounds import Comparison, OnProgress
from .work import Plan

_TITLES = {"bare": "bare Huey", "kit": "with the kit"}

_THREE_LINES = """\
from huey_signals_kit import install_handlers
# where your app makes its Huey, right after huey = RedisHuey(...) or the like:
install_handlers(huey, preset="quiet-locks")"""

_NOTE = (
    "Bytes: keys and values of the result store. Tasks per second: between the end of the first "
    "task and the end of the last, measured once, so only roughly."
)


def print_introduction(console: Console, plan: Plan, storage: str) -> None:
    """Print in one sentence what the demo is going to do."""
    _print_paragraph(
        console,
        f"A real Huey consumer does {plan.total:,} tasks on {storage}, then another does the same "
        f"with the kit: {plan.locked:,} need a lock that is held, {plan.revoked:,} are revoked by "
        f"id, {plan.failing:,} raise an error, {plan.succeeding:,} succeed.",
    )
    console.print()


def print_start(console: Console) -> None:
    """Print that the queue of the web interface is being filled."""
    _print_paragraph(console, "Starting three consumers and killing one ...")


def print_address(console: Console, url: str, folder: Path) -> None:
    """Print the address of the web interface, and how to use other commands on its queue."""
    _print_paragraph(
        console,
        "Two consumers work on the queue of a shop. A third was killed with SIGKILL while it held "
        "a lock. The charts start with three hours of made-up counts; everything else is real.",
    )
    console.print(f"\nServing {url} with all changes allowed; Ctrl-C ends it.", soft_wrap=True)
    console.print(
        f"Commands in another terminal: cd {folder} && huey-signals report shop.huey",
        soft_wrap=True,
    )


@contextmanager
def progress_bars(console: Console, plan: Plan) -> Iterator[OnProgress]:
    """Show a bar for each round on a terminal, and yield the function that updates them."""
    if not console.is_interactive:
        yield lambda label, step, completed: None
        return
    with Progress(*_columns(), console=console) as progress:
        bars = {
            label: progress.add_task(title, total=plan.total, start=False, visible=False, step="")
            for label, title in _TITLES.items()
        }

        def on_progress(label: str, step: str, completed: int) -> None:
            progress.start_task(bars[label])
            progress.update(bars[label], visible=True, step=step, completed=completed)

        yield on_progress
    console.print()


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description:12}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[step]}", style="dim"),
    )


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print the table, what it means, and the lines that install the kit in an application."""
    console.print(_table(comparison))
    console.print()
    _print_paragraph(console, _NOTE, style="dim")
    console.print()
    _print_paragraph(console, _describe_effect(comparison), style="bold")
    console.print("\nTo have this in your own application, add this:\n")
    console.print(_THREE_LINES, style="cyan", soft_wrap=True)


def _print_paragraph(console: Console, text: str, style: str = "") -> None:
    # A number and its % stay on one line.
    folded = textwrap.fill(text.replace(" %", "\u00a0%"), console.width).replace("\u00a0", " ")
    console.print(folded, style=style, soft_wrap=True)


_ROWS: tuple[tuple[str, Callable[[Figures], float], bool], ...] = (
    ("tasks processed", lambda figures: figures.tasks, False),
    ("results kept", lambda figures: figures.results, False),
    ("real errors still there", lambda figures: figures.real_errors, False),
    ("lock errors stored", lambda figures: figures.lock_errors, True),
    ("revoke tokens left", lambda figures: figures.tokens, True),
    ("bytes in the store", lambda figures: figures.bytes, False),
    ("tasks per second", lambda figures: figures.tasks_per_second, False),
)
"""Title of each row, its number, and whether anything but zero is unwanted."""


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("the same work, twice")
    for title in _TITLES.values():
        table.add_column(title, justify="right", min_width=14)
    for title, number, is_unwanted in _ROWS:
        both = (comparison.bare, comparison.kit)
        table.add_row(title, *(_cell(number(figures), is_unwanted) for figures in both))
    return table


def _cell(number: float, is_unwanted: bool) -> Text:
    style = ("red" if number else "green") if is_unwanted else ""
    return Text(f"{number:,.0f}", style)


def _describe_effect(comparison: Comparison) -> str:
    plan, bare, kit = comparison.plan, comparison.bare, comparison.kit
    errors, tokens = bare.lock_errors - kit.lock_errors, bare.tokens - kit.tokens
    saved = 100 * (1 - kit.bytes / bare.bytes)
    kept = (
        f"all {kit.results:,} results and all {kit.real_errors:,} real errors are still there"
        if comparison.is_nothing_lost
        else f"but of {plan.succeeding:,} results it kept {kit.results:,}, and of "
        f"{plan.failing:,} real errors {kit.real_errors:,}"
    )
    return (
        f"The kit kept {errors:,} of {bare.lock_errors:,} lock errors and {tokens:,} of "
        f"{bare.tokens:,} spent revoke tokens out of the store, which holds {abs(saved):.0f} % "
        f"{'fewer' if saved >= 0 else 'more'} bytes; {kept}."
    )
