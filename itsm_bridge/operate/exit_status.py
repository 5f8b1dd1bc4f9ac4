"""With which status does a command end?

`cli` and the commands return these; the docstring of `cli` is what operators read about them.
"""

from typing import Final

from itsm_bridge.errors import PermanentError

#: No operator has to act.
DONE: Final = 0
#: An operator has to act, or nothing was found.
ACT: Final = 1
#: The command line or the app settings are wrong.
WRONG: Final = 2
#: Storage, Entra ID, ServiceNow or the app did not answer.
NO_ANSWER: Final = 3


class NotUnderstood(PermanentError):
    """The command line asks for something that cannot be, or for too many things; the message says what to type."""
