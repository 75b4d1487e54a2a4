"""What a consumer of the demo is told, by way of its environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from .places import Place

VARIABLE = "HUEY_SIGNALS_DEMO"


@dataclass(frozen=True)
class Settings:
    """The queue, the file for the tally, and whether the kit is to be installed."""

    place: Place
    tally: str
    kit: bool

    def environment(self) -> dict[str, str]:
        """The variable that tells all of this."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def told(cls) -> Settings | None:
        """What this process was told, or None."""
        if VARIABLE not in os.environ:
            return None
        told = json.loads(os.environ[VARIABLE])
        return cls(Place(**told["place"]), told["tally"], told["kit"])
