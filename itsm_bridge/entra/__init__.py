"""Who is calling, and does the directory know us?

The webhook asks `token` at each call; people run `setup` once, from the command line or `azd`.

    token           is this Azure Monitor, allowed to call us?
      signing_keys  which keys does Entra ID sign with now?
    setup           does the directory know us, and what does the deployment need to know of it?
      wanted        what must the directory hold?
      steps         what does it lack, and how does it get that?
      directory     Microsoft Graph, as far as the set-up needs it
      azd_environment  which installation is meant?
      hand_over     what does a directory administrator run for us?

    checkup         does Entra ID know us, and Azure Monitor's role with us?
    person          how does a person prove who they are?

    Authorization header ──signing_keys──▶ token ──▶ claims, or InvalidToken, or Forbidden
"""
