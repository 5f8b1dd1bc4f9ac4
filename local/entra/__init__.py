"""What stands in for Entra ID and for Microsoft Graph?

The world and the tests take tokens and signing keys from `authority`; the tests of the Entra set-up work on `graph`.
Both hold made-up things and listen on loopback alone.

    Azure Monitor (we) ──credentials──▶ authority ──keys──▶ the app's token check
    `python -m itsm_bridge setup` ────▶ graph

    authority  publishes metadata and keys, and signs tokens
    graph      keeps applications, service principals and role assignments
"""
