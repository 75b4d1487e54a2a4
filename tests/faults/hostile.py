"""Values that would run code, or exhaust whoever reads them; each is a pickle, or part of one."""

from __future__ import annotations

import gzip
import pickle
import zlib
from pathlib import Path

PROTOCOLS = range(6)
MB = 1024 * 1024


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def gadgets(marker: Path) -> dict[str, tuple[str, str, bytes]]:
    """Functions that leave the file *marker*, or a module, if anybody calls them."""
    touch, opened = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    return {
        "system": ("posix", "system", text(touch)),
        "os.system": ("os", "system", text(touch)),
        "eval": ("builtins", "eval", text(opened)),
        "exec of Python 2": ("__builtin__", "exec", text(opened)),
        "import": ("builtins", "__import__", text("this")),
        "import_module": ("importlib", "import_module", text("antigravity")),
        "Popen": ("subprocess", "Popen", b"]" + text("touch") + b"a" + text(str(marker)) + b"a"),
        "open": ("io", "open", text(str(marker)) + text("w")),
        "a foreign class": ("no_such_module_anywhere", "Thing", text("x")),
        "a dotted name": ("pathlib", "Path.touch", text(str(marker))),
    }


def calls(module: str, name: str, argument: bytes) -> dict[str, bytes]:
    """Every way in which instructions of a pickle can call that; without its begin and end."""
    line = f"{module}\n{name}\n".encode()
    named, args = b"c" + line, b"(" + argument + b"t"
    return {
        "GLOBAL": named,
        "REDUCE": named + args + b"R",
        "STACK_GLOBAL": text(module) + text(name) + b"\x93" + args + b"R",
        "INST": b"(" + argument + b"i" + line,
        "OBJ": b"(" + named + argument + b"o",
        "NEWOBJ": named + args + b"\x81",
        "NEWOBJ_EX": named + args + b"}\x92",
        "NEWOBJ_EX with names": named + b")}" + text("x") + b"Ns\x92",
        "BUILD": named + b")\x81}" + text("__setstate__") + named + b"sb",
        "BUILD of a class": named + args + b"b",
        "APPENDS": named + b")\x81(" + argument + b"e",
        "SETITEMS": named + b")\x81(" + text("k") + b"Nu",
        "ADDITEMS": named + b")\x81(" + text("k") + b"\x90",
        "_reconstructor": b"ccopyreg\n_reconstructor\n(" + named + b"cbuiltins\nobject\nNtR",
        "__newobj__": b"ccopyreg\n__newobj__\n(" + named + argument + b"tR",
        "__newobj_ex__": b"ccopyreg\n__newobj_ex__\n(" + named + args + b"}tR",
        "EXT1": b"\x82\x01" + args + b"R",
        "EXT2": b"\x83\x01\x00" + args + b"R",
        "EXT4": b"\x84\x01\x00\x00\x00" + args + b"R",
        "PERSID": b"P" + line.split(b"\n")[0] + b"\n" + args + b"R",
        "BINPERSID": named + b"Q" + args + b"R",
        "what a call has made": named + args + b"R" + args + b"R",
    }


def bodies(marker: Path) -> dict[str, bytes]:
    """All of these, and values that look like known ones around them; each leaves one value."""
    found = {}
    for gadget, parts in gadgets(marker).items():
        ways = calls(*parts)
        # Every way with two of them, and all of them in two ways.
        for way in ways if gadget in ("system", "eval") else ("REDUCE", "STACK_GLOBAL"):
            found[f"{way}: {gadget}"] = ways[way]
    inner = calls(*gadgets(marker)["system"])["REDUCE"]
    found |= {
        "a datetime of it": b"cdatetime\ndatetime\n(" + inner + b"tR",
        "a datetime with it as its zone": (
            b"cdatetime\ndatetime\n(C\x0a\x07\xe8\x01\x01" + b"\0" * 6 + inner + b"tR"
        ),
        "a timedelta of it": b"cdatetime\ntimedelta\n(" + inner + b"tR",
        "a timezone of it": b"cdatetime\ntimezone\n(" + inner + b"tR",
        "a name in datetime": b"cdatetime\nsys.modules\n",
        "a Decimal of it": b"cdecimal\nDecimal\n(" + inner + b"tR",
        "a Decimal's method": b"cdecimal\nDecimal.from_float\n(" + inner + b"tR",
        "a set of it": b"cbuiltins\nset\n((l" + inner + b"atR",
        "bytes by another codec": b"c_codecs\nencode\n(" + inner + text("rot13") + b"tR",
        "an error of it": b"chuey.utils\nError\n(" + inner + b"tR",
        "an error with it in it": error(inner),
        "a message with it in it": message("an id", inner),
        "a list in itself": b"]q\x00h\x00a",
        "a dict in itself": b"}q\x00" + text("me") + b"h\x00s",
        "a value that doubles": doubling(),
        "a number of 4,000 digits": b"L" + b"7" * 4000 + b"L\n",
        "a number of 10,000 bytes": b"\x8b" + (10_000).to_bytes(4, "little") + b"\x7f" * 10_000,
    }
    return found


