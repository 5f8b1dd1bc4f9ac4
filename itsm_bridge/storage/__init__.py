"""What does the program keep, and where?

One Azure Storage account: the table `alerts` and the queue `alert-wakeups`. `app` makes an `AlertTable` and a
`WakeUpQueue` per process; the reconciler calls them as its `Store` and `WakeUps`, the commands read through `listing`.
`rules_in_force` reads the rules that operators pushed through `stored_rules`.
The content of a record is decided in `reconcile`.

    alert_table    rows: read, and written unless another process wrote first
      transaction  how are several rows written at once?
      index_table  which rows are open, and how far are sweeps?
        index_rows how is that laid out in rows?             pure; layout 1
      group_rows   which alerts are kept together?
      row_format   how is a record laid out in a row?          pure; version 4
        part_format     how does a part of a record stand in JSON?  pure
        row_version_1   how does a row of version 1 read?      pure
    stored_rules   which rules were pushed, and which before them?
    listing        which rows are there for operators to look at?
    progress_table how far did a look at another party come?
    trouble_table  how is remembered what goes wrong again and again?
    instance_facts what was learnt of the ServiceNow instance?
    checkup        is the account as the program needs it?
    wakeup_queue   when is a key to be looked at again?
    account        where is the account, and who are we there?

    record ──row_format──▶ alert_table ──▶ the table        key ──wakeup_queue──▶ the queue ──▶ reconcile_alert
"""
