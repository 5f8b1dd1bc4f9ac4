"""How does a rules file become rules that can be applied?

The parts of the program that read files call `compiled`, once for each file. What is checked there cannot fail when
rules are applied: patterns, templates, durations and windows are made here.
"""

from collections.abc import Callable, Iterable, Mapping

from msgspec import UNSET, Struct, UnsetType

from itsm_bridge.azure_monitor.alert import Severity
from itsm_bridge.rules.durations import duration_of
from itsm_bridge.rules.engine import Defaults, Rule, Rules, Setting
from itsm_bridge.rules.matching import Windows, matcher_of
from itsm_bridge.rules.model import CorrelateSaid, LifecycleSaid, RulesFile, StormSaid
from itsm_bridge.rules.model import Defaults as DefaultsSaid
from itsm_bridge.rules.model import Rule as RuleSaid
from itsm_bridge.rules.reading import read
from itsm_bridge.rules.ruling import BUILT_IN, DEFAULTS, AfterClosed, AutoResolve, Correlate, Per, Storm
from itsm_bridge.rules.templates import template_of
from itsm_bridge.rules.windows import span_of

#: What a file says of fields, as the model has it.
FieldsSaid = Mapping[str, str | int | float | bool | dict[str, str | int | float | bool]]


def compiled(source: str | bytes | None = None, *, built_in: str | bytes) -> Rules:
    """Return the rules in force with a file of an operator; pure.

    Args:
        source: The file, as text or as it was stored; None for the built-in rules alone.
        built_in: The rules that ship with the program; they come first.

    Raises:
        InvalidRules: the file has faults; none of it is taken.
    """
    files = [(read(built_in), True)]
    if source is not None:
        files.append((read(source), False))
    rules = [rule for file, is_built_in in files for rule in _rules(file, is_built_in=is_built_in)]
    defaults = [
        _defaults(file.defaults, BUILT_IN if is_built_in else DEFAULTS)
        for file, is_built_in in files
        if isinstance(file.defaults, DefaultsSaid)
    ]
    return Rules(defaults=tuple(defaults), rules=tuple(rules))


def _rules(file: RulesFile, *, is_built_in: bool) -> Iterable[Rule]:
    windows = _windows(file)
    for rule in file.rules if isinstance(file.rules, list) else ():
        yield _rule(rule, windows, is_built_in=is_built_in)


def _windows(file: RulesFile) -> Windows:
    said = file.windows if isinstance(file.windows, dict) else {}
    return {name: tuple(map(span_of, spans if isinstance(spans, list) else [spans])) for name, spans in said.items()}


def _rule(said: RuleSaid, windows: Windows, *, is_built_in: bool) -> Rule:
    return Rule(
        name=said.name,
        is_built_in=is_built_in,
        matcher=matcher_of(said.match, windows),
        severity=None if said.severity is UNSET else Severity(said.severity),
        reason=f'the rule "{said.name}" says so' if said.because is UNSET else said.because,
        fields=_settings(said.set),
        action=None if said.action is UNSET else said.action,
        lifecycle=_lifecycle(said.lifecycle),
        correlate=_correlate(said.correlate),
        storm=_storm(said.storm),
        stops=said.stop,
    )


def _defaults(said: DefaultsSaid, name: str) -> Defaults:
    by_severity = said.by_severity if isinstance(said.by_severity, dict) else {}
    return Defaults(
        name=name,
        fields=_settings(said.set),
        by_severity={word: _settings(fields) for word, fields in by_severity.items()},
        lifecycle=_lifecycle(said.lifecycle),
        correlate=_correlate(said.correlate),
        storm=_storm(said.storm),
    )


def _settings(said: FieldsSaid | UnsetType) -> Mapping[str, Setting]:
    settings = {}
    for name, value in said.items() if isinstance(said, Mapping) else ():
        if isinstance(value, dict):
            ((by, text),) = value.items()
            settings[name] = Setting(template_of(str(text)), by=by)
        else:
            settings[name] = Setting(template_of(str(value)))
    return settings


def _lifecycle(said: LifecycleSaid | UnsetType) -> Mapping[str, object]:
    """Return what is said of a lifecycle, by the names of its fields."""
    if not isinstance(said, Struct):
        return {}
    made: Mapping[str, Callable[[str], object]] = {
        "auto_resolve": AutoResolve,
        "after_closed": AfterClosed,
        "reopen_within": lambda text: {"always": None, "never": duration_of("0s")}.get(text, duration_of(text)),
        "hold": duration_of,
        "close_after": lambda text: None if text == "never" else duration_of(text),
    }
    return {name: make(getattr(said, name)) for name, make in made.items() if getattr(said, name) is not UNSET}


def _correlate(said: CorrelateSaid | UnsetType) -> Correlate | None:
    if not isinstance(said, CorrelateSaid):
        return None
    return Correlate(per=Per(said.per), within=None if said.within is UNSET else duration_of(said.within))


def _storm(said: StormSaid | str | UnsetType) -> Storm | bool | None:
    """Return when alerts become one incident, False if they never do, None if nothing is said."""
    if isinstance(said, StormSaid):
        within = duration_of(said.within)
        return Storm(more_than=said.more_than, within=within) if within else None
    return None if isinstance(said, UnsetType) else False
