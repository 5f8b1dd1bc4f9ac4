"""Which values of a rules file do not go together?

`reading` asks with the tree of a file, whatever else is wrong with it. Checks of one value are in `checks`.
"""

from collections.abc import Iterator
from datetime import datetime, time
from itertools import islice, pairwise

from itsm_bridge.rules import checks
from itsm_bridge.rules.faults import Fault, Trouble, quoted, suggestion
from itsm_bridge.rules.fields import trouble_of_field, trouble_of_reference
from itsm_bridge.rules.nodes import Items, Mapping, Node, Scalar
from itsm_bridge.rules.ruling import BUILT_IN, DEFAULTS
from itsm_bridge.rules.templates import trouble_of_template

#: What a rule has to say, or it is of no use.
_SAYING = frozenset({"severity", "set", "action", "lifecycle", "correlate", "storm"})
#: With how many names of windows a wrong one is compared.
_COMPARED = 100
_HINT_WINDOW = "from and to, or days, or cron and lasts"


def faults_between(tree: Node) -> Iterator[Fault]:
    """Yield the faults of values that are right each for itself."""
    if not isinstance(tree, Mapping):
        return
    windows = tree.get("windows")
    names = dict.fromkeys(windows.entries if isinstance(windows, Mapping) else ())
    yield from _of_windows(windows)
    yield from _of_defaults(tree.get("defaults"))
    rules = [rule for rule in _items(tree.get("rules")) if isinstance(rule, Mapping)]
    yield from _of_names(rules)
    yield from _of_order(rules)
    for rule in rules:
        yield from _of_rule(rule, names)


