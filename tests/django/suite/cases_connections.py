"""Database connections around handlers."""

from __future__ import annotations

import threading
from unittest.mock import patch

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections, transaction
from django.test import TestCase, TransactionTestCase

from huey_signals_kit import get_kit
from tests.support import HAS_ENQUEUED

HUEY = settings.HUEY
seen = []


@HUEY.task()
def work():
    """Run."""


@HUEY.task()
def enqueue_another():
    """Enqueue a task while a cursor is open."""
    rows = ContentType.objects.iterator(chunk_size=1)
    next(rows)
    before = connection.connection
    work()
    seen.append(connection.connection is before)


def use_database(event):
    """Read from both databases."""
    for name in ("default", "other"):
        ContentType.objects.using(name).first()


def run_worker():
    """Run one turn of a worker, as a consumer does on each of its threads."""
    worker, _ = HUEY.create_consumer(workers=1, periodic=False).worker_threads[0]
    worker.loop()


def open_databases():
    """Return the names of the databases to which this thread has a connection."""
    return [each.alias for each in connections.all(True) if each.connection is not None]


class _WithHandler:
    """A test with a handler on each signal that it names."""

    databases = ("default", "other")

    def handle(self, *signals, function=use_database, **options):
        """Register a handler for this test."""
        if "enqueued" in signals and not HAS_ENQUEUED:
            self.skipTest("Huey 2.5.0 does not signal it")
        registry = get_kit(HUEY).registry
        handler = registry.add(function, *signals, **options)
        self.addCleanup(registry.remove, handler)
        self.addCleanup(HUEY.flush)
        return handler


class Connections(_WithHandler, TransactionTestCase):
    """Without a transaction of the test around everything."""

    def setUp(self):
        """Begin with two rows, and without any connection."""
        for model in ("one", "two"):
            ContentType.objects.create(app_label="suite", model=model)
        connections.close_all()
        seen.clear()

    def test_a_handler_on_a_worker_leaves_none_open(self):
        """No connection is left before or after the task; with an age of zero each is too old."""
        self.handle("executing", "complete")
        work()
        run_worker()
        self.assertEqual(open_databases(), [])

    def test_a_handler_on_a_worker_gets_none_that_is_old(self):
        """A connection that code before it has left open is closed first."""
        self.handle("executing", function=lambda event: seen.extend(open_databases()))
        ContentType.objects.first()
        work()
        run_worker()
        self.assertEqual(seen, [])

    def test_a_filter_counts_as_a_handler(self):
        """The function of ``when=`` may read from the database too."""
        self.handle(
            "executing",
            function=lambda event: None,
            when=lambda event: ContentType.objects.exists(),
        )
        work()
        run_worker()
        self.assertEqual(open_databases(), [])

    def test_a_handler_in_a_view_leaves_its_connection_alone(self):
        """The view has a cursor open; only the connection that the handler has opened is closed."""
        self.handle("enqueued")
        rows = ContentType.objects.iterator(chunk_size=1)
        next(rows)
        before = connection.connection
        work()
        self.assertIs(connection.connection, before)
        self.assertEqual(open_databases(), ["default"])
        next(rows)

    def test_a_handler_in_a_view_leaves_its_transaction_alone(self):
        """The connection is without autocommit, and Django would close it."""
        self.handle("enqueued")
        transaction.set_autocommit(False)
        try:
            ContentType.objects.create(app_label="a", model="b")
            work()
            self.assertTrue(ContentType.objects.filter(app_label="a").exists())
        finally:
            transaction.rollback()
            transaction.set_autocommit(True)

    def test_a_handler_in_a_task_leaves_its_connection_alone(self):
        """The task has a cursor open, on a worker."""
        self.handle("enqueued")
        enqueue_another()
        run_worker()
        self.assertEqual(seen, [True])

    def run_in_background(self, at_end=lambda: None):
        """Return what a handler sees open before, during and after the first of two events."""
        done = threading.Event()

        def read(event):
            seen.append((threading.current_thread(), open_databases()))
            use_database(event)
            seen.append(open_databases())
            at_end()
            if len(seen) == 4:
                done.set()

        self.handle("enqueued", function=read, background=True)
        work()
        work()
        self.assertTrue(done.wait(30))
        (first, before), during, (second, after), _ = seen
        self.assertIs(first, second)
        return before, during, after

    def test_a_handler_in_the_background_leaves_none_open(self):
        """Its thread may be idle for hours, so CONN_MAX_AGE does not matter."""
        with patch.dict(connections.settings["default"], CONN_MAX_AGE=None):
            self.assertEqual(self.run_in_background(), ([], ["default", "other"], []))

    def test_a_handler_in_the_background_keeps_its_transaction(self):
        """A transaction stays open that the first call begins and the second ends."""
        atomic = transaction.atomic()

        def begin_or_end():
            atomic.__enter__() if len(seen) == 2 else atomic.__exit__(None, None, None)

        ran = self.run_in_background(begin_or_end)
        self.assertEqual(ran, ([], ["default", "other"], ["default"]))

    def test_immediate_mode(self):
        """Every handler runs inside other code."""
        self.handle("enqueued", "executing", "complete")
        ContentType.objects.first()
        before = connection.connection
        HUEY.immediate = True
        try:
            work()
        finally:
            HUEY.immediate = False
        self.assertIs(connection.connection, before)
        self.assertEqual(open_databases(), ["default"])


class ConnectionsOfATest(_WithHandler, TestCase):
    """In the transaction that Django makes around a test."""

    def test_a_handler_ends_no_transaction(self):
        """The transaction of the test survives tasks that it enqueues or executes."""
        self.handle("enqueued", "executing", "complete")
        ContentType.objects.create(app_label="a", model="b")
        work()
        HUEY.execute(HUEY.dequeue())
        work()
        run_worker()
        self.assertTrue(ContentType.objects.filter(app_label="a").exists())
