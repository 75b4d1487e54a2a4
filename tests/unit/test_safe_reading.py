"""Values and messages are read, and nothing in them can run code or exhaust the reader."""

from __future__ import annotations

import base64
import contextlib
import copyreg
import gzip
import json
import os
import pickle
import pickletools
import time
import tracemalloc
import warnings
import zlib
from collections import Counter, OrderedDict, namedtuple
from datetime import date, datetime, timedelta, timezone
from datetime import time as day_time
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from huey import MemoryHuey
from huey.registry import Message
from huey.serializer import Serializer, SignedSerializer
from huey.utils import Error
from hypothesis import given, settings
from hypothesis import strategies as st

from huey_signals_kit.store import LARGEST, Reader, Unreadable
from huey_signals_kit.store.reader import Opaque, StoredMessage
from huey_signals_kit.store.unpickle.trusted import ids_in_plain
from tests.selection import slow_except

STORED = json.loads(Path(__file__).with_name("stored_by_huey.json").read_text())
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
READER = Reader(MemoryHuey("x"))


def read(raw):
    return READER.value(raw)


def one_id(number):
    return f"{number:08}-0000-4000-8000-{number:012}"


ran = []


def trap(*args, **kwargs):
    """What no pickle may ever call."""
    ran.append(args)
    return partial(trap)


class Loud:
    """A class each of whose hooks would be noticed."""

    __slots__ = ("x",)

    def __new__(cls, *args, **kwargs):
        trap("new")
        return super().__new__(cls)

    def __setstate__(self, state):
        trap("setstate")

    def __reduce_ex__(self, protocol):
        return trap, ("reduced",), {"state": 1}, iter([1]), iter([("a", 2)])

    def append(self, item):
        trap("append")

    def __setitem__(self, key, value):
        trap("setitem")

    def __hash__(self):
        trap("hash")
        return 1

    def __eq__(self, other):
        trap("eq")
        return True


@pytest.fixture(autouse=True)
def _nothing_ran():
    ran.clear()
    yield
    assert ran == []


