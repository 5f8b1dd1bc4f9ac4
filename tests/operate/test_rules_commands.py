"""`rules check` tells every fault as editors read it, `rules show` what applies and in which order."""

import json
from pathlib import Path

import pytest

from itsm_bridge.app import built_in_text
from itsm_bridge.operate import cli

RIGHT = "version: 1\nrules: [{ name: one, action: ignore }, { name: two, set: { category: a } }]\n"
WRONG = "version: 1\nrules:\n  - name: one\n    actoin: ignore\n    severity: Sev7\n"


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ITSM_RULES_FILE", raising=False)
    (tmp_path / "right.yaml").write_text(RIGHT, encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(WRONG, encoding="utf-8")


def test_a_file_without_faults_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rules", "check", "right.yaml"]) == 0
    assert capsys.readouterr().out == "right.yaml: 2 rules, no faults\n"
    assert cli.main(["rules", "check", "right.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_faults_are_told_as_editors_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rules", "check", "wrong.yaml"]) == 2
    assert capsys.readouterr().out.split("\n") == [
        "wrong.yaml:4:5: the key 'actoin' is not known here (did you mean action?)",
        "wrong.yaml:5:15: 'Sev7' is not known here (did you mean Sev4?)",
        "",
    ]
    assert cli.main(["rules", "check", "wrong.yaml", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)[0] == {
        "line": 4,
        "column": 5,
        "message": "the key 'actoin' is not known here",
        "hint": "did you mean action?",
    }


def test_a_file_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["rules", "check", "nothing.yaml"], ["rules", "show", "nothing.yaml"]):
        assert cli.main(command) == 2
        assert capsys.readouterr().err == "nothing.yaml: No such file or directory\n"


def test_the_built_in_rules_are_shown_as_their_file_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rules", "show"]) == 0
    assert capsys.readouterr().out == built_in_text()


def test_the_rules_of_a_file_are_shown_in_their_order_behind_the_built_in_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["rules", "show", "right.yaml"]) == 0
    by_name = capsys.readouterr().out
    monkeypatch.setenv("ITSM_RULES_FILE", "right.yaml")
    assert cli.main(["rules", "show"]) == 0
    by_setting = capsys.readouterr().out
    assert cli.main(["rules", "show", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert by_name == by_setting
    assert (
        "\n 12  test notification (built-in): impact, urgency\n 13  one: action ignore\n 14  two: category\n" in by_name
    )
    assert told["file"] == "right.yaml"
    assert [each["name"] for each in told["rules"][-2:]] == ["one", "two"]


def test_rules_without_a_word_behind_it_tell_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["rules"])

    assert "WHAT" in capsys.readouterr().err
