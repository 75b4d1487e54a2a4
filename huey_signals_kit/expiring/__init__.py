"""Stored errors that expire after some seconds, on every storage of Huey.

Where the server has a time to live for keys or fields, it deletes the errors. Elsewhere an index is
stored beside them: one record for each error, with the time when it is due, the key, and a digest
of the value. Any process with a kit deletes what is due, also if the process that stored the error
was killed. `Expiry` names two exceptions: an overridden ``put_result``, and storages that the kit
does not know.

Two rules hold this together. The record is written before the error or in the same step, so no
error stays forever because a process was killed between the two. And an error is deleted only if
its digest still matches, so a result that was stored under the same key since is never deleted.
"""

from ._expiry import Expiry

__all__ = ["Expiry"]
