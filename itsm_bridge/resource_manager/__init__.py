"""What does Azure itself know of the alerts, and what of that did not reach us?

`follow_azure` runs this room every two minutes where a setting switches it on; the webhook imports nothing of it.

    missed          which alerts did Azure Monitor fail to bring?
      scope         which subscriptions are followed?
      look          what changed in one of them?
        cursor      how far did the last look come, and what need not be asked again?   pure
      judging       did an alert reach us, and was it meant for us?
        translation which notification would it have been?                       pure
    following_state how do alerts come to say what people do to incidents, and the other way round?
      telling_alerts    how are the alerts of one incident told?
      telling_incidents how is an incident told that its alert was closed?
        states      what do people's doings mean?                                pure: one table
        last_word   who last changed the state of an alert?                      pure
      asking        what may one run still ask Azure?
      one_look      how do both followers look with one request?
      state_parts   whom do they ask and tell?
      state_cursor  how far did the last look come?                              pure
    client          asks Azure Resource Manager: what changed, one alert, its history; changes the state of an alert
      listed_alert  what does the list say of one alert?                         pure
      history       what happened to it, and which action groups were called?     pure
      answers       what does an answer mean that is none?                       pure
    identity        who are we there?
    checkup         may we ask as we must?

    Azure's list ──client──▶ look ──judging──▶ translation ──▶ Alert ──▶ the reconciler, as if it had come by a call
"""
