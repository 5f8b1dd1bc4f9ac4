"""The command reads, tells and writes, and ends with the status that says what a person has to do."""

import argparse
import io
import json
from pathlib import Path

import pytest

from itsm_bridge.errors import Unavailable
from itsm_bridge.operate import cli, migrate
from itsm_bridge.operate.exit_status import NotUnderstood
from local.resource_graph import TOKEN, ResourceGraphStandIn
from tests.migration.estate import CONNECTION, GROUPS, RULES, SECRET, SUBSCRIPTION, exported, resources

GOOD = [GROUPS["one for each configuration item"], RULES[0]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "export.json"
    path.write_bytes(exported())
    return path


def saved(folder: Path, content: object, name: str = "good.json") -> str:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def asked(*arguments: str) -> argparse.Namespace:
    return cli.parser().parse_args(["migrate", *arguments])


def test_without_a_folder_it_tells_the_report_and_writes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["migrate", "--from", str(file)])

    assert code == 1, "the estate has a configuration that cannot be read"
    assert "# From the ITSM connector" in capsys.readouterr().out
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_it_writes_into_the_folder_what_it_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "down"

    code = cli.main(["migrate", "--from", saved(tmp_path, GOOD), "--out", str(folder), "--json"])

    told = json.loads(capsys.readouterr().out)
    written = {str(path) for path in folder.rglob("*") if path.is_file()}
    assert (code, set(told["written"])) == (0, written)
    assert {"report.md", "rules.yaml", "rules-trial.yaml", "az-trial.sh"} <= {Path(each).name for each in written}


def test_repeating_it_changes_nothing(file: Path, tmp_path: Path) -> None:
    def written() -> dict[str, bytes]:
        cli.main(["migrate", "--from", str(file), "--out", str(tmp_path / "out")])
        return {str(path): path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}

    assert written() == written()


def test_several_files_are_one_estate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups, rules = saved(tmp_path, GOOD[:1], "groups.json"), saved(tmp_path, GOOD[1:], "rules.json")

    cli.main(["migrate", "--from", groups, "--from", rules, "--json"])

    (group,) = json.loads(capsys.readouterr().out)["action_groups"]
    assert [use["name"] for use in group["used_by"]] == ["disk-full"]


def test_a_file_may_come_by_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(exported())))

    cli.main(["migrate", "--from", "-", "--json"])

    assert json.loads(capsys.readouterr().out)["action_groups_seen"] == len(GROUPS)


def test_scripts_can_be_run(tmp_path: Path) -> None:
    cli.main(["migrate", "--from", saved(tmp_path, GOOD), "--out", str(tmp_path / "out")])

    assert all(path.stat().st_mode & 0o111 for path in (tmp_path / "out").glob("*.sh"))


def test_json_holds_no_secret(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["migrate", "--from", str(file), "--json"])

    assert SECRET not in capsys.readouterr().out


def test_templates_of_servicenow_are_read_from_its_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, templates = saved(tmp_path, [GROUPS["a template"]]), tmp_path / "sys_template.csv"
    templates.write_text("Name,Sys ID,Template\nAzure | outage,1,impact=1^category=software^EQ\n", encoding="utf-8")

    cli.main(["migrate", "--from", file, "--templates", str(templates), "--json"])

    (action,) = json.loads(capsys.readouterr().out)["action_groups"][0]["itsm_actions"]
    assert [(each["name"], each["value"]) for each in action["fields"]] == [("impact", "1"), ("category", "software")]


class TestCheck:
    """What is left afterwards."""

    @pytest.mark.parametrize(
        ("groups", "code", "steps"),
        [
            ([GROUPS["one for each rule"], GROUPS["the webhook beside"]], 1, ["trial", "today"]),
            ([GROUPS["no ITSM action"]], 0, []),
            ([], 0, []),
        ],
    )
    def test_it_is_said_group_by_group(
        self, groups: list[object], code: int, steps: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["migrate", "--from", saved(tmp_path, groups), "--check", "--json"]) == code
        assert [each["step"] for each in json.loads(capsys.readouterr().out)["left"]] == steps

    def test_people_read_a_sentence(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        cli.main(["migrate", "--from", saved(tmp_path, [GROUPS["the webhook beside"]]), "--check"])
        beside = capsys.readouterr().out
        cli.main(["migrate", "--from", saved(tmp_path, []), "--check"])

        assert "have the secure webhook beside them" in beside
        assert "No ITSM action is left." in capsys.readouterr().out

    def test_actions_of_a_connection_that_stays_are_not_left(self, tmp_path: Path) -> None:
        file = saved(tmp_path, [GROUPS["another connection"]])

        assert cli.main(["migrate", "--from", file, "--check", "--connection", CONNECTION]) == 0


class TestResourceGraph:
    """It is asked with the sign-in of the person."""

    def test_what_it_holds_is_what_a_file_would_hold(self, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        cli.main(["migrate", "--from", str(file), "--json"])
        of_file, out = capsys.readouterr().out, io.StringIO()

        with ResourceGraphStandIn(resources(), page=5) as graph:
            arguments = asked("--management-group", "company", "--resource-manager", graph.url, "--json")
            code = migrate.run(arguments, out=out, token=lambda _: TOKEN)

        assert (code, json.loads(out.getvalue())) == (1, json.loads(of_file))

    def test_subscriptions_are_named_one_by_one(self) -> None:
        with ResourceGraphStandIn(resources()) as graph:
            arguments = asked("--subscription", SUBSCRIPTION, "--subscription", "x", "--resource-manager", graph.url)
            migrate.run(arguments, out=io.StringIO(), token=lambda _: TOKEN)

        assert graph.asked[0]["subscriptions"] == [SUBSCRIPTION, "x"]

    def test_its_silence_is_told(self) -> None:
        with ResourceGraphStandIn(()) as gone:
            url = gone.url

        with pytest.raises(Unavailable):
            migrate.run(asked("--subscription", "x", "--resource-manager", url), token=lambda _: TOKEN)

    @pytest.mark.parametrize("url", ["http://example.org", "management.azure.com", "ftp://127.0.0.1"])
    def test_the_token_goes_to_no_address_that_others_read(self, url: str) -> None:
        def token(_: str) -> str:
            raise AssertionError("no token is asked for")

        with pytest.raises(NotUnderstood, match="https"):
            migrate.run(asked("--subscription", "x", "--resource-manager", url), token=token)

    def test_an_empty_subscription_asks_for_nothing(self) -> None:
        with pytest.raises(NotUnderstood, match="needs the id"):
            migrate.run(asked("--subscription", " "), token=lambda _: TOKEN)


@pytest.mark.parametrize(("content", "part"), [("{", "not JSON"), ("{}", "no Azure resource"), (None, "No such file")])
def test_a_file_that_is_none_ends_with_2(
    content: str | None, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "export.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    assert cli.main(["migrate", "--from", str(path)]) == 2
    assert part in capsys.readouterr().err


def test_check_and_out_do_not_go_together(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["migrate", "--from", str(file), "--check", "--out", str(tmp_path / "x")]) == 2
    assert "--check writes no files" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_with_2(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["migrate", "--from", str(file), "--out", str(file)]) == 2
    assert "report.md" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
