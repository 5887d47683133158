"""What kept tokens will cost: measured rounds from the tables, rates and prices from a file."""

from collections import defaultdict
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table as Grid

from boostqa.config.hardware import Hardware
from boostqa.errors import ConfigError
from boostqa.forecast import (
    Cost,
    Forecast,
    Interval,
    Measured,
    Total,
    forecast,
    gpu_hours,
    requests_for,
    together,
    total,
)
from boostqa.stages import quarantine, withdrawal
from boostqa.storage.warehouse import Warehouse
from boostqa.tracking.stage_run import last_runs
from boostqa.vocabulary import ItemTable

_SHARED = ("seed", "annotate")  # stages whose rejects are of no round
# Tables whose `request_ids` are of an item's own requests, by the column that names the item.
REQUEST_TABLES = {
    "refined": "draft_id",
    "student": "draft_id",
    "rubric": "draft_id",
    "annotation": "item_id",
    "reject": "key",
}


def _references(warehouse: Warehouse) -> DataFrame:
    """[round, per, request_id] of the completions that rows of the tables refer to, each once a round."""
    request_id = F.explode("request_ids").alias("request_id")
    label = warehouse.rows("annotation")
    reject = warehouse.rows("reject")

    def of(rows: DataFrame, per: Column, request: Column = request_id) -> DataFrame:
        return rows.select("round", per.alias("per"), request)

    by_table = F.when(F.col("item_table") == ItemTable.SEED, "seed").when(
        F.col("item_table") == ItemTable.DRAFT, "request"
    )
    by_stage = (
        F.when(F.col("stage").isin(*_SHARED), "seed").when(F.col("stage") == "probe", "round").otherwise("request")
    )
    parts = [
        of(warehouse.rows("draft"), F.lit("request"), F.col("request_id")),
        of(warehouse.rows("refined"), F.lit("request")),
        of(warehouse.rows("student"), F.lit("request")),
        of(warehouse.rows("rubric"), F.lit("request")),
        of(label, F.coalesce(by_table, F.lit("round"))),
        of(reject, by_stage),
        of(warehouse.rows("probe"), F.lit("round")),
        of(warehouse.rows("control"), F.lit("round")),
    ]
    # What a control and a draft share is the round's: it is asked for once, whatever the plan.
    return reduce(DataFrame.unionByName, parts).groupBy("round", "request_id").agg(F.max("per").alias("per"))


def _costs(warehouse: Warehouse) -> dict[str, list[Cost]]:
    """Costs by round; the labels of seeds under the empty one."""
    paid = warehouse.rows("completion").select(
        *("request_id", "stage", "model", "generated_tokens"),
        (F.col("prompt_tokens") - F.col("cached_tokens")).alias("read"),
    )
    rows = _references(warehouse).join(paid, "request_id", "inner")  # paid: unique by request_id
    sums = [F.count("*").alias("n")]
    sums += [F.sum(F.col(c) ** power).alias(f"{c}{power}") for c in ("read", "generated_tokens") for power in (1, 2)]
    found: dict[str, list[Cost]] = defaultdict(list)
    for r in rows.groupBy("round", "stage", "model", "per").agg(*sums).collect():
        totals = (
            Total(r["n"], r["n"]),
            Total(r["read1"], r["read2"]),
            Total(r["generated_tokens1"], r["generated_tokens2"]),
        )
        found[r["round"]].append(Cost(r["stage"], r["model"], r["per"], *totals))
    return found


def collect(warehouse: Warehouse) -> dict[str, Measured]:
    """Round -> what it took and gave, of the rounds that were cleaned, in their order. Raises ConfigError without one."""
    last = last_runs(warehouse)
    cleaned = [name for name, stage in last if stage == "plan" and (name, "clean") in last]
    if not cleaned:
        raise ConfigError(
            f"no round in warehouse {warehouse.location} has got to clean: run a small first round, a pilot"
        )
    left, _ = quarantine.split(warehouse.read("clean"), warehouse.rows("quarantine"))
    left = withdrawal.left(left, warehouse.rows("withdrawal"))
    kept = left.select("round", "plan_id", "tokens")  # unique by plan_id
    planned = warehouse.read("plan").join(kept, ["round", "plan_id"], "left")
    by_seed = planned.groupBy("round", "seed_id").agg(
        F.count("*").alias("n"), F.coalesce(F.sum("tokens"), F.lit(0)).alias("t")
    )
    made = by_seed.groupBy("round").agg(
        F.sum("n").alias("n"), F.sum("t").alias("t"), F.sum(F.col("t") ** 2).alias("t2")
    )
    bore = warehouse.read("budget").groupBy("round").agg(F.sum("questions").alias("q"))
    rows = {r["round"]: r for r in made.join(bore, "round", "inner").collect()}  # both unique by round
    seeds = warehouse.read("annotation").where(F.col("item_table") == ItemTable.SEED).count()
    costs = _costs(warehouse)
    return {
        name: Measured(1, r["n"], seeds, r["q"], Total(float(r["t"]), float(r["t2"])), (*costs[name], *costs[""]))
        for name in cleaned
        if (r := rows.get(name))
    }


