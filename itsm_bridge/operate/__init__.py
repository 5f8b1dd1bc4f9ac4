"""What do operators ask, and is the app well?

`python -m itsm_bridge` calls `cli`; `function_app` asks `health`. Nothing here calls ServiceNow but the health probe
and the check of rules before they are pushed.

    cli            the words after `python -m itsm_bridge`, and where settings come from
      alerts       status, show, replay
        show       how is a row shown?     pure
      preview      what would become of an alert?
        preview_text  how is that shown?      pure
      rules_commands  check, show
      rules_versions  rules push, history, restore
        rules_against_instance  does the instance know what a rules file says?
      exit_status  what does a command return to its caller?
    health         which part is down?

    person ──▶ cli ──▶ alerts ──▶ table and queue        probe ──▶ health ──▶ checks that the parts give
"""
