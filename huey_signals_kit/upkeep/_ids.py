"""Ids that Huey made, ``str(uuid.uuid4())``, as 16 bytes each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from struct import iter_unpack

from ..store.keys import GENERATED

SIZE = 16
_GENERATED = re.compile(GENERATED).fullmatch


def packed(task_id: str) -> bytes | None:
    """The 16 bytes of *task_id*, or None if Huey has not made it."""
    if _GENERATED(task_id) is None:
        return None
    return bytes.fromhex(task_id.replace("-", ""))


def each_of(many: bytes | bytearray | memoryview) -> Iterator[bytes]:
    """The packed ids in *many*, which has one after the other."""
    return chain.from_iterable(iter_unpack(f"{SIZE}s", many))
