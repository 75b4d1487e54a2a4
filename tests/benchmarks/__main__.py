"""``python -m tests.benchmarks``, from the checkout."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if not __package__:  # run as a folder, by its path
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests import benchmarks
from tests.benchmarks.instructions import LAYOUTS
from tests.benchmarks.measure import Size, measure
from tests.benchmarks.table import as_text

FULL = Size(few=20, many=420, rounds=1000, tasks=10, layouts=LAYOUTS)
QUICK = Size(few=5, many=10, rounds=4, tasks=5, layouts=1)


def main() -> int:
    """Measure and print; 1 when a target is missed and ``--check`` was given."""
    options = _parser().parse_args()
    rows = measure(QUICK if options.quick else FULL)
    if options.json:
        print(json.dumps([row.as_dict() for row in rows], indent=2))
    else:
        print(as_text(rows))
    missed = [row for row in rows if row.met is False]
    return 1 if options.check and missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: the figures mean little")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
