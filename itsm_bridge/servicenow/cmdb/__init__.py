"""Which configuration item is an alert's resource?

`target.ServiceNow` asks `lookup.Cmdb` when the loop looks for the link of an incident. Nothing is written here.

    lookup      asks the instance, remembers, and asks at most so many questions
      search    what is found as far as rows are known, and what is still to be asked?   pure
      grouping  which questions can one query answer?                                    pure
      expected  what will be looked for soon?
      progress  what has one search asked and found out?
      match     what do the rows that came back say?                                     pure
      classes   where and how does a CMDB keep a resource?    pure: a table of Azure types

    resources ──classes──▶ questions ──grouping──▶ queries ──lookup──▶ rows ──match──▶ one item, or why there is none
                  ▲                                                      │
                  └─────────────────────────search───────────────────────┘
"""
