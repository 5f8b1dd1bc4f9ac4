"""A complete world on one machine: what Azure gives the program in production, without an account anywhere.

    host             the Functions host: `python -m local.host --app DIR`
      http_trigger   which function answers a request?      http_server  requests in, answers out
      queue_trigger  which message is a function given?
      timer_trigger  when is a function due?                ncrontab     what does a schedule mean?
      worker         how does a function run?               protos       what does its library speak?
      host_json      how does the app want to be run?
      admin          what may be asked of the host itself?
    launcher         the Functions host as a child process
    azurite          Azure Storage: tables, queues and blobs
    child_process    how is a server started, awaited and stopped?

Never deployed; the program imports nothing from here.
"""
