"""What the benchmarks say is worth as much as their arithmetic."""

from typing import Self

import pytest

from bench.figures import Check, Goal, Report, Spread, Table, median_ratio, milliseconds, percentile
from proof.apart import Apart


class Doubler:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def double(self, number: int) -> int:
        return 2 * number

    def fail(self) -> None:
        raise LookupError("no such thing")


def test_a_percentile_is_one_of_the_values() -> None:
    hundred = [float(value) for value in range(1, 101)]

    assert [percentile(hundred, percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([3.0, 9.0], 50) == 3
    assert percentile([7.0], 99) == 7


def test_nothing_measured_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        Spread.of([])


def test_a_spread_does_not_depend_on_the_order_of_the_values() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(p50=3.0, p95=5.0, p99=5.0)


def test_one_bad_repeat_does_not_move_the_median() -> None:
    repeats = [
        Spread(p50=1.0, p95=2.0, p99=3.0),
        Spread(p50=1.2, p95=2.1, p99=3.3),
        Spread(p50=9.0, p95=90.0, p99=99.0),
    ]

    assert Spread.median_of(repeats) == Spread(p50=1.2, p95=2.1, p99=3.3)


def test_each_repeat_is_compared_with_itself() -> None:
    # The second minute was twice as slow for both: the ratio does not know.
    assert median_ratio([(3.0, 2.0), (6.0, 4.0), (10.0, 2.0)]) == 1.5


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0, "0"), (0.000123, "0.123"), (0.0123, "12.3"), (0.1234, "123"), (1.5, "1500")]
)
def test_milliseconds_show_three_digits(seconds: float, shown: str) -> None:
    assert milliseconds(seconds) == shown


def test_a_count_that_is_off_makes_its_report_unsound() -> None:
    sound = Report(title="x", parts=(), checks=[Check.equal("calls", {"POST incident": 1}, {"POST incident": 1})])
    unsound = Report(title="x", parts=(), checks=[*sound.checks, Check.equal("calls", 2, 1)])

    assert sound.is_sound
    assert not unsound.is_sound
    assert "OFF: calls: 2, expected 1" in str(unsound)


def test_a_bound_includes_itself() -> None:
    assert Check.at_most("in flight", 4, 4).is_so
    assert not Check.at_most("in flight", 5, 4).is_so


def test_a_missed_goal_is_told_and_is_no_count() -> None:
    report = Report(title="x", parts=(), goals=[Goal(what="ratio", measured=2.13, aim=1.5)])

    assert report.is_sound
    assert "NOT MET: ratio: 2.13, goal at most 1.5" in str(report)


def test_a_table_is_aligned_and_refuses_a_row_of_another_length() -> None:
    assert str(Table(headings=("a", "long"), rows=[("12", "3")])) == "| a  | long |\n| -- | ---- |\n| 12 | 3    |"
    with pytest.raises(ValueError, match="argument"):
        str(Table(headings=("a",), rows=[("1", "2")]))


def test_an_object_apart_answers_and_tells_its_errors() -> None:
    with Apart(Doubler) as apart:
        assert apart.call("double", 21) == 42
        with pytest.raises(RuntimeError, match="LookupError: no such thing"):
            apart.call("fail")