HERE = __name__.encode()
TRAP = b"c" + HERE + b"\ntrap\n"
LOUD = b"c" + HERE + b"\nLoud\n"
SYSTEM = b"cposix\nsystem\n"
MARKED = b"(S'touch x'\n"
HOSTILE = {
    "REDUCE": SYSTEM + MARKED + b"tR.",
    "REDUCE of ours": TRAP + b")R.",
    "REDUCE of what was reduced": TRAP + b")R)R.",
    "NEWOBJ": b"\x80\x02" + LOUD + b")\x81.",
    "NEWOBJ_EX": b"\x80\x04" + LOUD + b")}\x92.",
    "NEWOBJ_EX with names": b"\x80\x04" + LOUD + b")}\x8c\x01aK\x01s\x92.",
    "OBJ": b"(" + LOUD + b"K\x01o.",
    "INST": b"(K\x01i" + HERE + b"\nLoud\n.",
    "INST of a function": MARKED + b"iposix\nsystem\n.",
    "BUILD": b"\x80\x02" + LOUD + b")\x81}b.",
    "BUILD of a class": LOUD + b"(dS'__setstate__'\n" + TRAP + b"sb.",
    "SETITEM": b"\x80\x02" + LOUD + b")\x81K\x01K\x02s.",
    "SETITEMS": b"\x80\x02" + LOUD + b")\x81(K\x01K\x02u.",
    "APPEND": b"\x80\x02" + LOUD + b")\x81K\x01a.",
    "APPENDS": b"\x80\x02" + LOUD + b")\x81(K\x01e.",
    "ADDITEMS": b"\x80\x04" + LOUD + b")\x81(K\x01\x90.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x01x\x85R.",
    "a dotted name": b"\x80\x04\x8c\x02os\x8c\x0bpath.exists\x93\x8c\x01x\x85R.",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\nS'__call__'\ntR(S'os'\ntR.",
    "eval": b"c__builtin__\neval\n(S'1/0'\ntR.",
    "_reconstructor": b"ccopyreg\n_reconstructor\n(" + LOUD + b"cbuiltins\nobject\nNtR.",
    "__newobj__": b"ccopyreg\n__newobj__\n(" + LOUD + b"tR.",
    "__newobj_ex__": b"ccopyreg\n__newobj_ex__\n(" + LOUD + b")}tR.",
    "itself by _reconstructor": (
        b"ccopyreg\n_reconstructor\n(ccopyreg\n_reconstructor\nN(" + TRAP + b"N)ttR."
    ),
    "_codecs of another codec": b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
    "EXT1": b"\x80\x02\x82\xf0.",
    "EXT2": b"\x80\x02\x83\xf0\x00.",
    "EXT4": b"\x80\x02\x84\xf0\x00\x00\x00.",
    "EXT1 called": b"\x80\x02\x82\xf0)R.",
    "PERSID": b"Pany\n.",
    "BINPERSID": b"\x80\x01K\x01Q.",
    "a dict key": b"\x80\x02}" + LOUD + b")\x81K\x01s.",
    "a member of a set": b"\x80\x04\x8f(" + LOUD + b")\x81\x90.",
    "a member of a frozenset": b"\x80\x04(" + LOUD + b")\x81\x91.",
    "the time zone of a date": (
        b"\x80\x03cdatetime\ndatetime\nC\x0a\x07\xe8\x01\x01\x00\x00\x00\x00\x00\x00"
        + TRAP + b")R\x86R."
    ),
    "what is in a set that is called for": b"cbuiltins\nset\n((l" + LOUD + b")\x81atR.",
    "an error": b"chuey.utils\nError\n(" + TRAP + b")RtR.",
    "a message": b"chuey.registry\nMessage\n(" + TRAP + b")R" * 12 + b"tR.",
}  # fmt: skip


@pytest.fixture
def _extension():
    copyreg.add_extension(__name__, "trap", 0xF0)
    yield
    copyreg.remove_extension(__name__, "trap", 0xF0)


@pytest.mark.usefixtures("_extension")
@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_that_a_pickle_names_is_called(name, monkeypatch):
    """By none of the instructions that could: all is read, as a placeholder at most."""
    monkeypatch.setattr(os, "system", trap)
    monkeypatch.setattr("builtins.__import__", trap)
    try:
        read(HOSTILE[name])
    finally:
        monkeypatch.undo()


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - {"a message"}))
def test_what_stands_around_it_is_read(name):
    """A message with it among its arguments still says its id and its task."""
    inner = HOSTILE[name]
    inner = inner[2:-1] if inner[:1] == b"\x80" else inner[:-1]
    raw = (
        b"\x80\x04chuey.registry\nMessage\n(S'the id'\nS'a.task'\nNK\x00K\x00N("
        + inner + b"t}NNNNtR."
    )  # fmt: skip
    message = READER.message(raw)
    assert (message.id, message.name) == ("the id", "a.task")
    assert len(message.fields) == 12


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_instances_of_any_class_become_placeholders(protocol):
    """Whatever way their class asks to be pickled; they keep module and name."""
    values = [
        Loud(),
        OrderedDict(a=1),
        Counter("aab"),
        partial(int, "1"),
        range(3),
        ValueError("x"),
    ]
    values += [Path("/"), st.none, type, len, pickle.PickleError, Pair(1, 2)]
    ran.clear()
    raw = pickle.dumps(values, protocol)
    ran.clear()
    found = read(raw)
    assert {type(each) for each in found} <= {Opaque}
    names = [each.name for each in found]
    assert names[:3] == ["trap", "OrderedDict", "Counter"]
    assert names[-1] == "Pair"
    assert repr(found[1]) == "<opaque collections.OrderedDict>"


Pair = namedtuple("Pair", "one two")


def test_placeholders_can_be_keys_and_members():
    """Two of the same class are two, as nobody knows whether they were equal."""
    raw = pickle.dumps({Path("/"): {Path("/"), Path("/a")}, Path("/b"): 1})
    found = read(raw)
    assert len(found) == 2
    assert sorted(len(each) for each in found.values() if isinstance(each, set)) == [2]


