"""What becomes of an alert if everything that can fail does? A world in memory, with a clock that jumps.

`make torture`, the mutants and the tests play histories here: `python -m proof.simulator --seed 7` plays one and prints
its story. The loop under test is the real one; its storage, its ServiceNow and its time are not.

    azure ──▶ history ──▶ processes ──faults──▶ memory
                 │                                │
                 └────────────▶ oracle ◀──────────┘        schedule runs all of it

    playing    plays the history of one seed and judges it
    many       plays many of them at once
    azure      draws what Azure Monitor says of one key
    history    draws what happens from one seed: arrivals, people, weather, deaths
    ruled      is a history in which operators have rules
    rulings    draws what their rules say of each alert, and when they are changed
    gives_up   is a history in which Azure Monitor gives up, and its own list of alerts is followed
    listing    draws which alerts that list has, and whom Azure called for them
    azure_list is that list, as it is asked
    following  lets a process follow it, and lets its answers fail
    processes  runs the app: several processes with real reconcilers, that die and come back
    faults     draws what goes wrong on the way to storage and ServiceNow
    memory     is the table, the queue and the instance, as the real adapters show them
    ledger     is a second target of the loop, as small as one can be
    older      writes rows as older versions of the program did
    oracle     knows what must be true at every moment and in the end
    promises   knows it where operators have rules
      joining  knows who must share an incident where that depends on time
      stories  knows what came of the words of one alert
    recovery   knows it where Azure Monitor gives up
    schedule   runs one task at a time, by the virtual clock
    outage     plays long absences of ServiceNow under steady alerts
"""
