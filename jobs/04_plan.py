"""Job 4, plan: turns what the checkpoint lacks into tokens per cell and requests."""

from pyspark.sql import functions as F

from boostqa.pipeline import submit
from boostqa.schemas import BUDGET
from boostqa.stages import budget, plan
from boostqa.tracking.stage_run import StageRun
from boostqa.vocabulary import ItemTable

READS = ("annotation", "seed", "probe")
WRITES = ("budget", "plan")


def main(stage: StageRun) -> None:
    """Read, call the stage, write, check the row balance."""
    conf = stage.config.plan
    labels = stage.read("annotation").where(F.col("item_table") == ItemTable.SEED)
    labels = labels.select(F.col("item_id").alias("seed_id"), "discipline", "difficulty")
    texts = stage.read("seed").select("seed_id", "lang", "tokens", "text")
    seeds = labels.join(texts, "seed_id", "inner")  # both unique by seed_id
    slots = stage.store(plan.slots(seeds, conf))
    cells = [r.asDict() for r in plan.cells(seeds, slots).collect()]
    probe = [r.asDict() for r in stage.read("probe").drop("request_ids").collect()]
    rows = budget.budget(cells, budget.of_checkpoint(probe, stage.config.checkpoints()[-1].id), conf)
    stage.write("budget", stage.spark.createDataFrame(rows, BUDGET.schema))
    planned = stage.write("plan", plan.plan(stage.read_back("budget"), slots))
    requests, supply = sum(row["requests"] for row in rows), seeds.count()
    stage.check_row_balance(supply, planned, fan_out=requests - supply)


if __name__ == "__main__":
    submit("plan")
