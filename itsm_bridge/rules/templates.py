"""What does the value of a field say for one alert?

`compiling` makes a `Template` of each value; `engine` renders those that count in the end. `consistency` asks before
what is wrong with one. A value without braces is a text, and one with names alone ("{{ severity }} on {{ resource }}")
needs no template engine; all else is Jinja2 in `sandbox`, which is imported when the first such value is met, because
its import takes longer than anything else of an alert.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from itsm_bridge.rules.faults import Trouble, quoted, suggestion
from itsm_bridge.rules.values import MOST, NAMES, TEXT, Shape, Values, text_at

if TYPE_CHECKING:
    from types import ModuleType

#: What makes a template of a text.
_BRACES = re.compile(r"\{[{%#]")
#: A name, or one that belongs to another: {{ resource.name }}.
_LONE_NAME = re.compile(r"\{\{ *([a-z_]+)(?:\.([A-Za-z_]\w*))? *\}\}")


TOO_LONG: Final = f"it makes more than {MOST:,} characters"


class Failed(Exception):
    """A template gives no text for this alert; the message says why, and quotes nothing of the alert."""


class Template(Protocol):
    """The value of a field."""

    def render(self, values: Values) -> str:
        """Return the text for one alert.

        Raises:
            Failed: it gives none.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """A text that is the same for all alerts."""

    text: str

    def render(self, values: Values) -> str:  # noqa: ARG002 - the protocol's
        """Return the text."""
        return self.text


@dataclass(frozen=True, slots=True)
class _Names:
    """Texts and names in turn."""

    parts: Sequence[str | tuple[str, ...]]

    def render(self, values: Values) -> str:
        text = "".join(part if isinstance(part, str) else text_at(values, part) for part in self.parts)
        if len(text) > MOST:
            raise Failed(TOO_LONG)
        return text


@lru_cache(maxsize=4096)
def template_of(text: str) -> Template:
    """Return the template of a checked value."""
    if not _BRACES.search(text):
        return Constant(text)
    if _has_names_alone(text):
        return _Names(tuple(_parts(text)))
    template: Template = _sandbox().template_of(text)
    return template


def trouble_of_template(text: str) -> Trouble | None:
    """Return what is wrong with a value, None if it can be rendered."""
    if not _BRACES.search(text):
        return None
    if not _has_names_alone(text):
        trouble: Trouble | None = _sandbox().trouble_of(text)
        return trouble
    paths = [part for part in _parts(text) if not isinstance(part, str)]
    return next((trouble for path in paths if (trouble := _trouble_of_path(path))), None)


def shape_of_name(name: str) -> Shape | Trouble:
    """Return the shape of a name, or that there is none such."""
    return NAMES.get(name) or Trouble(f"a template has no name {quoted(name)}", suggestion(name, NAMES))


def shape_within(shape: Shape, name: str, *, of: str) -> Shape | Trouble:
    """Return the shape of what a name leads to from another shape, which a message calls `of`."""
    if shape.kind == "map":
        return TEXT
    if shape.kind == "object" and name in shape.fields:
        return shape.fields[name]
    hint = suggestion(name, shape.fields) if shape.kind == "object" else f"write {of} alone"
    if shape.kind == "list":
        hint = f"write {of}[0].{name} for the first, or go through them with for"
    return Trouble(f"{of} has no {quoted(name)}", hint)


def _trouble_of_path(path: tuple[str, ...]) -> Trouble | None:
    shape = shape_of_name(path[0])
    if isinstance(shape, Shape) and len(path) > 1:
        shape = shape_within(shape, path[1], of=path[0])
    return shape if isinstance(shape, Trouble) else None


def _has_names_alone(text: str) -> bool:
    return not _BRACES.search(_LONE_NAME.sub("", text))


def _parts(text: str) -> list[str | tuple[str, ...]]:
    parts: list[str | tuple[str, ...]] = []
    at = 0
    for match in _LONE_NAME.finditer(text):
        parts += [text[at : match.start()], tuple(filter(None, match.groups()))]
        at = match.end()
    return [*parts, text[at:]]


def _sandbox() -> "ModuleType":
    from itsm_bridge.rules import sandbox  # noqa: PLC0415 - Jinja2 is imported where a rule needs it

    return sandbox
