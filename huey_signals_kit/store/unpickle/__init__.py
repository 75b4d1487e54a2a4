"""An interpreter for pickles that imports and calls nothing that they name.

A result store is shared with every program that can write to it, and unpickling a value runs
whatever code the value asks for. Upkeep reads all values, also broken and foreign ones, so it must
not unpickle them.

`pickle.Unpickler` with its own ``find_class`` was tried instead. It controls which names are
imported, but not what the rest of a pickle costs: a few bytes can ask for gigabytes, for a hash
that takes hours, or for nesting that overflows the C stack. It crashes CPython 3.11 on inputs of
``tests/unit/test_safe_reading.py``. That is why the instructions are interpreted here, in Python,
with bounds for memory, nesting and hashing.

- ``opcodes``: what each instruction does; `load` reads a pickle
- ``machine``: the stack, the memo and the bounds
- ``literals``: the instructions for numbers and texts
- ``types``: the classes that a pickle may construct, and `Opaque` for all others
- ``trusted``: messages that a serializer of the user's own has deserialized
"""

from .opcodes import load
from .types import Opaque, StoredMessage, Unreadable

__all__ = ["Opaque", "StoredMessage", "Unreadable", "load"]
