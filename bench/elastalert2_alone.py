"""What does ElastAlert2's ServiceNow alerter take for one alert? Run by the interpreter that has it, without ours.

    python elastalert2_alone.py INSTANCE_URL USERNAME PASSWORD ALERTS

Prints a JSON list: the seconds of each call of `alert`. It creates an incident and remembers nothing.
"""

import json
import logging
import sys
import time

from elastalert.alerters.servicenow import ServiceNowAlerter

url, username, password, alerts = sys.argv[1:]
logging.disable()
rule = {
    "name": "cpu-high",
    "type": "any",
    "alert": [],
    "alert_text_type": "alert_text_only",
    "alert_text": "cpu-high fired on vm-web-01",
    "username": username,
    "password": password,
    "servicenow_rest_url": f"{url}/api/now/table/incident",
    "short_description": "cpu-high on vm-web-01",
    "comments": "Percentage CPU is 97.3, over 90",
    "assignment_group": "",
    "category": "",
    "subcategory": "",
    "cmdb_ci": "",
    "caller_id": "",
}
alerter = ServiceNowAlerter(rule)
taken = []
for _ in range(int(alerts)):
    began = time.perf_counter()
    alerter.alert([{"@timestamp": "2026-01-01T00:00:00Z"}])
    taken.append(time.perf_counter() - began)
print(json.dumps(taken))