@pytest.mark.parametrize("module", ["no_such_module_anywhere", "this", "antigravity"])
def test_no_module_is_imported(module):
    """Neither one that there is nor one that there is not."""
    import sys

    sys.modules.pop(module, None)
    found = read(f"c{module}\nthing\n(K\x01tR.".encode())
    assert (found.module, found.name) == (module, "thing")
    assert module not in sys.modules


keys = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.dates(),
    st.tuples(st.integers(), st.text()), st.frozensets(st.integers()), st.uuids(),
)  # fmt: skip
plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.integers(-(2**600), 2**600),
        st.floats(allow_nan=False), st.complex_numbers(allow_nan=False), st.text(), st.binary(),
        st.text(st.characters(codec=None)),
        st.binary().map(bytearray), st.dates(), st.times(), st.datetimes(), st.timedeltas(),
        st.datetimes(timezones=st.just(timezone.utc)), st.decimals(allow_nan=False), st.uuids(),
        st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(keys, inner),
        st.sets(keys), st.frozensets(keys), st.lists(inner, max_size=2).map(lambda x: [x, x]),
    ),
    max_leaves=20,
)  # fmt: skip


@settings(deadline=None)
@given(plain, st.sampled_from(PROTOCOLS), st.booleans())
def test_plain_values_come_out_as_they_went_in(value, protocol, optimized):
    """In every protocol, and of the same types."""
    raw = pickle.dumps(value, protocol)
    found = read(pickletools.optimize(raw) if optimized else raw)
    assert found == value
    # The types, and signs of zero, as far as a representation shows them.
    assert sorted(repr(found)) == sorted(repr(pickle.loads(raw)))


