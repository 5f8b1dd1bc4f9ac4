"""How does an incident come to say what Azure Monitor says, whatever fails on the way?

The loop. The triggers call `Reconciler`; it knows its target and its storage through `ports` alone.

    reconciler   the way in: a webhook, a wake-up, the timer
      attempt    what the worker that holds a lease does: observe, decide, write down, act, remember
        plan     what is the next step?                      pure: one table
        orders   what goes with it: intent, what is written  pure
        circuit  may we call the target now?
        backoff  when is what failed tried again?
      merge      what does a notification change?            pure
      swap       how is a row changed that others change too?
      record     what do we remember of one key?             pure: desired, observed, work
      ports      what does the loop ask of the world?        Target, Store, WakeUps

    notification ──merge──▶ record ──plan──▶ decision ──▶ target ──▶ observed ──▶ record
                              ▲                                                      │
                              └──────────────── until nothing differs ◀──────────────┘
"""
