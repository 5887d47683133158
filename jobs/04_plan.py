"""Job 4, plan: turns what the checkpoint lacks into tokens per cell and requests, for what earlier rounds have left."""

from pyspark.sql import functions as F

from boostqa.errors import ConfigError
from boostqa.pipeline import submit
from boostqa.rounds import wanted_tokens
from boostqa.schemas import BUDGET
from boostqa.stages import budget, plan, quarantine
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable

READS = ("annotation", "seed", "probe")
READS_EARLIER = ("plan", "clean", "quarantine")
WRITES = ("budget", "plan")


def kept_before(stage: StageRun) -> int:
    """Tokens that the rounds before have left for the mix."""
    clean, history = stage.read_earlier("clean"), stage.read_earlier("quarantine")
    left, _ = quarantine.split(clean, history)
    return left.agg(F.coalesce(F.sum("tokens"), F.lit(0))).first()[0]


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    conf, kept = stage.config.plan, kept_before(stage)
    tokens = wanted_tokens(stage.config, stage.round, kept)
    if not tokens:
        raise ConfigError(
            f"rounds: nothing is left for round {stage.round}: the rounds before it have {kept:,} of the {conf.tokens:,} tokens of "
            "plan.tokens\n  fix: raise plan.tokens, or take the round out of `rounds`"
        )
    labels = stage.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    labels = labels.select(F.col("item_id").alias("seed_id"), "discipline", "difficulty")
    texts = stage.read("seed").select("seed_id", "lang", "tokens", "text")
    seeds = labels.join(texts, "seed_id", "inner")  # both unique by seed_id
    slots = stage.store(plan.unused(plan.slots(seeds, conf), stage.read_earlier("plan")))
    cells = [r.asDict() for r in plan.cells(seeds, slots).collect()]
    probe = [r.asDict() for r in stage.read("probe").drop("request_ids").collect()]
    of_checkpoint = budget.of_checkpoint(probe, stage.config.checkpoints()[-1].id)
    rows = budget.budget(cells, of_checkpoint, conf, tokens)
    stage.write("budget", stage.spark.createDataFrame(rows, BUDGET.schema))
    planned = stage.write("plan", plan.plan(stage.read_back("budget"), slots))
    requests, supply = sum(row["requests"] for row in rows), seeds.count()
    stage.check_row_balance(supply, planned, fan_out=requests - supply)


if __name__ == "__main__":
    submit("plan")
