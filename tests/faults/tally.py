"""What happened in each phase of a fault run, and the table of it."""

from __future__ import annotations

from dataclasses import dataclass, fields

_COLUMNS = (
    ("fault", lambda phase: phase.name),
    ("times", lambda phase: phase.times),
    ("lasted", lambda phase: f"{phase.fault_seconds:.0f} s"),
    ("well after", lambda phase: f"{phase.recovery_seconds:.0f} s"),
    ("tasks", lambda phase: phase.tasks),
    ("results", lambda phase: f"{phase.results}/{phase.ended}"),
    ("lost: killed", lambda phase: phase.lost_killed),
    ("lost: storage", lambda phase: phase.lost_stored),
    ("lock errors", lambda phase: phase.lock_errors),
    ("never ran", lambda phase: phase.lost),
    ("locks held", lambda phase: phase.held),
    ("died inside", lambda phase: phase.died),
    ("freed", lambda phase: f"{phase.freed}/{phase.stale}"),
    ("longest", lambda phase: f"{phase.longest:.1f} s"),
    ("no record", lambda phase: f"{phase.longest_unclaimed:.1f} s"),
    ("left by living", lambda phase: phase.left),
    ("commands", lambda phase: phase.commands),
    ("two inside", lambda phase: phase.clashes),
    ("lock lost: cut off", lambda phase: phase.cut_off),
    ("lock lost: storage", lambda phase: phase.data_lost),
    ("counted", lambda phase: f"{phase.counted}/{phase.happened}"),
    ("violations", lambda phase: phase.violations),
)
_BARE_COLUMNS = ("tasks", "results", "lost: killed", "lost: storage", "lock errors", "never ran")
"""What is shown of bare Huey, too."""


@dataclass
class Phase:
    """The figures of one fault and of the time after it."""

    name: str
    began: float = 0
    times: int = 1
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
    ended: int = 0
    """Tasks that came to their end and have a result or an error."""
    results: int = 0
    """Those whose result was found stored."""
    lost_killed: int = 0
    """Those whose process was killed before it had stored the result."""
    lost_stored: int = 0
    """Those whose result the storage refused or lost, as with bare Huey."""
    lock_errors: int = 0
    lost: int = 0
    """Tasks that were enqueued and never began: a worker or the storage took them along."""
    counted: int = 0
    """What the kit has counted by now: skips, revocations, ends and errors."""
    happened: int = 0
    """As many of them were written down."""
    violations: int = 0

    @property
    def tasks(self) -> int:
        """How many tasks ran or were skipped."""
        return self.held + self.skipped + self.ended


def summed(phases: list[Phase]) -> list[Phase]:
    """Return one phase for each fault, with what its phases have together."""
    found: dict[str, Phase] = {}
    for phase in phases:
        known = found.setdefault(phase.name, Phase(phase.name, phase.began, times=0))
        for each in fields(Phase):
            mine, value = getattr(known, each.name), getattr(phase, each.name)
            if each.name in _MAXIMA:
                setattr(known, each.name, max(mine, value))
            elif each.name not in ("name", "began"):
                setattr(known, each.name, mine + value)
    return [*found.values()]


_MAXIMA = ("longest", "longest_unclaimed", "counted", "happened")


def table(phases: list[Phase], bare: list[Phase] | None = None) -> str:
    """Return the figures as a table in Markdown, with the losses of bare Huey if there are some."""
    rows = [[title for title, _ in _COLUMNS]]
    rows += [[str(read(phase)) for _, read in _COLUMNS] for phase in phases]
    if bare is not None:
        shown = [column for column in _COLUMNS if column[0] in _BARE_COLUMNS]
        beside = {phase.name: [str(read(phase)) for _, read in shown] for phase in bare}
        rows[0] += [f"bare: {title}" for title, _ in shown]
        for row in rows[1:]:
            row += beside.get(row[0], [""] * len(shown))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join(
        [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
    )
