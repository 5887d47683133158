"""What the tables say: the last run of each stage, every table, and the story of one item."""

from pathlib import Path
from typing import Any

from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.errors import ConfigError
from boostqa.schemas import STAGES, TABLES
from boostqa.tables import Warehouse


def collect(warehouse: Warehouse) -> dict[str, Any]:
    """{"stages": last execution of each stage in line order, "tables": version, rows and content hash, "gates": verdicts}.

    Raises ConfigError when nothing was run into this warehouse.
    """
    if not warehouse.exists("run"):
        raise ConfigError(f"no run in warehouse {warehouse.location}: start one with `boostqa run --config ...`")
    runs = warehouse.read("run")
    last = runs.groupBy("stage").agg(F.max_by(F.struct(*runs.columns), "finished_at").alias("last")).select("last.*")
    stages = sorted((r.asDict(recursive=True) for r in last.collect()), key=lambda r: STAGES.index(r["stage"]))
    for row in stages:
        row["finished_at"] = row["finished_at"].isoformat()
        row["tokens_per_second"] = row["generated_tokens"] / row["engine_seconds"] if row["engine_seconds"] else None
    tables = {}
    for name in TABLES:
        if name != "run" and warehouse.exists(name):
            written, _ = warehouse.measure(name)
            tables[name] = {"version": written.version, "rows": written.rows, "hash": written.hash}
    gates = []
    if warehouse.exists("verdict"):
        gates = [r.asDict() for r in warehouse.read("verdict").orderBy("success", "table", "gate").collect()]
    return {"stages": stages, "tables": tables, "gates": gates}


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what `collect` found as two tables and a line of gates."""
    grid = Grid("stage", "in", "fan-out", "kept", "rejected", "requests", "reused", "prompt tok", "gen tok", "tok/s", "engines", "s")
    for column in grid.columns[1:]:
        column.justify = "right"
    names = ("rows_in", "fan_out", "kept", "rejected", "requests", "reused", "prompt_tokens", "generated_tokens")
    for row in facts["stages"]:
        rate = f"{row['tokens_per_second']:.0f}" if row["tokens_per_second"] else "-"
        grid.add_row(row["stage"], *(str(row[n]) for n in names), rate, str(row["engine_starts"]), f"{row['seconds']:.0f}")
    console.print(grid)
    for row in facts["stages"]:
        if row["rejected_by_rule"]:
            rules = ", ".join(f"{rule} {n}" for rule, n in sorted(row["rejected_by_rule"].items()))
            console.print(f"rejected by {row['stage']}: {rules}", highlight=False)
    grid = Grid("table", "version", "rows", "content hash")
    for name, table in facts["tables"].items():
        grid.add_row(name, str(table["version"]), str(table["rows"]), table["hash"])
    console.print(grid)
    failed = [g for g in facts["gates"] if not g["success"]]
    if facts["gates"]:
        console.print(f"gates: {len(facts['gates']) - len(failed)} hold, {len(failed)} fail", highlight=False)
    for gate in failed:
        console.print(f"  FAILED {gate['table']}: {gate['gate']}: observed {gate['observed']}, expected {gate['expected']}", style="red")


def where_to_look(output: Path, tracking: str) -> list[str]:
    """Lines that say what a run left and how to open it; only what exists."""
    places = {
        "mix": (output / "mix", "pandas.read_parquet('{}')"),
        "dataset card": (output / "mix" / "README.md", "{}"),
        "verdicts": (output / "quality" / "verdicts.html", "open {} in a browser"),
    }
    lines = [f"{name + ':':14}{how.format(path)}" for name, (path, how) in places.items() if path.exists()]
    return [*lines, f"{'MLflow:':14}{tracking}"]


def explain(warehouse: Warehouse, item: str) -> dict[str, Any]:
    """Every row that tells of a draft, by table. Raises ConfigError when no draft's id starts with `item`."""
    drafts = warehouse.read("draft").where(F.col("draft_id").startswith(item)).limit(2).collect()
    if len(drafts) != 1:
        raise ConfigError(f"{'no draft' if not drafts else 'more than one draft'} has an id that starts with {item!r}")
    draft = drafts[0].asDict(recursive=True)
    keys = {
        "mix": ("draft_id", draft["draft_id"]),
        "clean": ("draft_id", draft["draft_id"]),
        "refined": ("draft_id", draft["draft_id"]),
        "contamination": ("draft_id", draft["draft_id"]),
        "annotation": ("item_id", draft["draft_id"]),
        "reject": ("key", draft["draft_id"]),
        "completion": ("request_id", draft["request_id"]),
        "plan": ("plan_id", draft["plan_id"]),
        "seed": ("seed_id", draft["seed_id"]),
    }
    story: dict[str, Any] = {"draft": draft}
    for table, (column, value) in keys.items():
        if warehouse.exists(table):
            rows = warehouse.read(table).where(F.col(column) == value).collect()
            story[table] = [r.asDict(recursive=True) for r in rows]
    return story
