"""Which action groups and alert rules are there? Azure Resource Graph, asked with the sign-in of a person.

    inventory    the resources that have to do with alerts, of subscriptions or a management group

The command `migrate` in `operate` calls it; the app never does.
"""
