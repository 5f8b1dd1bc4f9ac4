"""What would a person on call see?

A connection asks for every path that is not the API's; nothing can be changed here.
One page without scripts: the incidents, newest first, each of which opens in place.
It loads itself anew every few seconds, so what is open is in its address (`/?open=SYS_ID`), where links put it, and the
browser keeps the place that the reader scrolled to.
Every text that comes from a row is escaped.
"""

from collections.abc import Iterable
from html import escape
from urllib.parse import parse_qs, urlsplit

from local.servicenow.exchange import Request, Response
from local.servicenow.glide import Glide, Row

#: Seconds between two loads.
_REFRESH = 5

_STATE_CLASSES = {"1": "new", "2": "progress", "3": "hold", "6": "resolved", "7": "closed", "8": "canceled"}

_STYLE = """
:root { color-scheme: light dark;
  --page: #f4f6f8; --card: #fff; --line: #e3e8ee; --text: #17212b; --quiet: #64727f; --link: #0b5cad; --open: #f8fafc;
  --new: #0b5cad; --progress: #8a4b00; --hold: #6d3fb0; --resolved: #0f7040; --closed: #5c6873; --canceled: #5c6873;
  --p1: #c4162a; --p2: #c2560a; --tint: 12%; }
@media (prefers-color-scheme: dark) { :root {
  --page: #0f151b; --card: #17202a; --line: #283543; --text: #e4eaf0; --quiet: #93a3b3; --link: #7cb8f5;
  --open: #131b23;
  --new: #74b4f7; --progress: #f2b45c; --hold: #bf9bf3; --resolved: #5fcf95; --closed: #9aa8b5; --canceled: #9aa8b5;
  --p1: #ff7d87; --p2: #f7a35c; --tint: 20%; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1560px; margin: 0 auto; padding: 28px 24px 56px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 18px; margin-bottom: 18px; }
h1 { font-size: 24px; margin: 0; letter-spacing: -.01em; }
header p { margin: 0; color: var(--quiet); }
header .counts { margin-left: auto; display: flex; gap: 8px; flex-wrap: wrap; }
a { color: inherit; text-decoration: none; }
.list { background: var(--card); border: 1px solid var(--line); border-radius: 12px; overflow: hidden;
  box-shadow: 0 1px 2px rgb(0 0 0 / 5%); }
.row { display: grid; grid-template-columns: 108px 124px 116px minmax(0, 1fr) 150px 96px; gap: 14px;
  align-items: center; padding: 11px 18px; }
.head { font-size: 12px; color: var(--quiet); border-bottom: 1px solid var(--line); padding-block: 8px; }
details + details { border-top: 1px solid var(--line); }
summary { list-style: none; }
summary::-webkit-details-marker { display: none; }
summary .row:hover { background: var(--open); }
a:focus-visible { outline: 2px solid var(--link); outline-offset: -2px; }
.number { color: var(--link); font-weight: 600; font-variant-numeric: tabular-nums; }
.what { overflow-wrap: anywhere; font-weight: 500; }
.ci, .when { color: var(--quiet); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.when { text-align: right; font-variant-numeric: tabular-nums; }
.state { --tone: var(--closed); display: inline-flex; align-items: center; gap: 7px; justify-self: start;
  white-space: nowrap; padding: 1px 10px 1px 8px; border-radius: 99px; font-size: 13px; font-weight: 600;
  color: var(--tone);
  background: color-mix(in srgb, var(--tone) var(--tint), transparent); }
.state::before { content: ""; width: 8px; height: 8px; border-radius: 50%; background: var(--tone); }
.new { --tone: var(--new); } .progress { --tone: var(--progress); } .hold { --tone: var(--hold); }
.resolved { --tone: var(--resolved); } .closed, .canceled { --tone: var(--closed); }
.resolved::before, .closed::before, .canceled::before { background: none; border: 2px solid var(--tone); }
.p1 { color: var(--p1); font-weight: 700; } .p2 { color: var(--p2); font-weight: 650; }
.p3, .p4, .p5 { color: var(--quiet); }
.done .what, .done .number { font-weight: 400; } .done .what { color: var(--quiet); }
.done .p1, .done .p2 { color: var(--quiet); font-weight: 400; }
.inside { background: var(--open); border-top: 1px solid var(--line); padding: 20px 18px 24px; display: grid;
  grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 24px 36px; }
.inside h2 { font-size: 17px; margin: 0; grid-column: 1 / -1; overflow-wrap: anywhere; }
h3 { font-size: 12px; font-weight: 600; color: var(--quiet); margin: 0 0 6px; }
pre { margin: 0; font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 16px; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
ol { list-style: none; margin: 0; padding: 0; grid-column: 1 / -1; }
ol li { border-left: 3px solid var(--line); padding: 2px 0 12px 14px; }
ol li:last-child { padding-bottom: 2px; }
li b { font-weight: 600; } li span { color: var(--quiet); font-size: 13px; }
.none { padding: 56px 18px; text-align: center; color: var(--quiet); }
.none strong { display: block; color: var(--text); font-size: 17px; margin-bottom: 4px; }
@media (max-width: 900px) {
  main { padding: 18px 12px 40px; } .head { display: none; } .inside { grid-template-columns: minmax(0, 1fr); }
  .row { grid-template-columns: max-content max-content 1fr; gap: 4px 12px; }
  .what { grid-column: 1 / -1; } .ci { grid-column: 1 / 3; } .priority { justify-self: end; } }
"""

