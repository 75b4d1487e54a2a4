"""A test of the shop with unittest alone, as Django's TestCase needs it."""

from __future__ import annotations

import unittest
from contextlib import ExitStack

from shop import huey, import_orders

from huey_signals_kit.testing import held_lock, record


class ImportTest(unittest.TestCase):
    def setUp(self) -> None:
        stack = ExitStack()
        self.addCleanup(stack.close)
        # Since Python 3.11: self.recorded = self.enterContext(record(huey))
        self.recorded = stack.enter_context(record(huey))

    def test_an_import_is_skipped_while_another_one_runs(self) -> None:
        """In a `with` block, the lock is held as by another process."""
        with held_lock(huey, "import"):
            import_orders("monday.csv")
        self.assertEqual(self.recorded.skips(import_orders, lock="import"), 1)
