"""Verdicts as one HTML page that needs nothing but itself: Data Docs load their styles from the network."""

from typing import Any

from jinja2 import Environment

PAGE = Environment(autoescape=True, trim_blocks=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>BoostQA verdicts: {{ failed }} of {{ total }} gates failed</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem }
caption { text-align: left; font-weight: 600; padding: .4rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #d5dce4; overflow-wrap: anywhere }
th, td:nth-child(2), td:nth-child(5) { white-space: nowrap }
td:nth-child(1) { min-width: 24rem }
.holds { color: #14632f }
.FAILED { color: #a11212; font-weight: 600 }
</style></head>
<body>
<h1>Verdicts of the quality gates</h1>
<p class="{{ "FAILED" if failed else "holds" }}">{{ failed }} of {{ total }} gates failed:
{{ "the pipeline stops here." if failed else "the mix may read these versions." }}</p>
{% for table, rows in tables.items() %}
<table>
<caption>{{ table }}: {{ rows | rejectattr("success") | list | length }} of {{ rows | length }} gates failed</caption>
<thead><tr>{% for name in ("gate", "verdict", "observed", "expected", "version") %}
<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for v in rows %}
{% set word = "holds" if v.success else "FAILED" %}
<tr><td>{{ v.gate }}</td><td class="{{ word }}">{{ word }}</td><td>{{ v.observed }}</td><td>{{ v.expected }}</td>
<td>{{ v.version }}</td></tr>
{% endfor %}
</tbody></table>
{% endfor %}
</body></html>
""")


def page(verdicts: list[dict[str, Any]]) -> str:
    """VERDICT rows as one HTML page: tables with failures first, and failed gates first in each."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for verdict in sorted(verdicts, key=lambda v: v["success"]):
        tables.setdefault(verdict["table"], []).append(verdict)
    return PAGE.render(tables=tables, failed=sum(not v["success"] for v in verdicts), total=len(verdicts))
