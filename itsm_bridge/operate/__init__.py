"""What do operators ask, and is the app well?

`python -m itsm_bridge` calls `cli`; `function_app` asks `health`, and `app` makes the `recorder`.

    cli            the words after `python -m itsm_bridge`
      sources      where do the settings of a command come from?
      status       does anybody have to act?
      alerts       show, list, replay, forget
        lookup     which alert does a person mean?
        show       how is a row shown?     pure
      trial        what is on trial, beside what another connector made?
      migrate      how do people leave Microsoft's ITSM connector?
        servicenow_export  which records did a person export?
      preview      what would become of an alert?
        preview_text  how is that shown?      pure
      rules_commands  check, show
      rules_versions  rules push, history, restore
        rules_against_instance  does the instance know what a rules file says?
      follow       what did Azure Monitor fail to bring?
      doctor       is everything as it must be, and who can mend it?
      send_test    does an alert come through?
      desk         what does a command work with?
      terminal     how wide is the screen?
      exit_status  what does a command return to its caller?
    advice         what does a trouble mean for people?     pure: one table
    recorder       when is it written down what goes wrong again and again?
    backlog        how many alerts wait, and how many does nobody look at any more?
    health         which part is down?

    person ──▶ cli ──▶ status, alerts ──▶ table and queue        probe ──▶ health ──▶ checks that the parts give
                 └───▶ doctor ──▶ a checkup by each party
"""
