"""The pages about OpenTelemetry and Sentry do what they say."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huey.exceptions
import pytest

from tests.recipes.pages import blocks_of, missing_lines, reader_in, sections_of
from tests.support import wait_until
from tests.tracing.spans import traces, tree

pytest.importorskip("typer", exc_type=ImportError)
if not hasattr(huey.exceptions, "ResultTimeout"):
    pytest.skip("the pages are for Huey 3", allow_module_level=True)

OPENTELEMETRY = sections_of("opentelemetry.md")["Quick start"]
LINKED = {
    "request": (None, {"send import_orders 1"}),
    "send import_orders 1": (None, {"request", "process import_orders 1"}),
    "process import_orders 1": (None, {"send import_orders 1"}),
}


def part(blocks, first, last):
    """The blocks from the one that has *first* in its text to that which has *last*."""
    texts = [block.text for block in blocks]
    begin = next(n for n, text in enumerate(texts) if first in text)
    end = next(n for n, text in enumerate(texts) if last in text)
    return blocks[begin : end + 1]


@pytest.mark.slow
def test_a_reader_sees_the_spans_on_the_console(tmp_path):
    """Those of both processes, as the page shows them."""
    pytest.importorskip("opentelemetry.distro")
    blocks = part(OPENTELEMETRY, "from pathlib", '"name": "request"')
    shown = next(block.text for block in OPENTELEMETRY if '"name": "process' in block.text)
    with reader_in(tmp_path) as reader:
        reader.follow(blocks)
        wait_until(lambda: not missing_lines(shown, reader.logs()), 30, "the attempt's span")
    assert "Traceback" not in reader.logs()


@pytest.mark.slow
def test_spans_of_both_processes_arrive_by_otlp(tmp_path, monkeypatch):
    """And the kit's metrics; the receiver decodes what would go to a collector."""
    pytest.importorskip("opentelemetry.distro")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from tests.tracing.otlp import otlp_receiver

    files = [block for block in OPENTELEMETRY if block.file in ("tasks.py", "order.py")]
    commands = [block for block in blocks_of("opentelemetry.md") if "http/protobuf" in block.text]
    assert [block.terminal for block in commands] == [1, None]
    with otlp_receiver() as receiver, reader_in(tmp_path) as reader:
        monkeypatch.setitem(reader.environment, "OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        reader.follow([*files, *commands])
        wait_until(lambda: len(receiver.spans) == len(LINKED), 30, "the attempt's span")
        reader.servers[1].stop()
    assert "huey_signals_total" in receiver.metrics
    assert tree(receiver.spans) == LINKED, reader.printed
    services = {span["name"].split()[0]: span["service"] for span in receiver.spans}
    assert services == {"request": "shop", "send": "shop", "process": "worker"}
    assert len(traces(receiver.spans)) == 2


@pytest.mark.slow
def test_tracing_by_hand_exports_the_same(tmp_path, monkeypatch):
    """With `tracing.py` imported first; and one trace if messages carry a header."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from tests.tracing.otlp import otlp_receiver

    named = {"tasks.py", "order.py", "tracing.py"}
    files = [block for block in blocks_of("opentelemetry.md") if block.file in named]
    assert {block.file for block in files} == named
    with otlp_receiver() as receiver, reader_in(tmp_path) as reader:
        monkeypatch.setitem(reader.environment, "OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setitem(reader.environment, "HUEY_SIGNALS_PROPAGATE", "1")
        reader.follow(files)
        tasks = tmp_path / "tasks.py"
        tasks.write_text("import tracing\n" + tasks.read_text())
        reader.do("python -c 'import tracing, order'")
        reader.do("timeout -s INT 5 huey_consumer tasks.huey -w 2")
    parents = {name: parent for name, (parent, _) in tree(receiver.spans).items()}
    assert parents == {
        "request": None,
        "send import_orders 1": "request",
        "process import_orders 1": "send import_orders 1",
    }, reader.printed


def test_the_id_of_a_trace_is_the_one_shown(tmp_path):
    """It must never change: processes of two versions derive it."""
    blocks = part(blocks_of("opentelemetry.md"), "trace_id('nightly')", "trace_id('nightly')")
    shown = next(
        after.text
        for block, after in zip(
            blocks_of("opentelemetry.md"), blocks_of("opentelemetry.md")[1:], strict=False
        )
        if block == blocks[0]
    )
    with reader_in(tmp_path) as reader:
        reader.do(blocks[0].text, shown)


@contextmanager
def sentry_server():
    """Something that takes envelopes; yields a DSN and the items that have arrived."""
    items = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            items.extend(envelope_items(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args): ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://key@127.0.0.1:{server.server_port}/1", items
        server.shutdown()


def envelope_items(body):
    """The type and the payload of each item of an envelope."""
    rest = body.partition(b"\n")[2]
    while rest.strip():
        header, _, rest = rest.partition(b"\n")
        header = json.loads(header)
        size = header["length"]
        yield header["type"], json.loads(rest[:size])
        rest = rest[size:].removeprefix(b"\n")


@pytest.mark.slow
def test_what_the_page_says_arrives_in_sentry(tmp_path, monkeypatch):
    """One error with a breadcrumb, three transactions, metrics."""
    if not hasattr(pytest.importorskip("sentry_sdk"), "metrics"):
        pytest.skip("the page is for Sentry 2.44")
    blocks = sections_of("sentry.md")["Quick start"]
    with sentry_server() as (dsn, items), reader_in(tmp_path) as reader:
        monkeypatch.setitem(reader.environment, "SENTRY_DSN", dsn)
        reader.follow(part(blocks, "from pathlib", "huey_lock_skips_total"))
        reader.servers[1].stop()
    (event,) = (payload for kind, payload in items if kind == "event")
    assert event["exception"]["values"][-1]["type"] == "ValueError"
    crumbs = [each for each in event["breadcrumbs"]["values"] if each["category"] == "huey.lock"]
    assert [each["data"]["lock"] for each in crumbs] == ["import"]
    transactions = [payload for kind, payload in items if kind == "transaction"]
    ran = [each for each in transactions if each["transaction"] == "import_orders"]
    statuses = [each["contexts"]["trace"]["status"] for each in ran]
    assert sorted(statuses) == ["internal_error", "internal_error", "ok"]
    metrics = [
        each["name"]
        for kind, payload in items
        if kind == "trace_metric"
        for each in payload["items"]
    ]
    assert "huey_lock_skips_total" in metrics
