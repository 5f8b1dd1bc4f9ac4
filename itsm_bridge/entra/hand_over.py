"""What does a directory administrator run for us, and what will it do?

`setup --hand-over` prints it: where one person deploys and another one may change the directory, the first sends this
text to the second. It holds no secret.
"""

import argparse
import shlex
from collections.abc import Sequence

from itsm_bridge.entra.wanted import ROLE, Result, Wanted

#: Options that the administrator's command repeats as they were given here.
_REPEATED = ("cloud", "graph", "authority", "caller", "identifier_uri")


def handed_over(
    asked: argparse.Namespace,
    *,
    wanted: Wanted,
    owners: Sequence[str],
    result: Result,
    steps: Sequence[str],
    tenant: str,
) -> str:
    """Return the text for the administrator: the command, what it will do now, and what to send back.

    Args:
        asked: The options of this command.
        wanted: What the directory shall hold.
        owners: Object ids that shall own the application: those who deploy.
        result: What the directory will hold; ids that are not known yet read `<...>`.
        steps: What the steps told when they were only told.
        tenant: The tenant that is meant if neither the options nor the directory say it; "" if nobody does.
    """
    todo = [f"  - {each.replace('missing: ', 'sets up ')}" for each in steps]
    return "\n".join(
        [
            "For an administrator of the directory (Cloud Application Administrator, or Privileged Role",
            "Administrator), in the folder of this project, signed in with az login or azd auth login:",
            "",
            f"  {_command(asked, wanted=wanted, owners=owners, result=result, tenant=tenant)}",
            "",
            "What it will do, and nothing else:",
            "",
            *todo,
            "",
            f"The role {ROLE} lets Azure Monitor call this one application. It gives nobody rights in the",
            "directory, and no secret is made. The owners can change the application later, and only they can",
            "create, change and test the action group's secure webhook.",
            "",
            "The command prints six lines, azd env set ..., none of them secret: please send them back.",
        ]
    )


def _command(asked: argparse.Namespace, *, wanted: Wanted, owners: Sequence[str], result: Result, tenant: str) -> str:
    words = ["sh", "infra/entra.sh", "--no-azd"]
    if result.client_id.startswith("<"):
        words += ["--name", wanted.name]
    else:
        words += ["--client-id", result.client_id]
    for owner in owners:
        words += ["--owner", owner]
    known = asked.tenant or ("" if result.tenant_id.startswith("<") else result.tenant_id) or tenant
    if known:
        words += ["--tenant", known]
    for name in _REPEATED:
        if getattr(asked, name):
            words += [f"--{name.replace('_', '-')}", getattr(asked, name)]
    return shlex.join(words)
