"""The actions: everything that the web interface can change.

Each action is a page of its own, ``act/NAME``. A GET shows a confirmation, which names the object
and says what will happen; it changes nothing. A POST does it and leads to a page with a notice. A
form names the stored value that its confirmation has shown: the lock's acquisition, the token, the
pause switch, or that there was none. If that has changed, nothing happens. A form that deletes a
token also names what was known of its task, and every form can be sent only once.
"""

from .confirmation import encode_field
from .pages import ACT_PAGES, NOTICES

__all__ = ["ACT_PAGES", "NOTICES", "encode_field"]