def predict(measured: Measured, tokens: float, hardware: Hardware | None) -> dict[str, Any]:
    """{"kept_tokens", "requests" of the plan, "stages": what each asks of each model, with GPU-hours and cost where
    `hardware` tells the rates of all models, "gpu_hours", "cost", "currency"}; intervals as [low, middle, high]. Raises
    ConfigError where nothing was kept."""
    try:
        parts = forecast(measured, tokens)
    except ValueError:
        raise ConfigError(
            "nothing can be forecast: of what was measured nothing is left for the mix; see why: boostqa status"
        ) from None
    hours = {part[:2]: _hours(part, hardware) for part in parts}
    stages = [part._asdict() | {"gpu_hours": hours[part[:2]]} for part in parts]
    facts: dict[str, Any] = {"kept_tokens": tokens, "requests": requests_for(measured, tokens), "stages": stages}
    if hardware and (known := [h for h in hours.values() if h]) and len(known) == len(parts):
        everything = total(known)
        price = hardware.price_per_gpu_hour
        cost = Interval(*(h * price for h in everything)) if price is not None else None
        facts |= {"gpu_hours": everything, "cost": cost, "currency": hardware.currency}
    return facts


def _hours(part: Forecast, hardware: Hardware | None) -> Interval | None:
    rate = hardware.models.get(part.model) if hardware else None
    return gpu_hours(part, rate.prompt_tokens_per_second, rate.generated_tokens_per_second, rate.gpus) if rate else None


def against(rounds: dict[str, Measured]) -> dict[str, Any]:
    """What the rounds before the last one forecast for its kept tokens, and what it took: {"round", "kept_tokens", "rows":
    stage, model, what, forecast, actual, within}. Raises ConfigError with fewer than two rounds."""
    *before, last = rounds
    if not before:
        raise ConfigError(f"--actual sets a round against those before it, and {last} is the only one that was made")
    actual = rounds[last]
    said = predict(together([rounds[name] for name in before]), actual.kept.sum or 1.0, None)
    took: dict[tuple[str, str], list[float]] = {}
    for cost in (c for c in actual.costs if c.per != "seed"):
        sums = [t.sum for t in cost[3:]]
        took[cost[:2]] = [a + b for a, b in zip(took.get(cost[:2], [0.0] * 3), sums, strict=True)]
    rows = [("plan", "", "requests", said["requests"], float(actual.requests))]
    for part in (s for s in said["stages"] if s["stage"] not in _SHARED):
        names = ("requests", "prompt_tokens", "generated_tokens")
        values = took.get((part["stage"], part["model"]), [0.0] * 3)
        rows += [
            (part["stage"], part["model"], name, part[name], value) for name, value in zip(names, values, strict=True)
        ]
    columns = ("stage", "model", "what", "forecast", "actual")
    shown = [dict(zip(columns, row, strict=True)) | {"within": row[3].low <= row[4] <= row[3].high} for row in rows]
    return {"round": last, "kept_tokens": actual.kept.sum, "rows": shown}


def _figure(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def _shown(interval: Interval | None) -> str:
    return (
        "" if interval is None else f"{_figure(interval.middle)} ({_figure(interval.low)} to {_figure(interval.high)})"
    )


def show(facts: dict[str, Any], console: Console) -> None:
    """Print a forecast: a row for each stage and model, 80% intervals in brackets."""
    grid = Grid("stage", "model", "requests", "prompt tokens", "generated tokens", "GPU-hours")
    for part in facts["stages"]:
        figures = ("requests", "prompt_tokens", "generated_tokens", "gpu_hours")
        grid.add_row(part["stage"], part["model"], *(_shown(part[name]) for name in figures))
    console.print(grid)
    console.print(
        f"{_figure(facts['kept_tokens'])} kept tokens: {_shown(facts['requests'])} requests of the plan; 80% intervals, prompt "
        "tokens without those from the prefix cache",
        highlight=False,
    )
    if facts.get("gpu_hours"):
        cost = f", {_shown(facts['cost'])} {facts['currency']}" if facts["cost"] else ""
        console.print(f"GPU-hours: {_shown(facts['gpu_hours'])}{cost}", highlight=False)
    elif any(part["gpu_hours"] is None for part in facts["stages"]):
        console.print("GPU-hours: name the rates of every model in a file, --hardware FILE", highlight=False)


def show_actual(facts: dict[str, Any], console: Console) -> None:
    """Print what was forecast for the last round beside what happened."""
    grid = Grid("stage", "model", "what", "forecast (80%)", "actual", "within")
    for row in facts["rows"]:
        names = (row["stage"], row["model"], row["what"])
        grid.add_row(*names, _shown(row["forecast"]), _figure(row["actual"]), "yes" if row["within"] else "no")
    console.print(grid)
    hits = sum(row["within"] for row in facts["rows"])
    console.print(
        f"round {facts['round']}, {_figure(facts['kept_tokens'])} kept tokens: {hits} of {len(facts['rows'])} within",
        highlight=False,
    )
