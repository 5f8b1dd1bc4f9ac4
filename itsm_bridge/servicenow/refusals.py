"""In which ways does ServiceNow leave a question without an answer?

`table_api` raises these, beside the errors that every room has; who asked decides what each means for the question.
"""

from itsm_bridge.errors import Rejected, Unavailable


class NotAllowed(Unavailable):
    """ServiceNow knows who we are and does not let us: a role is missing, or it refuses for now."""


class NoSuchTable(Unavailable):
    """A node says that it has no such table or API: for good, or because it is just starting."""


class TooLargeAnswer(Unavailable):
    """The answer is larger than anything we read: ask for less."""


class UnknownField(Rejected):
    """The table has no such field, or hides it, so that a query by it says nothing."""


class OtherRows(Unavailable):
    """Nothing came back but rows that were not asked for: the query was read as another one."""


class NotTogether(Unavailable):
    """Several questions were sent as one request, and the instance answers no such requests: ask one by one."""
