"""Arguments of any form: an exit code of the documentation, and no traceback."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("typer", exc_type=ImportError)
pytest.importorskip("rich", exc_type=ImportError)

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huey_signals_kit.testing import held_lock
from tests.support import locks

LOCK = "import"
COMMANDS = [
    ["report"],
    ["sweep"],
    ["purge"],
    ["tokens", "list"],
    ["tokens", "show"],
    ["tokens", "delete"],
    ["locks", "list"],
    ["locks", "release"],
    ["health"],
    ["forget"],
    ["top", "--once"],
    ["export", "--once"],
    ["no-such-command"],
    [],
]
OPTIONS = ["--apply", "--json", "--stale", "--kept", "--details", "--here", "--help", "--no-such"]
VALUED = ["--min-age", "--exception", "--limit", "--interval", "--record", "--store-interval"]
values = st.one_of(
    st.sampled_from([LOCK, "0", "-1", "1d", "1e400", "nan", "9" * 400, "*", "[", "r:*", "", "--"]),
    st.text(st.characters(exclude_characters="\0"), max_size=8),
)
words = st.one_of(
    st.sampled_from(OPTIONS).map(lambda each: [each]),
    st.tuples(st.sampled_from(VALUED), values).map(list),
    values.map(lambda each: [each]),
)
arguments = st.tuples(st.sampled_from(COMMANDS), st.booleans(), st.lists(words, max_size=4))


@pytest.mark.parametrize("place", ["sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def test_any_arguments_end_with_a_documented_exit_code(make_shop, place, thorough):
    """What is printed as JSON is JSON, and the lock of a living process stays."""
    shop = make_shop(place)
    shop.fill()
    with held_lock(shop.huey, LOCK):
        examples = 200 if thorough else 20

        @settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=examples)
        @given(arguments)
        def run(given_arguments):
            command, has_huey, rest = given_arguments
            line = [
                *command,
                *([shop.name] if has_huey else []),
                *(each for w in rest for each in w),
            ]
            ran = shop.run(*line)
            assert ran.code in (0, 1, 2), (line, ran)
            assert "Traceback" not in ran.out + ran.err, (line, ran)
            if "--json" in line and ran.code == 0 and ran.out.startswith("{"):
                json.loads(ran.out)
            assert LOCK in locks(shop.huey), line

        run()
