"""How is a template rendered that needs Jinja2, without power over the program?

`templates` imports this where a value needs it. A template is checked node by node before it is compiled:

1. Names, attributes and filters are those of `values` and `filters`; they are known before any alert is there.
2. Nothing can be called, and no arithmetic be done, so that no text or number grows but by what stands in the template.
3. Loops go through what the alert has, which is bounded, and never stand within each other.
4. Attributes are looked up in the shapes of `values` alone; no attribute of Python is ever read.
5. The output is counted while it is made, and ends with the template if it grows too long.

Source of truth: https://jinja.palletsprojects.com/en/stable/sandbox/ and .../extensions/#the-abstract-syntax-tree
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Final, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.runtime import LoopContext
from jinja2.sandbox import SandboxedEnvironment

from itsm_bridge.rules.faults import Trouble, quoted, suggestion
from itsm_bridge.rules.filters import FILTERS
from itsm_bridge.rules.templates import TOO_LONG, Failed, Template, shape_of_name, shape_within
from itsm_bridge.rules.values import LOOP, MOST, TEXT, Facts, Named, Shape, Values, shown

#: How deep the parts of a template may be nested.
_DEEPEST: Final = 25
#: None of them computes: `odd` would take a text of the alert for a format.
_TESTS: Final = ("defined", "undefined", "none", "in", "eq", "equalto", "ne", "string", "number")
#: What a template may fail with while it is rendered.
_FAILURES = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
#: What Jinja2's parser and Python's compiler fail with.
_TOO_MUCH = (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError)

Scope = Mapping[str, Shape]


class _Environment(SandboxedEnvironment):
    """Jinja2 without globals, calls, and attributes."""

    def getattr(self, obj: object, attribute: str) -> object:
        """Return what stands behind a point."""
        if isinstance(obj, (Facts, Named)):
            return obj.get(attribute)
        if isinstance(obj, LoopContext) and attribute in LOOP.fields:
            return getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: object, argument: object) -> object:
        """Return what stands in square brackets."""
        if isinstance(obj, (Facts, Named)):
            return obj.get(shown(argument))
        if isinstance(obj, dict):
            return obj.get(argument, "")
        if isinstance(obj, tuple) and isinstance(argument, int) and 0 <= argument < len(obj):
            return obj[argument]
        return ""

    def call(self, *_: object, **__: object) -> NoReturn:
        """Refuse; nothing that can be called is there."""
        raise Failed("a template cannot call anything")


class _JinjaTemplate:
    """A compiled template."""

    def __init__(self, compiled: jinja2.Template) -> None:
        self._compiled = compiled

    def render(self, values: Values) -> str:
        """Return the text for one alert; raises as `Template.render`."""
        parts: list[str] = []
        length = 0
        try:
            for part in self._compiled.generate(values.all()):
                length += len(part)
                if length > MOST:
                    raise Failed(TOO_LONG)
                parts.append(part)
        except _FAILURES as error:
            # The message of the error may quote the alert.
            raise Failed(f"it fails with {type(error).__name__}") from error
        return "".join(parts)


class _Refused(Exception):
    """A part of a template that is not allowed."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.trouble = Trouble(message, hint)


def trouble_of(text: str) -> Trouble | None:
    """Return what is wrong with a template, None if nothing is."""
    try:
        _compiled(text)
    except _Refused as error:
        return error.trouble
    return None


def template_of(text: str) -> Template:
    """Return a template that `trouble_of` has nothing against."""
    return _JinjaTemplate(_compiled(text))


@cache
def _environment() -> _Environment:
    environment = _Environment(autoescape=False, keep_trailing_newline=True, finalize=shown)
    environment.globals.clear()
    environment.filters = {name: each.run for name, each in FILTERS.items()}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


