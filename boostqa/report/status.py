"""What the tables say: the last run of each stage, every table, where the tokens went, and where to look further."""

import textwrap
from collections import Counter
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.errors import ConfigError
from boostqa.reasons import by_weight, why_nothing
from boostqa.report import controls, difficulty
from boostqa.report.token_usage import COST
from boostqa.rounds import of_round
from boostqa.schemas import TABLES
from boostqa.stages.quarantine import states
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import last_runs
from boostqa.vocabulary import ONLY_ROUND, ROUND_STAGES, STAGES, Cause, Outcome


def collect(warehouse: Warehouse) -> dict[str, Any]:
    """{"stages": last execution of each stage in order, "tables": version, rows and content hash (null where no stage
    recorded it), "gates": verdicts, what changes the export first, "quarantine": items by gate and state, "power": what
    the checks are worth, "difficulty": aimed and measured (report/difficulty.py), "kept_tokens": tokens of the mix under the target tokenizer, "token_usage": where the tokens
    went, if written}.

    Raises ConfigError when nothing was run into this warehouse.
    """
    stages = _in_order(last_runs(warehouse))
    if not stages:
        raise ConfigError(f"no run in warehouse {warehouse.location}: start one with `boostqa run --config ...`")
    for row in stages:
        row["finished_at"] = row["finished_at"].isoformat()
        row["tokens_per_second"] = (
            row["generated_tokens"] / row["generation_seconds"] if row["generation_seconds"] else None
        )
    tables = _tables(warehouse, [n for n in TABLES if n != "run" and warehouse.exists(n)], stages)
    gates = []
    if warehouse.exists("verdict"):
        gates = by_weight([r.asDict() for r in warehouse.read("verdict").collect()])
    held = []
    if warehouse.exists("quarantine"):
        counts = states(warehouse.read("quarantine")).groupBy("gate", "event").count().orderBy("gate", "event")
        held = [{"gate": r["gate"], "state": r["event"], "items": r["count"]} for r in counts.collect()]
    power = []
    if warehouse.exists("power"):
        power = [r.asDict() for r in warehouse.read("power").orderBy("check", "defect").collect()]
    once = F.when((F.col("pass") == 1) & (F.size("draft_ids") > 0), F.col("tokens"))
    kept = warehouse.read("mix").agg(F.sum(once)).first() if warehouse.exists("mix") else None
    facts: dict[str, Any] = {"stages": stages, "tables": tables, "gates": gates, "quarantine": held, "power": power}
    facts["kept_tokens"] = int(kept[0] or 0) if kept else 0
    facts["difficulty"] = difficulty.collect(warehouse)
    usage = _token_usage(warehouse)
    return facts | {"token_usage": usage} if usage else facts


