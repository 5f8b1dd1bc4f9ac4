"""What gives the app on one machine what Azure gives it in production, without an account anywhere?

`make demo`, `make run`, the tests, the benchmarks and the proof start this world. It is never deployed, and the app
imports nothing from here.

    alerts ──signed call──▶ host ─────────────▶ servicenow
       │                     │ │
       └──token── entra ◀keys┘ └──▶ azurite (tables, queues, blobs)

    world          starts all of it, joined by app settings, and stops it
    alerts/        makes alerts, and keeps a sample of each kind
    host/          stands in for the Functions host
    entra/         stands in for Entra ID and for Microsoft Graph
    resource_graph stands in for Azure Resource Graph
    resource_manager/ stands in for Azure's list of alerts, and for the endpoint that gives the app tokens
    servicenow/    stands in for a ServiceNow instance
    azurite        runs Microsoft's emulator of Azure Storage, without its pauses (azurite_preload.cjs)
    demo           plays alerts through the world and says what came of each
    run, send      keep the world up, and send alerts to it by hand
    break          breaks it and mends it by hand, to practise
    breakages      what can be broken, and how is it mended?
    world_file     how do other commands find a world that is up?
    http_server    serves HTTP for the host, for Graph and for the proof's proxies
    collector      stands in for a collector of telemetry
    lock           writes requirements*.txt: the pins of people with their hashes
    package        builds the files of a release
    child_process  starts a server, waits until it is ready, and stops it
"""
