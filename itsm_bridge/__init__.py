"""Azure Monitor alert in, ServiceNow incident out.

    function_app ─▶ auth            who is calling?
         │     └──▶ alert           what does Azure Monitor say?
         │          notification    what does that ask of an incident?
         ▼
    reconcile ────▶ record, merge   what do we remember of one key?
         │
         ├────────▶ store, wakeups  the table row, the queue        (Azure Storage)
         │          pressure        may we call ServiceNow now?
         ▼
        run ──────▶ plan            what is the next step?          (pure, a table)
         └────────▶ servicenow      the incident                    (Table API)
                    cmdb            its configuration item

Imports point downwards; `pyproject.toml` holds the contracts and `make check` enforces them.
"""