def doubling(times: int = 900) -> bytes:
    """A tuple of itself and itself, so often that nobody can print it."""
    return b")" + b"2\x86" * times


def error(inner: bytes, text_of_it: str = "ValueError('x')") -> bytes:
    """Huey's ``Error`` with *inner* in its metadata."""
    metadata = b"}" + text("error") + text(text_of_it) + b"s" + text("traceback") + inner + b"s"
    return b"chuey.utils\nError\n(" + metadata + b"tR"


def message(task_id: str | bytes, inner: bytes, stage: bytes = b"N") -> bytes:
    """Huey's ``Message`` with *inner* in its arguments, both kinds, and where no message is."""
    own = text(task_id) if isinstance(task_id, str) else task_id
    args = b"(" + inner + b"t}" + text("x") + inner + b"s"
    rest = stage + inner + b"NN"  # on_complete, on_error, expires, expires_resolved
    return b"chuey.registry\nMessage\n(" + own + text("a.task") + b"NK\0K\0N" + args + rest + b"tR"


def whole(body: bytes, protocol: int = 4) -> bytes:
    """The pickle of what *body* leaves."""
    return b"\x80" + bytes([protocol]) + body + b"."


def inert(marker: Path, protocols: object = PROTOCOLS) -> dict[str, bytes]:
    """Whole pickles that can be read, with placeholders in them."""
    return {
        f"{name}, protocol {protocol}": whole(body, protocol)
        for name, body in bodies(marker).items()
        for protocol in protocols
    }


def broken(marker: Path) -> dict[str, bytes]:
    """What nobody can read, or what would be too much."""
    inner = calls(*gadgets(marker)["system"])["REDUCE"]
    whole_one = whole(b"(" + inner * 5 + b"l")
    return {
        "nothing": b"",
        "zeros": b"\0" * 1000,
        "junk": b"\xff\xfejunk",
        "cut off": whole_one[:-1],
        "cut in half": whole_one[: len(whole_one) // 2],
        "no begin": whole_one[9:],
        "protocol 6": whole(inner, 6),
        "an error with a state": whole(error(b"N") + b"}" + text("__setstate__") + inner + b"sb"),
        "a list with a state": whole(b"]" + inner + b"b"),
        "a text that is called": whole(text("os.system") + b"(" + text("x") + b"tR"),
        "a key that doubles": whole(b"}" + doubling() + b"Ns"),
        "a length beyond the end": whole(b"\x8e" + b"\xff" * 7 + b"\x7f"),
        "a memo that is not there": whole(b"j\xff\xff\xff\x7f"),
        "gzip": gzip.compress(whole_one),
        "zlib": zlib.compress(whole_one),
    }


def large(marker: Path) -> dict[str, bytes]:
    """Much, within the bounds on a value and beyond them."""
    inner = calls(*gadgets(marker)["system"])["REDUCE"]
    return {
        "100,000 deep": whole(b")" + b"\x85" * 100_000),
        "100,000 lists deep": whole(b"]" * 100_000 + b"a" * 99_999),
        "two million instructions": whole(b"(" + b"N" * 2_000_000 + b"l"),
        "a million sets": whole(b"(" + b"\x8f" * 999_000 + b"l"),
        "30 MB of a text with a wide letter": pickle.dumps("\N{SNOWMAN}" + "x" * (30 * MB)),
        "30 MB of ids": pickle.dumps("00000000-0000-4000-8000-000000000000" * (30 * MB // 36)),
        "50 MB, and a call": whole(
            b"(B" + (50 * MB).to_bytes(4, "little") + bytes(50 * MB) + inner + b"l"
        ),
        "16 MB of lists as JSON": b"[" + b"[]," * (16 * MB // 3) + b"[]]",
        "15 MB of marks": b"1" + marks(15 * MB),
    }


def marks(size: int) -> bytes:
    """Groups of one mark each, all of them different."""
    return b"".join(
        b"@\x00" + number.to_bytes(6, "big") + bytes(8) + b"\0\0\0\1" + number.to_bytes(16, "big")
        for number in range(size // 36)
    )
