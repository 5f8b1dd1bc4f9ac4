"""What do operators want of an alert?

Not part of the loop: the webhook asks this room once per notification, and what it says is remembered in the row, so
that a change of rules changes nothing about what was said before. The room reads text and answers; it asks nobody.
Files are checked whole before they are compiled, and what is compiled cannot fail.

    text ──▶ nodes ──▶ reading ──▶ model ──▶ compiling ──▶ engine
                          ▲                                  ▲ │
              checks, consistency            alert ──▶ subject └──▶ ruling

    ruling        what the rules say of one alert: for the loop and the target
    engine        which rules apply, and what do they say together?
      subject     what do rules see of an alert?
      matching    does a rule speak of it, and if not, why?
        patterns  does a text fit a word or a glob?
        windows   is it within a maintenance window?
          cron    when does a schedule begin last?
      templates   what does the value of a field say?
        values    which names does a template have?
        filters   what can it do with them?
        sandbox   how is Jinja2 kept without power?            imported where a rule needs it
    compiling     how does a file become rules that can be applied?
      model       what may a file say?
      reading     what does it say, or what is wrong with it?
        nodes        what does a YAML text hold, and where?
        checks       what is wrong with one value?
          durations  how long is "5m"?
        consistency  which values do not go together?
          fields     which fields may a rule set?
      faults      what is wrong, and where?
      schema      how do editors learn what may be said?
    built_in.yaml    what happens to an alert of which no rule of an operator speaks

What is imported here is felt by the first alert of a process: only `ruling` is imported with the app.
"""
