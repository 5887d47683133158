"""Verdicts as one HTML page that needs nothing but itself: suites, results, failing examples, controls."""

from collections import Counter
from typing import Any

from jinja2 import Environment

from boostqa.reasons import by_weight, sentence
from boostqa.stages.power import JUDGE, LINE, VOTER
from boostqa.vocabulary import Defect, GateName, Outcome
from udfs.files import write_text

PAGE = Environment(autoescape=True, trim_blocks=True).from_string("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>BoostQA verdicts: {{ counts[blocks] }} of {{ total }} gates block</title>
<style>
:root { color-scheme: light dark; --good: #14632f; --warn: #8a5a00; --bad: #a11212; --line: #d5dce4 }
@media (prefers-color-scheme: dark) { :root { --good: #6fcf97; --warn: #e5b35c; --bad: #ff8f8f; --line: #313c47 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
@media (prefers-color-scheme: dark) { body { background: #12171d; color: #e4e9ee } }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0 2rem }
caption { text-align: left; font-weight: 600; padding: .4rem 0 }
th { white-space: nowrap }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
.verdicts td:nth-child(2), .verdicts td:nth-child(3), td.number { white-space: nowrap }
.verdicts td:nth-child(4) { min-width: 20rem }
.verdicts td:nth-child(1) { min-width: 18rem }
td.number { text-align: right }
code { font-size: .85em }
.holds { color: var(--good) }
.warns { color: var(--warn); font-weight: 600 }
.quarantined, .blocks { color: var(--bad); font-weight: 600 }
</style></head>
<body>
<h1>Verdicts of the quality gates</h1>
<p class="{{ verdict }}">
{% for outcome in outcomes %}{{ counts[outcome] }} {{ outcome }}{{ ", " if not loop.last }}{% endfor %}:
{{ "nothing is exported, the pipeline stops here." if counts[blocks] else "the mix reads what is left." }}
{{ left }}</p>
{% if failing %}
<ul>
{% for v in failing %}
<li><span class="{{ v.outcome }}">{{ v.outcome }}</span> {{ v.table }}: {{ v.gate }}: {{ v.observed }}</li>
{% endfor %}
</ul>
{% endif %}
{% for title, part in power if part %}
{% if not loop.first %}<details><summary>Check by check</summary>{% endif %}
<table>
<caption>{{ title }}</caption>
<thead><tr>{% for name in ("check", "defect", "passed", "of", "share", "95% interval", "guessing", "model") %}
<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for p in part %}
<tr><td>{{ p.check }}</td><td>{{ p.defect }}</td><td class="number">{{ p.passed }}</td>
<td class="number">{{ p["items"] }}</td><td class="number">{{ "%.0f%%" | format(100 * p.share) }}</td>
<td class="number">{{ "%.0f%% to %.0f%%" | format(100 * p.wilson_low, 100 * p.wilson_high) }}</td>
<td class="number">{{ "%.0f%%" | format(100 * p.chance) if p.chance is not none }}</td><td>{{ p.model or "" }}</td></tr>
{% endfor %}
</tbody></table>
{% if not loop.first %}</details>{% endif %}
{% endfor %}
{% for (table, gate), rows in examples.items() %}
<table>
<caption>{{ table }}: {{ gate }}: rows that made it fail (at most {{ rows | length }} shown)</caption>
<thead><tr><th scope="col">key</th><th scope="col">evidence</th></tr></thead>
<tbody>
{% for key, evidence in rows %}
<tr><td><code>{{ key }}</code></td><td>{{ evidence }}</td></tr>
{% endfor %}
</tbody></table>
{% endfor %}
{% for table, rows in tables.items() %}
<table class="verdicts">
<caption>{{ table }}: {{ rows | rejectattr("success") | list | length }} of {{ rows | length }} gates failed</caption>
<thead><tr>{% for name in ("gate", "outcome", "severity", "observed", "expected", "version") %}
<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for v in rows %}
<tr><td>{{ v.gate }}</td><td class="{{ v.outcome }}">{{ v.outcome }}</td><td>{{ v.severity }}</td>
<td>{{ v.observed }}</td><td>{{ v.expected }}</td><td>{{ v.version }}</td></tr>
{% endfor %}
</tbody></table>
{% endfor %}
</body></html>
""")


def page(
    verdicts: list[dict[str, Any]], examples: dict[tuple[str, str], list[tuple[str, str]]], power: list[dict[str, Any]]
) -> str:
    """VERDICT rows, `examples` of failing rows ((table, gate) -> key and evidence) and POWER rows as one HTML page: what
    changes the export first."""
    tables: dict[str, list[dict[str, Any]]] = {}
    ranked = by_weight(verdicts)
    for verdict in ranked:
        tables.setdefault(verdict["table"], []).append(verdict)
    left = " ".join(sentence(v) for v in ranked if v["gate"] == GateName.MIN_ROWS)
    whole = {LINE: 0, VOTER: 1, JUDGE: 2}
    of_line = sorted(
        (p for p in power if p["check"] in whole), key=lambda p: (whole[p["check"]], p["defect"] != Defect.NONE)
    )
    controls = [
        (
            "Controls: known items that came through the line (defect none: good ones, which should), voter and judge",
            of_line,
        ),
        ("Controls: what each check made of them", [p for p in power if p["check"] not in whole]),
    ]
    return PAGE.render(
        tables=tables, total=len(verdicts), verdict=ranked[0]["outcome"], left=left,
        counts=Counter(v["outcome"] for v in verdicts), outcomes=list(Outcome),
        blocks=Outcome.BLOCKS, failing=[v for v in ranked if not v["success"]], examples=examples, power=controls,
    )  # fmt: skip


def copy_to(folder: str, page: str) -> None:
    """Write the page into a folder on any file system, as `verdicts.html`."""
    write_text(f"{folder}/verdicts.html", page)
