"""What does Azure itself know of the alerts, and what of that did not reach us?

`follow_azure` runs this room every two minutes where a setting switches it on; the webhook imports nothing of it.

    client          asks Azure Resource Manager: what changed, one alert, its history; changes the state of an alert
      listed_alert  what does the list say of one alert?                       pure
      history       what happened to it, and which action groups were called?   pure
      identity      who are we there?                                          imported by `follow_azure` alone
"""
