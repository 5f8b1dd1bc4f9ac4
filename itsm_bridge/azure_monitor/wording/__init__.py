"""How is an alert put into words for the engineer who is woken?

`notification` asks this room for the title, the description and the facts of an incident. The room decides what is
said and what is left out, not in which field of ServiceNow it stands.

    alert ──▶ by_kind ──▶ threshold | activity_log ──▶ form.Wording ──▶ description
                              │                                                 │
                              └──▶ units                                        └──▶ links

    by_kind       chooses the words by the kind of the alert, and has those of the smaller kinds
    threshold     words conditions: metric, log search and Prometheus alerts
    activity_log  words entries of the activity log, and the health of services and resources
    units         says in which unit a quantity is told, and how
    form          is the form that all of them fill, with the names of resources and rules
    links         says which pages people can open, in the portal of the alert's cloud
    description   joins a filled form to one text, and shortens it to its limit
"""
