"""Errors that are gone after a time, on every storage of Huey.

Where the server knows a time to live, it removes them. Elsewhere what is due is written down
beside the error, in the same step, so that any process with a kit can remove it on its tick:
also when the one that wrote it was killed.
"""

from ._expiry import Expiry

__all__ = ["Expiry"]
