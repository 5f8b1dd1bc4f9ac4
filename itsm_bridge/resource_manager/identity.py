"""How does the app prove to Azure Resource Manager who it is?

With its managed identity. `app` makes one token source where one of the features is switched on, and the command
`follow` another for the person who is signed in. azure-identity keeps tokens until shortly before they end.
App Service tells the library by `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` where to ask.

Source of truth: https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

from collections.abc import Callable
from typing import Final

# Imported by `follow_azure` alone: it takes 100 ms.
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import CredentialUnavailableError, ManagedIdentityCredential

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import PermanentError, Unavailable
from itsm_bridge.troubles import Trouble

#: Seconds. The library counts them per attempt and repeats three times.
_PATIENCE: Final = 3
_REPEATS: Final = 2


class NoIdentity(PermanentError):
    """The app has no identity that may ask for a token, or Entra ID refuses it one."""


def managed_identity(endpoint: str, client_id: str) -> Callable[[Deadline], str]:
    """Return what gets access tokens for `endpoint`; nothing is sent yet.

    The tokens come from the identity with this client id, "" for the one that belongs to the app alone. What is
    returned is safe to share between threads, and raises Unavailable or NoIdentity if there is no token now.
    """
    credential = ManagedIdentityCredential(
        client_id=client_id or None,
        connection_timeout=_PATIENCE,
        read_timeout=_PATIENCE,
        retry_total=_REPEATS,
        retry_backoff_factor=0.3,
    )
    scope = f"{endpoint.rstrip('/')}/.default"

    def token(deadline: Deadline) -> str:
        deadline.for_request(deadline.left)
        try:
            return str(credential.get_token(scope).token)
        except CredentialUnavailableError as error:
            raise NoIdentity(
                "the app has no managed identity that may ask Azure Resource Manager", trouble=Trouble.AZURE_SIGN_IN
            ) from error
        except ClientAuthenticationError as error:
            raise NoIdentity(
                "the app's managed identity gets no token for Azure Resource Manager", trouble=Trouble.AZURE_SIGN_IN
            ) from error
        except AzureError as error:
            raise Unavailable(f"the identity endpoint did not answer: {type(error).__name__}") from error

    return token