def _compiled(text: str) -> jinja2.Template:
    environment = _environment()
    try:
        tree = environment.parse(text)
        _Checker().body(tree.body, {}, 0)
        code = environment.compile(tree)
    except jinja2.TemplateSyntaxError as error:
        raise _Refused(
            f"the template is wrong: {(error.message or 'syntax error')[:150]}", _syntax_hint(text)
        ) from error
    except _TOO_MUCH as error:
        raise _Refused("the template is nested too deep or too long", "make it simpler") from error
    return environment.template_class.from_code(environment, code, {})


def _syntax_hint(text: str) -> str:
    pairs = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"))
    unclosed = next((end for begin, end in pairs if text.count(begin) > text.count(end)), "")
    return f"{unclosed} is missing" if unclosed else "{{ name }}, {{ name | filter }}, {% if … %}…{% endif %}"


class _Checker:
    """Walks a template before it is compiled, and refuses what is not known to be harmless."""

    def __init__(self) -> None:
        self._loops = 0

    def body(self, parts: Iterable[nodes.Node], scope: Scope, depth: int) -> None:
        """Check the statements of a template or of a part of one."""
        for part in parts:
            if isinstance(part, nodes.Output):
                for each in part.nodes:
                    self.shape(each, scope, depth + 1)
            elif isinstance(part, nodes.If):
                self._if(part, scope, depth + 1)
            elif isinstance(part, nodes.For):
                self._for(part, scope, depth + 1)
            else:
                raise _Refused(f"{_named(part)} is not allowed in a template", "if and for are")

    def _if(self, part: nodes.If, scope: Scope, depth: int) -> None:
        _check_depth(depth)
        self.shape(part.test, scope, depth)
        self.body([*part.body, *part.elif_, *part.else_], scope, depth)

    def _for(self, part: nodes.For, scope: Scope, depth: int) -> None:
        _check_depth(depth)
        if self._loops:
            raise _Refused("a loop within a loop is not allowed", "use the filter join for the inner one")
        if part.recursive or not isinstance(part.target, nodes.Name):
            hint = "as in {% for each in dimensions %}{{ each.name }} = {{ each.value }}{% endfor %}"
            raise _Refused("a loop has one name for what it goes through", hint)
        item = self.shape(part.iter, scope, depth).item
        if item is None:
            raise _Refused("there is nothing to go through", "resources, dimensions, custom and links can be")
        inner = {**scope, part.target.name: item, "loop": LOOP}
        if part.test:
            self.shape(part.test, inner, depth)
        self._loops += 1
        self.body(part.body, inner, depth)
        self._loops -= 1
        self.body(part.else_, scope, depth)

    def shape(self, node: nodes.Node, scope: Scope, depth: int) -> Shape:
        """Return what an expression gives; raises `_Refused` if it may not stand there."""
        _check_depth(depth)
        check = _CHECKS.get(type(node))
        if check is None:
            raise _Refused(f"{_named(node)} is not allowed in a template", _HINTS.get(type(node), ""))
        return check(self, node, scope, depth + 1)

    def name(self, node: nodes.Name, scope: Scope, _depth: int) -> Shape:
        """Check a name."""
        return scope[node.name] if node.name in scope else _or_refused(shape_of_name(node.name))

    def attribute(self, node: nodes.Getattr, scope: Scope, depth: int) -> Shape:
        """Check what stands behind a point."""
        shape = self.shape(node.node, scope, depth)
        return _or_refused(shape_within(shape, node.attr, of=_source(node.node)))

    def item(self, node: nodes.Getitem, scope: Scope, depth: int) -> Shape:
        """Check what stands in square brackets."""
        shape = self.shape(node.node, scope, depth)
        if isinstance(node.node, nodes.Dict):
            self.shape(node.arg, scope, depth)
            return TEXT
        if not isinstance(node.arg, nodes.Const):
            raise _Refused("what stands in [ ] is no constant", 'as in custom["team"] or resources[0]')
        if shape.kind == "list":
            item = shape.item
            if type(node.arg.value) is not int or item is None:
                raise _Refused(f"{_source(node.node)} is a list", f"write {_source(node.node)}[0] for the first")
            return item
        return _or_refused(shape_within(shape, str(node.arg.value), of=_source(node.node)))

    def filter(self, node: nodes.Filter, scope: Scope, depth: int) -> Shape:
        """Check a filter and its constants."""
        known = FILTERS.get(node.name)
        if known is None:
            raise _Refused(f"there is no filter {quoted(node.name)}", suggestion(node.name, FILTERS))
        if node.node is None or node.kwargs or node.dyn_args or node.dyn_kwargs:
            raise _Refused(f"the filter {node.name} stands wrong", f"write {{{{ name | {node.name} }}}}")
        if len(node.args) != len(known.arguments):
            raise _Refused(f"the filter {node.name} takes {len(known.arguments)} values", _FILTER_HINT)
        for argument, check in zip(node.args, known.arguments, strict=True):
            if not isinstance(argument, nodes.Const) or not isinstance(argument.value, (str, int)):
                raise _Refused(f"a value of the filter {node.name} is no constant", _FILTER_HINT)
            if trouble := check(argument.value):
                raise _Refused(f"{node.name}: {trouble.message}", trouble.hint)
        self.shape(node.node, scope, depth)
        return TEXT

    def test(self, node: nodes.Test, scope: Scope, depth: int) -> Shape:
        """Check what stands behind `is`."""
        if node.name not in _TESTS:
            raise _Refused(f"there is no test {quoted(node.name)}", suggestion(node.name, _TESTS))
        return self.parts(node, scope, depth)

    def parts(self, node: nodes.Node, scope: Scope, depth: int) -> Shape:
        """Check the expressions that another is made of."""
        for each in node.iter_child_nodes():
            self.shape(each.expr if isinstance(each, nodes.Operand) else each, scope, depth)
        return TEXT

    def pairs(self, node: nodes.Dict, scope: Scope, depth: int) -> Shape:
        """Check a dictionary that stands in the template."""
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const):
                raise _Refused("a key in { } is no constant", 'as in {"Sev0": "urgent"}[severity]')
            self.shape(pair.value, scope, depth)
        return TEXT


