"""Does the directory know us?

Sets up the objects that the secure webhook needs in Entra ID, and prints the values that the deployment needs.
A person or `infra/entra.sh` runs it, by itself or as a command of `operate.cli`:

    python -m itsm_bridge.entra.setup [--check | --dry-run | --hand-over] [--json | --azd]

It may be run again and again: each step looks first and writes only missing parts, so a second run writes nothing.
`steps` says which steps these are, `wanted` what must be there in the end.

Which application is meant, the first that is said: --client-id; the client id in the current azd environment; the
application that has --identifier-uri; the one named --name, which is itsm-bridge-ENV in an azd environment ENV and
itsm-bridge without one. The first line that is printed names it.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

from itsm_bridge.entra import azd_environment
from itsm_bridge.entra.azd_environment import AzdEnvironment
from itsm_bridge.entra.directory import Graph, Refused
from itsm_bridge.entra.hand_over import handed_over
from itsm_bridge.entra.steps import Steps, advice
from itsm_bridge.entra.wanted import CLOUDS, Cloud, Wanted
from itsm_bridge.errors import BridgeError, PermanentError
from itsm_bridge.settings import is_private

_NAME: Final = "itsm-bridge"
#: An access token for Microsoft Graph that somebody brings along, where no tool here can sign in.
_TOKEN_VARIABLE: Final = "GRAPH_ACCESS_TOKEN"  # noqa: S105 - a name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of this command."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="only report what is missing; exit status 1 if anything is")
    mode.add_argument("--dry-run", action="store_true", help="show the requests that would change something")
    mode.add_argument(
        "--hand-over", action="store_true", help="change nothing; print the command for a directory administrator"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the result as JSON")
    output.add_argument("--azd", action="store_true", help="store the result in the current azd environment")
    parser.add_argument(
        "--name", default="", help=f"display name of the application (of azd's environment, or {_NAME})"
    )
    parser.add_argument("--client-id", default="", help="use this application, whatever its name")
    parser.add_argument("--identifier-uri", default="", help="application ID URI (api://CLIENT_ID)")
    parser.add_argument("--owner", action="append", default=[], help="object id of an owner (whoever is signed in)")
    parser.add_argument("--tenant", default="", help="tenant to sign in to (that of the sign-in)")
    parser.add_argument("--cloud", choices=sorted(CLOUDS), default="", help="(public)")
    parser.add_argument("--graph", default="", help="address of Microsoft Graph, if --cloud does not know it")
    parser.add_argument("--authority", default="", help="address that signs in, if --cloud does not know it")
    parser.add_argument("--caller", default="", help="client id of Azure Monitor's webhook application in this cloud")
    parser.add_argument("--no-azd", action="store_true", help="take nothing from the current azd environment")


def run(
    arguments: argparse.Namespace,
    *,
    token: Callable[[], str] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
    folder: Path = Path(),
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Run the command; return its exit status: 0 done, 1 something is missing or went wrong.

    The result goes to `out`, everything else to `err`. `token` replaces the sign-in; `folder` and `environ` are where
    the azd environment is looked for.
    """
    out, err = out or sys.stdout, err or sys.stderr
    azd = AzdEnvironment(name="", values={}) if arguments.no_azd else azd_environment.current(folder, environ)
    name = arguments.cloud or azd.value("ENTRA_CLOUD") or "public"
    if name not in CLOUDS:
        print(f"ENTRA_CLOUD is {name}; it is one of {', '.join(sorted(CLOUDS))}.", file=err)
        return 1
    cloud = _cloud(arguments, CLOUDS[name])
    graph = Graph(host=cloud.graph, token=token or _token_source(arguments, environ, cloud))
    told: list[str] = []
    is_dry = arguments.check or arguments.dry_run or arguments.hand_over
    steps = Steps(
        graph,
        tell=told.append if arguments.hand_over else lambda text: print(text, file=err),
        is_dry=is_dry,
        shows_requests=arguments.dry_run,
    )
    try:
        _check_address(cloud.graph)
        wanted = _wanted(arguments, cloud, azd)
        result = steps.take(wanted)
        if arguments.hand_over:
            owners = wanted.owners or (steps.signed_in(),)
            tenant = azd.value("AZURE_TENANT_ID")
            text = handed_over(arguments, wanted=wanted, owners=owners, result=result, steps=told, tenant=tenant)
            print(text, file=out)
        elif not is_dry:
            _deliver(result.settings(wanted, cloud), arguments, out)
    except Refused as error:
        print(advice("The directory could not be read.", error), file=err)
        return 1
    except BridgeError as error:
        print(error, file=err)
        return 1
    if steps.changes == 0:
        print("Everything is set up.", file=err)
    return 1 if arguments.check and steps.changes else 0