@settings(deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(PROTOCOLS), st.data())
def test_what_is_broken_is_unreadable(noise, more, protocol, data):
    """Noise, and pickles with noise in them: a value, or `Unreadable`, and nothing else."""
    whole = pickle.dumps([{"a": (1, 2.5, "text")}, datetime(2030, 1, 1), UUID(int=7)], protocol)
    place = data.draw(st.integers(0, len(whole)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for raw in (noise, whole[:place] + more + whole[place:], bytes([whole[0]]) + noise):
            for call in (READER.value, READER.message):
                with contextlib.suppress(Unreadable):
                    call(raw)
            READER.is_token(raw)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_was_cut_off_is_unreadable(protocol):
    """At any byte."""
    raw = pickle.dumps({"key": [1, "text", b"bytes" * 100, datetime(2030, 1, 1), 2**70]}, protocol)
    for end in range(len(raw)):
        with pytest.raises(Unreadable):
            read(raw[:end])


def over(limit):
    return pytest.raises(Unreadable, match=limit)


def nested(levels):
    return b"\x80\x04" + b")" + b"\x85" * levels


BOMBS = {
    "deep tuples": nested(200_000) + b".",
    "a deep key": b"\x80\x04}" + nested(200_000)[2:] + b"Ns.",
    "a deep chain of lists": b"\x80\x04]\x94" + b"]\x94h\x00\x86" * 2000 + b"." ,
    "lists without end": b"\x80\x04(" + b"]" * 1_100_000 + b"l.",
    "marks without end": b"\x80\x04" + b"(" * 1_100_000 + b"N.",
    "a key hashed for ever": b"\x80\x04}" + b")" + b"2\x86" * 200 + b"Ns.",
    "a long array": b"cbuiltins\nbytearray\n(J\x00\x00\x00\x7ftR.",
    "a text named again and again": (
        b"\x80\x04c_codecs\nencode\n\x94X" + (2_000_000).to_bytes(4, "little") + b"x" * 2_000_000
        + b"\x94X\x06\x00\x00\x00latin1\x94000(" + b"h\x00h\x01h\x02\x86R" * 10_000 + b"l."
    ),
    "lengths beyond the end": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
    "a memo of many": b"\x80\x04Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f.",
    "digits without end": b"L" + b"9" * 1_000_000 + b"L\n.",
    "an endless number": b"\x80\x04\x8b\x00\x00\x10\x00" + b"\xff" * 0x100000 + b".",
    "an endless decimal": b"cdecimal\nDecimal\n(S'" + b"9" * 1_000_000 + b"'\ntR.",
    "keys with the same hash": (
        b"\x80\x04}("
        + b"".join(
            b"\x8a\x10" + (number * (2**61 - 1)).to_bytes(16, "little") + b"N"
            for number in range(20_000)
        )
        + b"u."
    ),
}  # fmt: skip


REFUSED = {
    "deep tuples", "a deep key", "lists without end", "a key hashed for ever",
    "a text named again and again", "keys with the same hash",
}  # fmt: skip
"""What is over a bound; the others may be read."""


SLOW = {"lists without end", "a deep key"}
"""Those that take longest under `tracemalloc`."""


@pytest.mark.parametrize("name", slow_except(BOMBS.keys() - SLOW, [*BOMBS]))
def test_bombs_do_not_go_off(name):
    """Read or refused, in little time and memory; what is over a bound is refused for that."""
    raw = BOMBS[name]
    refused = over("more than|many times its size")
    began = time.process_time()
    tracemalloc.start()
    try:
        with refused if name in REFUSED else contextlib.suppress(Unreadable):
            read(raw)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert time.process_time() - began < 15  # tracing makes it several times slower
    assert peak < 160_000_000 + 4 * len(raw)  # CPython 3.10 takes 157 for the decimal, 3.12 125


LARGE = {
    "numbers": list(range(1_000_010)),
    "small numbers": [1] * 1_100_000,
    "pairs": [(number, 1) for number in range(300_000)],
    "a dict": dict.fromkeys(range(300_000), 1),
    "dicts": [{"a": number, "b": "x", "c": None} for number in range(100_000)],
    "texts": list(map(str, range(600_000))),
}


@pytest.mark.parametrize("name", slow_except(["numbers", "dicts", "texts"], [*LARGE]))
def test_large_arguments_are_read(name):
    """Of a million instructions and more, in a message whose ids count."""
    fields = (one_id(1), "a.b", None, 0, 0, None, (LARGE[name],), {})
    message = READER.message(_message_of(fields))
    assert message.ids == {one_id(1)}
    assert message.fields[6] == (LARGE[name],)


@pytest.mark.parametrize("each", slow_except([b"\x8f"], [b"}", b"\x8f"]))
def test_larger_bombs_take_no_more_than_a_bound(each):
    """However large a pickle is, what its containers take is not many times as much."""
    raw = b"\x80\x04(" + each * 1_200_000 + b"l."
    tracemalloc.start()
    with over("many times its size"):
        read(raw)
    assert tracemalloc.get_traced_memory()[1] < 60 * len(raw)
    tracemalloc.stop()


def test_things_noted_in_two_ways_are_refused():
    """No pickler does so: they could be taken for one another."""
    assert read(b"\x80\x04(Nq\x05K\x07q\x00h\x05h\x00l.") == [None, 7, None, 7]
    with over("memo in two ways"):
        read(b"\x80\x04(Nq\x05K\x07\x94h\x05h\x01l.")
    with over("a broken pickle"):
        read(b"N\x94g-1\n.")


def test_long_numbers_are_placeholders():
    """One that Python would not print; the message around it is no worse for it."""
    found = read(pickle.dumps([10**5000, 10**4000]))
    assert (found[0].module, found[0].name) == ("builtins", "int")
    assert found[1] == 10**4000


def test_a_cycle_is_read():
    """A list in itself ends."""
    cycle = [1]
    cycle.append(cycle)
    cycle.extend(range(2000))
    found = read(pickle.dumps(cycle))
    assert found[1] is found


def test_large_values_are_read_up_to_a_bound():
    """30 MB are a value, 50 MB are not looked at."""
    assert len(read(pickle.dumps(b"x" * 30_000_000))) == 30_000_000
    with over("52,428,8.. bytes: more than 33,554,432 are not read"):
        read(pickle.dumps(b"x" * 50 * 1024 * 1024))
    with over("an empty value"):
        read(b"")


@pytest.mark.parametrize("options", [{}, {"use_zlib": True}])
def test_compressed_values(options):
    """They are read as Huey reads them; those from before compression was on as well."""
    huey = MemoryHuey("x", serializer=Serializer(compression=True, **options))
    reader = Reader(huey)
    assert not reader.is_trusted
    assert reader.value(huey.serializer.serialize([1, "a"])) == [1, "a"]
    assert reader.value(pickle.dumps([1])) == [1]
    with pytest.raises(Unreadable, match="compress"):
        reader.value(huey.serializer.serialize([1, "a"])[:-3])
    with pytest.raises(Unreadable, match="broken compression"):
        reader.value(b"\x78\x1f" + bytes(100))
    other = gzip if options else zlib
    with pytest.raises(Unreadable):
        reader.value(other.compress(pickle.dumps(1)))
    with pytest.raises(Unreadable):
        read(huey.serializer.serialize(1))


def test_several_parts_of_gzip_are_one_value():
    """As the format allows, with zeros at the end."""
    raw = pickle.dumps([1, "a"])
    reader = Reader(MemoryHuey("x", serializer=Serializer(compression=True)))
    assert reader.value(gzip.compress(raw[:9]) + gzip.compress(raw[9:]) + bytes(9)) == [1, "a"]


@pytest.mark.parametrize("options", [{}, {"use_zlib": True}])
def test_a_zip_bomb_is_not_unpacked(options):
    """At most 200 kilobytes that would be 200 megabytes stop at the bound."""
    huey = MemoryHuey("x", serializer=Serializer(compression=True, **options))
    pack = zlib.compressobj(9, zlib.DEFLATED, 15 if options else 31)
    raw = b"".join(pack.compress(bytes(2**24)) for _ in range(12)) + pack.flush()
    assert len(raw) < 200_000
    tracemalloc.start()
    with over("bytes when decompressed"):
        Reader(huey).value(raw)
    assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST
    tracemalloc.stop()


def signed(secret="s3cret", **options):
    return MemoryHuey("x", serializer=SignedSerializer(secret=secret, **options))


@pytest.mark.parametrize("compression", [False, True])
def test_signatures_are_checked_before_anything_is_read(compression, monkeypatch):
    """Another secret, no signature, a changed byte: none is looked into."""
    huey = signed(compression=compression)
    reader = Reader(huey)
    assert reader.value(huey.serializer.serialize(["a:b"])) == ["a:b"]
    wrong = signed("other", compression=compression).serializer.serialize(["a"])
    changed = bytearray(signed().serializer.serialize(["a"]))
    changed[-1] ^= 1
    monkeypatch.setattr("huey_signals_kit.store.reader.load", trap)
    for raw in (wrong, bytes(changed), pickle.dumps(["a"]), b":", b"a:"):
        with over("without the signature of this Huey's secret"):
            reader.value(raw)


class Reversed(Serializer):
    """A serializer of a user's own."""

    def _serialize(self, data):
        return super()._serialize(data)[::-1]

    def _deserialize(self, data):
        return super()._deserialize(data[::-1])


class Json(Serializer):
    """One that knows no messages of Huey's."""

    def deserialize(self, data):
        return json.loads(data)


class Renamed(SignedSerializer):
    """One that only brings its own settings."""

    def __init__(self):
        super().__init__(secret="mine")


def test_a_serializer_of_the_users_own_is_used_as_it_is():
    """And the reader says so; what it makes is searched for ids all the same."""
    huey = MemoryHuey("x", serializer=Reversed())

    @huey.task()
    def task(*args):
        pass

    reader = Reader(huey)
    assert (reader.is_trusted, reader.serializer_name) == (True, "Reversed")
    first, later, said = task.s(1, {"k": [one_id(7)]}), task.s(2), uuid4()
    later.on_error = task.s(3, str(said))
    first.on_complete = later
    message = reader.message(huey.serialize_task(first))
    assert (message.id, message.name) == (first.id, f"{__name__}.task")
    assert message.ids == {first.id, later.id, later.on_error.id, one_id(7), str(said)}
    assert reader.is_token(huey.serializer.serialize((None, True)))
    assert isinstance(reader.value(huey.serializer.serialize(Error({"error": "x"}))), Error)
    with over(r"Reversed.deserialize\(\) raised"):
        reader.value(b"nothing of the kind")


def test_what_such_a_serializer_gives_may_be_no_message():
    """Then nobody knows which ids stand in it."""
    reader = Reader(MemoryHuey("x", serializer=Json()))
    assert reader.value(b'{"a": 1}') == {"a": 1}
    with over("a value of type dict"):
        reader.message(b'{"id": "a"}')
    with over("Json"):
        reader.value(b"{")


def test_a_subclass_that_leaves_reading_as_it_is_needs_no_trust():
    """Only its settings are its own. A method put on the object itself is another matter."""
    huey = MemoryHuey("x", serializer=Renamed())
    assert not Reader(huey).is_trusted
    assert Reader(huey).value(huey.serializer.serialize([1])) == [1]
    huey.serializer.deserialize = lambda data: "mine"
    assert Reader(huey).is_trusted
    assert Reader(huey).value(b"x") == "mine"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"X\xff\0\0\0ab.", "cut off"),
        (b"Sabc\n.", "no quotes"),
        (b"S'a\n.", "no quotes"),
        (b"S'\\q'\n.", "unknown escape"),
        (b"\x86.", "more from the stack"),
        (b"I1\nI2\na.", "adds to a int"),
        (b"I1\nI2\n\x93.", "other than text"),
        (b"I1\n}b.", "sets the state of a int"),
        (b"cuuid\nUUID\n)\x81}X\x03\0\0\0intI-1\nsb.", "sets the state of a UUID"),
        (b"I1\n)R.", "calls something other than"),
    ],
)
def test_a_pickle_that_python_does_not_write_is_refused(raw, text):
    """With a text that says what is wrong with it."""
    with over(text):
        Reader(MemoryHuey("x")).value(raw)