_FILTER_HINT = 'as in {{ headline | truncate(80) }} or {{ fired_at | time_zone("Europe/Berlin") }}'
_CHECKS: Mapping[type[nodes.Node], Callable[..., Shape]] = {
    nodes.TemplateData: lambda *_: TEXT,
    nodes.Const: lambda *_: TEXT,
    nodes.Name: _Checker.name,
    nodes.Getattr: _Checker.attribute,
    nodes.Getitem: _Checker.item,
    nodes.Filter: _Checker.filter,
    nodes.Test: _Checker.test,
    nodes.Dict: _Checker.pairs,
    **dict.fromkeys(
        (nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.CondExpr, nodes.Concat, nodes.List, nodes.Tuple),
        _Checker.parts,
    ),
}
_HINTS: Mapping[type[nodes.Node], str] = {
    nodes.Call: "nothing can be called; filters stand behind |",
    nodes.Add: "join texts with ~",
    nodes.Slice: "use the filter truncate",
}


def _check_depth(depth: int) -> None:
    if depth > _DEEPEST:
        raise _Refused(f"the template is nested deeper than {_DEEPEST} levels", "make it simpler")


def _or_refused(found: Shape | Trouble) -> Shape:
    if isinstance(found, Trouble):
        raise _Refused(found.message, found.hint)
    return found


def _named(node: nodes.Node) -> str:
    """Return what people call a part of a template."""
    names = {nodes.Call: "a call", nodes.Assign: "set", nodes.AssignBlock: "set", nodes.Slice: "a slice"}
    if isinstance(node, nodes.BinExpr):
        return f"the operator {node.operator}"
    return names.get(type(node), type(node).__name__.lower())


def _source(node: nodes.Node) -> str:
    """Return the text of a name, as far as messages need it."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{_source(node.node)}.{node.attr}"
    return "this value"
