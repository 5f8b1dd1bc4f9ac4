"""Which Azure resources does an exported file hold?

`operate.migrate` calls `read` with a file, and `resources_of` with rows of Resource Graph. People have these shapes:

    az … list, az … show     a list or an object, with properties at the top (older commands) or under `properties`
    Resource Manager         {"value": […], "nextLink": …}
    Resource Graph           {"data": […]}, the older {"data": {"columns": …, "rows": …}}, or what the portal downloads
    PowerShell               the same with names in PascalCase and lists in the singular
    ARM templates            {"$schema": …, "resources": […]}; defaults of parameters and variables are filled in
    Terraform                a state, or `terraform show -json` of a state or a plan

Names are compared without regard to case and underscores. An object of no known shape is told in a remark.

Sources of truth: https://learn.microsoft.com/azure/governance/resource-graph/concepts/work-with-data,
https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from itsm_bridge.errors import PermanentError
from itsm_bridge.migration import terraform_shape

#: What describes a resource beside its properties.
_OUTER: Final = frozenset(
    {
        *("id", "name", "type", "location", "tags", "kind", "properties", "apiversion", "identity", "etag", "scope"),
        *("dependson", "condition", "comments", "copy", "resources", "systemdata", "resourcegroup", "subscriptionid"),
        *("tenantid", "managedby", "sku", "plan", "zones", "extendedlocation", "resourceid"),
    }
)
_IN_ID: Final = re.compile(r"/providers/([^/]+/[^/]+)/([^/]+)/?$", re.IGNORECASE)
_CALL: Final = re.compile(r"(parameters|variables)\('([^']+)'\)", re.IGNORECASE)
_LITERAL: Final = re.compile(r"\['([^']*)'\]")
_CONCAT: Final = re.compile(r"\[concat\(((?:'[^']*'(?:,\s*)?)+)\)\]", re.IGNORECASE)


class NotAnExport(PermanentError):
    """The file holds nothing that is known; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One Azure resource, as it was exported."""

    #: The ARM id; "" where the file does not know it, as a template.
    id: str
    name: str
    #: Lower-cased: microsoft.insights/actiongroups.
    type: str
    properties: Mapping[str, Any]
    location: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a file holds."""

    resources: tuple[Resource, ...]
    #: What was not understood, and what is missing, in sentences.
    remarks: tuple[str, ...] = ()


def read(raw: bytes) -> Export:
    """Return the resources of a file; pure.

    Raises:
        NotAnExport: it is no JSON, or holds no resource at all.
    """
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        content = json.loads(raw.decode(encoding))
    except ValueError as error:
        raise NotAnExport("it is not JSON; export it with `az monitor action-group list --output json`") from error
    reader = _Reader()
    resources = tuple(reader.walk(content))
    if not resources and not isinstance(content, list):
        told = f": {reader.remarks[0]}" if reader.remarks else ""
        raise NotAnExport(f"it holds no Azure resource of a known shape{told}")
    return Export(resources=resources, remarks=tuple(dict.fromkeys(reader.remarks)))


def resources_of(rows: Sequence[Mapping[str, Any]]) -> Export:
    """Return the resources of rows of Resource Graph."""
    reader = _Reader()
    return Export(resources=tuple(reader.walk(list(rows))), remarks=tuple(reader.remarks))