def test_a_bytearray_of_an_old_protocol_is_read():
    """It was written as a text that is to be encoded."""
    raw = pickle.dumps(bytearray(b"a\xff"), protocol=2)
    assert Reader(MemoryHuey("x")).value(raw) == bytearray(b"a\xff")


def test_ids_are_found_in_any_plain_value():
    """In bytes, in tasks and in results, also if they are in themselves."""
    huey = MemoryHuey("x")
    result, task = huey.task()(lambda: None)(), huey.task(name="other")(lambda: None).s()
    value = [one_id(1).encode(), bytearray(one_id(2).encode()), result, task, {"k": (one_id(3),)}]
    value.append(value)
    expected = {one_id(1), one_id(2), one_id(3), result.id, task.id}
    assert ids_in_plain(value) == expected


def stored(version, what):
    if what not in STORED[version]:
        pytest.skip(f"Huey {version} has none")
    return base64.b64decode(STORED[version][what])


@pytest.mark.parametrize("version", STORED)
class TestEveryVersion:
    """What Hueys of other versions have left in a store."""

    def test_a_message(self, version):
        """Its id, name and arguments; it may have fewer fields or more than here."""
        message = READER.message(stored(version, "plain"))
        assert (message.id, message.name) == (one_id(1), "shop.tasks.first")
        assert message.fields[6:8] == ((5,), {})
        assert message.ids == {one_id(1)}
        assert (message.eta, message.expires) == (None, None)

    def test_arguments(self, version):
        """Plain ones, as they are."""
        fields = READER.message(stored(version, "kwargs")).fields
        assert fields[6:8] == (({"a": [1, 2.5, None, b"x"]},), {"m": (True, "é")})

    def test_its_time(self, version):
        """When it is to run."""
        message = READER.message(stored(version, "eta"))
        assert message.eta == datetime(2031, 2, 3, 4, 5, 6, 789)

    def test_nested(self, version):
        """Stages and error tasks, and those of theirs."""
        message = READER.message(stored(version, "nested"))
        assert message.ids == {one_id(number) for number in range(1, 7)}

    def test_a_chord(self, version):
        """The callback, and what comes after it."""
        message = READER.message(stored(version, "chord"))
        assert message.ids == {one_id(1), one_id(2), one_id(3)}

    def test_values(self, version):
        """Tokens, errors, and the value of a lock."""
        assert read(stored(version, "token")) == (None, True)
        assert read(stored(version, "until")) == (datetime(2031, 1, 1), False)
        assert READER.is_token(stored(version, "until"))
        error = read(stored(version, "error"))
        assert isinstance(error, Error)
        assert error.metadata["error"] == "TaskLockedException('unable to acquire lock l')"
        assert not READER.is_token(stored(version, "error"))
        assert read(stored(version, "lock")) == "1"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_messages_of_every_protocol(protocol):
    """Also of the first ones, which make named tuples in another way."""
    inner = Message("inner", "a.b", None, 0, 0, None, (), {})
    outer = Message("outer", "a.c", None, 0, 0, None, (), {}, inner, *[None] * 3)
    message = READER.message(pickle.dumps(outer, protocol))
    assert message.ids == {"outer", "inner"}
    error = Error({"error": "x", "retries": 0})
    assert read(pickle.dumps([error, error], protocol)) == [error, error]


