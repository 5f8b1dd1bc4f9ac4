"""A mutant whose place in the source is gone proves nothing; `make mutants` takes minutes to say so."""

from pathlib import Path

import pytest

from proof.mutants import MUTANTS, ROOT, Misplaced, Mutant, verdicts


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_has_its_place(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.before) == 1


def mutant_of(name: str, suite: str) -> Mutant:
    return Mutant(
        name=name,
        file="itsm_bridge/deadline.py",
        before='"""How',
        after='"""No longer: how',
        suite=("-c", suite),
    )


#: Says that it is there, and fails as a suite does, if it is not alone in time; waits for the other until it is.
_MEETS = """
import pathlib, sys, time
mine, other = map(pathlib.Path, {names})
mine.touch()
ends_at = time.monotonic() + 60
while not other.exists():
    if time.monotonic() > ends_at:
        sys.exit("alone")
    time.sleep(0.05)
print("FAILED as it should")
sys.exit(1)
"""


def test_as_many_mutants_are_tried_at_once_as_there_are_workers_and_told_in_their_order(tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    mutants = [
        mutant_of("first", _MEETS.format(names=[first, second])),
        mutant_of("second", _MEETS.format(names=[second, first])),
    ]

    told = list(verdicts(mutants, histories=1, workers=2))

    assert [(each.mutant.name, each.is_caught, each.by) for each in told] == [
        ("first", True, "FAILED as it should"),
        ("second", True, "FAILED as it should"),
    ]
    assert str(told[0]).startswith("caught ")


_IS_CHANGED = """
import pathlib, sys
if "No longer: how" in pathlib.Path("itsm_bridge/deadline.py").read_text():
    print("FAILED as it is changed")
    sys.exit(1)
"""


@pytest.mark.parametrize(
    ("suite", "is_caught"),
    [
        (_IS_CHANGED, True),
        ("pass", False),
        ("import sys; sys.exit(1)", False),  # it does not say why
        ("print('FAILED it'); import sys; sys.exit(2)", False),  # pytest could not even begin
    ],
)
def test_a_mutant_is_caught_by_what_fails_on_it_and_says_so(suite: str, is_caught: bool) -> None:
    (verdict,) = verdicts([mutant_of("one", suite)], histories=1, workers=1)

    assert verdict.is_caught is is_caught


def test_a_mutant_without_its_place_is_an_error() -> None:
    gone = Mutant(name="gone", file="itsm_bridge/deadline.py", before="what never stood there", after="")

    with pytest.raises(Misplaced, match="gone"):
        list(verdicts([gone], histories=1, workers=1))
