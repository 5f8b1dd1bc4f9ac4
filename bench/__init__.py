"""How fast is it, how much does it ask of others, and what does it cost?

Each benchmark is a command that prints ratios from one run on one machine: `python -m bench NAME`.
`python -m bench` runs all, writes `docs/performance.md`, and ends with 1 if a count is off.

1. A figure that anybody may quote is a ratio: its two sides were measured in turns, in the same run.
   Milliseconds stand beside it and hold for the machine that is named.
2. What is repeated is summarised by the median of its repeats.
3. A count is exact: calls to ServiceNow, storage operations, key fetches, requests in flight. One that is off is a bug.
   A time is not: it depends on who else uses the machine, so a goal that is missed is told and ends nothing.

Nothing here is deployed. It stands on `local`, the world on one machine.
"""
