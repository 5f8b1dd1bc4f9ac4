"""How does an incident come to say what Azure Monitor says, whatever fails on the way?

This room is the loop. The webhook, the queue trigger and the timer call `Reconciler`, which knows its target, the table
and the queue through `ports` alone. How an incident is spelled in fields and how a row is stored is not known here.

    reconciler   the way in: a webhook, a wake-up, the timer
      intake     how is a notification remembered, before anything is promised?
        placing  which row does it belong to?
        together how do many webhooks change one row at once?
      worker     what does the worker that holds a lease do? observe, decide, write down, act
        attempt  what is known while one lease lasts?
        endings  how does an attempt end, and what does the row say then?
        plan     what is the next step?                      pure: one table
        orders   what belongs to it: intent, the write       pure
        circuit  may we call the target now?
        slots    whose turn is it to call the target?
        backoff  when is a failed attempt repeated?
      background who goes on with an alert after its webhook was answered?
      giving_back  how is a lease given back under which nothing was sent?
      waking     how is a row looked at later?
      resync     which rows would no wake-up reach any more?
        sweep    does the index name every open row, and which rows are kept for nothing?
        row_by_row  how are many rows changed, whatever becomes of one of them?
        outline  what does the index say of a row?           pure
        pages    what does a sweep see, and how far is it?   pure
      gathering  which alerts share an incident?             pure
      merge      what does a notification change?            pure
        found    is it the same as what Azure's list told?    pure
        crowd    how do many alerts fit into one row?        pure
      swap       how is a row changed that other processes change too?
      record     what do we remember of one key?             pure: desired, observed, work
        followed what did people do, and what do alerts in Azure say of that?   pure
      ports      what does the loop ask of the world?        Target, Store, WakeUps

    notification ──merge──▶ record ──plan──▶ decision ──▶ target ──▶ observed ──▶ record
                              ▲                                                      │
                              └──────────────── until nothing differs ◀──────────────┘
"""