def pick(content: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value of the first of the names that is there, in any case and with or without underscores."""
    plain = {_plain(name): value for name, value in content.items()}
    return next((plain[_plain(name)] for name in names if plain.get(_plain(name)) is not None), None)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


class _Reader:
    """Walks over the content of a file and collects remarks."""

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def walk(self, content: object) -> Iterator[Resource]:
        """Yield the resources of any of the shapes."""
        if isinstance(content, list):
            for each in content:
                yield from self.walk(each)
        elif isinstance(content, dict):
            yield from self._object(content)
        else:
            self.remarks.append(f"a value that is no object was found among resources: {str(content)[:40]!r}")

    def _object(self, content: Mapping[str, Any]) -> Iterator[Resource]:
        if terraform_shape.is_terraform(content):
            for each in terraform_shape.resources_of(content):
                yield from self.walk(each)
        elif isinstance(content.get("$schema"), str) and "resources" in content:
            yield from self._template(content)
        elif isinstance(content.get("columns"), list) and isinstance(content.get("rows"), list):
            yield from self._table(content)
        elif (rows := _rows_of(content)) is not None:
            self._tell_pages(content)
            yield from self.walk(rows)
        else:
            yield from self._resource(content)

    def _tell_pages(self, content: Mapping[str, Any]) -> None:
        if pick(content, "nextLink", "skip_token", "$skipToken"):
            self.remarks.append("the file is one page of several; export the others too, or use --subscription")

    def _table(self, content: Mapping[str, Any]) -> Iterator[Resource]:
        names = [str(each.get("name", "")) if isinstance(each, dict) else str(each) for each in content["columns"]]
        yield from self.walk([dict(zip(names, row, strict=False)) for row in content["rows"] if isinstance(row, list)])

    def _template(self, template: Mapping[str, Any]) -> Iterator[Resource]:
        """Yield the resources of an ARM template, with the defaults of its parameters filled in."""
        resources = template["resources"]
        listed = list(resources.values()) if isinstance(resources, dict) else resources
        known = {
            ("parameters", name.lower()): each.get("defaultValue")
            for name, each in _mapping(template.get("parameters")).items()
            if isinstance(each, dict)
        }
        known |= {("variables", name.lower()): value for name, value in _mapping(template.get("variables")).items()}
        for each in listed if isinstance(listed, list) else ():
            inner = _mapping(_mapping(each).get("properties")).get("template")
            if isinstance(inner, dict) and "resources" in inner:
                yield from self._template(inner)
            else:
                yield from self.walk(_filled(each, known))

    def _resource(self, content: Mapping[str, Any]) -> Iterator[Resource]:
        id_ = str(pick(content, "id", "resourceId") or "")
        in_id = _IN_ID.search(id_)
        type_ = str(pick(content, "type") or (in_id[1] if in_id else ""))
        name = str(pick(content, "name") or (in_id[2] if in_id else ""))
        if "/" not in type_ or not name:
            names = ", ".join(sorted(content)[:5])
            self.remarks.append(f"an object is no resource, because it has no id, or neither type nor name: {names}")
            return
        outer = {_plain(key): value for key, value in content.items()}
        properties = outer.get("properties")
        if isinstance(properties, str):
            # The portal's download of Resource Graph writes them as text.
            try:
                properties = json.loads(properties)
            except ValueError:
                self.remarks.append(f"the properties of {name} are no JSON")
        if not isinstance(properties, dict):
            properties = {key: value for key, value in content.items() if _plain(key) not in _OUTER}
        yield Resource(
            id=id_.rstrip("/"),
            name=name.rpartition("/")[2] if "/" in name and not name.startswith("[") else name,
            type=type_.partition("@")[0].lower(),
            properties=properties,
            location=str(outer.get("location") or ""),
            tags={str(key): str(value) for key, value in _mapping(outer.get("tags")).items()},
        )


def _rows_of(content: Mapping[str, Any]) -> list[Any] | dict[str, Any] | None:
    """Return the rows of a page of Resource Manager or Resource Graph; None if it is no page."""
    if pick(content, "type") or pick(content, "id"):
        return None
    rows = pick(content, "value", "data")
    return rows if isinstance(rows, list | dict) else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _filled(value: Any, known: Mapping[tuple[str, str], Any]) -> Any:  # noqa: ANN401 - JSON
    """Return a part of a template with what is known of its parameters and variables filled in."""
    if isinstance(value, dict):
        return {key: _filled(each, known) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, known) for each in value]
    if not isinstance(value, str) or not value.startswith("["):
        return value
    whole = _CALL.fullmatch(value[1:-1])
    if whole and (found := known.get((whole[1].lower(), whole[2].lower()))) is not None:
        return _filled(found, known) if found != value else value
    text = _CALL.sub(lambda call: _inserted(call, known), value)
    if joined := _CONCAT.fullmatch(text):
        return "".join(re.findall(r"'([^']*)'", joined[1]))
    literal = _LITERAL.fullmatch(text)
    return literal[1] if literal else text


def _inserted(call: re.Match[str], known: Mapping[tuple[str, str], Any]) -> str:
    found = known.get((call[1].lower(), call[2].lower()))
    if not isinstance(found, str):
        return call[0]
    return f"'{found}'" if not found.startswith("[") else found[1:-1]
