"""The state of the view that keys change: the order of rows, and how far each pane is scrolled."""

from __future__ import annotations

PROCESSES, LOCKS = "processes", "locks"
PANES = (PROCESSES, LOCKS)

BY_PROCESS, BY_TIME, BY_NAME, BY_SKIPS = "process", "time", "name", "skips"
_SORT_KEYS = {"p": BY_PROCESS, "t": BY_TIME, "n": BY_NAME, "s": BY_SKIPS}
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}
_PAGES = {"page up": -1, "b": -1, "page down": 1, " ": 1}
_ENDS = {"home": -1, "g": -1, "end": 1, "G": 1}


class Controls:
    """The choices of the user, changed by `press` and read by the view.

    The view says with `set_extent` how far each pane can be scrolled.
    """

    def __init__(self) -> None:
        """Show the beginning of both panes, by process."""
        self.sort = BY_PROCESS
        self.pane = PROCESSES
        self.should_quit = False
        """Whether the user wants to quit."""
        self.presses = 0
        """How many keys had an effect; the screen is drawn again after each."""
        self._offsets = dict.fromkeys(PANES, 0)
        self._last = dict.fromkeys(PANES, 0)
        self._page = dict.fromkeys(PANES, 1)

    def offset(self, pane: str) -> int:
        """Return how many rows of `pane` are above the screen."""
        return self._offsets[pane]

    def set_extent(self, pane: str, rows: int, room: int) -> None:
        """Set the size of a pane, and limit its offset to it.

        Args:
            pane: The pane.
            rows: How many rows it has.
            room: How many lines it has on the screen.
        """
        self._last[pane] = max(0, rows - room)
        self._page[pane] = max(1, room - 1)
        self._offsets[pane] = min(self._offsets[pane], self._last[pane])

    def press(self, key: str) -> None:
        """Handle a key; ignore unknown keys."""
        before = (self.sort, self.pane, self.should_quit, *self._offsets.values())
        if key in ("q", "Q"):
            self.should_quit = True
        elif key == "tab":
            self.pane = LOCKS if self.pane == PROCESSES else PROCESSES
        elif key in _SORT_KEYS:
            self.sort = _SORT_KEYS[key]
            self._offsets = dict.fromkeys(PANES, 0)
        else:
            self._scroll(key)
        self.presses += before != (self.sort, self.pane, self.should_quit, *self._offsets.values())

    def _scroll(self, key: str) -> None:
        pane = self.scrolled_pane()
        rows = _STEPS.get(key, 0) + _PAGES.get(key, 0) * self._page[pane]
        rows += _ENDS.get(key, 0) * self._last[pane]
        self._offsets[pane] = min(max(0, self._offsets[pane] + rows), self._last[pane])

    def scrolled_pane(self) -> str:
        """Return the pane that keys scroll: the chosen one, unless only the other does not fit."""
        other = LOCKS if self.pane == PROCESSES else PROCESSES
        return other if self._last[other] and not self._last[self.pane] else self.pane
