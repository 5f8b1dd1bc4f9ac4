"""Azure Monitor alert in, ServiceNow incident out.

    function_app ──▶ app           which parts are there, and who knows whom?      the one place that connects them
         │           webhook       what happens to one notification?
         │             ├─▶ entra          who is calling?                                     (Entra ID)
         │             ├─▶ azure_monitor  what does the alert say, and how is it told?        (pure)
         │             ├─▶ rules          what do operators want of it?                       (pure)
         │             ├─▶ rules_in_force   and which of their rules count now?
         ▼             ▼
      reconcile        the loop: what do we remember, what is the next step, did it work?     (plan: pure, a table)
         ├─▶ storage         the table row, the queue                                         (Azure Storage)
         └─▶ servicenow      the incident, its configuration item                             (Table API)

    follow      which parts follow Azure's own list of alerts?  (imported where that is switched on)
       └─▶ resource_manager  what does that list know that did not reach us?                 (Azure)

    collector   who is told what is measured?  (OpenTelemetry; imported where it is switched on)

    __main__ ──▶ operate   what operators ask at the command line; is the app well?
                   ├─▶ migration       what do ITSM actions do today, and what says the same?        (pure)
                   └─▶ resource_graph  which action groups and rules are there?                      (Azure)

    below all of them: settings, transport, session, deadline, text, threads, troubles, telemetry, finding, facts,
                       errors

A folder per party that we talk to, one for the loop, one for operators.
Imports point downwards; `pyproject.toml` holds the contract and `make check` enforces it.
"""

#: As the newest release in CHANGELOG.md; operators read it in the log and from `--version`.
__version__ = "0.1.0"
