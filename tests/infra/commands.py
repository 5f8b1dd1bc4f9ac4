"""Which commands does the documentation tell people to type, and would their programs take them?"""

import argparse
import contextlib
import functools
import io
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from itsm_bridge.entra import setup
from itsm_bridge.operate.cli import COMMANDS as OURS
from tests.infra.bicep import Template

ROOT = Path(__file__).parents[2]
COMMANDS = ROOT / "infra" / "schemas" / "commands.json"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "infra" / "schemas" / "README.md"])

#: What azd takes: https://learn.microsoft.com/azure/developer/azure-developer-cli/reference
AZD: Mapping[str, tuple[int, int]] = {
    "auth login": (0, 8),
    "config set": (2, 2),
    "deploy": (0, 1),
    "down": (0, 0),
    "env get-value": (1, 1),
    "env get-values": (0, 0),
    "env new": (1, 1),
    "env set": (2, 2),
    "provision": (0, 1),
    "up": (0, 1),
}
#: Variables of the azd environment that hooks read, and no template.
OF_THE_HOOKS = {"ENTRA_CLOUD", "ENTRA_SETUP", "HEALTH_CHECK"}
_PROGRAMS = ("az ", "azd ", "python -m ", "sh infra/", "terraform ")
_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command, as words, and the page that it stands on."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def documented(pages: Iterable[Path] = PAGES) -> list[Command]:
    """Return all commands of the pages that can be checked."""
    return [each for page in pages for each in commands_of(page.name, page.read_text(encoding="utf-8"))]


def commands_of(page: str, text: str) -> list[Command]:
    lines = [line for block in _FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    inline = _INLINE.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    # The options of a command that is only named, as `az keyvault secret set`, are told elsewhere.
    lines += [each for each in inline if each.startswith(_PROGRAMS) and not _is_named_only(each)]
    return [Command(page, words) for line in lines for words in _simple(line)]


def _is_named_only(text: str) -> bool:
    named = {"sh infra/python.sh", *(f"azd {name}" for name, (least, _) in AZD.items() if least)}
    return text.removesuffix(" ...") in named or (text.startswith("az ") and "--" not in text)


def _simple(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the simple commands of a line of shell, those in $(...) too."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from _simple(inner)
    text = re.sub(r"\$\([^()]*\)", "SUBSTITUTED", line)
    for part in re.split(r"\s*(?:&&|\|\||\||;)\s*", text):
        words = [each for each in shlex.split(part, comments=True) if each != "..."]
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words = words[1:]
        if words and f"{words[0]} ".startswith(("az ", "azd ", "python ", "sh ", "terraform ")):
            yield tuple(words)


def az_commands(commands: Iterable[Command]) -> set[str]:
    """Return the commands of the Azure CLI, without options."""
    return {" ".join(_until_option(each.words[1:])) for each in commands if each.words[0] == "az"}


def _until_option(words: tuple[str, ...]) -> list[str]:
    end = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return list(words[:end])


def problems(commands: Iterable[Command]) -> list[str]:
    """Return the commands that their programs would refuse, with what is wrong."""
    return [f"{command}: {bad}" for command in commands for bad in _of(command)]


def _of(command: Command) -> Iterator[str]:
    program, *rest = command.words
    words = tuple(rest)
    if program == "az":
        yield from _of_az(words)
    elif program == "azd":
        yield from _of_azd(words)
    elif program == "terraform":
        yield from () if words[:1] in {("init",), ("apply",), ("validate",), ("plan",)} else ("it is not known",)
    elif program == "sh":
        yield from _of_script(words)
    else:
        yield from _of_python(words)


def _of_az(words: tuple[str, ...]) -> Iterator[str]:
    name = " ".join(_until_option(words))
    known = json.loads(COMMANDS.read_text(encoding="utf-8"))["commands"].get(name)
    if known is None:
        yield f"az {name} is not known; if it is new, run tests.infra.extract_commands"
        return
    options = [word for word in words if re.fullmatch(r"--?[a-z][\w-]*", word)]
    yield from (f"{each} is not known" for each in options if each not in known["options"])
    yield from (f"{names[0]} is missing" for names in known["required"] if not set(names) & set(options))
    if name in {"deployment group create", "deployment sub create"}:
        yield from _of_deployment(words)


def _of_deployment(words: tuple[str, ...]) -> Iterator[str]:
    given = words[words.index("--parameters") + 1 :]
    if "--template-file" not in words:
        yield from () if given and given[0].endswith(".bicepparam") else ("there is no template",)
        return
    path = ROOT / words[words.index("--template-file") + 1]
    if not path.exists():
        yield f"{path.name} is not there"
        return
    parameters = Template.parse(path.read_text(encoding="utf-8")).parameters
    names = {word.partition("=")[0] for word in given if "=" in word}
    yield from (f"{path.name} has no parameter {each}" for each in sorted(names - set(parameters)))
    required = {name for name, each in parameters.items() if each.is_required}
    yield from (f"{each} is missing" for each in sorted(required - names))


def _of_azd(words: tuple[str, ...]) -> Iterator[str]:
    name = next((each for each in AZD if tuple(each.split()) == words[: len(each.split())]), None)
    if name is None:
        yield "it is not known"
        return
    rest = words[len(name.split()) :]
    least, most = AZD[name]
    if not least <= len(rest) <= most:
        yield f"it takes {least} to {most} words"
    elif name == "env set" and rest[0] not in _variables() | OF_THE_HOOKS:
        yield f"{rest[0]} is no variable of main.parameters.json"
    elif name == "env get-value" and rest[0] not in _outputs() | _variables():
        yield f"{rest[0]} is no output of main.bicep"


@functools.cache
def _variables() -> set[str]:
    return set(re.findall(r"\$\{(\w+)", (ROOT / "infra" / "main.parameters.json").read_text(encoding="utf-8")))


@functools.cache
def _outputs() -> set[str]:
    return set(Template.parse((ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")).outputs)


def _of_script(words: tuple[str, ...]) -> Iterator[str]:
    script, *options = words
    if not (ROOT / script).exists():
        yield f"{script} is not there"
    elif script == "infra/entra.sh":
        yield from _parsed(setup.add_arguments, options)
    elif script == "infra/python.sh":
        yield from _of_python(tuple(options))


def _of_python(words: tuple[str, ...]) -> Iterator[str]:
    if words[:1] != ("-m",):
        yield "no module is named"
        return
    module, *rest = words[1:]
    if module != "itsm_bridge":
        path = ROOT.joinpath(*module.split("."))
        if not (path.with_suffix(".py").exists() or path.is_dir()) and module not in {"venv", "pip"}:
            yield f"{module} is not there"
        return
    if rest == ["--version"]:
        return
    ours = {each.name: each for each in OURS}
    if not rest or rest[0] not in ours:
        yield f"{rest[:1]} is no command; there are {', '.join(ours)}"
        return
    yield from _parsed(ours[rest[0]].add_arguments, rest[1:])


def _parsed(add_arguments: object, options: list[str]) -> Iterator[str]:
    parser = argparse.ArgumentParser()
    assert callable(add_arguments)
    add_arguments(parser)
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            parser.parse_args(options)
    except SystemExit:
        yield told.getvalue().strip().splitlines()[-1]
