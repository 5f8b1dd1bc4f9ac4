"""Who is told what is measured?

A collector that speaks OTLP, Application Insights, or both. `app` imports this room where telemetry is switched on and
nowhere else, because its libraries take longer to import than the rest of the program.

    open_telemetry   how does what is measured get there?
"""
