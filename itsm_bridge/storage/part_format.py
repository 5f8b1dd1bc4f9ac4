"""How does a part of a record stand in JSON?

`row_format` calls this; nothing is read or written here. The types of its fields say how a part is laid out, so a new
field needs no change here. They are looked at once, when the program starts: each type gets a writer and a reader,
which then only run, because every alert is written and read several times.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from itsm_bridge.reconcile.desired import Signal
from itsm_bridge.reconcile.followed import FollowedAlert
from itsm_bridge.rules.ruling import Lifecycle

#: The parts of which a row may hold many: it has no room for fields that are at their defaults.
_SPARSE: Final = frozenset({Signal, Lifecycle, FollowedAlert})

#: The field in which a part keeps what a newer version of this program wrote.
_UNKNOWN: Final = "unknown"

_T = TypeVar("_T")


class Form(NamedTuple):
    """How the values of one type stand in JSON."""

    #: `_as_it_is` where they stand as they are.
    write: Callable[[Any], Any]
    #: Raises TypeError or ValueError at what no value of the type is written as.
    read: Callable[[Any], Any]


def form_of(kind: Any) -> Form:  # noqa: ANN401 - type hints have no common type
    """Return the form of a type that a field of a part may have, or of a part itself."""
    if isinstance(kind, UnionType):
        return _optional(form_of(next(each for each in get_args(kind) if each is not NoneType)))
    if get_origin(kind) is tuple:
        return _tuple(form_of(get_args(kind)[0]))
    if get_origin(kind) is Mapping:
        return Form(dict, _texts) if get_args(kind)[1] is str else _mapping(form_of(get_args(kind)[1]))
    return _part(kind) if is_dataclass(kind) else _scalar(kind)


def exactly(kind: type[_T]) -> Callable[[object], _T]:
    """Return what returns a value if it is of exactly this kind, and raises TypeError if not: True is no number."""

    def checked(value: object) -> _T:
        if type(value) is not kind:
            raise TypeError(f"{type(value).__name__} in place of {kind}")
        return value

    return checked


_number, _list, _object = exactly(int), exactly(list), exactly(dict)


def _texts(value: object) -> dict[str, str]:
    """Return a JSON object that holds texts alone, as most do; raises TypeError for any other."""
    texts: dict[str, str] = _object(value)
    if not {*map(type, texts.values())} <= {str}:
        raise TypeError("another type in place of a text")
    return texts


def _as_it_is(value: _T) -> _T:
    return value


def _scalar(kind: type) -> Form:
    if kind is datetime:
        return Form(lambda moment: moment.astimezone(UTC).isoformat(), datetime.fromisoformat)
    if kind is timedelta:
        return Form(lambda span: round(span.total_seconds()), lambda seconds: timedelta(seconds=_number(seconds)))
    return Form(attrgetter("value"), kind) if issubclass(kind, StrEnum) else Form(_as_it_is, exactly(kind))


def _optional(form: Form) -> Form:
    write, read = form
    return Form(
        write if write is _as_it_is else lambda value: None if value is None else write(value),
        lambda value: None if value is None else read(value),
    )


def _tuple(form: Form) -> Form:
    write, read = form
    return Form(
        list if write is _as_it_is else lambda values: [write(each) for each in values],
        lambda values: tuple([read(each) for each in _list(values)]),
    )


def _mapping(form: Form) -> Form:
    write, read = form
    return Form(
        lambda values: {name: write(each) for name, each in values.items()},
        lambda values: {name: read(each) for name, each in _object(values).items()},
    )


def _part(kind: Any) -> Form:  # noqa: ANN401 - dataclasses have no common type
    """Return the form of a part: fields that it lacks get their defaults, and those it has too many are kept."""
    hints = get_type_hints(kind)
    forms = {name: form_of(hint) for name, hint in hints.items() if name != _UNKNOWN}
    writers = {name: form.write for name, form in forms.items() if form.write is not _as_it_is}
    readers = {name: form.read for name, form in forms.items()}
    defaults = _defaults(kind) if kind in _SPARSE else {}
    values_of = attrgetter(*forms)

    def told(part: Any) -> dict[str, Any]:  # noqa: ANN401
        held = dict(zip(forms, values_of(part), strict=True))
        for name, default in defaults.items():
            if held[name] == default:
                del held[name]
        for name, write in writers.items():
            if name in held:
                held[name] = write(held[name])
        return held

    def known(content: object) -> dict[str, Any]:
        return {name: readers[name](value) for name, value in _object(content).items() if name in readers}

    if _UNKNOWN not in hints:
        return Form(told, lambda content: kind(**known(content)))
    return Form(
        lambda part: {**part.unknown, **told(part)},
        lambda content: kind(
            **known(content), unknown={name: value for name, value in content.items() if name not in hints}
        ),
    )


def _defaults(kind: Any) -> Mapping[str, object]:  # noqa: ANN401 - dataclasses have no common type
    return {
        each.name: each.default if each.default_factory is MISSING else each.default_factory()
        for each in fields(kind)
        if each.name != _UNKNOWN and (each.default, each.default_factory) != (MISSING, MISSING)
    }
