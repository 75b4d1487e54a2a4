"""Work over the store and the ledger of a queue: find what has leaked, and clean it.

Every function takes any Huey, with a kit or without. The rule for all of them: whatever may still
be in use is left alone and counted, so everything that is deleted or released was proved unused.
`tokens` has the sweep of revoke tokens, `locks` the release of stale locks, `errors` the purge of
stored errors, `results` the purge of unread results, `kit_data` the deletion of the kit's own keys.
`reports` and `explanation` only read.

Most processes with a kit use none of this, so importing `upkeep` imports only the defaults. The
rest is imported when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._limits import DAY as DAY
from ._limits import LOCK_ERRORS as LOCK_ERRORS
from ._limits import MIN_AGE as MIN_AGE
from ._limits import UNCLAIMED_SECONDS as UNCLAIMED_SECONDS
from ._limits import WEEK as WEEK

if TYPE_CHECKING:
    from ._names import *  # noqa: F403 - for type checkers
else:

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used."""
        public = import_module("._names", __name__)
        if name == "__all__" or name in public.__all__:
            return getattr(public, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
