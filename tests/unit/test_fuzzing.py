"""Keys and settings of any form: a kind, a kit or a refusal, and nothing else."""

from __future__ import annotations

import re
from fractions import Fraction
from types import SimpleNamespace
from uuid import UUID

import pytest
from huey import MemoryHuey
from hypothesis import given
from hypothesis import strategies as st

from huey_signals_kit import AlreadyInstalled, Registry, available_presets, get_kit
from huey_signals_kit import install_handlers as install
from huey_signals_kit.store import Keys, Kind
from huey_signals_kit.store.keys import generated_in, is_generated

UUID4 = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"
names = st.one_of(
    st.text(max_size=8), st.sampled_from(["r:", "rt:x", "chord:1", "djt.x", "a.lock.b", "x.rl.y.w"])
)
parts = st.sampled_from(["r:", "rt:", "chord:", "djt.", "huey-signals:", ".lock.", ".rl.", ".w"])
keys = st.lists(st.one_of(names, parts), max_size=5).map("".join)


@given(names, keys)
def test_every_key_has_one_kind(name, key):
    """Also in a queue whose name looks like a key."""
    parsed = Keys(MemoryHuey(name))
    assert isinstance(parsed.kind(key), Kind)
    assert isinstance(parsed.is_of_this_queue(key, None), bool)


@given(names, names, st.uuids(version=4))
def test_what_huey_writes_is_known_again(name, lock, task_id):
    """A lock by its whole name; a token as one, unless the queue's locks begin with it."""
    huey = MemoryHuey(name)
    parsed, key = Keys(huey), huey.lock_task(lock)._key
    assert parsed.kind(key) is Kind.LOCK
    assert parsed.lock_name(key) == lock
    assert parsed.kind(f"r:{task_id}") is Kind.TOKEN
    assert parsed.kind(f"rt:{lock}") is not Kind.TOKEN
    # The token of a task that is called like a lock of a queue "r:x" cannot be told from it.
    if not f"r:{lock}".startswith(parsed.lock_prefix):
        assert parsed.kind(f"r:{lock}") is Kind.TOKEN


@given(st.text(max_size=3), st.uuids(), st.text(max_size=3))
def test_only_ids_of_version_4_are_generated(before, task_id, after):
    """And nothing with anything before or behind."""
    made = f"{before}{task_id}{after}"
    is_plain = not before and not after
    assert is_generated(made) == (is_plain and _is_version_4(task_id))
    assert all(map(is_generated, generated_in(made)))


def _is_version_4(task_id: UUID) -> bool:
    return task_id.version == 4


class Rude:
    """An object that nothing can be done with."""

    def __repr__(self):
        raise RuntimeError("no representation")

    def __bool__(self):
        raise RuntimeError("neither true nor false")

    def __eq__(self, other):
        raise RuntimeError("equal to nothing")

    __hash__ = None


odd = st.builds(Rude) | st.sampled_from(
    [
        *(Rude, Registry(), Registry, ValueError, ValueError(), object(), type, len, print),
        *(lambda event: True, lambda: None, float("nan"), float("inf"), 10**400, Fraction(1, 3)),
        *(MemoryHuey("other"), range(3), b"observe", SimpleNamespace(send=print), ...),
    ]
)
known = st.sampled_from([*available_presets(), "auto", "memory", "generated", "report", "release"])
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), known)
values = st.recursive(
    st.one_of(plain, odd),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=4,
)
ARGUMENTS = (
    *("preset", "registry", "sinks", "lock_exceptions", "sentry", "clean_tokens", "quiet_logs"),
    *("sweep_interval", "stale_locks", "stale_after", "replace", "stale_lock"),
)
arguments = st.dictionaries(st.sampled_from(ARGUMENTS), values, max_size=3)


@given(arguments)
def test_any_arguments_give_a_kit_or_a_refusal(given_arguments):
    """A refusal says which argument, and leaves the Huey as it was."""
    huey = MemoryHuey("fuzzed")
    before = dict(vars(huey))
    try:
        kit = install(huey, **given_arguments)
    except (TypeError, ValueError) as refused:
        text = str(refused)
        assert any(re.search(rf"\b{name}\b", text) for name in given_arguments), text
        assert get_kit(huey) is None
    else:
        assert get_kit(huey) is kit
        kit.uninstall()
    assert vars(huey) == before


@given(arguments, arguments)
def test_a_second_call_gives_a_kit_or_a_refusal(first, second):
    """And with a refusal the first kit stays."""
    huey = MemoryHuey("fuzzed")
    try:
        kit = install(huey, **first)
    except (TypeError, ValueError):
        return
    try:
        found = install(huey, **second)
    except (TypeError, ValueError, AlreadyInstalled):
        assert get_kit(huey) is kit
    else:
        assert get_kit(huey) is found
    get_kit(huey).uninstall()


@pytest.mark.parametrize("name", ["preset", "sinks", "clean_tokens", "lock_exceptions"])
def test_a_second_call_with_what_cannot_be_compared_is_refused(name):
    """A comparison that raises is a difference, no error of its own."""
    huey = MemoryHuey("fuzzed")
    kit = install(huey)
    with pytest.raises((TypeError, AlreadyInstalled)):
        install(huey, **{name: Rude()})
    assert get_kit(huey) is kit
    kit.uninstall()


def test_a_refusal_names_what_is_equal_only_from_one_side():
    """Such a sink is another one, and its name is in the message."""

    class OneSided:
        def __init__(self, answer):
            self.answer = answer

        def send(self, changes):
            pass

        def __eq__(self, other):
            return self.answer

        __hash__ = None

    huey = MemoryHuey("fuzzed")
    with install(huey, sinks=OneSided(True)) as kit:
        assert install(huey, sinks=OneSided(True)) is kit
        with pytest.raises(AlreadyInstalled, match=r"got sinks="):
            install(huey, sinks=OneSided(False))


paths = st.sampled_from(
    ["os.path.join", "no.such.module", "json.no_such", "os", "a..b", ".", "builtins.exit"]
)
queue_settings = st.dictionaries(
    st.one_of(st.sampled_from(ARGUMENTS), st.text(max_size=3), st.integers()),
    st.one_of(values, paths, st.lists(paths, max_size=2)),
    max_size=3,
)


@given(
    st.one_of(
        values,
        queue_settings,
        st.builds(
            lambda common, queues: {**common, "queues": queues},
            queue_settings,
            st.one_of(
                values,
                st.dictionaries(st.sampled_from(["shop", "mail", "x"]), queue_settings, max_size=2),
            ),
        ),
    )
)
def test_any_setting_of_django_gives_options_or_problems(setting):
    """Django's system checks print the problems; reading the setting never raises."""
    pytest.importorskip("django")
    from huey_signals_kit.contrib.django import _options

    real, _options.settings = _options.settings, SimpleNamespace(HUEY_SIGNALS=setting)
    try:
        options, problems = _options.read_options(["shop", "mail"])
    finally:
        _options.settings = real
    assert problems or options.keys() == {"shop", "mail"}
    for problem in problems:
        assert re.fullmatch(r"E\d\d\d", problem.code)
        assert problem.text
