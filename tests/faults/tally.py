"""What happened in each phase of a fault run, and the table of it."""

from __future__ import annotations

from dataclasses import dataclass

_COLUMNS = (
    ("fault", lambda phase: phase.name),
    ("began", lambda phase: f"{phase.began:.0f} s"),
    ("lasted", lambda phase: f"{phase.fault_seconds:.0f} s"),
    ("well after", lambda phase: f"{phase.recovery_seconds:.0f} s"),
    ("tasks", lambda phase: phase.held + phase.skipped),
    ("locks held", lambda phase: phase.held),
    ("died inside", lambda phase: phase.died),
    ("to free", lambda phase: phase.stale),
    ("freed", lambda phase: phase.freed),
    ("longest", lambda phase: f"{phase.longest:.1f} s"),
    ("longest, no record", lambda phase: f"{phase.longest_unclaimed:.1f} s"),
    ("left by living", lambda phase: phase.left),
    ("releases", lambda phase: phase.released),
    ("commands", lambda phase: phase.commands),
    ("two inside", lambda phase: phase.clashes),
    ("lost: cut off", lambda phase: phase.cut_off),
    ("lost: by Redis", lambda phase: phase.data_lost),
    ("violations", lambda phase: phase.violations),
)


@dataclass
class Phase:
    """The figures of one fault and of the time after it."""

    name: str
    began: float = 0
    fault_seconds: float = 0
    recovery_seconds: float = 0
    held: int = 0
    skipped: int = 0
    died: int = 0
    """Holders that were killed."""
    stale: int = 0
    """Locks whose holder was dead, so that they had to be freed."""
    freed: int = 0
    longest: float = 0
    """The longest time until such a lock was freed, with the storage well."""
    longest_unclaimed: float = 0
    """The same, of locks whose holder had no record."""
    left: int = 0
    """Locks that are in the store long after their tasks, of processes that live: as when an old
    dump has brought them back."""
    released: int = 0
    commands: int = 0
    clashes: int = 0
    cut_off: int = 0
    """Living holders whose lock was freed as the contract allows: cut off, or stopped elsewhere."""
    data_lost: int = 0
    """Living holders whose lock Redis has lost, as with bare Huey; no kit released it."""
    violations: int = 0


def table(phases: list[Phase]) -> str:
    """Return the figures as a table in Markdown."""
    rows = [[title for title, _ in _COLUMNS]]
    rows += [[str(read(phase)) for _, read in _COLUMNS] for phase in phases]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join(
        [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
    )
