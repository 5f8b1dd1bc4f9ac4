"""What stands in for a ServiceNow instance, and is no kinder than a real one?

The world, the tests and the proof make a `ServiceNowStandIn`, act as people on it, and look at what it holds. It
answers any client of the Table API and knows nothing of the app.

    client ──▶ connection ──▶ instance ──▶ table_api ──▶ glide ──▶ dictionary, encoded_query
                    │             │
                    │             └──▶ faults, traffic
    browser ───▶ incident_page

    instance       is the stand-in: it starts, stops, and does what people do
    connection     has the sockets, and breaks them as a fault wants
    exchange       has the requests and the answers
    batch          answers several requests in one
    table_api      answers as an application node does: tokens, limits, rows
    glide          keeps the rows and the rules that guard them
    dictionary     says which tables and columns there are
    encoded_query  reads the queries of the Table API
    faults         plans what goes wrong on the way
    batch_faults   spoils the answer to a batch
    traffic        counts requests, and lets them wait for each other
    demo_cmdb      fills the CMDB with the resources of a small shop
    incident_page  shows the incidents to people
"""
