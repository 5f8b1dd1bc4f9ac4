"""What do the rules say of one alert?

`compiling` makes one `Rules` of the files; the webhook asks it once for each notification, the command `preview` also
why. It is pure and safe to share between threads: the time comes in, and what it says is a `Ruling`.

1. All rules that fit apply in their order, the built-in ones first, until one stops. Where two speak of the same, the
   later wins, field by field; a rule wins over defaults.
2. A rule sees the severity that the rules before it left. Fields are rendered at the end, with the one that counts.
3. A template that gives no text says nothing, so that what was said before stays. A text that is empty as it stands
   leaves its field out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from itsm_bridge.azure_monitor.alert import Alert, Severity
from itsm_bridge.azure_monitor.wording.by_kind import wording_of
from itsm_bridge.rules.checks import NO_SEVERITY
from itsm_bridge.rules.matching import Matcher
from itsm_bridge.rules.ruling import BUILT_IN, Correlate, Lifecycle, Reference, Ruling, Storm
from itsm_bridge.rules.subject import Subject
from itsm_bridge.rules.templates import Constant, Failed, Template
from itsm_bridge.rules.values import Values
from itsm_bridge.text import clip, one_line, plain


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field is set to."""

    template: Template
    #: The field of the other record that the text is looked up by; "" if the text is the value itself.
    by: str = ""

    @property
    def leaves_out(self) -> bool:
        """Whether it says that the field is left out."""
        return isinstance(self.template, Constant) and not self.template.text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What a file says of every alert."""

    #: Under which name they answer.
    name: str
    fields: Mapping[str, Setting] = field(default_factory=dict)
    by_severity: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    lifecycle: Mapping[str, object] = field(default_factory=dict)
    correlate: Correlate | None = None
    storm: Storm | bool | None = None

    def fields_for(self, severity: Severity | None) -> Mapping[str, Setting]:
        """Return the fields of an alert of this severity."""
        return {**self.fields, **self.by_severity.get(severity or NO_SEVERITY, {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; None where it says nothing."""

    name: str
    is_built_in: bool
    matcher: Matcher
    severity: Severity | None
    #: Why it is of this severity, as the end of a sentence.
    reason: str
    fields: Mapping[str, Setting]
    action: str | None
    lifecycle: Mapping[str, object]
    correlate: Correlate | None
    #: False: the alerts never become one incident.
    storm: Storm | bool | None
    stops: bool

    @property
    def source(self) -> str:
        """Under which name it answers for what it says."""
        return BUILT_IN if self.is_built_in else self.name

    @property
    def says(self) -> tuple[str, ...]:
        """What it speaks of, for people."""
        parts = {
            f"severity {self.severity}": self.severity is not None,
            f"action {self.action}": self.action is not None,
            "correlate": self.correlate is not None,
            "storm": self.storm is not None,
            "stop": self.stops,
        }
        return (*self.fields, *self.lifecycle, *(name for name, is_said in parts.items() if is_said))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one rule applies to an alert."""

    name: str
    is_built_in: bool
    applies: bool
    #: Why it does not apply; "" if it does.
    reason: str
    #: What it speaks of: names of fields, "severity Sev1", "hold", "stop".
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the rules say of an alert, and how it came to that."""

    ruling: Ruling
    #: One for each rule, in their order.
    verdicts: tuple[Verdict, ...]


