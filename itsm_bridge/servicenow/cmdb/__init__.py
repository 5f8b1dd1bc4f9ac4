"""Which configuration item is an alert's resource?

`target.ServiceNow` asks `lookup.Cmdb` when the loop looks for the link of an incident. Nothing is written here.

    lookup    asks the instance, remembers, and spends at most so many requests
      match   what do the rows that came back say?          pure
      classes where and how does a CMDB keep a resource?    pure: a table of Azure types

    resources ──classes──▶ questions ──lookup──▶ rows ──match──▶ one item, or the reason why there is none
"""
