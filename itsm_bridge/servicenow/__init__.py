"""How is ServiceNow a target of the loop?

`app` makes one `target.ServiceNow`; the reconciler calls it as a `Target`. Nothing is decided here about an incident.

    target         renders, finds, creates, updates, resolves, reopens, retires, links
      fields       how is an alert or a write spelled in fields?      pure
      close_codes  with which code is one resolved?
      combined     what does an incident of several alerts say?       pure
      incidents    what is there, and what was stored of what we sent?
        incident   states, owned fields, lengths                      pure
      cmdb/        which configuration item is the resource?
      references   which record does a rule mean that names one?
    knowledge      what has the instance shown us, also in other processes?
    people         what did people do to incidents lately?
    dictionary     which fields and choices does an incident have here?
    table_api      how are rows of any table read and written?
      queries      what is asked for, and is it what came?          pure
      refusals     in which ways is a question left without an answer?
      batch        how are several reads sent as one request?
      sending      how is one request sent?
      verdicts     what has come of a request?                        pure: one table
      credentials  how do we prove who we are?
      gate         how many requests are in flight at once?
      advice       what does a refusal mean for people?             pure: one table
    checkup        may our account do what it must?
    trial          does an incident come out as it went in?

    write ──fields──▶ incidents ──▶ table_api ──▶ the instance ──verdicts──▶ incident, or an error of `errors`
"""