def test_fields_that_are_not_known_yet_are_searched():
    """A message of a later Huey, with one more that has a message in it."""
    fields = [one_id(1), "a.b", *[None] * 13]
    inner = Message(one_id(2), "a.b", *[None] * 6)
    message = READER.message(_message_of((*fields, {"more": [inner, Hidden(one_id(3))]})))
    assert message.ids == {one_id(1), one_id(2), one_id(3)}
    assert len(message.fields) == 16


class Hidden:
    """A class of a user's own that holds an id."""

    def __init__(self, task_id):
        self.task_id = task_id


def _message_of(fields):
    return b"\x80\x04chuey.registry\nMessage\n" + pickle.dumps(tuple(fields), 4)[2:-1] + b"R."


def test_ids_in_arguments_count():
    """Of a task that is an argument, of a class that is not known, in a text, as a key."""
    arguments = (one_id(1), [{one_id(2): 1}], Hidden(one_id(3)), f"job {one_id(4)}!")
    fields = ("custom", "a.b", None, 0, 0, None, arguments, {"to": one_id(5)})
    message = READER.message(_message_of(fields))
    assert message.ids == {"custom", *map(one_id, range(1, 6))}


def test_a_long_pipeline_is_read():
    """Several hundred stages, each inside the one before."""
    inner = None
    for number in range(150):
        inner = Message(one_id(number), "a.b", None, 0, 0, None, (), {}, inner)
    message = READER.message(pickle.dumps(inner))
    assert message.ids == {one_id(number) for number in range(150)}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ((1, 2), "a value of type tuple"),
        (Error({}), "a value of type Error"),
        (Hidden(1), "a value of type Opaque"),
        (Message(Hidden(1), "a.b", *[None] * 6), "without an id"),
        (Message("id", Hidden(1), *[None] * 6), "or without the name"),
        (Message("id", "a.b", *[None] * 6, Message("x", None)), "or without the name"),
    ],
)
def test_what_is_no_message_is_unreadable(value, why):
    """For a queued message, a reason not to delete."""
    with over(why):
        READER.message(pickle.dumps(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((None, True), True),
        ((datetime(2030, 1, 1, tzinfo=timezone.utc), False), True),
        ((None, 1), False),
        (("soon", True), False),
        ((None, True, None), False),
        ([None, True], False),
        (None, False),
        ((Hidden(1), True), False),
        ("x" * 5000, False),
    ],
)
def test_tokens_are_told_by_their_form(value, expected):
    """What is no token, or cannot be read, is none."""
    assert READER.is_token(pickle.dumps(value)) is expected
    assert not READER.is_token(pickle.dumps(value)[:-1])


def test_an_error_whose_metadata_is_none_is_no_error():
    """A pickle that names Huey's class with arguments that it never has."""
    assert isinstance(READER.value(b"\x80\x02chuey.utils\nError\nN\x85\x81."), Opaque)
    assert type(READER.value(b"chuey.registry\nMessage\n)R.")) is StoredMessage


def test_dates_and_numbers_of_an_hour_zone():
    """The plain classes by name, in all protocols."""
    zone = timezone(timedelta(hours=-3), "x")
    values = [datetime(2030, 1, 1, tzinfo=zone, fold=1), day_time(1, 2, tzinfo=zone), date.max]
    values += [Decimal("NaN"), UUID(int=2**128 - 1), zone, timedelta.min]
    for protocol in PROTOCOLS:
        raw = pickle.dumps(values, protocol)  # the first protocols forget which of two hours
        assert repr(read(raw)) == repr(pickle.loads(raw))
