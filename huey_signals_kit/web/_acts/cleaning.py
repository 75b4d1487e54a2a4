"""Sweep revoke tokens and purge stored errors, in the background.

Both read the whole store. So a confirmation starts a dry run, unless there is a recent one, and
shows how far it is; a POST starts the action itself. One of them runs at a time for each queue in
this process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...upkeep import (
    LEASE_WAIT_SECONDS,
    LOCK_ERRORS,
    PurgeReport,
    SweepReport,
    purge_errors,
    sweep_tokens,
    validate_classes,
)
from .. import _text
from .._background_act import Run
from .._page import NotFound, Refused
from .._request import Response
from .._site import Visit
from .command import command
from .confirmation import Confirmation, form_fields, log_action, record, redirect
from .once import FIELD, new_form_id, use_form

SWEEP, PURGE = "sweep", "purge"
_FRESH_SECONDS = 60.0
_PACE = 9.0
"""A count that took a second is shown for this number of seconds before the next begins."""

_COUNT_SECONDS = 0.2
"""Seconds that a request waits for a count, at most."""

_MAX_CLASSES = 20
_log = logging.getLogger("huey_signals_kit")


@dataclass(frozen=True)
class _Work:
    """One of the two acts."""

    act: str
    question: str
    button: str
    back: str
    effects: tuple[str, ...]
    run: Callable[[Visit, Sequence[str], bool, Callable[[Any], object]], Any]
    counts: Callable[[Any], list[tuple[str, int]]]


def _run_sweep(
    visit: Visit, classes: Sequence[str], dry_run: bool, on_progress: Callable[[Any], object]
) -> SweepReport:
    return sweep_tokens(
        visit.queue.huey, dry_run=dry_run, wait=LEASE_WAIT_SECONDS, on_progress=on_progress
    )


def _run_purge(
    visit: Visit, classes: Sequence[str], dry_run: bool, on_progress: Callable[[Any], object]
) -> PurgeReport:
    return purge_errors(visit.queue.huey, classes, dry_run, on_progress=on_progress)


def _sweep_counts(report: SweepReport) -> list[tuple[str, int]]:
    would = "would be " if report.dry_run else ""
    return [
        ("Tokens read", report.scanned),
        (f"{would}deleted".capitalize(), report.deleted),
        (f"{would}marked (a later sweep deletes them)".capitalize(), report.marked),
        ("Live: their tasks may still run", report.live),
        ("Custom: ids not made by Huey", report.custom),
        ("Skipped: unreadable, changed or uncertain", report.undecided),
    ]


def _purge_counts(report: PurgeReport) -> list[tuple[str, int]]:
    return [
        ("Keys read", report.scanned),
        ("Would be deleted" if report.dry_run else "Deleted", report.deleted),
        ("Errors of these classes", report.matched),
        ("Pending: their tasks will run again", report.pending),
        ("Expire without a purge", report.expiring),
        ("Kept on purpose", report.kept),
        ("Skipped: replaced while the purge ran, or uncertain", report.undecided),
        ("Results that cannot be read", report.unreadable),
    ]


_SWEEP = _Work(
    SWEEP,
    "Sweep the revoke tokens",
    "Sweep",
    "tokens",
    (
        "A token is deleted only if two sweeps, at least a day apart, have found no trace of its "
        "task: not queued, not scheduled, not running, and not nested in such a task. The first "
        "sweep only marks it.",
        "Tokens of tasks that may still run, tokens of custom ids (not made by Huey), and pause "
        "switches are left alone.",
    ),
    _run_sweep,
    _sweep_counts,
)
_PURGE = _Work(
    PURGE,
    "Purge lock errors",
    "Purge",
    "store",
    (
        "Only stored errors of the classes above are deleted. Errors of tasks that will run again, "
        "parts of a chord, errors that were stored on purpose, and values that cannot be read are "
        "left alone.",
        "Code that waits for a deleted error without a timeout waits forever.",
    ),
    _run_purge,
    _purge_counts,
)


def _classes(values: Any, act: str) -> list[str]:
    """Return the names of the classes to purge; none for a sweep.

    Raises:
        ValueError: One of them is not a name of a class.
    """
    if act == SWEEP:
        return []
    given = [each.strip() for each in str(values.get("classes", "")).split(",") if each.strip()]
    if len(given) > _MAX_CLASSES:
        raise ValueError(f"Name at most {_MAX_CLASSES} classes.")
    return sorted(validate_classes(given or LOCK_ERRORS))


def confirm_sweep(visit: Visit) -> Confirmation:
    """Return the confirmation of a sweep, with the counts of a dry run."""
    return _confirm(visit, _SWEEP)


def confirm_purge(visit: Visit) -> Confirmation:
    """Return the confirmation of a purge, with the counts of a dry run."""
    return _confirm(visit, _PURGE)


def _confirm(visit: Visit, work: _Work) -> Confirmation:
    acts, refusal = visit.queue.background_acts, ""
    try:
        classes = _classes(visit.request.query, work.act)
    except ValueError as exc:
        raise NotFound(_text.clean(exc)) from None
    key, state = ",".join(classes), visit.queue.state()
    facts = [("Classes", ", ".join(classes))] if classes else []
    done = acts.last(work.act, False)
    is_ended = done is not None and done.key == key and visit.request.query.get("done") == work.act
    running = acts.running
    if running is None and not is_ended:
        _count(visit, work, key, classes)
        running = acts.running
    dry, progress, shown = acts.last(work.act, True), "", None
    if running is not None:
        progress = _progress(running)
        refusal = "" if running.is_dry else f"{_title(running.act)} is running."
        shown = running if (running.act, running.key) == (work.act, key) else None
    elif is_ended:
        shown = done
    elif dry is not None and dry.key == key:
        shown = dry
    if shown is not None:
        facts += _run_facts(shown)
    others = [] if classes == sorted(LOCK_ERRORS) else classes
    options = " ".join([*(f"--exception {name}" for name in others), "--apply"])
    return Confirmation(
        state,
        work.act,
        "Purge the errors of these classes" if others else work.question,
        "",
        work.button,
        visit.url(work.back),
        facts,
        work.effects,
        refusal,
        {**({"classes": key} if classes else {}), FIELD: new_form_id()},
        command=command(visit.queue.huey, work.act, options=options),
        progress=progress,
        is_ended=is_ended and not progress,
        is_stopped=shown is not None and bool(_why_stopped(shown)),
        counts=_counts(work, shown),
    )


def _counts(work: _Work, shown: Run | None) -> list[tuple[str, int]]:
    """Return what was read and deleted, and every other count that is not zero."""
    if shown is None or shown.report is None:
        return []
    counts = work.counts(shown.report)
    return [*counts[:2], *((title, number) for title, number in counts[2:] if number)]


def _count(visit: Visit, work: _Work, key: str, classes: Sequence[str]) -> None:
    """Start a dry run, unless the last one is recent; wait for a moment, for a small store."""
    acts = visit.queue.background_acts
    dry = acts.last(work.act, True)
    if dry is None or dry.key != key or dry.age > max(_FRESH_SECONDS, _PACE * dry.seconds):
        acts.start(Run(work.act, key, True, ""), _dry_run(visit, work, classes))
        acts.wait(_COUNT_SECONDS)


def _title(act: str) -> str:
    return {SWEEP: "A sweep", PURGE: "A purge"}.get(act, "Another action")


def _progress(run: Run) -> str:
    scanned, noun = getattr(run.report, "scanned", 0), "tokens" if run.act == SWEEP else "keys"
    title = f"{_title(run.act)} of {run.key.replace(',', ', ')}" if run.key else _title(run.act)
    if run.is_dry:
        return f"Dry run of {title[0].lower()}{title[1:]}: {scanned:,} {noun} read so far."
    deleted = getattr(run.report, "deleted", 0)
    return f"{title} is running: {scanned:,} {noun} read, {deleted:,} deleted so far."


def _run_facts(run: Run) -> list[tuple[str, str]]:
    facts = []
    if run.ended_at is not None:
        kind = "Dry run" if run.is_dry else "Ended"
        age, seconds = _text.format_age(run.age), _text.format_duration(run.seconds)
        facts.append((kind, f"{age}, in {seconds}"))
    if stopped := _why_stopped(run):
        facts.append(("Stopped", f"The rest was not read: {_text.clean(stopped)}"))
    return facts


def _why_stopped(run: Run) -> str:
    """Return why a run has not read everything; empty if it has."""
    return getattr(run.report, "stopped", "") or ("" if run.error is None else repr(run.error))


def _dry_run(visit: Visit, work: _Work, classes: Sequence[str]) -> Callable[[Run], Any]:
    def count(run: Run) -> Any:
        return work.run(visit, classes, True, run.progress)

    return count


def sweep(visit: Visit) -> Response:
    """Start a sweep in the background."""
    return _start(visit, _SWEEP)


def purge(visit: Visit) -> Response:
    """Start a purge in the background."""
    return _start(visit, _PURGE)


def _start(visit: Visit, work: _Work) -> Response:
    try:
        classes = _classes(form_fields(visit), work.act)
    except ValueError as exc:
        raise Refused("Nothing was deleted", _text.clean(exc)) from None
    key = ",".join(classes)
    run = Run(work.act, key, False, visit.request.user)

    def apply(run: Run) -> Any:
        report = None
        try:
            report = work.run(visit, classes, False, run.progress)
        except Exception as exc:
            report = getattr(exc, "report", run.report)
            _log.exception(
                "The %s of the queue %r failed after deleting %s; start it again to continue",
                work.act,
                visit.queue.name,
                getattr(report, "deleted", 0),
            )
            raise
        finally:
            _report(visit, work, key, report)
        return report

    if (running := visit.queue.background_acts.running) is not None:
        raise _is_running(running)
    use_form(visit, "Nothing was deleted")
    if not visit.queue.background_acts.start(run, apply):
        raise _is_running(visit.queue.background_acts.running)
    log_action(visit, work.act, key, "started")
    query = {"classes": key} if classes else {}
    return redirect(visit, f"act/{work.act}", work.act, **query)


def _is_running(run: Run | None) -> Refused:
    what = "Another action" if run is None else _title(run.act)
    return Refused(
        "Nothing was deleted",
        f"{what}, or its dry run, is running on this queue. Try again when it has ended.",
    )


def _report(visit: Visit, work: _Work, key: str, report: Any) -> None:
    """Log, count and announce what was deleted, also if it stopped early."""
    kit = visit.queue.kit
    if kit is not None and isinstance(report, SweepReport):
        kit.report_sweep(report)
    record(visit, work.act, key, getattr(report, "deleted", 0))
