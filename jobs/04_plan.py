"""Job 4, plan: turns what the checkpoint lacks into tokens per cell and requests, for what earlier rounds have left."""

from typing import Any

from pyspark.sql import functions as F

from boostqa.console import CONSOLE
from boostqa.errors import ConfigError
from boostqa.pipeline import submit
from boostqa.rounds import wanted_tokens
from boostqa.schemas import BUDGET
from boostqa.stages import budget, plan, quarantine, withdrawal
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable
from boostqa.yields import LEVELS

READS = ("annotation", "seed", "probe")
READS_EARLIER = ("plan", "clean", "quarantine", "novelty", "budget")
WRITES = ("budget", "plan")


def measured(stage: StageRun) -> list[dict[str, Any]]:
    """What the requests of the rounds before have left for the mix, by kind: [*LEVELS, requests, tokens, squares]."""
    left, _ = quarantine.split(stage.read_earlier("clean"), stage.read_earlier("quarantine"))
    left = withdrawal.left(left, stage.warehouse.rows("withdrawal"))
    kept = left.select("plan_id", F.col("tokens").cast("long").alias("kept"))  # unique by plan_id: one draft a request
    rows = stage.read_earlier("plan").join(kept, "plan_id", "left").withColumn("kept", F.coalesce("kept", F.lit(0)))
    sums = (F.count("*").alias("requests"), F.sum("kept").alias("tokens"), F.sum(F.col("kept") ** 2).alias("squares"))
    return [r.asDict() for r in rows.groupBy(*LEVELS).agg(*sums).collect()]


def novelty_before(stage: StageRun) -> list[dict[str, Any]]:
    """What the rounds before found new in each cell, in their order: NOVELTY rows with the budget's `seeds`."""
    cell = ["round", "discipline", "difficulty"]
    seeds = stage.read_earlier("budget").select(*cell, "seeds")
    rows = stage.read_earlier("novelty").join(seeds, cell, "inner").collect()  # both unique by cell
    return sorted((r.asDict() for r in rows), key=lambda row: stage.earlier_rounds().index(row["round"]))


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    conf, made = stage.config.plan, measured(stage)
    kept = sum(row["tokens"] for row in made)
    tokens = wanted_tokens(stage.config, stage.round, kept)
    if made and not kept:
        CONSOLE.print(
            f"  of {sum(row['requests'] for row in made)} requests of earlier rounds nothing is left for the mix (see boostqa status): "
            "the plan reckons with plan.kept_tokens_per_request",
            style="yellow", markup=False, highlight=False,
        )  # fmt: skip
    if not tokens:
        raise ConfigError(
            f"rounds: nothing is left for round {stage.round}: the rounds before it have {kept:,} of the {conf.tokens:,} tokens of "
            "plan.tokens\n  fix: raise plan.tokens, or take the round out of `rounds`"
        )
    labels = stage.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    labels = labels.select(F.col("item_id").alias("seed_id"), "discipline", "difficulty")
    # No input that a plan goes stale by: one that was made before a withdrawal stays, and the mix leaves its items out.
    usable = withdrawal.left(stage.read("seed"), stage.warehouse.rows("withdrawal"))
    texts = usable.select("seed_id", "lang", "tokens", "text")
    seeds = labels.join(texts, "seed_id", "inner")  # both unique by seed_id
    slots = plan.unused(plan.slots(seeds, conf), stage.read_earlier("plan"))
    slots = stage.store(plan.with_yields(slots, made, conf.kept_tokens_per_request))
    cells = [r.asDict() for r in plan.cells(seeds, slots).collect()]
    cells = budget.with_novelty(cells, novelty_before(stage), conf.min_novelty)
    probe = [r.asDict() for r in stage.read("probe").drop("request_ids").collect()]
    of_checkpoint = budget.of_checkpoint(probe, stage.config.checkpoints()[-1].id)
    rows = budget.budget(cells, of_checkpoint, conf, tokens)
    stage.write("budget", stage.spark.createDataFrame(rows, BUDGET.schema))
    planned = stage.write("plan", plan.plan(stage.read_back("budget"), slots))
    requests, supply = sum(row["requests"] for row in rows), seeds.count()
    stage.check_row_balance(supply, planned, fan_out=requests - supply)


if __name__ == "__main__":
    submit("plan")
