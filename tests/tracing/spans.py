"""Finished spans as plain records, which processes write to files, and the tree that they make."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

Record = dict[str, Any]


def record_of(span: ReadableSpan) -> Record:
    """What a test looks at in a span; ids are hexadecimal."""
    context, parent = span.context, span.parent
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{context.trace_id:032x}",
        "id": f"{context.span_id:016x}",
        "parent": parent and [f"{parent.trace_id:032x}", f"{parent.span_id:016x}"],
        "links": [
            [f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}"] for link in span.links
        ],
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
        "exceptions": [
            (event.attributes or {})["exception.type"]
            for event in span.events
            if event.name == "exception"
        ],
        "pid": os.getpid(),
    }


class FileExporter(SpanExporter):
    """Writes each span as a line of JSON; many processes may write to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        text = "".join(json.dumps(record_of(span)) + "\n" for span in spans)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, text.encode())
        os.close(descriptor)
        return SpanExportResult.SUCCESS


def read(path: Path) -> list[Record]:
    """The spans in a file of `FileExporter`."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


Tree = dict[str, tuple[str | None, set[str]]]


def tree(records: Iterable[Record]) -> Tree:
    """For each span, by its label, the labels of its parent and of the spans that it links to.

    The label of a task's span is ``"process add 2"``: operation, task, attempt. A second span with
    the same label gets "again". A span that no process has exported is "missing".
    """
    records = list(records)
    labels: dict[tuple[str, str], str] = {}
    for record in records:
        key = (record["trace"], record["id"])
        assert key not in labels, f"two spans with the same ids: {record}"
        known = label(record) in labels.values()
        labels[key] = f"{label(record)} again" if known else label(record)
    found: Tree = {}
    for record in records:
        parent = record["parent"] and labels.get(tuple(record["parent"]), "missing")
        links = {labels.get(tuple(each), "missing") for each in record["links"]}
        found[labels[record["trace"], record["id"]]] = parent, links
    return found


def label(record: Record) -> str:
    """``"process add 2"``, or the name of a span that is not a task's."""
    attempt = record["attributes"].get("huey.attempt")
    if attempt is None:
        return record["name"]
    operation, _, name = record["name"].partition(" ")
    return f"{operation} {name.rpartition('.')[2]} {attempt}"


def traces(records: Iterable[Record]) -> list[set[str]]:
    """The labels of the spans of each trace."""
    found: dict[str, set[str]] = {}
    for record in records:
        found.setdefault(record["trace"], set()).add(label(record))
    return sorted(found.values(), key=sorted)