def _of_names(rules: list[Mapping]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for rule in rules:
        name = rule.get("name")
        if not isinstance(name, Scalar):
            continue
        known = checks.same(name.text)
        if known in (BUILT_IN, DEFAULTS):
            yield _fault(name, f"a rule cannot be called {quoted(name.text)}", "the program speaks under this name")
        elif known in first:
            message = f"another rule is called {quoted(name.text)} too"
            yield _fault(name, message, f"it is in line {first[known]}; say what this one is about")
        else:
            first[known] = name.place.line


def _of_order(rules: list[Mapping]) -> Iterator[Fault]:
    """Yield a fault for the first rule that no alert reaches."""
    for rule, after in pairwise(rules):
        stop, match = rule.get("stop"), rule.get("match")
        fits_all = match is None or (isinstance(match, Mapping) and not match.entries)
        if fits_all and isinstance(stop, Scalar) and stop.text.lower() == "true":
            message = f"no alert reaches this rule: the one in line {rule.place.line} fits all alerts and stops"
            yield _fault(after, message, "delete this rule, or give the other one a match")
            return


def _of_rule(rule: Mapping, windows: dict[str, None]) -> Iterator[Fault]:
    if not _SAYING & rule.entries.keys() and "stop" not in rule.entries:
        yield _fault(rule, "the rule says nothing", f"add one of {', '.join(sorted(_SAYING))}, stop")
    if "because" in rule.entries and "severity" not in rule.entries:
        yield _fault(rule.entries["because"][0], "there is no severity beside because", "add severity: Sev1")
    yield from _of_match(rule.get("match"), windows)
    yield from _of_set(rule.get("set"))


def _of_match(match: Node | None, windows: dict[str, None]) -> Iterator[Fault]:
    if isinstance(match, Items):
        for each in match.items:
            yield from _of_match(each, windows)
    if not isinstance(match, Mapping):
        return
    during = match.get("during")
    for name in during.items if isinstance(during, Items) else [during]:
        if isinstance(name, Scalar) and name.text not in windows:
            hint = (
                suggestion(name.text, islice(windows, _COMPARED))
                if windows
                else f"add it under windows, with {_HINT_WINDOW}"
            )
            yield _fault(name, f"there is no window {quoted(name.text)}", hint)
    other = match.get("not")
    if isinstance(other, Mapping) and not other.entries:
        yield _fault(other, "the rule can never match: not {} leaves nothing", "name what is left out")
    yield from _of_match(other, windows)


def _of_defaults(defaults: Node | None) -> Iterator[Fault]:
    if not isinstance(defaults, Mapping):
        return
    yield from _of_set(defaults.get("set"))
    by_severity = defaults.get("by_severity")
    if isinstance(by_severity, Mapping):
        for _, fields in by_severity.entries.values():
            yield from _of_set(fields)


def _of_set(fields: Node | None) -> Iterator[Fault]:
    if not isinstance(fields, Mapping):
        return
    for name, (key, value) in fields.entries.items():
        if trouble := trouble_of_field(name):
            yield _told(key, trouble)
        elif isinstance(value, Mapping):
            yield from _of_reference(name, value)
        elif isinstance(value, Scalar) and not value.is_null:
            trouble = trouble_of_reference(name, value.text) or trouble_of_template(value.text)
            if trouble:
                yield _told(value, trouble)


def _of_reference(name: str, reference: Mapping) -> Iterator[Fault]:
    if len(reference.entries) != 1:
        hint = f"write {name}: {{ name: … }}"
        yield _fault(reference, "a reference names one field of the other record", hint)
        return
    ((by, (key, value)),) = reference.entries.items()
    if not by.isascii() or not by.replace("_", "").isalnum() or by != by.lower():
        yield _fault(key, f"{quoted(by)} is no name of a field", "small letters, digits and _, as in user_name")
    if isinstance(value, Scalar):
        if not value.text.strip():
            yield _fault(value, "the reference names nothing", f'write {name}: "" to leave the field out')
        elif trouble := trouble_of_template(value.text):
            yield _told(value, trouble)


def _of_windows(windows: Node | None) -> Iterator[Fault]:
    if not isinstance(windows, Mapping):
        return
    for name, (key, value) in windows.entries.items():
        if trouble := checks.name(name):
            yield _told(key, trouble)
        if isinstance(value, Items) and not value.items:
            yield _fault(value, f"the window {quoted(name)} is empty", _HINT_WINDOW)
        for span in _items(value) or [value]:
            if isinstance(span, Mapping) and (trouble := _trouble_of_span(span)):
                yield _told(span, trouble)


def _trouble_of_span(span: Mapping) -> Trouble | None:
    if "cron" in span.entries or "lasts" in span.entries:
        return _trouble_of_schedule(span)
    ends = [span.get("from"), span.get("to")]
    if None in ends:
        is_whole_days = ends == [None, None] and "days" in span.entries
        return None if is_whole_days else Trouble("the window does not say from when to when", f"write {_HINT_WINDOW}")
    texts = [end.text for end in ends if isinstance(end, Scalar)]
    dates = [checks.local_time(text) for text in texts]
    times = [checks.time_of_day(text) for text in texts]
    if len(texts) != len(ends) or any(date is None and time is None for date, time in zip(dates, times, strict=True)):
        return None  # told where it stands
    return _trouble_of_ends(dates, times, has_days="days" in span.entries, is_same=texts[0] == texts[1])


def _trouble_of_ends(
    dates: list[datetime | None], times: list[time | None], *, has_days: bool, is_same: bool
) -> Trouble | None:
    beginning, end = dates
    if (beginning is None) != (end is None):
        return Trouble("one end is a time of day, the other a date", "write both as dates or both as times")
    if beginning is None or end is None:
        hint = "leave both out for whole days"
        return Trouble("the window ends when it begins", hint) if times[0] == times[1] or is_same else None
    if has_days:
        return Trouble("days go with times of day, not with dates", "leave days out")
    if end <= beginning:
        return Trouble("the window ends before it begins", "write the later time behind to")
    return None


def _trouble_of_schedule(span: Mapping) -> Trouble | None:
    if "cron" not in span.entries or "lasts" not in span.entries:
        return Trouble("cron and lasts go together", 'as in cron: "0 22 * * sat", lasts: 6h')
    if {"from", "to", "days"} & span.entries.keys():
        return Trouble("a schedule has no days, from or to", "keep cron and lasts alone, or leave them out")
    return None


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []


def _fault(node: Node, message: str, hint: str) -> Fault:
    return Fault(node.place.line, node.place.column, message, hint)


def _told(node: Node, trouble: Trouble) -> Fault:
    return _fault(node, trouble.message, trouble.hint)
