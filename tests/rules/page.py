"""docs/rules.md: its first five examples are those in docs/rules, and the incidents are what `preview` prints.

python -m tests.rules.page    writes the examples and incidents anew; a test compares them
"""

import re
from pathlib import Path

from itsm_bridge.app import compile_rules
from itsm_bridge.operate.preview_text import lifecycle_of, shown
from itsm_bridge.rules.ruling import BUILT_IN
from itsm_bridge.servicenow.fields import content_of
from tests.alert_files import alert_of
from tests.builders import NOW

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
FOLDER = PAGE.parent / "rules"

#: By example, the sample alert whose incident is shown.
SHOWN = {
    "caller-and-group": "metric-static.fired",
    "route-by-resource-group": "metric-static.fired",
    "ignore-autoscale": "activity-log-autoscale",
    "one-incident-per-machine": "metric-static.fired",
    "close-what-never-ends": "budget-actual",
}


def page_with_previews() -> str:
    """Return the page with current examples and incidents."""
    page = PAGE.read_text(encoding="utf-8")
    for name, sample in SHOWN.items():
        marks = f"<!-- example: {name} -->\n", f"<!-- end: {name} -->"
        before, found, rest = page.partition(marks[0])
        _, end, after = rest.partition(marks[1])
        assert found, name
        assert end, name
        page = f"{before}{marks[0]}\n{_shown(name, sample)}\n{marks[1]}{after}"
    return page


def blocks(language: str) -> list[str]:
    """Return the code of one language on the page."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def _shown(name: str, sample: str) -> str:
    source = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    ruling = compile_rules(source).apply(alert_of(sample), NOW)
    content = content_of(ruling)
    said = {
        **content.fields,
        **content.fields_at_creation,
        **{field: f"{each.field}: {each.value}" for field, each in ruling.references.items()},
    }
    lines = {each: said[each] for each in ("short_description", "impact", "urgency", *ruling.because) if each in said}
    lines |= {each: shown(value) for each, value in lifecycle_of(ruling).items() if each in ruling.because}
    if ruling.is_ignored:
        lines = {"no incident": ""}
    rows = [
        (each, text, ruling.because.get("action" if ruling.is_ignored else each, BUILT_IN))
        for each, text in lines.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = "\n".join(f"{label:<{widths[0]}}  {text:<{widths[1]}}  {rule}" for label, text, rule in rows)
    return (
        f"```yaml\n{source}```\n\nThe alert `{sample}` becomes, with the rule that says so:\n\n```text\n{table}\n```\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page_with_previews(), encoding="utf-8")
