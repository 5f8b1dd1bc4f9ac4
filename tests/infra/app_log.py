"""What would be in the tables of Application Insights? The rows of what the program wrote in the local world."""

import re
from datetime import UTC, datetime
from typing import Any

from local.world import Answer

_LINE = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (DEBUG|INFO|WARNING|ERROR|CRITICAL) (\S+) (.*)$", re.MULTILINE
)
#: https://learn.microsoft.com/azure/azure-monitor/reference/tables/apptraces
_SEVERITIES = {"DEBUG": 0, "INFO": 1, "WARNING": 2, "ERROR": 3, "CRITICAL": 4}


def traces(output: str) -> list[dict[str, Any]]:
    """Return what the host would have sent to the table AppTraces: the lines that the app logged."""
    return [
        {
            "TimeGenerated": datetime.strptime(moment, "%Y-%m-%d %H:%M:%S,%f").astimezone(UTC),
            "SeverityLevel": _SEVERITIES[level],
            "Message": message,
        }
        for moment, level, logger, message in _LINE.findall(output)
        if logger != "host"
    ]


def request(name: str, answer: Answer) -> dict[str, Any]:
    """Return what the host would have sent to the table AppRequests for one call of a function."""
    return {
        "TimeGenerated": datetime.now(UTC),
        "Name": name,
        "Url": f"https://bridge.example/api/{'health' if name == 'health' else 'alerts'}",
        "ResultCode": str(answer.status),
        "DurationMs": answer.seconds * 1000,
    }
