"""What do operators want of an alert?

Not part of the loop: the webhook asks this room once per notification, and what it says is remembered in the row, so
that a change of rules changes nothing about what was said before. The room reads text and answers; it asks nobody.

    ruling   what the rules say of one alert: for the loop and the target
    faults   what is wrong in a rules file, and where?
"""
