"""What does a command work with, and how does it print?

`cli` makes a `Desk` for each command that looks at storage; the commands in `alerts` and `status` use it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TextIO

from itsm_bridge.app import Stored
from itsm_bridge.operate.terminal import Screen
from itsm_bridge.reconcile.ports import Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The parts, the clock and the output that a command works with."""

    stored: Stored
    now: Callable[[], datetime]
    out: TextIO
    as_json: bool
    screen: Screen = field(default_factory=Screen)
    #: Returns what the rules in force give every incident, whatever its alert.
    common: Callable[[], Content] = lambda: Content(fields={})

    def tell(self, text: str, content: object) -> None:
        """Print `text` for people, or `content` as JSON."""
        print(json.dumps(content, indent=2, ensure_ascii=False) if self.as_json else text, file=self.out)
