"""What does the worker library speak? Stand-ins for the protobuf messages that the real host exchanges with it.

The worker hands these classes to the library, which builds its answers from them; only the fields that it reads or
writes are here. A field that was not given reads as None.
Cookies (`RpcHttpCookie`) are left out: a response that sets one fails here.
Source: https://github.com/Azure/azure-functions-language-worker-protobuf
"""

from typing import Any


class Message:
    """A protobuf message: the fields it was made with; every other field is unset."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> None:
        """Read an unset field."""
        # The library asks for `TypedData` to tell its module of classes from a message.
        if name == "TypedData" or name.startswith("__"):
            raise AttributeError(name)


class TypedData(Message):
    """One value, in the one field that names its type: string, json, bytes, http."""

    def WhichOneof(self, _group: str) -> str | None:  # noqa: N802 -- protobuf's name
        return next((name for name, value in vars(self).items() if value is not None), None)


class ParameterBinding(Message):
    """The value of one parameter."""

    def WhichOneof(self, _group: str) -> str:  # noqa: N802 -- protobuf's name
        return "data"


class StatusResult(Message):
    """Whether what was asked for succeeded."""

    Failure = 0
    Success = 1


class BindingInfo(Message):
    """One binding of a function; the numbers are those of the protobuf enums."""

    undefined = 0
    out = 1
    inout = 2


class FunctionMetadataResponse(Message):
    """The functions of an app."""


class FunctionEnvironmentReloadResponse(Message):
    """Whether the app's settings could be taken over."""


class InvocationResponse(Message):
    """How one invocation ended."""


class RpcException(Message):
    """What went wrong: `message` and `stack_trace`."""


class RpcFunctionMetadata(Message):
    """One function; `raw_bindings` is a list of JSON objects."""


class RpcHttp(Message):
    """An HTTP request or response."""


class RpcRetryOptions(Message):
    """A retry policy of a function."""


class WorkerInitResponse(Message):
    """Whether the app could be loaded."""


class WorkerMetadata(Message):
    """Which Python this is."""