def _cloud(arguments: argparse.Namespace, known: Cloud) -> Cloud:
    return Cloud(
        graph=arguments.graph or known.graph,
        authority=arguments.authority or known.authority,
        caller=arguments.caller or known.caller,
    )


def _check_address(graph: str) -> None:
    """The token goes there, so nobody may read it on its way."""
    parts = urlsplit(graph)
    if not is_private(parts.scheme, parts.hostname):
        raise PermanentError(f"{graph} is not an https address.")


def _wanted(arguments: argparse.Namespace, cloud: Cloud, azd: AzdEnvironment) -> Wanted:
    if not cloud.caller:
        raise PermanentError(
            "Nobody has published the client id of Azure Monitor's webhook application in this cloud. Look for"
            ' "AzNS AAD Webhook" among the enterprise applications of a tenant that has a secure webhook,'
            " and pass its application id with --caller."
        )
    # Who names an application on the command line means that one, whatever azd remembers.
    is_named = bool(arguments.client_id or arguments.name or arguments.identifier_uri)
    return Wanted(
        name=arguments.name or (f"{_NAME}-{azd.name}" if azd.name else _NAME),
        client_id=arguments.client_id or ("" if is_named else azd.value("ENTRA_CLIENT_ID")),
        identifier_uri=arguments.identifier_uri,
        caller=cloud.caller,
        owners=tuple(arguments.owner),
    )


def _deliver(settings: Mapping[str, str], arguments: argparse.Namespace, out: TextIO) -> None:
    if arguments.azd:
        for name, value in settings.items():
            _set_in_azd(name, value)
    elif arguments.json:
        print(json.dumps(settings, indent=2), file=out)
    else:
        for name, value in settings.items():
            print(f"azd env set {name} {value}", file=out)


def _set_in_azd(name: str, value: str) -> None:
    try:
        subprocess.run(["azd", "env", "set", name, value], check=True, timeout=60)  # noqa: S603, S607 - azd is where PATH says
    except (OSError, subprocess.SubprocessError) as error:
        raise PermanentError(
            f"azd env set {name} failed: {type(error).__name__}. Is there an azd environment?"
        ) from error


def _token_source(arguments: argparse.Namespace, environ: Mapping[str, str], cloud: Cloud) -> Callable[[], str]:
    """Return a function that fetches tokens for Graph: GRAPH_ACCESS_TOKEN if it is set, else the sign-in's."""
    given = environ.get(_TOKEN_VARIABLE, "")
    return (lambda: given) if given else _signed_in_token(arguments, cloud)


def _signed_in_token(arguments: argparse.Namespace, cloud: Cloud) -> Callable[[], str]:
    """Return a function that fetches tokens for Graph; azure-identity is imported here, because only this needs it."""
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415 - see above
    from azure.identity import AzureDeveloperCliCredential, DefaultAzureCredential  # noqa: PLC0415 - see above

    # The person who is signed in becomes the owner and must deploy later, so with azd it is azd's own sign-in.
    credential = (
        AzureDeveloperCliCredential(tenant_id=arguments.tenant)
        if arguments.azd
        else DefaultAzureCredential(authority=cloud.authority, exclude_managed_identity_credential=True)
    )
    options = {"tenant_id": arguments.tenant} if arguments.tenant else {}

    def fetch() -> str:
        try:
            return credential.get_token(f"{cloud.graph}/.default", **options).token
        except ClientAuthenticationError as error:
            raise PermanentError(
                "Nobody is signed in who may ask Microsoft Graph. Sign in with az login or azd auth login"
                f" (--tenant picks a tenant): {str(error).splitlines()[0][:256]}"
            ) from error

    return fetch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m itsm_bridge.entra.setup", description="Set up what the secure webhook needs in Entra ID."
    )
    add_arguments(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
