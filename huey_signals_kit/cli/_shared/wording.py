"""Parts of sentences: plurals, verbs and lists."""

from __future__ import annotations

from ...upkeep.wording import join_limited, pluralize, verb

__all__ = ["join_limited", "pluralize", "verb"]
