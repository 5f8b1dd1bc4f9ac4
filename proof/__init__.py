"""Does each alert that was answered 2xx become one incident in the right state, whatever dies meanwhile?

`make` starts these programs: some break the real app, one plays it in memory, and one breaks the program to see whether
the others notice. Nothing of the app imports them.

    alerts ──▶ the app, killed at any moment ──▶ storage and ServiceNow, which fail
                                                      │
                        what was answered ──compared──┘

    simulator/  plays histories in memory by a clock that jumps, and judges each
    torture     kills the real host at random moments while alerts come
    every_call  kills the real host before and after each call that an alert makes
    storm       sends thousands of alerts at once
    mutants     breaks the program on purpose and expects the proof to fail
    tap         puts proxies before storage and ServiceNow, which count calls and cut connections
    lateness    measures how long after each kill the last incident was right
    rest        waits until a world has nothing left to do
    apart       runs an object in a process of its own
"""
