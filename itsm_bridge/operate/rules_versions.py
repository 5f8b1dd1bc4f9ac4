"""How do operators change the rules without a deployment?

The commands `rules push FILE`, `rules history` and `rules restore N`. They need the settings of storage alone; where
those of ServiceNow are there too, a version is also checked against the instance before it is taken.

1. A version that is not good is not pushed, and `restore` checks again, because another version of the program may have
   pushed it.
2. A version follows the one that was the newest when its check began: of two people who push at once, one is told.
3. Version 0 stands for the built-in rules, so that `rules restore 0` takes every pushed rule out of force.
4. What is in force already is not pushed again.
"""

import argparse
import getpass
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from itsm_bridge import app
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Conflict, Damaged, InvalidSettings
from itsm_bridge.operate.exit_status import ACT, DONE, WRONG
from itsm_bridge.operate.rules_against_instance import BUDGET, Verdict, verdict_on
from itsm_bridge.rules.faults import Fault, InvalidRules
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.dictionary import Dictionary
from itsm_bridge.servicenow.references import References
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.settings import servicenow_from
from itsm_bridge.storage.stored_rules import LARGEST_TEXT, StoredRules, Version, digest_of
from itsm_bridge.text import clip, one_line

#: Characters of a person's name.
_LONGEST_NAME: Final = 100

_IN_FORCE: Final = "Every process takes it within half a minute."


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesDesk:
    """The parts, the clock and the output that these commands work with."""

    stored: StoredRules
    #: Makes rules of a text; raises InvalidRules with every fault of it.
    compiled: Callable[[str], object]
    #: The instance's dictionary and records, or why it is not asked.
    instance: tuple[Dictionary, References] | str
    #: Who works here, for people.
    person: str
    now: Callable[[], datetime]
    out: TextIO
    as_json: bool
    #: Whether the settings that were read name a rules file.
    has_rules_file: bool = False

    def tell(self, text: str, content: object) -> None:
        """Print `text` for people, or `content` as JSON."""
        print(json.dumps(content, indent=2, ensure_ascii=False) if self.as_json else text, file=self.out)


def desk_of(
    environ: Mapping[str, str],
    compiled: Callable[[str], object],
    *,
    out: TextIO,
    as_json: bool,
    is_offline: bool = False,
) -> RulesDesk:
    """Return the desk of a command; nothing is sent yet.

    Args:
        environ: The app settings.
        compiled: Makes rules of a text; raises InvalidRules with every fault of it.
        out: Where the command prints.
        as_json: Whether it prints JSON.
        is_offline: Whether the instance is not to be asked.

    Raises:
        InvalidSettings: the settings of the storage account are missing or malformed.
    """
    return RulesDesk(
        stored=app.stored_rules(environ),
        compiled=compiled,
        instance="--offline" if is_offline else _instance_of(environ),
        person=person_of(environ),
        now=lambda: datetime.now(UTC),
        out=out,
        as_json=as_json,
        has_rules_file=bool(environ.get("ITSM_RULES_FILE", "").strip()),
    )


def _instance_of(environ: Mapping[str, str]) -> tuple[Dictionary, References] | str:
    """Return the instance that the settings name, or why it is not asked."""
    if not environ.get("SERVICENOW_INSTANCE_URL", "").strip():
        return "its settings are not here"
    try:
        settings = servicenow_from(environ)
    except InvalidSettings as error:
        return f"its settings here are wrong: {error}"
    table_api = TableApi(settings.instance_url, credentials_of(settings))
    dictionary = Dictionary(table_api)
    return dictionary, References(table_api, dictionary)


