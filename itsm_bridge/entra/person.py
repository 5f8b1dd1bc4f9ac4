"""How does a person prove who they are?

The commands `send-test` and `doctor` ask for a token of the person who is signed in with `az login` or `azd auth
login`. The app itself never does: a managed identity is left out, because these commands run where people are.

Source of truth: https://learn.microsoft.com/python/api/overview/azure/identity-readme#defaultazurecredential
"""

from itsm_bridge.errors import PermanentError


class NotSignedIn(PermanentError):
    """Nobody is signed in who may have such a token; the message says what to do."""


def token_for(resource: str, *, authority: str = "") -> str:
    """Return an access token for `resource`, an address or an application ID URI.

    Args:
        resource: What the token is for.
        authority: The authority host; "" for that of the environment.

    Raises:
        NotSignedIn: there is none.
    """
    # 100 ms of import, which no other command should pay.
    from azure.core.exceptions import AzureError  # noqa: PLC0415
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415

    options = {"authority": authority} if authority else {}
    try:
        with DefaultAzureCredential(exclude_managed_identity_credential=True, **options) as credential:
            return str(credential.get_token(f"{resource.rstrip('/')}/.default").token)
    except (AzureError, ValueError) as error:
        raise NotSignedIn(
            f"Nobody is signed in who may have a token for {resource}: `az login` signs you in"
        ) from error
