"""The settings of a consumer of the demo, passed in an environment variable."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from .storages import DemoStorage

VARIABLE = "HUEY_SIGNALS_DEMO"


@dataclass(frozen=True)
class Settings:
    """The settings of one consumer."""

    storage: DemoStorage
    tally: str
    """Path of the file for the tally."""
    kit: bool
    """Whether the consumer installs the kit."""
    is_shop: bool = False
    """Whether its tasks are those of the shop, not those of a round."""

    def as_environment(self) -> dict[str, str]:
        """Return the environment variable that holds these settings."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Settings | None:
        """Return the settings of this process, or None if it is not a consumer of the demo."""
        if VARIABLE not in os.environ:
            return None
        content = json.loads(os.environ[VARIABLE])
        return cls(**{**content, "storage": DemoStorage(**content["storage"])})
