"""What runs the app as the Functions host does in production?

The world and the tests start this host through `launcher`; a person starts it with `python -m local.host --app DIR`.
It loads the app with the library that production uses. It knows nothing of alerts, of Entra ID or of ServiceNow.

    HTTP ───▶ http_trigger ──┐
    queue ──▶ queue_trigger ─┼──▶ worker ──▶ a function of the app
    clock ──▶ timer_trigger ─┘

    server         reads the command line, joins the parts and stops them
    http_trigger   finds the function that answers a request
    queue_trigger  gives messages to a function and settles what becomes of them
    timer_trigger  invokes a function when it is due
    ncrontab       reads the schedule of a timer
    worker         runs a function
    protos         holds the messages that the worker library speaks
    host_json      reads how the app wants to be run
    admin          answers what may be asked of the host itself
    scale_vote     says how many instances the platform would want
    launcher       runs the host as a child process
    front          stands before a host whose worker may die
    func_host      runs Azure Functions Core Tools in its place
"""
