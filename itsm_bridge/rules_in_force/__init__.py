"""Which of the operators' rules count in this process?

`app` makes one `lookout.RulesInForce` per process; the webhook asks it for each alert, `health` whether all is well.

    lookout    when does a process look?
      choice   which rules are to be in force?

    file, storage.stored_rules ──choice──▶ rules ──lookout──▶ webhook
"""
