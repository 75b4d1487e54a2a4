"""The acts of the page: everything that it can change.

Each act is a page of its own, ``act/NAME``. A GET shows a confirmation, which names the object and
says what will happen; it changes nothing. A POST does it and leads to a page with a notice. What a
confirmation was shown for must still be so: a form names the stored value that it is about, and if
that has changed, nothing happens.
"""

from .confirmation import encode_field
from .pages import ACT_PAGES, NOTICES

__all__ = ["ACT_PAGES", "NOTICES", "encode_field"]
