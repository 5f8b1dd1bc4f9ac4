"""Which rules are to be in force?

`lookout` asks again and again. Texts come from the file that `ITSM_RULES_FILE` names and from `storage.stored_rules`;
what a text means is known to the function that compiles it, so that nothing here depends on what rules are.

The first of these whose text is good is taken:

1. the file, or what this process last read there
2. the last good text of the file, as another process left it in storage
3. the pushed versions, the newest first
4. the built-in rules

So a broken file or version leaves in force what was in force before it, in a new process too; and no text can keep an
alert from being taken. 2 to 4 are asked in vain only if nothing good was ever there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Final, Generic, TypeVar

from itsm_bridge.errors import BridgeError, Damaged, NewerVersion, place_of
from itsm_bridge.storage.stored_rules import KEPT, LARGEST_TEXT, StoredRules, digest_of

log = logging.getLogger(__name__)

#: How many faults of one text are written to the log.
_TOLD_FAULTS: Final = 5

_R = TypeVar("_R")


class Origin(Enum):
    """The places that rules come from."""

    BUILT_IN = "built-in"
    FILE = "file"
    VERSION = "version"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce(Generic[_R]):
    """The rules that are in force, and where they come from."""

    rules: _R
    origin: Origin
    #: For people: "the built-in rules", "version 12", "the file rules.yaml".
    source: str
    #: Of their text; "" for the built-in rules.
    digest: str = ""
    #: The number of the version that they are; 0 if they are none.
    number: int = 0

    def is_same(self, other: "InForce[_R] | None") -> bool:
        """Whether both are of one text from one place."""
        return other is not None and (self.source, self.digest) == (other.source, other.digest)


class Choice(Generic[_R]):
    """Makes the choice, and remembers which texts are no good. For one thread at a time."""

    def __init__(
        self,
        stored: StoredRules,
        *,
        compiled: Callable[[str], _R],
        built_in: Callable[[], _R],
        file: Path | None = None,
    ) -> None:
        """Remember where rules come from; nothing is read yet.

        Args:
            stored: The rules that were pushed.
            compiled: Makes rules of a text; raises InvalidRules with every fault of the text.
            built_in: Makes the rules that ship with the program.
            file: The file that wins over what was pushed; None if there is none.
        """
        self._stored = stored
        self._compiled = compiled
        self._built_in = built_in
        self._file = file
        self._known: InForce[_R] | None = None
        #: By digest of a text that is no good, why.
        self._bad: dict[str, str] = {}
        #: By number of a version that cannot be taken, why, as long as the version of that digest is the newest.
        self._unfit: dict[int, str] = {}
        self._unfit_below = ""
        self._told: set[str] = set()
        self._file_text = ""
        self._settled_digest: str | None = None

    def made(self) -> tuple[InForce[_R], str]:
        """Return what is to be in force, and why it is not what operators want; "" if it is.

        Raises:
            Unavailable: the table did not answer; what was chosen last still holds.
        """
        known, trouble = self._found()
        if not known.is_same(self._known):
            log.info("rules in force: %s", known.source)
        self._known = known
        return known, trouble

    def settle(self) -> None:
        """Keep the text of a good file for a process that finds it broken; forget it where there is no file.

        An app that had a file once and has pushed rules now must not come back to it when it is given a broken file.
        If storage does not answer, the next time does it.
        """
        digest = digest_of(self._file_text) if self._file_text else ""
        if digest == self._settled_digest or (self._file is not None and not digest):
            return
        try:
            if digest:
                self._stored.keep_file(self._file_text)
            else:
                self._stored.forget_file()
        except BridgeError:
            return
        self._settled_digest = digest

    def _found(self) -> tuple[InForce[_R], str]:
        """Return what is to be in force, and why it is not what operators want; "" if it is.

        Raises:
            Unavailable: the table did not answer.
        """
        if self._file is None:
            return self._of_versions()
        known, trouble = self._of_file(self._file)
        if known is not None:
            return known, trouble
        kept = self._of_kept_file(self._file)
        if kept is not None:
            return kept, trouble
        return self._of_versions()[0], trouble

    def _of_file(self, path: Path) -> tuple[InForce[_R] | None, str]:
        """Return the rules of the file; if it is broken what it said before, None if that is not known, and why."""
        source = f"the file {path.name}"
        before = self._known if self._known is not None and self._known.origin is Origin.FILE else None
        text, trouble = _read(path)
        if not trouble:
            digest = digest_of(text)
            if before is not None and before.digest == digest:
                return before, ""
            rules, trouble = self._rules_of(text, source)
            if rules is not None:
                self._file_text = text
                return InForce(rules=rules, origin=Origin.FILE, source=source, digest=digest), ""
        self._tell(trouble)
        return before, trouble

    def _of_kept_file(self, path: Path) -> InForce[_R] | None:
        """Return the rules of the file when it was last good; None if it never was."""
        try:
            text = self._stored.kept_file()
        except (Damaged, NewerVersion) as error:
            self._tell(str(error))
            return None
        if text is None:
            return None
        source = f"the last good text of the file {path.name}"
        rules, trouble = self._rules_of(text, source)
        if rules is None:
            self._tell(trouble)
            return None
        return InForce(rules=rules, origin=Origin.FILE, source=source, digest=digest_of(text))

    def _of_versions(self) -> tuple[InForce[_R], str]:
        """Return the newest pushed version that is good, and why it is not the newest of all."""
        before = self._known if self._known is not None and self._known.origin is Origin.VERSION else None
        try:
            newest = self._stored.newest()
        except (Damaged, NewerVersion) as error:
            self._tell(str(error))
            return before or self._of_program(), str(error)
        if newest is None:
            return self._of_program(), ""
        if newest.is_built_in:
            return self._of_program(), ""
        if newest.digest != self._unfit_below:
            self._unfit_below = newest.digest
            self._unfit.clear()
        if before is not None and (before.number, before.digest) == (newest.number, newest.digest):
            return before, ""
        for number in range(newest.number, max(newest.number - KEPT, 0), -1):
            is_known = before is not None and number == before.number != newest.number
            taken = before if is_known else self._of_version(number)
            if taken is not None:
                return taken, self._unfit.get(newest.number, "")
        return before or self._of_program(), self._unfit.get(newest.number, "")

    def _of_version(self, number: int) -> InForce[_R] | None:
        """Return the rules of one version; None if it is not to be taken, which is remembered and told once."""
        if number in self._unfit:
            return None
        taken, trouble = self._read_version(number)
        if taken is None:
            self._unfit[number] = trouble
            self._tell(trouble)
        return taken

    def _read_version(self, number: int) -> tuple[InForce[_R] | None, str]:
        source = f"version {number}"
        try:
            found = self._stored.read(number)
        except (Damaged, NewerVersion) as error:
            return None, str(error)
        if found is None:
            return None, f"{source} of the rules is gone"
        version, text = found
        if version.is_built_in:
            return self._of_program(), ""
        rules, trouble = self._rules_of(text, f"{source} of the rules, pushed by {version.pushed_by},")
        if rules is None:
            return None, trouble
        return InForce(rules=rules, origin=Origin.VERSION, source=source, digest=version.digest, number=number), ""

    def _of_program(self) -> InForce[_R]:
        if self._known is not None and self._known.origin is Origin.BUILT_IN:
            return self._known
        return InForce(rules=self._built_in(), origin=Origin.BUILT_IN, source="the built-in rules")

    def _rules_of(self, text: str, source: str) -> tuple[_R | None, str]:
        """Return the rules that a text makes; None if it makes none, and why. A bad text is compiled once."""
        digest = digest_of(text)
        if digest not in self._bad:
            rules, why = _compiled_by(self._compiled, text)
            if rules is not None:
                return rules, ""
            self._bad[digest] = why
        return None, f"{source} cannot be taken: {self._bad[digest]}"

    def _tell(self, trouble: str) -> None:
        """Log once what an operator has to mend."""
        if trouble and trouble not in self._told:
            self._told.add(trouble)
            log.error("%s", trouble)


def _compiled_by(compiled: Callable[[str], _R], text: str) -> tuple[_R | None, str]:
    """Return the rules that a text makes, or None and why it makes none."""
    from itsm_bridge.rules.faults import InvalidRules  # noqa: PLC0415 - no text, no faults; and imports are timed

    try:
        return compiled(text), ""
    except InvalidRules as error:
        places = (f"line {fault.line}, column {fault.column}: {fault.message}" for fault in error.faults)
        told = "; ".join(islice(places, _TOLD_FAULTS))
        more = f"; {len(error.faults) - _TOLD_FAULTS} more" if len(error.faults) > _TOLD_FAULTS else ""
        return None, f"{told}{more}"
    except Exception as error:  # noqa: BLE001 - whatever a text makes of the compiler, no alert is lost to it
        return None, f"{type(error).__name__} at {place_of(error)}"


def _read(path: Path) -> tuple[str, str]:
    """Return the text of a file, and why it cannot be read; one of them is ""."""
    try:
        with path.open("rb") as opened:
            raw = opened.read(LARGEST_TEXT + 1)
    except OSError as error:
        return "", f"the file {path.name} of ITSM_RULES_FILE cannot be read: {error.strerror or type(error).__name__}"
    if len(raw) > LARGEST_TEXT:
        return "", f"the file {path.name} of ITSM_RULES_FILE has more than {LARGEST_TEXT} bytes"
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        return "", f"the file {path.name} of ITSM_RULES_FILE is not UTF-8: byte {error.start}"
