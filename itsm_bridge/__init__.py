"""Azure Monitor alert in, ServiceNow incident out.

    function_app ─▶ auth            who is calling?
         │     └──▶ alert           what does Azure Monitor say?
         │          notification    what does that ask of an incident?
         ▼
    reconcile ────▶ record          what do we remember of one key?
         │          plan            what is the next step?          (pure, a table)
         ├────────▶ store, wakeups  the table row, the queue        (Azure Storage)
         └────────▶ servicenow      the incident                    (Table API)
                    cmdb            its configuration item

Imports point downwards; `pyproject.toml` holds the contracts and `make check` enforces them.
"""