def _in_order(last: dict[tuple[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """RUN rows: what serves all rounds, each round in the order in which they were probed, the mix."""
    began = [name for name, stage in last if stage == ROUND_STAGES[0]]
    places = {name: began.index(name) for name in began}

    def place(row: dict[str, Any]) -> tuple[int, int]:
        last = len(began) + 1 if row["stage"] == STAGES[-1] else -1
        first = places.get(row["round"], len(began)) if row["stage"] in ROUND_STAGES else last
        return first, STAGES.index(row["stage"])

    return sorted(last.values(), key=place)


def _tables(warehouse: Warehouse, names: list[str], stages: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Version, rows (from the tables' statistics, in one query) and content hash as the stages recorded it, which reads no
    row; null of a table that nobody measures, and of one that was written since."""
    versions = {n: warehouse.version(n) for n in names}
    counts = [warehouse.read(n).agg(F.lit(n).alias("table"), F.count("*").alias("rows")) for n in names]
    rows = {r["table"]: r["rows"] for r in reduce(DataFrame.unionByName, counts).collect()} if counts else {}
    return {n: {"version": versions[n], "rows": rows[n], "hash": _hash(n, versions[n], stages)} for n in names}


def _hash(name: str, version: int, stages: list[dict[str, Any]]) -> str | None:
    wrote = [row for row in stages if name in row["hashes"]]
    if not TABLES[name].by_round:  # who wrote last measured it whole
        wrote = sorted(wrote, key=lambda row: row["outputs"][name])[-1:]
    if not wrote or max(row["outputs"][name] for row in wrote) != version:
        return None
    # What stages wrote into one table are parts of it, and their hashes add up.
    return format(sum(int(row["hashes"][name] or "0", 16) for row in wrote) & (2**64 - 1), "016x")


def _token_usage(warehouse: Warehouse) -> dict[str, Any] | None:
    """{"causes": [cause, completions, prompt_tokens, cached_tokens, tokens, share], most generated tokens first;
    "stages": the same by the stage that asked, in order; "outside": completions, prompt_tokens and tokens of the ledger
    that it does not hold: of earlier confs, of other recipes, or asked after it was written}; None where not written.

    A completion with thinking counts among its stage's once.
    """
    if not warehouse.exists("token_usage"):
        return None
    usage, summed = warehouse.read("token_usage"), ("prompt_tokens", "cached_tokens", "tokens", "share")
    answered = F.when(F.col("cause") != Cause.THINKING, F.col("completions")).otherwise(0)
    sums = [F.sum(name).alias(name) for name in summed]
    causes = usage.groupBy("cause").agg(F.sum("completions").alias("completions"), *sums)
    stages = usage.groupBy("stage").agg(F.sum(answered).alias("completions"), *sums)
    paid = warehouse.read("completion").where(COST)
    held = paid.agg(
        F.count("*").alias("completions"),
        F.sum("prompt_tokens").alias("prompt_tokens"),
        F.sum("generated_tokens").alias("tokens"),
    ).first()
    assert held is not None
    by_cause = [r.asDict() for r in causes.orderBy(F.desc("tokens"), F.desc("prompt_tokens"), "cause").collect()]
    by_stage = sorted((r.asDict() for r in stages.collect()), key=lambda r: STAGES.index(r["stage"]))
    counted = {name: sum(r[name] for r in by_stage) for name in ("completions", "prompt_tokens")}
    counted["tokens"] = sum(r["tokens"] for r in by_cause if r["cause"] != Cause.RETRY)
    outside = {name: (held[name] or 0) - n for name, n in counted.items()}
    return {"causes": by_cause, "stages": by_stage, "outside": outside}


def show(facts: dict[str, Any], console: Console) -> None:
    """Print what `collect` found as tables and a line of gates."""
    grid = Grid(
        "stage",
        "in",
        "fan-out",
        "kept",
        "rejected",
        "requests",
        "reused",
        "prompt tok",
        "gen tok",
        "tok/s",
        "engines",
        "s",
    )
    for column in grid.columns[1:]:
        column.justify = "right"
    names = ("rows_in", "fan_out", "kept", "rejected", "requests", "reused", "prompt_tokens", "generated_tokens")
    for row in facts["stages"]:
        rate = f"{row['tokens_per_second']:.0f}" if row["tokens_per_second"] else "-"
        grid.add_row(
            of_round(row["round"], row["stage"]),
            *(str(row[n]) for n in names),
            rate,
            str(row["engine_starts"]),
            f"{row['seconds']:.0f}",
        )
    console.print(grid)
    for row in facts["stages"]:
        if row["rejected_by_rule"]:
            _print_items(f"rejected by {of_round(row['round'], row['stage'])}: ", row["rejected_by_rule"], console)
    grid = Grid("table", "version", "rows", "content hash")
    for name, table in facts["tables"].items():
        grid.add_row(name, str(table["version"]), str(table["rows"]), table["hash"] or "-")
    console.print(grid)
    generated = sum(row["generated_tokens"] for row in facts["stages"])
    console.print(
        f"tokens: {generated} generated by these runs, {facts['kept_tokens']} kept in the mix", highlight=False
    )
    if "token_usage" in facts:
        _show_token_usage(facts["token_usage"], console)
    difficulty.show(facts.get("difficulty"), console)
    power = facts.get("power", [])
    for name in (rounds := sorted({row["round"] for row in power})):
        if len(rounds) > 1:
            console.print(f"controls of round {name}", highlight=False, markup=False)
        controls.show([row for row in power if row["round"] == name], console)
    _show_gates(facts, console)


def show_not_current(stale: dict[str, str] | None, console: Console) -> None:
    """Print which stages are not current and why; nothing where nobody looked."""
    if stale == {}:
        console.print("every stage is current", highlight=False)
    for stage, why in (stale or {}).items():
        console.print(f"not current: {stage}: {why}", style="yellow", markup=False, highlight=False)


def _show_gates(facts: dict[str, Any], console: Console) -> None:
    """Verdicts by outcome (of all rounds) and what is held back, each in a line; every gate that fails; and why nothing is
    exported."""
    if not facts["gates"]:
        return
    by_outcome = Counter(g["outcome"] for g in facts["gates"])
    console.print("gates: " + ", ".join(f"{by_outcome[o]} {o}" for o in Outcome), highlight=False)
    by_state: Counter[str] = Counter()
    for q in facts["quarantine"]:
        by_state[q["state"]] += q["items"]
    if by_state:
        told = ", ".join(f"{n} {state}" for state, n in sorted(by_state.items()))
        console.print(f"quarantine (items and gates): {told}: boostqa quarantine list", highlight=False)
    for gate in facts["gates"]:
        if gate["outcome"] != Outcome.HOLDS:
            wanted = f"{gate['observed']} (wanted: {gate['expected']})"
            style = "red" if gate["outcome"] == Outcome.BLOCKS else "yellow"
            where = of_round(gate["round"], gate["table"])
            console.print(f"  {gate['outcome']} {where}: {gate['gate']}: {wanted}", style=style, markup=False)
    blocked = any(g["outcome"] == Outcome.BLOCKS for g in facts["gates"])
    if not blocked and facts["tables"].get("mix", {}).get("rows") == 0:
        console.print(f"nothing is exported: {why_nothing(facts['gates'])}", style="red", markup=False)


def _print_items(beginning: str, counts: dict[str, int], console: Console) -> None:
    """One line that breaks between its items only."""
    items = ", ".join(f"{name}\N{NO-BREAK SPACE}{n}" for name, n in sorted(counts.items()))
    lines = textwrap.fill(beginning + items, console.width, subsequent_indent="  ", break_long_words=False)
    console.print(lines.replace("\N{NO-BREAK SPACE}", " "), highlight=False, soft_wrap=True)


def _show_token_usage(usage: dict[str, Any], console: Console) -> None:
    grid = Grid("where the tokens went", "completions", "prompt", "cached", "generated", "share")
    for column in grid.columns[1:]:
        column.justify = "right"
    names = ("prompt_tokens", "cached_tokens", "tokens")

    def add(name: str, completions: str, row: dict[str, Any]) -> None:
        grid.add_row(name, completions, *(str(row[n]) for n in names), f"{row['share']:.1%}")

    for row in usage["causes"]:
        add(row["cause"], str(row["completions"]), row)
    grid.add_section()
    for row in usage["stages"]:
        add(f"asked by {row['stage']}", str(row["completions"]), row)
    grid.add_section()
    totals = {name: sum(row[name] for row in usage["causes"]) for name in (*names, "share")}
    add("all", "", totals)
    console.print(grid)
    outside = usage["outside"]
    if outside["completions"] > 0:
        console.print(
            f"not in it: {outside['tokens']} generated and {outside['prompt_tokens']} prompt tokens of "
            f"{outside['completions']} completions in the ledger that no row of the present tables refers to "
            "(earlier confs, other recipes)",
            highlight=False,
        )


def quality_folder(output: str, name: str) -> Path:
    """Where Great Expectations' files and the page of verdicts of a round go on this machine: `output`, or the folder "output"
    where that is a URI, which job 8 then gives the page, too."""
    folder = Path("output" if "://" in output else output) / "quality"
    return folder if name == ONLY_ROUND else folder / name


def where_to_look(output: str, rounds: Iterable[str], tracking: str) -> list[str]:
    """Lines that say what a run left and how to open it; of local files only what exists."""
    mix, needs = Path(output) / "mix", "open {} in a browser (needs no network)"
    places = [
        ("report", Path(output) / "report.html", needs),
        ("mix", mix / "parquet", "pandas.read_parquet('{}')"),
        ("dataset card", mix / "README.md", "{}"),
        *(("verdicts", quality_folder(output, name) / "verdicts.html", needs) for name in rounds),
    ]
    lines = [
        f"{name + ':':14}{how.format(path)}"
        for name, path, how in places
        if path.is_file() or (path.is_dir() and any(path.iterdir()))
    ]
    if "://" in output:
        lines.append(f"{'output:':14}{output}: report.html, mix, quality")
    return [*lines, f"{'MLflow:':14}{tracking}"]
