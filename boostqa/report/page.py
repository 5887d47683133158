"""One HTML page of what a warehouse holds, for a browser without a network: `report.html` below `output`.

Figures are tables whose cells are coloured and bars beside numbers: a screen reader reads them, and they follow dark mode.
Its numbers are those of `boostqa status --json` and the tables themselves. Its size does not grow with the tables'.
"""

import base64
import hashlib
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from boostqa.reasons import why_nothing
from boostqa.report import budget, contamination, controls, difficulty, heat_maps, probe_plots
from boostqa.report.side_by_side import story
from boostqa.report.status import quality_folder
from boostqa.report.stories import examples, stories
from boostqa.report.visible import cut, visible
from boostqa.rounds import of_round
from boostqa.storage.catalog import place_of
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.mlflow_runs import log_texts
from boostqa.vocabulary import ONLY_ROUND, STRATEGIES, Outcome
from udfs.files import write_text

PAGE = "report.html"
ITEMS, REJECTS_PER_RULE, PAIRS = 20, 3, 5
TEXT_CHARACTERS = 3000  # of a text on the page
_HERE = Path(__file__).parent / "html"
_LINE = ("plan", "draft", "refined", "clean", "mix")  # the tables through which an item goes


def place(output: str) -> str:
    """Where the page of an `output`, a folder or URI, lies."""
    return f"{output.rstrip('/')}/{PAGE}"


def collect(warehouse: Warehouse, status: dict[str, Any]) -> dict[str, Any]:
    """What the page shows: `status` (report/status.py) and, of the tables that were written, "probe", "budget",
    "contamination", "items", "rejects"."""
    probed = [r.asDict() for r in warehouse.rows("probe").drop("request_ids").collect()]
    planned = warehouse.exists("budget") and any(row["stage"] == "plan" for row in status["stages"])
    compared = warehouse.exists("contamination")
    return {
        "warehouse": str(place_of(warehouse.location)),
        "status": status,
        "probe": probed,
        "budget": budget.collect(warehouse) if planned else [],
        "contamination": contamination.collect(warehouse, None, PAIRS) if compared else None,
        "items": stories(warehouse, ITEMS),
        "rejects": examples(warehouse, REJECTS_PER_RULE),
    }


def write(output: str, facts: dict[str, Any]) -> str:
    """Write the page of what `collect` found below `output`, and show it in the active MLflow run; returns where it is."""
    page = render(facts)
    write_text(place(output), page)
    log_texts({PAGE: page})
    return place(output)


def render(facts: dict[str, Any]) -> str:
    """The page of what `collect` found; its links to the verdicts of each round hold below `output`."""
    script, style = ((_HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=FileSystemLoader(_HERE))
    page.filters |= {"cut": partial(cut, characters=TEXT_CHARACTERS), "visible": visible, "of_round": _of_round}
    status, drawn = facts["status"], probe_plots.trend(facts["probe"])
    rounds = sorted({row["round"] for row in status["gates"]})
    return page.get_template("report.html").render(
        **facts,
        script=Markup(script),
        style=Markup(style),
        nothing=_nothing(status),
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        steps=_steps(status),
        funnel=_funnel(status),
        heat_maps=heat_maps.of_probe(facts["probe"]),
        trend=Markup(drawn[drawn.index("<svg") :] if drawn else ""),
        budget_map=heat_maps.of_budget(facts["budget"]),
        aims=heat_maps.of_aims((status["difficulty"] or {}).get("aims", {})),
        about_difficulty=difficulty.sentences(status["difficulty"]) if status["difficulty"] else [],
        power=[(name, *_power(status["power"], name)) for name in sorted({r["round"] for r in status["power"]})],
        outcomes=[(o, Counter(g["outcome"] for g in status["gates"])[o]) for o in Outcome],
        failing=[g for g in status["gates"] if g["outcome"] != Outcome.HOLDS],
        verdicts=[(name, quality_folder("", name) / "verdicts.html") for name in rounds],
        stories=[(item, {k: v for k, v in story(item).items() if v}) for item in facts["items"]],
        choices=_choices(facts["items"], facts["rejects"]),
        per_rule=REJECTS_PER_RULE,
        counts=_rejected(status),
        only_round=ONLY_ROUND,
    )


def _of_round(row: dict[str, Any], what: str) -> str:
    return of_round(row["round"], row[what])


def _nothing(status: dict[str, Any]) -> str:
    """Why nothing is exported; empty where something is, or no mix was made yet."""
    blocked = any(gate["outcome"] == Outcome.BLOCKS for gate in status["gates"])
    empty = status["tables"].get("mix", {}).get("rows") == 0
    return why_nothing(status["gates"]) if blocked or empty else ""


def _steps(status: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages with `share`: what they kept of what they read or made."""
    return [row | {"share": row["kept"] / max(row["kept"] + row["rejected"], 1)} for row in status["stages"]]


def _funnel(status: dict[str, Any]) -> list[tuple[str, int, float]]:
    """(table, rows, share of the widest) of the tables through which an item goes."""
    rows = [(name, status["tables"][name]["rows"]) for name in _LINE if name in status["tables"]]
    most = max((n for _, n in rows), default=0)
    return [(name, n, n / most if most else 0.0) for name, n in rows]


def _power(power: list[dict[str, Any]], name: str) -> tuple[list[dict[str, Any]], list[str]]:
    own = [row for row in power if row["round"] == name]
    return controls.lines(own), controls.sentences(own)


def _rejected(status: dict[str, Any]) -> Counter[tuple[str, str]]:
    """(stage, rule) -> rows rejected in all rounds."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in status["stages"]:
        counts.update({(row["stage"], rule): n for rule, n in row["rejected_by_rule"].items()})
    return counts


def _choices(
    items: list[dict[str, Any]], rejects: list[dict[str, Any]]
) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """(label, attribute, [(value, what is shown)]) of each filter over the items."""
    fields = sorted({(i["discipline"], f"{i['discipline']} {i['name']}") for i in items})
    levels = sorted({i["labels"]["difficulty"] for i in items if i["labels"]})
    fates = sorted({i["fate"] for i in items} | {f"{r['stage']}: {r['rule']}" for r in rejects})
    return [
        ("Discipline", "discipline", fields),
        ("Measured difficulty", "difficulty", [(level, level) for level in levels]),
        ("Strategy", "strategy", [(s, s) for s in STRATEGIES if any(i["strategy"] == s for i in items)]),
        ("What became of it", "fate", [(f, f) for f in fates]),
    ]
