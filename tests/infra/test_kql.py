"""The stand-in for Kusto answers as Kusto does, and says so where it cannot."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.infra import kql

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
ROWS = [
    {"TimeGenerated": NOW - timedelta(minutes=minutes), "Level": level, "Message": message}
    for minutes, level, message in [(1, 3, "Trouble one-a: x"), (7, 2, "trouble two: y"), (90, 2, "quiet (12.5 s)")]
]


def found(query: str) -> list[dict[str, object]]:
    return kql.run(query, {"T": ROWS}, now=NOW)


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ('Message contains "TROUBLE"', 2),
        ('Message has "two" or Level == 3', 2),
        ('Message has "tw"', 0),
        ('Message startswith "quiet" and (Level >= 3 or Level < 3)', 1),
        ('Message endswith " Y"', 1),
        ("TimeGenerated > ago(1h)", 2),
        ("Level in (1, 3)", 1),
        ("Level !in (1, 3)", 2),
        ('Message == "trouble Two: y"', 0),
        ('not(Message contains "trouble")', 1),
    ],
)
def test_a_condition_finds_its_rows(condition: str, count: int) -> None:
    assert len(found(f"T | where {condition}")) == count


def test_values_are_made_grouped_and_ordered() -> None:
    rows = found(
        'T | extend kind = extract("rouble ([a-z-]+)", 1, Message) | where isnotempty(kind) '
        "| summarize times = count(), worst = max(Level) by kind | order by worst desc | project kind, times"
    )

    assert rows == [{"kind": "one-a", "times": 1}, {"kind": "two", "times": 1}]


def test_times_fall_into_bins_and_numbers_into_percentiles() -> None:
    assert len(found("T | summarize count() by bin(TimeGenerated, 5m)")) == 3
    assert found('T | extend s = todouble(extract("([0-9.]+) s", 1, Message)) | summarize p = percentile(s, 95)') == [
        {"p": 12.5}
    ]
    assert found("T | summarize share = 100.0 * countif(Level == 2) / count()") == [{"share": pytest.approx(200 / 3)}]


@pytest.mark.parametrize("query", ["U | count", "T | where Nothing == 1", "T | join U", "T | where f(Level)", "T ; x"])
def test_what_is_not_known_is_an_error(query: str) -> None:
    with pytest.raises(kql.NotUnderstood):
        found(query)