def add_push(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rules push`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the rules, in YAML")
    _add_offline(parser)


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rules restore`."""
    parser.add_argument("number", metavar="N", type=_number, help="a version of `rules history`; 0: the built-in rules")
    _add_offline(parser)


def _add_offline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--offline", action="store_true", help="do not ask the ServiceNow instance")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < len(str(10**10))):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a version")
    return int(text)


def push(desk: RulesDesk, path: Path) -> int:
    """Check a file and make it the newest version; 2 if it is not good, 1 if another push was faster.

    Raises:
        Unavailable: storage did not answer.
    """
    newest = _newest(desk)
    text, problem = _read(path)
    if problem:
        return _refuse(desk, str(path), [Fault(1, 1, problem)])
    return _take(desk, text, source=str(path), newest=newest)


def restore(desk: RulesDesk, number: int) -> int:
    """Make the text of an older version the newest one; 0 for the built-in rules. Ends as `push` does.

    Raises:
        Unavailable: storage did not answer.
        Damaged: the version cannot be read.
        NewerVersion: this program is too old for it.
    """
    newest = _newest(desk)
    found = desk.stored.read(number) if number > 0 else None
    if number == 0:
        return _take(desk, "", source="the built-in rules", newest=newest, restores=0)
    if found is None:
        kept = ", ".join(str(version.number) for version in desk.stored.history()) or "none"
        desk.tell(f"There is no version {number}. Kept are: {kept}.", _content("refused", faults=[]))
        return ACT
    return _take(desk, found[1], source=f"version {number}", newest=newest, restores=number)


def history(desk: RulesDesk) -> int:
    """Tell which versions are kept, the newest first.

    Raises:
        Unavailable: storage did not answer.
    """
    versions = desk.stored.history()
    if not versions:
        desk.tell("Nothing was pushed: the built-in rules are in force.", [])
        return DONE
    lines = [
        f"{version.number:>7}  {version.pushed_at:%Y-%m-%d %H:%M}  {version.digest[:12]}  {_amount(version):>9}  "
        f"{one_line(version.pushed_by)}{_origin(version)}"
        for version in versions
    ]
    head = f"{'version':>7}  {'pushed (UTC)':<16}  {'digest':<12}  {'size':>9}  by"
    desk.tell("\n".join([head, *lines]), [_version_content(version, versions[0]) for version in versions])
    return DONE


def person_of(environ: Mapping[str, str], *, home: Path | None = None) -> str:
    """Return who works here, for people: as signed in to Azure's command line, else the name of the account.

    No token is read: the profile names subscriptions and their users, and holds no secret
    (https://learn.microsoft.com/cli/azure/azure-cli-configuration).
    """
    folder = Path(environ.get("AZURE_CONFIG_DIR") or (home or Path.home()) / ".azure")
    try:
        profile = json.loads((folder / "azureProfile.json").read_text(encoding="utf-8-sig"))
        name = next(str(each["user"]["name"]) for each in profile["subscriptions"] if each.get("isDefault"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        name = ""
    return clip(one_line(name or _account()), _LONGEST_NAME) or "unknown"


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process without an entry in the list of users
        return ""


def _newest(desk: RulesDesk) -> Version | None:
    """Return the newest version; None if there is none, or if the row that names it is damaged: a push mends it."""
    try:
        return desk.stored.newest()
    except Damaged:
        return None


def _take(desk: RulesDesk, text: str, *, source: str, newest: Version | None, restores: int | None = None) -> int:
    """Check a text, "" for the built-in rules, and push it unless it is in force already."""
    verdict = Verdict()
    if text:
        try:
            desk.compiled(text)
        except InvalidRules as error:
            return _refuse(desk, source, error.faults)
        if isinstance(desk.instance, str):
            verdict = Verdict(remarks=(f"Nothing was checked against the instance: {desk.instance}.",))
        else:
            verdict = verdict_on(text, *desk.instance, deadline=Deadline.after(BUDGET))
    if verdict.faults:
        return _refuse(desk, source, verdict.faults, verdict.remarks)
    remarks = [*verdict.remarks]
    if desk.has_rules_file:
        remarks.append("ITSM_RULES_FILE is set here. Where the app has it too, its file wins over what is pushed.")
    is_same = newest.digest == digest_of(text) if newest else not text
    if is_same:
        number = newest.number if newest else 0
        sentence = f"Nothing to do: {source} is what version {number} says, the newest there is."
        desk.tell(_lines(sentence, remarks), _content("unchanged", version=newest, remarks=remarks))
        return DONE
    try:
        after = newest.number if newest else 0
        version = desk.stored.push(text, by=desk.person, at=desk.now(), after=after, restores=restores)
    except Conflict as error:
        sentence = f"Nothing was pushed: {error}. Look at `rules history` and push again."
        desk.tell(sentence, _content("conflict", remarks=remarks))
        return ACT
    sentence = f"Version {version.number} is pushed: {source}. {_IN_FORCE}"
    desk.tell(_lines(sentence, remarks), _content("pushed", version=version, remarks=remarks))
    return DONE


def _read(path: Path) -> tuple[str, str]:
    """Return the text of a file, and why it cannot be read; one of them is ""."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(LARGEST_TEXT + 1)
    except OSError as error:
        return "", f"the file cannot be read: {error.strerror or type(error).__name__}"
    if len(raw) > LARGEST_TEXT:
        return "", f"the file has more than {LARGEST_TEXT} bytes"
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return "", f"the file is not UTF-8: byte {error.start}"
    return text, "" if text.strip() else "the file is empty; `rules restore 0` brings the built-in rules back"


def _refuse(desk: RulesDesk, source: str, faults: Sequence[Fault], remarks: Sequence[str] = ()) -> int:
    """Tell why nothing was pushed, in a form that editors understand."""
    lines = [f"{source}:{fault}" for fault in faults]
    sentence = f"Nothing was pushed: {len(faults)} {'faults' if len(faults) > 1 else 'fault'}."
    told = "\n".join([*lines, _lines(sentence, remarks)])
    desk.tell(told, _content("refused", faults=faults, remarks=remarks))
    return WRONG


def _lines(sentence: str, remarks: Sequence[str]) -> str:
    return "\n".join([sentence, *remarks])


def _content(
    outcome: str,
    *,
    version: Version | None = None,
    faults: Sequence[Fault] = (),
    remarks: Sequence[str] = (),
) -> Mapping[str, object]:
    return {
        "outcome": outcome,
        "version": version.number if version else None,
        "digest": version.digest if version else None,
        "faults": [asdict(fault) for fault in faults],
        "remarks": list(remarks),
    }


def _version_content(version: Version, newest: Version) -> Mapping[str, object]:
    return {
        "version": version.number,
        "is_newest": version is newest,
        "pushed_at": version.pushed_at.astimezone(UTC).isoformat(),
        "pushed_by": version.pushed_by,
        "digest": version.digest,
        "bytes": version.size,
        "restores": version.restores,
    }


def _origin(version: Version) -> str:
    if version.restores is None:
        return ""
    return "  (the built-in rules)" if version.restores == 0 else f"  (version {version.restores} again)"


def _amount(version: Version) -> str:
    return "built-in" if version.is_built_in else f"{version.size:,} B"
