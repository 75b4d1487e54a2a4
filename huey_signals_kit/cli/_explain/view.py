"""The explanation of a task as sentences.

`print_task` says where the task is, what keeps it from running and what its result is.
`print_not_found` says where the command looked, and lists what may have happened to the task.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

from ...upkeep import Explanation
from ...upkeep.explanation.sentences import doubts, sentences
from ...upkeep.wording import pluralize
from .._shared.folding import ID_LENGTH
from .._shared.lock_cells import words_to_release
from .._shared.terminal import print_command, print_text, printable, program


def print_task(explanation: Explanation, huey_name: str) -> None:
    """Print where the task is, what keeps it from running, and its result.

    Args:
        explanation: What is known of the task.
        huey_name: The Huey as named by the user, for the command to copy.
    """
    name = f", {explanation.task_name}" if explanation.task_name else ""
    print_text(f"Task {explanation.task_id}{name}")
    for sentence in sentences(explanation):
        print_text(sentence, first="  ")
    dead = [lock.name for lock in explanation.locks if lock.alive is False]
    if dead:
        print_text()
        print_text("To release the lock of the dead process:")
        print_command("locks release", *words_to_release(dead, huey_name))
    parent = next((location for location in explanation.places if location.path), None)
    if parent:
        print_text()
        print_text("To explain the task that it waits for:")
        print_command("explain", huey_name, quote(printable(parent.task_id)))


def print_not_found(explanation: Explanation, huey_name: str, huey: Any) -> None:
    """Print that nothing is known of the task, where the command looked, and possible reasons.

    Args:
        explanation: Where the command looked.
        huey_name: The Huey as named by the user.
        huey: The Huey, which knows the names of its tasks.
    """
    looked = explanation.looked
    print_text(f"Nothing is known of the task '{explanation.task_id}'.")
    print_text()
    print_text(
        f"{huey_name} is the queue '{explanation.queue}' ({explanation.storage}): "
        f"{looked.queued:,} queued, {looked.scheduled:,} scheduled, "
        f"{pluralize(looked.workers, 'known worker process')}. Its tokens, locks and results were "
        "searched, too."
    )
    for sentence in doubts(explanation):
        print_text(sentence)
    if explanation.alike:
        print_text()
        print_text(f"Did you mean {' or '.join(explanation.alike)}?")
    print_text()
    print_text("Possible reasons:")
    for reason in _reasons(explanation, huey_name, huey):
        print_text(reason, first="  - ")


def _reasons(explanation: Explanation, huey_name: str, huey: Any) -> Iterator[str]:
    """Yield what may have happened to the task, likely mistakes first."""
    task_id, looked = explanation.task_id, explanation.looked
    if not (looked.queued or looked.scheduled or looked.workers):
        yield (
            f"{huey_name} may not be the Huey that you mean: its queue and schedule are empty, and "
            "no worker is known."
        )
    if task_id in huey._registry._registry:
        yield (
            f"'{task_id}' is the name of a task, and each run has an id of its own. "
            f"{program.name} tokens show says whether all runs are paused."
        )
        return
    if task_id.startswith(("r:", "rt:")):
        yield "This is the key of a token; the id is the part after the colon."
        return
    if len(task_id) != ID_LENGTH or task_id.count("-") != 4:
        yield (
            f"The id is incomplete: ids made by Huey have {ID_LENGTH} characters, and this one "
            f"has {len(task_id)}."
        )
    if explanation.storage == "memory":
        yield "This Huey keeps its data in the memory of each process, which no other can read."
    yield "The task has ended, and its result was read, which deletes it, or has expired."
    yield (
        "The task has ended and left no result: it returned None, is periodic, was revoked, or was "
        "skipped because of a lock, with a kit that stores no lock errors."
    )
    if not looked.workers:
        yield "The task is running in a worker without the kit, which does not say what it runs."
    yield "The id has a typing error, or is of a task of another queue."