_HEAD = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{_REFRESH}">
<title>Incidents</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
"""

_COLUMNS = """<div class="row head" aria-hidden="true"><span>Number</span><span>State</span><span>Priority</span>
<span>Short description</span><span>Configuration item</span><span class="when">Updated (UTC)</span></div>
"""


def respond(glide: Glide, request: Request) -> Response:
    """Answer what a browser asks: the page, an incident's own address, or 404."""
    if request.path in ("/incident.do", "/nav_to.do"):
        return Response(status=302, headers=(("Location", f"/?open={_wanted_sys_id(request)}"),))
    if request.path != "/":
        return Response(status=404, headers=(("Content-Type", "text/plain; charset=utf-8"),), body=b"Not found\n")
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ("Cache-Control", "no-store"),
    )
    page = incident_page(glide, opened=request.query.get("open", ""))
    return Response(status=200, headers=headers, body=page.encode())


def incident_page(glide: Glide, *, opened: str = "") -> str:
    """Return the page, with the incident of the sys_id `opened` unfolded."""
    with glide.lock:
        incidents = glide.copies("incident")[::-1]
        rows = "".join(_incident(glide, row, is_open=row["sys_id"] == opened) for row in incidents)
        counts = "".join(_counts(glide, incidents))
    if not incidents:
        rows = '<div class="none"><strong>No incidents</strong>The first alert that fires will appear here.</div>'
    intro = f"<p>Newest first, reloads every {_REFRESH} s</p>"
    header = f'<header><h1>Incidents</h1>{intro}<div class="counts">{counts}</div></header>\n'
    table = f'<section class="list">\n{_COLUMNS if incidents else ""}{rows}</section>\n'
    return f"{_HEAD}{header}{table}</main>\n</body>\n</html>\n"


def _wanted_sys_id(request: Request) -> str:
    uri = urlsplit(request.query.get("uri", request.target))
    found = parse_qs(uri.query).get("sys_id", [""])[0]
    return found if found.isalnum() else ""


def _counts(glide: Glide, incidents: Iterable[Row]) -> Iterable[str]:
    states = [row["state"] for row in incidents]
    for value, label in glide.choices("incident", "state").items():
        if value in states:
            yield _state(value, f"{states.count(value)} {label}")


def _state(value: str, label: str) -> str:
    return f'<span class="state {_STATE_CLASSES.get(value, "closed")}">{escape(label)}</span>'


def _incident(glide: Glide, row: Row, *, is_open: bool) -> str:
    def shown(path: str) -> str:
        return escape(glide.display_value("incident", row, path))

    sys_id = escape(row["sys_id"])
    # No fragment: an address that has one is not loaded anew, and the reader would be pulled back to it every time.
    target = "/" if is_open else f"/?open={sys_id}"
    done = " done" if row["active"] != "true" or row["state"] == "6" else ""
    priority = escape(row["priority"])
    updated = escape(row["sys_updated_on"])
    cells = (
        f'<span class="number">{shown("number")}</span>'
        f"{_state(row['state'], glide.display_value('incident', row, 'state'))}"
        f'<span class="priority p{priority}">{shown("priority")}</span>'
        f'<span class="what">{shown("short_description") or "(no short description)"}</span>'
        f'<span class="ci">{shown("cmdb_ci") or "-"}</span>'
        f'<time class="when" datetime="{updated.replace(" ", "T")}Z" title="{updated} UTC">{updated[11:]}</time>'
    )
    inside = _inside(glide, row) if is_open else ""
    return (
        f'<details id="{sys_id}"{" open" if is_open else ""}>'
        f'<summary tabindex="-1"><a class="row{done}" href="{target}"{" autofocus" if is_open else ""}>{cells}</a>'
        f"</summary>{inside}</details>\n"
    )


_FACTS = (
    ("State", "state"),
    ("Impact", "impact"),
    ("Urgency", "urgency"),
    ("Configuration item", "cmdb_ci"),
    ("Assignment group", "assignment_group"),
    ("Opened (UTC)", ""),
    ("Opened by", "opened_by"),
    ("Correlation display", "correlation_display"),
    ("Correlation id", "correlation_id"),
    ("Sys id", "sys_id"),
    ("Close code", "close_code"),
    ("Close notes", "close_notes"),
)


def _inside(glide: Glide, row: Row) -> str:
    facts = (
        (label, glide.display_value("incident", row, path) if path else row["opened_at"]) for label, path in _FACTS
    )
    listed = "".join(f"<dt>{label}</dt><dd>{escape(value)}</dd>" for label, value in facts if value)
    entries = sorted(
        glide.journal(row["sys_id"]) + glide.journal(row["sys_id"], "comments"),
        key=lambda entry: entry["sys_created_on"],
    )
    journal = "".join(
        f"<li><b>{escape(glide.user_name(entry['sys_created_by']))}</b> "
        f"<span>{escape(entry['sys_created_on'])} UTC, {entry['element'].replace('_', ' ')}</span>"
        f"<pre>{escape(entry['value'])}</pre></li>"
        for entry in entries
    )
    return (
        f'<div class="inside"><h2>{escape(row["short_description"])}</h2>'
        f"<section><h3>Description</h3><pre>{escape(row['description']) or '-'}</pre></section>"
        f"<section><h3>Details</h3><dl>{listed}</dl></section>"
        f"<section><h3>Journal</h3><ol>{journal or '<li><span>Nothing yet</span></li>'}</ol></section></div>"
    )