class Rules:
    """The rules in force."""

    def __init__(self, *, defaults: tuple[Defaults, ...], rules: tuple[Rule, ...]) -> None:
        """Keep `defaults` and `rules` in the order in which they apply, the built-in ones first."""
        self._defaults = defaults
        self._rules = rules

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in the order in which they apply."""
        return self._rules

    @property
    def filled(self) -> frozenset[str]:
        """The fields that every incident gets, whatever its alert."""
        return frozenset(
            name for each in self._defaults for name, setting in each.fields.items() if not setting.leaves_out
        )

    @property
    def shadows(self) -> frozenset[str]:
        """The names of the rules that keep alerts from the target for a trial."""
        return frozenset(rule.source for rule in self._rules if rule.action == "shadow")

    def common(self) -> tuple[Mapping[str, str], Mapping[str, Reference]]:
        """Return the fields and references that are the same for every alert: defaults without a template."""
        said = {name: setting for each in self._defaults for name, setting in each.fields.items()}
        constant = {
            name: (setting.by, setting.template.text)
            for name, setting in said.items()
            if isinstance(setting.template, Constant) and not setting.leaves_out
        }
        fields = {name: text for name, (by, text) in constant.items() if not by}
        return fields, {name: Reference(field=by, value=text) for name, (by, text) in constant.items() if by}

    def apply(self, alert: Alert, now: datetime) -> Ruling:
        """Return what the rules say of `alert`, which came at `now`, aware. Never raises."""
        subject = Subject(alert, wording_of(alert), now)
        return self._ruling(subject, self._applying(subject, _untold))

    def explain(self, alert: Alert, now: datetime) -> Explanation:
        """Return what `apply` returns, and for each rule whether it applies and why not."""
        subject = Subject(alert, wording_of(alert), now)
        verdicts: list[Verdict] = []

        def tell(rule: Rule, reason: str) -> None:
            verdict = Verdict(
                name=rule.name,
                is_built_in=rule.is_built_in,
                applies=not reason,
                reason=reason,
                says=rule.says,
            )
            verdicts.append(verdict)

        applying = self._applying(subject, tell)
        for rule in self._rules[len(verdicts) :]:
            tell(rule, f'the rule "{applying[-1].name}" stops before it')
        return Explanation(ruling=self._ruling(subject, applying), verdicts=tuple(verdicts))

    def _applying(self, subject: Subject, tell: "Callable[[Rule, str], None]") -> list[Rule]:
        """Return the rules that apply, and give the subject the severity that counts."""
        applying = []
        for rule in self._rules:
            if not rule.matcher.holds(subject):
                if tell is not _untold:
                    tell(rule, rule.matcher.shortfall(subject))
                continue
            tell(rule, "")
            applying.append(rule)
            if rule.severity is not None:
                subject.restate(rule.severity)
            if rule.stops:
                break
        return applying

    def _ruling(self, subject: Subject, applying: list[Rule]) -> Ruling:
        said = _Said()
        for defaults in self._defaults:
            said.fields(defaults.name, defaults.fields_for(subject.severity))
            said.rest(defaults.name, defaults.lifecycle, defaults.correlate, defaults.storm)
        for rule in applying:
            said.fields(rule.source, rule.fields)
            said.rest(rule.source, rule.lifecycle, rule.correlate, rule.storm)
            if rule.action is not None:
                said.one(rule.source, "action", rule.action)
            if rule.severity is not None:
                said.one(rule.source, "severity", rule.reason)
        return said.ruling(subject)


def _untold(rule: Rule, reason: str) -> None:
    """Tell nobody."""


class _Said:
    """What was said so far, each with who said it."""

    def __init__(self) -> None:
        #: By field, all that was said of it, the last of which counts.
        self._fields: dict[str, list[tuple[str, Setting]]] = {}
        self._rest: dict[str, tuple[str, Any]] = {}

    def fields(self, source: str, fields: Mapping[str, Setting]) -> None:
        """Take what was said of fields."""
        for name, setting in fields.items():
            self._fields.setdefault(name, []).append((source, setting))

    def rest(
        self, source: str, lifecycle: Mapping[str, object], correlate: Correlate | None, storm: Storm | bool | None
    ) -> None:
        """Take what was said of the incident's beginning, end, and company."""
        for name, value in lifecycle.items():
            self.one(source, name, value)
        if correlate is not None:
            self.one(source, "correlate", correlate)
        if storm is not None:
            self.one(source, "storm", storm)

    def one(self, source: str, name: str, value: object) -> None:
        """Take one thing that was said."""
        self._rest[name] = (source, value)

    def ruling(self, subject: Subject) -> Ruling:
        """Return all of it."""
        fields, references, because, faults = self._rendered(Values(subject))
        for name, (source, _) in self._rest.items():
            if source != BUILT_IN and not (name == "severity" and subject.severity is subject.alert.severity):
                because[name] = source
        lifecycle = {name: self._value(name) for name in _LIFECYCLE if name in self._rest}
        storm = self._value("storm")
        return Ruling(
            alert=self._alert(subject),
            wording=subject.wording,
            is_ignored=self._value("action") == "ignore",
            is_shadowed=self._value("action") == "shadow",
            fields=fields,
            references=references,
            lifecycle=Lifecycle(**lifecycle),
            correlate=self._value("correlate") or Correlate(),
            storm=storm or None,
            storm_rule=self._rest["storm"][0] if storm else "",
            because=because,
            faults=tuple(faults),
        )

    def _alert(self, subject: Subject) -> Alert:
        """Return the alert with the severity that counts, and why it is not the one that was sent."""
        if subject.severity is subject.alert.severity:
            return subject.alert
        return replace(subject.alert, severity=subject.severity, severity_reason=self._value("severity"))

    def _value(self, name: str) -> Any:  # noqa: ANN401 - each name has a type of its own
        return self._rest[name][1] if name in self._rest else None

    def _rendered(self, values: Values) -> tuple[dict[str, str], dict[str, Reference], dict[str, str], list[str]]:
        """Return fields, references, who set them, and what failed."""
        fields: dict[str, str] = {}
        references: dict[str, Reference] = {}
        because: dict[str, str] = {}
        faults: list[str] = []
        for name, said in self._fields.items():
            found = _last_text(name, reversed(said), values, faults)
            if found is None:
                continue
            source, by, text = found
            if by:
                references[name] = Reference(field=by, value=clip(plain(one_line(text)), _REFERENCE))
            else:
                fields[name] = text
            if source != BUILT_IN:
                because[name] = source
        return fields, references, because, faults


#: The longest text that a record is looked up by.
_REFERENCE = 255
_LIFECYCLE = ("auto_resolve", "reopen_within", "after_closed", "hold", "close_after")


def _last_text(
    name: str, said: Iterable[tuple[str, Setting]], values: Values, faults: list[str]
) -> tuple[str, str, str] | None:
    """Return who said last what a field is, by which field of another record it is looked up, and the text."""
    for source, setting in said:
        if setting.leaves_out:
            return None
        try:
            text = setting.template.render(values)
        except Failed as error:
            faults.append(f'the template of {name} in the rule "{source}" gives no text: {error}')
            continue
        # What nobody can see is taken out of a field, and an incident needs a title.
        if plain(text).strip():
            return source, setting.by, text
    return None
